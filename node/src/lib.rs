//! The server of Rookery.
//!
//! ```text
//!   main -> server -> front     doors: LMTP, IMAP, operators
//!                       |
//!                    service    finds leaders; propose, query, watch
//!                       |
//!                      raft     one group per partition and one for the directory
//!                       |
//!                    replica    rows, checkpoints and bodies of each group
//!                       |
//!                    seglog     one log for the whole node
//! ```
//!
//! [`search`], the index that spares SEARCH reading, and [`derived`], what FETCH told of messages,
//! stand between `service` and `replica`.
//!
//! Imports point downwards only. What a lower layer needs from above it is handed as a trait when
//! it is built: [`link::Dial`], [`raft::Gate`], [`replica::Entries`]. [`node`] builds the layers of
//! one node, [`server`] opens the doors and runs it.
//!
//! Beside them: [`budget`] (memory), [`cache`], [`config`], [`identity`] (what the data directory
//! says), [`tls`], [`pki`], [`priority`], [`telemetry`], and [`demo`], which runs three nodes on
//! one machine.

mod book;
pub mod budget;
pub mod cache;
pub mod config;
pub mod demo;
pub mod derived;
#[cfg(any(feature = "faults", debug_assertions))]
pub mod faults;
pub mod front;
pub mod identity;
pub mod link;
pub mod node;
pub mod pki;
pub mod priority;
pub mod privileges;
pub mod raft;
pub mod replica;
pub mod restore;
pub mod search;
pub mod server;
pub mod service;
pub mod telemetry;
pub mod tls;
