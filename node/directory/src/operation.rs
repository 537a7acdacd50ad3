//! Steps that another group has to take.

use rows::{Fault, Rows};

use crate::keys::{self, Table};
use crate::types::{AccountId, GroupId, OperationId};
use crate::{codec, types};

/// What a partition has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Make the account.
    CreateAccount,
    /// Delete it with all its mail.
    DeleteAccount,
}

/// A step that a partition has to take before an account leaves its state.
///
/// The steward proposes it to the partition and then [`crate::Command::FinishOperation`] here,
/// again after any doubt. A step of an account takes the place of its earlier one; so the partition
/// may be asked late, by a steward that was deposed, for one that is no longer listed, and must not
/// make an account again that it has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What has to be done.
    pub kind: OperationKind,
    /// The account.
    pub account: AccountId,
    /// The group that has to do it.
    pub partition: GroupId,
    /// The account's quota; none for no limit.
    pub quota_bytes: Option<u64>,
}

/// The row of an operation; the rest is in the account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OperationRow {
    pub(crate) id: OperationId,
    pub(crate) kind: OperationKind,
    pub(crate) account: AccountId,
}

/// What is to be done, oldest first, at most `limit`.
///
/// # Errors
/// A [`Fault`] if rows cannot be read or contradict each other.
pub fn pending(rows: &impl Rows, limit: usize) -> Result<Vec<Operation>, Fault> {
    let (from, to) = Table::Operations.range();
    let mut operations = Vec::new();
    for row in rows.scan(&from, &to)?.take(limit) {
        let (key, value) = row?;
        let OperationRow { id, kind, account } = codec::row(&key, &value)?;
        let key = keys::account(account);
        let value = rows
            .get(&key)?
            .ok_or_else(|| Fault::invariant(format!("operation {id}: no account {account}")))?;
        let types::Account {
            partition,
            quota_bytes,
            ..
        } = codec::row(&key, &value)?;
        operations.push(Operation {
            id,
            kind,
            account,
            partition,
            quota_bytes,
        });
    }
    Ok(operations)
}
