//! What openraft applies entries to: the replica of the group on this node.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{
    EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot as RaftSnapshot, SnapshotMeta,
};
use parking_lot::Mutex;
use prost::Message;
use proto::v1;
use rows::Fault;

use super::convert;
use super::limits::OFFER_KEPT;
use super::types::{Membership, Outcome, RaftLogId, StoredMembership, Types, log_id, raft_log_id};
use crate::replica::{Applying, LogId, Replica, Snapshot};

type CommittedLeader = openraft::alias::CommittedLeaderIdOf<Types>;
type Meta = SnapshotMeta<CommittedLeader, u64, openraft::impls::EmptyNode>;
type FullSnapshot = RaftSnapshot<CommittedLeader, u64, openraft::impls::EmptyNode, Snapshot>;

/// The state machine of one group on this node. Clones share it.
#[derive(Clone)]
pub struct Machine {
    replica: Arc<Replica>,
    /// The checkpoint that a follower is brought to, and when it was last asked for.
    offered: Arc<Mutex<Option<(Instant, Snapshot)>>>,
}

impl Machine {
    /// Applies to `replica`.
    #[must_use]
    pub fn new(replica: Arc<Replica>) -> Self {
        Self {
            replica,
            offered: Arc::default(),
        }
    }

    /// What it applies to.
    #[must_use]
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// The checkpoint that a follower is brought to: entries above it must stay.
    #[must_use]
    pub fn offered(&self) -> Option<Snapshot> {
        let mut offered = self.offered.lock();
        if let Some((asked, snapshot)) = &mut *offered {
            if snapshot.chunks.are_shared() {
                // It is on its way.
                *asked = Instant::now();
            } else if asked.elapsed() > OFFER_KEPT {
                *offered = None;
            }
        }
        offered.as_ref().map(|(_, snapshot)| snapshot.clone())
    }

    /// Does what waits for the disk where waiting holds up no other group.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Replica>) -> Result<T, Fault> + Send + 'static,
    ) -> io::Result<T> {
        let replica = Arc::clone(&self.replica);
        let done = tokio::task::spawn_blocking(move || work(&replica)).await;
        done.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    fn state(&self) -> io::Result<(Option<RaftLogId>, StoredMembership)> {
        let applied = self.replica.applied();
        let membership = match &applied.membership {
            Some((id, bytes)) => stored_membership(*id, bytes)?,
            None => StoredMembership::default(),
        };
        Ok((applied.last.map(raft_log_id), membership))
    }
}

fn stored_membership(id: Option<LogId>, bytes: &Bytes) -> io::Result<StoredMembership> {
    let wire = v1::PeerMembership::decode(bytes.clone()).map_err(io::Error::other)?;
    Ok(StoredMembership::new(
        id.map(raft_log_id),
        convert::membership_from_wire(&wire),
    ))
}

/// The members of a group that has this replica alone since the entry `at`.
#[must_use]
pub fn sole_member(replica: u64, at: LogId) -> crate::replica::Membership {
    let voters = std::collections::BTreeSet::from([replica]);
    let members = Membership::new_with_defaults(vec![voters], []);
    (Some(at), membership_bytes(&members))
}

fn membership_bytes(membership: &Membership) -> Bytes {
    Bytes::from(convert::membership_to_wire(membership).encode_to_vec())
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, StoredMembership)> {
        self.state()
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.replica.room().await;
            let id = log_id(&entry.log_id);
            // A fault ends this group (R3): openraft stops, nobody is answered.
            let outcome = match &entry.payload {
                EntryPayload::Blank => self.replica.apply(id, Applying::Blank),
                EntryPayload::Membership(membership) => self
                    .replica
                    .apply(id, Applying::Membership(&membership_bytes(membership))),
                EntryPayload::Normal(proposal) => self.replica.apply(
                    id,
                    Applying::Command {
                        time_ms: proposal.time_ms,
                        command: &proposal.command,
                        body_length: proposal.body.len(),
                    },
                ),
            }
            .map_err(io::Error::other)?;
            if let Some(responder) = responder {
                responder.send(Outcome(outcome));
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, _meta: &Meta, snapshot: Snapshot) -> io::Result<()> {
        self.on_disk(|replica| replica.install(snapshot)).await?;
        // Nothing is kept any more above what was offered before: whoever took that would be sent
        // it again, for ever.
        *self.offered.lock() = None;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<FullSnapshot>> {
        if self.replica.applied().last.is_none() {
            return Ok(None);
        }
        // The same again for whoever lost the stream: so it can go on where it was.
        let snapshot = match self.offered() {
            Some(offered) => offered,
            None => self.on_disk(|replica| replica.last_checkpoint()).await?,
        };
        *self.offered.lock() = Some((Instant::now(), snapshot.clone()));
        full_snapshot(snapshot).map(Some)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Snapshot;

    async fn build_snapshot(&mut self) -> io::Result<FullSnapshot> {
        full_snapshot(self.on_disk(|replica| replica.snapshot()).await?)
    }
}

/// A snapshot in the words of openraft.
pub(super) fn full_snapshot(snapshot: Snapshot) -> io::Result<FullSnapshot> {
    let last_membership = match &snapshot.membership {
        Some((id, bytes)) => stored_membership(*id, bytes)?,
        None => StoredMembership::default(),
    };
    let meta = Meta {
        last_log_id: snapshot.last.map(raft_log_id),
        last_membership,
    };
    Ok(FullSnapshot { meta, snapshot })
}
