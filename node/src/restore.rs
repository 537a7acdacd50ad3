//! A new cluster of one node, made of a backup: `rookeryd restore`.
//!
//! ```text
//!   group-0.backup --rows--> recast: new cluster id, this node alone, new replica ids
//!   group-N.backup --rows, bodies--> a replica of each group in the log of this node
//!                                    NODE: written last, from then on the directory is in use
//! ```
//!
//! Mail comes back as it was: mailboxes, UIDs, flags, modification sequences. What was written to
//! the old cluster after the backup is not there. Further nodes are added as to any other cluster,
//! and get their replicas from this one.
//!
//! It works on an empty data directory, without network. If it fails, that directory is of no use,
//! and nothing starts on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use directory::{EntryAt, Recast, Staged, View};
use mailbox::{AccountId, Query, QueryError};
use parking_lot::RwLock;
use proto::backup::Frames;
use proto::v1::backup_frame::Frame;
use proto::v1::{BackupBegin, BackupFrame};
use rows::Memory;
use rows::snapshot::Cursor;
use seglog::{ReplicaId, Step, Writer};

use crate::budget::Share;
use crate::config::Config;
use crate::identity::{self, Identity, Membership};
use crate::node;
use crate::raft::{LogStore, sole_member};
use crate::replica::directory::Directory;
use crate::replica::index::{Indexes, SledIndexes};
use crate::replica::partition::Partition;
use crate::replica::{
    Arrival, Chunks, GroupId, LogId, Machine, Opening, Referred, Replica, Snapshot,
};

/// Bytes of bodies that are put into the log at a time.
const BODIES_BYTES: usize = 4 << 20;

/// How long the thread that writes the log waits for work before it looks whether it shall end.
const WRITER_WAIT: Duration = Duration::from_millis(20);

/// What `rookeryd restore` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration of the node that the cluster begins with. Its number must be one that the
    /// cluster of the backup never had, its data directory empty.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/rookery/rookeryd.toml"
    )]
    pub config: PathBuf,
    /// The folder that `rookery backup` wrote.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
}

/// Makes the data directory of a node from a backup, and says what is in it.
///
/// # Errors
///
/// One line that says what is wrong with the backup or the data directory.
pub fn run(args: &Args) -> anyhow::Result<String> {
    let config = Config::load(&args.config)?;
    ensure!(
        args.from.join("backup.json").exists(),
        "{} is no whole backup: it has no backup.json",
        args.from.display()
    );
    let directory = config.node.data_dir.as_path();
    let lock = prepare(directory)?;
    let mut identity = Identity::new(config.node.id, rand::random());
    let mut options = seglog::Options::new(identity.log_id(directory)?);
    options.segment_bytes = config.storage.segment_bytes;
    let disk = Arc::new(seglog::disk::Directory::new(directory.join("log"))?);
    let (log, writer, _) = seglog::open(disk, options)?;
    let stop = AtomicBool::new(false);
    let cluster: [u8; 16] = rand::random();
    let restored = std::thread::scope(|scope| {
        scope.spawn(|| write_log(writer, &stop));
        let indexes = SledIndexes::open(directory, config.storage.index_cache_bytes);
        let restored = indexes.map_err(anyhow::Error::from).and_then(|indexes| {
            let restoring = Restoring {
                from: &args.from,
                log,
                indexes: Arc::new(indexes),
                recast: Recast {
                    cluster,
                    node: node::report(&config),
                },
            };
            restoring.run()
        });
        stop.store(true, Relaxed);
        restored
    })?;
    identity.cluster = Some(Membership {
        id: node::hex(&cluster),
        directory_replica: restored.directory_replica,
        peers: Vec::new(),
    });
    identity.write(directory)?;
    drop(lock);
    Ok(format!(
        "{} groups with {} accounts, {} rows and {} bodies are in {}\n\
         start node {} on it, then add further nodes\n",
        restored.groups,
        restored.accounts,
        restored.rows,
        restored.bodies,
        directory.display(),
        config.node.id,
    ))
}

