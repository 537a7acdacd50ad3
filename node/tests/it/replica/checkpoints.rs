//! Checkpoints and bases, and who drives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use node::replica::index::MemoryIndexes;
use node::replica::limits::Bounds;
use node::replica::{Applying, Checkpointer, Due, LogId, Opening, Progress, open};
use rows::Fault;
use seglog::ReplicaId;

use super::crash::command;
use super::rig::{GROUP, KeyValue, REPLICA, Rig, WriterThread, options, tight};

fn recovered(rig: &Rig) -> seglog::RecoveredReplica {
    // A copy of the disk, since the rig's own is locked.
    let copy = seglog::sim::SimDisk::new();
    for name in (1..=rig.log.active_segment()).map(|segment| format!("{segment:016x}.seg")) {
        if let Some(bytes) = rig.disk.contents(&name) {
            copy.put(&name, bytes);
        }
    }
    let (_, _, found) = seglog::open(Arc::new(copy), options()).unwrap();
    found.replicas.get(&REPLICA).cloned().unwrap_or_default()
}

/// R2: a checkpoint waits for the entries it came from.
#[test]
fn not_before_its_entries() {
    let mut rig = Rig::new();
    let id = rig.apply("put a 1", b"");
    assert_eq!(rig.replica.step(Due::Now), Progress::Waiting);
    assert_eq!(rig.replica.step(Due::Now), Progress::Waiting);
    assert_eq!(rig.log.stats().batches, 0);
    rig.write();
    assert_eq!(
        rig.replica.step(Due::Now),
        Progress::Waiting,
        "now the rows are on their way"
    );
    assert_eq!(rig.replica.checkpointed(), None);
    rig.write();
    assert_eq!(rig.replica.step(Due::Now), Progress::Working);
    assert_eq!(rig.replica.checkpointed(), Some(id));
    assert_eq!(rig.replica.step(Due::Now), Progress::Idle);
    let last = *recovered(&rig).rows.last().unwrap();
    assert_eq!(
        (
            LogId {
                term: last.term,
                index: last.index
            },
            last.last
        ),
        (id, true)
    );
}

/// What is applied while a checkpoint is under way belongs to the next one.
#[test]
fn freezing_fixes_the_checkpoint() {
    let mut rig = Rig::new();
    let first = rig.apply("put a 1\nput b 1", b"");
    rig.write();
    rig.replica.step(Due::Now);
    let second = rig.apply("put a 2\ndel b", b"");
    rig.write();
    rig.replica.step(Due::Now);
    rig.check();
    assert_eq!(rig.replica.checkpointed(), Some(first));
    rig.checkpoint();
    assert_eq!(rig.replica.checkpointed(), Some(second));
    rig.check();
}

#[test]
fn nothing_new_is_no_checkpoint() {
    let mut rig = Rig::new();
    assert_eq!(rig.replica.step(Due::Now), Progress::Idle);
    rig.apply("put a 1", b"");
    assert_eq!(
        rig.replica.step(Due::IfFull),
        Progress::Idle,
        "there is room"
    );
    rig.checkpoint();
    let records = rig.log.stats().records;
    rig.checkpoint();
    assert_eq!(rig.log.stats().records, records);
}

