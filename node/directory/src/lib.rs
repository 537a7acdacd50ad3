//! The directory: the replicated machine of Raft group 0, which every node holds.
//!
//! It knows what a node must know before it can serve anybody: which nodes there are, where the
//! replicas of each group lie, which accounts there are, in which partition each of them lives, and
//! how a password is checked. Because every node has a replica of it, routing and login need no
//! other machine.
//!
//! ```text
//!   Envelope --codec--> log entry --codec--> apply(Staged, EntryAt, Envelope)
//!                                               |            |
//!                                    Outcome <--+            +--> Events --> View
//!                                 (to the proposer)                (routing, login)
//!
//!   group 0            the directory          voters on up to five nodes, learners on the rest
//!   group 1, 2, ..     the partitions         `replicas` voters each
//! ```
//!
//! **The machine** is [`apply`]: a pure function of the rows, the entry's place in the log and the
//! command. It reads no clock and draws no random bytes; salts, keys and request ids come with the
//! command. A command that is refused gives [`Outcome::Rejected`], which is replicated like any
//! other answer. A [`Fault`] stops the group.
//!
//! **What spans groups** is a row with a state. An account is created in the directory
//! (`Creating`), then in its partition, then it is `Active`; it is `Deleting`, then deleted in its
//! partition, then gone. Each such step is an [`Operation`], found by [`pending`]; the steward of
//! the directory's leader does the partition's part and proposes [`Command::FinishOperation`]. Both
//! may happen any number of times.
//!
//! **The view** is the whole state in memory, for lookups by every RCPT and every login. It is
//! built once from the rows and kept current by the events.
//!
//! Invariants (the ids are those of the design; [`check`] asserts the countable ones):
//!
//! * M1: same rows and same command give same rows, outcome and events. So names are ASCII: case
//!   tables for the rest of Unicode change from one compiler to the next.
//! * M4: a request id takes effect at most once, as long as it is among the last
//!   [`limits::REQUESTS_KEPT`]; a repeat gets the first answer.
//! * M5: the counters equal the counted rows.
//! * R5: replica, account and operation ids come from counters that never go back; a removed node's
//!   id is refused for ever.
//! * A name belongs to one account; it is free again when the account's row is gone.
//! * A view built from the rows equals the view that followed the events.
//!
//! What it does not do: it talks to no partition and to no node; it does not decide when a node is
//! dead or a learner has caught up (the steward does, and tells it). Whoever may read the rows has
//! the verifiers: a data directory is as secret as the passwords.
//!
//! Read on: [`Command`] for what can be asked, [`View`] for what can be looked up, [`verifier`] for
//! passwords.

mod apply;
mod check;
pub mod codec;
mod command;
mod event;
mod keys;
pub mod limits;
mod name;
mod operation;
mod share;
mod types;
pub mod verifier;
mod view;

pub use apply::{Recast, Recasted, apply, judge, recast};
pub use check::check;
pub use command::{Command, Envelope, Init, NodeReport, Outcome, Rejection, RequestId};
pub use event::Event;
pub use name::Name;
pub use operation::{Operation, OperationKind, pending};
pub use rows::{Digest, Fault, Rows, Staged};
pub use types::{
    Account, AccountId, AccountState, Addresses, Cluster, EntryAt, Group, GroupId, Millis, Node,
    NodeId, NodeState, OperationId, Replica, ReplicaId, Role, Topology,
};
pub use verifier::Verifiers;
pub use view::{Login, View};
