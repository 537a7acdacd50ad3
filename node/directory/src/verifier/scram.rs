//! SCRAM-SHA-256.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::is_salt;
use crate::command::Rejection;
use crate::limits;

/// What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct Scram {
    /// Sent to the client; random when the password was set.
    pub salt: Bytes,
    /// Sent to the client.
    pub iterations: u32,
    /// What the client's proof is checked against.
    pub stored_key: [u8; 32],
    /// What proves to the client that the server knows the password.
    pub server_key: [u8; 32],
}

/// Shows no key.
impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scram({} iterations)", self.iterations)
    }
}

impl Scram {
    /// Derives it from a prepared password.
    pub(super) fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, Rejection> {
        let bounds = limits::SCRAM_ITERATIONS_MIN..=limits::SCRAM_ITERATIONS_MAX;
        if !is_salt(salt) || !bounds.contains(&iterations) {
            return Err(Rejection::VerifierInvalid);
        }
        let (stored_key, server_key) = keys(password, salt, iterations);
        Ok(Self {
            salt: Bytes::copy_from_slice(salt),
            iterations,
            stored_key,
            server_key,
        })
    }

    /// Whether this prepared password, which came in clear, is the one.
    pub(super) fn check(&self, password: &[u8]) -> bool {
        let (stored_key, server_key) = keys(password, &self.salt, self.iterations);
        (stored_key.ct_eq(&self.stored_key) & server_key.ct_eq(&self.server_key)).into()
    }

    /// Checks the client's proof of an exchange (RFC 5802 section 3): gives the server's signature
    /// to answer with, or none if the client does not know the password.
    ///
    /// `auth_message` is the two first messages and the client's final one without its proof, with
    /// commas between them.
    #[must_use]
    pub fn check_proof(&self, auth_message: &[u8], proof: &[u8; 32]) -> Option<[u8; 32]> {
        let mut client_key = hmac(&self.stored_key, &[auth_message]);
        for (byte, mask) in client_key.iter_mut().zip(proof) {
            *byte ^= mask;
        }
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let equal = bool::from(stored_key.ct_eq(&self.stored_key));
        equal.then(|| hmac(&self.server_key, &[auth_message]))
    }

    /// That of an account that does not exist.
    pub(super) fn fake(secret: &[u8; 32], name: &str, iterations: u32) -> Self {
        let salt = hmac(secret, &[b"salt\0", name.as_bytes()]);
        Self {
            salt: Bytes::copy_from_slice(&salt[..16]),
            iterations,
            stored_key: hmac(secret, &[b"stored key\0", name.as_bytes()]),
            server_key: hmac(secret, &[b"server key\0", name.as_bytes()]),
        }
    }

    /// Whether it is within the limits.
    pub(super) fn is_valid(&self) -> bool {
        let bounds = limits::SCRAM_ITERATIONS_MIN..=limits::SCRAM_ITERATIONS_MAX;
        is_salt(&self.salt) && bounds.contains(&self.iterations)
    }
}

/// The stored and the server key.
fn keys(password: &[u8], salt: &[u8], iterations: u32) -> ([u8; 32], [u8; 32]) {
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted);
    let client_key = hmac(&salted, &[b"Client Key"]);
    (
        Sha256::digest(client_key).into(),
        hmac(&salted, &[b"Server Key"]),
    )
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
