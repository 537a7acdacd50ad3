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
use tokio::sync::OwnedMutexGuard;

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
    offers: Arc<Mutex<Offers>>,
    life: Life,
}

/// How long a machine may change its replica: openraft does not wait for the task that applies when
/// a core is shut down, and that task goes on with what it has, while the group is started anew.
/// Clones share it.
#[derive(Clone, Default)]
pub struct Life(Arc<tokio::sync::Mutex<Ended>>);

/// Held by what changes the replica.
#[derive(Default)]
struct Ended(bool);

impl Life {
    /// Ends it. When this returns the machine changes nothing any more.
    pub async fn end(&self) {
        self.0.lock().await.0 = true;
    }

    /// It does not end while what is returned is held.
    async fn hold(&self) -> io::Result<OwnedMutexGuard<Ended>> {
        let ended = Arc::clone(&self.0).lock_owned().await;
        match ended.0 {
            false => Ok(ended),
            true => Err(io::Error::other("the group was started anew")),
        }
    }
}

/// The checkpoints that followers are brought to.
#[derive(Default)]
struct Offers {
    /// What is offered to whoever asks, and when it was last asked for.
    current: Option<(Instant, Snapshot)>,
    /// What one follower refused to go on with, for as long as another one goes on: of these there
    /// are no more than streams.
    refused: Vec<Snapshot>,
}

impl Offers {
    /// Lets go of what is not offered any more.
    fn look(&mut self) {
        self.refused.retain(|snapshot| snapshot.chunks.are_shared());
        let Some((asked, snapshot)) = self.current.take() else {
            return;
        };
        let is_shared = snapshot.chunks.are_shared();
        if snapshot.chunks.are_refused() {
            // What a newer one refers to is there, and the bodies that came of this one count.
            self.refused.extend(is_shared.then_some(snapshot));
        } else if is_shared {
            // It is on its way.
            self.current = Some((Instant::now(), snapshot));
        } else if asked.elapsed() <= OFFER_KEPT {
            self.current = Some((asked, snapshot));
        }
    }
}

impl Machine {
    /// Applies to `replica`.
    #[must_use]
    pub fn new(replica: Arc<Replica>) -> Self {
        Self {
            replica,
            offers: Arc::default(),
            life: Life::default(),
        }
    }

    /// What it applies to.
    #[must_use]
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// Until when it may change the replica: before another machine does, this has to end.
    #[must_use]
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// The oldest checkpoint that a follower is brought to: entries above it must stay.
    #[must_use]
    pub fn offered(&self) -> Option<LogId> {
        let mut offers = self.offers.lock();
        offers.look();
        let current = offers.current.iter().map(|(_, snapshot)| snapshot);
        let all = current.chain(&offers.refused);
        all.filter_map(|snapshot| snapshot.last)
            .min_by_key(|at| at.index)
    }

    /// What is offered to whoever asks, if anything is.
    fn current(&self) -> Option<Snapshot> {
        let mut offers = self.offers.lock();
        offers.look();
        let current = offers.current.as_ref();
        current.map(|(_, snapshot)| snapshot.clone())
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
            let held = self.life.hold().await?;
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
            drop(held);
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
        let held = self.life.hold().await?;
        let install = move |replica: &Arc<Replica>| {
            let installed = replica.install(snapshot);
            // Also if nobody waits for it any more.
            drop(held);
            installed
        };
        self.on_disk(install).await?;
        // Nothing is kept any more above what was offered before: whoever took that would be sent
        // it again, for ever.
        *self.offers.lock() = Offers::default();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<FullSnapshot>> {
        if self.replica.applied().last.is_none() {
            return Ok(None);
        }
        // The same again for whoever lost the stream: so it can go on where it was.
        let snapshot = match self.current() {
            Some(current) => current,
            None => self.on_disk(|replica| replica.last_checkpoint()).await?,
        };
        self.offers.lock().current = Some((Instant::now(), snapshot.clone()));
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
