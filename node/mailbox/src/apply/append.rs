//! APPEND (RFC 9051 section 6.3.12), MULTIAPPEND (RFC 3502) and REPLACE (RFC 8508): all or nothing.
//!
//! Everything appended or replaced by one command has one MODSEQ, and the UIDs of what is appended
//! follow each other. A message that is replaced goes first, so that its bytes make room; it stays
//! restorable like any other that is expunged.

use proto::v1::MailMessageRow;
use rows::Rows;

use super::state::{Account, Leaving, Mailbox};
use super::uploads::{self, References};
use super::{Entry, Stop, flags};
use crate::command::{NewMessage, Rejection, Replaced, Reply};
use crate::event::EventKind;
use crate::keywords::Keywords;
use crate::limits;
use crate::stored::{MessageState, StoredMessage};
use crate::types::{
    AccountId, Body, BodySource, Flags, MailboxId, Millis, ModSeq, NewBody, UidRanges, UidValidity,
};

/// Appends a message.
pub(super) fn one<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    flags: &Flags,
    date: Millis,
    body: &NewBody,
) -> Result<Reply, Stop> {
    let message = NewMessage {
        flags: flags.clone(),
        date,
        body: *body,
    };
    run(entry, account, mailbox, &[message], None)
}

/// Appends several, or one in the place of another.
pub(super) fn many<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    messages: &[NewMessage],
    replaced: Option<Replaced>,
) -> Result<Reply, Stop> {
    if messages.len() > limits::APPEND_MESSAGES_MAX {
        return Err(Rejection::TooMany.into());
    }
    let is_inline = |message: &&NewMessage| message.body.source == BodySource::Inline;
    if messages.is_empty() || messages.iter().filter(is_inline).count() > 1 {
        return Err(Rejection::Invalid.into());
    }
    run(entry, account, mailbox, messages, replaced)
}

fn run<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    messages: &[NewMessage],
    replaced: Option<Replaced>,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    // Asked first, so that a target that is not there is told as such.
    Mailbox::load(entry, account.id, mailbox)?;
    let mut bodies = Vec::with_capacity(messages.len());
    for message in messages {
        flags::check(&message.flags)?;
        bodies.push(uploads::admit(entry, &message.body)?.ok_or(Rejection::NoUpload)?);
    }
    let modseq = account.next_modseq();
    if let Some(replaced) = replaced {
        expunge(entry, &mut account, replaced, modseq)?;
    }
    if account.lacks_room(bodies.len(), bodies.iter().map(|body| body.length).sum()) {
        return Err(Rejection::OverQuota.into());
    }
    // Loaded after the expunge, which may have been in the same mailbox.
    let mut mailbox = Mailbox::load(entry, account.id, mailbox)?;
    if !mailbox.has_uids(messages.len()) {
        return Err(Rejection::MailboxFull.into());
    }
    let mut references = References::default();
    let mut first = None;
    for (message, body) in messages.iter().zip(&bodies) {
        let stored = stored(entry, &mailbox, message, body)?;
        let uid = mailbox.arrive(entry.rows, &mut account, stored, modseq)?;
        references.add(entry.rows, body, 1);
        first.get_or_insert(uid);
    }
    mailbox.save(entry.rows);
    account.save(entry.rows);
    references.settle(entry.rows)?;
    entry.hint(account.id, mailbox.id, modseq, EventKind::Arrived);
    Ok(Reply::Appended {
        uid_validity: UidValidity(mailbox.row.uid_validity),
        uid: first.ok_or(Rejection::Invalid)?,
        modseq,
    })
}

/// A message that is added; flags that whoever adds it may not set are left out.
pub(super) fn stored<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    mailbox: &Mailbox,
    message: &NewMessage,
    body: &Body,
) -> Result<StoredMessage, Stop> {
    let flags = entry.flags.of(&message.flags).unwrap_or_default();
    let keywords = if flags.keywords().is_empty() {
        Vec::new()
    } else {
        let mut known = Keywords::load(entry.rows, mailbox.account, mailbox.id)?;
        known.ensure_all(entry.rows, flags.keywords())?
    };
    let mut stored = StoredMessage {
        state: MessageState::Live,
        system: flags.system,
        row: MailMessageRow {
            keywords,
            internal_ms: message.date.0,
            saved_ms: entry.stamp.issued.0,
            ..MailMessageRow::default()
        },
    };
    stored.set_body(body);
    Ok(stored)
}

/// Expunges the message that is replaced. The caller saves the account.
fn expunge<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &mut Account,
    replaced: Replaced,
    modseq: ModSeq,
) -> Result<(), Stop> {
    let mut mailbox = Mailbox::load(entry, account.id, replaced.mailbox)?;
    let uids: UidRanges = [replaced.uid].into_iter().collect();
    let found = mailbox.find(entry, &uids, |_| true)?.pop();
    let found = found.ok_or(Rejection::NoMessage)?;
    let leaving = Leaving::Expunged(entry.time);
    mailbox.depart(entry.rows, account, found, leaving)?;
    mailbox.log(entry, account, &UidRanges::new(), &uids)?;
    mailbox.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Expunged);
    Ok(())
}
