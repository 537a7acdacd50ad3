//! Groups and where their replicas lie.

use std::collections::BTreeMap;

use rows::Rows;

use super::{Machine, Stop};
use crate::command::{Outcome, Rejection};
use crate::keys::Table;
use crate::limits;
use crate::types::{Group, GroupId, Node, NodeId, NodeState, Replica, ReplicaId, Role};

impl<R: Rows> Machine<'_, '_, R> {
    pub(super) fn place_replica(&mut self, id: GroupId, node: NodeId) -> Result<Outcome, Stop> {
        let node = self.node(node)?;
        let mut group = self.group(id)?;
        if let Some(replica) = group.replica_on(node.id) {
            return Ok(Outcome::Placed(replica.id));
        }
        // The directory goes to every node, and is how a joining one learns of the rest.
        if id != GroupId::DIRECTORY {
            if node.state != NodeState::Active {
                return Err(Rejection::NodeNotActive.into());
            }
            if group.replicas.len() >= limits::PARTITION_REPLICAS_MAX {
                return Err(Rejection::TooManyReplicas.into());
            }
        }
        let replica = self.next_replica();
        // Ids rise, so the end is its place.
        group.replicas.push(Replica {
            id: replica,
            node: node.id,
            role: Role::Learner,
        });
        self.put_placement(group);
        Ok(Outcome::Placed(replica))
    }

    pub(super) fn mark_voter(&mut self, id: GroupId, replica: ReplicaId) -> Result<Outcome, Stop> {
        let group = self.group(id)?;
        let voter = group
            .replica(replica)
            .is_some_and(|replica| replica.role == Role::Voter);
        let full = group.voters().count() >= limits::DIRECTORY_VOTERS_MAX;
        if id == GroupId::DIRECTORY && full && !voter {
            return Err(Rejection::TooManyReplicas.into());
        }
        self.mark(group, replica, Role::Voter)
    }

    pub(super) fn mark_learner(
        &mut self,
        id: GroupId,
        replica: ReplicaId,
    ) -> Result<Outcome, Stop> {
        let group = self.group(id)?;
        check_not_last_voter(&group, replica)?;
        self.mark(group, replica, Role::Learner)
    }

    pub(super) fn remove_replica(
        &mut self,
        id: GroupId,
        replica: ReplicaId,
    ) -> Result<Outcome, Stop> {
        let mut group = self.group(id)?;
        if group.replica(replica).is_some() {
            check_not_last_voter(&group, replica)?;
            group.replicas.retain(|kept| kept.id != replica);
            self.put_placement(group);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn place_partitions(&mut self) -> Result<Outcome, Stop> {
        let cluster = self.cluster()?;
        let mut spread = Spread::default();
        for node in self.table::<Node>(Table::Nodes)? {
            if node.state == NodeState::Active {
                spread.loads.insert(node.id, Load::default());
            }
        }
        let groups: Vec<Group> = self.table(Table::Groups)?;
        for group in groups.iter().filter(|group| group.id != GroupId::DIRECTORY) {
            spread.count(group);
        }
        let placed = |id| groups.binary_search_by_key(&id, |group| group.id).is_ok();
        let missing = (1..=u64::from(cluster.partitions))
            .map(GroupId)
            .filter(|id| !placed(*id));
        for id in missing {
            if spread.loads.len() < cluster.replicas as usize {
                return Err(Rejection::TooFewNodes.into());
            }
            let (nodes, first) = spread.choose(cluster.replicas as usize);
            let replicas: Vec<_> = nodes
                .into_iter()
                .map(|node| Replica {
                    id: self.next_replica(),
                    node,
                    role: Role::Voter,
                })
                .collect();
            let first = replicas
                .iter()
                .find(|replica| replica.node == first)
                .expect("the first is one of the chosen")
                .id;
            self.put_placement(Group {
                id,
                replicas,
                first,
                accounts: 0,
                changed: 0,
            });
        }
        Ok(Outcome::Done)
    }

    fn mark(&mut self, mut group: Group, id: ReplicaId, role: Role) -> Result<Outcome, Stop> {
        let replica = group.replicas.iter_mut().find(|replica| replica.id == id);
        let replica = replica.ok_or(Rejection::NoReplica)?;
        if replica.role != role {
            replica.role = role;
            self.put_placement(group);
        }
        Ok(Outcome::Done)
    }

    fn put_placement(&mut self, group: Group) {
        self.put_group(Group {
            changed: self.at.index,
            ..group
        });
    }
}

fn check_not_last_voter(group: &Group, replica: ReplicaId) -> Result<(), Rejection> {
    let mut others = group.voters().filter(|voter| voter.id != replica);
    if others.next().is_some() {
        Ok(())
    } else {
        Err(Rejection::LastVoter)
    }
}

/// What a node has to carry.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    replicas: u32,
    /// The groups that it calls to life, and so leads at first.
    firsts: u32,
}

/// The loads of the active nodes, from which partitions are spread evenly.
#[derive(Default)]
struct Spread {
    loads: BTreeMap<NodeId, Load>,
    /// Where the search for the least loaded begins, so that equals take turns.
    turn: usize,
}

impl Spread {
    fn count(&mut self, group: &Group) {
        for replica in &group.replicas {
            if let Some(load) = self.loads.get_mut(&replica.node) {
                load.replicas += 1;
                load.firsts += u32::from(replica.id == group.first);
            }
        }
    }

    /// The nodes for a group, the least loaded ones, and which of them shall come first. There must
    /// be enough nodes.
    fn choose(&mut self, replicas: usize) -> (Vec<NodeId>, NodeId) {
        let mut nodes: Vec<_> = self
            .loads
            .iter()
            .map(|(node, load)| (*node, *load))
            .collect();
        let turn = self.turn % nodes.len();
        nodes.rotate_left(turn);
        self.turn += 1;
        // Stable: equals stay in their turn.
        nodes.sort_by_key(|(_, load)| load.replicas);
        nodes.truncate(replicas);
        let first = nodes
            .iter()
            .min_by_key(|(_, load)| load.firsts)
            .expect("replicas >= 1")
            .0;
        for (node, _) in &nodes {
            let load = self.loads.entry(*node).or_default();
            load.replicas += 1;
            load.firsts += u32::from(*node == first);
        }
        (nodes.into_iter().map(|(node, _)| node).collect(), first)
    }
}
