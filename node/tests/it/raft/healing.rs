//! What is damaged is had again before Raft starts: entries by index and term, or a checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use node::budget::Share;
use node::raft::log_store::Needs;
use node::raft::types::{Body, Entry, Proposal, Vote, raft_log_id};
use node::raft::{Ailing, LogStore, convert, heal};
use node::replica::index::MemoryIndexes;
use node::replica::{
    Applying, Checkpointer, Due, Entries, Fetch, GroupId, LogId, Opening, Progress, Referred,
    Replica, Snapshot, open,
};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use seglog::sim::SimDisk;
use seglog::{Log, Recovered, Step, Writer};

use crate::replica::rig::{GROUP, KeyValue, REPLICA, WriterThread, options};

/// A node with one replica, and Raft's log of it.
struct Node {
    disk: SimDisk,
    log: Log,
    writer: Writer,
    store: LogStore,
    replica: Arc<Replica>,
    recovered: Recovered,
}

impl Node {
    fn new() -> Self {
        Self::on(SimDisk::new())
    }

    fn on(disk: SimDisk) -> Self {
        let (log, writer, recovered) = seglog::open(Arc::new(disk.clone()), options()).unwrap();
        let found = recovered.replicas.get(&REPLICA);
        let recent = Share::new("recent", 16 << 20);
        let store = LogStore::open(log.clone(), REPLICA, found, &recovered.damage, recent).unwrap();
        let indexes = Arc::new(MemoryIndexes::new());
        let opening = Opening {
            bell: Checkpointer::new().bell(),
            ..Opening::new(GROUP, REPLICA, log.clone(), indexes, Arc::new(KeyValue))
        };
        let replica = open(&opening, found).unwrap();
        replica.attach(Arc::new(store.clone()));
        Self {
            disk,
            log,
            writer,
            store,
            replica,
            recovered,
        }
    }

    fn reopen(self) -> Self {
        let disk = self.disk.clone();
        drop(self);
        Self::on(disk)
    }

    fn write(&mut self) {
        while self.writer.step().unwrap() != Step::Idle {}
    }

    /// Appends the entries `from..to` of term 1.
    fn append(&mut self, from: u64, to: u64) {
        let entries: Vec<Entry> = (from..to).map(entry).collect();
        let appended = self.store.append(entries, IOFlushed::noop());
        appended.now_or_never().unwrap().unwrap();
        self.write();
    }

    /// Applies them too.
    fn apply(&mut self, from: u64, to: u64) {
        for index in from..to {
            let EntryPayload::Normal(proposal) = entry(index).payload else {
                unreachable!()
            };
            let command = Applying::Command {
                time_ms: 1,
                command: &proposal.command,
                body_length: proposal.body.len(),
            };
            self.replica.apply(id(index), command).unwrap();
        }
    }

    fn checkpoint(&mut self) {
        while self.replica.step(Due::Now) != Progress::Idle {
            self.write();
        }
    }

    /// Flips a bit of an entry: of its payload, or of its header.
    fn harm(&self, index: u64, header: bool) {
        let place = self.store.place(index, 1).unwrap().unwrap().place;
        let offset = match header {
            true => place.record_offset() + 9,
            false => place.offset + 3,
        };
        let name = format!("{:016x}.seg", place.segment);
        assert!(self.disk.flip(&name, u64::from(offset), 2));
    }

    /// Fills the active segment, so that a newer block covers what was said in it.
    fn roll(&mut self) {
        let segment = self.log.active_segment();
        let other = seglog::ReplicaId(REPLICA.0 + 1);
        let last = self.recovered.replicas.get(&other);
        let mut index = last.and_then(|other| other.last).map_or(1, |last| last + 1);
        while self.log.active_segment() == segment {
            let payload = vec![Bytes::from(vec![7; 200_000])];
            let record = seglog::Record::entry(other, 1, index, payload);
            let done = Box::new(|_| ());
            self.log
                .append(vec![record], seglog::Sync::Required, done)
                .unwrap();
            self.write();
            index += 1;
        }
    }

    fn heal(&mut self, others: &Others) -> Result<(), Ailing> {
        let spare = seglog::open(Arc::new(SimDisk::new()), options()).unwrap();
        let writing = WriterThread::start(std::mem::replace(&mut self.writer, spare.1));
        let healed = heal(&self.replica, &self.store, others);
        self.writer = writing.stop();
        healed
    }

