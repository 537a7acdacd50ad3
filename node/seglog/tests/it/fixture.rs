//! Files as each format was released: the same appends give the same bytes as in the newest one,
//! and all old bytes are understood. `SEGLOG_WRITE_FIXTURE=1` writes them anew, for a new format
//! and into a new folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use seglog::sim::SimDisk;
use seglog::{Cleaned, Cleaner, FORMAT_VERSION, Kind, Record, ReplicaId};

use crate::cleaning::Refs;
use crate::rig::{ONE, Rig, TWO, at, body, entry, options, segment_name};

fn folder(format: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{format}"))
}

fn read(format: u32) -> SimDisk {
    let disk = SimDisk::new();
    for file in std::fs::read_dir(folder(format)).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        disk.put(&name, std::fs::read(file.path()).unwrap());
    }
    disk
}

/// All kinds, three segments.
fn write() -> Rig {
    let mut rig = Rig::new();
    let first = rig.write(vec![
        entry(ONE, 1, 1, 5),
        Record::vote(ONE, Bytes::from("vote")),
    ]);
    rig.write((2..=8).map(|at| entry(ONE, 1, at, 400)).collect());
    rig.write(vec![Record::truncate(ONE, 7), entry(ONE, 2, 7, 100)]);
    rig.write(vec![
        Record::commit(ONE, 1, 5, Bytes::from("commit")),
        Record::purge(ONE, 1, 2),
    ]);
    rig.write(
        (1..=3)
            .map(|at| Record::rows(TWO, (1, 9), (at == 1, at == 3), vec![body(1, at, 200)]))
            .collect(),
    );
    rig.write(
        (1..=2)
            .map(|at| Record::base(TWO, (1, 4), (at == 1, at == 2), vec![body(2, at, 300)]))
            .collect(),
    );
    rig.write(vec![Record {
        kind: Kind::Pad,
        ..entry(ONE, 0, 0, 100)
    }]);
    let copied = entry(ONE, 1, 1, 5);
    rig.copy(vec![(at(&copied, &first[0]), copied)]);
    rig.write(vec![
        entry(ReplicaId(3), 1, 1, 50),
        Record::end(ReplicaId(3)),
    ]);
    rig.write((8..=12).map(|at| entry(ONE, 2, at, 400)).collect());
    rig
}

/// What all formats hold.
fn check(rig: &Rig, entries_upto: u64) {
    assert_eq!((rig.recovered.torn, rig.recovered.damage.len()), (None, 0));
    assert_eq!(rig.indexes(ONE), (3..=entries_upto).collect::<Vec<_>>());
    let one = &rig.recovered.replicas[&ONE];
    assert_eq!(one.vote, Some(Bytes::from("vote")));
    assert_eq!(one.commit, Some((1, 5, Bytes::from("commit"))));
    assert_eq!(one.purged, Some((1, 2)));
    let two = &rig.recovered.replicas[&TWO];
    assert_eq!((two.base.len(), two.rows.len()), (2, 3));
    assert!(rig.recovered.replicas[&ReplicaId(3)].ended);
}

/// Nothing is appended to a segment of an old format.
#[test]
fn format_1() {
    let mut rig = Rig::open(&read(1), options()).unwrap();
    check(&rig, 12);
    assert_eq!(rig.log.active_segment(), 4);
    rig.write(vec![entry(ONE, 2, 13, 400)]);
    check(&rig.reopen(), 13);
}

/// As in format 1, and then the first segment is cleaned.
#[test]
fn format_2() {
    let mut rig = write();
    let live = Refs::of(&rig.log.records(1).unwrap().records[2..]);
    let others_are_full = BTreeMap::from([(2, 4096), (3, 4096)]);
    let mut cleaner = Cleaner::new(rig.log.clone());
    while cleaner
        .step(&live, || others_are_full.clone(), 1000)
        .unwrap()
        != Cleaned::Idle
    {
        rig.writer.step().unwrap();
    }
    rig.write((13..=20).map(|at| entry(ONE, 2, at, 400)).collect());
    assert_eq!(FORMAT_VERSION, 2);
    for segment in rig.log.segments().unwrap() {
        let name = segment_name(segment.number);
        let written = rig.disk.contents(&name).unwrap();
        if std::env::var_os("SEGLOG_WRITE_FIXTURE").is_some() {
            std::fs::create_dir_all(folder(2)).unwrap();
            std::fs::write(folder(2).join(&name), &written).unwrap();
        }
        let fixture = read(2).contents(&name).unwrap();
        assert!(fixture == written, "{name} is written differently");
    }
    let rig = Rig::open(&read(2), options()).unwrap();
    let numbers = rig.log.segments().unwrap();
    let numbers: Vec<u64> = numbers.iter().map(|segment| segment.number).collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
    check(&rig, 20);
    let moved = &rig.recovered.replicas[&ONE].entries[0];
    assert_eq!(
        (moved.position.segment(), moved.place.segment > 1),
        (1, true)
    );
}
