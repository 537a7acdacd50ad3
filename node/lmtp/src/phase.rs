//! Where a session stands.

use crate::Address;
use crate::content::Content;
use crate::reply::Reply;

/// What the session waits for.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The next line is a command.
    Command,
    /// This recipient waits for a verdict.
    Asking(Address),
    /// Content of DATA, which begins at this position of the input.
    Data { content: Content, start: u64 },
    /// Content of BDAT, with the octets still to come.
    Chunk { chunk: Chunk, left: u64 },
    /// A complete message waits for its outcomes.
    Delivering,
    /// STARTTLS was answered.
    Tls,
    /// The last reply was given.
    Closing,
    /// Nothing more happens.
    Closed,
}

/// What a BDAT command leads to once its octets are taken.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub octets: u64,
    pub last: bool,
    /// The command came at a wrong time: this is its reply, the octets are dropped.
    pub refused: Option<Reply>,
}

/// What the client may know of the replies to delivered messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Receipt {
    /// Everything, or there was nothing.
    Clear,
    /// They are not handed out yet.
    Owed,
    /// They were handed out when input up to this position had been pushed.
    Sent(u64),
}
