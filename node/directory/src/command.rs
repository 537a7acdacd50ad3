//! What is asked of the directory and what it answers.

use std::fmt;

use crate::types::{AccountId, Addresses, GroupId, Millis, NodeId, OperationId, ReplicaId};
use crate::verifier::Verifiers;

/// 128 random bits, chosen by the proposer of a command and kept when it repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A command as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// By which a repeat is known (M4): it gets the first answer, also if that was a rejection.
    /// Whoever wants to try anew takes a new id.
    pub request: RequestId,
    /// Stamped by the leader; log time never goes back all the same.
    pub time: Millis,
    /// What is asked.
    pub command: Command,
}

/// What can be asked of the directory.
///
/// Names are as typed; the machine normalises them. A command that finds its work done answers as
/// if it had done it, so that the steward may ask again.
#[derive(Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "fields are named as in the types, which say what they are"
)]
pub enum Command {
    /// Makes the cluster, of one node, which is active at once and has the directory's first
    /// replica, [`ReplicaId::FIRST`]. Answers `Placed`.
    Init(Init),
    /// Makes a node known. Again for a known one: as `UpdateNode`.
    JoinNode(NodeReport),
    /// What a node tells at each start.
    UpdateNode(NodeReport),
    /// The node's replica of the directory has caught up: the node is active. If it is to take the
    /// place of others it gets their replicas now, otherwise its even share.
    ActivateNode { node: NodeId },
    /// Takes a node out for good, once no replica is placed on it but a learner of the directory,
    /// through which it hears of this.
    RemoveNode { node: NodeId },
    /// Gives a group, the directory or a placed partition, a new replica on a node: a learner.
    /// Answers `Placed`; with the replica that is there already if there is one.
    PlaceReplica { group: GroupId, node: NodeId },
    /// The group has made it a voter.
    MarkVoter { group: GroupId, replica: ReplicaId },
    /// The group has made it a learner.
    MarkLearner { group: GroupId, replica: ReplicaId },
    /// The group has put it out. Its id is never used again.
    RemoveReplica { group: GroupId, replica: ReplicaId },
    /// Places the partitions that are not placed yet over the active nodes, all as voters, evenly,
    /// with `first` going round.
    PlacePartitions,
    /// Makes an account in the partition with the fewest. Answers `AccountMade`; the account is
    /// there when the operation is finished.
    CreateAccount {
        name: String,
        verifiers: Verifiers,
        quota_bytes: Option<u64>,
    },
    /// Replaces the verifiers.
    SetPassword { name: String, verifiers: Verifiers },
    /// Bars or unbars login.
    LockAccount { name: String, locked: bool },
    /// Deletes an account with all its mail. Answers `OperationBegun`.
    DeleteAccount { name: String },
    /// The other group has done its part. Again, or for an unknown one: nothing.
    FinishOperation { operation: OperationId },
    /// Sets a setting; an empty value removes it. Names: lower case, digits, `.`, `_`, `-`.
    SetSetting { name: String, value: String },
    /// Lets the machines use what this level brought, once every node's binary knows it.
    RaiseFeatureLevel { level: u32 },
    /// Lets `new` take the place of `old`, which leaves: of every partition that `old` holds `new`
    /// gets a replica, once it is active. It joins if it is not known.
    ReplaceNode { old: NodeId, new: NodeReport },
    /// Lets a node leave: its replicas go to the least loaded nodes. With `shrink`, partitions for
    /// which there is no node keep fewer.
    DrainNode { node: NodeId, shrink: bool },
    /// Gives a partition a replica on `to` in place of the one on `from`. Answers `Placed`.
    MoveReplica {
        group: GroupId,
        from: NodeId,
        to: NodeId,
    },
    /// A replica is damaged beyond mending: the others shall put it out. Once they have, a node
    /// that can take one gets another in its place.
    RetireReplica { group: GroupId, replica: ReplicaId },
    /// Notes that a user, or anyone (0), may have been given rights on mailboxes of an account, so
    /// that they are found. Whether he has any is for the account's partition to say. It is noted
    /// until one of the two accounts is gone.
    Share { user: AccountId, account: AccountId },
}

impl Command {
    /// What it is called in traces, which shall not show what is in it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Init(_) => "Init",
            Self::JoinNode(_) => "JoinNode",
            Self::UpdateNode(_) => "UpdateNode",
            Self::ActivateNode { .. } => "ActivateNode",
            Self::RemoveNode { .. } => "RemoveNode",
            Self::PlaceReplica { .. } => "PlaceReplica",
            Self::MarkVoter { .. } => "MarkVoter",
            Self::MarkLearner { .. } => "MarkLearner",
            Self::RemoveReplica { .. } => "RemoveReplica",
            Self::PlacePartitions => "PlacePartitions",
            Self::CreateAccount { .. } => "CreateAccount",
            Self::SetPassword { .. } => "SetPassword",
            Self::LockAccount { .. } => "LockAccount",
            Self::DeleteAccount { .. } => "DeleteAccount",
            Self::FinishOperation { .. } => "FinishOperation",
            Self::SetSetting { .. } => "SetSetting",
            Self::RaiseFeatureLevel { .. } => "RaiseFeatureLevel",
            Self::ReplaceNode { .. } => "ReplaceNode",
            Self::DrainNode { .. } => "DrainNode",
            Self::MoveReplica { .. } => "MoveReplica",
            Self::RetireReplica { .. } => "RetireReplica",
            Self::Share { .. } => "Share",
        }
    }
}

