//! The log is cleaned beneath a replica: whatever a row refers to can be read, whatever happens
//! (R4), and what nobody needs goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use node::replica::clean::Held;
use node::replica::end::end;
use node::replica::index::{Indexes, MemoryIndexes};
use node::replica::places::{self, Kept};
use node::replica::{Arrival, Checkpointer, Chunks, Due, LogId, Progress, Snapshot};
use proptest::prelude::*;
use seglog::sim::SimDisk;
use seglog::{Cleaned, Cleaner, Record, Sync};

use super::rig::{Entry, Forgetful, GROUP, Model, REPLICA, Rig, WriterThread, options, tight};

/// A replica of which the log is cleaned, and everything that was ever applied.
pub struct Life {
    pub rig: Rig,
    indexes: Arc<MemoryIndexes>,
    checkpointer: Checkpointer,
    cleaner: Cleaner,
    purged: u64,
    /// The last entry of which the log has said that it is durable.
    durable: u64,
}

impl Life {
    fn new() -> Self {
        let indexes = Arc::new(MemoryIndexes::new());
        let rig = open(SimDisk::new(), indexes.clone(), 1);
        Self::of(rig, indexes)
    }

    pub fn of(rig: Rig, indexes: Arc<MemoryIndexes>) -> Self {
        let checkpointer = Checkpointer::new();
        checkpointer.add(Arc::clone(&rig.replica));
        Self {
            cleaner: Cleaner::new(rig.log.clone()),
            indexes,
            checkpointer,
            purged: 0,
            durable: 0,
            rig,
        }
    }

    /// Opens again what the disk has.
    fn reopen(self, keep_index: bool) -> Self {
        let Self {
            rig,
            indexes,
            cleaner,
            checkpointer,
            purged,
            durable,
        } = self;
        drop((cleaner, checkpointer));
        let (mut entries, term) = (rig.entries.clone(), rig.term + 1);
        let indexes = match keep_index {
            true => indexes,
            false => Arc::default(),
        };
        let mut rig = open(rig.end(), indexes.clone(), term);
        let last = rig.replica.applied().last.map_or(0, |last| last.index);
        assert!(last >= durable, "L1: entry {durable} was durable");
        entries.truncate(last as usize);
        let mut model = Model::default();
        entries.iter().for_each(|entry| model.apply(&entry.command));
        (rig.entries, rig.model) = (entries, model);
        Self {
            purged,
            durable,
            ..Self::of(rig, indexes)
        }
    }

    /// Delivers a body to which a row refers.
    fn deliver(&mut self, key: u8, length: usize) {
        let index = self
            .rig
            .entries
            .last()
            .map_or(1, |entry| entry.id.index + 1);
        let body = body_of(index, length);
        let command = format!("put m{key:02} @{}.{index}.{length}", self.rig.term);
        self.rig.apply(&command, &body);
    }

    /// Another row refers to the same body.
    fn copy(&mut self, from: u8, to: u8) {
        if let Some(value) = self.rig.model.0.get(&format!("m{from:02}")).cloned() {
            self.rig.apply(&format!("put m{to:02} {value}"), b"");
        }
    }

    fn write(&mut self) {
        self.rig.write();
        self.durable = self.rig.entries.last().map_or(0, |entry| entry.id.index);
    }

    /// Raft forgets entries that the checkpoint covers.
    pub fn purge(&mut self, kept: u64) {
        let Some(checkpoint) = self.rig.replica.checkpointed() else {
            return;
        };
        let upto = checkpoint.index.saturating_sub(kept);
        if upto > self.purged {
            let term = self.rig.entries[upto as usize - 1].id.term;
            self.rig.raft.purge(upto);
            let purge = Record::purge(REPLICA, term, upto);
            self.rig
                .log
                .append(vec![purge], Sync::Lazy, Box::new(|_| ()))
                .unwrap();
            self.purged = upto;
        }
    }

    fn clean(&mut self) -> Cleaned {
        let held = Held::of(&self.checkpointer);
        let live = || held.live_bytes();
        self.cleaner.step(&held, live, 100 << 10).unwrap()
    }

