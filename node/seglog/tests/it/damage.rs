//! Damage and torn tails told apart (L2), and what is refused at open.

use bytes::Bytes;
use seglog::sim::{SimDisk, Unsynced};
use seglog::{Damage, Error, Options, Record, Recovered, Sync, Torn, What, Written};

use crate::rig::{LOG_ID, ONE, Rig, TWO, body, entry, options, segment_name};

/// The offset of the header of a record.
fn header(written: &Written) -> u64 {
    u64::from(written.place.offset) - 56
}

#[test]
fn a_torn_tail_is_cut() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 100)]);
    let end = rig.write(vec![entry(ONE, 1, 2, 100)])[0];
    rig.queue(
        (3..=5).map(|at| entry(ONE, 1, at, 800)).collect(),
        Sync::Lazy,
    );
    rig.writer.step().unwrap();
    // One sector in the middle does not reach the disk, what follows does.
    let disk = rig.disk.clone();
    let lost = u64::from(end.place.offset) / 512 + 1;
    disk.crash(|what| !matches!(what, Unsynced::Sector { sector, .. } if *sector == lost));
    drop(rig);
    let mut rig = Rig::open(&disk, options()).unwrap();
    assert_eq!(rig.indexes(ONE), [1, 2]);
    assert_eq!(rig.recovered.damage, []);
    let Some(Torn {
        segment: 1,
        offset,
        bytes,
    }) = rig.recovered.torn
    else {
        panic!()
    };
    assert_eq!(offset, end.place.offset + 104);
    assert!(bytes >= 2 * 800);
    // Good records behind the hole stay forgotten, whatever is written now.
    rig.write(vec![entry(ONE, 2, 3, 100)]);
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [1, 2, 3]);
    assert_eq!((rig.recovered.torn, rig.recovered.damage.len()), (None, 0));
    assert_eq!(rig.log.active_segment(), 2);
}

#[test]
fn an_unsynced_tail_that_survived_is_kept() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 100)]);
    rig.queue(vec![entry(ONE, 1, 2, 800)], Sync::Lazy);
    rig.writer.step().unwrap();
    rig.disk.crash(|_| true);
    let rig = Rig::open(&rig.disk.clone(), options()).unwrap();
    assert_eq!((rig.indexes(ONE), rig.recovered.torn), (vec![1, 2], None));
    // And is durable from then on.
    assert_eq!(rig.crash().indexes(ONE), [1, 2]);
}

#[test]
fn a_bit_in_the_middle_is_damage() {
    let mut rig = Rig::new();
    let written: Vec<Written> = (1..=5)
        .map(|at| rig.write(vec![entry(ONE, 7, at, 100)])[0])
        .collect();
    rig.write(vec![entry(TWO, 1, 1, 10)]);
    let third = written[2];
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(third.place.offset) + 50, 4)
    );
    let check = |rig: &Rig| {
        let [damage] = rig.recovered.damage[..] else {
            panic!("{:?}", rig.recovered.damage)
        };
        assert_eq!((damage.segment, damage.what), (1, What::Record));
        assert_eq!(u64::from(damage.offset), header(&third));
        assert_eq!(damage.length, 160);
        let record = damage.record.unwrap();
        assert_eq!((record.replica, record.term, record.index), (ONE, 7, 3));
        assert_eq!(
            (record.position, record.place),
            (third.position, third.place)
        );
        assert_eq!(record.checksum, third.checksum);
        assert_eq!(rig.indexes(ONE)[..4], [1, 2, 4, 5]);
        assert_eq!(rig.recovered.torn, None);
        let read = rig.log.read(third.place, Some(third.checksum));
        assert!(
            matches!(read, Err(Error::Damaged { segment: 1, offset, .. })
            if u64::from(offset) == header(&third))
        );
    };
    let mut rig = rig.reopen();
    check(&rig);
    // It is reported at every open, also once the segment is sealed and its index is read.
    rig.write((6..20).map(|at| entry(ONE, 7, at, 500)).collect());
    let mut rig = rig.reopen();
    check(&rig);
    assert_eq!(rig.log.scrub(1).unwrap().len(), 1);
    // A good copy mends it.
    let damaged = rig.recovered.damage[0].record.unwrap();
    let bad = (damaged, vec![body(7, 4, 100)]);
    let refused = rig
        .log
        .append_moved(vec![bad], Sync::Required, Box::new(|_| {}));
    assert!(matches!(refused, Err(Error::Damaged { segment: 1, .. })));
    rig.copy(vec![(damaged, entry(ONE, 7, 3, 100))]);
    let rig = rig.reopen();
    assert_eq!(rig.recovered.damage, []);
    assert_eq!(rig.indexes(ONE), (1..20).collect::<Vec<_>>());
    assert_eq!(rig.entries(ONE)[2].2, body(7, 3, 100));
}

