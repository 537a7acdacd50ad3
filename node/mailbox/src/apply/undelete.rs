//! Bringing back expunged messages, and removing for good what was deleted.
//!
//! ```text
//!   UID 3 expunged --restore--> UID 9, as it arrived, without \Deleted
//!                               UID 3 is told as vanished as before, and cannot be restored again
//!                  --purge----> the reference to its body goes, and of its row all but that UID 3
//!                               was there: it is told as vanished as before
//! ```
//!
//! One command looks at and changes a bounded number of rows, and says from which UID on to go on.

use bytes::Bytes;
use rows::Rows;

use super::state::{Account, Found, Mailbox};
use super::uploads::References;
use super::{Entry, Stop, copy};
use crate::command::{Rejection, Reply};
use crate::keys;
use crate::limits;
use crate::select;
use crate::stored::{MessageState, StoredMessage, peek_state};
use crate::types::{AccountId, BodyAt, MailboxId, Millis, SystemFlags, Uid, UidRanges};

/// Puts expunged messages back, into the mailbox that they were in or another.
pub(super) fn messages<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    (from, to): (MailboxId, MailboxId),
    uids: &UidRanges,
    since: Option<Millis>,
) -> Result<Reply, Stop> {
    if uids.ranges().len() > limits::MESSAGES_PER_COMMAND_MAX {
        return Err(Rejection::TooMany.into());
    }
    let mut account = Account::load(entry, account)?;
    let source = Mailbox::load(entry, account.id, from)?;
    Mailbox::load(entry, account.id, to)?;
    let retention = account.retention(entry.rows.meta());
    let now = entry.time;
    let wanted = |message: &StoredMessage| {
        let expunged = Millis(message.row.expunged_ms);
        message.state == MessageState::Expunged
            && since.is_none_or(|since| expunged >= since)
            && expunged.after(retention) > now
    };
    let Taken { found, bytes, next } = take(entry, &source, uids, wanted)?;
    if account.lacks_room(found.len(), bytes) {
        return Err(Rejection::OverQuota.into());
    }
    // Everything that was expunged has it; the next EXPUNGE would take it again.
    let deleted = SystemFlags::DELETED;
    let placed = copy::place(entry, &mut account, (from, to), &found, deleted)?;
    // Loaded anew: it may be the target too, which has changed.
    let mut source = Mailbox::load(entry, account.id, from)?;
    for one in found {
        let mut message = one.decode()?;
        source.hold(&mut account, &message, -1)?;
        message.state = MessageState::Moved;
        message.row.expunged_ms = 0;
        entry.rows.put(one.key, message.encode());
    }
    source.save(entry.rows);
    account.save(entry.rows);
    placed.references.settle(entry.rows)?;
    Ok(Reply::Restored {
        uid_validity: placed.uid_validity,
        messages: placed.from.len() as u32,
        from: placed.from,
        to: placed.to,
        modseq: placed.modseq,
        next,
    })
}

/// Removes for good what is not there any more: of a mailbox that is there from a UID on, of one
/// that was deleted everything.
pub(super) fn purge<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    from: Uid,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let found = Mailbox::any(entry.rows, account.id, mailbox)?;
    let mut mailbox = found
        .filter(|mailbox| !mailbox.row.going)
        .ok_or(Rejection::NoMailbox)?;
    if mailbox.row.deleted_ms != 0 {
        let (messages, bytes) = mailbox.let_go(entry.rows, &mut account)?;
        mailbox.set_due(entry.rows, Some(entry.time));
        mailbox.save(entry.rows);
        account.save(entry.rows);
        return Ok(Reply::Purged {
            messages,
            bytes,
            next: None,
        });
    }
    let gone = |message: &StoredMessage| {
        matches!(message.state, MessageState::Expunged | MessageState::Moved)
    };
    let uids = UidRanges::range(from.max(Uid(1)), Uid::MAX);
    let Taken { found, next, .. } = take(entry, &mailbox, &uids, gone)?;
    let mut references = References::default();
    let (mut messages, mut bytes) = (0, 0);
    for one in found {
        let message = one.decode()?;
        if message.state == MessageState::Expunged {
            mailbox.hold(&mut account, &message, -1)?;
            messages += 1;
            bytes += message.size();
        }
        references.add(entry.rows, &message.body()?, -1);
        entry.rows.put(one.key, message.purged().encode());
    }
    mailbox.save(entry.rows);
    account.save(entry.rows);
    references.settle(entry.rows)?;
    Ok(Reply::Purged {
        messages,
        bytes,
        next,
    })
}

/// What one command takes on.
#[derive(Default)]
struct Taken {
    found: Vec<Found>,
    /// Bytes of all that was found.
    bytes: u64,
    /// Where the next command goes on.
    next: Option<Uid>,
}

/// Messages that are wanted and not there any more, as many as one command may change.
fn take<R: Rows>(
    entry: &Entry<'_, '_, R>,
    mailbox: &Mailbox,
    uids: &UidRanges,
    wanted: impl Fn(&StoredMessage) -> bool,
) -> Result<Taken, Stop> {
    let mut taken = Taken::default();
    let (mut looked_at, mut weight) = (0, 0);
    for (first, last) in select::spans(uids) {
        let (from, to) = keys::messages(mailbox.account, mailbox.id, first, last);
        for row in entry.rows.scan(&from, &to)? {
            let (key, value): (Bytes, Bytes) = row?;
            let uid = keys::uid_of(&key)?;
            let is_full = weight >= limits::MESSAGES_PER_COMMAND_MAX;
            if is_full || looked_at == limits::UNDELETE_ROWS_MAX {
                taken.next = Some(uid);
                return Ok(taken);
            }
            looked_at += 1;
            if peek_state(&key, &value)?.0 == MessageState::Live || !uids.contains(uid) {
                continue;
            }
            let message = StoredMessage::decode(&key, value.clone())?;
            if wanted(&message) {
                weight += 1 + chunks(&message)?;
                taken.bytes += message.size();
                taken.found.push(Found { uid, key, value });
            }
        }
    }
    Ok(taken)
}

/// Rows that may go with a message because its body came in chunks.
fn chunks(message: &StoredMessage) -> Result<usize, Stop> {
    let body = message.body()?;
    Ok(match body.at {
        BodyAt::Entry { .. } => 0,
        BodyAt::Upload(_) => {
            let chunks = body.length.div_ceil(limits::ENTRY_BODY_BYTES_MAX) + 1;
            usize::try_from(chunks).unwrap_or(limits::MESSAGES_PER_COMMAND_MAX)
        }
    })
}
