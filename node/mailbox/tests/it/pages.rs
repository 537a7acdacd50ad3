//! Very much at once, and nothing at all.

use mailbox::{
    AccountId, Answer, Command, Flags, MailboxId, ModSeq, Query, QueryError, Rejection, Reply,
    Roster, StoreMode, SystemFlags, Uid, UidRanges, limits,
};

use crate::machine::{ALICE, BOB, Machine};

/// Answers come in pages when very much changed, and no change is lost between them.
#[test]
fn many_changes_come_in_pages() {
    let mut machine = Machine::new();
    let many = limits::PAGE_CHANGES_MAX as u64 + 2_000;
    machine.create_account(AccountId(9), &[], None);
    for content in 0..many {
        machine.deliver(&[AccountId(9)], content, 1);
    }
    let inbox = MailboxId::INBOX;
    let first = machine.changes(AccountId(9), inbox, ModSeq(1));
    assert!(first.more);
    assert_eq!(first.arrived.len(), limits::PAGE_CHANGES_MAX as u64);
    let second = machine.changes(AccountId(9), inbox, first.modseq);
    assert!(!second.more);
    assert_eq!(
        first.arrived.union(&second.arrived),
        UidRanges::range(Uid(1), Uid(many as u32))
    );

    // More than one command may change: refused whole.
    let store = |uids: UidRanges| Command::Store {
        account: AccountId(9),
        mailbox: inbox,
        uids,
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::DELETED),
        unchanged_since: None,
    };
    assert_eq!(
        machine.rejected(store(UidRanges::all())),
        Rejection::TooMany
    );
    // Every other message: as many ranges as messages.
    let odd: UidRanges = (1..=many as u32).step_by(2).map(Uid).collect();
    machine.done(store(odd.clone()));
    let even: UidRanges = (2..=many as u32).step_by(2).map(Uid).collect();
    machine.done(store(even));
    let expunge = Command::Expunge {
        account: AccountId(9),
        mailbox: inbox,
        uids: Some(odd.clone()),
    };
    let Reply::Expunged { uids, .. } = machine.done(expunge) else {
        panic!()
    };
    assert_eq!(uids, odd);
    machine.check();
    let first = machine.changes(AccountId(9), inbox, second.modseq);
    assert!(first.more);
    assert_eq!(
        first.flags.len() as u64,
        many / 2,
        "the others are expunged by now"
    );
    let rest = machine.changes(AccountId(9), inbox, first.modseq);
    assert!(!rest.more);
    assert_eq!(rest.vanished, odd);
}

/// A large mailbox is opened in steps, between which it changes.
#[test]
fn a_roster_comes_about_in_steps() {
    let mut machine = Machine::with_account(ALICE);
    let many = 2 * limits::ROSTER_ROWS_MAX as u32 + 10;
    for content in 0..many {
        machine.deliver(&[ALICE], content.into(), 1);
    }
    let (account, mailbox) = (ALICE, MailboxId::INBOX);
    let mut roster = Roster::new(account, mailbox);
    assert_eq!(
        roster.step(&machine.rows),
        Ok(None),
        "too many for one step"
    );
    let some = |uids: &[u32]| uids.iter().copied().map(Uid).collect::<UidRanges>();
    // Of what was read, and of what was not: one is seen, one goes.
    machine.done(Command::Store {
        account,
        mailbox,
        uids: some(&[1, 2, many - 1, many]),
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::DELETED.with(SystemFlags::SEEN)),
        unchanged_since: None,
    });
    machine.done(Command::Expunge {
        account,
        mailbox,
        uids: Some(some(&[2, many])),
    });
    machine.deliver(&[ALICE], many.into(), 1);
    assert_eq!(roster.step(&machine.rows), Ok(None));
    let opened = roster.step(&machine.rows).expect("it is there");
    let opened = opened.expect("all was read");
    assert_eq!(opened.first_unseen, Some(Uid(3)));
    let gone = some(&[2, many]);
    let uids = UidRanges::range(Uid(1), Uid(many + 1)).subtract(&gone);
    assert_eq!(opened.uids, uids);
    assert_eq!(opened, machine.open(account, mailbox));
    let marked = some(&[1, many - 1]);
    assert_eq!(roster.marked(&machine.rows), Ok(Some(marked.clone())));
    assert_eq!(
        machine.ask(&Query::Marked { account, mailbox }),
        Answer::Marked(marked)
    );
}

/// A mailbox or account that is not there, or was never there.
#[test]
fn questions_about_nothing() {
    let machine = Machine::with_account(ALICE);
    let mailbox = MailboxId(7);
    assert_eq!(
        machine.try_ask(&Query::Open {
            account: ALICE,
            mailbox
        }),
        Err(QueryError::NoMailbox)
    );
    assert_eq!(
        machine.try_ask(&Query::Usage { account: BOB }),
        Err(QueryError::NoAccount)
    );
    assert_eq!(machine.changes(ALICE, mailbox, ModSeq(0)).folder, None);
}
