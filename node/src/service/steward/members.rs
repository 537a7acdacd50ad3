//! Nodes that come and go, and the members of each group.
//!
//! The directory says what shall be; the leader of each group brings its members to that, a step a
//! turn ([`super::wanted`]):
//!
//! ```text
//!   placed --> learner --caught up--> voter, and those that leave are out, in one change
//!                                       |
//!                      MarkVoter, RemoveReplica in the directory --> the node ends the replica
//! ```
//!
//! A replica of which its node says that it is damaged beyond mending is retired: it is put out by
//! the others, and only then another one is placed in its stead, under its own id. So what it may
//! have voted and does not know counts for nobody.
//!
//! Every step is decided from the members as they are committed and from the directory as its
//! leader knows it just then, so it may be done again by anyone who comes to lead; a step that was
//! decided on older members is refused by the group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use directory::{Command as Direct, Node, NodeState, Outcome as Directed, Replica, Role};

use super::wanted::{Step, Wanted, has_caught_up};
use super::{STEP_WAIT, Usher, refused};
use crate::raft::{Group, GroupError};
use crate::service::call::Failure;
use crate::service::limits::{
    FAREWELL_WAIT_MAX, FAREWELL_WAIT_MIN, MOVES_AT_ONCE, STEP_PAUSE, STEWARD_PAUSE,
};
use crate::service::{DIRECTORY, Service};

/// How long ago a node may have been heard that counts as there.
const HEARD_WAIT: Duration = Duration::from_secs(2);

/// Runs for as long as the node does.
pub(super) async fn run(service: Service, usher: Arc<dyn Usher>) {
    let mut members = Members {
        service,
        usher,
        farewells: BTreeMap::new(),
        turn: 0,
        hands_over: false,
        handed_over: Instant::now(),
        goes_on: AtomicBool::new(false),
    };
    loop {
        let pause = match members.goes_on.swap(false, Relaxed) {
            true => STEP_PAUSE,
            false => STEWARD_PAUSE,
        };
        tokio::time::sleep(pause).await;
        members.turn().await;
    }
}

struct Members {
    service: Service,
    usher: Arc<dyn Usher>,
    /// Replicas of the directory on removed nodes: which entry they shall have before they are left
    /// alone, and since when that has been so.
    farewells: BTreeMap<u64, (u64, Instant)>,
    /// How many turns there were that hand over.
    turn: u64,
    /// In this turn groups may be handed over. Not in each: whoever was asked to lead needs some
    /// time for it, and whoever was asked twice would stand for election twice.
    hands_over: bool,
    handed_over: Instant,
    /// A step was taken, or a replica comes up: the next step may be due at once.
    goes_on: AtomicBool,
}

impl Members {
    async fn turn(&mut self) {
        self.hands_over = self.handed_over.elapsed() >= STEWARD_PAUSE;
        if self.hands_over {
            self.handed_over = Instant::now();
            self.turn += 1;
        }
        let groups = self.service.router().local().groups().all();
        let led: Vec<_> = groups
            .into_iter()
            .filter(|group| group.is_leader())
            .collect();
        let mut told = BTreeSet::new();
        if let Some(group) = led.iter().find(|group| group.id() == DIRECTORY) {
            self.keep_nodes(group).await;
            told = self.told(group);
        }
        // One that has caught up waits for its vote, and takes nothing any more.
        let moving = led.iter().filter(|group| {
            let status = group.status();
            let mut learners = status.learners.iter();
            group.id() != DIRECTORY && learners.any(|learner| !has_caught_up(&status, *learner))
        });
        let moving = moving.count();
        self.goes_on.fetch_or(moving > 0, Relaxed);
        let room = AtomicUsize::new(MOVES_AT_ONCE.saturating_sub(moving));
        let members = &*self;
        let steps = led.iter().map(|group| {
            let (told, room) = (&told, &room);
            async move {
                if let Err(failure) = members.keep_members(group, told, room).await {
                    tracing::info!(group = group.id().0, %failure, "members change later");
                }
            }
        });
        futures_util::future::join_all(steps).await;
    }

