//! Freeing segments, one behaviour a test. Random histories are in `crash`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use seglog::sim::{Fault, Operation, SimDisk};
use seglog::{Cleaned, Cleaner, Error, Live, Log, Options, Place, Record, RecordAt, Sync, Written};

use crate::rig::{ONE, Rig, TWO, at, body, entry, options, segment_name};

/// A layer above that refers to places.
#[derive(Default)]
pub struct Refs {
    pub places: Mutex<BTreeSet<Place>>,
    /// Segments that a checkpoint still names.
    pub named: Mutex<BTreeSet<u64>>,
    /// Where the entries at these indexes belong; all others at 0.
    pub homes: BTreeMap<u64, u128>,
}

impl Refs {
    pub fn of(records: &[RecordAt]) -> Self {
        let refs = Self::default();
        let places = records.iter().map(|record| record.place);
        refs.places.lock().unwrap().extend(places);
        refs
    }

    pub fn to(written: &[Written]) -> Self {
        let refs = Self::default();
        refs.add(written);
        refs
    }

    pub fn add(&self, written: &[Written]) {
        let places = written.iter().map(|written| written.place);
        self.places.lock().unwrap().extend(places);
    }

    pub fn live_bytes(&self) -> BTreeMap<u64, u64> {
        let mut live = BTreeMap::new();
        for place in self.places.lock().unwrap().iter() {
            *live.entry(place.segment).or_default() += place.record_bytes();
        }
        live
    }
}

impl Live for Refs {
    fn refers(&self, record: &RecordAt) -> bool {
        self.places.lock().unwrap().contains(&record.place)
    }

    fn home(&self, record: &RecordAt) -> u128 {
        self.homes.get(&record.index).copied().unwrap_or_default()
    }

    fn moved(&self, copies: &[(RecordAt, Place)]) {
        let mut places = self.places.lock().unwrap();
        for (record, place) in copies {
            if places.remove(&record.place) {
                places.insert(*place);
            }
        }
    }

    fn settled(&self, segment: u64) -> bool {
        !self.named.lock().unwrap().contains(&segment)
    }
}

/// Steps until nothing more happens; gives what did.
pub fn clean(rig: &mut Rig, cleaner: &mut Cleaner, live: &Refs) -> Vec<Cleaned> {
    let mut all = Vec::new();
    for _ in 0..200 {
        let cleaned = cleaner.step(live, || live.live_bytes(), 1000).unwrap();
        rig.writer.step().unwrap();
        if cleaned == Cleaned::Idle {
            break;
        }
        all.push(cleaned);
    }
    all
}

pub fn freed(cleaned: &[Cleaned]) -> Vec<u64> {
    let freed = cleaned.iter().filter_map(|cleaned| match cleaned {
        Cleaned::Freed { segment, .. } => Some(*segment),
        _ => None,
    });
    freed.collect()
}

pub fn numbers(log: &Log) -> Vec<u64> {
    let segments = log.segments().unwrap();
    segments.iter().map(|segment| segment.number).collect()
}

/// Rolls on, so that what was written before may be cleaned.
pub fn roll(rig: &mut Rig, segments: u64) {
    let until = rig.log.active_segment() + segments;
    while rig.log.active_segment() < until {
        rig.write(vec![Record::commit(TWO, 1, 1, body(9, 9, 900))]);
    }
}

