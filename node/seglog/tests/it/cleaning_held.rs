//! Freeing segments while a replica cannot take note of moves.

use std::collections::{BTreeMap, BTreeSet};

use seglog::{Cleaned, Cleaner, Live, Place, RecordAt, ReplicaId, Written};

use crate::cleaning::{Refs, freed, numbers, roll};
use crate::rig::{ONE, Rig, TWO, entry};

/// Some replicas are held, and some segments so for their sake.
struct Holding {
    refs: Refs,
    held: BTreeSet<ReplicaId>,
    segments: BTreeMap<u64, ReplicaId>,
}

impl Holding {
    fn of(written: &[Written], held: &[ReplicaId]) -> Self {
        Self {
            refs: Refs::to(written),
            held: held.iter().copied().collect(),
            segments: BTreeMap::new(),
        }
    }
}

impl Live for Holding {
    fn refers(&self, record: &RecordAt) -> bool {
        self.refs.refers(record)
    }

    fn home(&self, record: &RecordAt) -> u128 {
        self.refs.home(record)
    }

    fn moved(&self, copies: &[(RecordAt, Place)]) {
        assert!(
            copies
                .iter()
                .all(|(of, _)| !self.held.contains(&of.replica))
        );
        self.refs.moved(copies);
    }

    fn settled(&self, segment: u64) -> bool {
        !self.segments.contains_key(&segment)
    }

    fn is_held(&self, replica: ReplicaId) -> bool {
        self.held.contains(&replica)
    }

    fn holder(&self, segment: u64) -> Option<ReplicaId> {
        let holder = self.segments.get(&segment).copied();
        holder.filter(|holder| self.held.contains(holder))
    }
}

fn clean(rig: &mut Rig, cleaner: &mut Cleaner, live: &Holding) -> Vec<Cleaned> {
    let mut all = Vec::new();
    while all.last() != Some(&Cleaned::Idle) {
        assert!(all.len() < 200, "it does not come to rest: {all:?}");
        let told = live.refs.live_bytes();
        all.push(cleaner.step(live, || told.clone(), 1000).unwrap());
        rig.writer.step().unwrap();
    }
    all
}

/// What a held replica needs stays where it is, and nothing of its segment is copied; all others
/// are freed. Each such segment is looked at once until the replica goes on.
#[test]
fn a_held_replica_holds_its_segments() {
    let mut rig = Rig::new();
    let mut written = rig.write(vec![entry(ONE, 1, 1, 300), entry(TWO, 1, 1, 300)]);
    roll(&mut rig, 1);
    written.extend(rig.write(vec![entry(ONE, 1, 2, 300)]));
    roll(&mut rig, 3);
    let mut live = Holding::of(&written, &[TWO]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    let holds = |cleaned: &[Cleaned]| {
        let held = |one: &&Cleaned| {
            matches!(
                one,
                Cleaned::Held {
                    segment: 1,
                    replica: TWO
                }
            )
        };
        cleaned.iter().filter(held).count()
    };
    assert_eq!(holds(&cleaned), 1, "{cleaned:?}");
    assert!(freed(&cleaned).contains(&2) && !freed(&cleaned).contains(&1));
    assert_eq!(numbers(&rig.log)[0], 1);
    for (index, at) in written[..2].iter().enumerate() {
        assert_eq!(at.place.segment, 1, "{index}");
        assert!(rig.log.read(at.place, Some(at.checksum)).is_ok());
    }
    assert_eq!(holds(&clean(&mut rig, &mut cleaner, &live)), 0);

    live.held.clear();
    assert!(freed(&clean(&mut rig, &mut cleaner, &live)).contains(&1));
    drop(cleaner);
    let rig = rig.crash();
    assert_eq!((rig.indexes(ONE), rig.indexes(TWO)), (vec![1, 2], vec![1]));
}

/// Segments that wait for the checkpoint of a replica that will make none are no part of those that
/// may wait.
#[test]
fn segments_do_not_wait_for_a_held_replica() {
    let mut rig = Rig::new();
    roll(&mut rig, 20);
    let mut live = Holding::of(&[], &[ONE]);
    live.segments = (1..=15).map(|segment| (segment, ONE)).collect();
    let mut cleaner = Cleaner::new(rig.log.clone());
    let cleaned = freed(&clean(&mut rig, &mut cleaner, &live));
    assert!(cleaned.iter().all(|segment| *segment > 15));
    assert!(cleaned.len() >= 4, "{cleaned:?}");
    live.held.clear();
    live.segments.clear();
    let cleaned = freed(&clean(&mut rig, &mut cleaner, &live));
    assert_eq!(cleaned.iter().filter(|segment| **segment <= 15).count(), 15);
}

/// A replica is held when half of a segment is copied.
#[test]
fn a_replica_that_stops_in_between() {
    let mut rig = Rig::new();
    let written = rig.write((1..=4).map(|at| entry(ONE, 1, at, 700)).collect());
    roll(&mut rig, 3);
    let mut live = Holding::of(&written[..3], &[]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let told = live.refs.live_bytes();
    while !matches!(
        cleaner.step(&live, || told.clone(), 700),
        Ok(Cleaned::Copied { .. })
    ) {
        rig.writer.step().unwrap();
    }
    live.held.insert(ONE);
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert!(!freed(&cleaned).contains(&1), "{cleaned:?}");
    live.held.clear();
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert!(freed(&cleaned).contains(&1), "{cleaned:?}");
    let places = live.refs.places.lock().unwrap().clone();
    assert_eq!(places.len(), 3);
    for place in places {
        assert!(rig.log.read(place, None).is_ok());
    }
}

/// What is alive is counted only for a choice, and not while the cleaner waits.
#[test]
fn nothing_is_counted_while_it_waits() {
    let mut rig = Rig::new();
    let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 700)).collect());
    roll(&mut rig, 3);
    let live = Refs::to(&written[..2]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let counted = std::cell::Cell::new(0);
    let step = |cleaner: &mut Cleaner| {
        let count = || {
            counted.set(counted.get() + 1);
            live.live_bytes()
        };
        cleaner.step(&live, count, 10_000).unwrap()
    };
    while !matches!(step(&mut cleaner), Cleaned::Copying { .. }) {}
    let before = counted.take();
    assert!(before > 0, "one was chosen");
    for _ in 0..10 {
        assert_eq!(
            step(&mut cleaner),
            Cleaned::Waiting,
            "nobody writes the log"
        );
    }
    assert_eq!(counted.get(), 0);
    rig.writer.step().unwrap();
    // Others are freed first.
    let mut copied = (0..10).map(|_| step(&mut cleaner));
    assert!(copied.any(|cleaned| matches!(cleaned, Cleaned::Copied { .. })));
    assert_eq!(counted.get(), 0);
}
