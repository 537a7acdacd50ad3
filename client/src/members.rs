//! Nodes and replicas that come and go: the calls, and when what they began has ended.
//!
//! A change is answered once the cluster has decided it; what follows, it does by itself.
//! [`Admin::moves`] says how far it is, and a [`Goal`] when it is done.

use proto::v1::{
    AdminAddNodeRequest, AdminMoveReplicaRequest, AdminMoves, AdminMovesRequest,
    AdminRemoveNodeRequest, AdminReplaceNodeRequest, AdminReplicaMove,
};

use crate::Error;
use crate::admin::{Admin, Client};
use crate::limits::{CHANGE_WAIT, CLUSTER_WAIT, READ_WAIT};

impl Admin {
    /// Adds a running, empty node, at its peer address `host:port`. It is active when this returns;
    /// its replicas follow.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn add_node(&self, node: u64, peer: String) -> Result<(), Error> {
        let wanted = AdminAddNodeRequest { node, peer };
        let call = async |mut client: Client, request| client.add_node(request).await;
        self.change(CLUSTER_WAIT, call, wanted).await.map(drop)
    }

    /// Lets `new` take the place of `old`, which may be lost; it joins at its peer address
    /// `host:port`, which may be empty for a node of the cluster.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn replace_node(&self, old: u64, new: u64, peer: String) -> Result<(), Error> {
        let wanted = AdminReplaceNodeRequest { old, new, peer };
        let call = async |mut client: Client, request| client.replace_node(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }

    /// Lets a node give its replicas to others and leave. With `shrink`, partitions for which there
    /// is no other node keep fewer replicas.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn remove_node(&self, node: u64, shrink: bool) -> Result<(), Error> {
        let wanted = AdminRemoveNodeRequest { node, shrink };
        let call = async |mut client: Client, request| client.remove_node(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }

    /// Gives a partition a replica on the node `to` in place of the one on `from`.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn move_replica(&self, group: u64, from: u64, to: u64) -> Result<(), Error> {
        let wanted = AdminMoveReplicaRequest { group, from, to };
        let call = async |mut client: Client, request| client.move_replica(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }

    /// Nodes and replicas that are on their way.
    ///
    /// # Errors
    ///
    /// As [`Admin::status`].
    pub async fn moves(&self) -> Result<AdminMoves, Error> {
        let call = async |mut client: Client, request| client.moves(request).await;
        self.read(READ_WAIT, call, || AdminMovesRequest {}).await
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A node has joined, and all groups that it holds are as they shall be.
    NodeSettled(u64),
    /// A node was removed.
    NodeGone(u64),
    /// A group is as it shall be.
    GroupSettled(u64),
}

impl Goal {
    /// Whether it is reached.
    #[must_use]
    pub fn is_reached(self, moves: &AdminMoves) -> bool {
        let state = |id| {
            let found = moves.nodes.iter().find(|node| node.node == id);
            found.map(|node| node.state.as_str())
        };
        match self {
            Self::NodeSettled(node) => {
                state(node) != Some("joining") && self.missing(moves).next().is_none()
            }
            Self::NodeGone(node) => state(node) == Some("removed"),
            Self::GroupSettled(_) => self.missing(moves).next().is_none(),
        }
    }

    /// The replicas that are still to come or to go for it.
    pub fn missing(self, moves: &AdminMoves) -> impl Iterator<Item = &AdminReplicaMove> {
        let holds = move |group: u64, node: u64| {
            let mut replicas = moves.replicas.iter();
            replicas.any(|it| it.group == group && it.node == node)
        };
        moves.replicas.iter().filter(move |replica| {
            let moves = replica.leaving || !replica.voter;
            // Of the directory a learner may be all that a node gets.
            let partition = replica.group != 0;
            moves
                && partition
                && match self {
                    Self::NodeSettled(node) | Self::NodeGone(node) => holds(replica.group, node),
                    Self::GroupSettled(group) => replica.group == group,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::AdminNodeMove;

    use super::*;

    fn replica(group: u64, node: u64, voter: bool, leaving: bool) -> AdminReplicaMove {
        AdminReplicaMove {
            group,
            node,
            voter,
            leaving,
            ..AdminReplicaMove::default()
        }
    }

    fn node(node: u64, state: &str) -> AdminNodeMove {
        AdminNodeMove {
            node,
            state: state.into(),
            successor: 0,
        }
    }

    #[test]
    fn a_node_that_is_replaced_goes_when_its_successor_has_all() {
        let mut moves = AdminMoves {
            nodes: vec![node(3, "leaving"), node(4, "joining")],
            replicas: Vec::new(),
        };
        let (came, gone) = (Goal::NodeSettled(4), Goal::NodeGone(3));
        assert!(!came.is_reached(&moves) && !gone.is_reached(&moves));
        moves.nodes.pop();
        moves.replicas = vec![
            replica(0, 4, false, false),
            replica(1, 1, true, false),
            replica(1, 3, true, true),
            replica(1, 4, false, false),
            replica(2, 1, false, false),
        ];
        assert!(!came.is_reached(&moves) && !gone.is_reached(&moves));
        assert_eq!(came.missing(&moves).count(), 2);
        assert!(!Goal::GroupSettled(2).is_reached(&moves));
        moves.replicas.truncate(1);
        assert!(came.is_reached(&moves) && !gone.is_reached(&moves));
        moves.nodes = vec![node(3, "removed")];
        assert!(gone.is_reached(&moves));
    }
}
