//! What goes on without anybody asking.
//!
//! Every node runs one steward, and each task is done by whoever leads the group that it belongs
//! to, so it goes on after any failover; each step may be done twice.
//!
//! - The directory's leader takes in nodes that join, places partitions once there are enough
//!   nodes, lets nodes go that hold nothing any more, and drives operations that span groups:
//!   accounts being made and deleted.
//! - The leader of each group brings its members to what the directory wants.
//! - The leader of a partition proposes a `Tick` when something is due to expire, tells the
//!   partition the cluster's retention when that was set or it has just come to lead, and hands the
//!   lead back to the replica that shall have it, so that leaders stay spread. It ends moves into
//!   other accounts that a session began and did not end.
//!
//! Read on: `members` and `wanted` for nodes and replicas, `accounts` for operations, `unfinished`
//! for moves, `lead` for who leads.

mod accounts;
mod lead;
mod members;
mod unfinished;
mod wanted;

pub use unfinished::Finisher;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use directory::Outcome as Directed;
use mailbox::{Command, Millis};

use super::call::Failure;
use super::deleted::{DAY_MS, RETENTION_SETTING};
use super::limits::{BALANCE_TURNS, STEWARD_PAUSE};
use super::{DIRECTORY, Service};
use crate::raft::Group;
use crate::replica::GroupId;

/// How long one step may take before it is tried again in another turn.
const STEP_WAIT: Duration = Duration::from_secs(5);

/// Tells a node which replica of the directory it holds, one that joins or one that has lost that
/// which it had; the server implements it.
pub trait Usher: Send + Sync + 'static {
    /// Tells a node that it holds `replica` of the directory.
    fn welcome(
        &self,
        node: directory::Node,
        replica: u64,
    ) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + '_>>;
}

/// Runs for as long as the node does.
pub async fn run(service: Service, usher: std::sync::Arc<dyn Usher>) {
    // Members take long to change where nodes are lost, moves to be finished, and accounts to be
    // made where there is no leader; nothing else waits for that.
    let members = members::run(service.clone(), usher);
    let moves = unfinished::run(service.clone());
    let accounts = accounts::run(service.clone());
    tokio::join!(members, moves, accounts, keep(service));
}

async fn keep(service: Service) {
    let mut steward = Steward {
        service,
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
            if group.id() != DIRECTORY {
                self.tick(group).await;
                self.tell_retention(group).await;
            }
            if turn.is_multiple_of(BALANCE_TURNS) {
                self.balance(group).await;
            }
        }
    }

    /// Lets log time expire what is due.
    async fn tick(&mut self, group: &Group) {
        let due = group.rows().next_due();
        if due.is_none_or(|due| due > self.service.clock().now_ms()) {
            return;
        }
        // It is not remembered, so its lane cannot be used again: none that others could have.
        let mut lane = self.service.lanes().fresh(Some(group.id()));
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
        if let Err(failure) = ticked {
            tracing::debug!(group = group.id().0, %failure, "tick");
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
        let mut lane = self.service.lanes().open_to(group.id());
        let command = Command::SetDefaultRetention { retention };
        let told = self
            .service
            .propose(group.id(), &mut lane, command, Bytes::new(), STEP_WAIT)
            .await;
        match told {
            // Told again, on another lane.
            Ok(mailbox::Outcome::Forgotten) => {}
            Ok(outcome) => {
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
}

fn refused(outcome: Directed) -> Failure {
    match outcome {
        Directed::Rejected(why) => Failure::Invalid(why.to_string()),
        outcome => Failure::Invalid(format!("unexpected outcome {outcome:?}")),
    }
}
