//! One group on this node: its replica, its log, and openraft in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{
    ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
};
use openraft::{ChangeMembers, ReadPolicy, raft::Precondition};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::commits::Commits;
use super::convert;
use super::health::Health;
use super::limits::{CONFIRM_WAIT, PROPOSE_PAUSE, PROPOSE_RETRY, QUEUE_ROOM_BYTES, READ_BATCH_MAX};
use super::log_store::{LogStore, Needs};
use super::machine::Machine;
use super::reading::Reading;
use super::spread::{self, Follower, Spread};
use super::types::{Body, Proposal, Types, log_id, raft_log_id};
use crate::replica::{GroupId, LogId, Replica};

/// openraft, as this node uses it.
pub type Raft = openraft::Raft<Types, Machine>;

/// Why something that was asked of a group was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// This replica does not lead; nothing was done. The replica that leads, if it is known.
    #[error("this replica does not lead")]
    NotLeader(Option<u64>),
    /// Nothing was done; it may work in a moment.
    #[error("the group cannot do this now")]
    Busy,
    /// The command is larger than an entry may be; nothing was done, and nothing ever will be.
    #[error("the command is too large")]
    TooLarge,
    /// The command was appended, and whether it takes effect is not known. Only its lane makes a
    /// repetition safe.
    #[error("the outcome is not known")]
    Unknown,
    /// The group has stopped on this node.
    #[error("the group has stopped: {0}")]
    Stopped(String),
}

/// One group on this node.
pub struct Group {
    id: GroupId,
    replica_id: u64,
    raft: Raft,
    store: LogStore,
    machine: Machine,
    health: Arc<Health>,
    commits: Arc<Commits>,
    reads: mpsc::Sender<oneshot::Sender<Result<(), GroupError>>>,
    spread: Spread,
    /// The last index at the last look at what may be purged.
    looked: AtomicU64,
}

/// How a group stands, as this node sees it.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// The term.
    pub term: u64,
    /// The replica that leads.
    pub leader: Option<u64>,
    /// Index of the last entry in this replica's log.
    pub last_index: u64,
    /// Index of the last entry that this replica has applied.
    pub applied_index: u64,
    /// Voters and learners.
    pub voters: BTreeSet<u64>,
    /// Replicas that receive entries but have no vote.
    pub learners: BTreeSet<u64>,
    /// Voters are being changed: there are two sets of them, and both have to agree.
    pub joint: bool,
    /// The members are as committed, and no change of them is on its way.
    pub members_committed: bool,
    /// The entry that made the members what they are.
    pub members_at: Option<LogId>,
    /// The last index that each follower holds; only where this replica leads.
    pub matched: Vec<(u64, Option<u64>)>,
}

impl GroupStatus {
    /// The last index that a follower holds, as the leader knows.
    #[must_use]
    pub fn matched_of(&self, replica: u64) -> Option<u64> {
        let found = self.matched.iter().find(|(id, _)| *id == replica);
        found.and_then(|(_, matched)| *matched)
    }

    /// Whether a replica takes part, with a vote or without.
    #[must_use]
    pub fn has(&self, replica: u64) -> bool {
        self.voters.contains(&replica) || self.learners.contains(&replica)
    }

    /// All other members, where this replica leads.
    fn followers(&self, is_lost: impl Fn(u64) -> bool) -> impl Iterator<Item = Follower> {
        let members = self.voters.union(&self.learners);
        let others = members.filter(|member| Some(**member) != self.leader);
        others.map(move |member| {
            let matched = self.matched.iter().find(|(replica, _)| replica == member);
            Follower {
                matched: matched.and_then(|(_, matched)| *matched),
                is_lost: is_lost(*member),
            }
        })
    }
}

/// What a group has in common with the connections of its replica, and with the node.
pub struct Ties {
    /// Who waits for a read, and who follows.
    pub reading: Reading,
    /// What all followers have.
    pub spread: Spread,
    /// How this node and the others are.
    pub health: Arc<Health>,
    /// How long commands take.
    pub commits: Arc<Commits>,
}

