//! Whatever is lost in a crash, the replica comes back as its log says (R2, I16).

use std::sync::Arc;

use node::replica::index::MemoryIndexes;
use node::replica::{Due, Progress};
use proptest::prelude::*;

use super::rig::{Rig, tight};

#[derive(Clone, Debug)]
enum Act {
    /// Puts or removes some keys, with a body of that many bytes.
    Apply(Vec<(u8, Option<u16>)>, u16),
    /// One step of checkpoint and merge.
    Step,
    /// The log writes what is queued.
    Write,
    /// A whole checkpoint.
    Checkpoint,
    /// Raft forgets the entries that a checkpoint covers, and the log its list of them.
    Crash {
        /// Which unsynced sectors and names survive.
        log: u64,
        /// How much of what was put into the index since its flush survives.
        index: usize,
    },
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let change = (any::<u8>(), prop::option::weighted(0.7, 0_u16..3000));
    prop_oneof![
        6 => (prop::collection::vec(change, 1..6), prop_oneof![Just(0), 1_u16..2000])
            .prop_map(|(changes, body)| Act::Apply(changes, body)),
        4 => Just(Act::Step),
        3 => Just(Act::Write),
        2 => Just(Act::Checkpoint),
        1 => (any::<u64>(), any::<usize>()).prop_map(|(log, index)| Act::Crash { log, index }),
        1 => Just(Act::Restart),
    ]
}

pub fn command(changes: &[(u8, Option<u16>)], round: usize) -> String {
    let lines = changes.iter().map(|(key, value)| match value {
        Some(length) => {
            format!(
                "put k{key:03} {round:06}{}",
                "x".repeat(usize::from(*length))
            )
        }
        None => format!("del k{key:03}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn run(acts: Vec<Act>) {
    let indexes = Arc::new(MemoryIndexes::new());
    let mut rig = Rig::with(indexes.clone(), tight());
    for (round, act) in acts.into_iter().enumerate() {
        match act {
            Act::Apply(changes, body) => {
                rig.apply(
                    &command(&changes, round),
                    &vec![round as u8; usize::from(body)],
                );
            }
            Act::Step => drop(rig.replica.step(Due::Now)),
            Act::Write => rig.write(),
            Act::Checkpoint => rig.checkpoint(),
            Act::Crash { log, index } => {
                let mut bits = log;
                rig.disk.crash(|_| {
                    bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    bits >> 63 == 1
                });
                for tree in indexes.all() {
                    tree.crash(index % (tree.unflushed() + 1));
                }
                rig = rig.reopen();
            }
            Act::Restart => rig = rig.reopen(),
        }
        rig.check();
    }
    rig.check_bodies();
    rig.checkpoint();
    rig.check();
    // With nothing listed any more, the checkpoint alone knows the bodies (R4).
    let last = rig.replica.checkpointed().map_or(0, |id| id.index);
    rig.raft.purge(last);
    rig.check_bodies();
    assert_eq!(rig.replica.step(Due::Now), Progress::Idle);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn comes_back_as_the_log_says(acts in prop::collection::vec(act(), 1..60)) {
        run(acts);
    }
}

/// Every step of a checkpoint and a merge is a moment at which the machine may stop.
#[test]
fn crash_at_every_write() {
    for operation in 1.. {
        let indexes = Arc::new(MemoryIndexes::new());
        let mut rig = Rig::with(indexes.clone(), tight());
        for round in 0..6 {
            rig.apply(
                &command(&[(round, Some(1500)), (round / 2, None)], 0),
                b"body",
            );
            rig.checkpoint();
        }
        let disk = rig.disk.clone();
        disk.power_off_at(disk.operations() + operation);
        rig.apply(&command(&[(100, Some(2000)), (2, Some(2500))], 1), b"late");
        let mut done = false;
        for _ in 0..20 {
            if rig.writer.step().is_err() {
                break;
            }
            done = rig.replica.step(Due::Now) == Progress::Idle;
        }
        let before = rig.entries.clone();
        disk.crash(|_| operation % 2 == 0);
        indexes
            .all()
            .iter()
            .for_each(|tree| tree.crash(operation as usize % 7));
        rig = rig.reopen();
        rig.check();
        rig.check_bodies();
        assert!(before.starts_with(&rig.entries));
        if done {
            assert_eq!(rig.entries, before);
            assert!(operation > 2, "the steps were counted");
            return;
        }
    }
}
