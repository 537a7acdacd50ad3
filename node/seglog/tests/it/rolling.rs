//! Lives that end in the middle of rolling over to the next segment, and the lives after them.

use seglog::sim::{Fault, Operation, SimDisk, Unsynced};
use seglog::{Error, Options, Record, Sync, Torn};

use crate::rig::{ONE, Rig, TWO, body, entry, options, segment_name};

/// Appends until there is no segment to go on in. The only syncs are those of rolling over.
fn roll_and_fail(rig: &mut Rig) {
    assert!((1..20).any(|at| {
        rig.queue(vec![entry(TWO, 1, at, 700)], Sync::Lazy);
        rig.writer.step().is_err()
    }));
    assert!(rig.log.is_poisoned());
}

/// Makes a state that reaches into the second sector of a block while a run of rows is open, by
/// the segment that the run needs, and no more after a restart, which gives the run up.
fn open_run() -> Vec<Record> {
    let vote = body(1, 1, 375);
    vec![
        Record::vote(ONE, vote),
        Record::rows(ONE, (1, 1), (true, false), vec![body(1, 1, 8)]),
    ]
}

/// The longer state that a life wrote into a spare before it failed to name it is no torn tail
/// of the segment that a later life makes of this spare.
#[test]
fn a_spare_that_was_begun_is_cleared() {
    // With the name, the state is durable; with the sync, only some sectors of it.
    for (operation, skip) in [(Operation::Rename, 0), (Operation::Sync, 1)] {
        for checked_ahead in [false, true] {
            let mut rig = Rig::new();
            rig.write(open_run());
            assert!(rig.log.prepare().unwrap());
            rig.disk.fail(operation, skip, Fault::Io);
            roll_and_fail(&mut rig);
            let disk = rig.disk.clone();
            drop(rig);
            disk.crash(|what| matches!(what, Unsynced::Sector { sector: 1, .. }));
            let spare = disk.contents(&format!("{:016x}.spare", 1)).unwrap();
            assert!(spare[512..].iter().any(|byte| *byte != 0));

            // The first segment is sealed, so the spare is taken at once. Another life finds it
            // before, if the open fails.
            if checked_ahead {
                disk.fail(Operation::Rename, 0, Fault::Io);
                assert!(Rig::open(&disk, options()).is_err());
            }
            let rig = Rig::open(&disk, options()).unwrap();
            assert_eq!((rig.log.active_segment(), rig.recovered.torn), (2, None));
            let mut rig = rig.crash();
            assert_eq!((rig.log.active_segment(), rig.recovered.torn), (2, None));
            rig.write(vec![entry(ONE, 1, 1, 10)]);
            let rig = rig.crash();
            assert_eq!((rig.log.active_segment(), rig.recovered.torn), (2, None));
            assert_eq!(rig.indexes(ONE), [1]);
        }
    }
}

/// The name of a segment that was seen and not synced is made durable before records go there.
#[test]
fn a_name_that_was_not_synced() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 10)]);
    rig.log.prepare().unwrap();
    rig.disk.fail(Operation::SyncDir, 0, Fault::Io);
    roll_and_fail(&mut rig);
    let disk = rig.disk.clone();
    drop(rig);
    disk.restart();
    let mut rig = Rig::open(&disk, options()).unwrap();
    assert_eq!(rig.log.active_segment(), 2);
    rig.write(vec![entry(ONE, 1, 2, 10)]);
    let rig = rig.crash();
    assert_eq!(rig.log.active_segment(), 2);
    assert_eq!(rig.indexes(ONE), [1, 2]);
}

/// So is the name of the first one.
#[test]
fn the_first_name_was_not_synced() {
    // Which sync is that of the segment's name is left open; all of them come before it.
    for skip in 0..4 {
        let disk = SimDisk::new();
        disk.fail(Operation::SyncDir, skip, Fault::Io);
        let _ = Rig::open(&disk, options());
        disk.restart();
        let mut rig = Rig::open(&disk, options()).unwrap();
        rig.write(vec![entry(ONE, 1, 1, 10)]);
        assert_eq!(rig.crash().indexes(ONE), [1]);
    }
}

/// L3: a sealed segment is not written again, whatever is wrong with its last record and whatever
/// the file held before; and the loss is told.
#[test]
fn a_sealed_segment_that_ends_early() {
    for used in [false, true] {
        let disk = SimDisk::new();
        let segment_bytes = options().segment_bytes as usize;
        if used {
            let old = vec![0xEE; segment_bytes];
            disk.put(&format!("{:016x}.used", 7), old);
        }
        let mut rig = Rig::open(&disk, options()).unwrap();
        let last = (1..=4)
            .map(|at| rig.write(vec![entry(ONE, 1, at, 700)])[0])
            .last()
            .unwrap();
        rig.log.prepare().unwrap();
        disk.fail(Operation::Rename, 0, Fault::Io);
        roll_and_fail(&mut rig);
        drop(rig);
        disk.restart();
        assert!(disk.flip(&segment_name(1), u64::from(last.place.offset) - 50, 1));
        let before = disk.contents(&segment_name(1)).unwrap();
        let rig = Rig::open(&disk, options()).unwrap();
        assert_eq!(rig.log.active_segment(), 2);
        assert_eq!(rig.indexes(ONE), [1, 2, 3]);
        let Some(Torn {
            segment: 1,
            offset,
            bytes,
        }) = rig.recovered.torn
        else {
            panic!("{:?}", rig.recovered.torn)
        };
        assert_eq!(offset, last.place.offset - 56);
        assert!(bytes >= 756);
        let records = ..last.place.offset as usize + 700;
        assert_eq!(
            disk.contents(&segment_name(1)).unwrap()[records],
            before[records]
        );
    }
}

/// A spare that cannot be checked is thrown away, and the next step fills another.
#[test]
fn a_spare_that_cannot_be_read() {
    let rig = Rig::new();
    rig.log.prepare().unwrap();
    let mut rig = rig.reopen();
    let disk = rig.disk.clone();
    disk.fail(Operation::Read, 0, Fault::Io);
    assert!(matches!(
        rig.log.prepare(),
        Err(Error::Io { op: "check", .. })
    ));
    assert_eq!(rig.log.stats().spare_segments, 0);
    assert!(rig.log.prepare().unwrap());
    assert!(!rig.log.prepare().unwrap());
    rig.write((1..=6).map(|at| entry(ONE, 1, at, 700)).collect());
    assert_eq!(rig.reopen().indexes(ONE), [1, 2, 3, 4, 5, 6]);
}

/// One that an earlier life left is ready without room for another.
#[test]
fn a_spare_from_before_needs_no_room() {
    let rig = Rig::new();
    rig.log.prepare().unwrap();
    let mut rig = rig.reopen_with(Options {
        spare_segments: 1,
        ..options()
    });
    rig.disk
        .set_capacity(Some(2 * u64::from(options().segment_bytes)));
    assert!(rig.log.prepare().unwrap());
    assert!(!rig.log.prepare().unwrap());
    rig.write((1..=6).map(|at| entry(ONE, 1, at, 700)).collect());
    assert_eq!(rig.log.active_segment(), 2);
}
