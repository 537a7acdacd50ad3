//! What every scenario begins and ends with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::last;
use crate::cluster::{Account, Cluster, PASSWORD};
pub use crate::cluster::{Disks, Logs};
use crate::history::{Answer, Fault, MAILBOXES, Op, Place, Recorder};
use crate::limits::{LOOK_EVERY, SETTLE_WAIT};
use crate::load::worker::listing;
use crate::load::{Crowd, Door, Scene};
use crate::mail::imap::Imap;
use crate::mail::message::Sizes;
use crate::nemesis::Campaign;
use crate::oracle::{Kind, Verdict, Violation, judge};
use crate::report::{Demands, Ending, report};

/// What a node says when its log has one segment less.
const FREED: &str = "segment freed";

/// What a node says of an index that it does not use.
const NOT_USED: &str = "index not used";

/// It says so too of one that was never flushed: rows are in the log, and a young index may be in
/// memory alone when the node stops.
const NEVER_FLUSHED: &str = "doubt=\"there is none\"";

/// The history's name in the folder of a run.
pub const HISTORY: &str = "history.jsonl";

/// What every scenario is told.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What everything random is drawn from.
    pub seed: u64,
    /// Where the run lives: an empty folder, or one to be made.
    pub dir: PathBuf,
    /// The server.
    pub rookeryd: PathBuf,
    /// Partitions of the cluster.
    pub partitions: u32,
    /// Accounts, at least; there are more if partitions would be left without one.
    pub accounts: u32,
    /// How large messages are.
    pub sizes: Sizes,
    /// Nodes that may come later.
    pub spares: u32,
    /// How large the logs of the nodes are.
    pub logs: Logs,
}

/// What a scenario is told that does the same harm again and again.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// What every scenario is told.
    pub setting: Setting,
    /// How often the harm is done.
    pub rounds: u32,
    /// How many clients there are.
    pub crowd: Crowd,
}

/// A cluster with accounts, and everything that clients need.
pub struct Stage {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// What clients know.
    pub scene: Arc<Scene>,
}

/// The client's name in the history that reads everything at the end.
const JUDGE: &str = "judge";

/// Connections that read mailboxes at the same time.
const AT_ONCE: usize = 4;

/// More accounts than this per partition are not made to reach them all.
const ACCOUNTS_PER_PARTITION_MAX: u32 = 4;

impl Stage {
    /// Makes a cluster, accounts in every partition, and their mailboxes.
    ///
    /// # Errors
    ///
    /// When the folder is not empty or the cluster does not come up.
    pub async fn set(setting: &Setting) -> anyhow::Result<Self> {
        Self::set_on(setting, None).await
    }

    /// The same with disks of their own for the nodes.
    ///
    /// # Errors
    ///
    /// Also when those cannot be made.
    pub async fn set_on(setting: &Setting, disks: Option<Disks>) -> anyhow::Result<Self> {
        let dir = empty_folder(&setting.dir)?;
        let recorder = Recorder::create(&dir.join(HISTORY))?;
        let cluster = dir.join("cluster");
        let cluster = Cluster::create(
            &cluster,
            &setting.rookeryd,
            setting.partitions,
            setting.spares,
            setting.logs,
            disks,
            recorder.clone(),
        );
        let cluster = Arc::new(cluster.await?);
        let accounts = accounts(&cluster, setting).await?;
        let serving: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
        let spare = cluster.planned().iter().map(|node| node.id);
        let spare = spare.filter(|node| !serving.contains(node)).collect();
        let doors = cluster.planned().iter().map(|node| Door {
            node: node.id,
            imap: node.addresses.imap,
            lmtp: node.addresses.lmtp,
        });
        let scene = Arc::new(Scene {
            seed: setting.seed,
            sizes: setting.sizes,
            accounts,
            nodes: doors.collect(),
            closed: Mutex::new(spare),
            recorder,
        });
        make_mailboxes(&scene).await?;
        Ok(Self { cluster, scene })
    }

