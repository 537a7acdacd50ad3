//! Who may log in to IMAP, and what it costs to try.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use imap::backend::{Auth, LoginError, ScramVerifier, TokenError};
use parking_lot::Mutex;

use super::{ImapDoor, Mail};
use crate::service::login::LoginError as ServiceLoginError;
use crate::service::now_ms;
use crate::service::penalty::Attempt;

/// Knows who may log in; one for each connection.
pub(super) struct Doorkeeper {
    door: Arc<ImapDoor>,
    address: IpAddr,
    /// The exchange of SCRAM that waits for its proof.
    scram: Mutex<Option<Attempt>>,
}

impl Auth for Doorkeeper {
    type Account = Mail;

    async fn login(&self, user: &str, password: &str) -> Result<Mail, LoginError> {
        let mut attempt = self.begin(user)?;
        let refused = || attempt.fails(Instant::now());
        let service = &self.door.service;
        let login = service.login(user, password, self.door.wait, refused);
        match login.await {
            Ok(account) => {
                attempt.succeeded();
                Ok(self.door.mail(account))
            }
            Err(ServiceLoginError::Denied) => {
                self.denied(user, attempt).await;
                Err(LoginError::Denied)
            }
            Err(ServiceLoginError::Unavailable(_)) => Err(LoginError::Unavailable),
        }
    }

    async fn scram_verifier(&self, user: &str) -> Result<Option<ScramVerifier>, LoginError> {
        let attempt = self.begin(user)?;
        *self.scram.lock() = Some(attempt);
        let kept = self.door.service.scram_verifier(user);
        Ok(kept.map(|scram| ScramVerifier {
            salt: scram.salt,
            iterations: scram.iterations,
            stored_key: scram.stored_key,
            server_key: scram.server_key,
        }))
    }

    async fn account(&self, user: &str) -> Result<Mail, LoginError> {
        let account = self.certified(user).await;
        if account.is_err() {
            // That it was right is not told by the time that it takes.
            self.scram_failed(user).await;
        } else if let Some(attempt) = self.scram.lock().take() {
            attempt.succeeded();
        }
        account
    }

    async fn certified(&self, user: &str) -> Result<Mail, LoginError> {
        let account = self.door.service.account(user, self.door.wait);
        account
            .map(|account| self.door.mail(account))
            .ok_or(LoginError::Denied)
    }

    async fn bearer(&self, user: Option<&str>, token: &str) -> Result<Mail, TokenError> {
        let tokens = self.door.tokens.as_ref().ok_or(TokenError::Invalid)?;
        let attempt = self.begin(user.unwrap_or_default())?;
        let whose = match tokens.check(token, now_ms() / 1000) {
            Ok(whose) => whose,
            Err(error) => {
                self.denied(user.unwrap_or("by token"), attempt).await;
                return Err(error);
            }
        };
        if user.is_some_and(|user| !user.eq_ignore_ascii_case(&whose)) {
            return Err(TokenError::OtherUser);
        }
        let account = self.door.service.account(&whose, self.door.wait);
        let account = account.ok_or(TokenError::Invalid)?;
        attempt.succeeded();
        Ok(self.door.mail(account))
    }

    async fn scram_failed(&self, user: &str) {
        let attempt = self.scram.lock().take();
        if let Some(attempt) = attempt {
            self.denied(user, attempt).await;
        }
    }

    fn scram_given_up(&self) {
        drop(self.scram.lock().take());
    }

    fn nonce(&self) -> [u8; 24] {
        rand::random()
    }

    fn salt_secret(&self) -> [u8; 32] {
        self.door
            .service
            .view()
            .read()
            .cluster()
            .map_or([0; 32], |cluster| cluster.secret)
    }
}

impl Doorkeeper {
    /// For a client at this address.
    pub(super) fn new(door: Arc<ImapDoor>, address: IpAddr) -> Self {
        Self {
            door,
            address,
            scram: Mutex::new(None),
        }
    }

    /// A login begins, unless too many have failed.
    fn begin(&self, user: &str) -> Result<Attempt, LoginError> {
        let penalties = self.door.service.penalties();
        let user = self.door.service.canonical(user);
        let attempt = penalties.begin(&user, self.address, Instant::now());
        attempt.ok_or_else(|| {
            metrics::counter!("rookery_logins_refused_total").increment(1);
            LoginError::Penalty
        })
    }

    /// A wrong password costs whoever tried it some time.
    async fn denied(&self, user: &str, attempt: Attempt) {
        metrics::counter!("rookery_logins_denied_total").increment(1);
        let address = self.address.to_canonical();
        tracing::info!(user = user.escape_default().to_string(), %address, "login denied");
        tokio::time::sleep(attempt.failed(Instant::now())).await;
    }
}
