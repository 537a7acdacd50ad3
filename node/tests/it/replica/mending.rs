//! L2, I16: what is damaged in the log is never served, and comes again from another replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use node::replica::index::MemoryIndexes;
use node::replica::scrub::Pace;
use node::replica::{
    BodyError, Checkpointer, Cleaning, Due, Fetch, GroupId, LogId, Mended, Opening, Progress,
    Referred, Replica, Scrubbing, Snapshot, open, open_stopped,
};
use parking_lot::Mutex;
use rows::Fault;
use seglog::{Damage, Place, What};

use super::rig::{
    Entry, Forgetful, GROUP, KeyValue, REPLICA, Rig, WriterThread, options, payload, tight,
};

/// What other replicas would give.
#[derive(Default)]
pub struct Others {
    entries: Vec<Entry>,
    /// They have purged their entries: only bodies are left.
    purged: AtomicBool,
    /// They answer other bytes than were asked for.
    lies: AtomicBool,
    snapshot: Mutex<Option<Snapshot>>,
}

impl Others {
    fn of(rig: &Rig) -> Self {
        Self {
            entries: rig.entries.clone(),
            ..Self::default()
        }
    }

    fn purged(self) -> Self {
        self.purged.store(true, Ordering::Relaxed);
        self
    }

    fn find(&self, id: LogId) -> Option<Entry> {
        let found = self.entries.iter().find(|entry| entry.id == id)?.clone();
        Some(match self.lies.load(Ordering::Relaxed) {
            true => Entry {
                body: found.body.iter().map(|byte| byte ^ 1).collect(),
                ..found
            },
            false => found,
        })
    }
}

impl Fetch for Others {
    fn entries(&self, group: GroupId, wanted: &[LogId]) -> Vec<(LogId, Vec<Bytes>)> {
        assert_eq!(group, GROUP);
        if self.purged.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let entries = wanted.iter().filter_map(|id| self.find(*id));
        entries
            .map(|entry| (entry.id, vec![payload(&entry)]))
            .collect()
    }

    fn bodies(&self, group: GroupId, wanted: Vec<Referred>) -> Vec<(Referred, Bytes)> {
        assert_eq!(group, GROUP);
        let bodies = wanted.into_iter();
        bodies
            .filter_map(|referred| Some((referred, self.find(referred.id)?.body)))
            .collect()
    }

    fn checkpoint(&self, _: &Arc<Replica>, least: u64) -> Option<Snapshot> {
        let snapshot = self.snapshot.lock().clone();
        snapshot.filter(|snapshot| snapshot.last.is_some_and(|at| at.index >= least))
    }
}

/// A rig of which each key refers to the body of the entry that put it.
fn rig(count: u64) -> Rig {
    let mut rig = Rig::open_as(
        Arc::new(Forgetful),
        seglog::sim::SimDisk::new(),
        Arc::new(MemoryIndexes::new()),
        tight(),
        1,
    )
    .unwrap();
    for number in 1..=count {
        let body = format!("the body of {number}");
        let put = format!("put k{number} @1.{number}.{}", body.len());
        rig.apply(&put, body.as_bytes());
    }
    rig.write();
    rig
}

fn id(index: u64) -> LogId {
    LogId { term: 1, index }
}

/// Where the record from which an entry is read lies.
fn place(rig: &Rig, index: u64) -> Place {
    let found = rig.log.scrub(1).unwrap();
    assert!(found.is_empty());
    node::replica::Entries::place(rig.raft.as_ref(), index, 1)
        .unwrap()
        .unwrap()
        .place
}

pub fn flip(rig: &Rig, place: Place, offset: u64) {
    let name = format!("{:016x}.seg", place.segment);
    assert!(rig.disk.flip(&name, offset, 4));
}

fn mend(rig: &mut Rig, others: &dyn Fetch) -> Mended {
    with_writer(rig, |replica| replica.mend(others)).unwrap()
}

/// Runs what waits for the log while a thread writes it.
pub fn with_writer<T>(rig: &mut Rig, run: impl FnOnce(&Arc<Replica>) -> T) -> T {
    let spare = seglog::open(Arc::new(seglog::sim::SimDisk::new()), options());
    let writing = WriterThread::start(std::mem::replace(&mut rig.writer, spare.unwrap().1));
    let done = run(&rig.replica);
    rig.writer = writing.stop();
    done
}

fn is_damaged(rig: &Rig, index: u64) -> bool {
    matches!(rig.replica.entry_body(id(index)), Err(BodyError::Damaged(found, _))
        if found == id(index))
}

