//! How much more the log can take, and what it leaves to others.

use std::sync::Arc;

use seglog::disk::Disk;
use seglog::sim::SimDisk;
use seglog::{Cleaned, Cleaner, Error, Options, Record, Sync};

use crate::cleaning::{Refs, clean, freed, roll};
use crate::rig::{ONE, Outcome, Rig, entry, options};

const SEGMENT: u64 = 4096;

fn rig_with(options: Options) -> Rig {
    Rig::open(&SimDisk::new(), options).unwrap()
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(*outcome.lock().unwrap(), Some(Ok(_)))
}

/// Appends until the log takes no more; gives what waits.
fn fill(rig: &mut Rig) -> Outcome {
    for at in 1..1000 {
        let outcome = rig.queue(vec![entry(ONE, 1, at, 700)], Sync::Required);
        match rig.writer.step() {
            Ok(_) => assert!(is_done(&outcome)),
            Err(Error::NoSpace { .. }) => return outcome,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the log has no end");
}

#[test]
fn room_is_what_is_ready_and_whole_segments_of_the_disk() {
    let mut rig = Rig::new();
    rig.disk.set_capacity(Some(10 * SEGMENT - 1));
    let new = rig.log.room().unwrap();
    assert_eq!(new.disk_bytes, 8 * SEGMENT);
    assert!(new.ready_bytes > 0 && new.ready_bytes < SEGMENT);

    rig.log.prepare().unwrap();
    let prepared = rig.log.room().unwrap();
    assert_eq!(prepared.disk_bytes, 7 * SEGMENT);
    assert!(prepared.ready_bytes > new.ready_bytes);

    rig.write(vec![entry(ONE, 1, 1, 700)]);
    let written = rig.log.room().unwrap();
    assert!(written.ready_bytes + 700 <= prepared.ready_bytes);
    assert!(written.bytes() < prepared.bytes());
    fill(&mut rig);
    let full = rig.log.room().unwrap();
    assert!(full.disk_bytes == 0 && full.ready_bytes < 1000, "{full:?}");
}

/// The log does not take what is kept of the disk, though an open may have to.
#[test]
fn what_is_kept_of_the_disk_is_left() {
    let kept = Options {
        disk_kept_bytes: 2 * SEGMENT + 10,
        ..options()
    };
    let mut rig = rig_with(kept.clone());
    rig.disk.set_capacity(Some(6 * SEGMENT));
    assert_eq!(rig.log.room().unwrap().disk_bytes, 2 * SEGMENT);
    let waits = fill(&mut rig);
    assert_eq!(rig.log.stats().segments, 3);
    assert!(rig.disk.free_bytes().unwrap() >= kept.disk_kept_bytes);
    assert!(!rig.log.prepare().is_ok_and(|made| made) && !rig.log.has_room(10));

    // A torn tail needs a new segment before anything can be done about it.
    let disk = rig.disk.clone();
    let torn = rig.queue(vec![entry(ONE, 1, 500, 10)], Sync::Lazy);
    disk.power_off_at(disk.operations() + 1);
    let _ = rig.writer.step();
    drop(rig);
    assert!(!is_done(&waits) && !is_done(&torn));
    disk.crash(|_| true);
    Rig::open(&disk, kept).unwrap();
}

#[test]
fn a_log_takes_no_more_than_it_may_and_recovers() {
    let most = |segments| Options {
        bytes_max: segments * SEGMENT,
        spare_segments: 0,
        ..options()
    };
    let mut rig = rig_with(most(4));
    assert_eq!(rig.log.room().unwrap().disk_bytes, 3 * SEGMENT);
    let mut at = 0;
    while rig.log.room().unwrap().bytes() >= 1000 {
        at += 1;
        rig.write(vec![entry(ONE, 1, at, 700)]);
    }
    assert_eq!(rig.log.stats().segments, 4);

    // Cleaning wins room.
    let live = Refs::default();
    let mut cleaner = Cleaner::new(rig.log.clone());
    while cleaner.step(&live, || live.live_bytes(), 1000).unwrap() != Cleaned::Idle {
        rig.writer.step().unwrap();
    }
    assert!(rig.log.room().unwrap().bytes() > SEGMENT);
    rig.write(vec![entry(ONE, 1, at + 1, 700)]);

    // Or somebody allows for more.
    drop(cleaner);
    assert!(!is_done(&fill(&mut rig)));
    let mut rig = rig.reopen_with(most(6));
    assert!(rig.log.room().unwrap().disk_bytes >= SEGMENT);
    rig.write(vec![Record::purge(ONE, 1, 1)]);
}

/// Copies take space twice until their segments are freed: with little room, of one at a time.
#[test]
fn few_segments_are_cleaned_at_once_when_room_is_short() {
    let settling = |capacity: u64, reserve_bytes: u64| {
        let mut rig = rig_with(Options {
            spare_segments: 0,
            reserve_bytes,
            ..options()
        });
        let written = rig.write((1..=24).map(|at| entry(ONE, 1, at, 700)).collect());
        roll(&mut rig, 2);
        let segments = rig.log.stats().segments;
        rig.disk.set_capacity(Some((segments + capacity) * SEGMENT));
        let live = Refs::default();
        for pair in written.chunks(2) {
            live.add(&pair[..1]);
        }
        // Somebody durable still names the old places.
        live.named.lock().unwrap().extend(1..=segments);
        let mut cleaner = Cleaner::new(rig.log.clone());
        let mut copied = std::collections::BTreeSet::new();
        for _ in 0..200 {
            match cleaner.step(&live, || live.live_bytes(), 1000).unwrap() {
                Cleaned::Copied { segment, .. } => drop(copied.insert(segment)),
                Cleaned::NoRoom { .. } => panic!("another one settles"),
                _ => {}
            }
            rig.writer.step().unwrap();
        }
        // What waits for a checkpoint can be freed once that comes: there is room for it.
        assert!(rig.log.room().unwrap().bytes() > SEGMENT / 8);
        live.named.lock().unwrap().clear();
        let freed = (0..500).any(|_| {
            rig.writer.step().unwrap();
            let step = cleaner.step(&live, || live.live_bytes(), 1000).unwrap();
            matches!(step, Cleaned::Freed { .. })
        });
        assert!(freed);
        copied.len()
    };
    assert!(settling(20, 4 * SEGMENT) > 3);
    assert_eq!(settling(2, 4 * SEGMENT), 1);
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    assert_eq!(disk.free_bytes().unwrap(), u64::MAX);
}

/// While there is room, what is mostly alive is left where it is; where room is short, it is copied
/// for the little that is won.
#[test]
fn more_is_cleaned_when_room_is_short() {
    let cleaned = |capacity: Option<u64>| {
        let mut rig = rig_with(Options {
            clean_win_part: 2,
            spare_segments: 0,
            ..options()
        });
        let written = rig.write((1..=40).map(|at| entry(ONE, 1, at, 700)).collect());
        roll(&mut rig, 2);
        let segments = rig.log.stats().segments;
        rig.disk
            .set_capacity(capacity.map(|more| (segments + more) * SEGMENT));
        // A quarter of it is dead.
        let live = Refs::default();
        for four in written.chunks(4) {
            live.add(&four[1..]);
        }
        let mut cleaner = Cleaner::new(rig.log.clone());
        freed(&clean(&mut rig, &mut cleaner, &live)).len()
    };
    assert_eq!(cleaned(None), 0);
    assert_eq!(cleaned(Some(40)), 0);
    assert!(cleaned(Some(2)) > 0);
}
