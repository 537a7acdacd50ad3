//! What queries cost, in rows.

use std::cell::Cell;

use bytes::Bytes;
use mailbox::{
    Answer, Changes, Command, EntryAt, Envelope, Flags, MailboxId, Messages, ModSeq, Outcome,
    Query, StoreMode, SystemFlags, Uid, UidRanges, apply, limits, query,
};
use rows::{Fault, Memory, Row, Rows, Scan, Staged};

use crate::machine::{ALICE, Machine};

const INBOX: MailboxId = MailboxId::INBOX;

/// Rows, and how many of them were read.
struct Counted<'a> {
    rows: &'a Memory,
    read: Cell<u64>,
}

impl Rows for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.read.set(self.read.get() + 1);
        self.rows.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let rows = self.rows.scan(from, to)?;
        Ok(Box::new(
            rows.inspect(|_| self.read.set(self.read.get() + 1)),
        ))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        self.read.set(self.read.get() + 1);
        self.rows.last(from, to)
    }
}

impl<'a> Counted<'a> {
    fn of(machine: &'a Machine) -> Counted<'a> {
        Counted {
            rows: &machine.rows,
            read: Cell::new(0),
        }
    }

    /// All that is remembered of changes after `since`.
    fn remembered(&self, mut since: ModSeq) -> Vec<Changes> {
        let mut pages = Vec::new();
        loop {
            let asked = Query::Remembered {
                account: ALICE,
                mailbox: INBOX,
                since,
            };
            let Ok(Answer::Changes(page)) = query(self, &asked) else {
                panic!("no changes")
            };
            let more = page.more;
            since = page.modseq;
            pages.push(page);
            if !more {
                return pages;
            }
        }
    }

    /// All messages that changed after `since`.
    fn changed(&self, since: ModSeq) -> UidRanges {
        let mut changed = UidRanges::new();
        let mut from = Uid(1);
        loop {
            let asked = Query::Messages {
                account: ALICE,
                mailbox: INBOX,
                uids: UidRanges::range(from, Uid::MAX),
                changed_since: Some(since),
                limit: u32::MAX,
                include_expunged: false,
            };
            let Ok(Answer::Messages(Messages { messages, next, .. })) = query(self, &asked) else {
                panic!("no messages")
            };
            changed.extend(messages.iter().map(|message| message.uid));
            match next {
                Some(next) => from = next,
                None => return changed,
            }
        }
    }
}

fn store(machine: &mut Machine, uids: UidRanges, flag: SystemFlags) {
    machine.done(Command::Store {
        account: ALICE,
        mailbox: INBOX,
        uids,
        mode: StoreMode::Add,
        flags: Flags::system(flag),
        unchanged_since: None,
    });
}

/// Very many messages changed so long ago that it is not remembered which, and some later: what is
/// remembered costs what it tells, and finding the others one look at every message.
#[test]
fn what_is_not_remembered_is_not_looked_for() {
    let mut machine = Machine::with_account(ALICE);
    let many = 3_000;
    for content in 0..many {
        machine.deliver(&[ALICE], content.into(), 1);
    }
    let since = machine.folder(ALICE, "INBOX").highest_modseq;
    let all = UidRanges::range(Uid(1), Uid(many));
    store(&mut machine, all.clone(), SystemFlags::SEEN);
    let floor = machine.folder(ALICE, "INBOX").highest_modseq;
    machine.advance(2 * limits::RETENTION_MS);
    machine.settle();
    let gone = UidRanges::range(Uid(5), Uid(6));
    store(&mut machine, gone.clone(), SystemFlags::DELETED);
    machine.done(Command::Expunge {
        account: ALICE,
        mailbox: INBOX,
        uids: Some(gone.clone()),
    });
    store(
        &mut machine,
        UidRanges::range(Uid(7), Uid(7)),
        SystemFlags::FLAGGED,
    );

    let rows = Counted::of(&machine);
    let pages = rows.remembered(since);
    let [page] = &pages[..] else {
        panic!("{} pages", pages.len())
    };
    assert_eq!((page.floor, &page.vanished), (floor, &gone));
    let flags: Vec<Uid> = page.flags.iter().map(|(uid, ..)| *uid).collect();
    assert_eq!(flags, [Uid(7)], "what is remembered");
    let folder = page.folder.as_ref().expect("it is there");
    assert!(folder.vanished_floor <= since, "all that vanished is told");
    assert!(rows.read.get() < 100, "{} rows", rows.read.get());

    let changed = rows.changed(since);
    assert_eq!(changed, all.subtract(&gone));
    let most = u64::from(many) + u64::from(many) / 10;
    assert!(rows.read.get() < most, "{} rows", rows.read.get());

    // From the floor on it is the same question as the other.
    let since = floor;
    let [page] = &Counted::of(&machine).remembered(since)[..] else {
        panic!("one page")
    };
    assert_eq!(*page, machine.changes(ALICE, INBOX, since));
}

/// To name what is to be expunged costs what is expunged: a replica looks at no other message.
#[test]
fn what_is_named_is_all_that_is_looked_at() {
    let mut machine = Machine::with_account(ALICE);
    let many = 1_000;
    for content in 0..many {
        machine.deliver(&[ALICE], content.into(), 1);
    }
    let asked = Query::Marked {
        account: ALICE,
        mailbox: INBOX,
    };
    let none = Counted::of(&machine);
    assert_eq!(query(&none, &asked), Ok(Answer::Marked(UidRanges::new())));
    assert!(none.read.get() < 10, "{} rows for nothing", none.read.get());

    let uids = UidRanges::range(Uid(many / 2), Uid(many / 2));
    store(&mut machine, uids.clone(), SystemFlags::DELETED);
    assert_eq!(machine.ask(&asked), Answer::Marked(uids.clone()));
    let command = Command::Expunge {
        account: ALICE,
        mailbox: INBOX,
        uids: Some(uids),
    };
    assert!(rows_to_apply(&mut machine, command) < 50);
}

/// How many rows are read to apply a command, which is not kept.
fn rows_to_apply(machine: &mut Machine, command: Command) -> u64 {
    let envelope = Envelope {
        stamp: machine.stamp(),
        time: machine.now,
        command,
    };
    let rows = Counted::of(machine);
    let at = EntryAt {
        index: machine.index + 1,
        term: 1,
        body_length: 0,
    };
    let mut staged = Staged::new(&rows);
    let applied = apply(&mut staged, at, &envelope).expect("no fault");
    assert!(matches!(applied.outcome, Outcome::Done(_)));
    rows.read.get()
}