    /// What the directory's leader does about nodes.
    async fn keep_nodes(&self, group: &Group) {
        let mut nodes = self.nodes(NodeState::Joining);
        nodes.extend(self.without_directory(group));
        for node in nodes {
            let id = node.id.0;
            if let Err(failure) = self.take_in(group, node).await {
                tracing::info!(node = id, %failure, "a node is not taken in yet");
            }
        }
        if let Err(failure) = self.place_partitions().await {
            tracing::info!(%failure, "partitions are not placed yet");
        }
        if let Err(failure) = self.let_nodes_go().await {
            tracing::info!(%failure, "a node is not removed yet");
        }
    }

    fn nodes(&self, state: NodeState) -> Vec<Node> {
        let view = self.service.view().read();
        let nodes = view.nodes().filter(|node| node.state == state);
        nodes.cloned().collect()
    }

    /// Active nodes of which the replica of the directory was retired, and is gone.
    fn without_directory(&self, group: &Group) -> Vec<Node> {
        let status = group.status();
        let takes_part = |node: &Node| {
            let replica = self.placed_on(node);
            replica.is_some_and(|replica| replica.leaving || status.has(replica.id.0))
        };
        let mut nodes = self.nodes(NodeState::Active);
        nodes.retain(|node| !takes_part(node));
        nodes
    }

    /// Gives a node that has none a replica of the directory, and calls it active once that has
    /// caught up.
    async fn take_in(&self, group: &Group, node: Node) -> Result<(), Failure> {
        let place = Direct::PlaceReplica {
            group: directory::GroupId::DIRECTORY,
            node: node.id,
        };
        let replica = match self.placed_on(&node) {
            Some(replica) => replica.id,
            None => match self.service.direct(place, STEP_WAIT).await? {
                Directed::Placed(replica) => replica,
                outcome => return Err(refused(outcome)),
            },
        };
        let status = group.status();
        if !status.has(replica.0) {
            // Only before it takes part: afterwards a node that does not know of it has lost its
            // data, and must not take part again.
            let welcome = self.usher.welcome(node, replica.0);
            welcome
                .await
                .map_err(|error| Failure::Busy(format!("{error:#}")))?;
            within(group.add_learner(replica.0)).await?;
            self.goes_on.store(true, Relaxed);
            return Ok(());
        }
        if node.state == NodeState::Joining && has_caught_up(&status, replica.0) {
            self.direct(Direct::ActivateNode { node: node.id }).await?;
            tracing::info!(node = node.id.0, "node joined");
        }
        Ok(())
    }

    fn placed_on(&self, node: &Node) -> Option<Replica> {
        let view = self.service.view().read();
        let placed = view.group(directory::GroupId::DIRECTORY)?;
        placed.replica_on(node.id).copied()
    }

    async fn direct(&self, command: Direct) -> Result<(), Failure> {
        match self.service.direct(command, STEP_WAIT).await? {
            Directed::Done => {
                self.goes_on.store(true, Relaxed);
                Ok(())
            }
            outcome => Err(refused(outcome)),
        }
    }

    async fn place_partitions(&self) -> Result<(), Failure> {
        let due = {
            let view = self.service.view().read();
            let active = view
                .nodes()
                .filter(|node| node.state == NodeState::Active)
                .count();
            view.cluster()
                .is_some_and(|cluster| active >= cluster.replicas as usize)
                && view.groups().all(|group| group.id.0 == 0)
        };
        if due {
            self.direct(Direct::PlacePartitions).await?;
        }
        Ok(())
    }

    /// Removes nodes that leave and hold nothing any more, but for a learner of the directory.
    async fn let_nodes_go(&self) -> Result<(), Failure> {
        for node in self.nodes(NodeState::Leaving) {
            let empty = {
                let view = self.service.view().read();
                let heir = node.successor.and_then(|heir| view.node(heir));
                heir.is_none_or(|heir| heir.state != NodeState::Joining)
                    && view.replicas_on(node.id).all(|(group, replica)| {
                        group.id == directory::GroupId::DIRECTORY && replica.role == Role::Learner
                    })
            };
            if empty {
                self.direct(Direct::RemoveNode { node: node.id }).await?;
                tracing::info!(node = node.id.0, "node removed");
            }
        }
        Ok(())
    }

