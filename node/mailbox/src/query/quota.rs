//! What an account uses, what it may, and what EXPUNGE would free (RFC 9208).

use rows::Rows;

use super::{QueryError, Quota, account_row, folder_row};
use crate::keys;
use crate::stored::{StoredMessage, peek};
use crate::types::{AccountId, MailboxId, SystemFlags, Uid};

/// What an account uses, and what it may.
pub(super) fn of(rows: &impl Rows, account: AccountId) -> Result<Quota, QueryError> {
    let row = account_row(rows, account)?;
    Ok(Quota {
        bytes: row.bytes,
        messages: row.messages,
        mailboxes: row.mailboxes,
        bytes_max: row.quota_bytes,
        messages_max: row.quota_messages,
    })
}

/// Bytes of the messages with `\\Deleted`. Rows are looked at until all of them were found.
pub(super) fn reclaimable(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<u64, QueryError> {
    account_row(rows, account)?;
    let folder = folder_row(rows, account, mailbox)?.ok_or(QueryError::NoMailbox)?;
    let (mut left, mut bytes) = (folder.deleted, 0);
    let (from, to) = keys::messages(account, mailbox, Uid(0), Uid::MAX);
    let mut scan = rows.scan(&from, &to)?;
    while left > 0 {
        let Some(row) = scan.next() else { break };
        let (key, value) = row?;
        let (is_gone, system) = peek(&key, &value)?;
        if !is_gone && system.has(SystemFlags::DELETED) {
            bytes += StoredMessage::decode(&key, value)?.size();
            left -= 1;
        }
    }
    Ok(bytes)
}
