//! The doors: where mail comes in, people read it, and operators ask.
//!
//! ```text
//!   accept   listeners with bounds: how many connections there may be
//!   waiting  how many of them may not have logged in yet, and for how long
//!   proxy    from where the clients of a proxy come
//!   tokens   whose a token of OAuth 2.0 is
//!   stream   plain or TLS, and the change from one to the other
//!   deflate  compression above it
//!   lmtp     drives an lmtp::Session; deliveries go to service
//!   imap     drives imap::serve; an account of service is its backend
//!   mail     one's own account, and those of others
//!   upload   messages that a session appends
//!   audit    lines in the log on who changes what
//!   admin    the gRPC service of operators, behind client certificates
//! ```
//!
//! A door owns sockets, time-outs and TLS; what is said is decided by the pure crates, and what is
//! done by `service`. Each turns failures of the store into the words of its protocol in one place:
//! "not done" may be said only when nothing was done.

pub mod accept;
pub mod admin;
mod audit;
pub mod deflate;
pub mod imap;
pub mod limits;
pub mod lmtp;
mod mail;
pub mod proxy;
pub mod stream;
pub mod tokens;
mod upload;
pub mod waiting;

pub use accept::{Door, Phase, Shutdown};
