//! Nodes and groups, as this node sees them.

use std::sync::Arc;
use std::time::Duration;

use directory::NodeState;
use proto::v1;

use super::AdminServer;
use crate::raft::{Condition, Group};

pub(super) fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Active => "active",
        NodeState::Leaving => "leaving",
        NodeState::Removed => "removed",
    }
}

impl AdminServer {
    pub(super) fn nodes(&self) -> Vec<v1::AdminNode> {
        let own = self.service().node();
        let health = self.service().health();
        let peers = self.service().router().local().groups().peers();
        let view = self.service().view().read();
        view.nodes()
            .map(|node| v1::AdminNode {
                node: node.id.0,
                peer: node.addresses.peer.clone(),
                imap: node.addresses.imap.clone(),
                imaps: node.addresses.imaps.clone(),
                lmtp: node.addresses.lmtp.clone(),
                admin: node.addresses.admin.clone(),
                reachable: node.id.0 == own
                    || peers
                        .heard(node.id.0)
                        .is_some_and(|ago| ago < Duration::from_secs(1)),
                state: node_state(node.state).into(),
                condition: health
                    .of(node.id.0)
                    .map(|condition| condition_of(&condition)),
            })
            .collect()
    }

    pub(super) fn snapshots(&self) -> Vec<v1::AdminSnapshot> {
        let groups = self.service().router().local().groups();
        let transfers = groups.peers().transfers().into_iter();
        let sending = transfers.map(|transfer| v1::AdminSnapshot {
            group: transfer.group.0,
            replica: transfer.replica,
            node: transfer.node,
            row_bytes: transfer.row_bytes,
            rows: transfer.rows,
            bodies: transfer.bodies,
            body_bytes: transfer.body_bytes,
            seconds: transfer.since.as_secs(),
        });
        sending.collect()
    }

    /// The groups of which there is a replica here, those out of service too.
    pub(super) fn groups_here(&self, running: &[Arc<Group>]) -> Vec<v1::AdminGroup> {
        let mut groups: Vec<_> = running.iter().map(|group| self.group(group)).collect();
        for (id, why) in self.node.groups().ailing() {
            match groups.iter_mut().find(|group| group.group == id.0) {
                Some(group) => group.trouble = why,
                None => groups.push(v1::AdminGroup {
                    group: id.0,
                    trouble: why,
                    ..v1::AdminGroup::default()
                }),
            }
        }
        groups.sort_by_key(|group| group.group);
        groups
    }

    fn group(&self, group: &Group) -> v1::AdminGroup {
        let status = group.status();
        let view = self.service().view().read();
        let placed = view.group(directory::GroupId(group.id().0));
        let replicas: Vec<v1::AdminReplica> = placed
            .map(|placed| &placed.replicas[..])
            .unwrap_or_default()
            .iter()
            .map(|replica| v1::AdminReplica {
                replica: replica.id.0,
                node: replica.node.0,
                voter: status.voters.contains(&replica.id.0),
                matched: if group.is_leader() && replica.id.0 == group.replica() {
                    Some(status.last_index)
                } else {
                    status.matched_of(replica.id.0)
                },
                leaving: replica.leaving,
            })
            .collect();
        let leader = replicas
            .iter()
            .find(|replica| Some(replica.replica) == status.leader);
        v1::AdminGroup {
            group: group.id().0,
            term: status.term,
            leader: leader.map_or(0, |replica| replica.node),
            last_index: status.last_index,
            applied_index: status.applied_index,
            replicas,
            trouble: String::new(),
        }
    }
}

fn condition_of(condition: &Condition) -> v1::AdminCondition {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    v1::AdminCondition {
        room_bytes: condition.room_bytes,
        takes_mail: condition.takes_mail,
        sync_us: condition.sync.map_or(0, micros),
        clock_ahead_ms: condition.clock_ahead_ms,
    }
}