impl Group {
    /// Puts a started group together, and serves its reads until it is dropped.
    #[must_use]
    pub fn new(
        id: GroupId,
        replica_id: u64,
        raft: Raft,
        machine: Machine,
        store: LogStore,
        ties: Ties,
    ) -> Self {
        let Ties {
            reading,
            spread,
            health,
            commits,
        } = ties;
        let (reads, queue) = mpsc::channel(READ_BATCH_MAX);
        tokio::spawn(serve_reads(raft.clone(), reading, queue));
        Self {
            id,
            replica_id,
            raft,
            store,
            machine,
            health,
            commits,
            reads,
            spread,
            looked: AtomicU64::new(0),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The id of the replica on this node.
    #[must_use]
    pub fn replica(&self) -> u64 {
        self.replica_id
    }

    /// What the replica on this node has applied.
    #[must_use]
    pub fn rows(&self) -> &Arc<Replica> {
        self.machine.replica()
    }

    /// openraft underneath; for this folder.
    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The log underneath; for this folder.
    pub(super) fn store(&self) -> &LogStore {
        &self.store
    }

    /// How far this group's entries have spread, as its leader counts, or as this follower was
    /// told.
    #[must_use]
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// Forgets entries that the last checkpoint holds and all followers have, but for `kept_bytes`
    /// at most of those that one has not. The bytes of a body stay for as long as a row refers to
    /// them. `is_lost` says of a replica whether it does not count.
    ///
    /// # Errors
    ///
    /// When the group has stopped.
    pub async fn purge(
        &self,
        kept_bytes: u64,
        is_lost: impl Fn(u64) -> bool,
    ) -> Result<(), GroupError> {
        let status = self.status();
        if self.is_leader()
            && let Some(index) = spread::count(status.last_index, status.followers(is_lost))
        {
            self.spread.set(index);
        }
        let is_idle = self.looked.swap(status.last_index, Relaxed) == status.last_index;
        let Some(checkpoint) = self.rows().checkpointed() else {
            return Ok(());
        };
        // A follower that is being brought to an older checkpoint goes on above that.
        let offered = self.machine.offered();
        let upto = offered.map_or(checkpoint.index, |at| at.index.min(checkpoint.index));
        let needs = Needs {
            checkpoint: upto,
            spread: self.spread.index(),
            kept_bytes,
            is_idle,
        };
        let Some(upto) = self.store.purgeable(&needs) else {
            return Ok(());
        };
        let stopped =
            |fatal: openraft::errors::Fatal<Types>| GroupError::Stopped(fatal.to_string());
        // openraft purges nothing that no snapshot covers, and a checkpoint is one.
        self.raft.trigger().snapshot().await.map_err(stopped)?;
        self.raft.trigger().purge_log(upto).await.map_err(stopped)
    }

    /// Whether the log of this node can take more entries now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.health.takes_entries() && self.store.log().has_room(QUEUE_ROOM_BYTES)
    }

    /// Replicates a command and applies it; answers its outcome once it is durable on a majority
    /// and applied here (R1).
    ///
    /// # Errors
    ///
    /// [`GroupError::Unknown`] when it was appended and then lost sight of; otherwise nothing was
    /// done.
    pub async fn propose(
        &self,
        time_ms: u64,
        command: Bytes,
        body: Bytes,
    ) -> Result<Bytes, GroupError> {
        // An error inside openraft's append is final, here and on whoever leads next.
        if !convert::fits_entry(command.len(), body.len()) {
            return Err(GroupError::TooLarge);
        }
        let deadline = Instant::now() + PROPOSE_RETRY;
        loop {
            if !self.has_room() {
                return Err(GroupError::Busy);
            }
            let proposal = Proposal {
                time_ms,
                command: command.clone(),
                body: Body::Held(body.clone()),
            };
            let began = Instant::now();
            let error = match self.raft.client_write(proposal).await {
                Ok(response) => {
                    self.commits.note(began.elapsed());
                    return Ok(response.data.0);
                }
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                    not_leader(&forward, self.replica_id)
                }
                Err(RaftError::APIError(_)) => GroupError::Unknown,
                Err(RaftError::Fatal(fatal)) => {
                    // The proposal may have been appended before the core stopped.
                    tracing::error!(group = self.id.0, %fatal, "group stopped");
                    GroupError::Unknown
                }
            };
            // A healthy leader refuses while its lease has run out, after a slow sync.
            if error != GroupError::Busy || Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(PROPOSE_PAUSE).await;
        }
    }