/// Blank entries and members change no row of the machine, and are part of the checkpoint.
#[test]
fn members_are_kept() {
    let mut rig = Rig::new();
    rig.apply("put a 1", b"");
    let members = Bytes::from_static(b"1, 2 and 3");
    let id = LogId { term: 1, index: 2 };
    rig.replica
        .apply(id, Applying::Membership(&members))
        .unwrap();
    rig.replica
        .apply(LogId { term: 2, index: 3 }, Applying::Blank)
        .unwrap();
    let digest = rig.replica.digest();
    assert_eq!(
        digest,
        (Some(LogId { term: 2, index: 3 }), rig.model.digest())
    );
    // They are not in the log of this rig.
    let blank = LogId { term: 2, index: 3 };
    let records = (2..=3).map(|index| seglog::Record::entry(REPLICA, 2, index, Vec::new()));
    rig.log
        .append(records.collect(), seglog::Sync::Required, Box::new(|_| ()))
        .unwrap();
    rig.write();
    rig.replica.attach(Arc::new(AllWritten));
    rig.checkpoint();
    let found = recovered(&rig);
    let again = open(
        &Opening::new(
            GROUP,
            REPLICA,
            rig.log.clone(),
            Arc::new(MemoryIndexes::new()),
            Arc::new(KeyValue),
        ),
        Some(&found),
    )
    .unwrap();
    assert_eq!(again.applied().last, Some(blank));
    assert_eq!(again.applied().membership, Some((Some(id), members)));
    assert_eq!(again.digest(), digest);
}

struct AllWritten;

impl node::replica::Entries for AllWritten {
    fn body(&self, _: u64, _: u64) -> Option<node::replica::BodyPlace> {
        None
    }

    fn place(&self, _: u64, _: u64) -> Result<Option<node::replica::Logged>, Fault> {
        Ok(None)
    }

    fn written_upto(&self) -> u64 {
        u64::MAX
    }

    fn lies_at(&self, _: u64, _: u64, _: seglog::Place) -> bool {
        false
    }

    fn moved(&self, _: u64, _: u64, _: seglog::Place, _: seglog::Place) {}

    fn count_bytes(&self, _: &mut BTreeMap<u64, u64>) {}

    fn record(&self, _: u64, _: u64) -> Option<seglog::RecordAt> {
        None
    }

    fn records_in(&self, _: u64, _: std::ops::Range<u64>) -> Vec<seglog::RecordAt> {
        Vec::new()
    }

    fn take_damaged(&self) -> Vec<LogId> {
        Vec::new()
    }
}

/// A base holds all rows; the runs before it are no longer needed, those above it stay.
#[test]
fn bases_hold_everything() {
    let mut rig = Rig::new();
    let mut bases = 0;
    for round in 0..40_usize {
        let changes = [(round as u8, Some(1200)), (round as u8 / 3, None)];
        rig.apply(&command(&changes, round), b"body");
        rig.checkpoint();
        let found = recovered(&rig);
        let base: u64 = found
            .base
            .iter()
            .map(|part| u64::from(part.place.length))
            .sum();
        let runs: u64 = found
            .rows
            .iter()
            .map(|part| u64::from(part.place.length))
            .sum();
        assert!(
            runs <= (base / 2).max(tight().merge_bytes_min),
            "{base} {runs}"
        );
        bases += u32::from(found.rows.is_empty());
        // Built from the log alone.
        let index = Arc::new(MemoryIndexes::new());
        let opening = Opening::new(
            GROUP,
            REPLICA,
            rig.log.clone(),
            index.clone(),
            Arc::new(KeyValue),
        );
        let rebuilt = open(&opening, Some(&found)).unwrap();
        assert_eq!(rebuilt.digest(), rig.replica.digest());
    }
    assert!(bases > 3);
    rig.reopen().check();
}

/// While a base is written, in many records, checkpoints go on.
#[test]
fn checkpoints_beside_a_merge() {
    let bounds = Bounds {
        merge_bytes_min: 300 << 10,
        ..tight()
    };
    let mut rig = Rig::with(Arc::new(MemoryIndexes::new()), bounds);
    let changes = |round: u8| (0..20).map(move |key| (round.wrapping_mul(20) + key, Some(2000)));
    for round in 0..8 {
        rig.apply(&command(&changes(round).collect::<Vec<_>>(), 0), b"");
        if round < 7 {
            rig.checkpoint();
        }
    }
    let before = recovered(&rig);
    assert!(before.base.is_empty());
    let mut rounds = 0;
    loop {
        rig.apply(&format!("put during {rounds}"), b"");
        rig.write();
        rig.replica.step(Due::Now);
        rig.check();
        rounds += 1;
        let found = recovered(&rig);
        if !found.base.is_empty() {
            assert!(found.base.len() > 4, "several records");
            break;
        }
        assert!(rounds < 1000);
    }
    rig.write();
    rig.checkpoint();
    rig.check();
    rig = rig.reopen();
    rig.check();
    assert!(rounds > 5);
}