#[test]
fn a_segment_without_life_is_freed() {
    let mut rig = Rig::new();
    let written = rig.write((1..=6).map(|at| entry(ONE, 1, at, 700)).collect());
    rig.write(vec![
        Record::vote(ONE, Bytes::from("v")),
        Record::purge(ONE, 1, 6),
    ]);
    roll(&mut rig, 3);
    let last = rig.log.active_segment();
    let mut cleaner = Cleaner::new(rig.log.clone());
    let before = rig.log.stats();
    assert_eq!(numbers(&rig.log), (1..=last).collect::<Vec<_>>());
    let cleaned = clean(&mut rig, &mut cleaner, &Refs::default());
    // The newest sealed one stays.
    assert_eq!(freed(&cleaned), (1..last - 1).collect::<Vec<_>>());
    assert_eq!(numbers(&rig.log), [last - 1, last]);
    let stats = rig.log.stats();
    assert_eq!((stats.segments, stats.copied_bytes), (2, 0));
    assert_eq!(stats.freed_bytes, (last - 2) * 4096);
    // All that fit among those that are kept.
    assert_eq!(stats.spare_segments, before.spare_segments + last - 2);
    drop(cleaner);
    // Late readers are told.
    let place = written[0].place;
    assert!(matches!(
        rig.log.read(place, None),
        Err(Error::Freed { segment: 1 })
    ));
    assert!(matches!(rig.log.records(1), Err(Error::Freed { .. })));
    assert_eq!(rig.log.scrub(1).unwrap(), []);
    for reopened in [Rig::reopen, Rig::crash] {
        rig = reopened(rig);
        assert_eq!(
            (rig.recovered.torn, &rig.recovered.damage[..]),
            (None, &[][..])
        );
        assert_eq!(rig.recovered.replicas[&ONE].vote, Some(Bytes::from("v")));
        assert_eq!(rig.recovered.replicas[&ONE].purged, Some((1, 6)));
        assert_eq!(numbers(&rig.log), [last - 1, last]);
        let late = rig.log.read(place, None);
        assert!(matches!(late, Err(Error::Freed { segment: 1 })));
    }
    // Recycled files are written again, and what they held is not seen.
    rig.write((7..=20).map(|at| entry(ONE, 1, at, 700)).collect());
    let rig = rig.crash();
    assert_eq!(rig.indexes(ONE), (7..=20).collect::<Vec<_>>());
    assert_eq!(rig.recovered.damage, []);
}

