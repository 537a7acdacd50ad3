//! Files as format 1 was released: the same appends give the same bytes, and the old bytes are
//! understood. `SEGLOG_WRITE_FIXTURE=1` writes them anew, for a new format and into a new folder.

use std::path::PathBuf;

use bytes::Bytes;
use seglog::sim::SimDisk;
use seglog::{Kind, Record, ReplicaId, Sync};

use crate::rig::{ONE, Rig, TWO, body, entry, options, segment_name};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
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
            .map(|at| Record::rows(TWO, (1, 9), at == 3, vec![body(1, at, 200)]))
            .collect(),
    );
    rig.write(
        (1..=2)
            .map(|at| Record::base(TWO, (1, 4), at == 2, vec![body(2, at, 300)]))
            .collect(),
    );
    rig.write(vec![Record {
        kind: Kind::Pad,
        ..entry(ONE, 0, 0, 100)
    }]);
    let copy = (first[0].position, entry(ONE, 1, 1, 5));
    rig.log
        .append_moved(vec![copy], Sync::Required, Box::new(|_| {}))
        .unwrap();
    rig.writer.step().unwrap();
    rig.write(vec![
        entry(ReplicaId(3), 1, 1, 50),
        Record::end(ReplicaId(3)),
    ]);
    rig.write((8..=12).map(|at| entry(ONE, 2, at, 400)).collect());
    rig
}

#[test]
fn format_1() {
    let rig = write();
    let last = rig.log.active_segment();
    assert_eq!(last, 3);
    let old = SimDisk::new();
    for segment in 1..=last {
        let name = segment_name(segment);
        let path = folder().join(&name);
        let written = rig.disk.contents(&name).unwrap();
        if std::env::var_os("SEGLOG_WRITE_FIXTURE").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let fixture = std::fs::read(&path).unwrap();
        assert!(fixture == written, "{name} is written differently");
        old.put(&name, fixture);
    }
    let rig = Rig::open(&old, options()).unwrap();
    assert_eq!((rig.recovered.torn, rig.recovered.damage.len()), (None, 0));
    assert_eq!(rig.indexes(ONE), (3..=12).collect::<Vec<_>>());
    let one = &rig.recovered.replicas[&ONE];
    assert_eq!(one.vote, Some(Bytes::from("vote")));
    assert_eq!(one.commit, Some((1, 5, Bytes::from("commit"))));
    assert_eq!(one.purged, Some((1, 2)));
    let two = &rig.recovered.replicas[&TWO];
    assert_eq!((two.base.len(), two.rows.len()), (2, 3));
    assert!(rig.recovered.replicas[&ReplicaId(3)].ended);
}
