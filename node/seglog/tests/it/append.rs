//! Appending, reading, syncing, and what is refused.

use std::time::Duration;

use bytes::Bytes;
use seglog::sim::{Fault, Operation, SimDisk};
use seglog::{Error, Kind, Options, Place, Position, Record, Step, Sync, Written};

use crate::rig::{ONE, Outcome, Rig, TWO, at, big_options, body, entry, options};

#[test]
fn what_was_written_is_read() {
    let mut rig = Rig::new();
    let parts = vec![
        Bytes::from_static(b"one "),
        Bytes::new(),
        Bytes::from_static(b"two"),
    ];
    let written = rig.write(vec![
        Record::entry(ONE, 1, 1, parts),
        entry(TWO, 9, 5, 0),
        entry(ONE, 1, 2, 64),
    ]);
    let read = |at: usize| {
        rig.log
            .read(written[at].place, Some(written[at].checksum))
            .unwrap()
    };
    assert_eq!(read(0), "one two");
    assert_eq!(read(1), "");
    assert_eq!(read(2), body(1, 2, 64));
    assert_eq!(rig.log.read_range(written[0].place, 4..6).unwrap(), "tw");
    assert!(
        written
            .windows(2)
            .all(|pair| pair[0].position < pair[1].position)
    );
    assert_eq!(written[0].checksum, crc32c::crc32c(b"one two"));
}

#[test]
fn one_sync_serves_all_that_is_queued() {
    let mut rig = Rig::open(&SimDisk::new(), big_options()).unwrap();
    let before = rig.disk.count(Operation::Sync);
    let outcomes: Vec<Outcome> = (1..=100)
        .map(|at| rig.queue(vec![entry(ONE, 1, at, 50)], Sync::Required))
        .collect();
    assert!(rig.log.stats().queued_bytes == 5000 && rig.writer.wait(Duration::ZERO));
    let step = rig.writer.step().unwrap();
    assert!(matches!(
        step,
        Step::Wrote {
            records: 100,
            synced: true,
            ..
        }
    ));
    assert_eq!(rig.disk.count(Operation::Sync) - before, 1);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(*outcome.lock().unwrap(), Some(Ok(_))))
    );
    let stats = rig.log.stats();
    assert_eq!(
        (
            stats.records,
            stats.batches,
            stats.syncs,
            stats.queued_bytes
        ),
        (100, 100, 1, 0)
    );
    assert_eq!(rig.writer.step().unwrap(), Step::Idle);
    assert!(!rig.writer.wait(Duration::ZERO));
}

#[test]
fn more_records_than_one_call_takes() {
    let mut rig = Rig::open(
        &SimDisk::new(),
        Options {
            segment_bytes: 1 << 20,
            ..big_options()
        },
    )
    .unwrap();
    let written = rig.write((1..=2000).map(|at| entry(ONE, 1, at, 17)).collect());
    for (at, written) in written.iter().enumerate() {
        let payload = rig.log.read(written.place, Some(written.checksum)).unwrap();
        assert_eq!(payload, body(1, at as u64 + 1, 17));
    }
}

#[test]
fn lazy_rides_along() {
    let mut rig = Rig::new();
    let before = rig.disk.count(Operation::Sync);
    let lazy = rig.queue(
        vec![Record::commit(ONE, 1, 1, Bytes::from_static(b"c"))],
        Sync::Lazy,
    );
    assert!(matches!(
        rig.writer.step().unwrap(),
        Step::Wrote { synced: false, .. }
    ));
    let written = lazy.lock().unwrap().take().unwrap().unwrap();
    assert_eq!(rig.log.read(written[0].place, None).unwrap(), "c");
    assert_eq!(rig.disk.count(Operation::Sync), before);
    // An empty batch completes, and makes durable what was there before it.
    let empty = rig.queue(Vec::new(), Sync::Required);
    assert!(matches!(
        rig.writer.step().unwrap(),
        Step::Wrote {
            records: 0,
            synced: true,
            ..
        }
    ));
    assert!(matches!(*empty.lock().unwrap(), Some(Ok(_))));
    assert_eq!(rig.disk.count(Operation::Sync), before + 1);
    let rig = rig.crash();
    assert_eq!(
        rig.recovered.replicas[&ONE].commit,
        Some((1, 1, Bytes::from_static(b"c")))
    );
}

