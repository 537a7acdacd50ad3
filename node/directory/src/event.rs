//! What an entry changed.

use std::sync::Arc;

use crate::types::{Account, AccountId, Cluster, Group, Node, OperationId};

/// A change of what a [`crate::View`] holds, with the new value whole, in the order of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The cluster was made, or its feature level raised.
    Cluster(Cluster),
    /// A node came or changed.
    Node(Node),
    /// A group came or changed.
    Group(Group),
    /// An account came or changed.
    Account(Arc<Account>),
    /// An account is gone.
    AccountGone(AccountId),
    /// A setting came or changed (`Some`), or went.
    Setting(String, Option<String>),
    /// A user may have been given rights by an account.
    Shared {
        /// Who; 0 for anyone.
        user: AccountId,
        /// Whose mailboxes.
        account: AccountId,
    },
    /// An operation waits for the steward. A hint: [`crate::pending`] is the truth.
    Operation(OperationId),
}
