//! A log that is nearly full: what does not fit is given up at once. It holds up the cleaner, which
//! alone wins room.

use std::sync::Arc;

use bytes::Bytes;
use node::replica::index::MemoryIndexes;
use node::replica::{Arrival, Chunks, LogId, Referred, Snapshot};
use rows::Fault;
use seglog::Options;
use seglog::sim::SimDisk;

use super::cleaning::Life;
use super::rig::{Forgetful, Rig, WriterThread, options, tight};

/// What the log may take.
const LOG_BYTES: u64 = 6 << 20;

/// What is left of it: less than what comes, and the MiB that is for others.
const LEFT_BYTES: u64 = 1400 << 10;

/// A replica whose log is nearly full of bodies to which no row refers any more.
fn nearly_full() -> Life {
    let (disk, indexes) = (SimDisk::new(), Arc::new(MemoryIndexes::new()));
    let options = Options {
        bytes_max: LOG_BYTES,
        ..options()
    };
    let opened = seglog::open(Arc::new(disk.clone()), options).unwrap();
    let machine = Arc::new(Forgetful);
    let mut rig = Rig::open_on(opened, machine, disk, indexes.clone(), tight(), 1).unwrap();
    while rig.log.room().unwrap().bytes() > LEFT_BYTES {
        rig.apply("put own 1", &[7; 100_000]);
        rig.write();
    }
    rig.checkpoint();
    Life::of(rig, indexes)
}

/// Rows of about 700 KB.
fn snapshot() -> Snapshot {
    let mut leader = Rig::new();
    for round in 0..1000 {
        let value = "x".repeat(3000);
        leader.apply(&format!("put k{:03} {value}", round % 230), b"");
        if round % 50 == 0 {
            leader.checkpoint();
        }
    }
    leader.checkpoint();
    let snapshot = leader.replica.last_checkpoint().unwrap();
    let chunks: Vec<Bytes> = snapshot.chunks.iter().collect::<Result<_, _>>().unwrap();
    Snapshot {
        chunks: Chunks::from(chunks),
        ..snapshot
    }
}

fn install(life: &mut Life, snapshot: Snapshot) -> Result<(), Fault> {
    let spare = seglog::open(Arc::new(SimDisk::new()), options()).unwrap();
    let writing = WriterThread::start(std::mem::replace(&mut life.rig.writer, spare.1));
    let result = life.rig.replica.install(snapshot);
    life.rig.writer = writing.stop();
    result
}

/// Nothing of a base is written that would not fit. The replica goes on, the cleaner wins room, and
/// then the snapshot is taken.
#[test]
fn a_snapshot_waits_for_room() {
    let (snapshot, mut life) = (snapshot(), nearly_full());
    let (digest, records) = (life.rig.replica.digest(), life.rig.log.stats().records);
    for _ in 0..3 {
        assert_eq!(install(&mut life, snapshot.clone()), Err(Fault::NoRoom));
    }
    assert_eq!(life.rig.replica.fault(), None);
    assert_eq!(life.rig.replica.digest(), digest);
    assert_eq!(life.rig.log.stats().records, records);

    life.purge(0);
    life.rest();
    assert!(life.rig.log.room().unwrap().bytes() > LOG_BYTES / 2);
    install(&mut life, snapshot.clone()).unwrap();
    assert_eq!(life.rig.replica.applied().last, snapshot.last);
}

/// Bodies neither, and until what came is given up nothing is freed.
#[test]
fn bodies_wait_for_room() {
    let mut life = nearly_full();
    let at = LogId {
        term: 1,
        index: 1_000_000,
    };
    let mut arrival = Arrival::begin(&life.rig.replica, at, None).unwrap();
    let body = Bytes::from(vec![3; 200_000]);
    let bodies = (0..4).map(|index| {
        let referred = Referred {
            id: LogId { term: 1, index },
            length: body.len() as u64,
            hash: None,
            home: None,
        };
        (referred, body.clone())
    });
    assert_eq!(arrival.put(bodies.collect()), Err(Fault::NoRoom));
    drop(arrival);
    life.purge(0);
    life.rest();
    assert!(life.rig.log.room().unwrap().bytes() > LOG_BYTES / 2);
}
