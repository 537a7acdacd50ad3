//! What log time ends: duplicates, uploads, expunged messages, deleted mailboxes and accounts.

use mailbox::{
    Command, Confirmed, Delivered, Flags, MailboxId, ModSeq, Outcome, Query, QueryError, Rejection,
    Reply, StoreMode, SystemFlags, Uid, UidRanges, UploadId, limits, next_due,
};

use crate::machine::{ALICE, BOB, Machine, delivery, uploaded};

const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;
const MIB: u32 = 1 << 20;

fn flag_deleted(machine: &mut Machine, uids: UidRanges) {
    machine.done(Command::Store {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        uids,
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::DELETED),
        unchanged_since: None,
    });
}

fn expunge(machine: &mut Machine) {
    machine.done(Command::Expunge {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        uids: None,
    });
}

#[test]
fn a_delivery_is_recognised_for_a_week() {
    let mut machine = Machine::with_account(ALICE);
    assert!(matches!(
        machine.deliver(&[ALICE], 1, 9)[..],
        [Delivered::Stored { .. }]
    ));
    machine.lane = 2;
    machine.advance(7 * DAY - 1);
    machine.settle();
    assert_eq!(machine.deliver(&[ALICE], 1, 9), [Delivered::Duplicate]);
    machine.advance(1);
    // It is over whether or not a tick has come.
    assert!(matches!(
        machine.deliver(&[ALICE], 1, 9)[..],
        [Delivered::Stored { .. }]
    ));
    machine.check();
}

#[test]
fn a_confirmed_delivery_is_recognised_for_an_hour() {
    let mut machine = Machine::with_account(ALICE);
    machine.lane = 7;
    let stamp = machine.stamp();
    machine.run_as(stamp, delivery(&[ALICE], 1, 9, machine.now), 9);
    machine.lane = 8;
    let mut next = delivery(&[ALICE], 2, 9, machine.now);
    let Command::Deliver(deliver) = &mut next else {
        panic!()
    };
    deliver.confirmed.push(Confirmed {
        lane: 7,
        sequence: stamp.sequence,
    });
    machine.done_with(next, 9);
    machine.advance(HOUR - 1);
    assert_eq!(machine.deliver(&[ALICE], 1, 9), [Delivered::Duplicate]);
    machine.advance(1);
    assert!(matches!(
        machine.deliver(&[ALICE], 1, 9)[..],
        [Delivered::Stored { .. }]
    ));
    machine.advance(HOUR);
    assert_eq!(machine.deliver(&[ALICE], 2, 9), [Delivered::Duplicate]);
    machine.advance(8 * DAY);
    machine.settle();
    machine.check();
    assert_eq!(
        next_due(&machine.rows),
        Ok(None),
        "all lanes and duplicates are gone"
    );
    assert_eq!(
        machine
            .rows
            .iter()
            .filter(|(key, _)| [2, 3].contains(&key[0]))
            .count(),
        0
    );
}

#[test]
fn expunged_messages_stay_for_the_retention() {
    let mut machine = Machine::with_account(ALICE);
    for content in 0..1_200 {
        machine.deliver(&[ALICE], content, 9);
    }
    flag_deleted(&mut machine, UidRanges::range(Uid(1), Uid(1_100)));
    let before = machine.folder(ALICE, "INBOX").highest_modseq;
    expunge(&mut machine);
    machine.check();
    assert_eq!(machine.folder(ALICE, "INBOX").messages, 100);
    assert_eq!(machine.bodies.len(), 1_200);
    assert_eq!(machine.messages(ALICE, MailboxId::INBOX, true).len(), 1_200);
    let changes = machine.changes(ALICE, MailboxId::INBOX, before);
    assert_eq!(changes.vanished.to_string(), "1:1100");

    machine.advance(7 * DAY - 1);
    machine.settle();
    assert_eq!(machine.bodies.len(), 1_200);
    machine.advance(1);
    let ticks = machine.settle();
    assert!(ticks > 2, "a tick is bounded");
    machine.check();
    assert_eq!(machine.bodies.len(), 100);
    assert_eq!(machine.messages(ALICE, MailboxId::INBOX, true).len(), 100);
    let folder = machine.folder(ALICE, "INBOX");
    assert_eq!(folder.vanished_floor, folder.highest_modseq);
    assert_eq!(
        folder.highest_modseq,
        ModSeq(before.0 + 1),
        "ticks change no mailbox"
    );
}

#[test]
fn each_tick_leaves_everything_in_order() {
    let mut machine = Machine::with_account(ALICE);
    machine.create_account(BOB, &["a"], None);
    for content in 0..700 {
        machine.deliver(&[ALICE, BOB], content, 9);
    }
    flag_deleted(&mut machine, UidRanges::range(Uid(1), Uid(600)));
    expunge(&mut machine);
    let upload = UploadId(1);
    machine.upload(upload, ALICE, &[MIB; 40]);
    machine.done(Command::DeleteAccount { account: BOB });
    machine.advance(9 * DAY);
    while next_due(&machine.rows)
        .expect("rows")
        .is_some_and(|due| due <= machine.now)
    {
        machine.tick();
        machine.check();
    }
    assert_eq!(machine.bodies.len(), 100);
    let refused = machine.run(Command::DeleteAccount { account: BOB });
    assert_eq!(refused, Outcome::Rejected(Rejection::NoAccount));
}

