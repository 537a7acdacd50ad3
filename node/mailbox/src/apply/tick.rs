//! Ticks: what log time ends.
//!
//! ```text
//!   due rows   mailboxes: changes older than the retention go, expunged messages with them,
//!                         and all of a mailbox that was deleted so long ago
//!              accounts:  all of one that was deleted so long ago
//!              uploads:   those that nobody finished
//!              retention: it became shorter, so mailboxes may be due earlier
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
use crate::stored::{MessageState, StoredChange, StoredMessage, decode, read};
use crate::types::{AccountId, MailboxId, Millis, ModSeq, Uid, UidRanges};
use proto::v1::{MailFolderRow, MailMetaRow, mail_account_row::State};

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
            Due::Account(account) => tick.deleted_account(time, account)?,
            Due::Retention(account, from) => tick.retention(time, account, from)?,
            Due::Retentions(account, from) => tick.retentions(time, account, from)?,
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
        let account = self.account(id)?;
        let found = match &account {
            Some(_) => Mailbox::any(self.rows, id, mailbox)?,
            None => None,
        };
        let (Some(mut account), Some(mut mailbox)) = (account, found) else {
            // Its account was deleted: what is left goes with that.
            self.rows
                .delete(Key::Due(due, Due::Folder(id, mailbox)).encode());
            return Ok(());
        };
        if mailbox.row.deleted_ms == 0 {
            self.trim(&mut account, &mut mailbox)?;
            account.save(self.rows);
            mailbox.save(self.rows);
            return Ok(());
        }
        if !mailbox.row.going {
            let retention = account.retention(self.rows.meta());
            let due = Millis(mailbox.row.deleted_ms).after(retention);
            if due > self.now {
                mailbox.set_due(self.rows, Some(due));
                mailbox.save(self.rows);
                return Ok(());
            }
            mailbox.let_go(self.rows, &mut account)?;
            account.save(self.rows);
            mailbox.save(self.rows);
        }
        self.going_folder(mailbox)
    }

    /// An account that was not deleted.
    fn account(&mut self, id: AccountId) -> Result<Option<Account>, Fault> {
        let row = Account::row(self.rows, id)?;
        let row = row.filter(|row| row.state() != State::Deleted);
        Ok(row.map(|row| Account { id, row }))
    }

    /// Lets mailboxes be looked at, since they may be due earlier than they say. Says from which on
    /// to go on when the budget is spent.
    fn hasten(&mut self, account: AccountId, from: MailboxId) -> Result<Option<MailboxId>, Fault> {
        let rows = self
            .rows
            .collect(&keys::folders(account, from), self.budget)?;
        let more = rows.len() == self.budget;
        self.spend(rows.len());
        let mut next = from;
        for (key, value) in rows {
            let Key::Of(_, AccountKey::Folder(id)) = Key::decode(&key)? else {
                return Err(Fault::row(&key, "not a mailbox"));
            };
            let row: MailFolderRow = decode(&key, value)?;
            let mut mailbox = Mailbox { account, id, row };
            if mailbox.row.due_ms > self.now.0 {
                mailbox.set_due(self.rows, Some(self.now));
                mailbox.save(self.rows);
            }
            next = MailboxId(id.0 + 1);
        }
        Ok(more.then_some(next))
    }

    /// The retention of an account became shorter.
    fn retention(&mut self, time: Millis, id: AccountId, from: MailboxId) -> Result<(), Fault> {
        self.rows
            .delete(Key::Due(time, Due::Retention(id, from)).encode());
        if self.account(id)?.is_some()
            && let Some(next) = self.hasten(id, from)?
        {
            let rest = Key::Due(time, Due::Retention(id, next));
            self.rows.put(rest.encode(), Bytes::new());
        }
        Ok(())
    }

    /// The retention of all accounts without one of their own became shorter.
    fn retentions(&mut self, time: Millis, id: AccountId, from: MailboxId) -> Result<(), Fault> {
        self.rows
            .delete(Key::Due(time, Due::Retentions(id, from)).encode());
        let account = self.account(id)?;
        let mut rest = None;
        if account.is_some_and(|account| account.row.retention_ms.is_none()) {
            rest = self.hasten(id, from)?.map(|next| (id, next));
        }
        if rest.is_none() {
            let (first, end) = keys::accounts_after(id);
            if let Some(row) = self.rows.scan(&first, &end)?.next() {
                let (key, _) = row?;
                let Key::Of(next, _) = Key::decode(&key)? else {
                    return Err(Fault::row(&key, "not a row of an account"));
                };
                rest = Some((next, MailboxId(0)));
            }
        }
        if let Some((id, from)) = rest {
            let rest = Key::Due(time, Due::Retentions(id, from));
            self.rows.put(rest.encode(), Bytes::new());
        }
        Ok(())
    }

    /// Removes all of a mailbox that cannot be restored any more; its row goes last.
    fn going_folder(&mut self, mut mailbox: Mailbox) -> Result<(), Fault> {
        let (account, id) = (mailbox.account, mailbox.id);
        let mut left = true;
        for span in [
            keys::messages(account, id, Uid(0), Uid::MAX),
            keys::changes(account, id, ModSeq(0)),
            keys::keywords(account, id),
            keys::metadata(account, id),
            keys::grants(account, id),
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
    fn deleted_account(&mut self, due: Millis, account: AccountId) -> Result<(), Fault> {
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
                let message = StoredMessage::decode(&key, value.clone())?;
                if let Some(body) = message.referred()? {
                    references.add(self.rows, &body, -1);
                }
            }
            self.rows.delete(key);
        }
        let removed = references.settle(self.rows)?;
        self.spend(removed);
        Ok(more)
    }

    /// Removes changes whose retention is over, with the messages that they expunged, and sets when
    /// the next one's will be.
    fn trim(&mut self, account: &mut Account, mailbox: &mut Mailbox) -> Result<(), Fault> {
        let retention = account.retention(self.rows.meta());
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
            let due = change.time.after(retention);
            if due > self.now {
                mailbox.set_due(self.rows, Some(due));
                return Ok(());
            }
            mailbox.row.change_floor = modseq.0;
            if !change.expunged.is_empty() {
                mailbox.row.vanished_floor = modseq.0;
            }
            self.spend(1);
            self.remove_expunged(account, mailbox, &mut change.expunged)?;
            let rest = (!change.expunged.is_empty()).then(|| change.encode());
            match rest {
                Some(rest) => self.rows.put(key, rest),
                None => self.rows.delete(key),
            }
        }
        Ok(())
    }

    /// Removes expunged messages as far as the budget goes, and takes them out of `uids`.
    fn remove_expunged(
        &mut self,
        account: &mut Account,
        mailbox: &mut Mailbox,
        uids: &mut UidRanges,
    ) -> Result<(), Fault> {
        let mut references = References::default();
        let gone: UidRanges = uids.iter().take(self.budget).collect();
        for uid in gone.iter() {
            let key = keys::message_key(mailbox.account, mailbox.id, uid);
            let Some(value) = self.rows.get(&key)? else {
                return Err(Fault::row(&key, "an expunged message is gone too early"));
            };
            let message = StoredMessage::decode(&key, value.clone())?;
            match message.state {
                MessageState::Live => {
                    return Err(Fault::row(&key, "an expunged message is not expunged"));
                }
                MessageState::Expunged => mailbox.hold(account, &message, -1)?,
                MessageState::Moved | MessageState::Purged => {}
            }
            if let Some(body) = message.referred()? {
                references.add(self.rows, &body, -1);
            }
            self.rows.delete(key);
        }
        *uids = uids.subtract(&gone);
        let removed = references.settle(self.rows)?;
        self.spend(gone.len() as usize + removed);
        Ok(())
    }
}