    /// Cleans until there is nothing to do, with checkpoints and the log going on.
    pub fn rest(&mut self) {
        let mut idle = 0;
        for _ in 0..2000 {
            let cleaned = self.clean();
            assert!(!matches!(cleaned, Cleaned::Kept { .. }), "{cleaned:?}");
            self.write();
            let stepped = self.rig.replica.step(Due::Now);
            self.write();
            let resting = cleaned == Cleaned::Idle && stepped == Progress::Idle;
            idle = if resting { idle + 1 } else { 0 };
            if idle == 3 {
                return;
            }
        }
        panic!("the cleaner does not come to rest");
    }

    fn check(&self) {
        self.rig.check();
        for (id, body) in self.referred() {
            let read = self.rig.replica.entry_body(id);
            assert_eq!(read.unwrap(), body, "R4: entry {id}");
        }
    }

    /// The bodies to which rows refer.
    fn referred(&self) -> BTreeMap<LogId, Vec<u8>> {
        let rows = self.rig.model.0.values();
        let numbers = rows.filter_map(|value| value.strip_prefix('@'));
        let numbers = numbers.map(|text| text.split('.').map(|n| n.parse().unwrap()).collect());
        numbers
            .map(|numbers: Vec<u64>| {
                let (term, index) = (numbers[0], numbers[1]);
                (LogId { term, index }, body_of(index, numbers[2] as usize))
            })
            .collect()
    }

    /// What the checkpoint says of the bodies to which rows refer, by the keys of these.
    fn kept(&self) -> BTreeMap<String, Kept> {
        let index = &self.indexes.of(REPLICA).unwrap()[0];
        let rows = self.rig.model.0.iter().filter_map(|(key, value)| {
            let mut numbers = value.strip_prefix('@')?.split('.').map(str::parse);
            let (term, index) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((key, LogId { term, index }))
        });
        let kept = |id| places::find(index.as_ref(), id).unwrap().unwrap();
        rows.map(|(key, id)| (key.clone(), kept(id))).collect()
    }

    /// Each body belongs where the row says that refers to it.
    fn check_homes(&self) {
        for (key, kept) in self.kept() {
            let digit = key.as_bytes()[1];
            assert_eq!(kept.home, (digit > b'0').then_some(digit.into()), "{key}");
        }
    }

    fn file_bytes(&self) -> u64 {
        let segments = self.rig.log.segments().unwrap();
        segments.iter().map(|segment| segment.file_bytes).sum()
    }
}

fn open(disk: SimDisk, indexes: Arc<MemoryIndexes>, term: u64) -> Rig {
    let indexes: Arc<dyn Indexes> = indexes;
    Rig::open_as(Arc::new(Forgetful), disk, indexes, tight(), term).unwrap()
}

fn body_of(index: u64, length: usize) -> Vec<u8> {
    let mut word = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word as u8
    };
    (0..length).map(|_| next()).collect()
}

#[derive(Clone, Debug)]
enum Act {
    Deliver(u8, u32),
    Copy(u8, u8),
    Remove(u8),
    Put(u8, u16),
    Write,
    Step,
    Checkpoint,
    Purge(u64),
    Clean(u8),
    Rest,
    Crash { log: u64, index: usize },
    Restart { keep_index: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let key = || 0_u8..24;
    prop_oneof![
        10 => (key(), 1_u32..60_000).prop_map(|(key, length)| Act::Deliver(key, length)),
        3 => (key(), key()).prop_map(|(from, to)| Act::Copy(from, to)),
        3 => key().prop_map(Act::Remove),
        2 => (key(), 0_u16..4000).prop_map(|(key, length)| Act::Put(key, length)),
        3 => Just(Act::Write),
        3 => Just(Act::Step),
        3 => Just(Act::Checkpoint),
        4 => (0_u64..6).prop_map(Act::Purge),
        8 => (1_u8..12).prop_map(Act::Clean),
        1 => Just(Act::Rest),
        1 => (any::<u64>(), any::<usize>()).prop_map(|(log, index)| Act::Crash { log, index }),
        1 => any::<bool>().prop_map(|keep_index| Act::Restart { keep_index }),
    ]
}

fn coin(mut bits: u64) -> impl FnMut() -> bool {
    move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bits >> 63 == 1
    }
}

