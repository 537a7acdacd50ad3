//! What the kinds mean at the next open.

use bytes::Bytes;
use seglog::{Kind, Record};

use crate::rig::{ONE, Rig, TWO, at, body, entry};

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn an_empty_log() {
    let rig = Rig::new().reopen();
    assert_eq!(rig.recovered, seglog::Recovered::default());
}

#[test]
fn entries_come_back() {
    let mut rig = Rig::new();
    rig.write(vec![
        entry(ONE, 1, 1, 5),
        entry(TWO, 3, 7, 6),
        entry(ONE, 2, 2, 7),
    ]);
    for rig in [rig.reopen()].map(Rig::crash) {
        assert_eq!(
            rig.entries(ONE),
            [(1, 1, body(1, 1, 5)), (2, 2, body(2, 2, 7))]
        );
        assert_eq!(rig.entries(TWO), [(3, 7, body(3, 7, 6))]);
        assert_eq!(rig.recovered.torn, None);
    }
}

#[test]
fn the_newest_vote_and_commit_win() {
    let mut rig = Rig::new();
    rig.write(vec![
        Record::vote(ONE, bytes("v1")),
        Record::commit(ONE, 1, 1, bytes("c1")),
    ]);
    rig.write(vec![
        Record::vote(TWO, bytes("other")),
        Record::vote(ONE, bytes("v2")),
    ]);
    rig.write(vec![Record::commit(ONE, 1, 2, bytes("c2"))]);
    let rig = rig.reopen();
    let one = &rig.recovered.replicas[&ONE];
    assert_eq!(one.vote, Some(bytes("v2")));
    assert_eq!(one.commit, Some((1, 2, bytes("c2"))));
    assert_eq!(rig.recovered.replicas[&TWO].vote, Some(bytes("other")));
    assert_eq!(rig.recovered.replicas[&TWO].commit, None);
}

#[test]
fn truncated_indexes_are_used_again() {
    let mut rig = Rig::new();
    rig.write((1..=5).map(|at| entry(ONE, 1, at, 8)).collect());
    rig.write(vec![Record::truncate(ONE, 3), entry(ONE, 2, 3, 9)]);
    let mut rig = rig.reopen();
    let expected = [
        (1, 1, body(1, 1, 8)),
        (1, 2, body(1, 2, 8)),
        (2, 3, body(2, 3, 9)),
    ];
    assert_eq!(rig.entries(ONE), expected);
    rig.write(vec![Record::truncate(ONE, 0)]);
    let mut rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), []);
    // Without a truncation, an entry at a known index takes those behind it along.
    rig.write((1..=5).map(|at| entry(ONE, 3, at, 8)).collect());
    rig.write(vec![entry(ONE, 4, 2, 8)]);
    assert_eq!(rig.reopen().indexes(ONE), [1, 2]);
}

#[test]
fn purged_entries_are_not_listed() {
    let mut rig = Rig::new();
    let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 8)).collect());
    rig.write(vec![Record::purge(ONE, 1, 3), Record::purge(ONE, 1, 2)]);
    let mut rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [4, 5]);
    assert_eq!(rig.recovered.replicas[&ONE].purged, Some((1, 3)));
    // The bytes stay.
    assert_eq!(rig.log.read(written[0].place, None).unwrap(), body(1, 1, 8));
    // A snapshot may be far ahead of the log.
    rig.write(vec![Record::purge(ONE, 2, 50), entry(ONE, 2, 51, 8)]);
    assert_eq!(rig.reopen().indexes(ONE), [51]);
}