/// Also if the log does not list it any more: only its body is needed.
#[test]
fn a_mended_body_of_a_purged_entry() {
    let mut rig = Rig::new();
    let written = rig.write((1..=3).map(|at| entry(ONE, 7, at, 100)).collect());
    rig.write(vec![Record::purge(ONE, 7, 3)]);
    let offset = u64::from(written[1].place.offset);
    assert!(rig.disk.flip(&segment_name(1), offset, 4));
    let mut rig = rig.reopen();
    let damaged = rig.recovered.damage[0].record.unwrap();
    rig.copy(vec![(damaged, entry(ONE, 7, 2, 100))]);
    for round in 0..3 {
        rig.write((1..10).map(|at| entry(TWO, round, at, 900)).collect());
        rig = rig.reopen();
        assert_eq!(rig.recovered.damage, []);
        assert_eq!(rig.indexes(ONE), []);
    }
}

#[test]
fn a_damaged_header_hides_whose_record_it_was() {
    let mut rig = Rig::new();
    let written: Vec<Written> = (1..=5)
        .map(|at| rig.write(vec![entry(ONE, 7, at, 100)])[0])
        .collect();
    assert!(rig.disk.flip(&segment_name(1), header(&written[1]) + 9, 4));
    assert!(rig.disk.flip(&segment_name(1), header(&written[2]) + 30, 1));
    let offset = header(&written[1]) as u32;
    let expected = Damage {
        segment: 1,
        offset,
        length: 320,
        what: What::Record,
        record: None,
    };
    let mut rig = rig.reopen();
    assert_eq!(rig.recovered.damage, [expected]);
    assert_eq!(rig.indexes(ONE), [1, 4, 5]);
    rig.write(vec![entry(ONE, 7, 6, 100)]);
    let rig = rig.reopen();
    assert_eq!(rig.recovered.damage, [expected]);
    assert_eq!(rig.indexes(ONE), [1, 4, 5, 6]);
}

/// The rest of a run whose beginning is damaged is not the end of one that was given up before.
#[test]
fn a_run_without_its_beginning() {
    let mut rig = Rig::new();
    let rows = |index, ends| Record::rows(ONE, (1, index), ends, vec![body(1, index, 100)]);
    rig.write(vec![rows(5, (true, false))]);
    let first = rig.write(vec![rows(6, (true, false))])[0];
    rig.write(vec![rows(6, (false, true)), rows(7, (true, true))]);
    assert!(rig.disk.flip(&segment_name(1), header(&first) + 9, 1));
    let rig = rig.reopen();
    assert_eq!(rig.recovered.damage.len(), 1);
    let rows = &rig.recovered.replicas[&ONE].rows;
    assert_eq!(rows.iter().map(|at| at.index).collect::<Vec<_>>(), [7]);
}

/// The limit that is told: the very last batch looks torn.
#[test]
fn damage_in_the_last_batch_looks_torn() {
    let mut rig = Rig::new();
    rig.write(vec![entry(ONE, 1, 1, 100)]);
    let last = rig.write(vec![entry(ONE, 1, 2, 100)])[0];
    assert!(
        rig.disk
            .flip(&segment_name(1), u64::from(last.place.offset), 1)
    );
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [1]);
    assert_eq!(
        rig.recovered.torn.map(|torn| torn.offset),
        Some(header(&last) as u32)
    );
}