/// Whoever appended the body of an entry knows where it lies; the log has to know it too, or it
/// would take what is needed for dead.
#[test]
fn bodies_without_an_entry_are_kept() {
    let mut rig = Rig::new();
    let bodies = (1..=6).map(|at| Record::body(ONE, (1, at), vec![body(1, at, 700)]));
    let written = rig.write(bodies.collect());
    roll(&mut rig, 3);
    let first = rig.log.records(1).unwrap();
    let places = |range: std::ops::Range<usize>| written[range].iter().map(|it| it.place);
    let in_first = places(0..6).filter(|place| place.segment == 1).count();
    let found = first.records.iter().map(|record| record.place);
    assert!(in_first > 3 && found.eq(places(0..in_first)));
    let refs = Refs::to(&written[1..2]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let cleaned = clean(&mut rig, &mut cleaner, &refs);
    drop(cleaner);
    assert!(freed(&cleaned).contains(&1));
    let moved = *refs.places.lock().unwrap().first().unwrap();
    assert_ne!(moved, written[1].place);
    let (read, expected) = (rig.log.read(moved, None).unwrap(), body(1, 2, 700));
    assert_eq!(read, expected);
    // A copy is listed too.
    roll(&mut rig, 3);
    let rig = rig.crash();
    let records = rig.log.records(moved.segment).unwrap().records;
    assert!(records.iter().any(|record| record.place == moved));
}

/// Replica by replica, home by home, and then as they were first written: also if they were not in
/// order when they were copied, and whatever fits into one batch.
#[test]
fn copies_lie_side_by_side_where_they_belong() {
    let mut rig = Rig::new();
    let mixed = [TWO, ONE, TWO, ONE, ONE, ONE, ONE, TWO, ONE, TWO, ONE, ONE];
    let entries = (1..).zip(mixed).map(|(at, id)| entry(id, 1, at, 60));
    let written = rig.write(entries.collect());
    rig.write(vec![entry(ONE, 1, 13, 600)]);
    let segments = written.iter().map(|written| written.place.segment);
    assert!(segments.eq([1; 12]), "one segment is cleaned");
    let mut live = Refs::to(&written);
    // Before the others, and after them.
    live.homes = BTreeMap::from([(4, u128::MAX), (5, 7), (9, 7), (1, 7), (3, 2), (12, 2)]);
    let order = |live: &Refs, rig: &Rig| -> Vec<u64> {
        let places = live.places.lock().unwrap();
        let read = |place: &Place| rig.log.read(*place, None).unwrap();
        let index = |payload: Bytes| (1..13).find(|at| payload == body(1, *at, 60));
        places.iter().filter_map(|at| index(read(at))).collect()
    };
    assert_eq!(order(&live, &rig), (1..13).collect::<Vec<_>>());
    for homes in [live.homes.clone(), BTreeMap::from([(2, 3), (1, 1)])] {
        live.homes = homes;
        // What else is in the segment dies.
        roll(&mut rig, 3);
        let mut cleaner = Cleaner::new(rig.log.clone());
        let cleaned = clean(&mut rig, &mut cleaner, &live);
        let batches = cleaned.iter();
        let batches = batches.filter(|cleaned| matches!(cleaned, Cleaned::Copied { .. }));
        assert!(batches.count() > 1, "{cleaned:?}");
        drop(cleaner);
        let expected = match live.homes.len() {
            6 => [2, 6, 7, 11, 12, 5, 9, 4, 8, 10, 3, 1],
            _ => [4, 5, 6, 7, 9, 11, 12, 2, 3, 8, 10, 1],
        };
        assert_eq!(order(&live, &rig), expected);
    }
    assert_eq!(rig.crash().recovered.damage, []);
}

#[test]
fn segments_tell_what_they_hold() {
    let mut rig = Rig::new();
    let written = rig.write((1..=6).map(|at| entry(ONE, 1, at, 700)).collect());
    let segments = rig.log.segments().unwrap();
    let bytes = |segment: u64| -> u64 {
        let places = written.iter().map(|written| written.place);
        let places = places.filter(|place| place.segment == segment);
        places.map(|place| place.record_bytes()).sum()
    };
    assert_eq!(segments.len(), 2);
    for segment in &segments {
        assert_eq!(segment.bytes, bytes(segment.number));
        assert_eq!(segment.file_bytes, 4096);
        assert_eq!(segment.sealed, segment.number == 1);
    }
    let records = rig.log.records(1).unwrap();
    let expected = written.iter().enumerate().map(|(n, written)| {
        let record = entry(ONE, 1, n as u64 + 1, 700);
        at(&record, written)
    });
    let expected: Vec<RecordAt> = expected.filter(|at| at.place.segment == 1).collect();
    assert_eq!(
        (records.records, records.damage),
        (expected.clone(), vec![])
    );
    assert!(matches!(rig.log.records(2), Err(Error::OutOfRange { .. })));
    // Without its index it is scanned.
    assert!(rig.disk.flip(&segment_name(1), 4090, 1));
    assert_eq!(rig.log.records(1).unwrap().records, expected);
}

/// Entries, rows and base records of which some are copied and others not, some twice, and the
/// originals gone: all of them stand for what they were.
#[test]
fn runs_are_whole_after_they_moved_in_part() {
    for parts in [1_u64, 2, 3] {
        let mut rig = Rig::new();
        let rows = |n| Record::rows(ONE, (1, 20), (n == 1, n == 7), vec![body(3, n, 500)]);
        let base = |n| Record::base(ONE, (1, 10), (n == 1, n == 6), vec![body(2, n, 500)]);
        let mut written = rig.write((1..=3).map(|n| entry(ONE, 1, n, 500)).collect());
        // A run that was given up before, and one that the base replaces.
        let old = rig.write(vec![
            Record::rows(ONE, (1, 5), (true, false), vec![body(5, 1, 400)]),
            Record::rows(ONE, (1, 6), (true, false), vec![body(5, 2, 400)]),
            Record::rows(ONE, (1, 6), (false, true), vec![body(5, 3, 400)]),
        ]);
        written.extend(rig.write((1..=6).map(base).collect()));
        written.extend(rig.write((1..=7).map(rows).collect()));
        rig.write(vec![Record::rows(
            ONE,
            (1, 30),
            (true, false),
            vec![body(4, 1, 500)],
        )]);
        roll(&mut rig, 3);
        let expected = rig.reopen();
        let expected_one = expected.recovered.replicas[&ONE].clone();
        let mut rig = expected;
        let live = Refs::to(&written);
        let mut cleaner = Cleaner::new(rig.log.clone());
        // Some records die with their segments, others are copied at most twice.
        for round in 0..3 {
            let told: BTreeMap<u64, u64> = (1..rig.log.active_segment())
                .filter(|segment| segment % parts != round % parts)
                .map(|segment| (segment, 4096))
                .collect();
            for _ in 0..60 {
                cleaner.step(&live, || told.clone(), 1000).unwrap();
                rig.writer.step().unwrap();
            }
            roll(&mut rig, 2);
        }
        clean(&mut rig, &mut cleaner, &live);
        drop(cleaner);
        assert!(rig.log.read(old[0].place, None).is_err());
        assert!(rig.log.stats().copied_bytes > 0);
        let rig = rig.crash();
        let one = &rig.recovered.replicas[&ONE];
        assert_eq!(rig.recovered.damage, []);
        assert_eq!(
            (one.base.len(), one.rows.len(), one.entries.len()),
            (6, 7, 3)
        );
        let shape = |list: &[seglog::RowsAt]| -> Vec<_> {
            list.iter()
                .map(|at| (at.index, at.position, at.checksum, at.last))
                .collect()
        };
        assert_eq!(shape(&one.base), shape(&expected_one.base));
        assert_eq!(shape(&one.rows), shape(&expected_one.rows));
        let places = live.places.lock().unwrap().clone();
        let rows = one
            .rows
            .iter()
            .chain(&one.base)
            .map(|at| (at.place, at.checksum));
        let entries = one.entries.iter().map(|at| (at.place, at.checksum));
        for (place, checksum) in rows.chain(entries) {
            assert!(places.contains(&place));
            rig.log.read(place, Some(checksum)).unwrap();
        }
    }
}

/// Copies of a base count for it, also while the next one is being written, and copies of that one
/// count once it is complete.
#[test]
fn bases_that_move_while_one_is_written() {
    for moved_before in [false, true] {
        bases_that_move(moved_before);
    }
}

fn bases_that_move(moved_before: bool) {
    let mut rig = Rig::new();
    let base =
        |index, n, last| Record::base(ONE, (1, index), (n == 1, last), vec![body(index, n, 700)]);
    let live = Refs::default();
    let shape = |rig: &Rig| -> Vec<(u64, bool)> {
        let base = &rig.recovered.replicas[&ONE].base;
        let in_place = |at: &seglog::RowsAt| at.place.segment == at.position.segment();
        base.iter().map(|at| (at.index, in_place(at))).collect()
    };
    // Half of a segment each, the other half dies.
    let write = |rig: &mut Rig, record| {
        let written = rig.write(vec![record, entry(TWO, 1, 1, 900), entry(TWO, 1, 1, 900)]);
        live.add(&written[..1]);
        roll(rig, 2);
    };
    let all = |rig: &mut Rig| {
        let mut cleaner = Cleaner::new(rig.log.clone());
        clean(rig, &mut cleaner, &live);
        roll(rig, 2);
    };
    write(&mut rig, base(5, 1, false));
    write(&mut rig, base(5, 2, true));
    if moved_before {
        all(&mut rig);
    }
    write(&mut rig, base(9, 1, false));
    if !moved_before {
        all(&mut rig);
    }
    // Nothing of the new one counts after a restart.
    let disk = rig.disk.clone();
    drop(rig);
    let copied = Rig::open(&disk, options()).unwrap();
    assert_eq!(shape(&copied), [(5, false), (5, false)]);
    let mut rig = copied;
    write(&mut rig, base(12, 1, false));
    write(&mut rig, base(12, 2, false));
    all(&mut rig);
    write(&mut rig, base(12, 3, true));
    rig.write((1..=10).map(|n| entry(TWO, 2, n, 700)).collect());
    let mut rig = rig.crash();
    assert_eq!(shape(&rig), [(12, false), (12, false), (12, true)]);
    for at in rig.recovered.replicas[&ONE].base.clone() {
        rig.log.read(at.place, Some(at.checksum)).unwrap();
    }
    all(&mut rig);
    let rig = rig.crash();
    assert_eq!(shape(&rig), [(12, false), (12, false), (12, false)]);
    assert_eq!(rig.recovered.damage, []);
}

/// Truncations and purges go on hiding copies after the segments in which they stood are gone.
#[test]
fn what_was_hidden_stays_hidden() {
    let mut rig = Rig::new();
    rig.write(vec![entry(TWO, 1, 1, 600)]);
    let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 500)).collect());
    let live = Refs::to(&written);
    rig.write(vec![Record::truncate(ONE, 4), Record::purge(ONE, 1, 2)]);
    roll(&mut rig, 3);
    for _ in 0..3 {
        let mut cleaner = Cleaner::new(rig.log.clone());
        clean(&mut rig, &mut cleaner, &live);
        drop(cleaner);
        roll(&mut rig, 3);
        rig = rig.reopen();
        assert_eq!(rig.indexes(ONE), [3]);
        assert!(!numbers(&rig.log).contains(&1));
    }
    // The bytes are there for whoever refers to them.
    let places = live.places.lock().unwrap().clone();
    assert_eq!(places.len(), 5);
    for place in places {
        assert_eq!(rig.log.read(place, None).unwrap().len(), 500);
    }
    // An entry at the same index counts, its older copies do not.
    rig.write(vec![entry(ONE, 2, 4, 20)]);
    assert_eq!(rig.crash().entries(ONE)[1], (2, 4, body(2, 4, 20)));
}

