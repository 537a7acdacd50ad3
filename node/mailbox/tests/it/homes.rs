//! To which mailbox a body belongs, as the rows that refer to it say.

use std::collections::BTreeMap;

use mailbox::{Command, Flags, MailboxId, StoreMode, SystemFlags, Uid, UidRanges, UploadId};
use rows::DIGEST_KEY;

use crate::machine::{ALICE, BOB, Machine};

/// What the rows that refer to the body of an entry say, in the order of their keys.
fn homes(machine: &Machine) -> BTreeMap<u64, Vec<Option<u128>>> {
    let mut homes = BTreeMap::<u64, Vec<Option<u128>>>::new();
    for (key, value) in machine.rows.iter().filter(|(key, _)| *key != DIGEST_KEY) {
        if let Some(referred) = mailbox::referred(key, value).expect("it is understood") {
            let of_one = homes.entry(referred.piece.index).or_default();
            of_one.push(referred.home);
        }
    }
    homes
}

fn mailbox_of(account: u128, mailbox: u128) -> Option<u128> {
    Some((account << 64) | mailbox)
}

#[test]
fn mail_belongs_to_the_mailbox_in_which_it_lives() {
    let mut machine = Machine::with_account(ALICE);
    machine.create_account(BOB, &["Work"], None);
    let work = machine.folder(BOB, "Work").id;
    machine.deliver(&[ALICE], 1, 9);
    let first = machine.index;
    machine.deliver(&[BOB], 2, 9);
    let second = machine.index;
    machine.deliver(&[ALICE, BOB], 3, 9);
    let both = machine.index;
    let (of_alice, of_bob) = (mailbox_of(1, 1), mailbox_of(2, 1));
    let expected = [
        (first, vec![of_alice]),
        (second, vec![of_bob]),
        (both, vec![of_alice, of_bob]),
    ];
    assert_eq!(homes(&machine), BTreeMap::from(expected));

    // What is kept for the retention alone says nothing.
    machine.done(Command::Move {
        account: BOB,
        from: MailboxId::INBOX,
        to: work,
        uids: UidRanges::range(Uid(1), Uid(1)),
    });
    machine.done(Command::Store {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        uids: UidRanges::all(),
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::DELETED),
        unchanged_since: None,
    });
    machine.done(Command::Expunge {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        uids: None,
    });
    let expected = [
        (first, vec![None]),
        (second, vec![None, mailbox_of(2, work.0.into())]),
        (both, vec![None, of_bob]),
    ];
    assert_eq!(homes(&machine), BTreeMap::from(expected));
}

#[test]
fn chunks_belong_to_their_upload() {
    let mut machine = Machine::with_account(ALICE);
    machine.upload(UploadId(77), ALICE, &[5, 6]);
    machine.upload(UploadId(78), ALICE, &[7]);
    let homes: Vec<_> = homes(&machine).into_values().flatten().collect();
    assert_eq!(homes, [Some(77), Some(77), Some(78)]);
}
