//! mbsync between a folder of mail here and an account there, both of which change, while leaders
//! are killed: `rookery-chaos mbsync`.
//!
//! ```text
//!   maildir   the folder on this machine
//!   book      what was done on both sides, and what must be there in the end
//!   sides     who changes the folder, and who changes the account
//! ```
//!
//! mbsync runs again and again, through one node after another, mostly through one that does not
//! lead the account's partition. Meanwhile messages come, are marked and deleted on both sides, and
//! the leader is killed with -9 during a run, again and again. When all is quiet and mbsync has
//! nothing more to do, both sides must be equal, with all that was added and not deleted, once each
//! and with its marks. UIDVALIDITY never changes: mbsync would stop, and so it is looked at too.

pub mod book;
pub mod maildir;
mod sides;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::book::differences;
use self::sides::Sides;
use super::stage::{Setting, Stage, seconds};
use crate::cluster::{DOMAIN, PASSWORD};
use crate::history::MAILBOXES;
use crate::limits::{LOAD_WAIT, LOOK_EVERY, SETTLE_WAIT};
use crate::load::Door;
use crate::report::Ending;
use crate::seed;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// How often the leader is killed.
    pub kills: u32,
}

/// The program.
const MBSYNC: &str = "mbsync";

/// Of so many runs one goes through any node, also through the one that leads.
const ANY_NODE_IN: u32 = 4;

/// How long after the beginning of a run the leader is killed, at most.
const KILL_AFTER_MS_MAX: u64 = 1500;

/// How long a killed node is away, at most.
const AWAY_MS_MAX: u64 = 2000;

/// Of so many kills one may make a run fail through a node that lives on: a command whose outcome
/// the dead leader took with it ends its connection. Measured were none of 20 kills.
const KILLS_PER_BAD_ALIVE: u32 = 10;

/// Runs at the end until nothing is left to do, at most.
const LAST_RUNS_MAX: u32 = 20;

/// How long one run may take.
const RUN_WAIT: Duration = Duration::from_secs(180);

/// Kills, and mbsync in between.
///
/// # Errors
///
/// When the cluster does not heal, or mbsync does not come to an end.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let asked = Command::new(MBSYNC).arg("--version").output().await;
    let Ok(version) = asked else {
        println!("SKIPPED: there is no {MBSYNC} in PATH: install isync, version 1.4 or later");
        return Ok(Ending::Skipped);
    };
    println!("{}", String::from_utf8_lossy(&version.stdout).trim());
    let stage = Stage::set(&options.setting).await?;
    let account = stage.scene.accounts[0].clone();
    let loops = Arc::new(Loops {
        dir: options.setting.dir.canonicalize()?,
        user: account.name.clone(),
        seed: options.setting.seed,
        stage,
        group: account.group,
    });
    // Makes the folders.
    let first = loops.once(loops.stage.scene.doors()[0]).await?;
    ensure!(first.status.success(), "the first run: {}", told(&first));
    let sides = Sides::begin(&loops.stage.scene, &loops.folders(), loops.seed);
    let (begins, begun) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let syncing = tokio::spawn(Arc::clone(&loops).again_and_again(begins, stopped));
    let killed = loops.kill(options.kills, begun).await;
    stop.send_replace(true);
    let runs = syncing.await??;
    let sides = sides.end().await?;
    killed?;
    loops.conclude(&runs, &sides, options.kills).await
}

struct Loops {
    stage: Stage,
    dir: PathBuf,
    user: String,
    seed: u64,
    group: u64,
}

/// What came of the runs of mbsync.
#[derive(Default)]
struct Runs {
    good: u32,
    /// Through the node that was killed, or whose client was.
    bad: u32,
    /// Through a node that lived on all the time.
    bad_alive: u32,
}

impl Loops {
    fn folders(&self) -> Vec<PathBuf> {
        let folders = MAILBOXES.iter();
        folders
            .map(|name| self.dir.join("maildir").join(name))
            .collect()
    }

    /// One run of mbsync through this node.
    async fn once(&self, door: Door) -> anyhow::Result<Output> {
        let config = self.dir.join("mbsyncrc");
        let text = config_of(&self.dir, door, &self.user);
        tokio::fs::create_dir_all(self.dir.join("maildir")).await?;
        tokio::fs::write(&config, text).await?;
        let running = Command::new(MBSYNC)
            .arg("--config")
            .arg(&config)
            .arg("all")
            .env("HOME", &self.dir)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let ended = timeout(RUN_WAIT, running).await;
        Ok(ended.context("mbsync does not come to an end")??)
    }

    async fn leader(&self) -> Option<u64> {
        let leaders = self.stage.cluster.leaders().await;
        leaders.get(&self.group).map(|leader| leader.node)
    }