#[test]
fn nothing_is_freed_before_it_is_settled() {
    let mut rig = Rig::new();
    let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 700)).collect());
    let live = Refs::to(&written[3..4]);
    live.named.lock().unwrap().insert(1);
    roll(&mut rig, 2);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert_eq!(cleaned.last(), Some(&Cleaned::Waiting));
    assert_eq!(freed(&cleaned), [2]);
    // Both can be read until then.
    let old = rig.log.read(written[3].place, None).unwrap();
    let new = *live.places.lock().unwrap().first().unwrap();
    assert_eq!(rig.log.read(new, None).unwrap(), old);
    live.named.lock().unwrap().clear();
    // Somebody came to refer to another record of it: that one is copied first.
    live.add(&written[..1]);
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert_eq!(freed(&cleaned)[0], 1);
    let copied = cleaned
        .iter()
        .filter(|cleaned| matches!(cleaned, Cleaned::Copied { .. }));
    assert_eq!(copied.count(), 1);
    for place in live.places.lock().unwrap().iter() {
        assert_eq!(rig.log.read(*place, None).unwrap().len(), 700);
    }
}

/// What is mostly alive is left alone, whatever is told of it.
#[test]
fn cleaning_comes_to_rest() {
    let mut rig = Rig::new();
    let mut written = rig.write((1..=30).map(|at| entry(ONE, 1, at, 300)).collect());
    roll(&mut rig, 2);
    written.retain(|written| written.place.segment < 4);
    let live = Refs::to(&written);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let first = cleaner.step(&live, BTreeMap::new, 1000).unwrap();
    assert!(
        matches!(first, Cleaned::Passed { segment: 1, .. }),
        "{first:?}"
    );
    assert_eq!(rig.log.stats().copied_bytes, 0);
    // Told again what was told, it does not look again.
    let again = cleaner.step(&live, BTreeMap::new, 1000).unwrap();
    assert!(
        matches!(again, Cleaned::Passed { segment: 2, .. }),
        "{again:?}"
    );
    live.places.lock().unwrap().pop_first();
    live.places.lock().unwrap().pop_first();
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert!(freed(&cleaned).contains(&1) && !freed(&cleaned).contains(&2));
}