#[test]
fn damage_before_a_torn_tail() {
    let mut rig = Rig::new();
    let written: Vec<Written> = (1..=3)
        .map(|at| rig.write(vec![entry(ONE, 1, at, 100)])[0])
        .collect();
    let lazy = rig.queue(
        (4..=6).map(|at| entry(ONE, 1, at, 100)).collect(),
        Sync::Lazy,
    );
    rig.writer.step().unwrap();
    let lazy = lazy.lock().unwrap().take().unwrap().unwrap();
    // Both headers go: one stretch that begins as damage and ends as a torn tail.
    for bad in [&written[2], &lazy[0]] {
        assert!(rig.disk.flip(&segment_name(1), header(bad) + 3, 1));
    }
    for _ in 0..3 {
        rig = rig.reopen();
        assert_eq!(rig.indexes(ONE), [1, 2]);
        let [damage] = rig.recovered.damage[..] else {
            panic!("{:?}", rig.recovered.damage)
        };
        assert_eq!(
            (damage.offset, damage.length),
            (header(&written[2]) as u32, 160)
        );
    }
}

fn filled() -> Rig {
    let mut rig = Rig::new();
    for at in 1..=20 {
        let vote = Record::vote(ONE, Bytes::from(format!("vote {at}")));
        let rows = Record::rows(TWO, (1, at), (true, true), vec![body(1, at, 60)]);
        rig.write(vec![entry(ONE, 1, at, 333), vote, rows]);
        if at % 7 == 0 {
            rig.write(vec![
                Record::purge(ONE, 1, at - 6),
                Record::truncate(ONE, at),
            ]);
            rig.write(vec![entry(ONE, 2, at, 99)]);
        }
    }
    let whole = (true, true);
    rig.write(vec![Record::base(
        TWO,
        (1, 9),
        whole,
        vec![body(5, 5, 500)],
    )]);
    rig
}

/// The indexes give what a scan gives, and a damaged one is scanned around.
#[test]
fn index_and_scan_agree() {
    let rig = filled();
    let last = rig.log.active_segment();
    assert!(last > 4);
    let rig = rig.reopen();
    let by_index = rig.recovered.clone();
    assert_eq!(by_index.damage, []);
    for segment in 1..last {
        assert!(rig.disk.flip(&segment_name(segment), 4090, 1));
    }
    let mut rig = rig.reopen();
    let damage = std::mem::take(&mut rig.recovered.damage);
    assert!(!damage.is_empty() && damage.iter().all(|damage| damage.what == What::Index));
    assert_eq!(rig.recovered, by_index);
    // The blocks too, up to the last: all is made from the records.
    for segment in 1..=last {
        assert!(rig.disk.flip(&segment_name(segment), 65, 1));
    }
    let disk = rig.disk.clone();
    drop(rig);
    let mut rig = Rig::open(&disk, options()).unwrap();
    let damage = std::mem::take(&mut rig.recovered.damage);
    assert!(
        damage
            .iter()
            .all(|damage| damage.what == What::Block || damage.what == What::Index)
    );
    assert_eq!(rig.recovered, by_index);
    assert_eq!(rig.log.scrub(2).unwrap().len(), 2);
}

#[test]
fn an_unreadable_block_hides_no_records_behind_a_readable_state() {
    let rig = filled();
    let last = rig.log.active_segment();
    let by_index = rig.recovered.clone();
    assert_eq!(by_index, Recovered::default());
    let before = rig.reopen();
    assert!(before.disk.flip(&segment_name(last), 20, 1));
    let expected = before.recovered.clone();
    let mut rig = before.reopen();
    let damage = std::mem::take(&mut rig.recovered.damage);
    let whats: Vec<What> = damage.iter().map(|damage| damage.what).collect();
    assert_eq!(whats, [What::Block]);
    assert_eq!(rig.recovered, expected);
    // Nothing is written behind it.
    assert_eq!(rig.log.active_segment(), last + 1);
    rig.write(vec![entry(ONE, 3, 21, 10)]);
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE).last(), Some(&21));
}

#[test]
fn a_missing_segment_is_damage() {
    let rig = filled();
    let disk = rig.disk.clone();
    drop(rig);
    let removed = seglog::disk::Disk::remove(&disk, &segment_name(3));
    removed.unwrap();
    let rig = Rig::open(&disk, options()).unwrap();
    let missing = Damage {
        segment: 3,
        offset: 0,
        length: 0,
        what: What::Missing,
        record: None,
    };
    assert_eq!(rig.recovered.damage, [missing]);
}

