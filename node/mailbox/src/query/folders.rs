//! Mailboxes and names.

use proto::v1::{MailFolderRow, MailNameRow};
use rows::{Fault, Rows};

use super::{Folder, QueryError, Usage, account_row, deleted, folder_row};
use crate::codec::use_of;
use crate::keys::{self, AccountKey, Key};
use crate::stored::{decode, read};
use crate::types::{AccountId, MailboxId, Millis, ModSeq, Uid, UidValidity, names};

/// All names.
pub(super) fn all(rows: &impl Rows, account: AccountId) -> Result<Vec<Folder>, QueryError> {
    account_row(rows, account)?;
    let (from, to) = keys::names(account);
    let mut folders = Vec::new();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        let Key::Of(_, AccountKey::Name(name)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a name").into());
        };
        folders.push(named(rows, account, name, &decode(&key, value)?)?);
    }
    Ok(folders)
}

/// One name.
pub(super) fn one(
    rows: &impl Rows,
    account: AccountId,
    name: &str,
) -> Result<Option<Folder>, QueryError> {
    account_row(rows, account)?;
    let name = names::canonical(name);
    if !names::is_valid(&name) {
        return Ok(None);
    }
    match read::<MailNameRow>(rows, &keys::name_key(account, &name))? {
        Some(row) => Ok(Some(named(rows, account, name.into_owned(), &row)?)),
        None => Ok(None),
    }
}

/// How much an account uses.
pub(super) fn usage(rows: &impl Rows, account: AccountId) -> Result<Usage, QueryError> {
    let row = account_row(rows, account)?;
    Ok(Usage {
        bytes: row.bytes,
        messages: row.messages,
        quota_bytes: row.quota_bytes,
        held_bytes: row.held_bytes,
        held_messages: row.held_messages,
        retention: Millis(deleted::retention(rows, &row)?),
        own_retention: row.retention_ms.is_some(),
    })
}

/// What a mailbox's row says, and whether its name is subscribed to.
pub(super) fn described(
    rows: &impl Rows,
    account: AccountId,
    id: MailboxId,
    row: MailFolderRow,
) -> Result<Folder, Fault> {
    let name: Option<MailNameRow> = read(rows, &keys::name_key(account, &row.name))?;
    folder(id, row, name.is_some_and(|name| name.subscribed))
}

fn named(
    rows: &impl Rows,
    account: AccountId,
    name: String,
    row: &MailNameRow,
) -> Result<Folder, Fault> {
    if row.mailbox == 0 {
        return Ok(Folder {
            name,
            subscribed: row.subscribed,
            ..Folder::default()
        });
    }
    let id = MailboxId(row.mailbox);
    let mailbox = folder_row(rows, account, id)?;
    let mailbox = mailbox
        .ok_or_else(|| Fault::invariant(format!("account {account}: {name:?} has no mailbox")))?;
    folder(id, mailbox, row.subscribed)
}

fn folder(id: MailboxId, row: MailFolderRow, subscribed: bool) -> Result<Folder, Fault> {
    Ok(Folder {
        id,
        name: row.name,
        uid_validity: UidValidity(row.uid_validity),
        uid_next: Uid(row.uid_next),
        highest_modseq: ModSeq(row.highest_modseq),
        messages: row.messages,
        unseen: row.unseen,
        deleted: row.deleted,
        bytes: row.bytes,
        special_use: use_of(row.special_use)?,
        subscribed,
        vanished_floor: ModSeq(row.vanished_floor),
        exists: true,
        guest: None,
    })
}
