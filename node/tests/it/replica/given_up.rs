//! R2, R4: runs that are on their way into the log while something fails are neither forgotten nor
//! taken for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use node::replica::clean::Held;
use node::replica::index::{Change, Index, Indexes, MemoryIndexes};
use node::replica::limits::Bounds;
use node::replica::{Checkpointer, Due, LogId, Progress};
use rows::{Fault, Row, Rows, Scan};
use seglog::sim::SimDisk;
use seglog::{Cleaned, Cleaner, Kind, Live, Record, ReplicaId, Sync};

use super::mending::{Others, flip, found_rows, with_writer, without_index};
use super::rig::{Entry, Forgetful, REPLICA, Rig, apply, tight};

fn rig(indexes: Arc<dyn Indexes>, bounds: Bounds) -> Rig {
    Rig::open_as(Arc::new(Forgetful), SimDisk::new(), indexes, bounds, 1).unwrap()
}

/// Rows of about so many bytes.
fn put_rows(rig: &mut Rig, bytes: usize) {
    let value = "v".repeat(1000);
    for number in 0..bytes / 1000 {
        rig.apply(&format!("put r{number:04} {value}"), b"");
    }
}

/// Goes on until these segments may be cleaned, with entries that nobody needs.
fn roll(rig: &mut Rig, segments: u64) {
    let until = rig.log.active_segment() + segments;
    while rig.log.active_segment() < until {
        rig.apply("put filler 1", &[7; 200_000]);
        rig.write();
    }
    rig.checkpoint();
}

/// Raft forgets all that the checkpoint covers, and the log is cleaned until that comes to rest;
/// answers the segments that were freed.
fn clean(rig: &mut Rig) -> Vec<u64> {
    let LogId { term, index } = rig.replica.checkpointed().unwrap();
    rig.raft.purge(index);
    let purge = Record::purge(REPLICA, term, index);
    rig.log
        .append(vec![purge], Sync::Lazy, Box::new(|_| ()))
        .unwrap();
    rig.write();
    let checkpointer = checkpointer(rig);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let (mut freed, mut idle) = (Vec::new(), 0);
    while idle < 3 {
        let held = Held::of(&checkpointer);
        let cleaned = cleaner
            .step(&held, || held.live_bytes(), 100 << 10)
            .unwrap();
        rig.write();
        let stepped = rig.replica.step(Due::Now);
        rig.write();
        match cleaned {
            Cleaned::Freed { segment, .. } => freed.push(segment),
            Cleaned::Idle if stepped == Progress::Idle => idle += 1,
            _ => {}
        }
    }
    freed
}

fn checkpointer(rig: &Rig) -> Checkpointer {
    let checkpointer = Checkpointer::new();
    checkpointer.add(Arc::clone(&rig.replica));
    checkpointer
}

/// A base is given up after its first records, and the next one begins at the same log id: it
/// stands when nothing is left of the first.
#[test]
fn a_base_that_is_begun_again() {
    let bounds = Bounds {
        merge_step_bytes: 1,
        ..tight()
    };
    let mut rig = rig(Arc::new(MemoryIndexes::new()), bounds);
    put_rows(&mut rig, 300_000);
    rig.write();
    assert_eq!(rig.replica.step(Due::Now), Progress::Waiting);
    rig.write();
    let records = rig.log.stats().records;
    assert_eq!(rig.replica.step(Due::Now), Progress::Working);
    rig.write();
    assert_eq!(rig.log.stats().records, records + 1, "the merge has begun");
    let damaged = found_rows(&rig)[3];
    flip(&rig, damaged, u64::from(damaged.offset) + 14);
    while rig.replica.wounded() == 0 {
        rig.replica.step(Due::Now);
        rig.write();
    }
    let at = rig.replica.checkpointed();
    let mended = with_writer(&mut rig, |replica| replica.mend(&Others::default()));
    assert_eq!(mended.unwrap().bases, 1);
    assert_eq!(rig.replica.checkpointed(), at, "no entry came in between");

    roll(&mut rig, 3);
    assert!(clean(&mut rig).contains(&1));
    let (disk, model) = (rig.disk.clone(), rig.model.clone());
    drop(rig.end());
    without_index(disk).check_against(&model);
}

/// Indexes of which a look at a row fails when it is told to.
pub struct Flaky {
    inner: MemoryIndexes,
    /// The next look fails.
    pub fails: Arc<AtomicBool>,
}

struct FlakyIndex {
    inner: Arc<dyn Index>,
    fails: Arc<AtomicBool>,
}