    /// The indexes that the log lists, each read whole.
    fn listed(&mut self) -> Vec<u64> {
        let entries = self.store.try_get_log_entries(..).now_or_never().unwrap();
        let entries = entries.unwrap().into_iter();
        entries
            .map(|found| {
                let index = found.log_id.index;
                let (own, wanted) = (convert::entry_to_log(&found), entry(index));
                assert_eq!(own.concat(), convert::entry_to_log(&wanted).concat());
                index
            })
            .collect()
    }
}

fn id(index: u64) -> LogId {
    LogId { term: 1, index }
}

fn entry(index: u64) -> Entry {
    let proposal = Proposal {
        time_ms: 1000 + index,
        command: Bytes::from(format!("put k{index} {index}")),
        body: Body::Held(Bytes::from(vec![index as u8; 300])),
    };
    Entry {
        log_id: raft_log_id(id(index)),
        payload: EntryPayload::Normal(proposal),
    }
}

/// What other replicas give.
#[derive(Default)]
struct Others {
    entries: bool,
    snapshot: Mutex<Option<Snapshot>>,
}

impl Fetch for Others {
    fn entries(&self, _: GroupId, wanted: &[LogId]) -> Vec<(LogId, Vec<Bytes>)> {
        let wanted = wanted.iter().filter(|_| self.entries);
        wanted
            .map(|id| (*id, convert::entry_to_log(&entry(id.index))))
            .collect()
    }

    fn bodies(&self, _: GroupId, _: Vec<Referred>) -> Vec<(Referred, Bytes)> {
        Vec::new()
    }

    fn checkpoint(&self, _: &Arc<Replica>, least: u64) -> Option<Snapshot> {
        let snapshot = self.snapshot.lock().clone();
        snapshot.filter(|snapshot| snapshot.last.is_some_and(|at| at.index >= least))
    }
}

static GIVE_ENTRIES: Others = Others {
    entries: true,
    snapshot: Mutex::new(None),
};

/// Others that have applied up to an index, and purged all before it.
fn with_checkpoint(upto: u64) -> Others {
    let mut leader = Node::new();
    leader.append(0, upto + 1);
    leader.apply(0, upto + 1);
    leader.checkpoint();
    let snapshot = leader.replica.snapshot().unwrap();
    let chunks: Result<Vec<Bytes>, _> = snapshot.chunks.iter().collect();
    Others {
        entries: false,
        snapshot: Mutex::new(Some(Snapshot {
            chunks: chunks.unwrap().into(),
            ..snapshot
        })),
    }
}

/// An entry that is not applied, and of which the header is left: the same payload comes again.
#[test]
fn an_entry_that_is_not_applied() {
    let mut node = Node::new();
    node.append(0, 8);
    node.apply(0, 3);
    node.checkpoint();
    node.harm(5, false);
    let mut node = node.reopen();
    assert_eq!(node.recovered.damage.len(), 1);
    assert_eq!(node.store.holes(Some(2)).last(), Some(5));
    // Until somebody gives it the group does not start.
    assert!(matches!(
        node.heal(&Others::default()),
        Err(Ailing::Waiting(_))
    ));
    assert_eq!(node.store.holes(Some(2)).last(), Some(5));
    node.heal(&GIVE_ENTRIES).unwrap();
    assert_eq!(node.store.holes(None).last(), None);
    assert_eq!(node.listed(), (0..8).collect::<Vec<_>>());
    let mut node = node.reopen();
    assert_eq!(node.recovered.damage, []);
    assert_eq!(node.listed(), (0..8).collect::<Vec<_>>());
}

/// The same when the others have purged it: a checkpoint that holds it is as good, and what is
/// above it stays.
#[test]
fn an_entry_that_others_have_purged() {
    let others = with_checkpoint(6);
    let mut node = Node::new();
    node.append(0, 9);
    node.apply(0, 3);
    node.checkpoint();
    node.harm(5, false);
    let mut node = node.reopen();
    node.heal(&others).unwrap();
    assert_eq!(node.replica.applied().last, Some(id(6)));
    assert_eq!(node.store.purged(), Some(id(6)));
    assert_eq!(node.listed(), [7, 8]);
    node.write();
    let mut node = node.reopen();
    assert_eq!(node.replica.applied().last, Some(id(6)));
    assert_eq!(node.listed(), [7, 8]);
    node.heal(&Others::default()).unwrap();
}

