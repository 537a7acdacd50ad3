//! Who somebody is: names to accounts, and passwords checked, from this node's own directory.

use std::time::Duration;

use directory::verifier::Scram;
use directory::{AccountState, Verifiers};
use mailbox::AccountId;

use super::{Account, Failure, Service};
use crate::replica::GroupId;

/// An account that mail can be delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The account.
    pub account: AccountId,
    /// Its partition.
    pub group: GroupId,
}

/// Why a login was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The name or the password is wrong.
    #[error("wrong name or password")]
    Denied,
    /// It cannot be said now.
    #[error("not now: {0}")]
    Unavailable(Failure),
}

impl Service {
    /// The account that takes mail for an address. An address that this node does not know is asked
    /// of the directory's leader once: it may be new.
    ///
    /// # Errors
    ///
    /// When this node does not know it and the leader cannot be asked.
    pub async fn resolve(
        &self,
        address: &str,
        wait: Duration,
    ) -> Result<Option<Resolved>, Failure> {
        if let Some(found) = self.known(address) {
            return Ok(Some(found));
        }
        self.refresh(wait).await?;
        Ok(self.known(address))
    }

    fn known(&self, address: &str) -> Option<Resolved> {
        let view = self.view().read();
        let account = view
            .account(address)
            .filter(|account| account.state.takes_mail())?;
        Some(Resolved {
            account: AccountId(account.id.0),
            group: GroupId(account.partition.0),
        })
    }

    /// Checks a password. What this node's copy refuses is checked once more after it has caught up
    /// with the directory's leader: the password may be new. Before that `refused` is called, as
    /// nobody may be there to ask, or to wait for the answer.
    ///
    /// # Errors
    ///
    /// [`LoginError::Denied`], at equal cost for a wrong name and a wrong password.
    pub async fn login(
        &self,
        user: &str,
        password: &str,
        wait: Duration,
        refused: impl FnOnce(),
    ) -> Result<Account, LoginError> {
        // Read first: what arrives while the password is checked must count as new.
        let before = self.verifiers(user);
        if let Some(account) = self.check(user, password, wait).await {
            return Ok(account);
        }
        refused();
        self.refresh(wait).await.map_err(LoginError::Unavailable)?;
        if self.verifiers(user) == before {
            return Err(LoginError::Denied);
        }
        self.check(user, password, wait)
            .await
            .ok_or(LoginError::Denied)
    }

    async fn check(&self, user: &str, password: &str, wait: Duration) -> Option<Account> {
        let (verifiers, known) = self.verifiers(user);
        let password = password.to_owned();
        let _permit = self.shared.passwords.acquire().await.ok()?;
        let matches = tokio::task::spawn_blocking(move || verifiers.check(&password))
            .await
            .ok()?;
        (matches && known)
            .then(|| self.account(user, wait))
            .flatten()
    }

    /// What a password of `user` is checked against; for an unknown name one that nothing matches,
    /// and `false`.
    #[must_use]
    pub fn verifiers(&self, user: &str) -> (Verifiers, bool) {
        let login = self.view().read().login(user);
        (login.verifiers, login.account.is_some())
    }

    /// What a proof in SCRAM is checked against. For a user of whom nothing is kept for that, as
    /// for an unknown name, it is what nothing matches, and the same for all spellings.
    #[must_use]
    pub fn scram_verifier(&self, user: &str) -> Option<Scram> {
        let view = self.view().read();
        view.login(user).verifiers.scram.or_else(|| {
            let secret = view.cluster().map_or([0; 32], |cluster| cluster.secret);
            Verifiers::fake(&secret, &view.canonical(user)).scram
        })
    }

    /// The name of a user as accounts have it, however it is written.
    #[must_use]
    pub fn canonical(&self, user: &str) -> String {
        self.view().read().canonical(user).into_owned()
    }

    /// The account of a user who has proven who he is.
    #[must_use]
    pub fn account(&self, user: &str, wait: Duration) -> Option<Account> {
        let view = self.view().read();
        let account = view
            .account(user)
            .filter(|account| account.state == AccountState::Active)?;
        let (id, group) = (AccountId(account.id.0), GroupId(account.partition.0));
        Some(Account::open(self, id, group, wait))
    }
}