#[test]
fn a_checkpoint_counts_when_it_is_whole() {
    let mut rig = Rig::new();
    let rows = |at, ends, text| Record::rows(ONE, at, ends, vec![bytes(text)]);
    let (begin, end, alone) = ((true, false), (false, true), (true, true));
    rig.write(vec![
        rows((1, 5), begin, "a"),
        rows((1, 5), end, "b"),
        rows((1, 9), begin, "c"),
    ]);
    let mut rig = rig.reopen();
    let listed = |rig: &Rig| -> Vec<(u64, Bytes, bool)> {
        let rows = &rig.recovered.replicas[&ONE].rows;
        rows.iter()
            .map(|at| (at.index, rig.log.read(at.place, None).unwrap(), at.last))
            .collect()
    };
    let whole = [(5, bytes("a"), false), (5, bytes("b"), true)];
    assert_eq!(listed(&rig), whole);
    // The run that the restart cut short is not mended by one at the same log id.
    rig.write(vec![rows((1, 9), alone, "d")]);
    let mut rig = rig.reopen();
    assert_eq!(
        listed(&rig),
        [&whole[..], &[(9, bytes("d"), true)]].concat()
    );
    // Nor by one at another.
    rig.write(vec![
        rows((1, 10), begin, "lost"),
        rows((1, 11), alone, "e"),
    ]);
    let mut rig = rig.reopen();
    assert_eq!(listed(&rig)[3..], [(11, bytes("e"), true)]);
    // Nor by one at the same, in the same life.
    rig.write(vec![
        rows((1, 12), begin, "lost"),
        rows((1, 12), begin, "f"),
        rows((1, 12), end, "g"),
    ]);
    let run = [(12, bytes("f"), false), (12, bytes("g"), true)];
    assert_eq!(listed(&rig.reopen())[4..], run);
}

#[test]
fn a_whole_base_replaces_what_it_was_made_of() {
    let mut rig = Rig::new();
    let (begin, between, end, whole) = ((true, false), (false, false), (false, true), (true, true));
    let rows = |index| Record::rows(ONE, (1, index), whole, vec![bytes("r")]);
    let base = |index, ends| Record::base(ONE, (1, index), ends, vec![bytes("b")]);
    let kinds = |rig: &Rig| {
        let one = &rig.recovered.replicas[&ONE];
        let indexes = |list: &[seglog::RowsAt]| list.iter().map(|at| at.index).collect::<Vec<_>>();
        (indexes(&one.base), indexes(&one.rows))
    };
    rig.write(vec![rows(1), rows(2), base(2, begin), rows(3)]);
    let mut rig = rig.reopen();
    assert_eq!(kinds(&rig), (vec![], vec![1, 2, 3]));
    // Checkpoints go on while a base is written; those above it stay.
    rig.write(vec![
        base(3, begin),
        rows(4),
        base(3, between),
        base(3, end),
        rows(5),
    ]);
    let mut rig = rig.reopen();
    assert_eq!(kinds(&rig), (vec![3, 3, 3], vec![4, 5]));
    rig.write(vec![base(5, whole)]);
    let mut rig = rig.reopen();
    assert_eq!(kinds(&rig), (vec![5], vec![]));
    rig.write(vec![base(6, begin)]);
    let mut rig = rig.reopen();
    assert_eq!(kinds(&rig), (vec![5], vec![]));
    // One that is given up is begun again: nothing is left of what was there of it.
    rig.write(vec![
        base(7, begin),
        base(7, between),
        base(7, begin),
        base(7, end),
    ]);
    assert_eq!(kinds(&rig.reopen()), (vec![7, 7], vec![]));
}

#[test]
fn an_ended_replica_has_nothing() {
    let mut rig = Rig::new();
    rig.write(vec![
        entry(ONE, 1, 1, 8),
        Record::vote(ONE, bytes("v")),
        entry(TWO, 1, 1, 8),
    ]);
    rig.write(vec![Record::end(ONE), entry(ONE, 1, 2, 8)]);
    let ended = seglog::RecoveredReplica {
        ended: true,
        ..Default::default()
    };
    let mut rig = rig.reopen();
    assert_eq!(rig.recovered.replicas[&ONE], ended);
    assert_eq!(rig.indexes(TWO), [1]);
    rig.write((2..30).map(|at| entry(TWO, 1, at, 500)).collect());
    assert_eq!(rig.reopen().recovered.replicas[&ONE], ended);
}

