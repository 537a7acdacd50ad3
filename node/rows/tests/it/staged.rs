//! `Staged` answers as a map does to which the same writes were made at once.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rows::{DIGEST_KEY, Digest, END, Memory, Row, Rows, Staged, prefix_end};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Change = (Vec<u8>, Option<Vec<u8>>);

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8..5, 1..4)
}

fn entries() -> impl Strategy<Value = Vec<Vec<Change>>> {
    vec(
        vec(
            (key(), proptest::option::weighted(0.6, vec(0_u8..3, 0..3))),
            0..8,
        ),
        1..8,
    )
}

fn plain(rows: impl Iterator<Item = Row>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = rows.map(|(key, value)| (key.to_vec(), value.to_vec()));
    all.filter(|(key, _)| key != DIGEST_KEY).collect()
}

fn agree(rows: &impl Rows, model: &Model, from: &[u8], to: &[u8]) {
    let scanned = plain(rows.scan(from, to).unwrap().map(Result::unwrap));
    let wanted: Vec<_> = model
        .iter()
        .filter(|(key, _)| key.as_slice() >= from && key.as_slice() < to)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(scanned, wanted);
    let last = plain(rows.last(from, to).unwrap().into_iter());
    assert_eq!(last.last(), wanted.last());
    for key in model.keys() {
        assert_eq!(
            rows.get(key).unwrap().as_deref(),
            model.get(key).map(Vec::as_slice)
        );
    }
    assert_eq!(
        rows.get(from).unwrap().as_deref(),
        model.get(from).map(Vec::as_slice)
    );
}

proptest! {
    #[test]
    fn staged_reads_its_own_writes(entries in entries(), from in key(), to in key()) {
        let (mut memory, mut model) = (Memory::new(), Model::new());
        for changes in entries {
            let mut staged = Staged::new(&memory);
            for (key, value) in changes {
                agree(&staged, &model, &from, &to);
                match value {
                    Some(value) => {
                        staged.put(key.clone(), value.clone());
                        model.insert(key, value);
                    }
                    None => {
                        staged.remove(key.clone());
                        model.remove(&key);
                    }
                }
            }
            agree(&staged, &model, &from, &to);
            agree(&staged, &model, &[1], END);
            let writes = staged.into_writes().unwrap();
            prop_assert!(writes.is_sorted_by(|a, b| a.0 < b.0), "in key order, each key once");
            for (key, value) in &writes {
                prop_assert_ne!(&memory.get(key).unwrap(), value, "an idle write");
            }
            memory.commit(writes);
            agree(&memory, &model, &[1], END);
            prop_assert_eq!(Digest::kept(&memory), Digest::counted(&memory));
        }
    }

    #[test]
    fn the_digest_knows_no_history(entries in entries()) {
        let mut slow = Memory::new();
        for changes in &entries {
            commit(&mut slow, changes);
        }
        let mut fast = Memory::new();
        commit(&mut fast, &entries.concat());
        // Rows that came and went may leave a digest row of zero behind.
        prop_assert_eq!(Digest::kept(&slow), Digest::kept(&fast));
        prop_assert_eq!(
            plain(slow.scan(&[], END).unwrap().map(Result::unwrap)),
            plain(fast.scan(&[], END).unwrap().map(Result::unwrap))
        );
    }
}

fn commit(memory: &mut Memory, changes: &[Change]) {
    let mut staged = Staged::new(memory);
    for (key, value) in changes {
        match value {
            Some(value) => staged.put(key.clone(), value.clone()),
            None => staged.remove(key.clone()),
        }
    }
    let writes = staged.into_writes().unwrap();
    memory.commit(writes);
}

#[test]
fn the_digest_tells_key_from_value() {
    let (mut one, mut other) = (Memory::new(), Memory::new());
    commit(&mut one, &[(b"ab".to_vec(), Some(b"c".to_vec()))]);
    commit(&mut other, &[(b"a".to_vec(), Some(b"bc".to_vec()))]);
    assert_ne!(Digest::kept(&one), Digest::kept(&other));
    let hash = blake3::hash(b"\0\0\0\x02abc").to_hex();
    assert_eq!(Digest::kept(&one).unwrap().to_string(), hash[..32]);
}

#[test]
fn an_entry_that_changes_nothing_writes_nothing() {
    let mut memory = Memory::new();
    commit(&mut memory, &[(b"a".to_vec(), Some(b"1".to_vec()))]);
    let mut staged = Staged::new(&memory);
    staged.put(Bytes::from_static(b"a"), Bytes::from_static(b"1"));
    staged.remove(Bytes::from_static(b"b"));
    assert_eq!(staged.into_writes().unwrap(), []);
}

#[test]
#[should_panic(expected = "a key of 7 bytes")]
fn the_digest_row_is_reserved() {
    Staged::new(&Memory::new()).put(DIGEST_KEY, Bytes::new());
}

#[test]
fn a_prefix_ends_where_the_next_begins() {
    assert_eq!(prefix_end(&[1, 2]), [1, 3]);
    assert_eq!(prefix_end(&[1, 0xff]), [2]);
    assert_eq!(prefix_end(&[]), END);
}
