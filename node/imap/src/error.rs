//! The one error of this crate, its variants chosen by what the caller does next.

/// What went wrong with bytes or a name that a client sent.
///
/// The texts are fixed: no byte of the client's ever gets into one, so each may be sent or logged
/// as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The command is not in the grammar: answer BAD, the connection goes on.
    #[error("{0}")]
    Syntax(&'static str),
    /// The command is in the grammar and beyond a limit: answer BAD (or NO for APPEND) with the
    /// code TOOBIG, the connection goes on.
    #[error("{0}")]
    TooBig(&'static str),
    /// A mailbox name that can never exist here: answer NO with the code CANNOT, or, when the name
    /// was only to be found, NO with NONEXISTENT.
    #[error("{0}")]
    Name(&'static str),
    /// What follows cannot be told apart from commands any more: answer BYE and close.
    #[error("{0}")]
    Fatal(&'static str),
}

/// The result of everything here that reads bytes of a client.
pub type Result<T> = std::result::Result<T, Error>;
