//! Who may have been given rights on whose mailboxes: so that a user's node finds them without
//! asking every partition.
//!
//! It is noted before the right is given, and stays noted when it is taken away. So what is noted
//! says too much and never too little, and the partition of the account decides.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1 as wire;

use crate::codec::{Malformed, Wire};
use crate::types::AccountId;

/// A user may have been given rights by an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Who; 0 for anyone.
    pub(crate) user: AccountId,
    /// Whose mailboxes.
    pub(crate) account: AccountId,
}

impl Wire for Share {
    type Message = wire::DirectoryShare;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryShare {
            user: self.user.0,
            account: self.account.0,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            user: AccountId(message.user),
            account: AccountId(message.account),
        })
    }
}

/// One end to all other ends.
type Ends = BTreeMap<AccountId, BTreeSet<AccountId>>;

/// All shares in memory, both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    with: Ends,
    by: Ends,
}

impl Shares {
    /// Adds one, if it is new.
    pub(crate) fn put(&mut self, share: Share) {
        let Share { user, account } = share;
        self.with.entry(user).or_default().insert(account);
        self.by.entry(account).or_default().insert(user);
    }

    /// An account is gone.
    pub(crate) fn forget(&mut self, gone: AccountId) {
        forget(gone, &mut self.with, &mut self.by);
        forget(gone, &mut self.by, &mut self.with);
    }

    /// The accounts that may have given a user, or anyone, rights.
    pub(crate) fn with(&self, user: AccountId) -> impl Iterator<Item = AccountId> + '_ {
        self.with.get(&user).into_iter().flatten().copied()
    }
}

/// Takes an end out of one map, and out of all sets of the other that it is in.
fn forget(gone: AccountId, from: &mut Ends, other: &mut Ends) {
    for end in from.remove(&gone).unwrap_or_default() {
        if let Some(set) = other.get_mut(&end) {
            set.remove(&gone);
            if set.is_empty() {
                other.remove(&end);
            }
        }
    }
}
