//! What mail costs, in numbers: `rookery-chaos figures`. Nothing is broken on purpose, and no
//! number is a verdict; the time of an fdatasync stands beside them, since most follow from it.
//!
//! ```text
//!   throughput deliveries a second, and what each costs of the processors
//!   memory     what one large message, and many at once, add to the peak of a node
//!   life       bytes that a node gives to its disk for a byte of mail, half of which is deleted
//!   away       bytes that a node fetches for a byte that it missed
//!   search     how long SEARCH takes in a large mailbox, with the index and by reading
//!   catch-up   how fast an empty node gets everything, beside what one gRPC stream carries; and
//!              how long deliveries wait meanwhile
//! ```

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::pace::Pace;
use super::stage::{Logs, Setting, Stage, seconds};
use super::{searching, stream};
use crate::cluster::PASSWORD;
use crate::history::{Flags, MAILBOXES, Mode, Place, Receipt};
use crate::limits::SETTLE_WAIT;
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
    /// How many messages live and die.
    pub messages: u64,
    /// Bytes of a message, in the mean: half as many to one and a half times as many.
    pub mean_bytes: usize,
    /// Connections that deliver.
    pub connections: u64,
    /// What is measured; everything if it is empty.
    pub only: Vec<Figure>,
}

impl Options {
    fn wants(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Figure {
    /// Deliveries a second.
    Throughput,
    /// What large messages add to the peak of a node.
    Memory,
    /// Bytes written for a byte of mail.
    Life,
    /// Bytes fetched for a byte that was missed.
    Away,
    /// How fast an empty node gets everything, and what that does to mail.
    CatchUp,
    /// How long SEARCH takes.
    Search,
}

/// What throughput is measured with: bytes of a message, connections, messages.
const LOADS: [(usize, u64, u64); 3] = [
    (4 << 10, 64, 10_000),
    (4 << 10, 256, 10_000),
    (64 << 10, 64, 3_000),
];

/// How often each of them is measured.
const RUNS: usize = 3;

/// Bytes of a large message: a little less than may be delivered.
const LARGE_BYTES: usize = 50_000_000;

/// Large messages that are delivered at once.
const LARGE_AT_ONCE: u64 = 20;

/// Between deliveries some messages are deleted, in so many rounds.
const ROUNDS: u64 = 10;

/// How often an fdatasync is timed.
const SYNCS: usize = 200;

/// The nodes rest when their disk has written less than this in [`REST_EVERY`], bytes.
const REST_BYTES: u64 = 1 << 20;

/// For how long deliveries are timed while nothing else goes on.
const USUAL_WAIT: Duration = Duration::from_secs(10);

/// Serials of the messages of one [`Pace`], more than there will be.
const PACED_MAX: u64 = 1 << 20;

/// Between two looks whether nodes rest.
const REST_EVERY: Duration = Duration::from_secs(4);

/// Measures, compares the replicas and their bodies, and prints.
///
/// # Errors
///
/// When the cluster does not do what it should, or the system tells no numbers of a process.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let setting = |folder: &str| Setting {
        dir: options.setting.dir.join(folder),
        ..options.setting.clone()
    };
    let usual = |folder: &str| Setting {
        logs: Logs::Usual,
        ..setting(folder)
    };
    if options.wants(Figure::Throughput) {
        let figures = Figures::of(options, &usual("throughput")).await?;
        figures.throughput().await?;
        figures.end().await?;
    }
    let others = [Figure::Memory, Figure::Life, Figure::Away, Figure::CatchUp];
    if others.iter().any(|figure| options.wants(*figure)) {
        let setting = Setting {
            spares: 2,
            ..setting("others")
        };
        let figures = Figures::of(options, &setting).await?;
        figures.others().await?;
        figures.end().await?;
    }
    if options.wants(Figure::Search) {
        let figures = Figures::of(options, &usual("search")).await?;
        searching::measure(&figures.stage).await?;
        figures.end().await?;
    }
    Ok(Ending::Clean)
}

