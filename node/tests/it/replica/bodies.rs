//! From a row to the bytes of a body.

use bytes::Bytes;
use mailbox::{Body, BodyAt, Hash16};
use node::replica::{BodyError, LogId};

use super::rig::Rig;

fn body(id: LogId, bytes: &[u8]) -> Body {
    let at = BodyAt::Entry {
        index: id.index,
        term: id.term,
    };
    Body {
        hash: Hash16::of(bytes),
        length: bytes.len() as u64,
        at,
    }
}

/// From memory, from Raft's log, and from a checkpoint, the bytes are the same.
#[test]
fn wherever_it_is_known_from() {
    let text: Vec<u8> = (0..100_000_u32).map(|byte| (byte / 7) as u8).collect();
    let mut rig = Rig::new();
    let ids = [rig.apply("put a 1", &text), rig.apply("put b 1", &text)];
    let check = |rig: &Rig| {
        for id in ids {
            let row = body(id, &text);
            assert_eq!(rig.replica.body(&row).unwrap(), text);
            for range in [0..0, 0..1, 5000..70_000, 99_999..100_000, 0..100_000] {
                let part = rig.replica.body_range(&row, range.clone()).unwrap();
                assert_eq!(part, text[range.start as usize..range.end as usize]);
            }
            assert!(matches!(
                rig.replica.body_range(&row, 5..100_001),
                Err(BodyError::NoBody)
            ));
        }
    };
    check(&rig);
    rig.write();
    check(&rig);
    rig.checkpoint();
    check(&rig);
    rig.raft.purge(2);
    check(&rig);
    let rig = rig.reopen();
    check(&rig);
}

#[test]
fn not_here() {
    let mut rig = Rig::new();
    let id = rig.apply("put a 1", b"a body");
    rig.checkpoint();
    for id in [
        LogId { term: 1, index: 2 },
        LogId {
            term: 2,
            index: id.index,
        },
    ] {
        assert!(
            matches!(rig.replica.entry_body(id), Err(BodyError::Missing(missing)) if missing == id)
        );
    }
}

/// Damage is an error, never bytes.
#[test]
fn damaged() {
    let mut rig = Rig::new();
    let id = rig.apply("put a 1", b"a body of some bytes");
    rig.checkpoint();
    rig.raft.purge(1);
    let row = body(id, b"a body of some bytes");
    assert_eq!(
        rig.replica.body(&row).unwrap(),
        Bytes::from_static(b"a body of some bytes")
    );
    let other = body(id, b"a body of other byte");
    assert!(matches!(
        rig.replica.body(&other),
        Err(BodyError::Damaged(..))
    ));
    let longer = Body { length: 21, ..row };
    assert!(matches!(
        rig.replica.body(&longer),
        Err(BodyError::Damaged(..))
    ));
    let name = format!("{:016x}.seg", 1);
    let contents = rig.disk.contents(&name).unwrap();
    let at = contents
        .windows(4)
        .position(|bytes| bytes == b"some")
        .unwrap();
    assert!(rig.disk.flip(&name, at as u64, 1));
    assert!(matches!(
        rig.replica.body(&row),
        Err(BodyError::Damaged(..))
    ));
    assert!(matches!(
        rig.replica.body_range(&row, 0..2),
        Err(BodyError::Damaged(..))
    ));
    assert_eq!(rig.replica.fault(), None);
}

/// A part is read only of a record that was found whole. Once it was, the next part needs no disk.
#[test]
fn parts_are_of_what_was_checked() {
    let text: Vec<u8> = (0..200_000_u32).map(|byte| (byte % 251) as u8).collect();
    let mut rig = Rig::new();
    let ids = [rig.apply("put a 1", &text), rig.apply("put b 1", &text)];
    rig.checkpoint();
    rig.raft.purge(2);
    let part = |rig: &Rig, id, range: std::ops::Range<u64>| {
        rig.replica.body_range(&body(id, &text), range)
    };
    assert_eq!(
        part(&rig, ids[0], 70_000..70_010).unwrap(),
        text[70_000..70_010]
    );
    // The last byte of each, far from what is asked for.
    let name = format!("{:016x}.seg", 1);
    let contents = rig.disk.contents(&name).unwrap();
    let ends = (0..contents.len() - 100).filter(|at| contents[*at..].starts_with(&text[199_900..]));
    for end in ends.collect::<Vec<_>>() {
        assert!(rig.disk.flip(&name, end as u64 + 99, 1));
    }
    for range in [0..10, 199_990..200_000] {
        let within = range.start as usize..range.end as usize;
        assert_eq!(part(&rig, ids[0], range.clone()).unwrap(), text[within]);
        let damaged = part(&rig, ids[1], range);
        assert!(
            matches!(damaged, Err(BodyError::Damaged(..))),
            "{damaged:?}"
        );
    }
}