/// What a backup cannot read is mended, so that the next one can.
#[test]
fn what_a_backup_meets() {
    let mut rig = rig(9);
    rig.checkpoint();
    let at = place(&rig, 3);
    flip(&rig, at, u64::from(at.offset) + 9);
    let export = |rig: &mut Rig| {
        with_writer(rig, |replica| {
            let export = replica.export().unwrap();
            export.bodies().unwrap().filter(Result::is_err).count()
        })
    };
    assert_eq!(export(&mut rig), 1);
    assert_eq!(rig.replica.wounded(), 1);
    let others = Others::of(&rig);
    assert_eq!(mend(&mut rig, &others).left, 0);
    // A backup reads what the newest checkpoint says.
    rig.checkpoint();
    assert_eq!(export(&mut rig), 0);
}

/// A damaged entry that Raft still lists comes again as it was, header and all.
#[test]
fn a_listed_entry() {
    let mut rig = rig(9);
    rig.checkpoint();
    let at = place(&rig, 3);
    flip(&rig, at, u64::from(at.offset) + 9);
    assert!(is_damaged(&rig, 3));
    assert_eq!(rig.replica.wounded(), 1);
    let others = Others::of(&rig);
    // Other bytes than were written are not taken.
    others.lies.store(true, Ordering::Relaxed);
    assert_eq!(mend(&mut rig, &others).left, 1);
    assert!(is_damaged(&rig, 3));
    others.lies.store(false, Ordering::Relaxed);
    let mended = mend(&mut rig, &others);
    assert_eq!((mended.entries, mended.bodies, mended.left), (1, 0, 0));
    rig.check_bodies();
    // The next checkpoint says where it lies now, and the log knows that it is mended.
    rig.checkpoint();
    let mut rig = rig.reopen();
    rig.raft.purge(u64::MAX);
    rig.check_bodies();
    assert_eq!(mend(&mut rig, &others), Mended::default());
}

/// Of an entry that is purged only the body matters.
#[test]
fn a_purged_body() {
    let mut rig = rig(9);
    rig.checkpoint();
    let at = place(&rig, 3);
    rig.raft.purge(u64::MAX);
    // Not even its header is left.
    flip(&rig, at, u64::from(at.record_offset()) + 8);
    assert!(is_damaged(&rig, 3));
    let others = Others::of(&rig).purged();
    let mended = mend(&mut rig, &others);
    assert_eq!((mended.entries, mended.bodies, mended.left), (0, 1, 0));
    rig.checkpoint();
    rig.check_bodies();
    // Nobody refers to the damaged record any more.
    let stretch = u64::from(at.record_offset())..u64::from(at.offset);
    assert_eq!(rig.replica.wound_stretch(1, stretch), Ok(0));
}

/// A body that nobody can give stays damaged, and is mended when somebody can.
#[test]
fn a_body_that_nobody_has() {
    let mut rig = rig(3);
    rig.checkpoint();
    let at = place(&rig, 1);
    rig.raft.purge(u64::MAX);
    flip(&rig, at, u64::from(at.offset) + 30);
    assert!(is_damaged(&rig, 1));
    assert_eq!(mend(&mut rig, &Others::default()).left, 1);
    assert!(is_damaged(&rig, 1));
    let others = Others::of(&rig);
    assert_eq!(mend(&mut rig, &others).left, 0);
    rig.checkpoint();
    rig.check_bodies();
}

/// A body whose last row went while it was damaged is nobody's loss.
#[test]
fn a_body_that_nobody_needs() {
    let mut rig = rig(3);
    rig.checkpoint();
    let at = place(&rig, 1);
    rig.raft.purge(3);
    flip(&rig, at, u64::from(at.offset) + 30);
    assert!(is_damaged(&rig, 1));
    rig.apply("del k1", b"");
    rig.write();
    rig.checkpoint();
    assert_eq!(mend(&mut rig, &Others::default()).left, 0);
}

/// A stretch without a header is laid over all places.
#[test]
fn a_stretch_of_nobody_knows_whom() {
    let mut rig = rig(9);
    rig.checkpoint();
    let (from, to) = (place(&rig, 3), place(&rig, 5));
    rig.raft.purge(4);
    for index in 3..=5 {
        let at = match index {
            5 => to,
            _ => Place {
                offset: from.offset + (index - 3) * (to.offset - from.offset) / 2,
                ..from
            },
        };
        flip(&rig, at, u64::from(at.record_offset()) + 20);
    }
    let damage = rig.log.scrub(1).unwrap();
    assert!(damage.is_empty(), "the active segment is not scrubbed");
    let end = u64::from(to.offset + to.length);
    let stretch = u64::from(from.record_offset())..end;
    assert_eq!(rig.replica.wound_stretch(1, stretch), Ok(3));
    let others = Others::of(&rig);
    let mended = mend(&mut rig, &others);
    assert_eq!((mended.entries, mended.bodies, mended.left), (1, 2, 0));
    rig.checkpoint();
    rig.check_bodies();
}