struct Figures {
    options: Options,
    stage: Stage,
    serials: AtomicU64,
}

impl Figures {
    /// Makes a cluster to measure, and tells how fast its disk is.
    async fn of(options: &Options, setting: &Setting) -> anyhow::Result<Self> {
        let figures = Self {
            options: options.clone(),
            serials: AtomicU64::new(0),
            stage: Stage::set(setting).await?,
        };
        let sync = sync_time(&setting.dir)?;
        println!("fdatasync    {sync:?}, the median of 4 KiB");
        Ok(figures)
    }

    /// All figures that are wanted but throughput.
    async fn others(&self) -> anyhow::Result<()> {
        if self.options.wants(Figure::Memory) {
            self.memory(1).await?;
            self.memory(LARGE_AT_ONCE).await?;
        }
        if self.options.wants(Figure::Life) {
            self.life().await?;
        }
        if self.options.wants(Figure::Away) {
            self.away().await?;
        }
        if self.options.wants(Figure::CatchUp) {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Compares the replicas and their bodies, and stops the cluster.
    async fn end(&self) -> anyhow::Result<()> {
        let cluster = &self.stage.cluster;
        let mut bad = cluster.verify().await?;
        bad.extend(cluster.verify_deep().await?);
        ensure!(bad.is_empty(), "{}", bad.join("; "));
        cluster.stop().await?;
        Ok(())
    }

    fn nodes(&self) -> Vec<u64> {
        let nodes = self.stage.cluster.nodes();
        nodes.iter().map(|node| node.id).collect()
    }

    /// How many deliveries a second the cluster takes.
    async fn throughput(&self) -> anyhow::Result<()> {
        for (bytes, connections, messages) in LOADS {
            self.rest().await?;
            let mut runs = Vec::with_capacity(RUNS);
            for _ in 0..RUNS {
                let (before, began) = (self.cpu().await?, Instant::now());
                self.deliver_many(&Batch {
                    messages,
                    connections,
                    sizes: bytes..bytes + 1,
                })
                .await?;
                let each = (self.cpu().await? - before).div_f64(messages as f64);
                runs.push((messages as f64 / began.elapsed().as_secs_f64(), each));
            }
            runs.sort_by(|one, other| one.0.total_cmp(&other.0));
            let (rate, each) = runs[RUNS / 2];
            println!(
                "throughput   {rate:.0} deliveries a second of {bytes} bytes over {connections} \
                 connections, the median of {:.0} to {:.0}; {each:.2?} of a processor for each, \
                 all nodes together",
                runs[0].0,
                runs[RUNS - 1].0,
            );
        }
        Ok(())
    }

    /// Time that all nodes have had of the processors.
    async fn cpu(&self) -> anyhow::Result<Duration> {
        let mut all = Duration::ZERO;
        for node in self.nodes() {
            all += procfs::cpu(self.stage.cluster.pid(node).await?)?;
        }
        Ok(all)
    }

    /// What so many large messages at once add to the peak of each node.
    async fn memory(&self, at_once: u64) -> anyhow::Result<()> {
        let cluster = &self.stage.cluster;
        cluster.settle().await?;
        let mut before = Vec::new();
        for node in self.nodes() {
            before.push((node, procfs::reset_peak(cluster.pid(node).await?)?));
        }
        let began = Instant::now();
        let mut sending = JoinSet::new();
        for number in 0..at_once {
            let scene = Arc::clone(&self.stage.scene);
            let serial = self.serial();
            sending.spawn(async move {
                let message = message_of_size(scene.seed, serial, LARGE_BYTES);
                let account = u32::try_from(number)? % u32::try_from(scene.accounts.len())?;
                let doors = scene.doors();
                let door = doors[usize::try_from(number)? % doors.len()];
                let mut lmtp = Lmtp::connect(door.lmtp).await?;
                deliver(&mut lmtp, &scene, account, &message).await
            });
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        let took = began.elapsed();
        cluster.settle().await?;
        let mut grown = Vec::new();
        for (node, rested) in before {
            let peak = procfs::peak(cluster.pid(node).await?)?;
            grown.push(mib(peak.saturating_sub(rested)));
        }
        println!(
            "memory       +{} MiB at the peak of the nodes for {at_once} messages of {} MiB at \
             once, in {}",
            grown.join(", "),
            mib(LARGE_BYTES as u64),
            seconds(took)
        );
        Ok(())
    }

    /// Mail comes, and half of it goes, at random and for good.
    async fn life(&self) -> anyhow::Result<()> {
        self.rest().await?;
        let (before, logged) = (self.written()?, self.logged().await?);
        let began = Instant::now();
        let (mut bytes, mut sending) = (0, Duration::ZERO);
        let per_round = self.options.messages / ROUNDS;
        for round in 0..ROUNDS {
            let started = Instant::now();
            bytes += self.deliver_many(&self.batch(per_round)).await?;
            sending += started.elapsed();
            self.delete_some(round, per_round / 2).await?;
        }
        let took = began.elapsed();
        self.rest().await?;
        let written = self.written()? - before;
        let logged = self.logged().await?.since(&logged);
        let ratio = |all: u64| all as f64 / self.nodes().len() as f64 / bytes as f64;
        println!(
            "life         {:.2} bytes written by a node for a byte of mail: {:.2} new in the log, \
             {:.2} copied there, {:.2} of zeros, {:.2} of index and file system; {} messages of {} \
             bytes in the mean, half of them deleted, {:.0} a second, {} in all",
            ratio(written),
            ratio(logged.new),
            ratio(logged.copied),
            ratio(logged.zeros),
            ratio(written.saturating_sub(logged.new + logged.copied + logged.zeros)),
            per_round * ROUNDS,
            bytes / (per_round * ROUNDS),
            (per_round * ROUNDS) as f64 / sending.as_secs_f64(),
            seconds(took)
        );
        Ok(())
    }

    /// A node misses mail of which the others hold nothing in their logs any more.
    async fn away(&self) -> anyhow::Result<()> {
        const NODE: u64 = 2;
        let cluster = &self.stage.cluster;
        self.stage.scene.set_open(NODE, false);
        cluster.kill(NODE, Vec::new()).await?;
        let missed = self.batch(self.options.messages / 2);
        let bytes = self.deliver_many(&missed).await?;
        sleep(crate::limits::PURGE_WAIT).await;
        let began = Instant::now();
        cluster.start(NODE).await?;
        cluster.answers(NODE).await?;
        self.stage.scene.set_open(NODE, true);
        cluster.settle().await?;
        let took = began.elapsed();
        let fetched = self.fetched(NODE).await?;
        println!(
            "away         {:.3} bytes fetched for a byte that was missed, {} MiB in {}",
            fetched as f64 / bytes as f64,
            mib(fetched),
            seconds(took)
        );
        Ok(())
    }

    /// Nodes take the place of such that lost everything: one while nobody sends mail, one while
    /// somebody does.
    async fn catch_up(&self) -> anyhow::Result<()> {
        const LOST: u64 = 3;
        let cluster = &self.stage.cluster;
        let serving = self.nodes();
        let spares = cluster.planned().iter().map(|node| node.id);
        let spares: Vec<u64> = spares.filter(|node| !serving.contains(node)).collect();
        let [first, second] = spares[..] else {
            anyhow::bail!("there are two spares");
        };
        if !self.options.wants(Figure::Life) {
            self.deliver_many(&self.batch(self.options.messages))
                .await?;
        }
        self.lose(LOST).await?;
        let streamed = stream::bytes_per_second(&cluster.tls(1)?, 1).await?;
        let (bytes, took) = self.bring(LOST, first).await?;
        println!(
            "catch-up     {} MiB in {}, {:.0} MB a second; one gRPC stream with TLS carries {:.0}",
            mib(bytes),
            seconds(took),
            bytes as f64 / took.as_secs_f64() / 1e6,
            streamed / 1e6,
        );
        self.lose(first).await?;
        let pace = Pace::begin(&self.stage.scene, self.serials(PACED_MAX));
        sleep(USUAL_WAIT).await;
        let usual = pace.end().await?;
        let pace = Pace::begin(&self.stage.scene, self.serials(PACED_MAX));
        let (bytes, took) = self.bring(first, second).await?;
        let meanwhile = pace.end().await?;
        println!(
            "catch-up     {} MiB in {} while mail comes; the slowest of 100 deliveries took \
             {usual:.1?} before and {meanwhile:.1?} meanwhile",
            mib(bytes),
            seconds(took),
        );
        Ok(())
    }

    /// A node dies and its disk with it.
    async fn lose(&self, node: u64) -> anyhow::Result<()> {
        let cluster = &self.stage.cluster;
        self.stage.scene.set_open(node, false);
        cluster.kill(node, Vec::new()).await?;
        cluster.wipe(node).await
    }

    /// An empty node takes the place of another; answers the bytes that it took in, and the time.
    async fn bring(&self, lost: u64, spare: u64) -> anyhow::Result<(u64, Duration)> {
        let cluster = &self.stage.cluster;
        cluster.start_spare(spare).await?;
        let began = Instant::now();
        cluster.replace(lost, spare).await?;
        let took = began.elapsed();
        cluster.settle().await?;
        self.stage.scene.set_open(spare, true);
        Ok((self.fetched(spare).await?, took))
    }

    /// The first of so many serials that nobody else gets.
    fn serials(&self, count: u64) -> u64 {
        self.serials.fetch_add(count, Relaxed)
    }

    fn serial(&self) -> Serial {
        Serial(self.serials(1))
    }

    /// So many messages as the options have them.
    fn batch(&self, messages: u64) -> Batch {
        let mean = self.options.mean_bytes;
        Batch {
            messages,
            connections: self.options.connections,
            sizes: mean / 2..mean + mean / 2,
        }
    }

    /// Delivers messages through all nodes that are there; answers their bytes.
    async fn deliver_many(&self, batch: &Batch) -> anyhow::Result<u64> {
        let mut sending = JoinSet::new();
        let Batch {
            messages,
            connections,
            ref sizes,
        } = *batch;
        let doors = self.stage.scene.doors();
        for connection in 0..connections {
            let share = messages / connections + u64::from(connection < messages % connections);
            let serials: Vec<Serial> = (0..share).map(|_| self.serial()).collect();
            let scene = Arc::clone(&self.stage.scene);
            let door = doors[usize::try_from(connection)? % doors.len()];
            let sizes = sizes.clone();
            sending.spawn(async move {
                let mut lmtp = Lmtp::connect(door.lmtp).await?;
                let mut bytes = 0;
                for serial in serials {
                    let mut rng = seed::generator(scene.seed, "figures", serial.0);
                    let size = rng.random_range(sizes.clone());
                    let account = rng.random_range(0..u32::try_from(scene.accounts.len())?);
                    let message = message_of_size(scene.seed, serial, size);
                    bytes += message.len() as u64;
                    deliver(&mut lmtp, &scene, account, &message).await?;
                }
                lmtp.quit().await;
                anyhow::Ok(bytes)
            });
        }
        let mut bytes = 0;
        while let Some(sent) = sending.join_next().await {
            bytes += sent??;
        }
        Ok(bytes)
    }

    /// Deletes messages chosen at random, over all accounts, for good.
    async fn delete_some(&self, round: u64, messages: u64) -> anyhow::Result<()> {
        let scene = &self.stage.scene;
        let each = usize::try_from(messages / scene.accounts.len() as u64)?;
        let mut rng = seed::generator(scene.seed, "figures: deletes", round);
        let door = scene.doors()[0];
        for account in &scene.accounts {
            let mut imap = Imap::connect(door.imap, &account.name, PASSWORD).await?;
            imap.select(MAILBOXES[0]).await?;
            let there: Vec<u32> = imap.uids().await?;
            let mut chosen: Vec<u32> = there.choose_multiple(&mut rng, each).copied().collect();
            chosen.sort_unstable();
            for some in chosen.chunks(500) {
                imap.store(some, Mode::Add, Flags::DELETED).await?;
                imap.expunge(some).await?;
            }
            imap.logout().await;
            self.stage.cluster.purge_deleted(&account.name).await?;
        }
        Ok(())
    }

    /// Waits until nothing is written any more.
    async fn rest(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_WAIT;
        let mut before = self.written()?;
        loop {
            sleep(REST_EVERY).await;
            let now = self.written()?;
            if now - before < REST_BYTES {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the nodes do not come to rest");
            before = now;
        }
    }

    /// Bytes that the disk of all nodes has written.
    fn written(&self) -> anyhow::Result<u64> {
        procfs::disk_written(&self.options.setting.dir)
    }

    /// What all nodes have written to their logs since they started.
    async fn logged(&self) -> anyhow::Result<Logged> {
        let mut all = Logged::default();
        for node in self.nodes() {
            let storage = self.stage.cluster.storage(node).await?;
            all.new += storage.written_bytes - storage.copied_bytes;
            all.copied += storage.copied_bytes;
            all.zeros += storage.filled_bytes;
        }
        Ok(all)
    }

    /// Bytes of snapshots, and of bodies for them, that the node has taken since it started.
    async fn fetched(&self, node: u64) -> anyhow::Result<u64> {
        let metrics = self.stage.cluster.metrics(node).await?;
        let mut bytes = 0.0;
        for line in metrics.lines() {
            if line.starts_with("rookery_snapshot_taken_bytes_total") {
                let value = line.rsplit(' ').next().context("a metric has a value")?;
                bytes += value.parse::<f64>()?;
            }
        }
        // A counter of bytes.
        Ok(bytes as u64)
    }
}

/// Mail that is delivered at once.
struct Batch {
    messages: u64,
    connections: u64,
    /// Bytes of a message, evenly spread.
    sizes: Range<usize>,
}

/// Bytes written to logs.
#[derive(Default)]
struct Logged {
    new: u64,
    copied: u64,
    zeros: u64,
}

impl Logged {
    fn since(&self, before: &Self) -> Self {
        Self {
            new: self.new - before.new,
            copied: self.copied - before.copied,
            zeros: self.zeros - before.zeros,
        }
    }
}

/// Delivers one message, which must be taken.
pub(super) async fn deliver(
    lmtp: &mut Lmtp,
    scene: &Scene,
    account: u32,
    message: &[u8],
) -> anyhow::Result<()> {
    let place = Place {
        account,
        mailbox: 0,
    };
    deliver_to(lmtp, scene.address(place), message).await
}

/// The same to an address.
pub(super) async fn deliver_to(
    lmtp: &mut Lmtp,
    address: String,
    message: &[u8],
) -> anyhow::Result<()> {
    let to = [address];
    let sent = lmtp.deliver("figures@sender.example", &to, message).await;
    let receipts = sent.map_err(|trouble| anyhow::anyhow!("{trouble}"))?;
    ensure!(receipts == [Receipt::Stored], "{receipts:?}");
    Ok(())
}

/// How long an fdatasync takes in that folder, the median.
fn sync_time(dir: &Path) -> anyhow::Result<Duration> {
    use std::io::Write;
    let path = dir.join("sync");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096])?;
        let began = std::time::Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// Bytes in MiB.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
