//! The sum of all rows' hashes.

use std::fmt;

use crate::{END, Fault, Rows};

/// Where the digest itself is kept: 16 bytes, big endian. Absent while there are no rows.
pub const DIGEST_KEY: &[u8] = b"\0digest";

/// A fingerprint of a set of rows: the sum, modulo 2^128, of the first 16 bytes (big endian) of
/// the BLAKE3 hash of key length (u32, big endian), key and value of each row but the digest's.
///
/// It guards against damage and against machines that drift apart, not against an attacker who
/// chooses rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(u128);

impl Digest {
    /// The digest of no rows.
    pub const EMPTY: Self = Self(0);

    /// From the bytes that [`Digest::to_bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// As kept in the digest row and sent to other replicas.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Takes a row in.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_add(hash(key, value));
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_sub(hash(key, value));
    }

    /// What the digest row says.
    ///
    /// # Errors
    /// A [`Fault`] if the row cannot be read or is not 16 bytes long.
    pub fn kept(rows: &impl Rows) -> Result<Self, Fault> {
        match rows.get(DIGEST_KEY)? {
            None => Ok(Self::EMPTY),
            Some(value) => value
                .as_ref()
                .try_into()
                .map(Self::from_bytes)
                .map_err(|_| Fault::row(DIGEST_KEY, "a digest has 16 bytes")),
        }
    }

    /// What the rows themselves say; reads all of them.
    ///
    /// # Errors
    /// A [`Fault`] if the rows cannot be read.
    pub fn counted(rows: &impl Rows) -> Result<Self, Fault> {
        let mut digest = Self::EMPTY;
        for row in rows.scan(&[], END)? {
            let (key, value) = row?;
            if key != DIGEST_KEY {
                digest.add(&key, &value);
            }
        }
        Ok(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn hash(key: &[u8], value: &[u8]) -> u128 {
    let length = u32::try_from(key.len()).expect("keys are bounded by KEY_BYTES_MAX");
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&length.to_be_bytes())
        .update(key)
        .update(value);
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    u128::from_be_bytes(first)
}
