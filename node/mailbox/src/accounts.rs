//! Which accounts there are: for whoever goes over all mail of a partition.

use rows::{Fault, Rows};

use crate::keys::{self, Key};
use crate::types::AccountId;

/// The first account after another one, also one that was deleted and is not gone yet; `None` for
/// the last one.
///
/// # Errors
/// [`Fault`] if the rows cannot be read.
pub fn next_account(
    rows: &impl Rows,
    after: Option<AccountId>,
) -> Result<Option<AccountId>, Fault> {
    // Accounts are numbered from 1.
    let (from, to) = keys::accounts_after(after.unwrap_or(AccountId(0)));
    let Some(row) = rows.scan(&from, &to)?.next() else {
        return Ok(None);
    };
    let (key, _) = row?;
    match Key::decode(&key)? {
        Key::Of(account, _) => Ok(Some(account)),
        _ => Err(Fault::row(&key, "not a row of an account")),
    }
}