    /// The leader, once there is one.
    async fn some_leader(&self) -> u64 {
        loop {
            if let Some(leader) = self.leader().await {
                return leader;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn again_and_again(
        self: Arc<Self>,
        begins: watch::Sender<u32>,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<Runs> {
        let mut rng = seed::generator(self.seed, "mbsync", 0);
        let mut runs = Runs::default();
        let mut number = 0;
        while !*stopped.borrow() {
            let leader = self.leader().await;
            let any = rng.random_range(0..ANY_NODE_IN) == 0;
            let mut doors = self.stage.scene.doors();
            doors.retain(|door| any || Some(door.node) != leader);
            let door = doors[rng.random_range(0..doors.len())];
            let pid = self.stage.cluster.pid(door.node).await.ok();
            number += 1;
            begins.send_replace(number);
            let output = self.once(door).await?;
            let lives = pid.is_some() && self.stage.cluster.pid(door.node).await.ok() == pid;
            let log = format!("run {number} through node {}: {}", door.node, told(&output));
            append(&self.dir.join("mbsync.log"), &log).await?;
            match (output.status.success(), lives) {
                (true, _) => runs.good += 1,
                (false, true) => {
                    println!("{log}");
                    runs.bad_alive += 1;
                }
                (false, false) => runs.bad += 1,
            }
        }
        Ok(runs)
    }

    /// Kills the leader during runs of mbsync.
    async fn kill(&self, kills: u32, mut begun: watch::Receiver<u32>) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut rng = seed::generator(self.seed, "kill", 0);
        for number in 1..=kills {
            self.stage.cluster.settle().await?;
            begun.borrow_and_update();
            let next = timeout(LOAD_WAIT, begun.changed()).await;
            next.context("mbsync does not run any more")??;
            sleep(Duration::from_millis(
                rng.random_range(0..KILL_AFTER_MS_MAX),
            ))
            .await;
            let leader = timeout(SETTLE_WAIT, self.some_leader()).await;
            let leader = leader.context("the partition has no leader")?;
            self.stage.cluster.kill(leader, vec![self.group]).await?;
            sleep(Duration::from_millis(rng.random_range(0..AWAY_MS_MAX))).await;
            self.stage.cluster.start(leader).await?;
            self.stage.cluster.answers(leader).await?;
            let (at, run) = (seconds(began.elapsed()), *begun.borrow());
            println!("kill {number} of {kills} after {at}: node {leader}, run {run}");
        }
        Ok(())
    }

    /// Lets mbsync end its work, and compares.
    async fn conclude(&self, runs: &Runs, sides: &Sides, kills: u32) -> anyhow::Result<Ending> {
        self.stage.cluster.settle().await?;
        let doors = self.stage.scene.doors();
        let mut quiet = 0;
        let mut last = None;
        for number in 0..LAST_RUNS_MAX {
            let door = doors[number as usize % doors.len()];
            let output = self.once(door).await?;
            ensure!(output.status.success(), "a last run: {}", told(&output));
            let found = (sides.near()?, sides.far(door).await?);
            quiet = if last.as_ref() == Some(&found) {
                quiet + 1
            } else {
                0
            };
            last = Some(found);
            if quiet > 1 {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        let (near, far) = last.context("mbsync ran")?;
        let mut wrong = differences(&near, &far);
        wrong.extend(sides.judge(&near, &far));
        let mut found = self.stage.served().await?;
        found.extend(self.stage.compare().await?);
        wrong.extend(found.iter().map(ToString::to_string));
        let stubborn = self.stage.cluster.stop().await?;
        ensure!(
            stubborn.is_empty(),
            "nodes {stubborn:?} did not stop when asked to"
        );
        let (added, deleted, marked) = sides.counts();
        println!(
            "messages     {added} added, {deleted} deleted, {marked} marked; {} left",
            near.len()
        );
        println!(
            "mbsync       {} runs ended well, {} failed with their node, {} through a node that \
             lived",
            runs.good, runs.bad, runs.bad_alive
        );
        let bad_alive_max = (kills / KILLS_PER_BAD_ALIVE).max(1);
        if runs.bad_alive > bad_alive_max {
            wrong.push(format!(
                "{} runs failed through a node that lived, more than {bad_alive_max}",
                runs.bad_alive
            ));
        }
        for what in &wrong {
            println!("WRONG        {what}");
        }
        let enough = runs.good >= kills && deleted > 0 && marked > 0;
        Ok(match (wrong.is_empty(), enough) {
            (false, _) => Ending::Dirty,
            (true, false) => Ending::Void,
            (true, true) => Ending::Clean,
        })
    }
}

fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    format!("{}; {}", output.status, text.trim())
}

async fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    use tokio::io::AsyncWriteExt;
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).await?;
    file.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(file.flush().await?)
}

fn config_of(dir: &Path, door: Door, user: &str) -> String {
    let (host, port) = (door.imap.ip(), door.imap.port());
    let dir = dir.display();
    let names = MAILBOXES.join(" ");
    format!(
        "IMAPAccount far\nHost {host}\nPort {port}\nUser {user}@{DOMAIN}\nPass {PASSWORD}\n\
         SSLType None\nAuthMechs LOGIN\nTimeout 60\n\n\
         IMAPStore far\nAccount far\n\n\
         MaildirStore near\nPath {dir}/maildir/\nInbox {dir}/maildir/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns {names}\nCreate Near\nExpunge Both\n\
         Sync All\nSyncState *\n"
    )
}