#[test]
fn a_newer_format_is_refused() {
    let rig = Rig::new();
    let disk = rig.disk.clone();
    drop(rig);
    let mut bytes = disk.contents(&segment_name(1)).unwrap();
    bytes[8..12].copy_from_slice(&3_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    disk.put(&segment_name(1), bytes);
    let newer = Rig::open(&disk, options());
    assert!(matches!(
        newer,
        Err(Error::NewerFormat { found: 3, known: 2 })
    ));
}

#[test]
fn files_of_another_log_are_refused() {
    let rig = Rig::new();
    let disk = rig.disk.clone();
    drop(rig);
    let other = Options {
        log_id: LOG_ID + 1,
        ..options()
    };
    assert!(matches!(
        Rig::open(&disk, other),
        Err(Error::NotALog { .. })
    ));
    let foreign = SimDisk::new();
    foreign.put(&segment_name(1), vec![b'x'; 5000]);
    assert!(matches!(
        Rig::open(&foreign, options()),
        Err(Error::NotALog { .. })
    ));
    // A segment under the name of another.
    disk.put(&segment_name(2), disk.contents(&segment_name(1)).unwrap());
    assert!(matches!(
        Rig::open(&disk, options()),
        Err(Error::NotALog { .. })
    ));
    // Names that are none of ours do not matter.
    let disk = SimDisk::new();
    disk.put("README", vec![1]);
    disk.put("1.seg", vec![1]);
    assert!(Rig::open(&disk, options()).is_ok());
}

/// What an earlier life left in a recycled file is never taken for records.
#[test]
fn a_recycled_file() {
    let rig = filled();
    let disk = rig.disk.clone();
    let last = rig.log.active_segment();
    drop(rig);
    // The old bytes stand where they stood: only the segment's number differs.
    let old = disk.contents(&segment_name(2)).unwrap();
    let used = format!("{:016x}.used", 77);
    disk.put(&used, old);
    let mut rig = Rig::open(&disk, options()).unwrap();
    let before = rig.recovered.clone();
    assert_eq!(rig.log.stats().spare_segments, 1);
    while rig.log.active_segment() == last {
        rig.write(vec![Record::vote(TWO, body(1, 1, 200))]);
    }
    assert!(disk.contents(&used).is_none());
    let mut rig = rig.reopen();
    let mut after = rig.recovered.clone();
    let two = after.replicas.get_mut(&TWO).unwrap();
    assert_eq!(two.vote.take(), Some(body(1, 1, 200)));
    assert_eq!(after, before);
    // It is gone on with in place, torn tails are found, and it seals like any other.
    assert_eq!(rig.log.active_segment(), last + 1);
    rig.queue(
        (21..=23).map(|at| entry(ONE, 2, at, 800)).collect(),
        Sync::Lazy,
    );
    rig.writer.step().unwrap();
    disk.crash(|what| !matches!(what, Unsynced::Sector { sector: 4, .. }));
    drop(rig);
    let mut rig = Rig::open(&disk, options()).unwrap();
    assert!(rig.indexes(ONE).last().is_some_and(|last| *last < 23));
    assert_eq!(rig.recovered.damage, []);
    let from = *rig.indexes(ONE).last().unwrap() + 1;
    rig.write((from..40).map(|at| entry(ONE, 3, at, 500)).collect());
    let rig = rig.reopen();
    assert_eq!((rig.recovered.torn, rig.recovered.damage.len()), (None, 0));
    assert_eq!(rig.indexes(ONE).last(), Some(&39));
}

/// A payload that holds bytes of the log itself does not confuse the search behind damage.
#[test]
fn a_log_inside_of_a_payload() {
    let mut inner = Rig::new();
    inner.write((1..=4).map(|at| entry(TWO, 1, at, 40)).collect());
    let copy = Bytes::from(inner.disk.contents(&segment_name(1)).unwrap()).slice(512..1512);
    let mut rig = Rig::new();
    let bad = rig.write(vec![Record::entry(ONE, 1, 1, vec![copy])])[0];
    rig.write(vec![entry(ONE, 1, 2, 10)]);
    assert!(rig.disk.flip(&segment_name(1), header(&bad) + 5, 1));
    let rig = rig.reopen();
    assert_eq!(rig.indexes(ONE), [2]);
    assert!(!rig.recovered.replicas.contains_key(&TWO));
    assert_eq!(rig.recovered.damage.len(), 1);
}
