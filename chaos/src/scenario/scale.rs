//! Many accounts with much mail: `rookery-chaos scale`. Nothing is broken on purpose but one node,
//! which is killed at the end to see how soon it serves again; the numbers are no verdict.
//!
//! The logs have the sizes that a cluster has by default, unlike in the other scenarios.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::ensure;
use rand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::figures::{deliver_to, mib};
use super::stage::{Logs, Setting, Stage, seconds};
use crate::cluster::{DOMAIN, PASSWORD};
use crate::history::MAILBOXES;
use crate::load::Scene;
use crate::mail::imap::Imap;
use crate::mail::lmtp::Lmtp;
use crate::mail::message::{Serial, message_of_size};
use crate::procfs;
use crate::report::Ending;
use crate::seed;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// Accounts that get mail.
    pub accounts: u32,
    /// Messages for them all.
    pub messages: u64,
    /// Messages for one more mailbox, which is selected afterwards.
    pub selected: u64,
    /// Connections that deliver.
    pub connections: u64,
}

/// Bytes of a message, evenly spread.
const SIZES: std::ops::Range<usize> = 2 << 10..8 << 10;

/// How often a message is sent again that was not taken.
const TRIES: u32 = 60;

/// How long it waits before.
const TRY_PAUSE: Duration = Duration::from_secs(2);

/// How often the large mailbox is selected.
const SELECTS: usize = 21;

/// Messages between two lines that say how far it is.
const TELL_EVERY: u64 = 100_000;

/// Loads, looks, kills a node and looks again.
///
/// # Errors
///
/// When the cluster does not do what it should.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let setting = Setting {
        logs: Logs::Usual,
        ..options.setting.clone()
    };
    let scale = Scale {
        stage: Stage::set(&setting).await?,
        options: options.clone(),
    };
    scale.make_accounts().await?;
    scale.load().await?;
    scale.stage.cluster.settle().await?;
    scale.look("loaded").await?;
    scale.select().await?;
    scale.restart().await?;
    scale.look("restarted").await?;
    let bad = scale.stage.cluster.verify().await?;
    ensure!(bad.is_empty(), "{}", bad.join("; "));
    scale.stage.cluster.stop().await?;
    Ok(Ending::Clean)
}

struct Scale {
    stage: Stage,
    options: Options,
}

impl Scale {
    async fn make_accounts(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let names = (0..self.options.accounts).map(name).collect();
        self.stage.cluster.make_silent_accounts(names).await?;
        println!(
            "accounts     {} made in {}",
            self.options.accounts,
            seconds(began.elapsed())
        );
        Ok(())
    }

    /// Delivers everything, in an order that the seed decides.
    async fn load(&self) -> anyhow::Result<()> {
        let Options {
            messages,
            selected,
            connections,
            ..
        } = self.options;
        let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut sending = JoinSet::new();
        let doors = self.stage.scene.doors();
        for connection in 0..connections {
            let scene = Arc::clone(&self.stage.scene);
            let next = Arc::clone(&next);
            let door = doors[usize::try_from(connection)? % doors.len()];
            let (accounts, all) = (self.options.accounts, messages + selected);
            sending.spawn(async move {
                let mut lmtp = Lmtp::connect(door.lmtp).await?;
                let mut bytes = 0;
                loop {
                    let serial = next.fetch_add(1, Relaxed);
                    if serial >= all {
                        lmtp.quit().await;
                        return anyhow::Ok(bytes);
                    }
                    let mut rng = seed::generator(scene.seed, "scale", serial);
                    let message =
                        message_of_size(scene.seed, Serial(serial), rng.random_range(SIZES));
                    let to = match rng.random_range(0..all) < selected {
                        true => format!("{}@{DOMAIN}", scene.accounts[0].name),
                        false => format!("{}@{DOMAIN}", name(rng.random_range(0..accounts))),
                    };
                    bytes += message.len() as u64;
                    insist(&mut lmtp, &to, &message).await?;
                    if serial % TELL_EVERY == TELL_EVERY - 1 {
                        println!(
                            "             {} after {}",
                            serial + 1,
                            seconds(began.elapsed())
                        );
                    }
                }
            });
        }
        let mut bytes = 0;
        while let Some(sent) = sending.join_next().await {
            bytes += sent??;
        }
        let took = began.elapsed();
        println!(
            "load         {} messages, {} MiB, in {}: {:.0} a second",
            messages + selected,
            mib(bytes),
            seconds(took),
            (messages + selected) as f64 / took.as_secs_f64()
        );
        Ok(())
    }

    /// Memory and files of each node.
    async fn look(&self, when: &str) -> anyhow::Result<()> {
        for node in self.stage.cluster.nodes() {
            let pid = self.stage.cluster.pid(node.id).await?;
            println!(
                "{when:<12} node {}: {} MiB resident, {} at the peak, {} files, {} of them open",
                node.id,
                mib(procfs::resident(pid)?),
                mib(procfs::peak(pid)?),
                files(&node.data_dir)?,
                procfs::open_files(pid)?,
            );
        }
        Ok(())
    }

    /// Selects the large mailbox on the node of its leader.
    async fn select(&self) -> anyhow::Result<()> {
        let scene: &Scene = &self.stage.scene;
        let account = &scene.accounts[0];
        let door = self.stage.leaders_door(account).await?;
        let mut imap = Imap::connect(door.imap, &account.name, PASSWORD).await?;
        let mut took = Vec::with_capacity(SELECTS);
        let mut there = 0;
        for _ in 0..SELECTS {
            let began = Instant::now();
            there = imap.select(MAILBOXES[0]).await?.uid_next - 1;
            took.push(began.elapsed());
        }
        imap.logout().await;
        let first = took[0];
        took.sort_unstable();
        println!(
            "select       {there} messages: {first:.2?} the first time, {:.2?} in the median",
            took[SELECTS / 2]
        );
        Ok(())
    }

    /// Kills a node and starts it; when it answers, and when all its replicas serve.
    async fn restart(&self) -> anyhow::Result<()> {
        const NODE: u64 = 2;
        let cluster = &self.stage.cluster;
        cluster.kill(NODE, Vec::new()).await?;
        let began = Instant::now();
        cluster.start(NODE).await?;
        cluster.answers(NODE).await?;
        let answers = began.elapsed();
        cluster.settle().await?;
        let serves: Duration = began.elapsed();
        println!(
            "restart      answers after {}, all its replicas are level after {}",
            seconds(answers),
            seconds(serves)
        );
        Ok(())
    }
}

/// Delivers one message, and again as a mail server does when it is told to come back: this takes
/// long, and something else may have the machine for a while.
async fn insist(lmtp: &mut Lmtp, to: &str, message: &[u8]) -> anyhow::Result<()> {
    let mut delivered = deliver_to(lmtp, to.to_owned(), message).await;
    for _ in 0..TRIES {
        if delivered.is_ok() {
            break;
        }
        sleep(TRY_PAUSE).await;
        delivered = deliver_to(lmtp, to.to_owned(), message).await;
    }
    delivered
}

fn name(number: u32) -> String {
    format!("user{number}")
}

/// Files in a folder and all below it.
fn files(folder: &Path) -> anyhow::Result<u64> {
    let mut found = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        found += match entry.file_type()?.is_dir() {
            true => files(&entry.path())?,
            false => 1,
        };
    }
    Ok(found)
}
