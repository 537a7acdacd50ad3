//! What passwords are checked against.
//!
//! ```text
//!   password --SASLprep--> PBKDF2 ---> Scram     { salt, iterations, stored key, server key }
//!                     `--> Argon2id -> Argon2id  { memory, passes, lanes, salt, hash }
//! ```
//!
//! An account has one of them or both. `Scram` serves the SCRAM-SHA-256 exchange (RFC 5802, RFC
//! 7677), for which nothing else will do; a password that comes in clear, by PLAIN or LOGIN, is
//! checked against it too, since that takes a tenth of the time of Argon2id and none of its memory.
//! `Argon2id` (RFC 9106) alone is for accounts that were brought along with such hashes, and for
//! operators who do without SCRAM, because whoever steals the rows finds it much harder to guess.
//!
//! Passwords are prepared with SASLprep (RFC 4013) first. One that cannot be prepared is refused
//! when it is set, and does not match when it is checked.
//!
//! Everything here is a function of its arguments: salts come from the caller. None of it runs in
//! `apply`. A check takes milliseconds, Argon2id tens of them and 19 MiB; the caller bounds how
//! many run at once.

mod argon2id;
mod scram;

use std::borrow::Cow;

pub use argon2id::{Argon2id, Argon2idParams};
pub use scram::Scram;

use crate::command::Rejection;
use crate::limits;

/// What the passwords of an account are checked against: at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifiers {
    /// For SCRAM-SHA-256, and for passwords in clear.
    pub scram: Option<Scram>,
    /// For passwords in clear, if there is no `scram`.
    pub argon2id: Option<Argon2id>,
}

/// What to derive and how hard to make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Iterations of PBKDF2; none for no SCRAM.
    pub scram_iterations: Option<u32>,
    /// None for no Argon2id.
    pub argon2id: Option<Argon2idParams>,
}

impl Default for Params {
    /// Both, as weak as their RFCs and OWASP allow, because a check is part of every login.
    fn default() -> Self {
        Self {
            scram_iterations: Some(limits::SCRAM_ITERATIONS_MIN),
            argon2id: Some(Argon2idParams::default()),
        }
    }
}

/// Random bytes for a derivation, fresh for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salts {
    /// For SCRAM.
    pub scram: [u8; 16],
    /// For Argon2id.
    pub argon2id: [u8; 16],
}

impl Verifiers {
    /// Derives the verifiers of a new password.
    ///
    /// # Errors
    /// [`Rejection::PasswordInvalid`] for a password that may not be one;
    /// [`Rejection::VerifierInvalid`] for parameters out of bounds, or none.
    pub fn derive(password: &str, salts: &Salts, params: &Params) -> Result<Self, Rejection> {
        let prepared = prepare(password).ok_or(Rejection::PasswordInvalid)?;
        let scram = params
            .scram_iterations
            .map(|iterations| Scram::derive(prepared.as_bytes(), &salts.scram, iterations))
            .transpose()?;
        let argon2id = params
            .argon2id
            .map(|params| Argon2id::derive(prepared.as_bytes(), &salts.argon2id, params))
            .transpose()?;
        let verifiers = Self { scram, argon2id };
        if verifiers.is_valid() {
            Ok(verifiers)
        } else {
            Err(Rejection::VerifierInvalid)
        }
    }

    /// Whether this is the password. The time depends on the parameters alone.
    #[must_use]
    pub fn check(&self, password: &str) -> bool {
        // What cannot be prepared could not be set, so it takes its time and does not match.
        let (password, possible) = match prepare(password) {
            Some(prepared) => (prepared, true),
            None => (Cow::Borrowed(""), false),
        };
        let equal = match (&self.scram, &self.argon2id) {
            (Some(scram), _) => scram.check(password.as_bytes()),
            (None, Some(argon2id)) => argon2id.check(password.as_bytes()),
            (None, None) => false,
        };
        equal && possible
    }

    /// The verifiers of an account that does not exist: the same for a name each time, as costly to
    /// check as those that [`Params::default`] makes, matched by no password.
    #[must_use]
    pub fn fake(secret: &[u8; 32], name: &str) -> Self {
        let iterations = limits::SCRAM_ITERATIONS_MIN;
        Self {
            scram: Some(Scram::fake(secret, name, iterations)),
            argon2id: None,
        }
    }

    /// Whether there is one and all are within the limits.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (self.scram.is_some() || self.argon2id.is_some())
            && self.scram.as_ref().is_none_or(Scram::is_valid)
            && self.argon2id.as_ref().is_none_or(Argon2id::is_valid)
    }
}

/// SASLprep; none for what may not be a password.
fn prepare(password: &str) -> Option<Cow<'_, str>> {
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return None;
    }
    stringprep::saslprep(password)
        .ok()
        .filter(|prepared| !prepared.is_empty())
}

/// Whether a salt has a length that both kinds take.
fn is_salt(salt: &[u8]) -> bool {
    (limits::SALT_BYTES_MIN..=limits::SALT_BYTES_MAX).contains(&salt.len())
}
