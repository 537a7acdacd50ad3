//! Who may log in to a partition in memory.

use imap::backend::{Auth, LoginError, ScramVerifier, TokenError};

use super::backend::{Account, PASSWORD, Partition};

/// Everybody's password is the same; SCRAM is offered to the first user.
pub struct Users(pub Partition);

impl Auth for Users {
    type Account = Account;

    async fn login(&self, user: &str, password: &str) -> Result<Account, LoginError> {
        match password {
            PASSWORD => self.0.open(user),
            "locked" => Err(LoginError::Locked),
            "again" => Err(LoginError::Penalty),
            _ => Err(LoginError::Denied),
        }
    }

    async fn scram_verifier(&self, user: &str) -> Result<Option<ScramVerifier>, LoginError> {
        Ok(self.0.open(user).is_ok().then(super::bad_input::verifier))
    }

    async fn account(&self, user: &str) -> Result<Account, LoginError> {
        self.0.open(user)
    }

    /// Tokens are `ALLOWED`, `NARROW` or wrong, and each is `bob`'s.
    async fn bearer(&self, user: Option<&str>, token: &str) -> Result<Account, TokenError> {
        match token {
            "ALLOWED" if user.is_some_and(|user| user != "bob") => Err(TokenError::OtherUser),
            "ALLOWED" => Ok(self.0.open("bob")?),
            "NARROW" => Err(TokenError::Scope),
            "BUSY" => Err(LoginError::Unavailable.into()),
            _ => Err(TokenError::Invalid),
        }
    }

    async fn certified(&self, user: &str) -> Result<Account, LoginError> {
        self.0.open(user)
    }

    async fn scram_failed(&self, _user: &str) {}

    fn scram_given_up(&self) {}

    fn nonce(&self) -> [u8; 24] {
        [7; 24]
    }

    fn salt_secret(&self) -> [u8; 32] {
        [9; 32]
    }
}