/// Takes an empty data directory, and makes it if it is not there.
fn prepare(directory: &Path) -> anyhow::Result<File> {
    let at = || directory.display().to_string();
    node::make_private(directory)?;
    let used = fs::read_dir(directory)
        .with_context(at)?
        .filter_map(Result::ok)
        .any(|entry| entry.file_name() != "lost+found");
    ensure!(!used, "data directory {} is not empty", directory.display());
    Ok(identity::lock(directory)?)
}

/// Writes what is queued until told to stop. If it fails, who waits for it fails.
fn write_log(mut writer: Writer, stop: &AtomicBool) {
    loop {
        match writer.step() {
            Ok(Step::Idle) => {
                if stop.load(Relaxed) {
                    return;
                }
                let _queued = writer.wait(WRITER_WAIT);
            }
            Ok(_) => {}
            // Dropped, it tells all who wait.
            Err(_) => return,
        }
    }
}

/// What came back.
#[derive(Default)]
struct Restored {
    directory_replica: u64,
    groups: usize,
    accounts: usize,
    rows: u64,
    bodies: u64,
}

struct Restoring<'a> {
    from: &'a Path,
    log: seglog::Log,
    indexes: Arc<dyn Indexes>,
    recast: Recast,
}

impl Restoring<'_> {
    fn run(&self) -> anyhow::Result<Restored> {
        let mut restored = Restored::default();
        let (begin, backed_up) = self.directory_rows()?;
        let (_, replicas) = self.recast(&begin, backed_up.clone(), |_| false)?;
        let mut partitions = BTreeMap::new();
        for (group, replica) in replicas.iter().filter(|(group, _)| group.0 != 0) {
            let file = self.file(group.0);
            let opened = self
                .partition(group.0, replica.0, &mut restored)
                .with_context(|| file.display().to_string())?;
            partitions.insert(*group, opened);
        }
        let unknown = |account: &directory::Account| {
            let partition = partitions.get(&account.partition);
            partition.is_some_and(|partition| !has_account(partition, account.id.0))
        };
        let (rows, replicas) = self.recast(&begin, backed_up, unknown)?;
        let own = replicas.iter().find(|(group, _)| group.0 == 0);
        let (_, own) = own.context("the backup has no directory")?;
        let chunks = rows::snapshot::write(&rows, Cursor::default());
        let chunks: Vec<Bytes> = chunks.collect::<Result<_, _>>()?;
        let view = Arc::new(RwLock::new(View::default()));
        let replica = self.open(0, own.0, Arc::new(Directory::new(Arc::clone(&view))))?;
        let mut arrival = Arrival::begin(&replica, at(&begin), self.members(own.0, &begin))?;
        for chunk in &chunks {
            arrival.push(chunk)?;
        }
        self.install(&replica, arrival)?;
        restored.rows += rows.len() as u64;
        restored.groups = replicas.len();
        restored.accounts = view.read().account_count();
        restored.directory_replica = own.0;
        Ok(restored)
    }

    fn file(&self, group: u64) -> PathBuf {
        self.from.join(format!("group-{group}.backup"))
    }

    /// The frames of a group, behind what its file begins with.
    fn frames(
        &self,
        group: u64,
    ) -> anyhow::Result<(
        BackupBegin,
        impl Iterator<Item = io::Result<BackupFrame>> + use<>,
    )> {
        let mut frames = Frames::open(BufReader::new(File::open(self.file(group))?))?;
        match frames.next().transpose()?.and_then(|first| first.frame) {
            Some(Frame::Begin(begin)) if begin.group == group => Ok((begin, frames)),
            _ => bail!("it is not the backup of group {group}"),
        }
    }

    /// The rows of the directory as they were.
    fn directory_rows(&self) -> anyhow::Result<(BackupBegin, Memory)> {
        let read = || {
            let (begin, frames) = self.frames(0)?;
            let (mut rows, mut reader) = (Memory::new(), rows::snapshot::read());
            for frame in frames {
                if let Some(Frame::Chunk(chunk)) = frame?.frame {
                    rows.load(reader.push(&chunk)?);
                }
            }
            reader.finish()?;
            directory::check(&rows)?;
            anyhow::Ok((begin, rows))
        };
        read().with_context(|| self.file(0).display().to_string())
    }

    /// The rows of the new cluster's directory, and its replicas.
    fn recast(
        &self,
        begin: &BackupBegin,
        mut rows: Memory,
        missing: impl Fn(&directory::Account) -> bool,
    ) -> anyhow::Result<(Memory, Vec<(directory::GroupId, directory::ReplicaId)>)> {
        let entry = EntryAt {
            index: begin.index,
            term: begin.term,
        };
        let mut staged = Staged::new(&rows);
        let recasted = directory::recast(&mut staged, entry, &self.recast, missing)?;
        let writes = staged.into_writes()?;
        let replicas =
            recasted.map_err(|why| anyhow::anyhow!("node {}: {why}", self.recast.node.node))?;
        rows.commit(writes);
        directory::check(&rows)?;
        Ok((rows, replicas))
    }

    /// Brings a partition back.
    fn partition(
        &self,
        group: u64,
        replica: u64,
        restored: &mut Restored,
    ) -> anyhow::Result<Arc<Replica>> {
        let (begin, frames) = self.frames(group)?;
        let opened = self.open(group, replica, Arc::new(Partition))?;
        let mut arrival = Arrival::begin(&opened, at(&begin), self.members(replica, &begin))?;
        let (mut held, mut held_bytes, mut bodies) = (Vec::new(), 0, 0);
        for frame in frames {
            match frame?.frame {
                Some(Frame::Chunk(chunk)) => arrival.push(&chunk)?,
                Some(Frame::Body(body)) => {
                    let referred = Referred {
                        id: LogId {
                            term: body.term,
                            index: body.index,
                        },
                        length: body.body.len() as u64,
                        hash: None,
                        home: None,
                    };
                    held_bytes += body.body.len();
                    bodies += 1;
                    held.push((referred, body.body));
                    if held_bytes >= BODIES_BYTES {
                        held_bytes = 0;
                        arrival.put(std::mem::take(&mut held))?;
                    }
                }
                Some(Frame::End(end)) => ensure!(end.bodies == bodies, "bodies are missing"),
                _ => bail!("a frame is out of place"),
            }
        }
        arrival.put(held)?;
        ensure!(arrival.is_whole(), "rows are missing");
        if let Some(lacking) = arrival.wanted()?.first() {
            bail!("the body of entry {} is missing", lacking.id);
        }
        restored.rows += arrival.cursor().rows;
        restored.bodies += bodies;
        self.install(&opened, arrival)?;
        Ok(opened)
    }

    fn members(&self, replica: u64, begin: &BackupBegin) -> Option<crate::replica::Membership> {
        Some(sole_member(replica, at(begin)))
    }

    /// A replica of which nothing is there.
    fn open(
        &self,
        group: u64,
        replica: u64,
        machine: Arc<dyn Machine>,
    ) -> anyhow::Result<Arc<Replica>> {
        let (log, indexes) = (self.log.clone(), Arc::clone(&self.indexes));
        let opening = Opening::new(GroupId(group), ReplicaId(replica), log, indexes, machine);
        Ok(crate::replica::open(&opening, None)?)
    }

    /// Makes the rows that came the replica's, and lets Raft's log begin behind them.
    fn install(&self, replica: &Arc<Replica>, arrival: Arrival) -> anyhow::Result<()> {
        let at = arrival.at();
        // No entry will be held by it.
        let recent = Share::new("recent", 0);
        let mut store = LogStore::open(self.log.clone(), replica.id(), None, &[], recent)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(store.begin_behind(at))?;
        replica.install(Snapshot {
            last: Some(at),
            membership: arrival.membership().cloned(),
            chunks: Chunks::from(arrival),
        })?;
        Ok(())
    }
}

fn at(begin: &BackupBegin) -> LogId {
    LogId {
        term: begin.term,
        index: begin.index,
    }
}

/// Whether a partition knows an account.
fn has_account(partition: &Replica, account: u64) -> bool {
    let query = Query::Folders {
        account: AccountId(account),
    };
    let answer = partition.read(|rows| mailbox::query(rows, &query));
    !matches!(answer, Err(QueryError::NoAccount))
}
