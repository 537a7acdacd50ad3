//! Ticks: what log time ends.
//!
//! ```text
//!   due rows   mailboxes: changes older than the retention go, expunged messages with them,
//!                         and all of a mailbox that was deleted so long ago
//!              accounts:  all of one that was deleted so long ago
//!              uploads:   those that nobody finished
//!   sweep      lanes and duplicates
//! ```
//!
//! A tick looks at a bounded number of rows and leaves the rest for the next one, which is then due
//! at once. Where it stopped is in the rows themselves.

use bytes::Bytes;
use rows::{Fault, Rows};

use super::state::{Account, Mailbox};
use super::sweep;
use super::uploads::{self, References};
use crate::keys::{self, AccountKey, Due, Key, Span};
use crate::layer::Layer;
use crate::limits;
use crate::stored::{StoredChange, StoredMessage, read};
use crate::types::{AccountId, MailboxId, Millis, ModSeq, Uid, UidRanges};
use proto::v1::{MailMetaRow, mail_account_row::State};

/// When the next [`crate::Command::Tick`] has something to do, in log time; `None` while there is
/// nothing that will expire.
pub fn next_due(rows: &impl Rows) -> Result<Option<Millis>, Fault> {
    let meta: MailMetaRow = read(rows, &Key::Meta.encode())?.unwrap_or_default();
    let (from, to) = keys::due();
    let first = match rows.scan(&from, &to)?.next() {
        Some(row) => Some(due_of(&row?.0)?.0),
        None => None,
    };
    let sweep = meta.sweep_ms.map(Millis);
    Ok(first.into_iter().chain(sweep).min())
}

/// Does a bounded part of what is due.
pub(super) fn run<R: Rows>(rows: &mut Layer<'_, R>, now: Millis) -> Result<(), Fault> {
    let mut tick = Tick {
        rows,
        now,
        budget: limits::TICK_ROWS_MAX,
    };
    let (mut from, to) = keys::due_by(now);
    while tick.budget > 0 {
        let Some(row) = tick.rows.scan(&from, &to)?.next() else {
            break;
        };
        let (key, _) = row?;
        let (time, due) = due_of(&key)?;
        from = keys::after(&key);
        tick.spend(1);
        match due {
            Due::Folder(account, mailbox) => tick.folder(time, account, mailbox)?,
            Due::Account(account) => tick.account(time, account)?,
            Due::Upload(upload) => {
                tick.rows.delete(Key::Due(time, due).encode());
                if let Some(later) = uploads::expire(tick.rows, upload, now)? {
                    tick.rows.put(Key::Due(later, due).encode(), Bytes::new());
                }
            }
        }
    }
    let budget = tick.budget;
    if budget > 0 {
        sweep::run(rows, now, budget)
    } else {
        Ok(())
    }
}

fn due_of(key: &Bytes) -> Result<(Millis, Due), Fault> {
    match Key::decode(key)? {
        Key::Due(time, due) => Ok((time, due)),
        _ => Err(Fault::row(key, "not a due row")),
    }
}

struct Tick<'s, 'r, R: Rows> {
    rows: &'s mut Layer<'r, R>,
    now: Millis,
    /// Rows that may still be looked at or removed.
    budget: usize,
}

impl<R: Rows> Tick<'_, '_, R> {
    fn spend(&mut self, rows: usize) {
        self.budget = self.budget.saturating_sub(rows);
    }

    fn folder(&mut self, due: Millis, id: AccountId, mailbox: MailboxId) -> Result<(), Fault> {
        let account = Account::row(self.rows, id)?;
        let lives = account.is_some_and(|account| account.state() != State::Deleted);
        let found = if lives {
            Mailbox::any(self.rows, id, mailbox)?
        } else {
            None
        };
        let Some(mut mailbox) = found else {
            // Its account was deleted: what is left goes with that.
            self.rows
                .delete(Key::Due(due, Due::Folder(id, mailbox)).encode());
            return Ok(());
        };
        if mailbox.row.deleted_ms != 0 {
            return self.deleted_folder(mailbox);
        }
        self.trim(&mut mailbox)?;
        mailbox.save(self.rows);
        Ok(())
    }