    /// Returns once this replica has applied everything that was acknowledged before the call, and
    /// a majority has confirmed that it leads. Calls that come together share one round.
    ///
    /// # Errors
    ///
    /// When this replica does not lead or no majority answers.
    pub async fn read_index(&self) -> Result<(), GroupError> {
        let (reply, replied) = oneshot::channel();
        self.reads.send(reply).await.map_err(|_| GroupError::Busy)?;
        replied.await.map_err(|_| GroupError::Busy)?
    }

    /// Whether this replica leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// The replica that leads, as far as this one knows.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        self.raft.metrics().borrow_watched().current_leader
    }

    /// Makes the first membership of a new group; a group that has one keeps it.
    ///
    /// # Errors
    ///
    /// When the group has stopped or this replica is not among `members`.
    pub async fn initialize(&self, members: BTreeSet<u64>) -> Result<(), GroupError> {
        use openraft::errors::InitializeError::NotAllowed;
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(NotAllowed(_))) => Ok(()),
            Err(error) => Err(GroupError::Stopped(error.to_string())),
        }
    }

    /// Adds a replica that receives entries and has no vote. Returns once that is decided, not when
    /// it has caught up.
    ///
    /// # Errors
    ///
    /// When this replica does not lead, or another change is under way.
    pub async fn add_learner(&self, replica: u64) -> Result<(), GroupError> {
        let node = openraft::impls::EmptyNode::new();
        let added = self.raft.add_learner(replica, node, false).await;
        added.map(drop).map_err(|error| self.change_error(error))
    }

    /// Lets these replicas vote, which take part already, and no others; in one change, of which
    /// both the old and the new voters are asked. Who voted before and does no more stays with
    /// `retain` as a learner, and is put out otherwise. Nothing is done unless the members are as
    /// `seen` says.
    ///
    /// # Errors
    ///
    /// When this replica does not lead, or another change is under way.
    pub async fn set_voters(
        &self,
        voters: BTreeSet<u64>,
        retain: bool,
        seen: &GroupStatus,
    ) -> Result<(), GroupError> {
        let change = ChangeMembers::ReplaceAllVoters(voters);
        self.change_members(change, retain, seen).await
    }

    /// Puts out replicas that have no vote. Nothing is done unless the members are as `seen` says.
    ///
    /// # Errors
    ///
    /// As [`Group::set_voters`].
    pub async fn put_out(
        &self,
        learners: BTreeSet<u64>,
        seen: &GroupStatus,
    ) -> Result<(), GroupError> {
        let change = ChangeMembers::RemoveNodes(learners);
        self.change_members(change, true, seen).await
    }

    async fn change_members(
        &self,
        change: ChangeMembers<u64, openraft::impls::EmptyNode>,
        retain: bool,
        seen: &GroupStatus,
    ) -> Result<(), GroupError> {
        let unchanged = Precondition::LastMembershipLogId {
            last_membership_log_id: seen.members_at.map(raft_log_id),
        };
        let changed = self.raft.change_membership_if(change, retain, [unchanged]);
        let changed = changed.await;
        changed.map(drop).map_err(|error| self.change_error(error))
    }

    /// Ends the group on this node; for this folder.
    pub(super) async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = self.id.0, %error, "group did not end in peace");
        }
    }

    fn change_error(&self, error: RaftError<Types, ClientWriteError<Types>>) -> GroupError {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                not_leader(&forward, self.replica_id)
            }
            RaftError::APIError(other) => {
                tracing::info!(group = self.id.0, %other, "membership not changed");
                GroupError::Busy
            }
            RaftError::Fatal(fatal) => GroupError::Stopped(fatal.to_string()),
        }
    }

    /// Asks `replica` to lead from now on. Returns when it was asked, not when it leads.
    ///
    /// # Errors
    ///
    /// When the group has stopped.
    pub async fn transfer(&self, replica: u64) -> Result<(), GroupError> {
        self.raft
            .trigger()
            .transfer_leader(replica)
            .await
            .map_err(|fatal| GroupError::Stopped(fatal.to_string()))
    }

    /// How the group stands.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let stored = &metrics.membership_config;
        let membership = stored.membership();
        GroupStatus {
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: metrics.last_applied.as_ref().map_or(0, |id| id.index),
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            joint: membership.get_joint_config().len() > 1,
            members_committed: metrics.committed_membership_config == metrics.membership_config,
            members_at: stored.log_id().as_ref().map(log_id),
            matched: metrics
                .replication
                .unwrap_or_default()
                .into_iter()
                .map(|(replica, upto)| (replica, upto.map(|id| id.index)))
                .collect(),
        }
    }

    /// The last entry that this replica has applied.
    #[must_use]
    pub fn applied(&self) -> Option<LogId> {
        self.raft
            .metrics()
            .borrow_watched()
            .last_applied
            .as_ref()
            .map(log_id)
    }

    /// Returns when this replica has applied `index`; `false` when it did not within `wait`.
    pub async fn wait_applied(&self, index: u64, wait: Duration) -> bool {
        self.raft
            .wait(Some(wait))
            .applied_index_at_least(Some(index), "wait")
            .await
            .is_ok()
    }
}

