//! Listening to other nodes: hints of the groups that do not run here.
//!
//! ```text
//!   a group runs here, and is not behind in a snapshot    its replica hints
//!   otherwise                                             all other nodes that hold one
//! ```
//!
//! One stream for each node is enough, since a node forwards the hints of all its groups; where
//! every group runs here there is none. All holders are listened to, not one of them: so a change
//! is heard of at once, whichever of their replicas is out of service or behind. Who hears of it
//! again asks once more and finds nothing, which costs little.
//!
//! What was hinted while there was no stream nobody knows. So when one is open, everybody who
//! watches an account is woken.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::Status;

use super::limits::{LISTEN_LOOK, LISTEN_PAUSE};
use super::remote::StoreClient;
use super::{Hub, Service};
use crate::raft::Groups;
use crate::replica::GroupId;

/// Runs for as long as the node does.
pub async fn run(service: Service) {
    let mut listening = BTreeMap::new();
    loop {
        let wanted = holders_elsewhere(&service);
        listening.retain(|node, _| wanted.contains(node));
        for node in wanted {
            listening
                .entry(node)
                .or_insert_with(|| Listening::begin(service.clone(), node));
        }
        sleep(LISTEN_LOOK).await;
    }
}

/// The other nodes that hold a replica of a group that does not hint here.
fn holders_elsewhere(service: &Service) -> BTreeSet<u64> {
    let groups = service.router().local().groups();
    let view = service.view().read();
    let elsewhere = view
        .groups()
        .filter(|group| !hints_here(groups, GroupId(group.id.0)));
    let holders = elsewhere.flat_map(|group| group.replicas.iter().map(|replica| replica.node.0));
    holders.filter(|node| *node != service.node()).collect()
}

fn hints_here(groups: &Groups, id: GroupId) -> bool {
    let group = groups.get(id);
    group.is_some_and(|group| !group.rows().is_arriving())
}

/// A node that is listened to, until this is dropped.
struct Listening(JoinHandle<()>);

impl Listening {
    fn begin(service: Service, node: u64) -> Self {
        Self(tokio::spawn(async move {
            loop {
                // The link connects by itself, and again.
                if let Some(client) = service.router().remote().client(node) {
                    let ended = hear(service.hub(), client).await;
                    tracing::debug!(node, ?ended, "no hints from another node");
                }
                sleep(LISTEN_PAUSE).await;
            }
        }))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Passes on what a node hints until the stream ends.
async fn hear(hub: &Hub, mut client: StoreClient) -> Result<(), Status> {
    let asked = client.watch(v1::StoreWatchRequest {}).await?;
    let mut hints = asked.into_inner();
    hub.wake_all();
    while let Some(frame) = hints.message().await? {
        hub.receive(&frame);
    }
    Ok(())
}
