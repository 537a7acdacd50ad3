//! IMAP4rev1, IMAP4rev2 and their extensions as a pure library: bytes in, commands out, responses
//! as bytes.
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
//! - [`mime`] finds the parts of a message and reads its header, for FETCH and SEARCH.
//! - [`guest`] is a user in the account of another.
//! - [`names`] decodes, encodes and checks mailbox names, and matches LIST patterns.
//! - [`limits`] holds every bound with its reason.
//! - [`serve`] is a session from the greeting to its end, over the traits in [`backend`]; `cmd` has
//!   a file for each command or close family.
//! - [`view`] is what a client was told of its mailbox, and so what its sequence numbers mean.
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
//! - **I1.** No EXPUNGE while FETCH, STORE or SEARCH (non-UID) is answered; sequence numbers are
//!   1..n without gaps, and those of a client and of its [`view::View`] are the same at every
//!   moment.
//! - **A change is never lost on a client.** What it is told comes from the mailbox's log of
//!   changes; only what it demonstrably knows is left out.
//! - **HIGHESTMODSEQ is never ahead of what was told**, so that a client that comes back with it
//!   misses nothing, whenever its connection was lost.
//! - **No answer claims what is not so.** If the outcome of a change is unknown the connection ends
//!   without a tagged response.
//! - **A message is never held.** FETCH, SEARCH and APPEND pass it on in pieces.
//!
//! What it does not do: it keeps no mail and decides no rights (that is the backend's), it reads no
//! socket and does no TLS (the transport's), and it never decodes a message's bytes while they
//! arrive.
//!
//! Read on in [`grammar`], then [`respond`], then `session` and `cmd`.

pub mod backend;
mod cmd;
mod config;
mod connection;
pub mod error;
mod flags;
pub mod grammar;
pub mod guest;
pub mod limits;
pub mod mime;
pub mod names;
mod pace;
pub mod respond;
mod sasl;
mod session;
mod source;
mod state;
mod sync;
mod told;
pub mod view;

pub use cmd::fetch::beforehand::work_out;
pub use config::{Config, TokenService};
pub use error::{Error, Result};
pub use session::serve;
pub use state::End;