/// L4: after a failed sync the log accepts nothing and syncs nothing.
#[test]
fn a_failed_sync_poisons() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 10)]);
    let (first, second) = (
        rig.queue(vec![entry(ONE, 1, 2, 10)], Sync::Required),
        rig.queue(vec![entry(ONE, 1, 3, 10)], Sync::Lazy),
    );
    rig.disk.fail(Operation::Sync, 0, Fault::Io);
    assert!(matches!(rig.writer.step(), Err(Error::Poisoned(_))));
    assert!(matches!(*first.lock().unwrap(), Some(Err(_))));
    assert!(matches!(*second.lock().unwrap(), Some(Err(_))));
    assert!(rig.log.is_poisoned());
    let operations = rig.disk.operations();
    let refused = rig.log.append(
        vec![entry(ONE, 1, 4, 10)],
        Sync::Lazy,
        Box::new(|_| panic!()),
    );
    assert!(matches!(refused, Err(Error::Poisoned(_))));
    assert!(matches!(rig.writer.step(), Err(Error::Poisoned(_))));
    assert_eq!(rig.disk.operations(), operations);
    // The process ends. What the next open takes for durable it has written itself: the pages
    // whose sync failed are clean, syncing them again would do nothing.
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [1, 2, 3]);
    assert_eq!(rig.crash().indexes(ONE), [1, 2, 3]);
}

#[test]
fn a_failed_write_poisons() {
    let mut rig = Rig::new();
    let outcome = rig.queue(vec![entry(ONE, 1, 1, 10)], Sync::Lazy);
    rig.disk.fail(Operation::Write, 0, Fault::NoSpace);
    assert!(matches!(rig.writer.step(), Err(Error::Poisoned(_))));
    assert!(matches!(*outcome.lock().unwrap(), Some(Err(_))));
}

#[test]
fn without_a_writer_nobody_waits() {
    let rig = Rig::new();
    let outcome = rig.queue(vec![entry(ONE, 1, 1, 10)], Sync::Required);
    drop(rig.writer);
    assert!(matches!(*outcome.lock().unwrap(), Some(Err(_))));
    assert!(rig.log.is_poisoned());
}

