//! What commands cost, in rows that are read for them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use imap::backend::BackendError;
use mailbox::{Command, Flags, MailboxId, Outcome, StoreMode, SystemFlags, Uid, UidRanges, limits};
use rows::{Fault, Memory, Row, Rows, Scan, Writes};

use super::backend::Partition;
use super::scripts::Dialogue;

/// Rows, and how many of them were read.
#[derive(Default)]
pub struct Counted {
    rows: Memory,
    read: AtomicU64,
}

impl Counted {
    pub fn memory(&self) -> &Memory {
        &self.rows
    }

    pub fn commit(&mut self, writes: Writes) {
        self.rows.commit(writes);
    }
}

impl Rows for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.read.fetch_add(1, Relaxed);
        self.rows.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let rows = self.rows.scan(from, to)?;
        let count = |_: &Result<Row, Fault>| {
            self.read.fetch_add(1, Relaxed);
        };
        Ok(Box::new(rows.inspect(count)))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        self.read.fetch_add(1, Relaxed);
        self.rows.last(from, to)
    }
}

impl Partition {
    /// How many rows were read since the last time.
    fn take_rows_read(&self) -> u64 {
        self.0.lock().unwrap().rows.read.swap(0, Relaxed)
    }
}

fn store(dialogue: &Dialogue, first: u32, last: u32, flag: SystemFlags) {
    dialogue.partition.apply(Command::Store {
        account: dialogue.partition.account("alice"),
        mailbox: MailboxId::INBOX,
        uids: UidRanges::range(Uid(first), Uid(last)),
        mode: StoreMode::Add,
        flags: Flags::system(flag),
        unchanged_since: None,
    });
}

fn said(dialogue: &mut Dialogue, command: &str) -> String {
    let said = dialogue.say("c1", format!("t {command}\r\n").as_bytes());
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("t OK"), "{command}: {said}");
    said
}

/// As many messages as that, or a few more: some, copied again and again.
fn with_messages(many: u32) -> (Dialogue, u32) {
    let mut dialogue = Dialogue::new();
    let mut have = 10;
    for _ in 0..have {
        dialogue
            .partition
            .deliver("alice", None, b"Subject: one\r\n\r\ntext");
    }
    while have < many {
        let outcome = dialogue.partition.apply(Command::Copy {
            account: dialogue.partition.account("alice"),
            from: MailboxId::INBOX,
            to: MailboxId::INBOX,
            uids: UidRanges::range(Uid(1), Uid(have)),
        });
        assert!(matches!(outcome, Outcome::Done(_)));
        have *= 2;
    }
    dialogue.log_in("c1", "alice");
    (dialogue, have)
}

/// All messages changed so long ago that it is not remembered which: who comes back hears of all of
/// them, and each is looked at a few times, however many pages they make.
#[test]
fn who_comes_back_late_costs_a_few_looks_at_all_messages() {
    let batch = limits::MESSAGES_PER_COMMAND_MAX as u32;
    let (mut dialogue, many) = with_messages(batch + 1);
    let selected = said(&mut dialogue, "EXAMINE INBOX");
    let modseq = selected.split_once("[HIGHESTMODSEQ ").unwrap().1;
    let modseq = modseq.split_once(']').unwrap().0;
    store(&dialogue, 1, batch, SystemFlags::SEEN);
    store(&dialogue, batch + 1, many, SystemFlags::SEEN);
    dialogue.partition.forget_expunged();
    store(&dialogue, 3, 3, SystemFlags::FLAGGED);
    said(&mut dialogue, "UNSELECT");
    said(&mut dialogue, "ENABLE QRESYNC");
    dialogue.partition.take_rows_read();
    let select = format!("EXAMINE INBOX (QRESYNC (1704164645 {modseq}))");
    let heard = said(&mut dialogue, &select);
    let read = dialogue.partition.take_rows_read();
    assert_eq!(heard.matches(" FETCH (").count(), many as usize);
    let third = heard.lines().find(|line| line.starts_with("* 3 FETCH ("));
    assert!(third.unwrap().contains("\\Flagged"), "{third:?}");
    assert!(!heard.contains("VANISHED"));
    // Once to open the mailbox, once to find what changed, and a row for each page.
    assert!(
        read < 5 * u64::from(many) / 2,
        "{read} rows of {many} messages"
    );
}

/// EXPUNGE and CLOSE look for what has `\Deleted` once, and change only that: not every replica
/// looks at all messages. Without any, nothing is looked at, and nothing proposed.
#[test]
fn expunging_one_of_many_changes_one() {
    let many = 2 * limits::ROSTER_ROWS_MAX as u32;
    let (mut dialogue, many) = with_messages(many);
    said(&mut dialogue, "SELECT INBOX");
    let proposals = dialogue.partition.proposals();
    dialogue.partition.take_rows_read();
    said(&mut dialogue, "EXPUNGE");
    assert_eq!(dialogue.partition.proposals(), proposals);
    assert!(dialogue.partition.take_rows_read() < 20);

    said(&mut dialogue, "STORE 5 +FLAGS.SILENT (\\Deleted)");
    // Of a message that the client has not seen yet.
    dialogue
        .partition
        .deliver("alice", None, b"Subject: one\r\n\r\ntext");
    store(&dialogue, many + 1, many + 1, SystemFlags::DELETED);
    dialogue.partition.take_rows_read();
    let heard = said(&mut dialogue, "EXPUNGE");
    let read = dialogue.partition.take_rows_read();
    assert!(heard.contains("* 5 EXPUNGE"), "{heard}");
    let most = u64::from(many) + 200;
    assert!(
        read < most,
        "{read} rows of {many} messages: they were looked at more than once"
    );
    assert_eq!(dialogue.partition.uids("alice").len(), u64::from(many) - 1);
    let proposals = dialogue.partition.proposals();
    said(&mut dialogue, "CLOSE");
    assert_eq!(dialogue.partition.proposals(), proposals);
}

/// A leader of an earlier version does not know the question which messages have `\Deleted`, nor
/// that for what is remembered.
#[test]
fn an_earlier_version_is_asked_as_before() {
    let (mut dialogue, _) = with_messages(3);
    said(&mut dialogue, "ENABLE QRESYNC");
    said(&mut dialogue, "SELECT INBOX");
    said(&mut dialogue, "STORE 1:2 +FLAGS (\\Deleted)");
    dialogue.partition.fail_read(BackendError::Broken, 0);
    let heard = said(&mut dialogue, "EXPUNGE");
    assert!(heard.contains("* VANISHED 1:2"), "{heard}");
    said(&mut dialogue, "UNSELECT");
    // Two reads find and open the mailbox.
    dialogue.partition.fail_read(BackendError::Broken, 2);
    let heard = said(&mut dialogue, "SELECT INBOX (QRESYNC (1704164645 11))");
    assert!(heard.contains("* VANISHED (EARLIER) 1:2"), "{heard}");
}
