//! Why a machine stops.

use std::fmt::Write as _;

/// Something that must not happen happened: this replica's group stops and answers nothing (R3).
///
/// A fault is never an answer to a client and never replicated; what a command was refused for is
/// an outcome of the machine instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The store below could not be read or written.
    #[error("the rows cannot be read: {0}")]
    Store(String),
    /// The store has no room for what was to be written: nothing has changed, nothing stops, and it
    /// may work later.
    #[error("the log has no room")]
    NoRoom,
    /// A row's bytes do not mean anything; the store is damaged or was written by a newer version.
    #[error("the row at key {key} cannot be understood: {why}")]
    Row {
        /// The key in hexadecimal digits.
        key: String,
        /// What was wrong with the value.
        why: String,
    },
    /// The bytes of an entry are not a command of this version.
    #[error("the entry cannot be understood: {0}")]
    Command(String),
    /// The machine found its own rows in contradiction.
    #[error("broken invariant: {0}")]
    Invariant(String),
}

impl Fault {
    /// A [`Fault::Row`] for the row at `key`.
    pub fn row(key: &[u8], why: impl std::fmt::Display) -> Self {
        let mut digits = String::with_capacity(2 * key.len());
        for byte in key {
            // Writing to a string does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Self::Row {
            key: digits,
            why: why.to_string(),
        }
    }

    /// A [`Fault::Invariant`] with this explanation.
    pub fn invariant(why: impl std::fmt::Display) -> Self {
        Self::Invariant(why.to_string())
    }
}
