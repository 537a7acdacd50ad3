//! A real cluster: processes, disks, certificates; and what an operator can do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use client::Admin;
use node::demo::child::{NodeProcess, tail};
use node::demo::plan::{Options, Plan, PlannedNode};
use node::demo::ports::Ports;
use node::demo::{form, make_accounts};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::disk::{self, Disk};
use crate::history::{Fault, Recorder};
use crate::level::unsettled;
use crate::limits::{ADMIN_WAIT, END_WAIT, LOOK_EVERY, SETTLE_WAIT, START_WAIT, STOP_WAIT};
use crate::process::{REFUSAL, SYNC_DELAY};

mod members;
mod together;
mod told;
mod verify;

/// Nodes of a cluster, and replicas of a group.
pub const NODES: u32 = 3;

/// The domain of all accounts.
pub const DOMAIN: &str = "chaos.example";

/// Their password.
pub const PASSWORD: &str = "pass";

/// Segments of the log are as small as they may be, so that a short run fills several.
const SEGMENT_BYTES: u32 = 16 << 20;

/// Little, so that a node that was away needs a checkpoint soon.
const LOG_KEPT_BYTES: u64 = 64 << 10;

/// As fast as it goes: runs wait until a node has read its whole log.
const SCRUB_BYTES_PER_SECOND: u64 = 16 << 30;

/// A cluster under test.
pub struct Cluster {
    plan: Plan,
    program: PathBuf,
    /// How many groups there are: partitions, and the directory.
    groups: usize,
    members: Vec<Mutex<Member>>,
    /// The nodes that belong to the cluster now.
    serving: std::sync::Mutex<BTreeSet<u64>>,
    recorder: Recorder,
    /// Of nodes whose data are on one of their own. After the members, which use them.
    disks: BTreeMap<u64, Disk>,
}

/// Disks of their own for all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disks {
    /// Bytes of each.
    pub bytes: u64,
    /// What the nodes keep in reserve, bytes; their default if none.
    pub reserve_bytes: Option<u64>,
}

/// How large the logs of nodes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// So small that segments are sealed, cleaned and purged within a run.
    Small,
    /// As by default.
    Usual,
}

/// What a disk refuses to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Every sync fails.
    Sync,
    /// Every write does.
    Write,
}

struct Member {
    node: PlannedNode,
    process: Option<NodeProcess>,
}

/// An account and the group that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, without the domain.
    pub name: String,
    /// Its partition.
    pub group: u64,
}

/// Who leads a group, and in which term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leader {
    /// The term.
    pub term: u64,
    /// The node.
    pub node: u64,
}

