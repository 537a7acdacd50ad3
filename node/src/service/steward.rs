//! What goes on without anybody asking.
//!
//! Every node runs one steward, and each task is done by whoever leads the group that it belongs
//! to, so it goes on after any failover; each step may be done twice.
//!
//! - The directory's leader takes in nodes that join, places partitions once there are enough
//!   nodes, and drives operations that span groups: accounts being made and deleted.
//! - The leader of a partition proposes a `Tick` when something is due to expire, tells the
//!   partition the cluster's retention when that was set or it has just come to lead, and hands the
//!   lead back to the replica that shall have it, so that leaders stay spread.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use directory::{Command as Direct, NodeState, OperationKind, Outcome as Directed};
use futures_util::stream::{self, TryStreamExt as _};
use mailbox::{Command, Millis, NewFolder, SpecialUse};
use parking_lot::Mutex;

use super::call::Failure;
use super::deleted::{DAY_MS, RETENTION_SETTING};
use super::limits::{
    BALANCE_LAG_MAX, BALANCE_TURNS, OPERATIONS_AT_ONCE, OPERATIONS_IN_FLIGHT, STEWARD_PAUSE,
};
use super::local::now_ms;
use super::{DIRECTORY, Lane, Service};
use crate::raft::Group;
use crate::replica::GroupId;

/// How long one step may take before it is tried again in another turn.
const STEP_WAIT: Duration = Duration::from_secs(5);

/// Voters of the directory; further nodes hold it without a vote.
const DIRECTORY_VOTERS_MAX: usize = 5;

/// Folders that an account is made with.
const FOLDERS: [(&str, SpecialUse); 5] = [
    ("Archive", SpecialUse::Archive),
    ("Drafts", SpecialUse::Drafts),
    ("Junk", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
];

/// Tells a node that joins which replica it holds; the server implements it.
pub trait Usher: Send + Sync + 'static {
    /// Tells `node`, which listens at `peer`, that it holds `replica` of the directory.
    fn welcome(
        &self,
        node: u64,
        peer: String,
        replica: u64,
    ) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + '_>>;
}

/// Runs for as long as the node does.
pub async fn run(service: Service, usher: std::sync::Arc<dyn Usher>) {
    let mut steward = Steward {
        lanes: Vec::new(),
        service,
        usher,
        settled: BTreeMap::new(),
        retentions: BTreeMap::new(),
    };
    let mut turn = 0_u64;
    loop {
        tokio::time::sleep(STEWARD_PAUSE).await;
        turn += 1;
        steward.turn(turn).await;
    }
}

struct Steward {
    service: Service,
    usher: std::sync::Arc<dyn Usher>,
    /// Lanes that no command is in flight on.
    lanes: Vec<Lane>,
    /// For how many looks in a row the preferred replica of a group was fit to lead.
    settled: BTreeMap<GroupId, u32>,
    /// The retention, in days, that partitions were told since this node leads them.
    retentions: BTreeMap<GroupId, u64>,
}

impl Steward {
    async fn turn(&mut self, turn: u64) {
        let groups = self.service.router().local().groups().all();
        let leads = |id: &GroupId| groups.iter().any(|one| one.id() == *id && one.is_leader());
        self.retentions.retain(|id, _| leads(id));
        for group in groups.iter().filter(|group| group.is_leader()) {
            if group.id() == DIRECTORY {
                self.keep_directory(group).await;
            } else {
                self.tick(group).await;
                self.tell_retention(group).await;
            }
            if turn.is_multiple_of(BALANCE_TURNS) {
                self.balance(group).await;
            }
        }
    }

    async fn keep_directory(&mut self, group: &Group) {
        if let Err(failure) = self.take_in_nodes(group).await {
            tracing::info!(%failure, "a node is not taken in yet");
        }
        if let Err(failure) = self.place_partitions().await {
            tracing::info!(%failure, "partitions are not placed yet");
        }
        if let Err(failure) = self.drive_operations(group).await {
            tracing::info!(%failure, "an operation goes on later");
        }
    }

    /// Gives every joining node a replica of the directory, lets it vote, and calls it active.
    async fn take_in_nodes(&self, group: &Group) -> Result<(), Failure> {
        let joining: Vec<directory::Node> = {
            let view = self.service.view().read();
            view.nodes()
                .filter(|node| node.state == NodeState::Joining)
                .cloned()
                .collect()
        };
        for node in joining {
            let placed = {
                let view = self.service.view().read();
                view.group(directory::GroupId(0))
                    .and_then(|directory| directory.replica_on(node.id).copied())
            };
            let replica = match placed {
                Some(replica) => replica.id,
                None => {
                    let place = Direct::PlaceReplica {
                        group: directory::GroupId(0),
                        node: node.id,
                    };
                    match self.service.direct(place, STEP_WAIT).await? {
                        Directed::Placed(replica) => replica,
                        outcome => return Err(refused(outcome)),
                    }
                }
            };
            self.usher
                .welcome(node.id.0, node.addresses.peer.clone(), replica.0)
                .await
                .map_err(|error| Failure::Busy(format!("node {}: {error:#}", node.id)))?;
            if group.status().voters.len() < DIRECTORY_VOTERS_MAX {
                let added = tokio::time::timeout(STEP_WAIT, group.add_voter(replica.0)).await;
                added.map_err(|_| Failure::Busy("still catching up".into()))??;
                let mark = Direct::MarkVoter {
                    group: directory::GroupId(0),
                    replica,
                };
                self.service.direct(mark, STEP_WAIT).await?;
            }
            let activate = Direct::ActivateNode { node: node.id };
            match self.service.direct(activate, STEP_WAIT).await? {
                Directed::Done => tracing::info!(node = node.id.0, "node joined"),
                outcome => return Err(refused(outcome)),
            }
        }
        Ok(())
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
        if !due {
            return Ok(());
        }
        match self
            .service
            .direct(Direct::PlacePartitions, STEP_WAIT)
            .await?
        {
            Directed::Done => Ok(()),
            outcome => Err(refused(outcome)),
        }
    }

