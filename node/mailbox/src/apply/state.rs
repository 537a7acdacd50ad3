//! Accounts and mailboxes while a command changes them: loaded, counted, saved.

use bytes::Bytes;
use proto::v1::{
    MailAccountRow, MailFolderRow, MailMetaRow, MailVacantRow, mail_account_row::State,
};
use rows::{Fault, Rows};

use super::{Entry, Stop, metadata};
use crate::command::Rejection;
use crate::keys::{self, AccountKey, Due, Key};
use crate::layer::Layer;
use crate::limits;
use crate::select;
use crate::stored::{MessageState, StoredChange, StoredMessage, peek};
use crate::types::{AccountId, MailboxId, Millis, ModSeq, SystemFlags, Uid, UidRanges};

/// An account that a command works on.
pub(super) struct Account {
    pub id: AccountId,
    pub row: MailAccountRow,
}

impl Account {
    /// The account, if it is here.
    pub fn load<R: Rows>(entry: &mut Entry<'_, '_, R>, id: AccountId) -> Result<Account, Stop> {
        let row = Account::row(entry.rows, id)?.ok_or(Rejection::NoAccount)?;
        match row.state() {
            State::Active => Ok(Account { id, row }),
            State::Deleted => Err(Rejection::NoAccount.into()),
            State::Moved => Err(Stop::Moved),
        }
    }

    /// The row of an account, whatever state it is in.
    pub fn row<R: Rows>(
        rows: &mut Layer<'_, R>,
        id: AccountId,
    ) -> Result<Option<MailAccountRow>, Fault> {
        rows.row(&Key::Of(id, AccountKey::State).encode())
    }

    /// Writes what changed.
    pub fn save<R: Rows>(&self, rows: &mut Layer<'_, R>) {
        rows.put_row(Key::Of(self.id, AccountKey::State).encode(), &self.row)
    }

    /// The highest MODSEQ given.
    pub fn modseq(&self) -> ModSeq {
        ModSeq(self.row.modseq)
    }

    /// Gives the next MODSEQ: one for all that a command changes in the account.
    pub fn next_modseq(&mut self) -> ModSeq {
        self.row.modseq += 1;
        self.modseq()
    }

    /// Gives the next UIDVALIDITY (invariant M2): above all that this account gave, and above what
    /// an earlier account of that name can have given before now.
    pub fn next_uid_validity(&mut self, time: Millis) -> u32 {
        let now = u32::try_from(time.seconds()).unwrap_or(u32::MAX);
        self.row.uid_validity = self.row.uid_validity.saturating_add(1).max(now);
        self.row.uid_validity
    }

    /// For how long what it deletes is kept, in milliseconds of log time.
    pub fn retention(&self, meta: &MailMetaRow) -> u64 {
        let set = self.row.retention_ms.or(meta.retention_ms);
        set.unwrap_or(limits::RETENTION_MS)
    }

    /// Counts in or out what is held for the retention (invariant M5).
    pub fn hold(&mut self, messages: i64, bytes: i64) -> Result<(), Fault> {
        add_long(&mut self.row.held_messages, messages)?;
        add_long(&mut self.row.held_bytes, bytes)
    }

    /// Whether so much more would be too much. Nothing more never is.
    pub fn lacks_room(&self, messages: usize, bytes: u64) -> bool {
        let is_over = |quota: Option<u64>, has: u64, more: u64| {
            quota.is_some_and(|quota| has.saturating_add(more) > quota)
        };
        let row = &self.row;
        messages > 0
            && (is_over(row.quota_bytes, row.bytes, bytes)
                || is_over(row.quota_messages, row.messages, messages as u64))
    }
}

/// A mailbox that a command works on.
pub(super) struct Mailbox {
    pub account: AccountId,
    pub id: MailboxId,
    pub row: MailFolderRow,
}

impl Mailbox {
    /// The mailbox, if it exists.
    pub fn load<R: Rows>(
        entry: &mut Entry<'_, '_, R>,
        account: AccountId,
        id: MailboxId,
    ) -> Result<Mailbox, Stop> {
        match Mailbox::any(entry.rows, account, id)? {
            Some(mailbox) if mailbox.row.deleted_ms == 0 => Ok(mailbox),
            _ => Err(Rejection::NoMailbox.into()),
        }
    }

    /// The mailbox, also if it was deleted and is not yet gone.
    pub fn any<R: Rows>(
        rows: &mut Layer<'_, R>,
        account: AccountId,
        id: MailboxId,
    ) -> Result<Option<Mailbox>, Fault> {
        let row = rows.row(&Key::Of(account, AccountKey::Folder(id)).encode())?;
        Ok(row.map(|row| Mailbox { account, id, row }))
    }

