//! Making, deleting and subscribing to mailboxes.
//!
//! A name has a row while it has a mailbox or a subscription. Its mailbox has a row of its own,
//! which outlives the name: a deleted mailbox keeps its messages for the retention.

use proto::v1::{MailFolderRow, MailNameRow, MailVacantRow};
use rows::{Fault, Rows};

use super::state::{Account, Mailbox, add_long, signed, vacated_by};
use super::{Entry, Stop, grants};
use crate::codec::use_number;
use crate::command::{Rejection, Reply};
use crate::event::EventKind;
use crate::keys;
use crate::limits;
use crate::types::{AccountId, MailboxId, ModSeq, SpecialUse, UidValidity, names};

/// CREATE (RFC 9051 section 6.3.4).
pub(super) fn create<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let name = names::canonical(name);
    if !names::is_valid(&name) {
        return Err(Rejection::NameInvalid.into());
    }
    if name_row(entry, account.id, &name)?.mailbox != 0 {
        return Err(Rejection::Exists.into());
    }
    let modseq = account.next_modseq();
    let mailbox = make(entry, &mut account, &name, special_use, false)?;
    account.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Folders);
    let uid_validity = UidValidity(mailbox.row.uid_validity);
    Ok(Reply::Created {
        mailbox: mailbox.id,
        uid_validity,
    })
}

/// DELETE (RFC 9051 section 6.3.5). The subscription stays, inferior mailboxes too.
pub(super) fn delete<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    name: &str,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let name = names::canonical(name);
    if name == names::INBOX {
        return Err(Rejection::NotPermitted.into());
    }
    let mut row = name_row(entry, account.id, &name)?;
    let mut mailbox = Mailbox::load(entry, account.id, MailboxId(row.mailbox))?;
    let modseq = account.next_modseq();
    row.mailbox = 0;
    set_name(entry, &mut account, &name, &row)?;
    account.row.mailboxes -= 1;
    add_long(&mut account.row.messages, -i64::from(mailbox.row.messages))?;
    account.row.bytes = account
        .row
        .bytes
        .checked_sub(mailbox.row.bytes)
        .ok_or_else(|| Fault::invariant("an account has less than its mailbox (M5)"))?;
    account.hold(mailbox.row.messages.into(), signed(mailbox.row.bytes)?)?;
    mailbox.row.deleted_ms = entry.time.0;
    mailbox.row.highest_modseq = modseq.0;
    let due = entry.time.after(account.retention(entry.rows.meta()));
    mailbox.set_due(entry.rows, Some(due));
    let vacant = MailVacantRow {
        mailbox: mailbox.id.0,
    };
    entry
        .rows
        .put_row(keys::vacant_key(account.id, &name), &vacant);
    mailbox.save(entry.rows);
    account.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Folders);
    Ok(Reply::Nothing)
}

/// SUBSCRIBE and UNSUBSCRIBE (RFC 9051 sections 6.3.7 and 6.3.8).
pub(super) fn subscribe<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    name: &str,
    on: bool,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let name = names::canonical(name);
    if !names::is_valid(&name) {
        return Err(Rejection::NameInvalid.into());
    }
    let mut row = name_row(entry, account.id, &name)?;
    if row.subscribed != on {
        row.subscribed = on;
        set_name(entry, &mut account, &name, &row)?;
        account.save(entry.rows);
        entry.hint(
            account.id,
            MailboxId(row.mailbox),
            account.modseq(),
            EventKind::Folders,
        );
    }
    Ok(Reply::Nothing)
}

/// Makes a mailbox and missing superior ones, at the account's present MODSEQ. A mailbox that is
/// there already is left as it is. The name is valid; the caller saves the account.
pub(super) fn make<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &mut Account,
    name: &str,
    special_use: Option<SpecialUse>,
    subscribe: bool,
) -> Result<Mailbox, Stop> {
    let mut above = None;
    for superior in names::superiors(name) {
        above = Some(make_one(entry, account, superior, None, false, above)?.id);
    }
    make_one(entry, account, name, special_use, subscribe, above)
}

fn make_one<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &mut Account,
    name: &str,
    special_use: Option<SpecialUse>,
    subscribe: bool,
    above: Option<MailboxId>,
) -> Result<Mailbox, Stop> {
    let mut row = name_row(entry, account.id, name)?;
    if row.mailbox != 0 {
        return Mailbox::load(entry, account.id, MailboxId(row.mailbox));
    }
    if account.row.mailboxes >= limits::MAILBOXES_MAX {
        return Err(Rejection::MailboxLimit.into());
    }
    account.row.mailboxes += 1;
    account.row.last_mailbox += 1;
    let ModSeq(modseq) = account.modseq();
    let mailbox = Mailbox {
        account: account.id,
        id: MailboxId(account.row.last_mailbox),
        row: MailFolderRow {
            name: name.to_owned(),
            uid_validity: account.next_uid_validity(entry.time),
            uid_next: 1,
            highest_modseq: modseq,
            special_use: use_number(special_use),
            // Nothing was expunged before it was made.
            change_floor: 0,
            ..MailFolderRow::default()
        },
    };
    row.mailbox = mailbox.id.0;
    row.subscribed |= subscribe;
    set_name(entry, account, name, &row)?;
    mailbox.save(entry.rows);
    if let Some(above) = above {
        grants::inherit(entry, account.id, above, mailbox.id)?;
    }
    Ok(mailbox)
}

/// What a name stands for; nothing if it has no row.
pub(super) fn name_row<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    name: &str,
) -> Result<MailNameRow, Fault> {
    Ok(entry
        .rows
        .row(&keys::name_key(account, name))?
        .unwrap_or_default())
}

/// Sets what a name stands for; it has a row only if that is something. Whoever left the name for a
/// mailbox has no claim to it any more. The caller saves the account.
pub(super) fn set_name<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &mut Account,
    name: &str,
    row: &MailNameRow,
) -> Result<(), Stop> {
    let key = keys::name_key(account.id, name);
    let there = entry.rows.get(&key)?.is_some();
    let wanted = *row != MailNameRow::default();
    match (there, wanted) {
        (false, true) if account.row.names >= limits::NAMES_MAX => {
            return Err(Rejection::MailboxLimit.into());
        }
        (false, true) => account.row.names += 1,
        (true, false) => account.row.names -= 1,
        _ => {}
    }
    if row.mailbox != 0 && vacated_by(entry.rows, account.id, name)?.is_some() {
        entry.rows.delete(keys::vacant_key(account.id, name));
    }
    if wanted {
        entry.rows.put_row(key, row);
    } else {
        entry.rows.delete(key);
    }
    Ok(())
}