    /// Does the partition's part of what spans groups, then says so.
    async fn drive_operations(&mut self, group: &Group) -> Result<(), Failure> {
        let pending = group
            .rows()
            .read(|rows| directory::pending(rows, OPERATIONS_AT_ONCE))
            .map_err(|fault| Failure::Broken(fault.to_string()))?;
        let lanes = Mutex::new(std::mem::take(&mut self.lanes));
        let driven: Result<(), Failure> = stream::iter(pending.into_iter().map(Ok))
            .try_for_each_concurrent(OPERATIONS_IN_FLIGHT, |operation| {
                self.drive(&lanes, operation)
            })
            .await;
        self.lanes = lanes.into_inner();
        driven
    }

    /// Does one operation, through a lane that no other one uses meanwhile.
    async fn drive(
        &self,
        lanes: &Mutex<Vec<Lane>>,
        operation: directory::Operation,
    ) -> Result<(), Failure> {
        let account = mailbox::AccountId(operation.account.0);
        let command = match operation.kind {
            OperationKind::CreateAccount => Command::CreateAccount {
                account,
                folders: new_folders(),
                quota_bytes: operation.quota_bytes,
            },
            OperationKind::DeleteAccount => Command::DeleteAccount { account },
        };
        let free = lanes.lock().pop();
        let mut lane = free.unwrap_or_else(|| self.service.lanes().open());
        let partition = GroupId(operation.partition.0);
        let outcome = self
            .service
            .propose(partition, &mut lane, command, Bytes::new(), STEP_WAIT)
            .await?;
        match outcome {
            mailbox::Outcome::Done(_) => {}
            mailbox::Outcome::Rejected(mailbox::Rejection::NoAccount)
                if operation.kind == OperationKind::DeleteAccount => {}
            outcome => return Err(Failure::Invalid(format!("{outcome:?}"))),
        }
        // A lane whose command may still be on its way is not used again.
        lanes.lock().push(lane);
        let finish = Direct::FinishOperation {
            operation: operation.id,
        };
        self.service.direct(finish, STEP_WAIT).await?;
        Ok(())
    }

    /// Lets log time expire what is due.
    async fn tick(&mut self, group: &Group) {
        let due = group.rows().next_due();
        if due.is_none_or(|due| due > now_ms()) {
            return;
        }
        let mut lane = self.lane();
        let ticked = self
            .service
            .propose(
                group.id(),
                &mut lane,
                Command::Tick,
                Bytes::new(),
                STEP_WAIT,
            )
            .await;
        match ticked {
            Ok(_) => self.lanes.push(lane),
            Err(failure) => tracing::debug!(group = group.id().0, %failure, "tick"),
        }
    }

    /// Tells the partition for how long to keep what was deleted, if the cluster has a setting.
    async fn tell_retention(&mut self, group: &Group) {
        let days = {
            let view = self.service.view().read();
            let set = view.setting(RETENTION_SETTING);
            set.and_then(|days| days.parse::<u64>().ok())
        };
        let Some(days) = days.filter(|days| self.retentions.get(&group.id()) != Some(days)) else {
            return;
        };
        let retention = Millis(days.saturating_mul(DAY_MS));
        let mut lane = self.lane();
        let command = Command::SetDefaultRetention { retention };
        let told = self
            .service
            .propose(group.id(), &mut lane, command, Bytes::new(), STEP_WAIT)
            .await;
        match told {
            Ok(outcome) => {
                self.lanes.push(lane);
                if let mailbox::Outcome::Done(_) = outcome {
                    tracing::info!(group = group.id().0, days, "retention");
                } else {
                    tracing::warn!(group = group.id().0, days, ?outcome, "retention not taken");
                }
                self.retentions.insert(group.id(), days);
            }
            Err(failure) => tracing::debug!(group = group.id().0, %failure, "retention"),
        }
    }

    /// A lane that no command is in flight on.
    fn lane(&mut self) -> Lane {
        let free = self.lanes.pop();
        free.unwrap_or_else(|| self.service.lanes().open())
    }

    /// Hands the lead to the replica that was placed first, once it has kept up for two looks.
    async fn balance(&mut self, group: &Group) {
        let preferred = {
            let view = self.service.view().read();
            view.group(directory::GroupId(group.id().0))
                .map(|placed| placed.first.0)
        };
        let Some(preferred) = preferred.filter(|first| *first != group.replica()) else {
            self.settled.remove(&group.id());
            return;
        };
        let status = group.status();
        let fit = status.matched.iter().any(|(replica, matched)| {
            *replica == preferred
                && status.voters.contains(replica)
                && matched.is_some_and(|upto| upto + BALANCE_LAG_MAX >= status.last_index)
        });
        let looks = self.settled.entry(group.id()).or_insert(0);
        *looks = if fit { *looks + 1 } else { 0 };
        if *looks >= 2 {
            self.settled.remove(&group.id());
            if let Err(error) = group.transfer(preferred).await {
                tracing::debug!(group = group.id().0, %error, "transfer");
            }
        }
    }
}

fn new_folders() -> Vec<NewFolder> {
    FOLDERS
        .into_iter()
        .map(|(name, special_use)| NewFolder {
            name: name.into(),
            special_use: Some(special_use),
        })
        .collect()
}

fn refused(outcome: Directed) -> Failure {
    match outcome {
        Directed::Rejected(why) => Failure::Invalid(why.to_string()),
        outcome => Failure::Invalid(format!("unexpected outcome {outcome:?}")),
    }
}
