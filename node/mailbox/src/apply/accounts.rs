//! Making and deleting accounts.

use bytes::Bytes;
use proto::v1::{MailAccountRow, mail_account_row::State};
use rows::Rows;

use super::folders::make;
use super::state::{Account, Mailbox};
use super::{Entry, Stop, moves};
use crate::command::{NewFolder, Rejection, Reply};
use crate::event::EventKind;
use crate::keys::{Due, Key};
use crate::limits;
use crate::types::{AccountId, MailboxId, UidValidity, names};

/// Makes an account with INBOX and other mailboxes, all subscribed.
pub(super) fn create<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    id: AccountId,
    folders: &[NewFolder],
    quota_bytes: Option<u64>,
) -> Result<Reply, Stop> {
    if Account::row(entry.rows, id)?.is_some() {
        // Only an account that is in use can have been made by this command before.
        Account::load(entry, id)?;
        return Ok(created(&Mailbox::load(entry, id, MailboxId::INBOX)?));
    }
    if folders.len() > limits::NEW_FOLDERS_MAX {
        return Err(Rejection::Invalid.into());
    }
    let row = MailAccountRow {
        uid_validity: entry.rows.meta().uid_validity_floor,
        quota_bytes,
        ..MailAccountRow::default()
    };
    let mut account = Account { id, row };
    let modseq = account.next_modseq();
    let inbox = make(entry, &mut account, names::INBOX, None, true)?;
    for folder in folders {
        let name = names::canonical(&folder.name);
        if !names::is_valid(&name) {
            return Err(Rejection::NameInvalid.into());
        }
        make(entry, &mut account, &name, folder.special_use, true)?;
    }
    account.save(entry.rows);
    entry.hint(id, MailboxId(0), modseq, EventKind::Account);
    Ok(created(&inbox))
}

/// Deletes an account. Its rows stay for the retention and count no more.
pub(super) fn delete<R: Rows>(entry: &mut Entry<'_, '_, R>, id: AccountId) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, id)?;
    let modseq = account.next_modseq();
    account.row.set_state(State::Deleted);
    account.row.deleted_ms = entry.time.0;
    account.save(entry.rows);
    moves::forget_all(entry.rows, id)?;
    // It stays for as long as its retention is now.
    let due = entry.time.after(account.retention(entry.rows.meta()));
    entry
        .rows
        .put(Key::Due(due, Due::Account(id)).encode(), Bytes::new());
    let meta = entry.rows.meta_mut();
    meta.uid_validity_floor = meta.uid_validity_floor.max(account.row.uid_validity);
    entry.hint(id, MailboxId(0), modseq, EventKind::Account);
    Ok(Reply::Nothing)
}

fn created(mailbox: &Mailbox) -> Reply {
    let uid_validity = UidValidity(mailbox.row.uid_validity);
    Reply::Created {
        mailbox: mailbox.id,
        uid_validity,
    }
}
