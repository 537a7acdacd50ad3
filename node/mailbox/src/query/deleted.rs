//! What was deleted and can be restored, page by page.

use proto::v1::{MailAccountRow, MailFolderRow, MailMetaRow};
use rows::{Fault, Rows};

use super::{
    Deleted, DeletedFolder, DeletedFolders, DeletedMessage, QueryError, account_row, folder_row,
};
use crate::keys::{self, AccountKey, Key};
use crate::limits;
use crate::stored::{MessageState, StoredMessage, decode, peek_state, read};
use crate::types::{AccountId, MailboxId, Millis, Uid};

/// Expunged messages of a mailbox from a UID on.
pub(super) fn messages(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    from: Uid,
    limit: u32,
) -> Result<Deleted, QueryError> {
    let clock = Clock::of(rows, &account_row(rows, account)?)?;
    folder_row(rows, account, mailbox)?.ok_or(QueryError::NoMailbox)?;
    let limit = (limit as usize).clamp(1, limits::PAGE_MESSAGES_MAX);
    let mut page = Deleted::default();
    let (first, end) = keys::messages(account, mailbox, from, Uid::MAX);
    for (looked_at, row) in rows.scan(&first, &end)?.enumerate() {
        let (key, value) = row?;
        let uid = keys::uid_of(&key)?;
        if page.messages.len() == limit || looked_at == limits::PAGE_ROWS_MAX {
            page.next = Some(uid);
            break;
        }
        if peek_state(&key, &value)?.0 != MessageState::Expunged {
            continue;
        }
        let message = StoredMessage::decode(&key, value)?;
        let expunged = Millis(message.row.expunged_ms);
        if let Some(deadline) = clock.deadline(expunged) {
            page.messages.push(DeletedMessage {
                uid,
                size: message.size(),
                internal_date: Millis(message.row.internal_ms),
                expunged,
                deadline,
            });
        }
    }
    Ok(page)
}

/// Deleted mailboxes of an account from one on.
pub(super) fn folders(
    rows: &impl Rows,
    account: AccountId,
    from: MailboxId,
) -> Result<DeletedFolders, QueryError> {
    let clock = Clock::of(rows, &account_row(rows, account)?)?;
    let mut page = DeletedFolders::default();
    let (first, end) = keys::folders(account, from);
    for (looked_at, row) in rows.scan(&first, &end)?.enumerate() {
        let (key, value) = row?;
        let Key::Of(_, AccountKey::Folder(id)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a mailbox").into());
        };
        let full = page.folders.len() == limits::PAGE_MESSAGES_MAX;
        if full || looked_at == limits::PAGE_ROWS_MAX {
            page.next = Some(id);
            break;
        }
        let row: MailFolderRow = decode(&key, value)?;
        let deleted = Millis(row.deleted_ms);
        if row.deleted_ms != 0
            && !row.going
            && let Some(deadline) = clock.deadline(deleted)
        {
            page.folders.push(DeletedFolder {
                id,
                name: row.name,
                messages: row.messages,
                bytes: row.bytes,
                deleted,
                deadline,
            });
        }
    }
    Ok(page)
}

/// For how long an account's deleted things are kept, in milliseconds.
pub(super) fn retention(rows: &impl Rows, account: &MailAccountRow) -> Result<u64, Fault> {
    Ok(Clock::of(rows, account)?.retention)
}

/// Log time, and a retention.
struct Clock {
    now: Millis,
    retention: u64,
}

impl Clock {
    fn of(rows: &impl Rows, account: &MailAccountRow) -> Result<Clock, Fault> {
        let meta: MailMetaRow = read(rows, &Key::Meta.encode())?.unwrap_or_default();
        let set = account.retention_ms.or(meta.retention_ms);
        Ok(Clock {
            now: Millis(meta.time_ms),
            retention: set.unwrap_or(limits::RETENTION_MS),
        })
    }

    /// Until when what was deleted then is kept; `None` if that has passed.
    fn deadline(&self, deleted: Millis) -> Option<Millis> {
        let deadline = deleted.after(self.retention);
        (deadline > self.now).then_some(deadline)
    }
}