#[test]
fn a_deleted_mailbox_goes_after_the_retention() {
    let mut machine = Machine::with_account(ALICE);
    let create = Command::CreateMailbox {
        account: ALICE,
        name: "a".into(),
        special_use: None,
    };
    let Reply::Created {
        mailbox,
        uid_validity,
    } = machine.done(create.clone())
    else {
        panic!()
    };
    for length in 1..=20 {
        machine.append(ALICE, mailbox, length);
    }
    machine.done(Command::DeleteMailbox {
        account: ALICE,
        name: "a".into(),
    });
    machine.check();
    assert_eq!(
        machine.try_ask(&Query::Open {
            account: ALICE,
            mailbox
        }),
        Err(QueryError::NoMailbox)
    );
    assert_eq!(machine.changes(ALICE, mailbox, ModSeq(1)).folder, None);
    assert_eq!(machine.bodies.len(), 20);
    let again = machine.done(create);
    let Reply::Created {
        mailbox: other,
        uid_validity: later,
    } = again
    else {
        panic!()
    };
    assert!(other > mailbox && later > uid_validity, "M2");
    machine.advance(7 * DAY);
    machine.settle();
    machine.check();
    assert_eq!(machine.bodies.len(), 0);
    assert_eq!(machine.folders(ALICE).len(), 2);
}

#[test]
fn no_life_of_a_name_has_the_uid_validity_of_another() {
    let mut machine = Machine::new();
    machine.create_account(ALICE, &["a", "b", "c", "d"], None);
    let old: Vec<_> = machine
        .folders(ALICE)
        .iter()
        .map(|folder| folder.uid_validity)
        .collect();
    machine.done(Command::DeleteAccount { account: ALICE });
    // The name alice is given again within a second, as another account.
    machine.create_account(BOB, &["d", "c", "b", "a"], None);
    let new: Vec<_> = machine
        .folders(BOB)
        .iter()
        .map(|folder| folder.uid_validity)
        .collect();
    assert!(old.iter().max() < new.iter().min(), "{old:?} {new:?}");
}

#[test]
fn uploads_live_while_something_refers_to_them() {
    let mut machine = Machine::with_account(ALICE);
    let upload = UploadId(5);
    machine.upload(upload, ALICE, &[MIB, MIB, 10]);
    machine.check();
    assert_eq!(machine.bodies.len(), 3);
    let length = u64::from(2 * MIB + 10);
    let append = |body| Command::Append {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        flags: Flags::default(),
        date: machine.now,
        body,
    };
    let (short, whole) = (
        append(uploaded(upload, length - 1)),
        append(uploaded(upload, length)),
    );
    assert_eq!(machine.rejected(short), Rejection::NoUpload);
    machine.done(whole);
    machine.check();
    assert_eq!(
        machine.rejected(Command::DropUpload { upload }),
        Rejection::NotPermitted
    );
    let copy = Command::Copy {
        account: ALICE,
        from: MailboxId::INBOX,
        to: MailboxId::INBOX,
        uids: UidRanges::all(),
    };
    machine.done(copy);
    machine.advance(2 * HOUR);
    machine.settle();
    machine.check();
    assert_eq!(machine.bodies.len(), 3, "a finished upload does not expire");
    flag_deleted(&mut machine, UidRanges::range(Uid(1), Uid(1)));
    expunge(&mut machine);
    machine.advance(DAY);
    flag_deleted(&mut machine, UidRanges::all());
    expunge(&mut machine);
    machine.advance(6 * DAY);
    machine.settle();
    machine.check();
    assert_eq!(machine.bodies.len(), 3, "the copy still refers to it");
    machine.advance(DAY);
    machine.settle();
    machine.check();
    assert_eq!(machine.bodies.len(), 0);
}

#[test]
fn an_unfinished_upload_expires_an_hour_after_its_last_chunk() {
    let mut machine = Machine::with_account(ALICE);
    let upload = UploadId(5);
    machine.upload(upload, ALICE, &[100]);
    machine.advance(HOUR - 1);
    let chunk = |number| Command::Chunk {
        upload,
        account: ALICE,
        number,
        length: 50,
    };
    machine.done_with(chunk(1), 50);
    // A chunk that comes again, in a lane that does not know it, is not taken again.
    machine.lane = 2;
    machine.done_with(chunk(1), 50);
    let stamp = machine.stamp();
    assert_eq!(
        machine.run_as(stamp, chunk(3), 50).0,
        Outcome::Rejected(Rejection::NoUpload)
    );
    machine.advance(HOUR - 1);
    machine.settle();
    assert_eq!(machine.bodies.len(), 2);
    machine.advance(1);
    machine.settle();
    machine.check();
    assert_eq!(machine.bodies.len(), 0);
    let stamp = machine.stamp();
    assert_eq!(
        machine.run_as(stamp, chunk(2), 50).0,
        Outcome::Rejected(Rejection::NoUpload)
    );
}

#[test]
fn uploads_are_bounded() {
    let mut machine = Machine::with_account(ALICE);
    for id in 0..limits::UPLOADS_PER_ACCOUNT_MAX {
        machine.upload(UploadId(id.into()), ALICE, &[1]);
    }
    let more = Command::Chunk {
        upload: UploadId(u128::MAX),
        account: ALICE,
        number: 0,
        length: 1,
    };
    let stamp = machine.stamp();
    assert_eq!(
        machine.run_as(stamp, more.clone(), 1).0,
        Outcome::Rejected(Rejection::UploadLimit)
    );
    machine.done(Command::DropUpload {
        upload: UploadId(3),
    });
    machine.done_with(more, 1);
    machine.check();
    // A chunk that is not as long as what rides in its entry.
    let odd = Command::Chunk {
        upload: UploadId(0),
        account: ALICE,
        number: 1,
        length: 2,
    };
    let stamp = machine.stamp();
    assert_eq!(
        machine.run_as(stamp, odd, 3).0,
        Outcome::Rejected(Rejection::Invalid)
    );
}