impl Flaky {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryIndexes::new(),
            fails: Arc::default(),
        })
    }

    fn of_inner(&self, inner: Arc<dyn Index>) -> Arc<dyn Index> {
        let fails = Arc::clone(&self.fails);
        Arc::new(FlakyIndex { inner, fails })
    }
}

impl Indexes for Flaky {
    fn of(&self, replica: ReplicaId) -> Result<Vec<Arc<dyn Index>>, Fault> {
        let found = self.inner.of(replica)?.into_iter();
        Ok(found.map(|inner| self.of_inner(inner)).collect())
    }

    fn fresh(&self, replica: ReplicaId) -> Result<Arc<dyn Index>, Fault> {
        self.inner.fresh(replica).map(|inner| self.of_inner(inner))
    }

    fn discard(&self, index: &dyn Index) -> Result<(), Fault> {
        self.inner.discard(index)
    }
}

impl Rows for FlakyIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        match self.fails.swap(false, Ordering::Relaxed) {
            true => Err(Fault::Store("as asked".to_owned())),
            false => self.inner.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        self.inner.scan(from, to)
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        self.inner.last(from, to)
    }
}

impl Index for FlakyIndex {
    fn put_sorted(
        &self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), Fault> {
        self.inner.put_sorted(changes)
    }

    fn applied(&self) -> Result<Option<LogId>, Fault> {
        self.inner.applied()
    }

    fn set_applied(&self, applied: LogId) -> Result<(), Fault> {
        self.inner.set_applied(applied)
    }

    fn flush(&self) -> Result<(), Fault> {
        self.inner.flush()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

/// The store fails while the next entry is applied.
fn fail(rig: &mut Rig, indexes: &Flaky) {
    let id = LogId {
        term: rig.term,
        index: rig.entries.last().unwrap().id.index + 1,
    };
    let command = Bytes::from("del nothing");
    let body = Bytes::new();
    let entry = Entry { id, command, body };
    rig.raft.append(&rig.log, REPLICA, &entry);
    indexes.fails.store(true, Ordering::Relaxed);
    let fault = apply(&rig.replica, &entry).unwrap_err();
    assert!(matches!(fault, Fault::Store(_)));
    rig.entries.push(entry);
}

/// The store fails while a checkpoint is in the log and not in the index: the replica comes back
/// there, since an open will find it.
#[test]
fn a_checkpoint_that_the_log_has() {
    let indexes = Flaky::new();
    let mut rig = Rig::with(indexes.clone(), tight());
    rig.apply("put a 1", b"one");
    rig.checkpoint();
    rig.apply("put b 1", b"two");
    let newest = rig.apply("put c 1", b"three");
    rig.write();
    assert_eq!(rig.replica.step(Due::Now), Progress::Waiting);
    fail(&mut rig, &indexes);
    with_writer(&mut rig, |replica| replica.revive()).unwrap();
    assert_eq!(rig.replica.applied().last, Some(newest));
    assert_eq!(rig.replica.checkpointed(), Some(newest));

    // One entry more, and the index loses all that was not flushed.
    let next = rig.entries[newest.index as usize].clone();
    apply(&rig.replica, &next).unwrap();
    rig.check();
    rig.checkpoint();
    for index in indexes.inner.all() {
        index.crash(0);
    }
    let rig = rig.reopen();
    rig.check();
    rig.check_bodies();
}

/// The same for a base of which the last record is in the log: its records are needed.
#[test]
fn a_base_that_the_log_has() {
    let indexes = Flaky::new();
    let mut rig = rig(indexes.clone(), tight());
    put_rows(&mut rig, 100_000);
    rig.write();
    // The merge appends all that is left in its last step, and is not asked again.
    let has_base = |rig: &Rig| {
        let copy = SimDisk::new();
        let name = format!("{:016x}.seg", 1);
        copy.put(&name, rig.disk.contents(&name).unwrap());
        let (_, _, found) = seglog::open(Arc::new(copy), super::rig::options()).unwrap();
        !found.replicas[&REPLICA].base.is_empty()
    };
    while !has_base(&rig) {
        rig.replica.step(Due::Now);
        rig.write();
    }
    fail(&mut rig, &indexes);
    rig.write();
    rig.replica.revive().unwrap();
    let next = rig.entries.last().unwrap().clone();
    apply(&rig.replica, &next).unwrap();
    roll(&mut rig, 1);

    let checkpointer = checkpointer(&rig);
    let held = Held::of(&checkpointer);
    let mut found = rig.log.records(1).unwrap().records;
    found.retain(|record| record.kind == Kind::Base);
    assert!(found.len() > 1);
    assert!(found.iter().all(|record| held.refers(record)));
}
