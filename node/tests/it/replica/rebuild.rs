//! How fast an index is built again from the log: a figure, not a test.

use std::sync::Arc;
use std::time::Instant;

use node::replica::index::SledIndexes;
use node::replica::{Opening, open};
use seglog::disk::Directory;

use super::rig::{Entry, GROUP, KeyValue, REPLICA, RaftLog, WriterThread, apply};

/// Rows of a partition of a cluster with some two million messages.
const ROWS: usize = 200_000;

/// Rows that each entry puts.
const ROWS_PER_ENTRY: usize = 100;

/// Entries between two checkpoints.
const ENTRIES_PER_CHECKPOINT: usize = 50;

/// Bytes of a value, about those of a message's row.
const VALUE_BYTES: usize = 150;

#[test]
#[ignore = "prints a figure"]
fn rows_per_second() {
    let folder = tempfile::tempdir().unwrap();
    let open_log = || {
        let disk = Directory::new(folder.path().join("log")).unwrap();
        seglog::open(Arc::new(disk), seglog::Options::new(1)).unwrap()
    };
    let indexes = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        Arc::new(SledIndexes::open(&folder, 32 << 20).unwrap())
    };
    let (log, writer, _) = open_log();
    let writing = WriterThread::start(writer);
    let opening = Opening::new(
        GROUP,
        REPLICA,
        log.clone(),
        indexes("first"),
        Arc::new(KeyValue),
    );
    let replica = open(&opening, None).unwrap();
    let raft = Arc::new(RaftLog::default());
    replica.attach(raft.clone());
    let value = "v".repeat(VALUE_BYTES);
    for number in 0..ROWS / ROWS_PER_ENTRY {
        let rows = number * ROWS_PER_ENTRY..(number + 1) * ROWS_PER_ENTRY;
        let puts: Vec<String> = rows
            .map(|row| format!("put row/{:08} {row}{value}", row * 7919 % ROWS))
            .collect();
        let entry = Entry {
            id: node::replica::LogId {
                term: 1,
                index: number as u64 + 1,
            },
            command: puts.join("\n").into(),
            body: bytes::Bytes::new(),
        };
        raft.append(&log, REPLICA, &entry);
        apply(&replica, &entry).unwrap();
        if number % ENTRIES_PER_CHECKPOINT == 0 {
            drop(replica.snapshot().unwrap());
        }
    }
    drop(replica.snapshot().unwrap());
    let before = replica.digest();
    drop((replica, raft, opening, log));
    drop(writing.stop());

    let (log, _writer, recovered) = open_log();
    let opening = Opening::new(GROUP, REPLICA, log, indexes("second"), Arc::new(KeyValue));
    let began = Instant::now();
    let rebuilt = open(&opening, recovered.replicas.get(&REPLICA)).unwrap();
    let took = began.elapsed();
    assert_eq!(rebuilt.digest(), before);
    println!(
        "{ROWS} rows in {took:.2?}: {:.0} rows/s",
        ROWS as f64 / took.as_secs_f64()
    );
}
