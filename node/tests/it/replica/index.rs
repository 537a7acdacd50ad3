//! Both indexes are the same, and the layers over them are what was applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use node::replica::LogId;
use node::replica::index::{Change, Index, Indexes, MemoryIndexes, SledIndexes};
use proptest::prelude::*;
use rows::{END, Fault, Rows};
use seglog::ReplicaId;

use super::crash::command;
use super::rig::{Rig, tight};

const ONE: ReplicaId = ReplicaId(1);
const TWO: ReplicaId = ReplicaId(2);

fn sled(directory: &tempfile::TempDir) -> SledIndexes {
    SledIndexes::open(directory.path(), 1 << 20).unwrap()
}

fn put(index: &dyn Index, changes: &BTreeMap<Bytes, Option<Bytes>>) {
    let mut sorted = changes
        .iter()
        .map(|(key, value)| Ok::<Change, Fault>((key.clone(), value.clone())));
    index.put_sorted(&mut sorted).unwrap();
}

fn all(index: &dyn Index, from: &[u8], to: &[u8]) -> Vec<(Bytes, Bytes)> {
    index
        .scan(from, to)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

type Batch = BTreeMap<Bytes, Option<Bytes>>;

fn batch() -> impl Strategy<Value = Batch> {
    let key = prop::collection::vec(
        prop_oneof![Just(1_u8), Just(2), Just(200), Just(0xfe)],
        1..5,
    );
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    prop::collection::btree_map(
        key.prop_map(Bytes::from),
        value.prop_map(|value| value.map(Bytes::from)),
        0..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sled_is_as_the_model(batches in prop::collection::vec(batch(), 1..12)) {
        let directory = tempfile::tempdir().unwrap();
        let (disk, memory) = (sled(&directory), MemoryIndexes::new());
        let (ours, theirs) = (memory.fresh(ONE).unwrap(), disk.fresh(ONE).unwrap());
        // Another tree in the same database changes nothing here.
        put(disk.fresh(TWO).unwrap().as_ref(), &batches[0]);
        for (number, batch) in batches.iter().enumerate() {
            for index in [&ours, &theirs] {
                put(index.as_ref(), batch);
                let id = LogId { term: 1, index: number as u64 };
                index.set_applied(id).unwrap();
                assert_eq!(index.applied().unwrap(), Some(id));
            }
            let ranges: [(&[u8], &[u8]); 4] =
                [(&[], END), (&[1, 200], &[2, 2, 2]), (&[2], &[2]), (&[3], &[1])];
            for (from, to) in ranges {
                prop_assert_eq!(
                    all(ours.as_ref(), from, to),
                    all(theirs.as_ref(), from, to)
                );
                prop_assert_eq!(ours.last(from, to).unwrap(), theirs.last(from, to).unwrap());
            }
            for key in batch.keys() {
                prop_assert_eq!(ours.get(key).unwrap(), theirs.get(key).unwrap());
            }
        }
        theirs.flush().unwrap();
        let (before, applied) = (all(theirs.as_ref(), &[], END), theirs.applied().unwrap());
        drop((disk, theirs));
        let disk = sled(&directory);
        prop_assert!(disk.put_aside().is_none());
        let again = disk.of(ONE).unwrap().remove(0);
        prop_assert_eq!(all(again.as_ref(), &[], END), before);
        prop_assert_eq!(again.applied().unwrap(), applied);
    }

    /// Any mixture of what is in the index, frozen, and written since reads as one.
    #[test]
    fn layers_read_as_one(
        rounds in prop::collection::vec(
            (prop::collection::vec((0_u8..30, prop::option::of(0_u16..20)), 1..8), 0_u8..4), 1..20),
    ) {
        let mut rig = Rig::new();
        for (round, (changes, steps)) in rounds.iter().enumerate() {
            rig.apply(&command(changes, round), b"");
            for _ in 0..*steps {
                rig.replica.step(node::replica::Due::Now);
                rig.write();
            }
            rig.check();
            let keys: Vec<String> = (0..30).map(|key| format!("k{key:03}")).collect();
            for from in keys.iter().step_by(7) {
                for to in keys.iter().step_by(5) {
                    let model = &rig.model.0;
                    let (low, high) = (from.min(to).clone(), to.clone());
                    let expected: Vec<_> =
                        model.range(low..high).map(|(key, _)| key.clone()).collect();
                    let (first, last) = rig.replica.read(|rows| {
                        let scan = rows.scan(from.as_bytes(), to.as_bytes()).unwrap();
                        let keys: Vec<String> = scan
                            .map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap())
                            .collect();
                        (keys, rows.last(from.as_bytes(), to.as_bytes()).unwrap())
                    });
                    let last = last.map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
                    prop_assert_eq!(last.as_ref(), expected.last());
                    prop_assert_eq!(first, expected);
                }
            }
        }
    }
}

#[test]
fn indexes_are_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, memory) = (sled(&directory), MemoryIndexes::new());
    for indexes in [&disk as &dyn Indexes, &memory] {
        let first = indexes.fresh(ONE).unwrap();
        let second = indexes.fresh(ONE).unwrap();
        let other = indexes.fresh(TWO).unwrap();
        put(
            first.as_ref(),
            &BTreeMap::from([(Bytes::from("a"), Some(Bytes::from("1")))]),
        );
        put(
            second.as_ref(),
            &BTreeMap::from([(Bytes::from("a"), Some(Bytes::from("2")))]),
        );
        assert_eq!(other.get(b"a").unwrap(), None);
        assert_eq!(first.applied().unwrap(), None);
        let names = |replica| -> Vec<String> {
            indexes
                .of(replica)
                .unwrap()
                .iter()
                .map(|index| index.name().to_owned())
                .collect()
        };
        assert_eq!(names(ONE), [second.name(), first.name()], "newest first");
        indexes.discard(first.as_ref()).unwrap();
        assert_eq!(names(ONE), [second.name()]);
        assert_eq!(second.get(b"a").unwrap().unwrap(), "2");
        let third = indexes.fresh(ONE).unwrap();
        assert_ne!(third.name(), second.name());
        assert_eq!(third.get(b"a").unwrap(), None);
    }
}

/// With sled underneath, over restarts.
#[test]
fn a_replica_on_sled() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::with(Arc::new(sled(&directory)), tight());
    for round in 0..60_usize {
        let key = (round * 37 % 40) as u8;
        rig.apply(
            &command(&[(key, Some(200)), (key / 2, None)], round),
            b"a body",
        );
        if round % 4 == 0 {
            rig.checkpoint();
        }
        if round % 17 == 0 {
            let disk = rig.end();
            rig = Rig::open(disk, Arc::new(sled(&directory)), tight(), round as u64 + 2).unwrap();
        }
        rig.check();
    }
    rig.check_bodies();
}