#[test]
fn pads_are_skipped() {
    let mut rig = Rig::new();
    let pad = Record {
        kind: Kind::Pad,
        ..entry(ONE, 0, 0, 333)
    };
    rig.write(vec![entry(TWO, 1, 1, 8), pad, entry(TWO, 1, 2, 8)]);
    let rig = rig.reopen();
    assert_eq!(rig.indexes(TWO), [1, 2]);
    assert!(!rig.recovered.replicas.contains_key(&ONE));
}

#[test]
fn segments_roll_over() {
    let mut rig = Rig::new();
    let vote = Record::vote(ONE, bytes("v"));
    let written = rig.write(
        [
            vec![vote],
            (1..=40).map(|at| entry(ONE, 1, at, 333)).collect(),
        ]
        .concat(),
    );
    assert!(rig.log.stats().segments >= 4);
    assert!(
        written
            .windows(2)
            .all(|pair| pair[0].position < pair[1].position)
    );
    rig.write(vec![
        Record::truncate(ONE, 36),
        entry(ONE, 2, 36, 10),
        Record::purge(ONE, 1, 20),
    ]);
    let mut rig = rig.crash();
    assert_eq!(rig.indexes(ONE), (21..=36).collect::<Vec<_>>());
    assert_eq!(rig.recovered.replicas[&ONE].vote, Some(bytes("v")));
    assert_eq!(
        rig.log.read(written[1].place, None).unwrap(),
        body(1, 1, 333)
    );
    // Truncations and marks that stand in older segments still hold in new ones.
    rig.write((37..60).map(|at| entry(ONE, 2, at, 500)).collect());
    let rig = rig.crash();
    assert_eq!(rig.indexes(ONE), (21..60).collect::<Vec<_>>());
    assert_eq!(rig.recovered.replicas[&ONE].entries[15].term, 2);
}

/// Only segments that someone needs are read: here neither the first nor the many of `TWO`.
#[test]
fn an_idle_replica_costs_only_its_own_segments() {
    let mut rig = Rig::new();
    rig.write((1..=20).map(|at| entry(ONE, 1, at, 500)).collect());
    rig.write(vec![Record::purge(ONE, 1, 19)]);
    rig.write((1..=100).map(|at| entry(TWO, 1, at, 500)).collect());
    rig.write(vec![Record::purge(TWO, 1, 100)]);
    rig.write((101..=120).map(|at| entry(TWO, 1, at, 500)).collect());
    assert!(rig.log.stats().segments > 20);
    let disk = rig.disk.clone();
    drop(rig);
    // Proof: the index of a segment that nobody needs can be damaged without notice.
    assert!(disk.flip(&crate::rig::segment_name(10), 4095, 1));
    assert!(disk.flip(&crate::rig::segment_name(10), 70, 1));
    let rig = Rig::open(&disk, crate::rig::options()).unwrap();
    assert_eq!(rig.recovered.damage, []);
    assert_eq!(rig.indexes(ONE), [20]);
    assert_eq!(rig.indexes(TWO), (101..=120).collect::<Vec<_>>());
}

#[test]
fn a_moved_entry_stands_for_its_original() {
    let mut rig = Rig::new();
    let written = rig.write((1..=4).map(|at| entry(ONE, 1, at, 8)).collect());
    rig.write(vec![
        Record::truncate(ONE, 4),
        entry(ONE, 2, 4, 8),
        Record::purge(ONE, 1, 1),
    ]);
    // Copies of: a purged one, a live one, a truncated one.
    let copies = [0, 1, 3].map(|copied: usize| {
        let record = entry(ONE, 1, copied as u64 + 1, 8);
        (at(&record, &written[copied]), record)
    });
    rig.copy(copies.to_vec());
    rig.write((5..30).map(|at| entry(ONE, 2, at, 300)).collect());
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), (2..30).collect::<Vec<_>>());
    let entries = &rig.recovered.replicas[&ONE].entries;
    assert_eq!(entries[0].position, written[1].position);
    assert!(entries[0].place > written[3].place);
    assert_eq!(entries[2].term, 2);
}
