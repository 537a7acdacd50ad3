//! R3: a replica that has stopped, or that nobody has opened, keeps what it needs of the log, and
//! keeps nobody from cleaning the rest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use node::replica::clean::Held;
use node::replica::{Checkpointer, Due, GroupId, LogId, Opening, Progress, Replica, open};
use rows::Fault;
use seglog::sim::SimDisk;
use seglog::{Cleaned, Cleaner, Record, RecoveredReplica, ReplicaId, Sync};

use super::given_up::Flaky;
use super::rig::{Entry, Forgetful, REPLICA, RaftLog, Rig, apply, options, tight};

const OTHER: ReplicaId = ReplicaId(80);

/// Bodies of the other replica before it stops.
const BODIES: u64 = 12;

fn body(index: u64) -> Bytes {
    vec![index as u8; 60_000].into()
}

fn put(index: u64) -> Entry {
    let command = format!("put k{index} @1.{index}.60000");
    entry(index, &command, body(index))
}

fn entry(index: u64, command: &str, body: Bytes) -> Entry {
    Entry {
        id: LogId { term: 1, index },
        command: Bytes::copy_from_slice(command.as_bytes()),
        body,
    }
}

/// Two replicas of different groups on one log, which is cleaned.
struct Pair {
    rig: Rig,
    other: Arc<Replica>,
    raft: Arc<RaftLog>,
    /// Those of the other one.
    indexes: Arc<Flaky>,
    checkpointer: Checkpointer,
    cleaner: Cleaner,
    freed: Vec<u64>,
}

fn open_other(
    log: &seglog::Log,
    indexes: Arc<Flaky>,
    found: Option<&RecoveredReplica>,
) -> Arc<Replica> {
    let opening = Opening {
        bounds: tight(),
        ..Opening::new(GroupId(8), OTHER, log.clone(), indexes, Arc::new(Forgetful))
    };
    open(&opening, found).unwrap()
}

impl Pair {
    /// Mail of both lies mixed, half of it is deleted again, and no log of Raft lists any of it.
    fn new() -> Self {
        let rig = Rig::open_as(
            Arc::new(Forgetful),
            SimDisk::new(),
            Arc::new(node::replica::index::MemoryIndexes::new()),
            tight(),
            1,
        )
        .unwrap();
        let indexes = Flaky::new();
        let other = open_other(&rig.log, indexes.clone(), None);
        let raft = Arc::new(RaftLog::default());
        other.attach(raft.clone());
        let checkpointer = Checkpointer::new();
        checkpointer.add(Arc::clone(&rig.replica));
        checkpointer.add(Arc::clone(&other));
        let mut pair = Self {
            cleaner: Cleaner::new(rig.log.clone()),
            freed: Vec::new(),
            rig,
            other,
            raft,
            indexes,
            checkpointer,
        };
        for index in 1..=BODIES {
            pair.deliver(index);
            pair.apply_other(&put(index)).unwrap();
        }
        for index in (1..=BODIES).step_by(2) {
            let next = BODIES + index.div_ceil(2);
            let removed = entry(next, &format!("del k{index}"), Bytes::new());
            pair.apply_other(&removed).unwrap();
        }
        pair.checkpoint();
        pair
    }

    /// The bodies to which rows of the other replica refer.
    fn kept() -> impl Iterator<Item = u64> {
        (1..=BODIES).filter(|index| index % 2 == 0)
    }

    fn deliver(&mut self, key: u64) {
        let index = self.rig.entries.last().map_or(1, |last| last.id.index + 1);
        let term = self.rig.term;
        let command = format!("put m{key:02} @{term}.{index}.60000");
        self.rig.apply(&command, &body(index));
    }

    fn apply_other(&mut self, entry: &Entry) -> Result<Bytes, Fault> {
        self.raft.append(&self.rig.log, OTHER, entry);
        self.rig.write();
        apply(&self.other, entry)
    }

    /// A checkpoint of both, as far as they take one; Raft forgets what it covers.
    fn checkpoint(&mut self) {
        while self.checkpointer.round(Due::Now) != Progress::Idle {
            self.rig.write();
        }
        let of = [
            (&self.rig.replica, &self.rig.raft),
            (&self.other, &self.raft),
        ];
        for (replica, raft) in of {
            if replica.fault().is_none()
                && let Some(LogId { term, index }) = replica.checkpointed()
            {
                raft.purge(index);
                let purge = Record::purge(replica.id(), term, index);
                let done = Box::new(|_| ());
                self.rig.log.append(vec![purge], Sync::Lazy, done).unwrap();
            }
        }
        self.rig.write();
    }

    fn clean(&mut self) -> Cleaned {
        let held = Held::of(&self.checkpointer);
        let live = || held.live_bytes();
        let cleaned = self.cleaner.step(&held, live, 100 << 10).unwrap();
        if let Cleaned::Freed { segment, .. } = &cleaned {
            self.freed.push(*segment);
        }
        cleaned
    }

    /// Cleans until there is nothing to do, with checkpoints and the log going on.
    fn rest(&mut self) {
        let mut idle = 0;
        for _ in 0..2000 {
            let cleaned = self.clean();
            self.rig.write();
            let stepped = self.checkpointer.round(Due::Now);
            self.rig.write();
            let resting = cleaned == Cleaned::Idle && stepped == Progress::Idle;
            idle = if resting { idle + 1 } else { 0 };
            if idle == 3 {
                return;
            }
        }
        panic!("the cleaner does not come to rest");
    }