/// Rows are written anew from the index, which has the digests of the checkpoint.
#[test]
fn rows_in_the_log() {
    let mut rig = rig(50);
    rig.checkpoint();
    rig.apply("put more 1", b"");
    rig.checkpoint();
    let found = found_rows(&rig);
    assert!(!found.is_empty());
    let at = found[0];
    flip(&rig, at, u64::from(at.offset) + 14);
    let stretch = u64::from(at.offset)..u64::from(at.offset) + 20;
    assert_eq!(rig.replica.wound_stretch(at.segment, stretch), Ok(1));
    let mended = mend(&mut rig, &Others::default());
    assert_eq!((mended.bases, mended.left), (1, 0));
    rig.apply("put then 2", b"");
    rig.write();
    rig.checkpoint();
    // The log alone gives the rows again.
    let (disk, model) = (rig.disk.clone(), rig.model.clone());
    drop(rig.end());
    without_index(disk).check_against(&model);
}

/// Opens what the log alone gives.
pub fn without_index(disk: seglog::sim::SimDisk) -> Rig {
    let opened = seglog::open(Arc::new(disk.clone()), options()).unwrap();
    let fresh = Arc::new(MemoryIndexes::new());
    Rig::open_on(opened, Arc::new(Forgetful), disk, fresh, tight(), 2).unwrap()
}

/// The records of rows and bases, as an open finds them.
pub fn found_rows(rig: &Rig) -> Vec<Place> {
    let copy = seglog::sim::SimDisk::new();
    for segment in 1..=rig.log.active_segment() {
        let name = format!("{segment:016x}.seg");
        copy.put(&name, rig.disk.contents(&name).unwrap());
    }
    let (_, _, found) = seglog::open(Arc::new(copy), options()).unwrap();
    let found = &found.replicas[&REPLICA];
    let records = found.base.iter().chain(&found.rows);
    records.map(|record| record.place).collect()
}

/// A merge that meets damage does not stop the replica, and goes on once that is mended.
#[test]
fn a_merge_meets_damage() {
    let mut rig = rig(2);
    rig.checkpoint();
    let at = found_rows(&rig)[0];
    flip(&rig, at, u64::from(at.offset) + 14);
    for round in 0..40_u64 {
        rig.apply(&format!("put r{round} {}", "v".repeat(300)), b"");
        rig.write();
        rig.checkpoint();
    }
    assert_eq!(rig.replica.fault(), None);
    assert_eq!(rig.replica.wounded(), 1);
    assert_eq!(mend(&mut rig, &Others::default()).bases, 1);
    for round in 0..40_u64 {
        rig.apply(&format!("put s{round} {}", "v".repeat(300)), b"");
        rig.write();
        rig.checkpoint();
    }
    let (disk, model) = (rig.disk.clone(), rig.model.clone());
    drop(rig.end());
    without_index(disk).check_against(&model);
}

/// After a fault of the store the replica builds its index again from the log, and goes on at its
/// checkpoint.
#[test]
fn a_replica_that_comes_back() {
    let mut rig = rig(20);
    rig.checkpoint();
    let checkpoint = rig.replica.checkpointed().unwrap();
    let after = rig.apply("put after 1", b"");
    rig.write();
    // Rows that nobody wrote: the next base is refused, and the replica stops.
    let index = rig.indexes.of(REPLICA).unwrap().remove(0);
    let strange = (Bytes::from("strange"), Some(Bytes::from("row")));
    index.put_sorted(&mut std::iter::once(Ok(strange))).unwrap();
    let at = found_rows(&rig)[0];
    let stretch = u64::from(at.offset)..u64::from(at.offset) + 20;
    flip(&rig, at, u64::from(at.offset) + 14);
    rig.replica.wound_stretch(at.segment, stretch).unwrap();
    let stopped = with_writer(&mut rig, |replica| replica.mend(&Others::default()));
    assert!(matches!(stopped, Err(Fault::Store(_))));
    assert!(matches!(rig.replica.fault(), Some(Fault::Store(_))));
    // The log does not give the rows either.
    assert!(rig.replica.revive().is_err());
    assert!(rig.replica.fault().is_some());
    flip(&rig, at, u64::from(at.offset) + 14);
    rig.replica.revive().unwrap();
    assert_eq!(rig.replica.fault(), None);
    assert_eq!(rig.replica.applied().last, Some(checkpoint));
    // Raft applies what came after the checkpoint again.
    let entry = rig.entries.last().unwrap().clone();
    assert_eq!(entry.id, after);
    super::rig::apply(&rig.replica, &entry).unwrap();
    rig.check();
    rig.checkpoint();
    rig.check_bodies();
    rig.reopen().check();
}

