//! openraft's own conformance suite, on a log on a disk and a replica with an index in sled.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use node::budget::Share;
use node::raft::LogStore;
use node::raft::machine::Machine;
use node::raft::types::{Entry, RaftLogId, StoredMembership, Types, log_id, raft_log_id};
use node::replica::index::SledIndexes;
use node::replica::{BodyPlace, Entries, LogId, Logged, Opening, Snapshot, open};
use openraft::EntryPayload;
use openraft::StorageError;
use openraft::alias::CommittedLeaderIdOf;
use openraft::impls::EmptyNode;
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot as RaftSnapshot, SnapshotMeta};
use openraft::testing::log::{StoreBuilder, Suite};
use rows::Fault;
use tempfile::TempDir;

use crate::replica::rig::{GROUP, KeyValue, REPLICA, WriterThread, options};

#[tokio::test(flavor = "multi_thread")]
async fn openraft_is_satisfied() {
    Suite::test_all(Builder).await.expect("the suite passes");
}

struct Builder;

/// Keeps the log going for as long as a test of the suite runs.
struct Running {
    writing: Option<WriterThread>,
    _directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.writing.take().map(WriterThread::stop));
    }
}

impl StoreBuilder<Types, LogStore, Contiguous, Running> for Builder {
    async fn build(&self) -> Result<(Running, LogStore, Contiguous), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let disk = seglog::disk::Directory::new(directory.path().join("log")).unwrap();
        let (log, writer, _) = seglog::open(Arc::new(disk), options()).unwrap();
        let writing = Some(WriterThread::start(writer));
        let indexes = Arc::new(SledIndexes::open(directory.path(), 1 << 20).unwrap());
        let opening = Opening::new(GROUP, REPLICA, log.clone(), indexes, Arc::new(KeyValue));
        let replica = open(&opening, None).unwrap();
        replica.attach(Arc::new(Elsewhere));
        let recent = Share::new("recent", 1 << 20);
        let store = LogStore::open(log, REPLICA, None, &[], recent).unwrap();
        Ok((
            Running {
                writing,
                _directory: directory,
            },
            store,
            Contiguous(Machine::new(replica)),
        ))
    }
}

/// The suite applies entries that it never appends: as far as the replica can tell they are
/// durable.
struct Elsewhere;

impl Entries for Elsewhere {
    fn body(&self, _: u64, _: u64) -> Option<BodyPlace> {
        None
    }

    fn place(&self, _: u64, _: u64) -> Result<Option<Logged>, Fault> {
        Ok(None)
    }

    fn written_upto(&self) -> u64 {
        u64::MAX
    }

    fn lies_at(&self, _: u64, _: u64, _: seglog::Place) -> bool {
        false
    }

    fn moved(&self, _: u64, _: u64, _: seglog::Place, _: seglog::Place) {}

    fn count_bytes(&self, _: &mut BTreeMap<u64, u64>) {}

    fn record(&self, _: u64, _: u64) -> Option<seglog::RecordAt> {
        None
    }

    fn records_in(&self, _: u64, _: Range<u64>) -> Vec<seglog::RecordAt> {
        Vec::new()
    }

    fn take_damaged(&self) -> Vec<LogId> {
        Vec::new()
    }
}

/// The machine, and before an entry that does not follow the last one as many blank entries as are
/// missing. A replica refuses gaps, which Raft never makes; one test of the suite does.
struct Contiguous(Machine);

type Leader = CommittedLeaderIdOf<Types>;

impl RaftStateMachine<Types> for Contiguous {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = Machine;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, StoredMembership)> {
        self.0.applied_state().await
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        let mut last = self.0.applied_state().await?.0.as_ref().map(log_id);
        let mut filled = Vec::new();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let id = log_id(&entry.log_id);
            while let Some(LogId { term, index }) = last.filter(|last| last.index + 1 < id.index) {
                let id = LogId {
                    term,
                    index: index + 1,
                };
                let blank = Entry {
                    log_id: raft_log_id(id),
                    payload: EntryPayload::Blank,
                };
                filled.push(Ok((blank, None)));
                last = Some(id);
            }
            last = Some(id);
            filled.push(Ok((entry, responder)));
        }
        self.0.apply(stream::iter(filled)).await
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        self.0.get_snapshot_builder().await
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<Leader, u64, EmptyNode>,
        snapshot: Snapshot,
    ) -> io::Result<()> {
        self.0.install_snapshot(meta, snapshot).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<RaftSnapshot<Leader, u64, EmptyNode, Snapshot>>> {
        self.0.get_current_snapshot().await
    }
}