fn run(acts: Vec<Act>) {
    let mut life = Life::new();
    for act in acts {
        match act {
            Act::Deliver(key, length) => life.deliver(key, length as usize),
            Act::Copy(from, to) => life.copy(from, to),
            Act::Remove(key) => drop(life.rig.apply(&format!("del m{key:02}"), b"")),
            Act::Put(key, length) => {
                let value = "x".repeat(usize::from(length));
                life.rig.apply(&format!("put x{key:02} {value}"), b"");
            }
            Act::Write => life.write(),
            Act::Step => drop(life.rig.replica.step(Due::Now)),
            Act::Checkpoint => {
                life.rig.checkpoint();
                life.write();
            }
            Act::Purge(kept) => life.purge(kept),
            Act::Clean(steps) => {
                for step in 0..steps {
                    life.clean();
                    if step % 3 == 1 {
                        life.write();
                    }
                }
            }
            Act::Rest => life.rest(),
            Act::Crash { log, index } => {
                let mut coin = coin(log);
                life.rig.disk.crash(|_| coin());
                for tree in life.indexes.all() {
                    tree.crash(index % (tree.unflushed() + 1));
                }
                life = life.reopen(true);
            }
            Act::Restart { keep_index } => life = life.reopen(keep_index),
        }
        life.check();
    }
    life.rig.checkpoint();
    life.purge(0);
    life.rest();
    life.check();
    life = life.reopen(false);
    life.check();
    // Nothing is held back: when all is deleted, all goes.
    for key in 0..24 {
        life.rig
            .apply(&format!("del m{key:02}\ndel x{key:02}"), b"");
    }
    life.rig.checkpoint();
    life.purge(0);
    // The segments that are never cleaned are those that were written last.
    for round in 0..3 {
        life.deliver(0, 200_000 + round);
        life.rig.apply("del m00", b"");
        for _ in 0..5 {
            life.rig.apply("put x00 1", &body_of(1, 200_000));
        }
        life.rig.checkpoint();
        life.purge(0);
    }
    life.rest();
    life.check();
    assert!(life.file_bytes() <= 6 << 20, "{} bytes", life.file_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_referred_to_goes(acts in prop::collection::vec(act(), 20..160)) {
        run(acts);
    }
}

/// Some mail of which half was deleted, and nothing of it is in Raft's log.
fn half_deleted() -> Life {
    let mut life = Life::new();
    for key in 0..40 {
        life.deliver(key, 60_000);
    }
    for key in (0..40).step_by(2) {
        life.rig.apply(&format!("del m{key:02}"), b"");
    }
    life.rig.checkpoint();
    life.purge(0);
    life.write();
    life
}

/// The machine may stop at every write and sync of cleaning.
#[test]
fn crash_at_every_operation() {
    for operation in 1.. {
        let mut life = half_deleted();
        let disk = life.rig.disk.clone();
        disk.power_off_at(disk.operations() + operation);
        let mut off = false;
        for _ in 0..200 {
            let held = Held::of(&life.checkpointer);
            let live = || held.live_bytes();
            let cleaned = life.cleaner.step(&held, live, 100 << 10);
            life.rig.replica.step(Due::Now);
            let written = (0..4).try_for_each(|_| life.rig.writer.step().map(drop));
            off = cleaned.is_err() || written.is_err();
            if off {
                break;
            }
        }
        let mut coin = coin(operation);
        disk.crash(|_| coin());
        life.durable = 0;
        life = life.reopen(operation % 2 == 0);
        life.check();
        life.rest();
        life.check();
        if !off {
            assert!(operation > 10, "cleaning writes");
            return;
        }
    }
}

/// A snapshot that is being sent is read where it lies; and rows that no checkpoint changes say
/// where their bodies went.
#[test]
fn a_snapshot_outlives_its_segments() {
    let mut life = half_deleted();
    let snapshot = life.rig.replica.snapshot().unwrap();
    let expected: Vec<_> = snapshot.chunks.iter().map(Result::unwrap).collect();
    let before = life.rig.replica.digest();
    for round in 0..60 {
        life.deliver(50, 60_000);
        life.rig.apply(
            &format!("del m50\nput x{:02} {}", round % 20, "y".repeat(3000)),
            b"",
        );
        if round % 4 == 0 {
            life.rig.checkpoint();
            life.purge(0);
        }
        life.clean();
        life.write();
    }
    life.rest_but_waiting();
    let sent: Vec<_> = snapshot.chunks.iter().map(Result::unwrap).collect();
    assert_eq!(sent, expected);
    drop(snapshot);
    life.rest();
    life.check();
    assert_ne!(life.rig.replica.digest(), before);
}

impl Life {
    /// Cleans as far as that goes.
    fn rest_but_waiting(&mut self) {
        for _ in 0..200 {
            self.clean();
            self.rig.replica.step(Due::Now);
            self.write();
        }
    }
}

/// What a snapshot brought, and what was here before it, is counted as if it had been applied here.
#[test]
fn what_arrived_is_cleaned_too() {
    let mut leader = half_deleted();
    let mut follower = Life::new();
    // It has seen some of it, and was away.
    let seen: Vec<Entry> = leader.rig.entries[..25].to_vec();
    for entry in &seen {
        let command = std::str::from_utf8(&entry.command).unwrap();
        follower.rig.apply(command, &entry.body);
    }
    follower.rig.checkpoint();
    follower.purge(0);
    follower.write();
    let snapshot = leader.rig.replica.snapshot().unwrap();
    let Life {
        rig,
        indexes,
        checkpointer,
        cleaner,
        ..
    } = follower;
    drop((cleaner, checkpointer));
    let Rig { writer, .. } = rig;
    let writing = WriterThread::start(writer);
    let at = snapshot.last.unwrap();
    let mut arrival = Arrival::begin(&rig.replica, at, None).unwrap();
    for chunk in snapshot.chunks.iter() {
        arrival.push(&chunk.unwrap()).unwrap();
    }
    loop {
        let wanted = arrival.wanted().unwrap();
        if wanted.is_empty() {
            break;
        }
        let bring = |referred: &node::replica::Referred| {
            let body = leader.rig.replica.entry_body(referred.id).unwrap();
            (*referred, body)
        };
        arrival.put(wanted.iter().map(bring).collect()).unwrap();
    }
    let arrived = Snapshot {
        chunks: Chunks::from(arrival),
        ..snapshot
    };
    rig.replica.install(arrived).unwrap();
    rig.raft.purge(u64::MAX);
    let rig = Rig {
        writer: writing.stop(),
        entries: leader.rig.entries.clone(),
        model: leader.rig.model.clone(),
        ..rig
    };
    let mut follower = Life::of(rig, indexes);
    follower.check();
    follower.check_homes();
    for key in (1..40).step_by(4) {
        follower.rig.apply(&format!("del m{key:02}"), b"");
        leader.rig.apply(&format!("del m{key:02}"), b"");
    }
    follower.rig.checkpoint();
    follower.purge(0);
    follower.rest();
    follower.check();
    assert_eq!(follower.rig.replica.digest(), leader.rig.replica.digest());
    // Ten bodies of 60,000 bytes are left, and room that is not worth a copy.
    assert!(
        follower.file_bytes() <= 4 << 20,
        "{}",
        follower.file_bytes()
    );
}

/// However the mail of some mailboxes came in, it lies side by side once it was copied.
#[test]
fn the_mail_of_a_mailbox_is_copied_side_by_side() {
    let mut life = Life::new();
    for key in 0..50 {
        life.deliver(key % 5 * 10 + key / 5, 40_000);
    }
    for key in (0..50).step_by(2) {
        life.rig.apply(&format!("del m{key:02}"), b"");
    }
    for _ in 0..8 {
        life.rig.apply("put x00 1", &body_of(1, 200_000));
    }
    life.rig.checkpoint();
    life.purge(0);
    life.write();
    life.check_homes();
    let before = life.kept();
    let in_first = |key: &&String| before[*key].logged.place.segment == 1;
    // The mailboxes of what lay in the first segment, as it lies now.
    let mailboxes = |kept: &BTreeMap<String, Kept>| -> Vec<u8> {
        let mut keys: Vec<&String> = kept.keys().filter(in_first).collect();
        keys.sort_by_key(|key| kept[*key].logged.place);
        keys.iter().map(|key| key.as_bytes()[1] - b'0').collect()
    };
    assert_eq!(mailboxes(&before), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]);
    // What was copied is copied again when its segment is cleaned, so only until then.
    let freed = (0..500).any(|_| {
        life.write();
        life.rig.replica.step(Due::Now);
        matches!(life.clean(), Cleaned::Freed { segment: 1, .. })
    });
    assert!(freed);
    let after = life.kept();
    assert_eq!(mailboxes(&after), [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    let mut moved = after.keys().filter(in_first);
    assert!(moved.all(|key| after[key].logged.place != before[key].logged.place));

    life.rest();
    life = life.reopen(false);
    life.check();

    // It belongs where it came to be last, and there it stays.
    life.check_homes();
    let last = Some(u128::from(b'4'));
    life.copy(15, 41);
    life.rig.checkpoint();
    assert_eq!(life.kept()["m15"].home, last);
    // Not when no more rows refer to it than before, nor by one that does not tell.
    life.copy(15, 23);
    life.rig.apply("del m15\ndel m41", b"");
    life.rig.checkpoint();
    assert_eq!(life.kept()["m23"].home, last);
    life.copy(23, 1);
    life.rig.checkpoint();
    assert_eq!(life.kept()["m23"].home, last);
}

/// R5: of a replica that was moved away nothing is needed, and no start brings it back.
#[test]
fn a_replica_that_was_moved_away_leaves_nothing() {
    let mut life = Life::new();
    for key in 0..24 {
        life.deliver(key, 200_000);
        life.write();
    }
    life.rest();
    life.check();
    let segments = |life: &Life| {
        let segments = life.rig.log.segments().unwrap();
        let of = |sealed: bool| {
            let those = segments.iter().filter(|segment| segment.sealed == sealed);
            those.map(|segment| segment.number).collect::<Vec<_>>()
        };
        (of(true), of(false).into_iter().min())
    };
    assert!(segments(&life).0.len() > 3);

    // It answers nothing and takes no checkpoint any more.
    life.rig.replica.close();
    assert!(life.rig.replica.fault().is_some());
    assert_eq!(life.rig.replica.step(Due::Now), Progress::Idle);
    life.checkpointer.remove(GROUP);
    let (log, indexes) = (life.rig.log.clone(), Arc::clone(&life.indexes));
    let ending = std::thread::spawn(move || end(&log, indexes.as_ref(), REPLICA));
    while !ending.is_finished() {
        life.rig.write();
    }
    ending.join().unwrap().unwrap();
    assert!(life.indexes.of(REPLICA).unwrap().is_empty());

    // In doubt it is alive; once its end is known all goes.
    let ended = std::collections::BTreeSet::from([REPLICA]);
    for _ in 0..200 {
        let held = Held::of(&life.checkpointer).without(ended.clone());
        let live = || held.live_bytes();
        life.cleaner.step(&held, live, 100 << 10).unwrap();
        life.rig.write();
    }
    // The one before the newest is not touched until the log goes on, whatever is in it.
    let (sealed, newest) = segments(&life);
    let newest = newest.unwrap();
    assert!(
        sealed.iter().all(|number| number + 1 == newest),
        "{sealed:?} before {newest}"
    );
    drop((life.cleaner, life.checkpointer));
    let disk = life.rig.end();
    let (_log, _writer, recovered) = seglog::open(Arc::new(disk), options()).unwrap();
    assert!(recovered.replicas[&REPLICA].ended);
}
