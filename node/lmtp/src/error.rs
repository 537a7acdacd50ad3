//! What can go wrong outside the protocol's own replies.

use thiserror::Error;

/// Errors of this crate. The first four are mistakes of the caller, which change nothing in the
/// session; the others say why a name or an address was refused, and in a session become 5xx
/// replies with this text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Error)]
pub enum Error {
    /// More was pushed than the session may hold: take the events first, then push again.
    #[error("too much input waits in the session: take the events first")]
    InputFull,

    /// A verdict came without a question, or before the question was taken.
    #[error("no recipient waits for a verdict")]
    NotAsked,

    /// Outcomes came without a complete message, or before `End` was taken.
    #[error("no message waits for its outcomes")]
    NotEnded,

    /// Not one outcome for each accepted recipient.
    #[error("{given} outcomes for {expected} recipients")]
    Outcomes {
        /// Recipients that were accepted in this transaction.
        expected: usize,
        /// Outcomes that the caller gave.
        given: usize,
    },

    /// The host name in the configuration is empty, too long, or not printable ASCII.
    #[error("the host name must be 1 to 255 printable ASCII characters without a space")]
    Hostname,

    /// The address does not follow RFC 5321 section 4.1.2; the text says where.
    #[error("bad address: {0}")]
    AddressSyntax(&'static str),

    /// A part of the address is longer than RFC 5321 section 4.5.3.1 allows; the text says which.
    #[error("address too long: {0}")]
    AddressLength(&'static str),

    /// The address has non-ASCII characters, and the transaction is not SMTPUTF8 (RFC 6531).
    #[error("a non-ASCII address needs SMTPUTF8")]
    AddressUtf8,
}
