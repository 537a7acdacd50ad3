//! What a session tells its socket loop, and the other way round.

use bytes::Bytes;

use crate::Address;
#[cfg(doc)]
use crate::{Config, Session};

/// What the socket loop has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Write this to the client: one or more whole replies.
    Reply(Bytes),
    /// Look this recipient up and answer with [`Session::recipient`]. Nothing else comes before.
    Recipient(Address),
    /// The message begins. After it come any number of `Data`, then one `End` or `Abort`.
    Begin {
        /// The message's size in bytes as the client announced it (SIZE, or a first and last BDAT).
        /// A claim, at most the configured size; the message may turn out longer or shorter.
        size_hint: Option<u64>,
        /// MAIL FROM; `None` for the null sender of bounces.
        sender: Option<Address>,
        /// The accepted recipients in the order of their RCPT commands; never empty. One that was
        /// given twice is here twice and gets two replies.
        recipients: Vec<Address>,
        /// The transaction is SMTPUTF8: addresses and header fields may be UTF-8.
        utf8: bool,
    },
    /// The next bytes of the message as it shall be stored: dots unstuffed, otherwise untouched.
    /// Never empty.
    Data(Bytes),
    /// The message is complete. Deliver it to every recipient of `Begin` and answer with
    /// [`Session::delivered`]. Nothing else comes before.
    End,
    /// Forget the message since `Begin`: it is too large, or the client gave it up or is gone.
    Abort,
    /// The client has shown that it has the replies of all messages that were delivered so far:
    /// it sent something that it had not sent when they were handed out. Comes before the effects
    /// of that input, and at most once per delivered message.
    ///
    /// A pipelining client may send a whole group of commands behind the final dot before it has
    /// any reply (RFC 2920 section 3.1), so what was pushed before the replies were taken shows
    /// nothing, and QUIT shows nothing unless [`Config::seen_by_quit`] says so. The loop helps by
    /// pushing what waits in the socket before it calls [`Session::delivered`].
    Seen,
    /// Start TLS on this connection now. All input that came before was dropped and everything the
    /// client said is forgotten. What is pushed from now on is decrypted text.
    StartTls,
    /// Close the connection. Nothing comes after it.
    Quit,
}

/// Why the server ends the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HangUp {
    /// The server is going down: 421 4.3.2.
    Shutdown,
    /// The client was silent too long: 421 4.4.2.
    Idle,
}
