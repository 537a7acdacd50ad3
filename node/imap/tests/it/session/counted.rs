//! What commands cost, in rows that are read for them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
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
