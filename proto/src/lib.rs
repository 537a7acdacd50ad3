//! Every format that crosses a process or survives a restart, except the framing of the log.
//!
//! ```text
//!   command.proto   what is proposed to a group: the payload of log entries
//!   row.proto       what a machine keeps: the values of its rows
//!   directory.proto what group 0 is told, answers and keeps
//!   peer.proto      what nodes say to each other about Raft
//!   store.proto     what a node asks the leader of a partition
//!   backup.proto    what a backup is made of; its files are [`backup`]
//!   admin.proto     what an operator asks any node
//! ```
//!
//! The Rust in `src/gen` is generated and committed, so that no build needs a compiler for
//! these files. The test `it` generates it anew and compares; run it with `REGENERATE=1` to write
//! what it found.
//!
//! Rules: packages carry a version; a field is never reused; a command that has been released never
//! gains a field (a new field is a new kind), since an older machine would drop what it does not
//! know; no maps, because their order is not defined; every `bytes` field is a [`bytes::Bytes`].

/// Version 1 of all formats.
#[expect(missing_docs, reason = "generated; the documentation stands in the .proto files")]
#[cfg_attr(feature = "grpc", expect(clippy::allow_attributes, reason = "generated"))]
#[rustfmt::skip]
#[path = "gen/rookery.v1.rs"]
pub mod v1;

pub mod backup;
