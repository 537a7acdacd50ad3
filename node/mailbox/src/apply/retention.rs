//! For how long what was deleted is kept.
//!
//! A longer retention needs nothing but the number: what comes due is looked at, and is due later.
//! A shorter one makes things due earlier, so ticks look at all mailboxes that it concerns.

use bytes::Bytes;
use rows::Rows;

use super::state::Account;
use super::{Entry, Stop};
use crate::command::{Rejection, Reply};
use crate::keys::{Due, Key};
use crate::limits;
use crate::types::{AccountId, MailboxId, Millis};

/// Sets the retention of an account, or lets it have that of the partition.
pub(super) fn of_account<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    retention: Option<Millis>,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    if let Some(retention) = retention {
        check(retention)?;
    }
    let before = account.retention(entry.rows.meta());
    account.row.retention_ms = retention.map(|retention| retention.0);
    account.save(entry.rows);
    if account.retention(entry.rows.meta()) < before {
        let due = Due::Retention(account.id, MailboxId(0));
        entry
            .rows
            .put(Key::Due(entry.time, due).encode(), Bytes::new());
    }
    Ok(Reply::Nothing)
}

/// Sets the retention of all accounts that have none of their own.
pub(super) fn by_default<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    retention: Millis,
) -> Result<Reply, Stop> {
    check(retention)?;
    let meta = entry.rows.meta_mut();
    let before = meta.retention_ms.replace(retention.0);
    if retention.0 < before.unwrap_or(limits::RETENTION_MS) {
        let due = Due::Retentions(AccountId(0), MailboxId(0));
        entry
            .rows
            .put(Key::Due(entry.time, due).encode(), Bytes::new());
    }
    Ok(Reply::Nothing)
}

fn check(retention: Millis) -> Result<(), Rejection> {
    let possible = limits::RETENTION_MS_MIN..=limits::RETENTION_MS_MAX;
    if possible.contains(&retention.0) {
        Ok(())
    } else {
        Err(Rejection::Invalid)
    }
}
