//! What the directory knows about.

use std::fmt;

use crate::limits;
use crate::name::Name;
use crate::verifier::Verifiers;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A machine with a data directory; chosen by its operator, never 0, never used again once the
    /// node was removed.
    NodeId
}
id! {
    /// One life of a group's copy on a node; given by the directory, from 1, never twice (R5).
    ReplicaId
}
id! {
    /// A Raft group: 0 is the directory, 1 and up are the partitions.
    GroupId
}
id! {
    /// An account; given by the directory, from 1, never twice.
    AccountId
}
id! {
    /// A step that another group has to take; from 1, never twice.
    OperationId
}
id! {
    /// Unix time in milliseconds.
    Millis
}

impl GroupId {
    /// The directory's own group.
    pub const DIRECTORY: Self = Self(0);
}

impl ReplicaId {
    /// The directory's replica on the node that makes the cluster. It must be known before there is
    /// a directory to give it.
    pub const FIRST: Self = Self(1);
}

/// Where an entry stands in the log of group 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryAt {
    /// The log index.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
}

/// What a cluster was made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Random; tells this cluster from all others.
    pub id: [u8; 16],
    /// Random; makes up salts for accounts that do not exist.
    pub secret: [u8; 32],
    /// Voters wanted for each partition.
    pub replicas: u32,
    /// The number of partitions: groups 1 up to this.
    pub partitions: u32,
    /// What is added to a name without a domain; empty if such names are refused.
    pub default_domain: String,
    /// What all members are known to understand; raised by command, never lowered.
    pub feature_level: u32,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &format_args!("{:032x}", u128::from_be_bytes(self.id)))
            .field("replicas", &self.replicas)
            .field("partitions", &self.partitions)
            .field("default_domain", &self.default_domain)
            .field("feature_level", &self.feature_level)
            .finish_non_exhaustive()
    }
}

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Known, but its replica of the directory has not caught up.
    Joining,
    /// May be given partitions.
    Active,
    /// Gives its replicas to other nodes, and is then removed.
    Leaving,
    /// Gone for good; its certificate is refused.
    Removed,
}

/// Where a node is reached, each as `host:port`. All but `peer` may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// By other nodes.
    pub peer: String,
    /// By mail clients, with STARTTLS.
    pub imap: String,
    /// By mail clients, with TLS from the first byte.
    pub imaps: String,
    /// By mail transfer agents.
    pub lmtp: String,
    /// By operators.
    pub admin: String,
}

impl Addresses {
    /// Whether each is a `host:port` or, the peer's excepted, empty.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let others = [&self.imap, &self.imaps, &self.lmtp, &self.admin];
        is_host_port(&self.peer) && others.iter().all(|at| at.is_empty() || is_host_port(at))
    }
}

fn is_host_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    address.len() <= limits::ADDRESS_BYTES_MAX
        && !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_graphic())
        && digits
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Where it is reached; told by the node at each start.
    pub addresses: Addresses,
    /// How far it has come.
    pub state: NodeState,
    /// What its binary understands; told by the node at each start.
    pub feature_level: u32,
    /// Of a node that leaves: who takes its place. It gets the replicas once it is active.
    pub successor: Option<NodeId>,
}

/// What a replica may do in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It counts for the quorum.
    Voter,
    /// It only follows.
    Learner,
}

/// A copy of a group on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Its id.
    pub id: ReplicaId,
    /// Where it lies. A node has at most one replica of a group.
    pub node: NodeId,
    /// What it may do, as the group's leader has told.
    pub role: Role,
    /// The group shall put it out, once all that stay have caught up. Never taken back: whoever
    /// wants a replica there again gets another one.
    pub leaving: bool,
}

/// A group and where its replicas lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its replicas, ascending by id; at least one is a voter.
    pub replicas: Vec<Replica>,
    /// The replica that shall call the group to life and lead it: a voter that stays, if there is
    /// one.
    pub first: ReplicaId,
    /// The accounts in it, whatever their state.
    pub accounts: u64,
    /// The log index of the last change of `replicas`: of two copies, the higher is newer.
    pub changed: u64,
    /// The log index at which it was placed: as long as `changed` is the same, it has the replicas
    /// that it was made with.
    pub placed: u64,
}

impl Group {
    /// The replica with this id.
    #[must_use]
    pub fn replica(&self, id: ReplicaId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.id == id)
    }

    /// The replica on this node.
    #[must_use]
    pub fn replica_on(&self, node: NodeId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.node == node)
    }

    /// The replicas that count for the quorum.
    pub fn voters(&self) -> impl Iterator<Item = &Replica> {
        self.replicas
            .iter()
            .filter(|replica| replica.role == Role::Voter)
    }

    /// The replicas that shall be there in the end.
    pub fn staying(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| !replica.leaving)
    }

    /// Whether all replicas are what they shall be; asked of partitions.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let settled = |replica: &Replica| replica.role == Role::Voter && !replica.leaving;
        self.replicas.iter().all(settled)
    }
}

/// What may be done with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// Its partition has yet to make it.
    Creating,
    /// Logs in and gets mail.
    Active,
    /// Gets mail, does not log in.
    Locked,
    /// Its partition has yet to delete it.
    Deleting,
}

impl AccountState {
    /// Whether its owner may log in.
    #[must_use]
    pub const fn may_log_in(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Whether mail is taken for it.
    #[must_use]
    pub const fn takes_mail(self) -> bool {
        matches!(self, Self::Active | Self::Locked)
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: Name,
    /// What may be done with it.
    pub state: AccountState,
    /// The group that has its mailboxes.
    pub partition: GroupId,
    /// What passwords are checked against.
    pub verifiers: Verifiers,
    /// The quota it was made with, for the partition; none for no limit.
    pub quota_bytes: Option<u64>,
    /// Log time.
    pub created: Millis,
    /// What has to be done before it leaves its state.
    pub operation: Option<OperationId>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What the machine counts. `next_*` are given out next and only go up (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) next_account: u64,
    pub(crate) next_replica: u64,
    pub(crate) next_operation: u64,
    /// The place of the next request in the order in which they are forgotten.
    pub(crate) next_request: u64,
    /// Log time: never goes back.
    pub(crate) time: Millis,
    pub(crate) accounts: u64,
    /// Removed ones included.
    pub(crate) nodes: u32,
    pub(crate) settings: u32,
}

impl Counters {
    /// Those of a directory that was asked nothing yet.
    pub(crate) const NEW: Self = Self {
        next_account: 1,
        next_replica: 1,
        next_operation: 1,
        next_request: 1,
        time: Millis(0),
        accounts: 0,
        nodes: 0,
        settings: 0,
    };
}

/// The map of the cluster without accounts and secrets, as one node tells it to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// [`Cluster::id`].
    pub cluster: [u8; 16],
    /// [`Cluster::replicas`].
    pub replicas: u32,
    /// [`Cluster::partitions`].
    pub partitions: u32,
    /// [`Cluster::default_domain`].
    pub default_domain: String,
    /// [`Cluster::feature_level`].
    pub feature_level: u32,
    /// All nodes, ascending.
    pub nodes: Vec<Node>,
    /// All groups, ascending.
    pub groups: Vec<Group>,
}
