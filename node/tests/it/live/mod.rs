//! The server as people meet it: real processes, real sockets, real TLS.
//!
//! ```text
//!   dialogue_*   bytes that a client sends, what it is answered, and that the next one is served
//!   bad_input    what hurts other servers, row by row: begin there
//!   undelete     what an operator brings back, and what sessions see of it
//!   backup       a cluster that is saved and comes back
//!   far          a node without a replica of the partition that its client is in
//!   full_disk    a node whose log may take no more
//!   init         a cluster is made once, and what failed is asked for again
//!   leaderless   a node that knows of no leader of the directory
//!   start        what is said when a node cannot start, and that nothing is written then
//!   cluster      one cluster of `rookeryd demo` for all dialogues
//!   wire         a client that sends what it is told, and waits
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod backup;
mod bad_input;
mod cluster;
mod dialogue_guesses;
mod dialogue_imap;
mod dialogue_lmtp;
mod dialogue_login;
mod dialogue_memory;
mod dialogue_names;
mod dialogue_notify;
mod dialogue_others;
mod dialogue_tls;
mod far;
mod full_disk;
mod init;
mod leaderless;
mod start;
mod undelete;
mod wire;
