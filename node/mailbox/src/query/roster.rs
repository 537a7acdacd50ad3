//! Which messages of a mailbox are there: what a session needs to open it.
//!
//! A mailbox of 100,000 messages has as many rows, and a look at all of them takes long. So whoever
//! opens mailboxes for many sessions keeps their rosters, and the next session costs what changed
//! since. A roster comes about in steps, each short enough for the rows to stand still meanwhile;
//! what changes between two steps is caught up with like all later changes.
//!
//! ```text
//!   MODSEQs   begin ............... now
//!   rows      step, step, step      a message may be read as it is at any time between
//!   changes         begin ..► now   and becomes what it is now
//! ```

use proto::v1::MailFolderRow;
use rows::Rows;

use super::{Opened, QueryError, account_row, changes, folder_row, folders};
use crate::keys;
use crate::keywords::Keywords;
use crate::limits;
use crate::stored::peek;
use crate::types::{AccountId, MailboxId, ModSeq, SystemFlags, Uid, UidRanges, UidValidity};

/// The UIDs of a mailbox, and which of them are unseen or have `\Deleted`, as of a MODSEQ.
#[derive(Clone, Debug)]
pub struct Roster {
    account: AccountId,
    mailbox: MailboxId,
    /// 0 before anything was read.
    uid_validity: UidValidity,
    /// Changes up to here are in it.
    modseq: ModSeq,
    uids: UidRanges,
    unseen: UidRanges,
    deleted: UidRanges,
    /// Messages from here on were not read yet.
    unread: Option<Uid>,
}

impl Roster {
    /// Nothing is known of the mailbox yet.
    pub fn new(account: AccountId, mailbox: MailboxId) -> Roster {
        Roster {
            account,
            mailbox,
            uid_validity: UidValidity(0),
            modseq: ModSeq(0),
            uids: UidRanges::new(),
            unseen: UidRanges::new(),
            deleted: UidRanges::new(),
            unread: None,
        }
    }

    /// How many ranges it holds in memory, of 8 bytes each.
    pub fn ranges(&self) -> usize {
        let sets = [&self.uids, &self.unseen, &self.deleted];
        sets.iter().map(|uids| uids.ranges().len()).sum()
    }

    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        self.uids.len()
    }

    /// Comes up with the rows, in one step of a bounded number of them; the answer to
    /// [`super::Query::Open`] when it has, `None` while there is more to read.
    ///
    /// # Errors
    ///
    /// As [`super::query`].
    pub fn step(&mut self, rows: &impl Rows) -> Result<Option<Opened>, QueryError> {
        let folder = self.folder(rows)?;
        if !self.come_up(rows, &folder)? {
            return Ok(None);
        }
        self.opened(rows, folder).map(Some)
    }

    /// The same for the answer to [`super::Query::Marked`]. Where no message has `\Deleted`, no
    /// other row is read.
    ///
    /// # Errors
    ///
    /// As [`super::query`].
    pub fn marked(&mut self, rows: &impl Rows) -> Result<Option<UidRanges>, QueryError> {
        let folder = self.folder(rows)?;
        if folder.deleted == 0 {
            return Ok(Some(UidRanges::new()));
        }
        let is_up = self.come_up(rows, &folder)?;
        Ok(is_up.then(|| self.deleted.clone()))
    }

    fn folder(&self, rows: &impl Rows) -> Result<MailFolderRow, QueryError> {
        account_row(rows, self.account)?;
        let folder = folder_row(rows, self.account, self.mailbox)?;
        folder.ok_or(QueryError::NoMailbox)
    }

    /// One step; whether it has come up with the rows.
    fn come_up(&mut self, rows: &impl Rows, folder: &MailFolderRow) -> Result<bool, QueryError> {
        let is_same = self.uid_validity.0 == folder.uid_validity;
        // Below either floor catching up looks at all rows as well, and holds them for longer.
        if !is_same || self.modseq.0 < folder.vanished_floor.max(folder.change_floor) {
            *self = Roster {
                uid_validity: UidValidity(folder.uid_validity),
                modseq: ModSeq(account_row(rows, self.account)?.modseq),
                unread: Some(Uid(1)),
                ..Roster::new(self.account, self.mailbox)
            };
        }
        if let Some(from) = self.unread {
            self.unread = self.read(rows, from)?;
            if self.unread.is_some() {
                return Ok(false);
            }
        }
        Ok(!self.catch_up(rows)?)
    }

    /// Reads the next messages from a UID on; from where it is to go on, if it is.
    ///
    /// Of each row the first two bytes are looked at.
    fn read(&mut self, rows: &impl Rows, from: Uid) -> Result<Option<Uid>, QueryError> {
        let (from, to) = keys::messages(self.account, self.mailbox, from, Uid::MAX);
        for (count, row) in rows.scan(&from, &to)?.enumerate() {
            let (key, value) = row?;
            let uid = keys::uid_of(&key)?;
            if count >= limits::ROSTER_ROWS_MAX {
                return Ok(Some(uid));
            }
            let (expunged, system) = peek(&key, &value)?;
            if !expunged {
                self.uids.insert(uid);
                if !system.has(SystemFlags::SEEN) {
                    self.unseen.insert(uid);
                }
                if system.has(SystemFlags::DELETED) {
                    self.deleted.insert(uid);
                }
            }
        }
        Ok(None)
    }

    /// Takes one page of changes in; whether there are more.
    fn catch_up(&mut self, rows: &impl Rows) -> Result<bool, QueryError> {
        let changes = changes::since(rows, self.account, self.mailbox, self.modseq)?;
        let all = changes.flags.iter();
        let with = |flag: SystemFlags| -> UidRanges {
            let those = all.clone().filter(|(.., flags)| flags.system.has(flag));
            those.map(|(uid, ..)| *uid).collect()
        };
        let (seen, deleted) = (with(SystemFlags::SEEN), with(SystemFlags::DELETED));
        let told: UidRanges = all.clone().map(|(uid, ..)| *uid).collect();
        self.uids.extend(changes.arrived.iter());
        if !told.is_empty() {
            self.unseen = self.unseen.union(&told).subtract(&seen);
            self.deleted = self.deleted.subtract(&told).union(&deleted);
        }
        if !changes.vanished.is_empty() {
            self.uids = self.uids.subtract(&changes.vanished);
            self.unseen = self.unseen.subtract(&changes.vanished);
            self.deleted = self.deleted.subtract(&changes.vanished);
        }
        self.modseq = changes.modseq;
        Ok(changes.more)
    }

    fn opened(&self, rows: &impl Rows, folder: MailFolderRow) -> Result<Opened, QueryError> {
        Ok(Opened {
            folder: folders::described(rows, self.account, self.mailbox, folder)?,
            uids: self.uids.clone(),
            first_unseen: self.unseen.first(),
            keywords: Keywords::load(rows, self.account, self.mailbox)?.names,
            modseq: self.modseq,
        })
    }
}

/// Opens a mailbox of which nothing is known: one look at all of its rows.
pub(super) fn open(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<Opened, QueryError> {
    let mut roster = Roster::new(account, mailbox);
    loop {
        if let Some(opened) = roster.step(rows)? {
            return Ok(opened);
        }
    }
}

/// The messages of a mailbox with `\Deleted`: one look at all of its rows, if there are any.
pub(super) fn marked(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<UidRanges, QueryError> {
    let mut roster = Roster::new(account, mailbox);
    loop {
        if let Some(marked) = roster.marked(rows)? {
            return Ok(marked);
        }
    }
}
