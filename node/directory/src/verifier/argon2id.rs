//! Argon2id.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use subtle::ConstantTimeEq;

use super::is_salt;
use crate::command::Rejection;
use crate::limits;

/// How hard a guess is made (RFC 9106 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2idParams {
    /// KiB of memory; at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes; filled one after the other here, so they save no time.
    pub lanes: u32,
}

impl Default for Argon2idParams {
    /// 19 MiB, two passes, one lane: the first choice of OWASP's password storage cheat sheet.
    fn default() -> Self {
        Self {
            memory_kib: 19 << 10,
            passes: 2,
            lanes: 1,
        }
    }
}

impl Argon2idParams {
    fn is_valid(self) -> bool {
        (1..=limits::ARGON2_LANES_MAX).contains(&self.lanes)
            && (1..=limits::ARGON2_PASSES_MAX).contains(&self.passes)
            && (8 * self.lanes..=limits::ARGON2_MEMORY_KIB_MAX).contains(&self.memory_kib)
    }
}

/// An Argon2id hash of a password, version 1.3, 32 bytes long.
///
/// As text it is a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`, both in Base64
/// without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2id {
    /// How it was made.
    pub params: Argon2idParams,
    /// Random when the password was set.
    pub salt: Bytes,
    /// The hash.
    pub hash: [u8; 32],
}

/// Shows no hash.
impl fmt::Debug for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Argon2idParams {
            memory_kib,
            passes,
            lanes,
        } = self.params;
        write!(f, "Argon2id(m={memory_kib},t={passes},p={lanes})")
    }
}

impl fmt::Display for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Argon2idParams {
            memory_kib,
            passes,
            lanes,
        } = self.params;
        let (salt, hash) = (BASE64.encode(&self.salt), BASE64.encode(self.hash));
        write!(
            f,
            "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"
        )
    }
}

impl FromStr for Argon2id {
    type Err = Rejection;

    /// # Errors
    /// [`Rejection::VerifierInvalid`] for what is not such a PHC string, or is out of bounds.
    fn from_str(phc: &str) -> Result<Self, Rejection> {
        parse(phc)
            .filter(Self::is_valid)
            .ok_or(Rejection::VerifierInvalid)
    }
}

fn parse(phc: &str) -> Option<Argon2id> {
    let rest = phc.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = params.split(',');
    let mut number = |prefix| numbers.next()?.strip_prefix(prefix)?.parse().ok();
    let params = Argon2idParams {
        memory_kib: number("m=")?,
        passes: number("t=")?,
        lanes: number("p=")?,
    };
    let nothing_left = numbers.next().is_none() && parts.next().is_none();
    let hash = BASE64.decode(hash).ok()?.try_into().ok()?;
    let salt = BASE64.decode(salt).ok()?.into();
    nothing_left.then_some(Argon2id { params, salt, hash })
}

impl Argon2id {
    /// Derives it from a prepared password.
    pub(super) fn derive(
        password: &[u8],
        salt: &[u8],
        params: Argon2idParams,
    ) -> Result<Self, Rejection> {
        let hash = hash(password, salt, params).ok_or(Rejection::VerifierInvalid)?;
        Ok(Self {
            params,
            salt: Bytes::copy_from_slice(salt),
            hash,
        })
    }

    /// Whether this prepared password, which came in clear, is the one.
    pub(super) fn check(&self, password: &[u8]) -> bool {
        hash(password, &self.salt, self.params).is_some_and(|hash| hash.ct_eq(&self.hash).into())
    }

    /// Whether it is within the limits.
    pub(super) fn is_valid(&self) -> bool {
        self.params.is_valid() && is_salt(&self.salt)
    }
}

/// None if something is out of bounds.
fn hash(password: &[u8], salt: &[u8], params: Argon2idParams) -> Option<[u8; 32]> {
    if !params.is_valid() || !is_salt(salt) {
        return None;
    }
    let Argon2idParams {
        memory_kib,
        passes,
        lanes,
    } = params;
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(32)).ok()?;
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut hash)
        .ok()?;
    Some(hash)
}
