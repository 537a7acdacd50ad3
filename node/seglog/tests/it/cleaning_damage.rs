//! Freeing segments of a log that is damaged.

use std::collections::BTreeMap;

use bytes::Bytes;
use seglog::disk::Disk;
use seglog::sim::{Fault, Operation};
use seglog::{Cleaned, Cleaner, Error, Live, Record, What, Written};

use crate::cleaning::{Refs, clean, freed, numbers, roll};
use crate::rig::{ONE, Rig, TWO, entry, options, segment_name};

#[test]
fn a_damaged_record_keeps_its_segment() {
    let mut rig = Rig::new();
    let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 700)).collect());
    roll(&mut rig, 2);
    let live = Refs::to(&written[..2]);
    let bad = written[0].place;
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(bad.offset) + 9, 1)
    );
    let mut cleaner = Cleaner::new(rig.log.clone());
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    let kept = cleaned.iter().find_map(|cleaned| match cleaned {
        Cleaned::Kept { segment: 1, damage } => Some(damage[0]),
        _ => None,
    });
    let damage = kept.unwrap();
    assert_eq!(
        (damage.what, damage.record.map(|record| record.place)),
        (What::Record, Some(bad))
    );
    assert_eq!(freed(&cleaned), [2]);
    assert_eq!(
        cleaner.step(&live, || live.live_bytes(), 1000).unwrap(),
        Cleaned::Idle
    );
    // Mended, and told.
    let original = damage.record.unwrap();
    let copy = rig.copy(vec![(original, entry(ONE, 1, 1, 700))])[0];
    live.moved(&[(original, copy.place)]);
    cleaner.retry(1);
    assert_eq!(freed(&clean(&mut rig, &mut cleaner, &live))[0], 1);
    drop(cleaner);
    let rig = rig.crash();
    assert_eq!(rig.recovered.damage, []);
    assert_eq!(rig.indexes(ONE)[0], 1);
}

/// Damage without a header may be anybody's. What was reported is gone with the segment.
#[test]
fn damage_of_nobody_known() {
    let mut rig = Rig::new();
    let written = rig.write((1..=3).map(|at| entry(ONE, 1, at, 700)).collect());
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(written[1].place.offset) - 50, 1)
    );
    let mut rig = rig.reopen();
    assert_eq!(rig.recovered.damage.len(), 1);
    roll(&mut rig, 3);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let live = Refs::default();
    let cleaned = clean(&mut rig, &mut cleaner, &live);
    assert!(matches!(
        &cleaned[..],
        [Cleaned::Kept { segment: 1, .. }, ..]
    ));
    assert!(!freed(&cleaned).contains(&1));
    drop(cleaner);
    rig = rig.reopen();
    assert_eq!(rig.recovered.damage.len(), 1);
    let mut cleaner = Cleaner::new(rig.log.clone());
    cleaner.retry(1);
    assert_eq!(freed(&clean(&mut rig, &mut cleaner, &live))[0], 1);
    drop(cleaner);
    assert_eq!(rig.reopen().recovered.damage, []);
}