    /// Starts what is down, waits until all is level, writes to every partition and reads every
    /// mailbox through every node, compares the replicas and all of their bodies, restarts and
    /// stops the cluster, and judges.
    ///
    /// # Errors
    ///
    /// When the cluster does not come to rest by itself, or cannot be read: findings too.
    async fn judge(&self, index_harmed: bool) -> anyhow::Result<Verdict> {
        let nodes: Vec<u64> = self.scene.doors().iter().map(|door| door.node).collect();
        self.start(&nodes).await?;
        self.scene.recorder.fault(Fault::Healed);
        last::write(&self.scene).await?;
        self.scene.recorder.readers(nodes.clone());
        self.read_everything().await?;
        let mut found = self.compare().await?;
        if !index_harmed {
            found.extend(self.restart(&nodes).await?);
        }
        self.stop().await?;

        let mut verdict = judge(&self.scene.recorder.history(), &nodes);
        verdict.violations.extend(found);
        Ok(verdict)
    }

    /// Starts what is down of these nodes, and waits until all is level.
    async fn start(&self, nodes: &[u64]) -> anyhow::Result<()> {
        for node in nodes {
            self.cluster.start(*node).await?;
        }
        for node in nodes {
            self.cluster.answers(*node).await?;
        }
        self.cluster.settle().await.map(drop)
    }

    /// Stops all nodes, which they do by themselves.
    async fn stop(&self) -> anyhow::Result<()> {
        let stubborn = self.cluster.stop().await?;
        ensure!(
            stubborn.is_empty(),
            "nodes {stubborn:?} did not stop when asked to"
        );
        Ok(())
    }

    /// Stops all nodes and starts them again. An index that is wrong is made anew, with a word in
    /// the log and no more: after a clean stop no node may have to, and rows must be equal again.
    async fn restart(&self, nodes: &[u64]) -> anyhow::Result<Vec<Violation>> {
        self.stop().await?;
        let mut before = BTreeMap::new();
        for node in nodes {
            before.insert(*node, self.wrong_indexes(*node)?);
        }
        self.start(nodes).await?;
        let differing = self.cluster.verify().await?;
        let mut anew = Vec::new();
        for (node, before) in before {
            let times = self.wrong_indexes(node)? - before;
            if times > 0 {
                anew.push(format!("node {node}: {times} after a clean stop"));
            }
        }
        let differing = violations(Kind::DigestsDiffer, differing);
        Ok(differing
            .chain(violations(Kind::IndexNotUsed, anew))
            .collect())
    }

    /// How often a node found an index wrong.
    fn wrong_indexes(&self, node: u64) -> anyhow::Result<usize> {
        let never_flushed = self.cluster.told(node, NEVER_FLUSHED)?;
        Ok(self.cluster.told(node, NOT_USED)? - never_flushed)
    }

    /// Whether every partition takes mail through every node: for scenarios that judge what is in
    /// mailboxes by themselves.
    ///
    /// # Errors
    ///
    /// When a client panics.
    pub(super) async fn served(&self) -> anyhow::Result<Vec<Violation>> {
        last::write(&self.scene).await?;
        let verdict = judge(&self.scene.recorder.history(), &[]);
        let found = verdict.violations.into_iter();
        let of_answers = [Kind::Stuck, Kind::Refused, Kind::BadAnswer];
        Ok(found
            .filter(|found| of_answers.contains(&found.kind))
            .collect())
    }

    /// Compares the rows of all replicas, and has each read all of its bodies: a node serves those
    /// of others too, so that no client sees what one of them lacks.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub(super) async fn compare(&self) -> anyhow::Result<Vec<Violation>> {
        let differing = self.cluster.verify().await?;
        let bad = self.cluster.verify_deep().await?;
        let differing = violations(Kind::DigestsDiffer, differing);
        Ok(differing.chain(violations(Kind::BadBody, bad)).collect())
    }

    /// Where clients reach the node that leads an account's partition.
    pub(super) async fn leaders_door(&self, account: &Account) -> anyhow::Result<Door> {
        let leaders = self.cluster.leaders().await;
        let leader = leaders.get(&account.group).context("nobody leads")?;
        let doors = self.scene.doors().into_iter();
        let mut found = doors.filter(|door| door.node == leader.node);
        found.next().context("the leader has no door")
    }

    /// Judges, prints the report, and says how the run ended.
    ///
    /// # Errors
    ///
    /// When the cluster does not come to rest by itself, or cannot be read: findings too.
    pub async fn conclude(&self, demands: &Demands, campaign: &Campaign) -> anyhow::Result<Ending> {
        let verdict = self.judge(demands.index_harmed).await?;
        let (text, ending) = report(demands, campaign, &verdict);
        print!("{text}");
        let mut freed = 0;
        for node in self.cluster.nodes() {
            freed += self.cluster.told(node.id, FREED)?;
        }
        println!("cleaned      {freed} segments of the logs were freed");
        Ok(ending)
    }

    async fn read_everything(&self) -> anyhow::Result<()> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        for door in self.scene.doors() {
            let mut reading = JoinSet::new();
            for account in (0..).take(self.scene.accounts.len()) {
                let (scene, door, room) = (Arc::clone(&self.scene), door, Arc::clone(&room));
                reading.spawn(async move {
                    let _permit = room.acquire().await;
                    read_account(&scene, door, account).await
                });
            }
            while let Some(read) = reading.join_next().await {
                read?.with_context(|| format!("reading through node {}", door.node))?;
            }
        }
        Ok(())
    }
}

