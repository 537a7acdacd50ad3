//! Bringing back a deleted mailbox.
//!
//! It is the mailbox that it was, with its id, messages, UIDs and MODSEQs. Its UIDVALIDITY stays if
//! it comes back under the name that it left and no other mailbox had that name since: what a
//! client remembers of the name is true. Else the name gets a UIDVALIDITY that it never had
//! (invariant M2).

use proto::v1::MailNameRow;
use rows::Rows;

use super::folders::{make, name_row, set_name};
use super::state::{Account, Mailbox, add_long, signed, vacated_by};
use super::{Entry, Stop};
use crate::command::{Rejection, Reply};
use crate::event::EventKind;
use crate::keys;
use crate::limits;
use crate::types::{AccountId, MailboxId, Millis, UidValidity, names};

/// Restores a mailbox under the name that it had, or another.
pub(super) fn run<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    name: Option<&str>,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let mut mailbox = deleted(entry, &account, mailbox)?;
    let name = match name {
        Some(name) => names::canonical(name).into_owned(),
        None => mailbox.row.name.clone(),
    };
    if !names::is_valid(&name) {
        return Err(Rejection::NameInvalid.into());
    }
    if name_row(entry, account.id, &name)?.mailbox != 0 {
        return Err(Rejection::Exists.into());
    }
    if account.lacks_room(mailbox.row.messages as usize, mailbox.row.bytes) {
        return Err(Rejection::OverQuota.into());
    }
    let modseq = account.next_modseq();
    let left = vacated_by(entry.rows, account.id, &mailbox.row.name)? == Some(mailbox.id);
    let same = name == mailbox.row.name;
    if !same && let Some(superior) = names::superiors(&name).last() {
        make(entry, &mut account, superior, None, false)?;
    }
    if account.row.mailboxes >= limits::MAILBOXES_MAX {
        return Err(Rejection::MailboxLimit.into());
    }
    if left {
        let vacant = keys::vacant_key(account.id, &mailbox.row.name);
        entry.rows.delete(vacant);
    }
    if !(left && same) {
        mailbox.row.uid_validity = account.next_uid_validity(entry.time);
    }
    let row = MailNameRow {
        mailbox: mailbox.id.0,
        ..name_row(entry, account.id, &name)?
    };
    set_name(entry, &mut account, &name, &row)?;
    count_again(&mut account, &mailbox)?;
    mailbox.row.name = name;
    mailbox.row.deleted_ms = 0;
    mailbox.row.highest_modseq = modseq.0;
    // Its log of changes was not trimmed while it was away.
    mailbox.set_due(entry.rows, Some(entry.time));
    mailbox.save(entry.rows);
    account.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Folders);
    Ok(Reply::Created {
        mailbox: mailbox.id,
        uid_validity: UidValidity(mailbox.row.uid_validity),
    })
}

/// A mailbox that was deleted and can be restored.
fn deleted<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &Account,
    mailbox: MailboxId,
) -> Result<Mailbox, Stop> {
    let found = Mailbox::any(entry.rows, account.id, mailbox)?;
    let mailbox = found.filter(|mailbox| mailbox.row.deleted_ms != 0 && !mailbox.row.going);
    let mailbox = mailbox.ok_or(Rejection::NoMailbox)?;
    let retention = account.retention(entry.rows.meta());
    if Millis(mailbox.row.deleted_ms).after(retention) <= entry.time {
        return Err(Rejection::NoMailbox.into());
    }
    Ok(mailbox)
}

/// Its messages count against the quota, and no longer as held.
fn count_again(account: &mut Account, mailbox: &Mailbox) -> Result<(), Stop> {
    let (messages, bytes) = (i64::from(mailbox.row.messages), signed(mailbox.row.bytes)?);
    account.row.mailboxes += 1;
    add_long(&mut account.row.messages, messages)?;
    add_long(&mut account.row.bytes, bytes)?;
    account.hold(-messages, -bytes)?;
    Ok(())
}