/// Room that was left because the next record was too large for it is not worth copying: the next
/// segment would leave as much. Room that a crash left is.
#[test]
fn unfilled_segments() {
    for crashed in [false, true] {
        let mut rig = Rig::new();
        let count = if crashed { 1 } else { 3 };
        let mut written = rig.write((1..=count).map(|at| entry(ONE, 1, at, 700)).collect());
        if crashed {
            // A tail that is torn seals the segment.
            rig.queue(vec![entry(ONE, 1, 2, 700)], Sync::Lazy);
            rig.writer.step().unwrap();
            let end = written[0].place.offset + 704;
            assert!(rig.disk.flip(&segment_name(1), u64::from(end) + 100, 1));
            rig = rig.reopen();
            assert!(rig.recovered.torn.is_some());
        }
        written.extend(rig.write(vec![entry(ONE, 1, 4, 1024)]));
        assert_eq!(written.last().unwrap().place.segment, 2);
        let live = Refs::to(&written);
        roll(&mut rig, 2);
        let mut cleaner = Cleaner::new(rig.log.clone());
        let first = cleaner.step(&live, || live.live_bytes(), 1000).unwrap();
        let chosen = matches!(first, Cleaned::Chose { segment: 1, .. });
        assert_eq!(chosen, crashed, "{first:?}");
    }
}