    /// Tells the directory of a replica of the group whose node says that it has lost it for good.
    async fn retire_lost(&self, id: directory::GroupId) -> Result<(), Failure> {
        let lost = {
            let view = self.service.view().read();
            let mut placed = view
                .group(id)
                .into_iter()
                .flat_map(directory::Group::staying);
            let health = self.service.health();
            placed
                .find(|replica| health.is_lost(replica.node.0, replica.id.0))
                .copied()
        };
        let Some(Replica {
            id: replica, node, ..
        }) = lost
        else {
            return Ok(());
        };
        tracing::warn!(
            group = id.0,
            replica = replica.0,
            node = node.0,
            "replica is retired"
        );
        metrics::counter!("rookery_replicas_retired_total").increment(1);
        self.direct(Direct::RetireReplica { group: id, replica })
            .await
    }

    /// One step towards the members that the directory wants of a group that this node leads.
    /// `room` is for how many more groups new replicas may be brought up.
    async fn keep_members(
        &self,
        group: &Group,
        told: &BTreeSet<u64>,
        room: &AtomicUsize,
    ) -> Result<(), Failure> {
        self.retire_lost(directory::GroupId(group.id().0)).await?;
        if matches!(self.next_step(group, told).1, None | Some(Step::Wait)) {
            return Ok(());
        }
        // What this node knows of the directory may be old; what is done shall not be.
        self.service.refresh(STEP_WAIT).await?;
        let (seen, step) = self.next_step(group, told);
        let Some(step) = step else { return Ok(()) };
        tracing::debug!(group = group.id().0, ?step, "members");
        match step {
            Step::Wait => return Ok(()),
            Step::Lead(_) if !self.hands_over => return Ok(()),
            Step::Add(replica) => {
                let taken = |left: usize| left.checked_sub(1);
                if room.fetch_update(Relaxed, Relaxed, taken).is_err() {
                    return Ok(());
                }
                tracing::info!(group = group.id().0, replica, "replica is brought up");
                within(group.add_learner(replica)).await?;
            }
            Step::Lead(replica) => group.transfer(replica).await?,
            Step::Vote { voters, retain } => {
                tracing::info!(group = group.id().0, ?voters, "voters change");
                within(group.set_voters(voters, retain, &seen)).await?;
            }
            Step::PutOut(replicas) => within(group.put_out(replicas, &seen)).await?,
            Step::Tell(command) => self.direct(command).await?,
        }
        self.goes_on.store(true, Relaxed);
        Ok(())
    }

    fn next_step(
        &self,
        group: &Group,
        told: &BTreeSet<u64>,
    ) -> (crate::raft::GroupStatus, Option<Step>) {
        let status = group.status();
        let view = self.service.view().read();
        let wanted = Wanted::of(&view, directory::GroupId(group.id().0), told);
        let step = wanted.and_then(|wanted| wanted.step(group.replica(), &status, self.turn));
        (status, step)
    }

    /// Replicas of the directory on removed nodes that have heard so, or are not there to hear it.
    fn told(&mut self, group: &Group) -> BTreeSet<u64> {
        let status = group.status();
        let service = self.service.clone();
        let peers = service.router().local().groups().peers();
        let view = service.view().read();
        let mut told = BTreeSet::new();
        let mut farewells = BTreeMap::new();
        let replicas = view
            .group(directory::GroupId::DIRECTORY)
            .map(|group| &group.replicas[..]);
        for replica in replicas.unwrap_or_default() {
            let node = view.node(replica.node);
            if node.is_none_or(|node| node.state != NodeState::Removed) {
                continue;
            }
            let id = replica.id.0;
            let known = self.farewells.get(&id).copied();
            let (index, since) = known.unwrap_or((status.last_index, Instant::now()));
            let waited = since.elapsed();
            let heard = peers.heard(replica.node.0);
            let hears = heard.is_some_and(|ago| ago < HEARD_WAIT) && waited < FAREWELL_WAIT_MAX;
            let has = waited > FAREWELL_WAIT_MIN
                && status.matched_of(id).is_some_and(|upto| upto >= index);
            if has || !hears {
                told.insert(id);
            }
            farewells.insert(id, (index, since));
        }
        drop(view);
        self.farewells = farewells;
        told
    }
}

/// Within the time of a step; what is not done then goes on by itself or is done again.
async fn within(step: impl Future<Output = Result<(), GroupError>>) -> Result<(), Failure> {
    match tokio::time::timeout(STEP_WAIT, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::Busy("members take long to change".into())),
    }
}
