//! The types that openraft is used with. Every group of the node has the same.

use std::fmt;

use bytes::Bytes;
use openraft::RaftTypeConfig;
use openraft::impls;

use crate::replica::{BodyPlace, LogId, Logged};

/// openraft's type parameters, for all groups.
///
/// A node id of openraft is a *replica id*: given by the directory when it places a replica on a
/// node, and never given twice (R5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl RaftTypeConfig for Types {
    type D = Proposal;
    type R = Outcome;
    type NodeId = u64;
    type Node = impls::EmptyNode;
    type Term = u64;
    type LeaderId = impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = impls::Vote<Self::LeaderId>;
    type Payload = impls::EntryPayload<Proposal, u64, impls::EmptyNode>;
    type Entry =
        impls::Entry<<Self::LeaderId as openraft::vote::RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = openraft_rt_tokio::TokioRuntime;
    type Responder<T>
        = impls::OneshotResponder<Self, T>
    where
        T: Send + 'static;
    type Batch<T>
        = impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = impls::BoxedErrorSource;
}

/// A vote as openraft keeps it.
pub type Vote = openraft::alias::VoteOf<Types>;
/// A log id as openraft keeps it: a term and an index.
pub type RaftLogId = openraft::alias::LogIdOf<Types>;
/// An entry as openraft keeps it.
pub type Entry = openraft::alias::EntryOf<Types>;
/// A set of members.
pub type Membership = openraft::Membership<u64, impls::EmptyNode>;
/// A set of members and the entry that made it.
pub type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
/// The payload of an entry.
pub type Payload = openraft::alias::PayloadOf<Types>;

/// What a client proposes, and what an entry carries: opaque bytes to this folder.
#[derive(Clone)]
pub struct Proposal {
    /// Log time in milliseconds, stamped by the leader as the proposal enters the log.
    pub time_ms: u64,
    /// The encoded command.
    pub command: Bytes,
    /// The bytes that the command brings, or where they lie in the log of this node.
    pub body: Body,
}

/// The body of an entry, in memory or by reference.
#[derive(Clone)]
pub enum Body {
    /// The bytes; empty when the command brings none.
    Held(Bytes),
    /// In the log of this node: read only when a frame to a peer is written.
    Logged {
        /// Where the entry's payload lies.
        place: seglog::Place,
        /// The checksum of that payload.
        checksum: u32,
        /// How many bytes of the payload precede the body.
        skip: u32,
    },
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Logged { place, skip, .. } => u64::from(place.length.saturating_sub(*skip)),
        }
    }

    /// Whether the command brings no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, read from `log` and verified if they are not in memory. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When the record cannot be read or is damaged.
    pub fn load(&self, log: &seglog::Log) -> Result<Bytes, seglog::Error> {
        match self {
            Self::Held(bytes) => Ok(bytes.clone()),
            Self::Logged {
                place,
                checksum,
                skip,
            } => {
                let payload = log.read(*place, Some(*checksum))?;
                Ok(payload.slice((*skip as usize).min(payload.len())..))
            }
        }
    }

    /// The same in the words of the replica.
    #[must_use]
    pub fn place(&self) -> BodyPlace {
        match self {
            Self::Held(bytes) => BodyPlace::Held(bytes.clone()),
            Self::Logged {
                place,
                checksum,
                skip,
            } => BodyPlace::Logged(Logged {
                place: *place,
                checksum: *checksum,
                skip: *skip,
            }),
        }
    }
}

// openraft prints entries in its errors: never their content.
impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{} bytes", self.command.len(), self.body.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Bytes that an entry holds in memory.
#[must_use]
pub fn held_bytes(entry: &Entry) -> u64 {
    match &entry.payload {
        openraft::EntryPayload::Normal(proposal) => {
            let body = match &proposal.body {
                Body::Held(bytes) => bytes.len(),
                Body::Logged { .. } => 0,
            };
            (proposal.command.len() + body) as u64
        }
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 0,
    }
}

/// What applying an entry answered, encoded; empty for entries that are no commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub Bytes);

/// openraft's log id in our words.
#[must_use]
pub fn log_id(id: &RaftLogId) -> LogId {
    LogId {
        term: id.leader_id.term,
        index: id.index,
    }
}

/// Our log id in openraft's words.
#[must_use]
pub fn raft_log_id(id: LogId) -> RaftLogId {
    RaftLogId::new_term_index(id.term, id.index)
}
