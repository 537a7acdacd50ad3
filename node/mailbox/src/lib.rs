//! The replicated machine of a partition: accounts, mailboxes, messages.
//!
//! A partition's log is a list of commands. This crate says what each of them does to a set of
//! rows, and answers questions from the rows. It is pure: the same rows and the same command make
//! the same rows, outcome and events on every replica, in every version that knows the command
//! (invariant M1).
//!
//! ```text
//!            bytes of a log entry
//!                  | codec::decode_envelope
//!                  v
//!     Envelope { stamp, time, command }
//!                  |
//!   rows::Staged <--- apply ----> Outcome (to whoever proposed it), Events (hints to watchers),
//!                                 references to bodies that came and went
//!
//!   rows::Rows <----- query ----> Answer
//! ```
//!
//! Bodies of messages are not here. A message's row says which log entry (or which chunks) brought
//! its body, how long it is and what it hashes to; the bytes stay in the log.
//!
//! What must always hold, and where:
//!
//! - M1: nothing here reads a clock, draws a number or iterates in an order of chance. `rows` keeps
//!   a digest of all rows, by which replicas are compared.
//! - M2, M3, M5: `apply/state.rs`, the only place where UIDs, MODSEQs and counters change.
//!   [`check::check`] counts everything anew.
//! - M4: `apply/lanes.rs`. A command is stamped with its lane and sequence. What a lane did last is
//!   answered again, everything else that is old or unknown is `Forgotten`: not run.
//! - R3: a row or command that is not understood is a [`Fault`]; it stops the replica and never
//!   answers. What a user may not do is an [`Outcome::Rejected`], which is history like any other.
//! - R4: expunged messages and deleted mailboxes keep their rows, and so their bodies, for the
//!   account's retention: its own, or the partition's, or [`limits::RETENTION_MS`]. An upload's
//!   chunks live while any such row refers to them.
//!
//! A delivery to one recipient writes its message, the recipient's mailbox and account, what
//! recognises it if it comes again, its lane, and the machine's own row: six rows, of which only
//! the message and the duplicate are new ones. Nothing is written to find arrivals later: UIDs and
//! MODSEQs rise together.
//!
//! What expires does so in [`Command::Tick`], bounded, when [`next_due`] says so.
//!
//! What was deleted can be restored for as long as it is kept (`apply/undelete.rs` for messages,
//! `apply/restore.rs` for mailboxes), or purged. It counts apart from the quota.
//!
//! What a user does in the account of another is decided here, at its place in the log
//! (`access.rs`, [`Command::OnBehalf`], [`Query::OnBehalf`]): the owner's grants are rows beside
//! the mailbox. Everything else is taken for the owner's.
//!
//! It does not know who somebody is (login is decided before), nor MIME, nor IMAP's
//! sequence numbers, nor `\Recent`.
//!
//! Read on in `command.rs` (what can be done), `query/mod.rs` (what can be asked), `apply/mod.rs`,
//! and `keys.rs` for the layout of the rows.

mod access;
mod adds;
mod apply;
pub mod check;
pub mod codec;
pub mod command;
pub mod event;
pub mod keys;
mod keywords;
mod layer;
pub mod limits;
pub mod metadata;
mod moved;
pub mod query;
mod recount;
mod referred;
mod select;
mod stored;
pub mod types;

pub use apply::{Applied, EntryAt, apply, next_due};
pub use command::{
    Annotate, Command, Confirmed, Deliver, Delivered, EndedMove, Envelope, Home, Import, NewFolder,
    NewGrant, NewMessage, NewMetadata, NewMove, OpenMove, Outcome, Recipient, Rejection, Replaced,
    Reply, StoreMode,
};
pub use event::{BodyChange, Event, EventKind};
pub use query::{
    Annotation, Answer, Changes, Deleted, DeletedFolder, DeletedFolders, DeletedMessage, Digest,
    Folder, Grant, Message, Messages, Opened, Query, QueryError, Quota, Roster, Usage, effective,
    modseq, query, unfinished,
};
pub use referred::{Referred, referred};
pub use rows::Fault;
pub use types::*;
