//! Moves between accounts: what has arrived, and what has not ended.

use proto::v1::{MailDuplicateRow, MailMetaRow, MailMoveRow};
use rows::{Fault, Rows};

use super::{QueryError, account_row};
use crate::codec::unpack_uids;
use crate::keys::{self, AccountKey, Key};
use crate::moved::{Home, NewMove, OpenMove, arrival};
use crate::stored::{decode, read};
use crate::types::{AccountId, Hash16, MailboxId, Millis, MoveId, UidValidity};

/// Which messages have arrived.
pub(super) fn arrived(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    origins: &[Hash16],
) -> Result<Vec<bool>, QueryError> {
    account_row(rows, account)?;
    let meta: MailMetaRow = read(rows, &Key::Meta.encode())?.unwrap_or_default();
    let has_arrived = |origin: &Hash16| {
        let key = Key::Duplicate(arrival(account, mailbox, origin));
        let row: Option<MailDuplicateRow> = read(rows, &key.encode())?;
        Ok(row.is_some_and(|row| row.expires_ms > meta.time_ms))
    };
    origins.iter().map(has_arrived).collect()
}

/// Moves that began at `until` or earlier and have not ended, the oldest first, at most `limit`;
/// `after` is the last of those that are known.
///
/// # Errors
/// [`Fault`] if rows cannot be read.
pub fn unfinished(
    rows: &impl Rows,
    after: Option<&OpenMove>,
    until: Millis,
    limit: usize,
) -> Result<Vec<OpenMove>, Fault> {
    let after = after.map(|last| (last.begun, last.new.from.account, last.new.id));
    let (from, to) = keys::moves_begun(after, until);
    let found = rows.scan(&from, &to)?.take(limit).map(|row| {
        let (by_time, _) = row?;
        let Key::Move(_, account, id) = Key::decode(&by_time)? else {
            return Err(Fault::row(&by_time, "not a move"));
        };
        let key = Key::Of(account, AccountKey::Move(id)).encode();
        let value = rows.get(&key)?;
        let value = value.ok_or_else(|| Fault::row(&by_time, "a move that is not there"))?;
        open_move(&key, account, id, decode(&key, value)?)
    });
    found.collect()
}

/// The move of a row.
pub(crate) fn open_move(
    key: &[u8],
    account: AccountId,
    id: MoveId,
    row: MailMoveRow,
) -> Result<OpenMove, Fault> {
    let bad = |_| Fault::row(key, "not a set of UIDs");
    Ok(OpenMove {
        new: NewMove {
            id,
            from: Home {
                account,
                mailbox: MailboxId(row.mailbox),
                uid_validity: UidValidity(row.uid_validity),
            },
            uids: unpack_uids(&row.uids).map_err(bad)?,
            to_account: AccountId(row.to_account),
            to_mailbox: MailboxId(row.to_mailbox),
        },
        actor: AccountId(row.actor),
        begun: Millis(row.time_ms),
    })
}
