//! The first node makes the cluster.
//!
//! ```text
//!   joined    the data directory says which cluster it is, from here on for ever
//!   started   the directory's group, of which this node is the only member
//!   Init      the directory's first row; whoever has asked proposes it
//! ```
//!
//! Whatever fails on the way is asked for again, and goes on where it was, until there is that row.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::Status;

use super::{Node, hex, internal};
use crate::identity::Membership;
use crate::service::DIRECTORY;

const FIRST_REPLICA: u64 = directory::ReplicaId::FIRST.0;

impl Node {
    /// Makes this node the first of a new cluster, and answers the cluster's id, which is to be
    /// proposed to the directory with [`directory::Command::Init`]. Who goes away meanwhile leaves
    /// nothing half done: a group of which the rows are open, and no more, would never start.
    ///
    /// # Errors
    ///
    /// When it belongs to one, or the directory's group does not start.
    pub async fn found_cluster(self: &Arc<Self>) -> Result<[u8; 16], Status> {
        let node = Arc::clone(self);
        let founding = tokio::spawn(async move { node.found().await });
        founding.await.map_err(internal)?
    }

    async fn found(&self) -> Result<[u8; 16], Status> {
        let cluster = {
            // Of two who ask at the same time the second goes on with what the first has begun.
            let _alone = self.started.lock().await;
            match self.begun_cluster()? {
                Some(begun) => begun,
                None => self.join_new()?,
            }
        };
        self.start(DIRECTORY, FIRST_REPLICA)
            .await
            .map_err(internal)?;
        let group = self
            .groups
            .get(DIRECTORY)
            .ok_or_else(|| Status::unavailable("the directory does not run yet"))?;
        if group.status().voters.is_empty() {
            group
                .initialize(BTreeSet::from([FIRST_REPLICA]))
                .await
                .map_err(internal)?;
        }
        self.founded.notify_waiters();
        self.founded.notify_one();
        Ok(cluster)
    }

    /// Durably belongs to a cluster that nobody else knows.
    fn join_new(&self) -> Result<[u8; 16], Status> {
        let cluster: [u8; 16] = rand::random();
        let membership = Membership {
            id: hex(&cluster),
            directory_replica: FIRST_REPLICA,
            peers: Vec::new(),
        };
        self.book.join(membership).map_err(internal)?;
        Ok(cluster)
    }

    /// The cluster that this node began to make, of which there is no directory yet; `None` if it
    /// belongs to none.
    fn begun_cluster(&self) -> Result<Option<[u8; 16]>, Status> {
        let known = self.book.identity.lock().cluster.clone();
        let Some(known) = known else { return Ok(None) };
        // One that was welcomed by others knows where they are.
        let is_own = known.directory_replica == FIRST_REPLICA && known.peers.is_empty();
        let there = self.view.read().cluster().is_some();
        let id = u128::from_str_radix(&known.id, 16).ok();
        match id.filter(|_| is_own && !there) {
            Some(id) => Ok(Some(id.to_be_bytes())),
            None => Err(Status::already_exists("this node belongs to a cluster")),
        }
    }
}