/// Should the newest block be damaged, the state is made of the one before it and its records,
/// however much was freed.
#[test]
fn a_damaged_block_after_cleaning() {
    let mut rig = Rig::new();
    rig.write(vec![Record::vote(ONE, Bytes::from("v"))]);
    roll(&mut rig, 3);
    rig.write(vec![Record::vote(TWO, Bytes::from("w"))]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    clean(&mut rig, &mut cleaner, &Refs::default());
    drop(cleaner);
    let last = rig.log.active_segment();
    assert!(rig.disk.flip(&segment_name(last), 20, 1));
    let rig = rig.reopen();
    let whats: Vec<What> = rig
        .recovered
        .damage
        .iter()
        .map(|damage| damage.what)
        .collect();
    assert_eq!(whats, [What::Block]);
    assert_eq!(rig.recovered.replicas[&ONE].vote, Some(Bytes::from("v")));
    assert_eq!(rig.recovered.replicas[&TWO].vote, Some(Bytes::from("w")));
}

/// If two blocks are damaged, what freed segments said of votes and marks is lost, and it is told
/// that they are missed; one of which the file is still there is not missed, nor is its damage
/// anybody's.
#[test]
fn two_damaged_blocks_after_cleaning() {
    let mut rig = Rig::new();
    let written = rig.write(vec![entry(ONE, 1, 1, 100), entry(ONE, 1, 2, 100)]);
    rig.write(vec![Record::vote(ONE, Bytes::from("v"))]);
    roll(&mut rig, 4);
    let disk = rig.disk.clone();
    let mut cleaner = Cleaner::new(rig.log.clone());
    disk.fail(Operation::Rename, 0, Fault::Io);
    let live = Refs::default();
    while cleaner.step(&live, BTreeMap::new, 1000).is_ok() {
        rig.writer.step().unwrap();
    }
    clean(&mut rig, &mut cleaner, &live);
    drop(cleaner);
    let last = rig.log.active_segment();
    drop(rig);
    let segments = disk.list().unwrap();
    assert!(segments.contains(&segment_name(1)) && !segments.contains(&segment_name(2)));
    assert!(disk.flip(&segment_name(1), u64::from(written[0].place.offset), 1));
    for segment in [last - 1, last] {
        assert!(disk.flip(&segment_name(segment), 20, 1));
    }
    let rig = Rig::open(&disk, options()).unwrap();
    let missing = rig.recovered.damage.iter();
    let missing = missing.filter(|damage| damage.what == What::Missing);
    let missing: Vec<u64> = missing.map(|damage| damage.segment).collect();
    assert_eq!(missing, (2..last - 1).collect::<Vec<_>>());
    assert!(
        rig.recovered
            .damage
            .iter()
            .all(|damage| damage.segment != 1)
    );
}

/// A segment that is lost is missed, between others that were freed.
#[test]
fn a_lost_segment_is_missed() {
    let mut rig = Rig::new();
    let written = rig.write((1..=20).map(|at| entry(ONE, 1, at, 700)).collect());
    let kept = written.iter().copied();
    let kept: Vec<Written> = kept.filter(|at| at.place.segment == 2).collect();
    let mut cleaner = Cleaner::new(rig.log.clone());
    clean(&mut rig, &mut cleaner, &Refs::to(&kept));
    let left = numbers(&rig.log);
    assert!(left[0] == 2 && left[1] > 3, "{left:?}");
    let disk = rig.disk.clone();
    drop((rig, cleaner));
    disk.remove(&segment_name(2)).unwrap();
    let rig = Rig::open(&disk, options()).unwrap();
    let [damage] = rig.recovered.damage[..] else {
        panic!("{:?}", rig.recovered.damage)
    };
    assert_eq!((damage.segment, damage.what), (2, What::Missing));
}

/// A disk that does not read for a while takes no segment out of cleaning for good, and what it
/// does not read is tried less and less often.
#[test]
fn what_could_not_be_read_is_tried_again() {
    let mut rig = Rig::new();
    let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 700)).collect());
    roll(&mut rig, 3);
    let live = Refs::to(&written[..2]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    let mut reads = None;
    let mut failures = |rig: &Rig, cleaner: &mut Cleaner, steps: u32| {
        let mut failed = 0;
        for _ in 0..steps {
            // No read works, of whatever segment: there is one fault ahead at any time.
            let done = rig.disk.count(Operation::Read);
            if reads.replace(done) != Some(done) {
                rig.disk.fail(Operation::Read, 0, Fault::Io);
            }
            match cleaner.step(&live, || live.live_bytes(), 1000) {
                Err(Error::Io { .. }) => failed += 1,
                Ok(Cleaned::Idle) => {}
                other => panic!("{other:?}"),
            }
        }
        failed
    };
    let first = failures(&rig, &mut cleaner, 300);
    let later = failures(&rig, &mut cleaner, 300);
    assert!(later > 0, "it is tried again");
    assert!(later < first, "{later} of {first}");

    // It works again.
    let mut done = Vec::new();
    for _ in 0..2000 {
        done.extend(cleaner.step(&live, || live.live_bytes(), 1000));
        rig.writer.step().unwrap();
    }
    let mut all = freed(&done);
    all.sort_unstable();
    assert_eq!(all[..2], [1, 2]);
    assert_eq!(
        cleaner.step(&live, || live.live_bytes(), 1000).unwrap(),
        Cleaned::Idle
    );
}