    /// Mail comes to the first replica and goes, and the log is cleaned.
    fn go_on(&mut self) {
        for round in 0..80 {
            self.deliver(50);
            self.rig.apply("del m50", b"");
            self.rig.write();
            if round % 4 == 0 {
                self.checkpoint();
                self.clean();
            }
        }
        self.checkpoint();
        self.rest();
    }

    /// So many segments are left, and those were freed that came when the other one had stopped.
    fn check(&self, stopped_at: u64) {
        let left = self.rig.log.segments().unwrap();
        let numbers: Vec<u64> = left.iter().map(|segment| segment.number).collect();
        let later = self.freed.iter().filter(|freed| **freed > stopped_at);
        assert!(later.count() >= 2, "{:?} of {numbers:?}", self.freed);
        let kept = numbers.iter().filter(|number| **number > stopped_at);
        assert!(kept.count() <= 4, "{numbers:?}");
        self.rig.check();
    }

    /// Ends this life; what the log holds of the other replica is all there, without an index.
    fn check_other(self) {
        let Self {
            rig,
            other,
            checkpointer,
            cleaner,
            raft,
            ..
        } = self;
        drop((other, checkpointer, cleaner, raft));
        let (log, _writer, found) = seglog::open(Arc::new(rig.end()), options()).unwrap();
        assert_eq!(found.damage, []);
        for of in [OTHER, REPLICA] {
            assert!(!found.replicas[&of].base.is_empty() || !found.replicas[&of].rows.is_empty());
        }
        let other = open_other(&log, Flaky::new(), found.replicas.get(&OTHER));
        for index in Self::kept() {
            let id = LogId { term: 1, index };
            assert_eq!(other.entry_body(id).unwrap(), body(index), "{id}");
        }
    }
}

/// An entry stops the other replica at whatever moment of cleaning.
#[test]
fn a_machine_that_has_stopped() {
    for steps in 0..24 {
        let mut pair = Pair::new();
        for _ in 0..steps {
            pair.clean();
            pair.rig.write();
            if steps % 2 == 1 {
                pair.checkpointer.round(Due::Now);
            }
        }
        let stopped_at = pair.rig.log.active_segment();
        let next = BODIES + BODIES / 2 + 1;
        let fault = pair.apply_other(&entry(next, "fault", Bytes::new()));
        assert!(matches!(fault, Err(Fault::Invariant(_))));
        pair.go_on();
        pair.check(stopped_at);
        pair.check_other();
    }
}

/// The index fails; when it is built anew, what was held is cleaned as well.
#[test]
fn a_store_that_fails_and_comes_back() {
    for steps in 0..12 {
        let mut pair = Pair::new();
        for _ in 0..steps {
            pair.clean();
            pair.rig.write();
        }
        let stopped_at = pair.rig.log.active_segment();
        let next = BODIES + BODIES / 2 + 1;
        pair.indexes.fails.store(true, Ordering::Relaxed);
        let last = entry(next, "del nothing", Bytes::new());
        let fault = pair.apply_other(&last);
        assert!(matches!(fault, Err(Fault::Store(_))));
        pair.go_on();
        pair.check(stopped_at);

        pair.other.revive().unwrap();
        apply(&pair.other, &last).unwrap();
        for index in Pair::kept() {
            let id = LogId { term: 1, index };
            assert_eq!(pair.other.entry_body(id).unwrap(), body(index), "{id}");
        }
        for (at, index) in Pair::kept().enumerate() {
            let removed = entry(next + 1 + at as u64, &format!("del k{index}"), Bytes::new());
            pair.apply_other(&removed).unwrap();
        }
        pair.go_on();
        assert!(pair.freed.contains(&1), "{:?}", pair.freed);
    }
}

/// What nobody has opened is where the open of the log found it.
#[test]
fn a_replica_that_is_not_open() {
    let Pair {
        rig,
        other,
        checkpointer,
        cleaner,
        raft,
        ..
    } = Pair::new();
    drop((other, checkpointer, cleaner, raft));
    let (bounds, indexes) = (rig.bounds, rig.indexes.clone());
    let (model, entries) = (rig.model.clone(), rig.entries.clone());
    let disk = rig.end();
    let opened = seglog::open(Arc::new(disk.clone()), options()).unwrap();
    let found = opened.2.replicas[&OTHER].clone();
    let mut rig = Rig::open_on(opened, Arc::new(Forgetful), disk, indexes, bounds, 2).unwrap();
    (rig.model, rig.entries) = (model, entries);
    let checkpointer = Checkpointer::new();
    checkpointer.add(Arc::clone(&rig.replica));
    // Only that there is one.
    let elsewhere = seglog::open(Arc::new(SimDisk::new()), options()).unwrap();
    let mut pair = Pair {
        cleaner: Cleaner::new(rig.log.clone()),
        freed: Vec::new(),
        other: open_other(&elsewhere.0, Flaky::new(), None),
        raft: Arc::default(),
        indexes: Flaky::new(),
        rig,
        checkpointer,
    };
    let stopped_at = pair.rig.log.active_segment();
    pair.go_on();
    pair.check(stopped_at);
    let late = open_other(&pair.rig.log, Flaky::new(), Some(&found));
    for index in Pair::kept() {
        let id = LogId { term: 1, index };
        assert_eq!(late.entry_body(id).unwrap(), body(index), "{id}");
    }
    drop(late);
    pair.check_other();
}
