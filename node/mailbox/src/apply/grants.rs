//! Rights on mailboxes (RFC 4314).
//!
//! ```text
//!   a user's rights = (given to him or to anyone) without (denied him or anyone)
//! ```
//!
//! The owner has all rights, whatever rows say. Rows belong to the mailbox's id: they move with
//! RENAME, go with DELETE, and are back when it is restored. A new mailbox has those of the one
//! above it.

use proto::v1::MailGrantRow;
use rows::{Fault, Rows};

use super::state::{Account, Mailbox};
use super::{Entry, Stop};
use crate::command::{NewGrant, Rejection, Reply, StoreMode};
use crate::event::EventKind;
use crate::keys::{self, AccountKey, Key};
use crate::limits;
use crate::types::{AccountId, MailboxId};

/// SETACL and DELETEACL.
pub(super) fn set<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    grant: &NewGrant,
) -> Result<Reply, Stop> {
    let account = Account::load(entry, account)?;
    let mailbox = Mailbox::load(entry, account.id, mailbox)?;
    let is_anyone = grant.user == AccountId(0);
    if grant.user == account.id
        || grant.name.len() > limits::ADDRESS_BYTES_MAX
        || grant.name.is_empty() != is_anyone
    {
        return Err(Rejection::Invalid.into());
    }
    let key = Key::Of(account.id, AccountKey::Grant(mailbox.id, grant.user)).encode();
    let found: Option<MailGrantRow> = entry.rows.row(&key)?;
    let is_new = found.is_none();
    let mut row = found.unwrap_or_default();
    row.name.clone_from(&grant.name);
    let rights = match grant.denies {
        true => &mut row.denied,
        false => &mut row.given,
    };
    let bits = u32::from(grant.rights.bits());
    *rights = match grant.mode {
        StoreMode::Add => *rights | bits,
        StoreMode::Remove => *rights & !bits,
        StoreMode::Replace => bits,
    };
    if row.given == 0 && row.denied == 0 {
        entry.rows.delete(key);
    } else {
        let span = keys::grants(account.id, mailbox.id);
        let limit = limits::GRANTS_PER_MAILBOX_MAX;
        if is_new && entry.rows.collect(&span, limit)?.len() == limit {
            return Err(Rejection::GrantLimit.into());
        }
        entry.rows.put_row(key, &row);
    }
    let modseq = account.modseq();
    entry.hint(account.id, mailbox.id, modseq, EventKind::Folders);
    Ok(Reply::Nothing)
}

/// Gives a new mailbox the rights of the one above it, if there are such.
pub(super) fn inherit<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    from: MailboxId,
    to: MailboxId,
) -> Result<(), Fault> {
    let span = keys::grants(account, from);
    for (key, value) in entry.rows.collect(&span, limits::GRANTS_PER_MAILBOX_MAX)? {
        let Key::Of(_, AccountKey::Grant(_, user)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a grant"));
        };
        let key = Key::Of(account, AccountKey::Grant(to, user));
        entry.rows.put(key.encode(), value);
    }
    Ok(())
}
