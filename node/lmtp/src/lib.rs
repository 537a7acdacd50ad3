//! The server's side of LMTP (RFC 2033), as a machine without a socket.
//!
//! An MTA hands over mail here. The door's socket loop pushes the bytes it read into a
//! [`Session`], takes [`Event`]s out until there is none left, and does what they say: write a
//! reply, look up a recipient, stream the message, deliver it. The session decides everything
//! that RFC 5321 decides; the loop decides nothing.
//!
//! ```text
//!   socket --bytes--> push() +---------+ next() --> Reply       write it
//!                            | Session |        --> Recipient   then recipient(verdict)
//!                            |         |        --> Begin, Data.., End   then delivered(outcomes)
//!                            +---------+        --> Abort, Seen, StartTls, Quit
//! ```
//!
//! One transaction, in order: any number of `Recipient` questions, `Begin`, `Data` slices, and
//! either `End` or `Abort`. After `End` the answer is one outcome for each accepted recipient, and
//! each becomes one reply: this is what sets LMTP apart from SMTP (RFC 2033 section 4.2).
//!
//! What must always hold:
//!
//! - What came in clear text after STARTTLS is never read as a command.
//! - Only CRLF `.` CRLF ends DATA. Bare CR and bare LF are data, wherever they stand.
//!   BDAT takes exactly the octets that it announced; one that cannot be read closes the
//!   connection, since what follows it could be content or commands.
//! - The client gets exactly one reply for each command, in the order of the commands, and one
//!   per accepted recipient after the message.
//! - After `Begin` comes exactly one `End` or `Abort`.
//! - The same bytes give the same replies and the same message, however they were cut.
//! - Memory is bounded by [`limits`] under any input: one command line, one transaction's
//!   addresses, and the input that was pushed but not yet taken. The message is never held.
//!
//! Slices of the message are slices of the pushed buffers: nothing is copied, unless dots were
//! stuffed so densely that many tiny slices would cost more.
//!
//! What it does not do: time limits (the loop owns the clock and calls [`Session::hang_up`]), TLS
//! itself, authentication (who may connect is the door's decision), and knowing which accounts
//! exist. It keeps no word on deduplication; it only tells by [`Event::Seen`] when the client has
//! shown that it has the replies.
//!
//! Extensions: PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), SIZE (RFC 1870),
//! ENHANCEDSTATUSCODES (RFC 2034), CHUNKING (RFC 3030) and STARTTLS (RFC 3207).
//!
//! Read on: [`Session`] for the machine, `reply` for every code that is sent, [`Address`] for the
//! grammar, [`trace`] for the headers that go before a delivered message.

#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod address;
mod command;
mod config;
mod content;
mod error;
mod event;
mod input;
pub mod limits;
mod phase;
mod reply;
mod session;
pub mod trace;
mod transaction;

pub use address::{Address, Side};
pub use config::{Config, OverQuota};
pub use error::Error;
pub use event::{Event, HangUp};
pub use reply::{Delivered, Verdict};
pub use session::Session;
