//! Mail clients that tell the truth about what they know.
//!
//! ```text
//!   message    bytes from a seed and a serial number, and what a server may put before them
//!   lmtp       one connection that delivers
//!   imap       one connection that reads and changes
//!   response   what an IMAP server says, taken apart
//!   stream     a socket with a deadline on everything
//!   wire       one connection that sends what it is told, byte for byte
//! ```
//!
//! They are written for judging, not for reading mail. But for `wire`, each call ends with an
//! answer, or with a [`Trouble`] that says whether the server may have done what was asked. They
//! never repeat anything by themselves.

pub mod imap;
pub mod lmtp;
pub mod message;
pub mod response;
mod stream;
pub mod wire;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server said no, or never saw the request whole: not done. The connection lives on if
    /// the flag is set.
    NotDone(String, Alive),
    /// The connection broke or the reply did not come: done or not.
    Unknown(String),
}

/// Whether a connection can be used after trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    /// It can.
    Yes,
    /// It cannot.
    No,
}

impl Trouble {
    /// Whether the connection can be used further.
    #[must_use]
    pub fn alive(&self) -> bool {
        matches!(self, Self::NotDone(_, Alive::Yes))
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotDone(why, _) => write!(f, "not done: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl std::error::Error for Trouble {}
