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

use std::io;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server said no, or never saw the request whole: not done. The connection lives on if
    /// the flag is set.
    NotDone(String, Alive),
    /// The connection broke: done or not.
    Unknown(String),
    /// The server said what no server may say, or nothing for very long: done or not, and a
    /// finding, whatever was done to the cluster.
    Broken(String),
}

/// Whether a connection can be used after trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    /// It can.
    Yes,
    /// It cannot.
    No,
}

impl Alive {
    pub(crate) fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// Whether that is more than a connection that was cut off.
fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::TimedOut
    )
}

impl Trouble {
    /// What came of something that was asked for, and that may have been done.
    pub(crate) fn after(error: &io::Error) -> Self {
        match is_broken(error) {
            true => Self::Broken(error.to_string()),
            false => Self::Unknown(error.to_string()),
        }
    }

    /// What came of it while the server did not have it whole.
    pub(crate) fn before(error: &io::Error) -> Self {
        match is_broken(error) {
            true => Self::Broken(error.to_string()),
            false => Self::NotDone(error.to_string(), Alive::No),
        }
    }

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
            Self::Broken(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl std::error::Error for Trouble {}