    /// Removes all of a mailbox that was deleted; its row goes last.
    fn deleted_folder(&mut self, mut mailbox: Mailbox) -> Result<(), Fault> {
        let (account, id) = (mailbox.account, mailbox.id);
        let mut left = true;
        for span in [
            keys::messages(account, id, Uid(0), Uid::MAX),
            keys::changes(account, id, ModSeq(0)),
            keys::keywords(account, id),
        ] {
            left = self.remove_all(&span)?;
            if left {
                break;
            }
        }
        if !left {
            mailbox.set_due(self.rows, None);
            self.rows
                .delete(Key::Of(account, AccountKey::Folder(id)).encode());
        }
        Ok(())
    }

    /// Removes all of an account that was deleted; its row goes last.
    fn account(&mut self, due: Millis, account: AccountId) -> Result<(), Fault> {
        if !self.remove_all(&keys::inside(account))? {
            self.rows
                .delete(Key::Of(account, AccountKey::State).encode());
            self.rows
                .delete(Key::Due(due, Due::Account(account)).encode());
        }
        Ok(())
    }

    /// Removes rows of a span as far as the budget goes. Says whether there may be more.
    fn remove_all(&mut self, span: &Span) -> Result<bool, Fault> {
        let rows = self.rows.collect(span, self.budget)?;
        let more = rows.len() == self.budget;
        self.spend(rows.len());
        let mut references = References::default();
        for (key, value) in rows {
            if let Key::Of(_, AccountKey::Message(..)) = Key::decode(&key)? {
                let body = StoredMessage::decode(&key, value.clone())?.body()?;
                references.add(self.rows, &body, -1);
            }
            self.rows.delete(key);
        }
        let removed = references.settle(self.rows)?;
        self.spend(removed);
        Ok(more)
    }

    /// Removes changes whose retention is over, with the messages that they expunged, and sets when
    /// the next one's will be.
    fn trim(&mut self, mailbox: &mut Mailbox) -> Result<(), Fault> {
        let (mut from, to) = keys::changes(mailbox.account, mailbox.id, ModSeq(0));
        while self.budget > 0 {
            let Some(row) = self.rows.scan(&from, &to)?.next() else {
                mailbox.set_due(self.rows, None);
                return Ok(());
            };
            let (key, value) = row?;
            from = keys::after(&key);
            let Key::Of(_, AccountKey::Change(_, modseq, _)) = Key::decode(&key)? else {
                return Err(Fault::row(&key, "not a change"));
            };
            let mut change = StoredChange::decode(&key, value.clone())?;
            let due = change.time.after(limits::RETENTION_MS);
            if due > self.now {
                mailbox.set_due(self.rows, Some(due));
                return Ok(());
            }
            mailbox.row.change_floor = modseq.0;
            if !change.expunged.is_empty() {
                mailbox.row.vanished_floor = modseq.0;
            }
            self.spend(1);
            self.remove_expunged(mailbox, &mut change.expunged)?;
            let rest = (!change.expunged.is_empty()).then(|| change.encode());
            match rest {
                Some(rest) => self.rows.put(key, rest),
                None => self.rows.delete(key),
            }
        }
        Ok(())
    }

    /// Removes expunged messages as far as the budget goes, and takes them out of `uids`.
    fn remove_expunged(&mut self, mailbox: &Mailbox, uids: &mut UidRanges) -> Result<(), Fault> {
        let mut references = References::default();
        let gone: UidRanges = uids.iter().take(self.budget).collect();
        for uid in gone.iter() {
            let key = keys::message_key(mailbox.account, mailbox.id, uid);
            let Some(value) = self.rows.get(&key)? else {
                return Err(Fault::row(&key, "an expunged message is gone too early"));
            };
            let message = StoredMessage::decode(&key, value.clone())?;
            if !message.expunged {
                return Err(Fault::row(&key, "an expunged message is not expunged"));
            }
            references.add(self.rows, &message.body()?, -1);
            self.rows.delete(key);
        }
        *uids = uids.subtract(&gone);
        let removed = references.settle(self.rows)?;
        self.spend(gone.len() as usize + removed);
        Ok(())
    }
}
