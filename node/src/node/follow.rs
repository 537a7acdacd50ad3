//! A node keeps to the directory: what is placed here runs, what was moved away has ended.
//!
//! The directory's replica on this node says what is placed here. It may be behind, but never goes
//! back: a replica that it placed and does not name any more was put out. Of replicas that an
//! earlier run of the process has left that is certain only once this node has heard what the
//! directory's leader knows.
//!
//! A replica of which the log lost what nobody can tell does not start: this node says so to the
//! others ([`crate::raft::Health`]), they put it out, and place another one, here or elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use directory::{NodeId, NodeState};
use rows::Fault;
use seglog::{RecoveredReplica, ReplicaId};

use super::Node;
use crate::raft::{Ailing, LogStore, is_lost};
use crate::replica::directory::Directory;
use crate::replica::partition::Partition;
use crate::replica::{GroupId, Machine, Opening, Replica};
use crate::service::DIRECTORY;

/// How often a node looks whether the directory wants something else of it.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// How many turns a node waits for the leader of a group that others may have made, before it makes
/// the group itself.
const LONELY_TURNS: u32 = 100;

/// How long the leader of the directory may take to say what it knows.
const HEAR_WAIT: Duration = Duration::from_secs(1);

/// Opens a replica; one whose rows the log does not give has stopped, and is to be healed.
fn open(opening: &Opening, recovered: Option<&RecoveredReplica>) -> Result<Arc<Replica>, Fault> {
    match crate::replica::open(opening, recovered) {
        Err(fault @ Fault::Store(_)) => crate::replica::open_stopped(opening, recovered, fault),
        opened => opened,
    }
}

