//! What a replica may have said in records that are lost: it is told, for as long as it matters.

use bytes::Bytes;
use seglog::{Record, Sync, What};

use crate::rig::{ONE, Rig, TWO, entry, options, segment_name};

fn vote(text: &'static str, term: u64) -> Record {
    Record {
        term,
        ..Record::vote(ONE, Bytes::from(text))
    }
}

/// Fills segments until another one is written.
fn roll(rig: &mut Rig) {
    let segment = rig.log.active_segment();
    let mut index = rig
        .recovered
        .replicas
        .get(&TWO)
        .map_or(1, |two| two.last.unwrap_or(0) + 1);
    while rig.log.active_segment() == segment {
        rig.write(vec![entry(TWO, 1, index, 900)]);
        index += 1;
    }
}

#[test]
fn a_damaged_vote_is_missed_until_the_next() {
    let mut rig = Rig::new();
    rig.write(vec![vote("one", 1)]);
    let lost = rig.write(vec![vote("two", 2)])[0];
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(lost.place.offset), 1)
    );
    // The next opens find the vote before it in the block that the first one began, and yet miss
    // the lost one.
    for _ in 0..3 {
        rig = rig.reopen();
        let one = &rig.recovered.replicas[&ONE];
        assert_eq!(
            (one.vote.clone(), one.vote_lost),
            (Some(Bytes::from("one")), true)
        );
        assert!(!one.doubted && !rig.recovered.replicas[&TWO].vote_lost);
        let record = rig.recovered.damage[0].record.unwrap();
        assert_eq!((record.replica, record.term), (ONE, 2));
        roll(&mut rig);
    }
    rig.write(vec![vote("three", 3)]);
    for _ in 0..2 {
        rig = rig.reopen();
        let one = &rig.recovered.replicas[&ONE];
        assert_eq!(
            (one.vote.clone(), one.vote_lost),
            (Some(Bytes::from("three")), false)
        );
        roll(&mut rig);
    }
}

/// A vote that was damaged before a newer one was written is nobody's loss.
#[test]
fn an_old_damaged_vote_does_not_matter() {
    let mut rig = Rig::new();
    let old = rig.write(vec![vote("one", 1)])[0];
    rig.write(vec![vote("two", 2)]);
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(old.place.offset), 1)
    );
    let rig = rig.reopen();
    let one = &rig.recovered.replicas[&ONE];
    assert_eq!(
        (one.vote.clone(), one.vote_lost),
        (Some(Bytes::from("two")), false)
    );
}

#[test]
fn a_lost_header_makes_all_replicas_doubtful_for_ever() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 10)]);
    let lost = rig.write(vec![entry(ONE, 1, 2, 10)])[0];
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    let header = u64::from(lost.place.record_offset());
    assert!(rig.disk.flip(&segment_name(1), header + 9, 1));
    for _ in 0..3 {
        rig = rig.reopen();
        let doubted = rig
            .recovered
            .replicas
            .values()
            .map(|replica| replica.doubted);
        assert_eq!(doubted.collect::<Vec<_>>(), [true, true]);
        roll(&mut rig);
    }
    // A replica that comes later said nothing there.
    let three = seglog::ReplicaId(3);
    rig.write(vec![entry(three, 1, 1, 10)]);
    let mut rig = rig.reopen();
    assert!(!rig.recovered.replicas[&three].doubted);
    // And with its life the doubt ends.
    rig.write(vec![Record::end(ONE)]);
    let rig = rig.reopen();
    assert!(!rig.recovered.replicas[&ONE].doubted);
}

/// Who comes after the loss is not doubted, however soon the log is opened again: what takes the
/// place of a replica that is doubted would be doubted itself, and so on for ever.
#[test]
fn a_replica_that_comes_after_the_loss_is_not_doubted() {
    let mut rig = Rig::new();
    let lost = rig.write(vec![entry(ONE, 1, 1, 10)])[0];
    rig.write(vec![entry(ONE, 1, 2, 10)]);
    let header = u64::from(lost.place.record_offset());
    assert!(rig.disk.flip(&segment_name(1), header + 9, 1));
    let mut rig = rig.reopen();
    assert!(rig.recovered.replicas[&ONE].doubted);
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    rig.write(vec![Record::end(ONE)]);
    for reopened in [Rig::reopen, Rig::crash] {
        rig = reopened(rig);
        assert!(!rig.recovered.replicas[&TWO].doubted && rig.recovered.replicas[&ONE].ended);
    }
}

/// What a newer block repeats is not lost with an older segment.
#[test]
fn a_lost_header_below_the_newest_block_is_no_doubt() {
    let mut rig = Rig::new();
    rig.write(vec![vote("one", 1)]);
    let lost = rig.write(vec![entry(ONE, 1, 1, 10)])[0];
    rig.write(vec![entry(ONE, 1, 2, 10)]);
    roll(&mut rig);
    let header = u64::from(lost.place.record_offset());
    assert!(rig.disk.flip(&segment_name(1), header + 9, 1));
    // The index of the segment still says what was there.
    let name = segment_name(1);
    let end = rig.disk.contents(&name).unwrap().len() as u64;
    assert!(rig.disk.flip(&name, end - 5, 1));
    let rig = rig.reopen();
    let one = &rig.recovered.replicas[&ONE];
    assert_eq!(
        (one.doubted, one.vote_lost, one.last),
        (false, false, Some(2))
    );
    assert_eq!(rig.indexes(ONE), [2]);
}

/// The last entries of a replica are missed even if nothing of them is readable.
#[test]
fn lost_entries_at_the_end_are_missed() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 10)]);
    let lost = rig.write(vec![entry(ONE, 1, 2, 10)])[0];
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    // The payload alone: then its header says it.
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(lost.place.offset), 1)
    );
    let rig = rig.reopen();
    assert_eq!(rig.recovered.replicas[&ONE].last, Some(2));
    assert_eq!(rig.indexes(ONE), [1]);
    assert!(!rig.recovered.replicas[&ONE].doubted);
}

/// A segment is filled before it is used, so one that is shorter was cut.
#[test]
fn a_last_segment_that_was_cut_makes_doubt() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 10)]);
    let end = rig.write(vec![entry(ONE, 1, 2, 10)])[0].place;
    let name = segment_name(1);
    let mut bytes = rig.disk.contents(&name).unwrap();
    bytes.truncate(end.offset as usize + end.length as usize + 6);
    rig.queue(vec![], Sync::Required);
    let disk = rig.disk.clone();
    drop(rig);
    disk.put(&name, bytes);
    let mut rig = Rig::open(&disk, options()).unwrap();
    assert_eq!(rig.indexes(ONE), [1, 2]);
    assert!(rig.recovered.replicas[&ONE].doubted);
    let damage = rig.recovered.damage[0];
    assert_eq!(
        (damage.segment, damage.what, damage.record),
        (1, What::Record, None)
    );
    assert_eq!(rig.log.active_segment(), 2);
    rig.write(vec![entry(ONE, 1, 3, 10)]);
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [1, 2, 3]);
    assert!(rig.recovered.replicas[&ONE].doubted);
}

/// A block that cannot be read hides nothing if the state behind it can, in the first segment
/// neither.
#[test]
fn an_unreadable_block_makes_no_doubt() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 10)]);
    assert!(rig.disk.flip(&segment_name(1), 20, 1));
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [1]);
    assert!(!rig.recovered.replicas[&ONE].doubted);
}