/// A replica whose rows its log does not give takes those of another one; what it has of bodies is
/// not brought again.
#[test]
fn rows_that_are_lost() {
    let mut leader = rig(30);
    leader.checkpoint();
    let snapshot = leader.replica.snapshot().unwrap();
    let mut rig = rig(30);
    rig.checkpoint();
    let at = found_rows(&rig)[0];
    let indexes = rig.indexes.clone();
    let index = indexes.of(REPLICA).unwrap().remove(0);
    // The index is wrong as well.
    let strange = (Bytes::from("strange"), Some(Bytes::from("row")));
    index.put_sorted(&mut std::iter::once(Ok(strange))).unwrap();
    let disk = rig.end();
    let (log, writer, found) = seglog::open(Arc::new(disk.clone()), options()).unwrap();
    // An open does not read what it finds in the index of a segment; here it is hurt afterwards.
    let name = format!("{:016x}.seg", at.segment);
    assert!(disk.flip(&name, u64::from(at.offset) + 14, 4));
    let opening = Opening::new(GROUP, REPLICA, log, indexes, Arc::new(Forgetful));
    let found = &found.replicas[&REPLICA];
    let fault = open(&opening, Some(found)).err().unwrap();
    assert!(matches!(fault, Fault::Store(_)));
    let replica = open_stopped(&opening, Some(found), fault.clone()).unwrap();
    assert_eq!(replica.fault(), Some(fault));
    assert!(replica.revive().is_err());
    let writing = WriterThread::start(writer);
    replica.install_anew(snapshot).unwrap();
    drop(writing.stop());
    assert_eq!(replica.digest(), leader.replica.digest());
    assert_eq!(replica.fault(), None);
}

/// The scrubber finds what nobody has read, mends it, and lets the cleaner have the segment.
#[test]
fn the_scrubber_finds_and_mends() {
    let mut rig = rig(9);
    let at = place(&rig, 4);
    // Other entries seal the segment.
    let mut number = 0;
    while rig.log.active_segment() < 3 {
        number += 1;
        let put = format!("put big{number} {number}");
        rig.apply(&put, &vec![number as u8; 100_000]);
        rig.write();
    }
    rig.checkpoint();
    rig.raft.purge(9);
    flip(&rig, at, u64::from(at.offset) + 30);
    let checkpointer = Arc::new(Checkpointer::new());
    checkpointer.add(rig.replica.clone());
    let cleaning = Cleaning::new(rig.log.clone(), checkpointer.clone(), [REPLICA], []);
    let pace = Pace {
        bytes_per_second: u64::MAX,
        period: std::time::Duration::from_secs(1),
        file: None,
    };
    let missing = Damage {
        segment: 1,
        offset: 0,
        length: 0,
        what: What::Block,
        record: None,
    };
    let scrubbing = Scrubbing::new(
        rig.log.clone(),
        checkpointer,
        Arc::new(cleaning),
        Arc::new(Others::of(&rig).purged()),
        pace,
        vec![missing],
    );
    let pass = scrubbing.begin();
    with_writer(&mut rig, |_| {
        while scrubbing.scrubbed().passes < pass {
            scrubbing.scrub();
        }
        scrubbing.mend();
    });
    let scrubbed = scrubbing.scrubbed();
    assert_eq!(
        (scrubbed.segments, scrubbed.damaged),
        (2, 1),
        "{scrubbed:?}"
    );
    assert_eq!((scrubbed.mended, scrubbed.left), (1, 0), "{scrubbed:?}");
    assert!(scrubbed.finished_secs > 0);
    rig.checkpoint();
    assert_eq!(rig.replica.entry_body(id(4)).unwrap(), "the body of 4");
    while rig.replica.step(Due::Now) != Progress::Idle {
        rig.write();
    }
}

/// What is probed is what the rows refer to.
#[test]
fn probing_tells_bad_bodies() {
    let mut rig = rig(9);
    rig.checkpoint();
    let at = place(&rig, 3);
    rig.raft.purge(u64::MAX);
    let probed = rig.replica.probe(&[]).unwrap();
    assert_eq!((probed.bodies, probed.bad, probed.next), (9, vec![], None));
    flip(&rig, at, u64::from(at.offset) + 30);
    let probed = rig.replica.probe(&[]).unwrap();
    assert_eq!(probed.bodies, 9);
    let bad: Vec<LogId> = probed.bad.iter().map(|(id, _)| *id).collect();
    assert_eq!(bad, [id(3)]);
    // And it is mended from then on.
    let others = Others::of(&rig);
    assert_eq!(mend(&mut rig, &others).bodies, 1);
    rig.checkpoint();
    assert_eq!(rig.replica.probe(&[]).unwrap().bad, []);
    let _ = KeyValue;
}
