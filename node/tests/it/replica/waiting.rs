//! Checkpoints that the log does not let in yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use node::replica::index::MemoryIndexes;
use node::replica::limits::LOG_QUEUED_BYTES_MAX;
use node::replica::{Applied, At, Due, Layers, Machine, Progress, Referred};
use rows::{Fault, Staged};
use seglog::sim::SimDisk;
use seglog::{Record, ReplicaId, Sync};

use super::rig::{KeyValue, Rig, tight};

/// Counts the rows that it is asked about.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Machine for Counting {
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault> {
        KeyValue.apply(rows, at, command)
    }

    fn referred(&self, key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
        self.0.fetch_add(1, Ordering::Relaxed);
        KeyValue.referred(key, value)
    }

    fn next_due(&self, rows: &Layers) -> Option<u64> {
        KeyValue.next_due(rows)
    }
}

/// While the queue of the log is full a checkpoint is not worked out, however often it is tried.
#[test]
fn a_full_queue_costs_nothing() {
    let machine = Arc::new(Counting::default());
    let indexes = Arc::new(MemoryIndexes::new());
    let shared = Arc::clone(&machine) as Arc<dyn Machine>;
    let mut rig = Rig::open_as(shared, SimDisk::new(), indexes, tight(), 1).unwrap();
    let id = rig.apply("put a @1.1.4", b"body");
    rig.write();
    while rig.log.stats().queued_bytes <= LOG_QUEUED_BYTES_MAX {
        let other = Record::entry(ReplicaId(1), 1, 1, vec![Bytes::from(vec![7; 200_000])]);
        let done = Box::new(|_| ());
        rig.log.append(vec![other], Sync::Lazy, done).unwrap();
    }
    let asked = || machine.0.load(Ordering::Relaxed);
    let before = asked();
    for _ in 0..10 {
        assert_eq!(rig.replica.step(Due::Now), Progress::Waiting);
    }
    assert_eq!(asked(), before);
    rig.write();
    rig.checkpoint();
    assert_eq!(rig.replica.checkpointed(), Some(id));
    assert!(asked() > before);
    rig.check_bodies();
}
