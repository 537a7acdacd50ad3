//! The mail of a session's user, and that of others as far as they let him.

use std::sync::Arc;

use imap::guest::Guest;
use mailbox::{AccountId, Command};
use parking_lot::Mutex;

use super::limits::OTHERS_KEPT;
use crate::derived::Derived;
use crate::service::Account;

/// One account's mail, as it is to the user of a session. Clones are the same.
#[derive(Clone)]
pub(super) struct Mail {
    pub(super) account: Arc<Account>,
    /// Who the user is in the account of another.
    pub(super) guest: Option<Arc<Guest>>,
    /// The user's own account, in that of another.
    user: Option<Arc<Account>>,
    pub(super) derived: Arc<Derived>,
    /// Whether the user sets quotas.
    pub(super) is_administrator: bool,
    /// Accounts of others that the session has used.
    others: Arc<Mutex<Vec<Arc<Account>>>>,
}

impl Mail {
    /// One's own.
    pub(super) fn own(account: Account, derived: Arc<Derived>, is_administrator: bool) -> Mail {
        Mail {
            account: Arc::new(account),
            guest: None,
            user: None,
            derived,
            is_administrator,
            others: Arc::default(),
        }
    }

    /// The mail of another, if there is such an account. Those that were used are kept, because
    /// each has a lane.
    pub(super) fn other(&self, id: AccountId, name: &str) -> Option<Mail> {
        let mut others = self.others.lock();
        let at = others.iter().position(|account| account.id() == id);
        let account = match at {
            Some(at) => others.remove(at),
            None => Arc::new(self.account.other(id)?),
        };
        others.truncate(OTHERS_KEPT - 1);
        others.insert(0, Arc::clone(&account));
        Some(Mail {
            account,
            guest: Some(Arc::new(Guest::new(self.account.id(), name))),
            user: Some(Arc::clone(self.own_account())),
            derived: Arc::clone(&self.derived),
            is_administrator: false,
            others: Arc::clone(&self.others),
        })
    }

    /// The same mail without regard to what the user of the session may do there.
    pub(super) fn for_its_owner(self) -> Mail {
        Mail {
            guest: None,
            ..self
        }
    }

    /// The account of the session's user.
    pub(super) fn own_account(&self) -> &Arc<Account> {
        self.user.as_ref().unwrap_or(&self.account)
    }

    /// Whether the session's user is still somebody: what he asks of the partitions of others they
    /// cannot know. His own one refuses by itself.
    pub(super) fn has_user(&self) -> bool {
        self.user.as_ref().is_none_or(|user| user.is_in_use())
    }

    /// A command as the account's machine takes it.
    pub(super) fn on_behalf(&self, command: Command) -> Command {
        match &self.guest {
            Some(guest) => guest.command(command),
            None => command,
        }
    }
}