    /// Writes what changed.
    pub fn save<R: Rows>(&self, rows: &mut Layer<'_, R>) {
        rows.put_row(
            Key::Of(self.account, AccountKey::Folder(self.id)).encode(),
            &self.row,
        )
    }

    /// Whether it can take so many messages more.
    pub fn has_uids(&self, messages: usize) -> bool {
        // The highest UID is never given, so that UIDNEXT is always one.
        (Uid::MAX.0 - self.row.uid_next) as usize >= messages
    }

    /// Stores a message that arrives, under the next UID. The caller has asked `has_uids`, and
    /// counts the reference to its body.
    pub fn arrive<R: Rows>(
        &mut self,
        rows: &mut Layer<'_, R>,
        account: &mut Account,
        mut message: StoredMessage,
        modseq: ModSeq,
    ) -> Result<Uid, Fault> {
        let uid = Uid(self.row.uid_next);
        self.row.uid_next += 1;
        self.row.highest_modseq = modseq.0;
        self.row.arrived_modseq = modseq.0;
        message.state = MessageState::Live;
        message.row.expunged_ms = 0;
        message.row.modseq = modseq.0;
        message.row.arrived = modseq.0;
        self.count(account, &message, 1)?;
        rows.put(
            keys::message_key(self.account, self.id, uid),
            message.encode(),
        );
        Ok(uid)
    }

    /// Turns a message into one that is not there any more; the caller logs it.
    pub fn depart<R: Rows>(
        &mut self,
        rows: &mut Layer<'_, R>,
        account: &mut Account,
        found: Found,
        leaving: Leaving,
    ) -> Result<(), Fault> {
        let mut message = found.decode()?;
        self.count(account, &message, -1)?;
        match leaving {
            Leaving::Moved => message.state = MessageState::Moved,
            Leaving::Expunged(time) => {
                message.state = MessageState::Expunged;
                message.row.expunged_ms = time.0;
                self.hold(account, &message, 1)?;
            }
        }
        rows.put(found.key, message.encode());
        Ok(())
    }

    /// Counts an expunged message in or out of what can be restored (invariant M5).
    pub fn hold(
        &mut self,
        account: &mut Account,
        message: &StoredMessage,
        change: i32,
    ) -> Result<(), Fault> {
        let bytes = signed(message.size())? * i64::from(change);
        add(&mut self.row.held_messages, change)?;
        add_long(&mut self.row.held_bytes, bytes)?;
        account.hold(change.into(), bytes)
    }

    /// A deleted mailbox cannot be restored any more: its rows go bit by bit, and count no more.
    /// Says how many messages it had, expunged ones included, and their bytes.
    pub fn let_go<R: Rows>(
        &mut self,
        rows: &mut Layer<'_, R>,
        account: &mut Account,
    ) -> Result<(u64, u64), Fault> {
        self.row.going = true;
        let messages = u64::from(self.row.messages) + u64::from(self.row.held_messages);
        let bytes = self.row.bytes + self.row.held_bytes;
        account.hold(-signed(messages)?, -signed(bytes)?)?;
        let weight = metadata::weight_of(rows, account.id, self.id)?;
        add_long(&mut account.row.metadata_bytes, -signed(weight)?)?;
        if vacated_by(rows, account.id, &self.row.name)? == Some(self.id) {
            rows.delete(keys::vacant_key(account.id, &self.row.name));
        }
        Ok((messages, bytes))
    }

    /// Counts a message in or out (invariant M5).
    fn count(
        &mut self,
        account: &mut Account,
        message: &StoredMessage,
        change: i32,
    ) -> Result<(), Fault> {
        let bytes = signed(message.size())? * i64::from(change);
        add(&mut self.row.messages, change)?;
        add_long(&mut self.row.bytes, bytes)?;
        self.count_flags(message.system, change)?;
        add_long(&mut account.row.messages, change.into())?;
        add_long(&mut account.row.bytes, bytes)
    }

    /// Counts a message's flags in or out.
    pub fn count_flags(&mut self, system: SystemFlags, change: i32) -> Result<(), Fault> {
        if !system.has(SystemFlags::SEEN) {
            add(&mut self.row.unseen, change)?;
        }
        if system.has(SystemFlags::DELETED) {
            add(&mut self.row.deleted, change)?;
        }
        Ok(())
    }

