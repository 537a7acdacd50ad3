//! MOVE between accounts, which may be in different partitions: what comes is appended here, and
//! then what was there is removed there. At every moment a message is in one of them at least.
//!
//! If whoever moves it fails in between and tries again, what has come is recognised and not
//! appended again, as long as it is there: who deletes it meanwhile, and moves it again, gets it
//! again. Whoever finishes what another has begun asks what has come, there or not
//! ([`crate::Query::Arrived`]).

use proto::v1::MailDuplicateRow;
use rows::{Fault, Rows};

use super::append::stored;
use super::state::{Account, Mailbox};
use super::uploads::{self, References};
use super::{Entry, Stop, expunge, flags, sweep};
use crate::command::{Import, NewMessage, Rejection, Reply};
use crate::event::EventKind;
use crate::keys::{self, Key};
use crate::limits;
use crate::moved::arrival;
use crate::stored::peek;
use crate::types::{AccountId, BodySource, MailboxId, Uid, UidRanges, UidValidity};

/// Appends what is not there yet.
pub(super) fn run<R: Rows>(entry: &mut Entry<'_, '_, R>, import: &Import) -> Result<Reply, Stop> {
    check(import)?;
    let mut account = Account::load(entry, import.account)?;
    let mut mailbox = Mailbox::load(entry, account.id, import.mailbox)?;
    let mut new = Vec::with_capacity(import.messages.len());
    for (message, origin) in import.messages.iter().zip(&import.origins) {
        flags::check(&message.flags)?;
        let body = uploads::admit(entry, &message.body)?.ok_or(Rejection::NoUpload)?;
        let key = arrival(mailbox.account, mailbox.id, origin);
        if !has_come(entry, &mailbox, &key)? {
            new.push((message, body, key));
        }
    }
    let uid_validity = UidValidity(mailbox.row.uid_validity);
    let mut to = UidRanges::new();
    let bytes = new.iter().map(|(_, body, _)| body.length).sum();
    if account.lacks_room(new.len(), bytes) {
        return Err(Rejection::OverQuota.into());
    }
    if !mailbox.has_uids(new.len()) {
        return Err(Rejection::MailboxFull.into());
    }
    let is_whole = new.len() == import.messages.len();
    if !new.is_empty() {
        let modseq = account.next_modseq();
        let mut references = References::default();
        for (message, body, key) in new {
            let stored = stored(entry, &mailbox, message, &body)?;
            let uid = mailbox.arrive(entry.rows, &mut account, stored, modseq)?;
            references.add(entry.rows, &body, 1);
            remember(entry, key, uid)?;
            to.insert(uid);
        }
        mailbox.save(entry.rows);
        account.save(entry.rows);
        references.settle(entry.rows)?;
        entry.hint(account.id, mailbox.id, modseq, EventKind::Arrived);
    }
    if !is_whole {
        to = UidRanges::new();
    }
    Ok(Reply::Copied {
        uid_validity,
        from: UidRanges::new(),
        to,
    })
}

fn check(import: &Import) -> Result<(), Rejection> {
    let messages = &import.messages;
    if messages.len() > limits::APPEND_MESSAGES_MAX {
        return Err(Rejection::TooMany);
    }
    let is_inline = |message: &&NewMessage| message.body.source == BodySource::Inline;
    let inline = messages.iter().filter(is_inline).count();
    if messages.is_empty() || import.origins.len() != messages.len() || inline > 1 {
        return Err(Rejection::Invalid);
    }
    Ok(())
}

/// MOVE to another account: they are there by now. They can be restored like any that are expunged.
pub(super) fn remove<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    uids: &UidRanges,
) -> Result<Reply, Stop> {
    let account = Account::load(entry, account)?;
    let mailbox = Mailbox::load(entry, account.id, mailbox)?;
    let found = mailbox.find(entry, uids, |_| true)?;
    expunge::expunge(entry, account, mailbox, found)
}

/// Whether it came before, and is there.
fn has_come<R: Rows>(
    entry: &Entry<'_, '_, R>,
    mailbox: &Mailbox,
    key: &[u8; 16],
) -> Result<bool, Fault> {
    let row: Option<MailDuplicateRow> = entry.rows.row(&Key::Duplicate(*key).encode())?;
    let Some(row) = row.filter(|row| row.expires_ms > entry.time.0) else {
        return Ok(false);
    };
    let key = keys::message_key(mailbox.account, mailbox.id, Uid(row.uid));
    match entry.rows.get(&key)? {
        Some(value) => Ok(!peek(&key, &value)?.0),
        None => Ok(false),
    }
}

fn remember<R: Rows>(entry: &mut Entry<'_, '_, R>, key: [u8; 16], uid: Uid) -> Result<(), Fault> {
    let key = Key::Duplicate(key).encode();
    if entry.rows.get(&key)?.is_none() {
        sweep::make_room_for_duplicate(entry.rows)?;
        entry.rows.meta_mut().duplicates += 1;
        sweep::schedule(entry.rows, entry.time);
    }
    let expires_ms = entry.time.after(limits::DUPLICATE_LIFE_MS).0;
    let row = MailDuplicateRow {
        expires_ms,
        uid: uid.0,
    };
    entry.rows.put_row(key, &row);
    Ok(())
}
