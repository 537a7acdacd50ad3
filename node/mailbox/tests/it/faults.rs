//! Rows that this version did not write, and entries out of turn: a fault, never an answer (R3).

use mailbox::check::check;
use mailbox::{
    Answer, Command, EntryAt, Envelope, Fault, NewFolder, Query, QueryError, Rejection, Stamp,
    apply, query,
};
use rows::Staged;

use crate::machine::{ALICE, BOB, Machine, START, digest};

fn try_to_apply(machine: &Machine, index: u64, command: Command) -> Result<(), Fault> {
    let envelope = Envelope {
        stamp: Stamp::default(),
        time: START,
        command,
    };
    let at = EntryAt {
        index,
        term: 1,
        body_length: 0,
    };
    apply(&mut Staged::new(&machine.rows), at, &envelope).map(|_| ())
}

#[test]
fn an_unknown_row_is_a_fault() {
    let mut machine = Machine::with_account(ALICE);
    let account = |(key, _): &(&bytes::Bytes, &bytes::Bytes)| key[0] == 7 && key[9] == 0;
    let (key, value) = machine
        .rows
        .iter()
        .find(account)
        .expect("the account's row");
    let (key, mut newer) = (key.clone(), value.to_vec());
    // Field 99, a number: written by a version that knows more.
    newer.extend([0x98, 0x06, 1]);
    machine.rows.load([(key.clone(), newer.into())]);
    let usage = query(&machine.rows, &Query::Usage { account: ALICE });
    assert!(matches!(usage, Err(QueryError::Fault(Fault::Row { .. }))));
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
    let mut staged = Staged::new(&machine.rows);
    assert!(matches!(
        apply(&mut staged, at, &envelope),
        Err(Fault::Row { .. })
    ));
    assert_eq!(staged.written(), 0, "a fault leaves no trace");
}

#[test]
fn any_lost_or_damaged_row_is_found() {
    let mut machine = Machine::with_account(ALICE);
    for content in 0..20 {
        machine.deliver(&[ALICE], content, 100);
    }
    machine.check();
    let rows: Vec<_> = machine
        .rows
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in rows {
        let mut damaged = machine.rows.clone();
        damaged.commit(vec![(key.clone(), None)]);
        assert!(check(&damaged).is_err(), "{key:?} is missing");
        if let Some(first) = value.first() {
            let mut flipped = value.to_vec();
            flipped[0] = first ^ 1;
            damaged.load([(key.clone(), flipped.into())]);
            assert!(check(&damaged).is_err(), "{key:?} is damaged");
        }
    }
}

#[test]
fn an_entry_is_applied_once() {
    let machine = Machine::with_account(ALICE);
    let again = try_to_apply(&machine, machine.index, Command::Tick);
    assert!(matches!(again, Err(Fault::Invariant(_))));
    assert_eq!(
        try_to_apply(&machine, machine.index + 1, Command::Tick),
        Ok(())
    );
}

#[test]
fn a_command_that_is_refused_halfway_leaves_nothing() {
    let mut machine = Machine::with_account(ALICE);
    let folder = |name: &str| NewFolder {
        name: name.into(),
        special_use: None,
    };
    let folders = vec![folder("good"), folder("bad*")];
    let command = Command::CreateAccount {
        account: BOB,
        folders,
        quota_bytes: None,
    };
    assert_eq!(machine.rejected(command), Rejection::NameInvalid);
    machine.check();
    assert_eq!(
        machine.try_ask(&Query::Usage { account: BOB }),
        Err(QueryError::NoAccount)
    );
}

#[test]
fn the_digest_is_that_of_the_rows() {
    let machine = Machine::with_account(ALICE);
    let Answer::Digest(answer) = machine.ask(&Query::Digest) else {
        panic!()
    };
    assert_eq!(answer.applied_index, machine.index);
    assert_eq!(answer.digest, digest(&machine.rows).to_bytes());
}
