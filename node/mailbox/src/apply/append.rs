//! APPEND (RFC 9051 section 6.3.12).

use proto::v1::MailMessageRow;
use rows::Rows;

use super::state::{Account, Mailbox};
use super::uploads::{self, References};
use super::{Entry, Stop, flags};
use crate::command::{Rejection, Reply};
use crate::event::EventKind;
use crate::keywords::Keywords;
use crate::stored::{MessageState, StoredMessage};
use crate::types::{AccountId, Flags, MailboxId, Millis, NewBody, UidValidity};

/// Appends a message.
pub(super) fn run<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    flags: &Flags,
    date: Millis,
    body: &NewBody,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let mut mailbox = Mailbox::load(entry, account.id, mailbox)?;
    flags::check(flags)?;
    let body = uploads::admit(entry, body)?.ok_or(Rejection::NoUpload)?;
    if account.lacks_room(1, body.length) {
        return Err(Rejection::OverQuota.into());
    }
    if !mailbox.has_uids(1) {
        return Err(Rejection::MailboxFull.into());
    }
    let keywords = if flags.keywords().is_empty() {
        Vec::new()
    } else {
        let mut known = Keywords::load(entry.rows, account.id, mailbox.id)?;
        known.ensure_all(entry.rows, flags.keywords())?
    };
    let mut message = StoredMessage {
        state: MessageState::Live,
        system: flags.system,
        row: MailMessageRow {
            keywords,
            internal_ms: date.0,
            saved_ms: entry.stamp.issued.0,
            ..MailMessageRow::default()
        },
    };
    message.set_body(&body);
    let modseq = account.next_modseq();
    let uid = mailbox.arrive(entry.rows, &mut account, message, modseq)?;
    mailbox.save(entry.rows);
    account.save(entry.rows);
    let mut references = References::default();
    references.add(entry.rows, &body, 1);
    references.settle(entry.rows)?;
    entry.hint(account.id, mailbox.id, modseq, EventKind::Arrived);
    let uid_validity = UidValidity(mailbox.row.uid_validity);
    Ok(Reply::Appended {
        uid_validity,
        uid,
        modseq,
    })
}