impl Cluster {
    /// Makes a cluster in an empty folder and waits until it serves. So many `spares` are planned
    /// as well, and not started.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn create(
        dir: &Path,
        program: &Path,
        partitions: u32,
        spares: u32,
        logs: Logs,
        disks: Option<Disks>,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let small = logs == Logs::Small;
        let options = Options {
            reserve_bytes: disks.and_then(|disks| disks.reserve_bytes),
            ports: Ports::Any,
            segment_bytes: small.then_some(SEGMENT_BYTES),
            log_kept_bytes: small.then_some(LOG_KEPT_BYTES),
            scrub_bytes_per_second: small.then_some(SCRUB_BYTES_PER_SECOND),
            ..Options::default()
        };
        let plan = Plan::create(dir, (NODES + spares) as usize, &options)?;
        plan.check_ports()?;
        let members = plan.nodes.iter().map(|node| {
            Mutex::new(Member {
                node: node.clone(),
                process: None,
            })
        });
        let members = members.collect();
        let mut own = BTreeMap::new();
        for (node, disks) in plan.nodes.iter().zip(disks.iter().cycle()) {
            let image = dir.join(format!("node-{}.image", node.id));
            let disk = Disk::create(&image, disks.bytes, &node.data_dir)?;
            own.insert(node.id, disk);
        }
        let cluster = Self {
            disks: own,
            plan,
            program: program.to_owned(),
            groups: partitions as usize + 1,
            members,
            serving: std::sync::Mutex::new((1..=u64::from(NODES)).collect()),
            recorder,
        };
        for node in cluster.nodes() {
            cluster.start(node.id).await?;
        }
        for node in cluster.nodes() {
            cluster.answers(node.id).await?;
        }
        let first: Vec<u64> = (1..=u64::from(NODES)).collect();
        form(&cluster.plan, &first, NODES, partitions, DOMAIN).await?;
        Ok(cluster)
    }

    /// The nodes that belong to the cluster, whether they run or not.
    #[must_use]
    pub fn nodes(&self) -> Vec<PlannedNode> {
        let serving = self.serving();
        let planned = self.plan.nodes.iter();
        let serving = planned.filter(|node| serving.contains(&node.id));
        serving.cloned().collect()
    }

    /// All nodes that were planned, also those that are not in the cluster yet or any more.
    #[must_use]
    pub fn planned(&self) -> &[PlannedNode] {
        &self.plan.nodes
    }

    fn serving(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        let serving = self.serving.lock();
        serving.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An operator who asks the nodes of the cluster.
    fn operator(&self) -> anyhow::Result<Admin> {
        let members: Vec<u64> = self.serving().iter().copied().collect();
        Ok(self.plan.operator(&members)?.with_deadline(ADMIN_WAIT))
    }

    /// Makes these accounts, which get mail and to which nobody logs in.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub async fn make_silent_accounts(&self, names: Vec<String>) -> anyhow::Result<()> {
        make_accounts(&self.plan, names, DOMAIN, None, |_, _| {}).await
    }

    /// Makes these accounts and answers where they are.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub async fn make_accounts(&self, names: Vec<String>) -> anyhow::Result<Vec<Account>> {
        make_accounts(&self.plan, names.clone(), DOMAIN, Some(PASSWORD), |_, _| {}).await?;
        let made = self.operator()?.accounts().await?;
        let groups: BTreeMap<String, u64> = made
            .into_iter()
            .map(|account| (account.name, account.partition))
            .collect();
        let find = |name: String| {
            let group = *groups
                .get(&format!("{name}@{DOMAIN}"))
                .context("an account is gone")?;
            Ok(Account { name, group })
        };
        names.into_iter().map(find).collect()
    }

    fn member(&self, node: u64) -> anyhow::Result<&Mutex<Member>> {
        let at = self
            .plan
            .nodes
            .iter()
            .position(|planned| planned.id == node);
        at.and_then(|at| self.members.get(at))
            .with_context(|| format!("there is no node {node}"))
    }

    /// Makes the disk of a node slow by so many milliseconds a sync, from the next sync on; 0 makes
    /// it fast again.
    ///
    /// # Errors
    ///
    /// When the server was not built with the feature `faults`.
    pub fn slow_disk(&self, node: u64, delay_ms: u64) -> anyhow::Result<()> {
        ensure!(
            self.told(node, SYNC_DELAY)? > 0,
            "this server does not know {SYNC_DELAY}: build it with --features faults"
        );
        let node = self.plan.node(node).context("there is no such node")?;
        std::fs::write(delay_file(node), delay_ms.to_string())?;
        Ok(())
    }

    /// Makes the disk of a node refuse something, from now on; with none it works again.
    ///
    /// # Errors
    ///
    /// When the server was not built with the feature `faults`.
    pub fn refuse(&self, node: u64, refusal: Option<Refusal>) -> anyhow::Result<()> {
        ensure!(
            self.told(node, REFUSAL)? > 0,
            "this server does not know {REFUSAL}: build it with --features faults"
        );
        let node = self.plan.node(node).context("there is no such node")?;
        let word = match refusal {
            Some(Refusal::Sync) => "sync",
            Some(Refusal::Write) => "write",
            None => "",
        };
        std::fs::write(refusal_file(node), word)?;
        Ok(())
    }

    /// The disk of a node.
    ///
    /// # Errors
    ///
    /// When it has none of its own.
    pub fn disk(&self, node: u64) -> anyhow::Result<&Disk> {
        disk::of(&self.disks, node)
    }

    /// Waits until a node has ended, as it is about to.
    ///
    /// # Errors
    ///
    /// When it does not, or is down already.
    pub async fn ends_by_itself(&self, node: u64) -> anyhow::Result<ExitStatus> {
        let mut member = self.member(node)?.lock().await;
        let mut process = member
            .process
            .take()
            .with_context(|| format!("node {node} is down"))?;
        let ended = tokio::time::timeout(END_WAIT, process.wait()).await;
        let status = ended.with_context(|| format!("node {node} does not end by itself"))??;
        let led = Vec::new();
        self.recorder.fault(Fault::Kill { node, led });
        Ok(status)
    }

    /// Asks a node to stop (SIGTERM) and waits until it has, however long that takes.
    ///
    /// # Errors
    ///
    /// When it is down already, or does not end.
    pub async fn end(&self, node: u64) -> anyhow::Result<ExitStatus> {
        let mut member = self.member(node)?.lock().await;
        let mut process = member
            .process
            .take()
            .with_context(|| format!("node {node} is down"))?;
        process.terminate()?;
        let ended = tokio::time::timeout(END_WAIT, process.wait()).await;
        let status = ended.with_context(|| format!("node {node} does not end"))??;
        let led = Vec::new();
        self.recorder.fault(Fault::Kill { node, led });
        Ok(status)
    }

    /// The last line that a node has said and that begins so.
    ///
    /// # Errors
    ///
    /// When there is no such node or log.
    pub fn last_line(&self, node: u64, start: &str) -> anyhow::Result<String> {
        let node = self.plan.node(node).context("there is no such node")?;
        let log = std::fs::read_to_string(&node.log)?;
        let mut lines = log.lines().filter(|line| line.starts_with(start));
        Ok(lines.next_back().unwrap_or_default().to_owned())
    }

    /// Starts a node, unless it runs.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn start(&self, node: u64) -> anyhow::Result<()> {
        let mut member = self.member(node)?.lock().await;
        if let Some(process) = &mut member.process
            && process.ended()?.is_none()
        {
            return Ok(());
        }
        let environment = [
            (SYNC_DELAY, delay_file(&member.node)),
            (REFUSAL, refusal_file(&member.node)),
        ];
        let environment = environment
            .each_ref()
            .map(|(name, file)| (*name, file.as_path()));
        let process = NodeProcess::start(&self.program, &member.node, &environment)?;
        member.process = Some(process);
        self.recorder.fault(Fault::Start { node });
        Ok(())
    }

    /// Kills a node with -9; `led` is what it led, for the record. Answers when it was done.
    ///
    /// # Errors
    ///
    /// When it does not run: it ended by itself before, which no node may.
    pub async fn kill(&self, node: u64, led: Vec<u64>) -> anyhow::Result<Instant> {
        let mut member = self.member(node)?.lock().await;
        let member = &mut *member;
        let process = member
            .process
            .as_mut()
            .with_context(|| format!("node {node} is down"))?;
        if let Some(status) = process.ended()? {
            bail!(
                "node {node} ended by itself with {status}; {}",
                tail(&member.node.log)
            );
        }
        self.recorder.fault(Fault::Kill { node, led });
        let at = Instant::now();
        process.kill().await?;
        member.process = None;
        Ok(at)
    }

    /// Lets a node sleep (SIGSTOP); `led` is what it led, for the record.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn pause(&self, node: u64, led: Vec<u64>) -> anyhow::Result<()> {
        self.check_processes().await?;
        let mut member = self.member(node)?.lock().await;
        let process = member.process.as_mut();
        process.context("the node is down")?.pause()?;
        self.recorder.fault(Fault::Pause { node, led });
        Ok(())
    }

    /// Wakes a node that sleeps (SIGCONT).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn resume(&self, node: u64) -> anyhow::Result<()> {
        let mut member = self.member(node)?.lock().await;
        let process = member.process.as_mut();
        self.recorder.fault(Fault::Resume { node });
        Ok(process.context("the node is down")?.resume()?)
    }

    /// Fails if a node that should run does not.
    ///
    /// # Errors
    ///
    /// With the end of its log.
    pub async fn check_processes(&self) -> anyhow::Result<()> {
        for member in &self.members {
            let mut member = member.lock().await;
            let member = &mut *member;
            let Some(process) = &mut member.process else {
                continue;
            };
            if let Some(status) = process.ended()? {
                let (id, log) = (member.node.id, &member.node.log);
                bail!("node {id} ended by itself with {status}; {}", tail(log));
            }
        }
        Ok(())
    }

    /// Asks all nodes to stop, and kills those that do not. Answers those.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn stop(&self) -> anyhow::Result<Vec<u64>> {
        let mut stubborn = Vec::new();
        for member in &self.members {
            let mut member = member.lock().await;
            if let Some(mut process) = member.process.take()
                && !process.stop(STOP_WAIT).await?
            {
                stubborn.push(member.node.id);
            }
        }
        Ok(stubborn)
    }

    /// Forgets what an account has deleted.
    ///
    /// # Errors
    ///
    /// When no node does it.
    pub async fn purge_deleted(&self, account: &str) -> anyhow::Result<()> {
        let name = account.to_owned();
        self.operator()?.purge_deleted(name, None).await?;
        Ok(())
    }

    /// Hands the leadership of a group to a node; it may refuse.
    ///
    /// # Errors
    ///
    /// When it does.
    pub async fn transfer(&self, group: u64, node: u64) -> anyhow::Result<()> {
        Ok(self.operator()?.transfer(group, node).await?)
    }

    /// Has a node read its whole log; answers the number of that pass.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn scrub(&self, node: u64) -> anyhow::Result<u64> {
        let operator = self.plan.operator(&[node])?.with_deadline(ADMIN_WAIT);
        Ok(operator.scrub().await?)
    }

    /// Waits until a node answers an operator.
    ///
    /// # Errors
    ///
    /// When it ends by itself or does not answer for a long time.
    pub async fn answers(&self, node: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WAIT;
        while let Err(error) = self.plan.status_of(node).await {
            self.check_processes().await?;
            ensure!(
                Instant::now() < deadline,
                "node {node} does not answer: {error}"
            );
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until every node answers, every group has a leader, and every replica has what its
    /// leader has, but for a little that is on its way.
    ///
    /// # Errors
    ///
    /// When that does not come about by itself for a long time, although nothing is broken.
    pub async fn settle(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            self.check_processes().await?;
            let members = self.serving().len();
            let Some(why) = unsettled(&self.statuses().await, members, self.groups) else {
                return Ok(began.elapsed());
            };
            ensure!(
                began.elapsed() < SETTLE_WAIT,
                "the cluster does not settle: {why}"
            );
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The file that says how slow the disk of a node is.
fn delay_file(node: &PlannedNode) -> PathBuf {
    node.log.with_extension("sync-delay-ms")
}

/// The file that says what the disk of a node refuses.
fn refusal_file(node: &PlannedNode) -> PathBuf {
    node.log.with_extension("refuses")
}
