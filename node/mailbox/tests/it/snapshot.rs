//! Snapshots, digests, and rows that were not written by this machine.

use std::collections::BTreeMap;

use bytes::Bytes;
use mailbox::check::{check, verify_digest};
use mailbox::snapshot::{Loader, chunks};
use mailbox::{Answer, Command, EntryAt, Envelope, Fault, Query, Staged, Stamp, apply};

use crate::machine::{ALICE, Machine, START};

fn filled() -> Machine {
    let mut machine = Machine::with_account(ALICE);
    for content in 0..5_000 {
        machine.deliver(&[ALICE], content, 100);
    }
    machine
}

#[test]
fn a_snapshot_is_the_machine() {
    let machine = filled();
    let mut loader = Loader::new();
    let mut rows = BTreeMap::new();
    let mut count = 0;
    for chunk in chunks(&machine.rows).expect("rows") {
        let chunk = chunk.expect("rows");
        assert!(chunk.len() < 300 << 10);
        rows.extend(loader.push(&chunk).expect("a chunk"));
        count += 1;
    }
    assert!(count > 2);
    let digest = loader.finish().expect("whole");
    assert_eq!(rows, machine.rows);
    assert_eq!(machine.ask(&Query::Digest), Answer::Digest(digest));
    assert_eq!(digest.applied_index, machine.index);
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let machine = filled();
    let all: Vec<Bytes> = chunks(&machine.rows)
        .expect("rows")
        .map(|chunk| chunk.expect("rows"))
        .collect();
    let load = |chunks: &[Bytes]| -> Result<(), Fault> {
        let mut loader = Loader::new();
        for chunk in chunks {
            loader.push(chunk)?;
        }
        loader.finish().map(|_| ())
    };
    assert_eq!(load(&all), Ok(()));
    assert!(load(&all[..all.len() - 1]).is_err(), "the end is missing");
    assert!(load(&all[1..]).is_err(), "the start is missing");
    assert!(
        load(&[all.clone(), all.clone()].concat()).is_err(),
        "it comes twice"
    );
    let mut bad = all.clone();
    let mut bytes = bad[1].to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bad[1] = bytes.into();
    assert!(load(&bad).is_err(), "a bit is wrong");
}

#[test]
fn the_digest_tells_of_any_row() {
    let machine = filled();
    verify_digest(&machine.rows).expect("whole");
    for nth in [1, 100, 2_000] {
        let (key, value) = machine.rows.iter().nth(nth).expect("so many rows");
        let mut rows = machine.rows.clone();
        rows.remove(key);
        assert!(matches!(verify_digest(&rows), Err(Fault::Broken(_))));
        let mut flipped = value.to_vec();
        flipped[0] ^= 1;
        rows.insert(key.clone(), flipped.into());
        assert!(matches!(verify_digest(&rows), Err(Fault::Broken(_))));
        assert!(check(&rows).is_err());
    }
}

#[test]
fn an_unknown_row_is_a_fault_and_not_an_answer() {
    let mut machine = Machine::with_account(ALICE);
    let key = machine
        .rows
        .keys()
        .find(|key| key[0] == 7 && key[9] == 0)
        .cloned();
    let key = key.expect("the account's row");
    let mut newer = machine.rows[&key].to_vec();
    // Field 15, a number: written by a version that knows more.
    newer.extend([15 << 3, 1]);
    machine.rows.insert(key.clone(), newer.into());
    assert!(matches!(
        mailbox::query(&machine.rows, &Query::Usage { account: ALICE }),
        Err(mailbox::QueryError::Fault(Fault::Row { key: bad, .. })) if bad == key
    ));
    let stamp = machine.stamp();
    let command = Command::DeleteAccount { account: ALICE };
    let envelope = Envelope {
        stamp,
        time: START,
        command,
    };
    let at = EntryAt {
        index: 9,
        term: 1,
        body_length: 0,
    };
    let mut staged = Staged::new(&machine.rows).expect("the machine's own row");
    assert!(apply(&mut staged, at, &envelope).is_err());
}

#[test]
fn an_entry_is_applied_once() {
    let machine = Machine::with_account(ALICE);
    let envelope = Envelope {
        stamp: Stamp::default(),
        time: START,
        command: Command::Tick,
    };
    let at = EntryAt {
        index: machine.index,
        term: 1,
        body_length: 0,
    };
    let mut staged = Staged::new(&machine.rows).expect("rows");
    assert!(matches!(
        apply(&mut staged, at, &envelope),
        Err(Fault::Broken(_))
    ));
}
