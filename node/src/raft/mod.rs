//! Replication: one Raft group per partition and one for the directory, with openraft.
//!
//! ```text
//!   service  -- propose, read_index -->  group    one group on this node
//!                                        groups   all of them, started and supervised
//!                                          |
//!                 openraft's core ---------+--------- machine --> replica (applies entries)
//!                  |            |
//!              log_store      peer  ~~~ frames over gRPC ~~~>  serve (on the other node)
//!                  |
//!               seglog (one log and one sync for all groups)
//! ```
//!
//! This folder knows nothing of mail: a command and its body are opaque bytes. openraft lives here
//! alone, and none of its types reaches the wire or the disk (`convert`).
//!
//! What it promises:
//! - R1: a proposal is answered after its entry is durable on a majority and applied here.
//! - R3: a replica that met a fault stops its group and answers nobody; other groups go on.
//! - R5: openraft's node ids are replica ids, never used twice.
//!
//! Choices that safety rests on, and where they stand: leaders do not come back in their old term
//! (`groups::Timing`), votes and entries are synced before they count (`log_store`), a node waits
//! one lease before its groups start (`Timing::lease`), reads take a quorum round
//! (`group::Group::read_index`, [`reading`]), and the two refusals that openraft mixes up stay
//! apart: "not appended" may be tried again, "outcome unknown" only by a lane
//! (`group::GroupError`).
//!
//! Nodes tell each other once a second how they are ([`health`]): room on the disk, speed of syncs,
//! clock. A node without room takes no entries, and no snapshots.
//!
//! A log is purged once a checkpoint holds what it did and all followers have it, or it is too much
//! to be kept for those that have not (`groups`, `spread`); a follower that needs what was purged
//! gets the checkpoint (`snapshot`) at a limited rate (`throttle`), lower while mail takes longer
//! than usual (`commits`); `transfers` says how far it is.
//!
//! What is damaged in the log of this node comes again from other nodes ([`fetch`]), before a group
//! starts if it would vote or apply without it ([`mod@heal`]).
//!
//! What it does not do: it never reads a body before a frame to a peer is written.

mod appends;
pub mod arrivals;
pub mod commits;
pub mod convert;
pub mod fetch;
pub mod group;
pub mod groups;
pub mod heal;
pub mod health;
mod hold;
pub mod limits;
pub mod log_store;
pub mod machine;
pub mod peer;
pub mod reading;
pub mod serve;
mod snapshot;
pub mod spread;
pub mod throttle;
pub mod transfers;
mod tries;
pub mod types;

pub use fetch::Fetcher;
pub use group::{Group, GroupError, GroupStatus};
pub use groups::{Groups, OnFatal, Timing};
pub use heal::{Ailing, heal};
pub use health::{Condition, Health};
pub use log_store::{LogStore, is_lost};
pub use machine::sole_member;
pub use peer::Peers;
pub use serve::{CallerNode, Gate, PeerServer, PeerService};
pub use transfers::Transfer;