/// Cleaning needs room for copies and says so. Segments without life need none.
#[test]
fn a_full_disk() {
    let mut rig = Rig::open(
        &SimDisk::new(),
        Options {
            spare_segments: 0,
            ..options()
        },
    )
    .unwrap();
    let written = rig.write((1..=20).map(|at| entry(ONE, 1, at, 700)).collect());
    let last = rig.log.active_segment();
    let full = rig.disk.clone();
    full.set_capacity(Some(last * 4096));
    // Two of each.
    let live = Refs::default();
    let halves = written.chunks(2).map(|pair| &pair[..1]);
    halves.for_each(|half| live.add(half));
    let mut cleaner = Cleaner::new(rig.log.clone());
    let copied = |log: &Log| log.stats().copied_bytes;
    let stuck = loop {
        match cleaner.step(&live, || live.live_bytes(), 1000).unwrap() {
            Cleaned::NoRoom { segment, .. } => break segment,
            Cleaned::Idle => panic!("copied without room"),
            _ => rig.writer.step().unwrap(),
        };
    };
    assert!(copied(&rig.log) < 4096, "{:?}", rig.log.stats());
    // Others can still write, and life ends elsewhere.
    rig.write(vec![Record::purge(ONE, 1, 5)]);
    live.places
        .lock()
        .unwrap()
        .retain(|place| place.segment == stuck);
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert!(freed(&cleaned).contains(&stuck), "{cleaned:?}");
    assert!(rig.log.stats().segments <= 3);
}

/// What was written and not yet told to those who wrote it is not asked about.
#[test]
fn a_batch_that_waits_for_room_is_left_alone() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk, options()).unwrap();
    disk.set_capacity(Some(5 * 4096));
    let records = (1..=30).map(|at| entry(ONE, 1, at, 700)).collect();
    let outcome = rig.queue(records, Sync::Required);
    assert!(matches!(rig.writer.step(), Err(Error::NoSpace { .. })));
    assert!(rig.log.active_segment() > 3 && outcome.lock().unwrap().is_none());
    let mut cleaner = Cleaner::new(rig.log.clone());
    let step = cleaner.step(&Refs::default(), BTreeMap::new, 1000);
    assert_eq!(step.unwrap(), Cleaned::Idle);
    disk.set_capacity(None);
    rig.writer.step().unwrap();
    let written = outcome.lock().unwrap().take().unwrap().unwrap();
    let live = Refs::to(&written[..3]);
    assert!(!freed(&clean(&mut rig, &mut cleaner, &live)).is_empty());
    let places = live.places.lock().unwrap();
    assert!(places.iter().all(|at| rig.log.read(*at, None).is_ok()));
}

/// If a freed segment's file cannot be removed, the next open does it.
#[test]
fn a_file_that_stays() {
    for operation in [Operation::Rename, Operation::SyncDir] {
        let mut rig = Rig::new();
        rig.write((1..=6).map(|at| entry(ONE, 1, at, 700)).collect());
        roll(&mut rig, 2);
        let disk = rig.disk.clone();
        let mut cleaner = Cleaner::new(rig.log.clone());
        disk.fail(operation, 0, Fault::Io);
        let failed = (0..10).find_map(|_| {
            let step = cleaner.step(&Refs::default(), BTreeMap::new, 1000);
            rig.writer.step().unwrap();
            step.err()
        });
        assert!(matches!(failed, Some(Error::Io { op: "recycle", .. })));
        rig.write(vec![entry(ONE, 1, 7, 10)]);
        drop(cleaner);
        let rig = rig.crash();
        assert_eq!(rig.recovered.damage, []);
        assert!(!numbers(&rig.log).contains(&1));
        assert_eq!(disk.contents(&segment_name(1)), None);
    }
}