impl Node {
    /// Starts the groups, and keeps them as the directory says, for as long as the node runs.
    pub async fn run(self: Arc<Self>) {
        tokio::time::sleep(self.timing.lease()).await;
        while self.book.directory_replica().is_none() {
            self.founded.notified().await;
        }
        let kept_bytes = self.config.storage.log_kept_bytes;
        tokio::spawn(self.groups.clone().purge_logs(kept_bytes));
        let (mut reported, mut left) = (false, true);
        let mut lonely = BTreeMap::new();
        loop {
            if let Err(error) = self.follow(&mut lonely).await {
                tracing::error!(error = format!("{error:#}"), "a replica cannot be started");
            }
            if !reported {
                reported = self.report_addresses().await;
            }
            if left && self.service.refresh(HEAR_WAIT).await.is_ok() {
                left = match self.end_left().await {
                    Ok(()) => false,
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "a replica is not ended");
                        true
                    }
                };
            }
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }

    /// Starts what the directory places here and does not run yet, ends what it has moved away.
    /// `lonely` are groups that this node shall call to life, with the turns that it has waited.
    async fn follow(&self, lonely: &mut BTreeMap<GroupId, u32>) -> anyhow::Result<()> {
        if let Some(replica) = self.book.directory_replica() {
            // One that was lost was retired, and has a successor. Nothing else of a log that lost
            // so much runs, so nothing has yet been ended or begun by what the old one said.
            let started = self.started.lock().await.get(&DIRECTORY).copied();
            if let Some(old) = started.filter(|old| *old != replica) {
                self.end(DIRECTORY, old).await?;
            }
            self.start(DIRECTORY, replica).await?;
        }
        let own = NodeId(self.config.node.id);
        let (placed, removed): (BTreeMap<GroupId, directory::Group>, bool) = {
            let view = self.view.read();
            let placed = view.replicas_on(own);
            let placed = placed.map(|(group, _)| (GroupId(group.id.0), group.clone()));
            let removed = view
                .node(own)
                .is_some_and(|node| node.state == NodeState::Removed);
            (placed.collect(), removed)
        };
        let here = |group: GroupId| placed.get(&group)?.replica_on(own).map(|here| here.id.0);
        let started = self.started.lock().await.clone();
        for (group, replica) in started {
            if group != DIRECTORY && here(group) != Some(replica) {
                self.end(group, replica).await?;
            }
        }
        if removed {
            (self.on_fatal)(format!(
                "node {own} was removed from the cluster: its data directory is of no use any \
                 more, and its number is not used again"
            ));
        }
        let mut failed = None;
        for (id, group) in placed.iter().filter(|(id, _)| **id != DIRECTORY) {
            let Some(replica) = here(*id) else { continue };
            // One that cannot start holds up no other.
            if let Err(error) = self.start(*id, replica).await {
                failed = Some(error.context(format!("group {}", id.0)));
                continue;
            }
            if replica == group.first.0
                && let Some(running) = self.groups.get(*id)
                && running.status().voters.is_empty()
            {
                // Others may have made it before this node became the first. Whoever leads it then
                // is heard of soon.
                let waited = lonely.entry(*id).or_insert(0);
                *waited += 1;
                if group.changed != group.placed && *waited < LONELY_TURNS {
                    continue;
                }
                let members = group.voters().map(|replica| replica.id.0).collect();
                running.initialize(members).await?;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Opens a replica and starts its group; does nothing if it runs.
    pub(super) async fn start(&self, id: GroupId, replica: u64) -> anyhow::Result<()> {
        let mut started = self.started.lock().await;
        // A life that has ended does not begin again, whatever an old directory says.
        if started.contains_key(&id) || self.cleaning.has_ended(ReplicaId(replica)) {
            return Ok(());
        }
        let machine: Arc<dyn Machine> = if id == DIRECTORY {
            Arc::new(Directory::new(Arc::clone(&self.view)))
        } else {
            Arc::new(Partition)
        };
        let opening = Opening {
            hints: Arc::clone(&self.hints),
            bell: self.checkpointer.bell(),
            overlays: Arc::clone(&self.budget.overlays),
            read_bodies: Arc::clone(&self.read_bodies),
            ..Opening::new(
                id,
                ReplicaId(replica),
                self.log.clone(),
                Arc::clone(&self.indexes),
                machine,
            )
        };
        // Kept until it runs: one that does not start must not start as an empty one.
        let recovered = self.recovered.lock().get(&ReplicaId(replica)).cloned();
        let (found, damage) = (recovered.as_deref(), &self.damage);
        if found.is_some_and(|found| is_lost(ReplicaId(replica), found, damage)) {
            self.groups.note_ailing(id, &Ailing::Lost);
            self.groups.health().set_lost(replica, true);
            started.insert(id, replica);
            return Ok(());
        }
        let (log, recent) = (self.log.clone(), Arc::clone(&self.budget.recent));
        let store = LogStore::open(log, ReplicaId(replica), found, damage, recent)?;
        let opened =
            tokio::task::spawn_blocking(move || open(&opening, recovered.as_deref())).await??;
        opened.attach(Arc::new(store.clone()));
        self.checkpointer.add(Arc::clone(&opened));
        self.groups.start(id, replica, opened, store).await;
        self.recovered.lock().remove(&ReplicaId(replica));
        started.insert(id, replica);
        Ok(())
    }

    /// Stops a replica that was moved away, and ends its life. What fails is done again.
    async fn end(&self, id: GroupId, replica: u64) -> anyhow::Result<()> {
        let mut started = self.started.lock().await;
        self.groups.stop(id).await;
        let mut open = self.checkpointer.replicas().into_iter();
        if let Some(open) = open.find(|open| open.id() == ReplicaId(replica)) {
            tokio::task::spawn_blocking(move || open.close()).await?;
            self.checkpointer.remove(id);
        }
        self.end_life(ReplicaId(replica)).await?;
        // One that could not start was still in it.
        self.recovered.lock().remove(&ReplicaId(replica));
        started.remove(&id);
        tracing::info!(group = id.0, replica, "replica moved away");
        metrics::counter!("rookery_replicas_ended_total").increment(1);
        Ok(())
    }

    /// Ends the lives of replicas that were moved away while this node was down.
    async fn end_left(&self) -> anyhow::Result<()> {
        let _starting = self.started.lock().await;
        let left: Vec<ReplicaId> = {
            let view = self.view.read();
            let here = |id: &ReplicaId| {
                let found = view.replica(directory::ReplicaId(id.0));
                found.is_some_and(|(_, found)| found.node.0 == self.config.node.id)
            };
            let recovered = self.recovered.lock();
            recovered.keys().filter(|id| !here(id)).copied().collect()
        };
        for replica in left {
            self.end_life(replica).await?;
            self.recovered.lock().remove(&replica);
            tracing::info!(replica = replica.0, "replica was moved away meanwhile");
        }
        Ok(())
    }

    async fn end_life(&self, replica: ReplicaId) -> anyhow::Result<()> {
        let (log, indexes) = (self.log.clone(), Arc::clone(&self.indexes));
        tokio::task::spawn_blocking(move || {
            crate::replica::end::end(&log, indexes.as_ref(), replica)
        })
        .await?
        .with_context(|| format!("the end of replica {}", replica.0))?;
        self.cleaning.ended(replica);
        self.groups.health().set_lost(replica.0, false);
        Ok(())
    }
}