/// An entry of which nothing is left, in a segment that a newer block covers.
#[test]
fn an_entry_without_a_header() {
    let mut node = Node::new();
    node.append(0, 8);
    node.harm(5, true);
    node.roll();
    // The segment is read whole when its index is gone too.
    let name = format!("{:016x}.seg", 1);
    let end = node.disk.contents(&name).unwrap().len() as u64;
    assert!(node.disk.flip(&name, end - 5, 1));
    let mut node = node.reopen();
    let found = &node.recovered.replicas[&REPLICA];
    assert!(!found.doubted);
    assert_eq!(node.store.holes(None).unknown, [5]);
    assert!(
        node.heal(&GIVE_ENTRIES).is_err(),
        "nobody knows which it was"
    );
    node.heal(&with_checkpoint(7)).unwrap();
    assert_eq!(node.listed(), [0; 0]);
    assert_eq!(node.replica.applied().last, Some(id(7)));
    node.append(8, 10);
    let mut node = node.reopen();
    node.heal(&Others::default()).unwrap();
    assert_eq!(node.listed(), [8, 9]);
}

/// Where the checkpoint holds an entry, it is forgotten rather than mended.
#[test]
fn an_entry_that_a_checkpoint_holds() {
    let mut node = Node::new();
    node.append(0, 8);
    node.apply(0, 6);
    node.checkpoint();
    node.harm(0, false);
    let mut node = node.reopen();
    node.heal(&Others::default()).unwrap();
    assert_eq!(node.store.purged(), Some(id(5)));
    assert_eq!(node.listed(), [6, 7]);
}

/// A lost vote of a known term binds: the replica votes for nobody else up to there.
#[test]
fn a_lost_vote_is_bound() {
    let mut node = Node::new();
    let mut store = node.store.clone();
    let mut saving = Box::pin(async move { store.save_vote(&Vote::new(5, 71)).await });
    assert!(saving.as_mut().now_or_never().is_none());
    node.write();
    saving.now_or_never().unwrap().unwrap();
    node.append(0, 1);
    let name = format!("{:016x}.seg", 1);
    let vote = (0..2000_u64).find(|offset| {
        let bytes = node.disk.contents(&name).unwrap();
        bytes.get(*offset as usize..*offset as usize + 4) == Some(&[0x08, 5, 0x10, 71])
    });
    assert!(node.disk.flip(&name, vote.unwrap(), 1));
    let mut node = node.reopen();
    assert!(node.recovered.replicas[&REPLICA].vote_lost);
    let read = |store: &LogStore| store.clone().read_vote().now_or_never().unwrap().unwrap();
    assert_eq!(read(&node.store), None);
    let store = node.store.clone();
    let mut binding = Box::pin(async move { store.bind_lost_vote().await });
    assert!(binding.as_mut().now_or_never().is_none());
    node.write();
    binding.now_or_never().unwrap().unwrap();
    let bound = Some(Vote::new(6, REPLICA.0));
    assert_eq!(read(&node.store), bound);
    let node = node.reopen();
    assert!(!node.recovered.replicas[&REPLICA].vote_lost);
    assert_eq!(read(&node.store), bound);
}

/// A damaged entry met while a follower is served is not sent, and does not stop the group.
#[tokio::test]
async fn a_follower_hears_nothing_wrong() {
    let mut node = Node::new();
    node.append(0, 8);
    // What comes later says that this was durable.
    node.append(8, 9);
    node.harm(5, false);
    node.harm(6, true);
    // Nothing is held in memory by one that was opened.
    let mut node = node.reopen();
    let served = node.store.limited_get_log_entries(2, 9).await.unwrap();
    assert_eq!(served.len(), 3);
    assert!(
        node.store
            .limited_get_log_entries(5, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(node.store.take_damaged(), [id(5)]);
    assert_eq!(node.store.take_damaged(), []);
    // Nor is it kept for a follower once a checkpoint holds it.
    let needs = Needs {
        checkpoint: 8,
        spread: 0,
        kept_bytes: u64::MAX,
        is_idle: false,
    };
    assert_eq!(node.store.purgeable(&needs), Some(5));
    let ids = node
        .store
        .get_key_log_ids(raft_log_id(id(0))..=raft_log_id(id(8)))
        .await;
    assert_eq!(ids.unwrap(), [raft_log_id(id(8))]);
    assert!(node.store.whole_entry(id(5)).is_err());
    assert!(node.store.whole_entry(id(4)).unwrap().is_some());
    let _ = &mut node;
}
