//! What an account may have.

use rows::Rows;

use super::state::Account;
use super::{Entry, Stop};
use crate::command::Reply;
use crate::types::AccountId;

/// Sets the limits of an account. What it has beyond them stays; nothing is added to it.
pub(super) fn set<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    bytes: Option<u64>,
    messages: Option<u64>,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    account.row.quota_bytes = bytes;
    account.row.quota_messages = messages;
    account.save(entry.rows);
    Ok(Reply::Nothing)
}