fn not_leader(forward: &ForwardToLeader<Types>, own: u64) -> GroupError {
    match forward.reason {
        // A healthy leader says so too: its lease ran out, or it hands the leadership over.
        ForwardReason::LeaseExpired | ForwardReason::LeadershipTransfer => GroupError::Busy,
        ForwardReason::NotLeader if forward.leader_id == Some(own) => GroupError::Busy,
        ForwardReason::NotLeader => GroupError::NotLeader(forward.leader_id),
    }
}

/// Serves reads in batches: whoever comes while a round is under way shares the next one.
async fn serve_reads(
    raft: Raft,
    reading: Reading,
    mut queue: mpsc::Receiver<oneshot::Sender<Result<(), GroupError>>>,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, READ_BATCH_MAX).await > 0 {
        reading.set_waiting(true);
        let result = confirm(&raft, &reading).await;
        reading.set_waiting(!queue.is_empty());
        for reply in batch.drain(..) {
            drop(reply.send(result.clone()));
        }
    }
}

/// One round: everything that was acknowledged before it is applied here, and a majority has said
/// since it began that this replica leads.
async fn confirm(raft: &Raft, reading: &Reading) -> Result<(), GroupError> {
    let (began, own) = (Instant::now(), *raft.node_id());
    let term = raft.metrics().borrow_watched().current_term;
    match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        Ok(_) => {}
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
            return Err(not_leader(&forward, own));
        }
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
            return Err(GroupError::Busy);
        }
        Err(RaftError::Fatal(fatal)) => return Err(GroupError::Stopped(fatal.to_string())),
    }
    let members = Arc::clone(&raft.metrics().borrow_watched().membership_config);
    let voters = members.membership().get_joint_config();
    let confirmed = reading.confirmed(own, term, began, voters);
    let confirmed = tokio::time::timeout(CONFIRM_WAIT, confirmed).await;
    confirmed.map_err(|_| GroupError::Busy)
}
