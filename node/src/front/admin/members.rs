//! Nodes and replicas that come and go.
//!
//! A call changes what the directory wants and returns; the rest is done by the leaders of the
//! groups, whoever that is by then. [`AdminServer::under_way`] says how far it is.

use directory::{Addresses, Command, GroupId, NodeId, NodeReport, NodeState, Role};
use futures_util::StreamExt as _;
use futures_util::stream;
use proto::v1;
use tonic::{Response, Status};

use super::status::node_state;
use super::{AdminServer, status};
use crate::front::limits::{ADMIN_WAIT, JOIN_WAIT, MOVES_ASKED_AT_ONCE, MOVES_WAIT};
use crate::identity::FEATURE_LEVEL;
use crate::service::{Answer, Call};

type Done = Result<Response<v1::AdminDone>, Status>;

impl AdminServer {
    pub(super) async fn add(&self, who: &str, asked: v1::AdminAddNodeRequest) -> Done {
        let node = NodeId(asked.node);
        self.service().refresh(ADMIN_WAIT).await.map_err(status)?;
        let known = self.service().view().read().node(node).cloned();
        if let Some(known) = known
            && matches!(known.state, NodeState::Active | NodeState::Leaving)
        {
            return Err(Status::already_exists(format!(
                "node {node} belongs to the cluster; if it has lost its data it comes back under \
                 another number: rookery node replace {node} NEW --peer HOST:PORT"
            )));
        }
        let join = Command::JoinNode(report(node, asked.peer));
        self.change(who, join).await?;
        self.until(JOIN_WAIT, |view| {
            let found = view.node(node);
            found.is_some_and(|found| found.state == NodeState::Active)
        })
        .await?;
        Ok(Response::new(v1::AdminDone {}))
    }

    pub(super) async fn replace(&self, who: &str, asked: v1::AdminReplaceNodeRequest) -> Done {
        let new = NodeId(asked.new);
        self.service().refresh(ADMIN_WAIT).await.map_err(status)?;
        let known = self.service().view().read().node(new).cloned();
        let known = known.filter(|known| known.state != NodeState::Removed);
        let peer = match known {
            Some(known) if asked.peer.is_empty() => known.addresses.peer,
            Some(known) if known.addresses.peer != asked.peer => {
                return Err(Status::already_exists(format!(
                    "node {new} belongs to the cluster, and its peer address is {}",
                    known.addresses.peer
                )));
            }
            Some(_) => asked.peer,
            None if asked.peer.is_empty() => {
                return Err(Status::invalid_argument(format!(
                    "node {new} is not known: say where it is, with --peer HOST:PORT"
                )));
            }
            None => asked.peer,
        };
        let replace = Command::ReplaceNode {
            old: NodeId(asked.old),
            new: report(new, peer),
        };
        self.change(who, replace).await?;
        Ok(Response::new(v1::AdminDone {}))
    }

    pub(super) async fn remove(&self, who: &str, asked: v1::AdminRemoveNodeRequest) -> Done {
        let node = NodeId(asked.node);
        self.service().refresh(ADMIN_WAIT).await.map_err(status)?;
        let known = self.service().view().read().node(node).cloned();
        if known.is_some_and(|known| known.state == NodeState::Removed) {
            return Ok(Response::new(v1::AdminDone {}));
        }
        let drain = Command::DrainNode {
            node,
            shrink: asked.shrink,
        };
        self.change(who, drain).await.map_err(|refusal| {
            if refusal.message() == directory::Rejection::TooFewNodes.to_string() {
                let why = format!(
                    "there are too few active nodes to take over all replicas of node {node}: add \
                     one, or let partitions have fewer replicas with --shrink"
                );
                return Status::failed_precondition(why);
            }
            refusal
        })?;
        Ok(Response::new(v1::AdminDone {}))
    }

    pub(super) async fn move_one(&self, who: &str, asked: v1::AdminMoveReplicaRequest) -> Done {
        let wanted = Command::MoveReplica {
            group: GroupId(asked.group),
            from: NodeId(asked.from),
            to: NodeId(asked.to),
        };
        self.change(who, wanted).await?;
        Ok(Response::new(v1::AdminDone {}))
    }

    /// What is on its way, as the directory and the leaders of the groups know it now.
    pub(super) async fn under_way(&self) -> Result<v1::AdminMoves, Status> {
        self.service().refresh(ADMIN_WAIT).await.map_err(status)?;
        let (nodes, groups) = {
            let view = self.service().view().read();
            let moving = view.nodes().filter(|node| node.state != NodeState::Active);
            let nodes: Vec<v1::AdminNodeMove> = moving
                .map(|node| v1::AdminNodeMove {
                    node: node.id.0,
                    state: node_state(node.state).into(),
                    successor: node.successor.map_or(0, |node| node.0),
                })
                .collect();
            let unsettled = view.groups().filter(|group| match group.id {
                GroupId::DIRECTORY => {
                    let mut voters = view.directory_voters();
                    voters.sort_unstable();
                    group.voters().map(|voter| voter.id).ne(voters)
                }
                _ => !group.is_settled(),
            });
            (nodes, unsettled.cloned().collect::<Vec<_>>())
        };
        let asked = groups.into_iter().map(|group| self.replica_moves(group));
        let replicas: Vec<Vec<v1::AdminReplicaMove>> = stream::iter(asked)
            .buffered(MOVES_ASKED_AT_ONCE)
            .collect()
            .await;
        Ok(v1::AdminMoves {
            nodes,
            replicas: replicas.concat(),
        })
    }

    async fn replica_moves(&self, group: directory::Group) -> Vec<v1::AdminReplicaMove> {
        let id = crate::replica::GroupId(group.id.0);
        let asked = self.service().ask(id, Call::Members, MOVES_WAIT).await;
        let known = match asked {
            Ok(Answer::Members(known)) => known,
            Ok(_) | Err(_) => v1::StoreMembership::default(),
        };
        let moves = group.replicas.iter().map(|replica| {
            let mut members = known.members.iter();
            let member = members.find(|member| member.replica == replica.id.0);
            let snapshot = member.and_then(|member| member.snapshot);
            v1::AdminReplicaMove {
                group: group.id.0,
                replica: replica.id.0,
                node: replica.node.0,
                voter: replica.role == Role::Voter,
                leaving: replica.leaving,
                last_index: known.last_index,
                matched: member.and_then(|member| member.matched),
                snapshot: snapshot.map(|sent| v1::AdminSnapshot {
                    group: group.id.0,
                    replica: replica.id.0,
                    node: replica.node.0,
                    row_bytes: sent.row_bytes,
                    rows: sent.rows,
                    bodies: sent.bodies,
                    body_bytes: sent.body_bytes,
                    seconds: sent.seconds,
                }),
            }
        });
        moves.collect()
    }
}

fn report(node: NodeId, peer: String) -> NodeReport {
    let addresses = Addresses {
        peer,
        ..Addresses::default()
    };
    NodeReport {
        node,
        addresses,
        feature_level: FEATURE_LEVEL,
    }
}
