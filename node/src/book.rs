//! Where nodes and replicas are: as the directory says, and before that is there, as the data
//! directory remembers.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use directory::{NodeId, View};
use parking_lot::{Mutex, RwLock};
use tonic::transport::Channel;

use crate::identity::{Identity, Membership, Peer};
use crate::link::Dial;
use crate::tls::Tls;

/// Where nodes and replicas are.
pub struct Book {
    pub(crate) node: u64,
    pub(crate) directory: PathBuf,
    pub(crate) identity: Mutex<Identity>,
    pub(crate) view: Arc<RwLock<View>>,
    pub(crate) tls: Tls,
}

impl Book {
    fn known(&self, found: impl Fn(&Peer) -> bool) -> Option<Peer> {
        let identity = self.identity.lock();
        identity
            .cluster
            .as_ref()?
            .peers
            .iter()
            .find(|peer| found(peer))
            .cloned()
    }

    fn address(&self, node: u64) -> Option<String> {
        let view = self.view.read();
        let known = view
            .node(NodeId(node))
            .map(|node| node.addresses.peer.clone());
        drop(view);
        known.or_else(|| {
            self.known(|peer| peer.node == node)
                .map(|peer| peer.address)
        })
    }

    /// The replica of the directory on this node, once it belongs to a cluster.
    pub(crate) fn directory_replica(&self) -> Option<u64> {
        Some(self.identity.lock().cluster.as_ref()?.directory_replica)
    }

    /// Durably belongs to a cluster from now on.
    pub(crate) fn join(&self, membership: Membership) -> anyhow::Result<()> {
        let mut identity = self.identity.lock();
        let next = Identity {
            cluster: Some(membership),
            ..identity.clone()
        };
        next.write(&self.directory)?;
        *identity = next;
        Ok(())
    }
}

impl Dial for Book {
    fn dial(
        &self,
        node: u64,
    ) -> Pin<Box<dyn Future<Output = anyhow::Result<Channel>> + Send + '_>> {
        Box::pin(async move {
            let address = self
                .address(node)
                .ok_or_else(|| anyhow::anyhow!("the address of node {node} is not known"))?;
            Ok(self.tls.dial(&address, node).await?)
        })
    }

    fn node_of(&self, replica: u64) -> Option<u64> {
        let view = self.view.read();
        let placed = view
            .replica(directory::ReplicaId(replica))
            .map(|(_, found)| found.node.0);
        drop(view);
        placed
            .or_else(|| {
                self.known(|peer| peer.replica == replica)
                    .map(|peer| peer.node)
            })
            .or_else(|| (self.directory_replica() == Some(replica)).then_some(self.node))
    }

    fn others(&self, group: u64) -> Vec<u64> {
        let placed = {
            let view = self.view.read();
            let group = view.group(directory::GroupId(group));
            group.map(|group| {
                let nodes = group.replicas.iter().map(|replica| replica.node.0);
                nodes.collect::<Vec<_>>()
            })
        };
        // Before the directory is there, only its own replicas are known.
        let known = || {
            let identity = self.identity.lock();
            let cluster = identity.cluster.as_ref().filter(|_| group == 0);
            let peers = cluster.map(|cluster| cluster.peers.iter().map(|peer| peer.node));
            peers.into_iter().flatten().collect()
        };
        let mut nodes = placed.unwrap_or_else(known);
        nodes.retain(|node| *node != self.node);
        nodes
    }
}