/// What a cluster is made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Init {
    /// Random; the cluster's id.
    pub cluster: [u8; 16],
    /// Random; [`crate::Cluster::secret`].
    pub secret: [u8; 32],
    /// Voters wanted for each partition: 1 to [`crate::limits::REPLICAS_MAX`].
    pub replicas: u32,
    /// 1 to [`crate::limits::PARTITIONS_MAX`].
    pub partitions: u32,
    /// A domain, or empty.
    pub default_domain: String,
    /// The node that makes it; its feature level becomes the cluster's.
    pub first: NodeReport,
}

/// What a node tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Its id, chosen by its operator.
    pub node: NodeId,
    /// Where it is reached.
    pub addresses: Addresses,
    /// What its binary understands.
    pub feature_level: u32,
}

/// Shows the kind alone: secrets and addresses of people are no matter for a log.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The answer to a command, equal on all replicas and for every repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The replica is placed.
    Placed(ReplicaId),
    /// The account is on its way.
    AccountMade {
        /// Its id.
        account: AccountId,
        /// Where it will live.
        partition: GroupId,
        /// What has to be finished.
        operation: OperationId,
    },
    /// It will be done when this is finished.
    OperationBegun(OperationId),
    /// Nothing was changed.
    Rejected(Rejection),
}

/// Why a command was refused, or a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// `Init` comes first.
    #[error("there is no cluster yet")]
    NoCluster,
    /// `Init` comes once.
    #[error("the cluster exists already")]
    ClusterExists,
    /// Replicas, partitions or default domain are out of bounds.
    #[error("the numbers of replicas and partitions or the default domain are not possible")]
    ShapeInvalid,
    /// A node id of 0.
    #[error("a node id must not be 0")]
    NodeInvalid,
    /// No such node.
    #[error("there is no such node")]
    NoNode,
    /// The node was removed; a wiped machine needs a new id.
    #[error("the node was removed, and its id may not be used again")]
    NodeRemoved,
    /// The node has not caught up with the directory yet.
    #[error("the node is not active yet")]
    NodeNotActive,
    /// Replicas are placed on the node.
    #[error("the node still has replicas")]
    NodeInUse,
    /// An address is not `host:port`.
    #[error("an address must be host:port")]
    AddressInvalid,
    /// Another node has the peer address.
    #[error("another node has that peer address")]
    AddressTaken,
    /// [`crate::limits::NODES_MAX`].
    #[error("too many nodes")]
    TooManyNodes,
    /// Fewer active nodes than replicas wanted.
    #[error("there are too few active nodes for the replicas that are wanted")]
    TooFewNodes,
    /// No such group, or not placed yet.
    #[error("there is no such group")]
    NoGroup,
    /// No such replica in that group.
    #[error("there is no such replica")]
    NoReplica,
    /// A group needs a voter.
    #[error("it is the last voter of its group")]
    LastVoter,
    /// [`crate::limits::DIRECTORY_VOTERS_MAX`] or [`crate::limits::PARTITION_REPLICAS_MAX`].
    #[error("the group has too many replicas")]
    TooManyReplicas,
    /// The partitions are not placed yet.
    #[error("the partitions are not placed yet")]
    NotPlaced,
    /// Not a name of an account.
    #[error("not a valid name")]
    NameInvalid,
    /// Another account has the name.
    #[error("the name is taken")]
    NameTaken,
    /// No such account.
    #[error("there is no such account")]
    NoAccount,
    /// The account is being created or deleted.
    #[error("the account is being created or deleted")]
    AccountBusy,
    /// [`crate::limits::ACCOUNTS_MAX`].
    #[error("too many accounts")]
    TooManyAccounts,
    /// Verifiers out of bounds, or none.
    #[error("not a valid password verifier")]
    VerifierInvalid,
    /// Empty, too long, or with characters that SASLprep forbids.
    #[error("the password is empty, too long or has characters that are not allowed")]
    PasswordInvalid,
    /// Not a name or value of a setting.
    #[error("not a valid setting")]
    SettingInvalid,
    /// [`crate::limits::SETTINGS_MAX`].
    #[error("too many settings")]
    TooManySettings,
    /// The node gives its replicas to others.
    #[error("the node is leaving")]
    NodeLeaving,
    /// A node has at most one replica of a group, also while that is on its way out.
    #[error("the node holds a replica of the group already, or is about to give one up")]
    ReplicaThere,
    /// [`crate::limits::SHARES_PER_USER_MAX`] or [`crate::limits::SHARES_PER_ACCOUNT_MAX`].
    #[error("too many mailboxes are shared with one user, or by one")]
    TooManyShares,
    /// The level is above a node's binary, or below the cluster's.
    #[error("the feature level does not fit all nodes")]
    FeatureLevel,
}
