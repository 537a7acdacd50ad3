//! IMAP4rev1 and its extensions as a pure library: bytes in, commands out, responses as bytes.
//!
//! No socket, no runtime, no thread and no clock: whoever owns the connection pushes what it read
//! and sends what was written. So a whole dialogue is a test of a few lines, and the same code runs
//! in the server and in a simulation.
//!
//! ```text
//!   bytes read ─► grammar::Framer ─► Item::Command ─► session ─► backend (the mail store)
//!                    │                                   │
//!                    ├─► Item::Body: APPEND's message,   └─► respond::Writer ─► bytes to send
//!                    │   chunk by chunk, never held
//!                    └─► Item::Bad: answered, and the connection goes on
//! ```
//!
//! - [`grammar`] cuts the stream into commands and parses each into a [`grammar::Command`].
//! - [`respond`] writes every response that we know; nothing else spells a response.
//! - [`names`] decodes, encodes and checks mailbox names, and matches LIST patterns.
//! - [`limits`] holds every bound with its reason.
//!
//! What always holds, for any bytes that a peer may send:
//!
//! - **No panic, no unbounded memory.** A framer holds at most one command within
//!   [`limits::Limits`] and one read beyond it. An announced size is compared and never allocated.
//! - **Time is linear** in the bytes received, also when they come one at a time; recursion is
//!   bounded by [`limits::SEARCH_DEPTH_MAX`].
//! - **Framing and parsing agree.** A literal that the framer saw is either an argument of the
//!   command or the command is BAD as a whole. Bytes inside one never become a command.
//! - **What was received in plain text stays there.** [`grammar::Framer::discard_buffered`] drops
//!   it before a TLS handshake, so nothing injected before it is executed after it.
//! - **No byte of a client's is echoed unescaped**: error texts are fixed strings, tags and
//!   keywords are checked when parsed, strings are quoted or sent as literals.
//!
//! What it does not do: it keeps no mail and decides no rights (that is the backend's), it does
//! not know a mailbox's messages (that is the view's), and it never decodes a message's bytes while
//! they arrive.
//!
//! Read on in [`grammar`], then [`respond`].

pub mod error;
pub mod grammar;
pub mod limits;
pub mod names;
pub mod respond;

pub use error::{Error, Result};