/// What was found without a history.
fn violations(kind: Kind, found: Vec<String>) -> impl Iterator<Item = Violation> {
    found.into_iter().map(move |what| Violation {
        kind,
        event: None,
        what,
    })
}

fn empty_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let dir = dir.canonicalize()?;
    let mut entries = std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    ensure!(entries.next().is_none(), "{} is not empty", dir.display());
    Ok(dir)
}

/// Makes accounts until each partition has one, if that can be had.
async fn accounts(cluster: &Cluster, setting: &Setting) -> anyhow::Result<Vec<Account>> {
    let names = |count: u32| (0..count).map(|number| format!("chaos{number}")).collect();
    let mut count = setting.accounts.max(setting.partitions);
    loop {
        let accounts = cluster.make_accounts(names(count)).await?;
        let mut groups: Vec<u64> = accounts.iter().map(|account| account.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let missing = setting
            .partitions
            .saturating_sub(u32::try_from(groups.len())?);
        if missing == 0 || count >= setting.partitions * ACCOUNTS_PER_PARTITION_MAX {
            return Ok(accounts);
        }
        count += missing;
    }
}

async fn make_mailboxes(scene: &Arc<Scene>) -> anyhow::Result<()> {
    let mut making = JoinSet::new();
    let doors = scene.doors();
    for (number, account) in scene.accounts.iter().enumerate() {
        let door = doors[number % doors.len()];
        let name = account.name.clone();
        making.spawn(async move {
            let mut imap = Imap::connect(door.imap, &name, PASSWORD).await?;
            for mailbox in &MAILBOXES[1..] {
                imap.create(mailbox).await?;
            }
            imap.logout().await;
            anyhow::Ok(())
        });
    }
    while let Some(made) = making.join_next().await {
        made?.context("making mailboxes")?;
    }
    Ok(())
}

/// All mailboxes of an account, whole. Trouble is no answer, so it is tried again.
async fn read_account(scene: &Scene, door: Door, account: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_WAIT;
    let mut session = None;
    for mailbox in 0..MAILBOXES.len() {
        let place = Place {
            account,
            mailbox: u8::try_from(mailbox)?,
        };
        loop {
            let trouble = match read_mailbox(scene, door, place, &mut session).await {
                Ok(()) => break,
                Err(trouble) => trouble,
            };
            if Instant::now() >= deadline {
                bail!("{place} cannot be read: {trouble}");
            }
            session = None;
            sleep(LOOK_EVERY).await;
        }
    }
    if let Some(imap) = session {
        imap.logout().await;
    }
    Ok(())
}

async fn read_mailbox(
    scene: &Scene,
    door: Door,
    place: Place,
    session: &mut Option<Imap>,
) -> anyhow::Result<()> {
    if session.is_none() {
        *session = Some(scene.log_in(JUDGE, door, place.account).await?);
    }
    let imap = session.as_mut().context("a session was just opened")?;
    let op = Op::List { place, last: true };
    let open = scene.recorder.invoke(JUDGE, door.node, op);
    let answer = listing(imap, usize::from(place.mailbox), true).await;
    open.end(answer, Answer::clone)?;
    Ok(())
}

/// Time in words that can be compared by eye.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
