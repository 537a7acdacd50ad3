//! Annotations (RFC 5464).

use proto::v1::MailMetadataRow;
use rows::{Fault, Rows};

use super::{Annotation, QueryError, account_row, folder_row};
use crate::keys::{self, AccountKey, Key};
use crate::stored::decode;
use crate::types::{AccountId, MailboxId};

/// Those that a user sees. Those of deleted mailboxes are there as well when all are asked for:
/// their mailboxes are listed nowhere.
pub(super) fn all(
    rows: &impl Rows,
    account: AccountId,
    mailbox: Option<MailboxId>,
    user: AccountId,
) -> Result<Vec<Annotation>, QueryError> {
    account_row(rows, account)?;
    let (from, to) = match mailbox {
        Some(mailbox) => {
            if mailbox != MailboxId(0) {
                folder_row(rows, account, mailbox)?.ok_or(QueryError::NoMailbox)?;
            }
            keys::metadata(account, mailbox)
        }
        None => keys::all_metadata(account),
    };
    let mut found = Vec::new();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        let Key::Of(_, AccountKey::Metadata(mailbox, owner, name)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not an annotation").into());
        };
        if owner == user || owner == AccountId(0) {
            let MailMetadataRow { value } = decode(&key, value)?;
            found.push(Annotation {
                mailbox,
                name,
                value,
            });
        }
    }
    Ok(found)
}