#[test]
fn a_full_disk_is_met_between_segments() {
    let mut rig = Rig::new();
    rig.disk.set_capacity(Some(4096));
    assert!(rig.log.has_room(10));
    let outcomes: Vec<Outcome> = (1..=8)
        .map(|at| rig.queue(vec![entry(ONE, 1, at, 600)], Sync::Required))
        .collect();
    assert!(matches!(rig.writer.step(), Err(Error::NoSpace { .. })));
    let done = |outcome: &Outcome| matches!(*outcome.lock().unwrap(), Some(Ok(_)));
    let fitted = outcomes.iter().filter(|outcome| done(outcome)).count();
    assert!(fitted > 0 && fitted < 8);
    assert!(outcomes[..fitted].iter().all(done) && !rig.log.has_room(10));
    assert!(
        rig.writer.wait(Duration::ZERO),
        "the rest is still to be written"
    );
    assert!(matches!(rig.writer.step(), Err(Error::NoSpace { .. })));
    assert!(!rig.log.is_poisoned());
    assert_eq!(rig.disk.contents("filling.tmp"), None);

    rig.disk.set_capacity(None);
    assert!(matches!(
        rig.writer.step().unwrap(),
        Step::Wrote { synced: true, .. }
    ));
    assert!(outcomes.iter().all(done) && rig.log.has_room(10));
    assert_eq!(rig.crash().indexes(ONE), (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_at_open() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(1000));
    assert!(matches!(
        Rig::open(&disk, options()),
        Err(Error::NoSpace { .. })
    ));
    disk.set_capacity(None);
    assert!(Rig::open(&disk, options()).is_ok());
}

#[test]
fn spares_are_made_ahead_and_used() {
    let mut rig = Rig::new();
    assert!(rig.log.prepare().unwrap());
    assert!(!rig.writer.prepare().unwrap());
    assert_eq!(rig.log.stats().spare_segments, 1);
    let creates = rig.disk.count(Operation::Create);
    rig.write((1..=6).map(|at| entry(ONE, 1, at, 700)).collect());
    assert_eq!(rig.log.stats().segments, 2);
    assert_eq!(rig.log.stats().spare_segments, 0);
    assert_eq!(rig.disk.count(Operation::Create), creates);
    assert!(rig.log.prepare().unwrap());
    let rig = rig.reopen();
    assert_eq!(rig.log.stats().spare_segments, 1);
    // A spare of another size is of no use.
    let rig = rig.reopen_with(big_options());
    assert_eq!(rig.log.stats().spare_segments, 0);
    assert_eq!(rig.indexes(ONE), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_is_refused() {
    let rig = Rig::open(
        &SimDisk::new(),
        Options {
            queue_bytes_max: 1500,
            ..options()
        },
    )
    .unwrap();
    let append = |record| rig.log.append(vec![record], Sync::Lazy, Box::new(|_| {}));
    let moved = |position: Position, record: Record| {
        let place = Place {
            segment: position.segment(),
            offset: position.offset() + 56,
            length: 1,
        };
        let written = Written {
            position,
            place,
            checksum: 0,
        };
        let copy = (at(&record, &written), record.payload);
        let done = Box::new(|_| {});
        rig.log.append_moved(vec![copy], Sync::Lazy, done)
    };
    assert!(matches!(
        append(entry(ONE, 1, 1, 1025)),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(
        append(Record {
            kind: Kind::Moved,
            ..entry(ONE, 1, 1, 1)
        }),
        Err(Error::Misuse(_))
    ));
    let future = Position::new(1, 4000);
    assert!(matches!(
        moved(future, entry(ONE, 1, 1, 1)),
        Err(Error::Misuse(_))
    ));
    assert!(matches!(
        moved(Position::new(1, 8), Record::end(ONE)),
        Err(Error::Misuse(_))
    ));
    assert!(matches!(
        append(Record {
            kind: Kind::Freed,
            ..entry(ONE, 1, 1, 1)
        }),
        Err(Error::Misuse(_))
    ));
    append(entry(ONE, 1, 1, 1000)).unwrap();
    assert!(rig.log.has_room(500) && !rig.log.has_room(501));
    assert!(matches!(
        append(entry(ONE, 1, 2, 501)),
        Err(Error::Overloaded { .. })
    ));
    append(entry(ONE, 1, 2, 500)).unwrap();
}

#[test]
fn contradicting_options_are_refused() {
    for options in [
        Options {
            segment_bytes: 4000,
            ..options()
        },
        Options {
            segment_bytes: 4097,
            ..options()
        },
        Options {
            record_bytes_max: 1025,
            ..options()
        },
        Options {
            spare_segments: 1000,
            ..options()
        },
    ] {
        assert!(matches!(
            Rig::open(&SimDisk::new(), options),
            Err(Error::Misuse(_))
        ));
    }
}

#[test]
fn places_that_were_never_given_out() {
    let mut rig = Rig::new();
    let place = rig.write(vec![entry(ONE, 1, 1, 100)])[0].place;
    let read = |place| rig.log.read(place, None).unwrap_err();
    assert!(matches!(
        read(Place {
            segment: 7,
            ..place
        }),
        Error::OutOfRange { .. }
    ));
    assert!(matches!(
        read(Place {
            offset: 5000,
            ..place
        }),
        Error::OutOfRange { .. }
    ));
    assert!(matches!(
        read(Place {
            offset: u32::MAX,
            ..place
        }),
        Error::OutOfRange { .. }
    ));
    assert!(matches!(
        read(Place {
            offset: 10,
            ..place
        }),
        Error::OutOfRange { .. }
    ));
    assert!(matches!(
        read(Place {
            length: u32::MAX,
            ..place
        }),
        Error::OutOfRange { .. }
    ));
    assert!(matches!(
        read(Place {
            offset: place.offset + 8,
            ..place
        }),
        Error::Damaged { .. }
    ));
    assert!(matches!(
        read(Place {
            length: 99,
            ..place
        }),
        Error::Damaged { .. }
    ));
    assert!(matches!(
        rig.log.read(place, Some(1)),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(
        rig.log.read_range(place, 5..101),
        Err(Error::OutOfRange { .. })
    ));
    let backwards = std::ops::Range { start: 6, end: 5 };
    assert!(matches!(
        rig.log.read_range(place, backwards),
        Err(Error::OutOfRange { .. })
    ));
    assert_eq!(rig.log.read_range(place, 100..100).unwrap(), "");
}
