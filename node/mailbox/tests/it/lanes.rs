//! M4: a command takes effect at most once.

use mailbox::{
    Command, EntryAt, Envelope, Lane, MailboxId, Millis, Outcome, Rejection, Reply, Stamp,
    UploadId, apply, limits,
};
use rows::Staged;

use crate::machine::{ALICE, Machine, START, delivery, digest};

fn create(name: &str) -> Command {
    Command::CreateMailbox {
        account: ALICE,
        name: name.into(),
        special_use: None,
    }
}

#[test]
fn a_repeated_command_is_answered_and_not_run() {
    let mut machine = Machine::with_account(ALICE);
    let stamp = machine.stamp();
    let command = delivery(&[ALICE], 1, 100, START);
    let (first, events) = machine.run_as(stamp, command.clone(), 100);
    assert_eq!(events.len(), 1);
    let folder = machine.folder(ALICE, "INBOX");
    machine.advance(5_000);
    let (again, events) = machine.run_as(stamp, command, 100);
    assert_eq!((first, 0), (again, events.len()));
    assert_eq!(machine.folder(ALICE, "INBOX"), folder);
    machine.check();
}

#[test]
fn a_rejection_is_kept_too() {
    let mut machine = Machine::with_account(ALICE);
    let stamp = machine.stamp();
    assert_eq!(
        machine.run_as(stamp, create("inbox"), 0).0,
        Outcome::Rejected(Rejection::Exists)
    );
    assert_eq!(
        machine.run_as(stamp, create("inbox"), 0).0,
        Outcome::Rejected(Rejection::Exists)
    );
    // Another command under that sequence was never run.
    assert_eq!(
        machine.run_as(stamp, create("a"), 0).0,
        Outcome::Rejected(Rejection::SequenceUsed)
    );
    assert_eq!(machine.folders(ALICE).len(), 1);
}

#[test]
fn what_is_older_than_the_last_is_forgotten() {
    let mut machine = Machine::with_account(ALICE);
    let first = machine.stamp();
    machine.run_as(first, create("a"), 0);
    machine.done(create("b"));
    let before = machine.rows.clone();
    assert_eq!(machine.run_as(first, create("a"), 0).0, Outcome::Forgotten);
    assert_eq!(machine.rows.len(), before.len());
}

#[test]
fn an_unknown_lane_must_begin_and_be_young() {
    let mut machine = Machine::with_account(ALICE);
    let lane = Lane {
        node: 9,
        boot: 1,
        lane: 1,
    };
    let stamp = |sequence, issued| Stamp {
        lane,
        sequence,
        issued,
    };
    assert_eq!(
        machine.run_as(stamp(2, START), create("a"), 0).0,
        Outcome::Forgotten
    );
    let ahead = START.after(limits::ISSUED_AHEAD_MS_MAX + 1);
    assert_eq!(
        machine.run_as(stamp(1, ahead), create("a"), 0).0,
        Outcome::Forgotten
    );
    assert_eq!(
        machine.run_as(stamp(0, START), create("a"), 0).0,
        Outcome::Rejected(Rejection::Invalid)
    );
    assert_eq!(machine.folders(ALICE).len(), 1);
    assert!(matches!(
        machine.run_as(stamp(1, START), create("a"), 0).0,
        Outcome::Done(_)
    ));
}

#[test]
fn a_lane_that_expired_raises_the_floor() {
    let mut machine = Machine::with_account(ALICE);
    machine.lane = 2;
    let first = machine.stamp();
    let issued = first.issued;
    machine.run_as(first, create("a"), 0);
    machine.advance(limits::LANE_LIFE_MS + limits::SWEEP_EVERY_MS);
    machine.settle();
    machine.check();
    // A late copy of the lane's only command comes in: it must not make the mailbox again.
    machine.lane = 3;
    machine.done(Command::DeleteMailbox {
        account: ALICE,
        name: "a".into(),
    });
    assert_eq!(machine.run_as(first, create("a"), 0).0, Outcome::Forgotten);
    let old = Stamp {
        lane: Lane {
            node: 2,
            boot: 1,
            lane: 1,
        },
        sequence: 1,
        issued,
    };
    assert_eq!(machine.run_as(old, create("b"), 0).0, Outcome::Forgotten);
    let young = Stamp {
        issued: Millis(issued.0 + 1),
        ..old
    };
    assert!(matches!(
        machine.run_as(young, create("b"), 0).0,
        Outcome::Done(_)
    ));
    machine.check();
}

#[test]
fn outcomes_that_are_too_long_lose_their_uids() {
    let mut machine = Machine::with_account(ALICE);
    let mut wanted = mailbox::UidRanges::new();
    for number in 0..2_000 {
        machine.deliver(&[ALICE], number, 10);
        if number % 2 == 0 {
            wanted.insert(mailbox::Uid(number as u32 + 1));
        }
    }
    let inbox = MailboxId::INBOX;
    let copy = Command::Copy {
        account: ALICE,
        from: inbox,
        to: inbox,
        uids: wanted.clone(),
    };
    let stamp = machine.stamp();
    let (first, _) = machine.run_as(stamp, copy.clone(), 0);
    let Outcome::Done(Reply::Copied {
        uid_validity,
        from,
        to,
    }) = first
    else {
        panic!()
    };
    assert_eq!((from, to.len()), (wanted, 1_000));
    let (again, _) = machine.run_as(stamp, copy, 0);
    let Outcome::Done(Reply::Copied {
        uid_validity: same,
        from,
        to,
    }) = again
    else {
        panic!()
    };
    assert_eq!((same, from.len(), to.len()), (uid_validity, 0, 0));
    assert_eq!(machine.folder(ALICE, "INBOX").messages, 3_000);
    digest(&machine.rows);
}

#[test]
fn a_full_table_forgets_the_oldest() {
    let mut machine = Machine::with_account(ALICE);
    // Without a look at the rows in between, which would take long.
    let mut staged = Staged::new(&machine.rows);
    let nothing = Command::DropUpload {
        upload: UploadId(1),
    };
    for number in 0..limits::LANES_MAX {
        let lane = Lane {
            node: 1,
            boot: 1,
            lane: 100 + number,
        };
        let now = Millis(START.0 + number);
        let stamp = Stamp {
            lane,
            sequence: 1,
            issued: now,
        };
        let at = EntryAt {
            index: machine.index + 1 + number,
            term: 1,
            body_length: 0,
        };
        let envelope = Envelope {
            stamp,
            time: now,
            command: nothing.clone(),
        };
        apply(&mut staged, at, &envelope).expect("no fault");
    }
    let writes = staged.into_writes().expect("no fault");
    machine.rows.commit(writes);
    machine.index += limits::LANES_MAX;
    let lanes = machine.rows.iter().filter(|(key, _)| key[0] == 2).count() as u64;
    assert_eq!(lanes, limits::LANES_MAX);
    machine.check();
    // The one that was forgotten is known no more; its copy is not run.
    let lane = Lane {
        node: 1,
        boot: 1,
        lane: 1,
    };
    let copy = Stamp {
        lane,
        sequence: 1,
        issued: START,
    };
    assert_eq!(machine.run_as(copy, create("a"), 0).0, Outcome::Forgotten);
}