/// A crash in the middle of a base leaves records that the next attempt does not take for its own.
#[test]
fn a_base_begun_twice() {
    let bounds = Bounds {
        merge_bytes_min: 100 << 10,
        ..tight()
    };
    let mut rig = Rig::with(Arc::new(MemoryIndexes::new()), bounds);
    for steps in 1..12 {
        let changes: Vec<_> = (0..70).map(|key| (key, Some(2000))).collect();
        rig.apply(&command(&changes, steps), b"");
        for _ in 0..steps + 3 {
            rig.replica.step(Due::Now);
            rig.write();
        }
        rig = rig.reopen();
        rig.check();
    }
    rig.checkpoint();
    let indexes: Arc<dyn node::replica::index::Indexes> = Arc::new(MemoryIndexes::new());
    rig.indexes = indexes;
    rig.reopen().check();
}

/// One sync of the log completes the checkpoints of all groups.
#[test]
fn one_sync_for_all() {
    let rig = Rig::new();
    let keeper = Checkpointer::new();
    let mut replicas = Vec::new();
    for group in 1..=8 {
        let opening = Opening {
            bell: keeper.bell(),
            ..Opening::new(
                node::replica::GroupId(group),
                ReplicaId(group),
                rig.log.clone(),
                rig.indexes.clone(),
                Arc::new(KeyValue),
            )
        };
        let replica = open(&opening, None).unwrap();
        replica.attach(Arc::new(AllWritten));
        let command = Bytes::from(format!("put group {group}"));
        let entry = Applying::Command {
            time_ms: 1,
            command: &command,
            body_length: 0,
        };
        replica.apply(LogId { term: 1, index: 1 }, entry).unwrap();
        keeper.add(replica.clone());
        replicas.push(replica);
    }
    let Rig {
        log, mut writer, ..
    } = rig;
    while keeper.round(Due::Now) != Progress::Idle {
        while writer.step().unwrap() != seglog::Step::Idle {}
    }
    assert_eq!(log.stats().syncs, 1);
    assert!(
        replicas
            .iter()
            .all(|replica| replica.checkpointed().is_some())
    );
}

/// Apply waits for room, and the checkpointer makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_made() {
    let keeper = Arc::new(Checkpointer::new());
    let Rig {
        log,
        writer,
        indexes,
        ..
    } = Rig::new();
    let bounds = Bounds {
        overlay_bytes_max: 64 << 10,
        ..tight()
    };
    let machine = Arc::new(KeyValue);
    let opening = Opening {
        bell: keeper.bell(),
        bounds,
        ..Opening::new(GROUP, REPLICA, log, indexes, machine)
    };
    let replica = open(&opening, None).unwrap();
    replica.attach(Arc::new(AllWritten));
    keeper.add(replica.clone());
    let writing = WriterThread::start(writer);
    let running = {
        let keeper = keeper.clone();
        std::thread::spawn(move || keeper.run())
    };
    let mut expected = super::rig::Model::default();
    for index in 1..=400 {
        replica.room().await;
        let text = command(&[(index as u8, Some(2000))], index);
        expected.apply(text.as_bytes());
        let text = Bytes::from(text);
        let entry = Applying::Command {
            time_ms: 1,
            command: &text,
            body_length: 0,
        };
        replica
            .apply(
                LogId {
                    term: 1,
                    index: index as u64,
                },
                entry,
            )
            .unwrap();
    }
    assert!(
        replica.checkpointed().is_some(),
        "800 KB do not fit into 64"
    );
    assert_eq!(replica.digest().1, expected.digest());
    keeper.stop();
    running.join().unwrap();
    drop(writing.stop());
}
