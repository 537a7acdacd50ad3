//! What goes on without anybody asking.
//!
//! Every node runs one steward, and each task is done by whoever leads the group that it belongs
//! to, so it goes on after any failover; each step may be done twice.
//!
//! - The directory's leader takes in nodes that join, places partitions once there are enough
//!   nodes, lets nodes go that hold nothing any more, and drives operations that span groups:
//!   accounts being made and deleted.
//! - The leader of each group brings its members to what the directory wants.
//! - The leader of a partition proposes a `Tick` when something is due to expire, and hands the
//!   lead back to the replica that shall have it, so that leaders stay spread.
//!
//! Read on: `members` and `wanted` for nodes and replicas, `accounts` for operations, `lead` for
//! who leads.

mod accounts;
mod lead;
mod members;
mod wanted;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use directory::Outcome as Directed;
use mailbox::Command;

use super::call::Failure;
use super::limits::{BALANCE_TURNS, STEWARD_PAUSE};
use super::local::now_ms;
use super::{DIRECTORY, Lane, Service};
use crate::raft::Group;
use crate::replica::GroupId;

/// How long one step may take before it is tried again in another turn.
const STEP_WAIT: Duration = Duration::from_secs(5);

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
    // Members take long to change where nodes are lost; nothing else waits for that.
    let members = members::run(service.clone(), usher);
    tokio::join!(members, keep(service));
}

async fn keep(service: Service) {
    let mut steward = Steward {
        lanes: Vec::new(),
        service,
        settled: BTreeMap::new(),
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
    /// Lanes that no command is in flight on.
    lanes: Vec<Lane>,
    /// For how many looks in a row the preferred replica of a group was fit to lead.
    settled: BTreeMap<GroupId, u32>,
}

impl Steward {
    async fn turn(&mut self, turn: u64) {
        let groups = self.service.router().local().groups().all();
        for group in groups.iter().filter(|group| group.is_leader()) {
            if group.id() == DIRECTORY {
                self.keep_directory(group).await;
            } else {
                self.tick(group).await;
            }
            if turn.is_multiple_of(BALANCE_TURNS) {
                self.balance(group).await;
            }
        }
    }

    async fn keep_directory(&mut self, group: &Group) {
        if let Err(failure) = self.drive_operations(group).await {
            tracing::info!(%failure, "an operation goes on later");
        }
    }

    /// Lets log time expire what is due.
    async fn tick(&mut self, group: &Group) {
        let due = group.rows().next_due();
        if due.is_none_or(|due| due > now_ms()) {
            return;
        }
        let free = self.lanes.pop();
        let mut lane = free.unwrap_or_else(|| self.service.lanes().open());
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
}

fn refused(outcome: Directed) -> Failure {
    match outcome {
        Directed::Rejected(why) => Failure::Invalid(why.to_string()),
        outcome => Failure::Invalid(format!("unexpected outcome {outcome:?}")),
    }
}
