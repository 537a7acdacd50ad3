//! R4: a checkpoint says where the bodies of its entries lie. After an open their records are read
//! for that; one that cannot be read holds the checkpoint up, and stops nobody.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use node::budget::Share;
use node::raft::LogStore;
use node::raft::types::{Body, Entry, Proposal, raft_log_id};
use node::replica::index::MemoryIndexes;
use node::replica::{Applying, Due, Entries, LogId, Opening, Progress, Replica, open};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use seglog::sim::{Fault, Operation, SimDisk};
use seglog::{Step, Writer};

use crate::replica::mending::Others;
use crate::replica::rig::{GROUP, KeyValue, REPLICA, options};

const BODY: &[u8] = b"the body";

fn id(index: u64) -> LogId {
    LogId { term: 1, index }
}

fn command(index: u64) -> Bytes {
    Bytes::from(format!("put k{index} {index}"))
}

fn entry(index: u64) -> Entry {
    let proposal = Proposal {
        time_ms: index,
        command: command(index),
        body: Body::Held(Bytes::from_static(BODY)),
    };
    Entry {
        log_id: raft_log_id(id(index)),
        payload: EntryPayload::Normal(proposal),
    }
}

fn write(writer: &mut Writer) {
    while writer.step().unwrap() != Step::Idle {}
}

/// A replica that has applied entries again that its log had.
fn opened(disk: &SimDisk) -> (Arc<Replica>, LogStore, Writer) {
    let share = || Share::new("recent", 16 << 20);
    {
        let (log, mut writer, _) = seglog::open(Arc::new(disk.clone()), options()).unwrap();
        let mut store = LogStore::open(log, REPLICA, None, &[], share()).unwrap();
        let appending = store.append((0..4).map(entry), IOFlushed::noop());
        appending.now_or_never().unwrap().unwrap();
        write(&mut writer);
    }
    let (log, writer, found) = seglog::open(Arc::new(disk.clone()), options()).unwrap();
    let found = found.replicas.get(&REPLICA);
    let store = LogStore::open(log.clone(), REPLICA, found, &[], share()).unwrap();
    let indexes = Arc::new(MemoryIndexes::new());
    let opening = Opening::new(GROUP, REPLICA, log, indexes, Arc::new(KeyValue));
    let replica = open(&opening, found).unwrap();
    replica.attach(Arc::new(store.clone()));
    for index in 0..4 {
        let applying = Applying::Command {
            time_ms: index,
            command: &command(index),
            body_length: BODY.len() as u64,
        };
        replica.apply(id(index), applying).unwrap();
    }
    (replica, store, writer)
}

fn is_held_up(replica: &Replica) {
    for _ in 0..3 {
        assert_eq!(replica.step(Due::Now), Progress::Waiting);
    }
    assert_eq!((replica.fault(), replica.checkpointed()), (None, None));
    assert_eq!(replica.wounded(), 1);
}

fn goes_on(replica: &Replica, writer: &mut Writer) {
    assert_eq!(replica.mend(&Others::default()).unwrap().left, 0);
    while replica.step(Due::Now) != Progress::Idle {
        write(writer);
    }
    assert_eq!(replica.checkpointed(), Some(id(3)));
    // The checkpoint alone knows them.
    forget_entries(replica);
    for index in 0..4 {
        assert_eq!(replica.entry_body(id(index)).unwrap(), BODY);
    }
}

/// Raft's log forgets all entries.
fn forget_entries(replica: &Replica) {
    let (log, _, _) = seglog::open(Arc::new(SimDisk::new()), options()).unwrap();
    let recent = Share::new("recent", 16 << 20);
    let empty = LogStore::open(log, REPLICA, None, &[], recent).unwrap();
    replica.attach(Arc::new(empty));
}

#[test]
fn one_read_that_fails() {
    let disk = SimDisk::new();
    let (replica, _store, mut writer) = opened(&disk);
    disk.fail(Operation::Read, 0, Fault::Io);
    is_held_up(&replica);
    goes_on(&replica, &mut writer);
}

#[test]
fn a_record_that_is_damaged() {
    let disk = SimDisk::new();
    let (replica, store, mut writer) = opened(&disk);
    let record = store.record(2, 1).unwrap().place;
    let name = format!("{:016x}.seg", record.segment);
    let at = u64::from(record.offset) + 3;
    assert!(disk.flip(&name, at, 4));
    is_held_up(&replica);
    assert_eq!(replica.mend(&Others::default()).unwrap().left, 1);
    is_held_up(&replica);
    assert!(disk.flip(&name, at, 4));
    goes_on(&replica, &mut writer);
}