    /// Logs what a command changed or expunged here under the account's last MODSEQ, and sees to it
    /// that the log is trimmed.
    pub fn log<R: Rows>(
        &mut self,
        entry: &mut Entry<'_, '_, R>,
        account: &Account,
        changed: &UidRanges,
        expunged: &UidRanges,
    ) -> Result<(), Fault> {
        let modseq = account.modseq();
        self.row.highest_modseq = modseq.0;
        let (changed, expunged) = (pieces(changed), pieces(expunged));
        let empty = UidRanges::new();
        for part in 0..changed.len().max(expunged.len()) {
            let change = StoredChange {
                time: entry.time,
                changed: changed.get(part).unwrap_or(&empty).clone(),
                expunged: expunged.get(part).unwrap_or(&empty).clone(),
            };
            let key = Key::Of(
                self.account,
                AccountKey::Change(self.id, modseq, part as u32),
            );
            entry.rows.put(key.encode(), change.encode());
        }
        if self.row.due_ms == 0 {
            let retention = account.retention(entry.rows.meta());
            self.set_due(entry.rows, Some(entry.time.after(retention)));
        }
        Ok(())
    }

    /// Sets when the mailbox is to be looked at again; the caller saves it.
    pub fn set_due<R: Rows>(&mut self, rows: &mut Layer<'_, R>, due: Option<Millis>) {
        let what = Due::Folder(self.account, self.id);
        if self.row.due_ms != 0 {
            rows.delete(Key::Due(Millis(self.row.due_ms), what).encode());
        }
        self.row.due_ms = due.map_or(0, |due| due.0);
        if let Some(due) = due {
            rows.put(Key::Due(due, what).encode(), Bytes::new());
        }
    }

    /// Existing messages among `uids`, in order; refused beyond the limit for one command.
    pub fn find<R: Rows>(
        &self,
        entry: &Entry<'_, '_, R>,
        uids: &UidRanges,
        wanted: impl Fn(SystemFlags) -> bool,
    ) -> Result<Vec<Found>, Stop> {
        if uids.ranges().len() > limits::MESSAGES_PER_COMMAND_MAX {
            return Err(Rejection::TooMany.into());
        }
        let mut found = Vec::new();
        for (first, last) in select::spans(uids) {
            let (from, to) = keys::messages(self.account, self.id, first, last);
            for row in entry.rows.scan(&from, &to)? {
                let (key, value) = row?;
                let (expunged, system) = peek(&key, &value)?;
                let uid = keys::uid_of(&key)?;
                if expunged || !wanted(system) || !uids.contains(uid) {
                    continue;
                }
                if found.len() == limits::MESSAGES_PER_COMMAND_MAX {
                    return Err(Rejection::TooMany.into());
                }
                found.push(Found { uid, key, value });
            }
        }
        Ok(found)
    }
}

/// How a message leaves a mailbox.
#[derive(Clone, Copy)]
pub(super) enum Leaving {
    /// It was expunged at this time.
    Expunged(Millis),
    /// It went into another mailbox, or came back under another UID.
    Moved,
}

/// The deleted mailbox that left a name, if no other one had the name since.
pub(super) fn vacated_by<R: Rows>(
    rows: &Layer<'_, R>,
    account: AccountId,
    name: &str,
) -> Result<Option<MailboxId>, Fault> {
    let row: Option<MailVacantRow> = rows.row(&keys::vacant_key(account, name))?;
    Ok(row.map(|row| MailboxId(row.mailbox)))
}

/// A message's row as it was read.
pub(super) struct Found {
    pub uid: Uid,
    pub key: Bytes,
    pub value: Bytes,
}

impl Found {
    pub fn decode(&self) -> Result<StoredMessage, Fault> {
        StoredMessage::decode(&self.key, self.value.clone())
    }
}

/// A set in parts that fit into rows.
fn pieces(uids: &UidRanges) -> Vec<UidRanges> {
    let ranges: Vec<(u32, u32)> = uids
        .ranges()
        .map(|(first, last)| (first.0, last.0))
        .collect();
    let part = |part: &[(u32, u32)]| {
        UidRanges::from_sorted(part.to_vec()).expect("a part of a set is a set")
    };
    ranges
        .chunks(limits::RANGES_PER_CHANGE_ROW)
        .map(part)
        .collect()
}

/// A number of bytes or messages, to be taken away.
pub(super) fn signed(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| broken())
}

fn add(counter: &mut u32, change: i32) -> Result<(), Fault> {
    *counter = counter.checked_add_signed(change).ok_or_else(broken)?;
    Ok(())
}

/// Adds to a counter that never goes below zero.
pub(super) fn add_long(counter: &mut u64, change: i64) -> Result<(), Fault> {
    *counter = counter.checked_add_signed(change).ok_or_else(broken)?;
    Ok(())
}

fn broken() -> Fault {
    Fault::invariant("a counter leaves its range (M5)")
}
