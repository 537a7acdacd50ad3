//! Which node holds what: partitions placed and spread, nodes that come, leave and take places.
//!
//! A move is two replicas of a group: a new one, a learner, and an old one that is leaving. The
//! group's leader lets the new one catch up, changes who votes in one go, and tells the directory
//! ([`super::Command::MarkVoter`], [`super::Command::RemoveReplica`]). Nothing but these rows says
//! what is still to be done, so any leader can go on.
//!
//! All that is chosen here follows from the rows: the least loaded node, of equals the one with the
//! least id, groups in their order.

use std::collections::BTreeMap;

use rows::{Fault, Rows};

use super::{Machine, Stop};
use crate::command::{NodeReport, Outcome, Rejection};
use crate::keys::{self, Table};
use crate::limits;
use crate::types::{Group, GroupId, Node, NodeId, NodeState, Replica, ReplicaId, Role};

impl<R: Rows> Machine<'_, '_, R> {
    pub(super) fn place_partitions(&mut self) -> Result<Outcome, Stop> {
        let cluster = self.cluster()?;
        let groups: Vec<Group> = self.table(Table::Groups)?;
        let mut loads = self.loads(None)?;
        let placed = |id| groups.binary_search_by_key(&id, |group| group.id).is_ok();
        let missing = (1..=u64::from(cluster.partitions))
            .map(GroupId)
            .filter(|id| !placed(*id));
        for id in missing {
            if loads.nodes.len() < cluster.replicas as usize {
                return Err(Rejection::TooFewNodes.into());
            }
            let (nodes, first) = loads.choose(cluster.replicas as usize);
            let replicas: Vec<_> = nodes
                .into_iter()
                .map(|node| Replica {
                    id: self.next_replica(),
                    node,
                    role: Role::Voter,
                    leaving: false,
                })
                .collect();
            let first = replicas
                .iter()
                .find(|replica| replica.node == first)
                .expect("the first is one of the chosen")
                .id;
            self.put_group(Group {
                id,
                replicas,
                first,
                accounts: 0,
                changed: self.at.index,
                placed: self.at.index,
            });
        }
        Ok(Outcome::Done)
    }

    /// A node has become active: it takes the places that it was to take, or its even share.
    pub(super) fn settle_in(&mut self, node: NodeId) -> Result<(), Stop> {
        let nodes: Vec<Node> = self.table(Table::Nodes)?;
        let predecessors: Vec<NodeId> = nodes
            .iter()
            .filter(|it| it.successor == Some(node) && it.state == NodeState::Leaving)
            .map(|it| it.id)
            .collect();
        if predecessors.is_empty() {
            return self.spread();
        }
        for old in predecessors {
            // It holds nothing yet, so it fits everywhere.
            let moves = self.plan(old, Some(node), true)?;
            self.carry_out(moves)?;
        }
        Ok(())
    }

    pub(super) fn replace_node(
        &mut self,
        old: NodeId,
        report: &NodeReport,
    ) -> Result<Outcome, Stop> {
        let leaving = self.node(old)?;
        let new = report.node;
        if new == old {
            return Err(Rejection::NodeInvalid.into());
        }
        let known = self.read::<Node>(&keys::node(new))?;
        let moves = match known.as_ref().map(|node| node.state) {
            Some(NodeState::Removed) => return Err(Rejection::NodeRemoved.into()),
            Some(NodeState::Leaving) => return Err(Rejection::NodeLeaving.into()),
            Some(NodeState::Active) => self.plan(old, Some(new), false)?,
            Some(NodeState::Joining) => Vec::new(),
            None => {
                self.join_node(report)?;
                Vec::new()
            }
        };
        let comes = known.is_none_or(|node| node.state == NodeState::Joining);
        self.redirect(old, Some(new).filter(|_| comes))?;
        // One that has not come yet holds nothing that a successor could get.
        let came = leaving.state != NodeState::Joining;
        self.put_node(Node {
            state: NodeState::Leaving,
            successor: Some(new).filter(|_| came),
            ..leaving
        });
        self.carry_out(moves)?;
        Ok(Outcome::Done)
    }

    pub(super) fn drain_node(&mut self, id: NodeId, shrink: bool) -> Result<Outcome, Stop> {
        let node = self.node(id)?;
        let nodes: Vec<Node> = self.table(Table::Nodes)?;
        let stays = |it: &Node| it.id != id && it.state == NodeState::Active;
        if !nodes.iter().any(stays) {
            return Err(Rejection::TooFewNodes.into());
        }
        let moves = self.plan(id, None, shrink)?;
        self.redirect(id, None)?;
        if node.state != NodeState::Leaving || node.successor.is_some() {
            self.put_node(Node {
                state: NodeState::Leaving,
                successor: None,
                ..node
            });
        }
        self.carry_out(moves)?;
        Ok(Outcome::Done)
    }

    pub(super) fn move_replica(
        &mut self,
        id: GroupId,
        from: NodeId,
        to: NodeId,
    ) -> Result<Outcome, Stop> {
        let to = self.node(to)?;
        let group = self.group(id)?;
        let old = group.replica_on(from).copied();
        if let Some(new) = group.replica_on(to.id).filter(|new| !new.leaving)
            && old.is_none_or(|old| old.leaving)
        {
            return Ok(Outcome::Placed(new.id));
        }
        if id == GroupId::DIRECTORY {
            return Err(Rejection::NoGroup.into());
        }
        let old = old.ok_or(Rejection::NoReplica)?;
        match to.state {
            NodeState::Active => {}
            NodeState::Leaving => return Err(Rejection::NodeLeaving.into()),
            NodeState::Joining | NodeState::Removed => {
                return Err(Rejection::NodeNotActive.into());
            }
        }
        if old.leaving || group.replica_on(to.id).is_some() {
            return Err(Rejection::ReplicaThere.into());
        }
        if group.replicas.len() >= limits::PARTITION_REPLICAS_MAX {
            return Err(Rejection::TooManyReplicas.into());
        }
        let placed = self.move_one(group, old.id, Some(to.id))?;
        Ok(placed.map_or(Outcome::Done, Outcome::Placed))
    }

    /// `old` will not take the place of anybody any more: whoever awaits it awaits `new`, which is
    /// still to come, or stays.
    pub(super) fn redirect(&mut self, old: NodeId, new: Option<NodeId>) -> Result<(), Fault> {
        let came = self
            .read::<Node>(&keys::node(old))?
            .is_some_and(|node| node.state != NodeState::Joining);
        for node in self.table::<Node>(Table::Nodes)? {
            if node.successor != Some(old) || node.state != NodeState::Leaving {
                continue;
            }
            let state = match new {
                None if !came => NodeState::Active,
                _ => NodeState::Leaving,
            };
            self.put_node(Node {
                successor: new.filter(|_| !came),
                state,
                ..node
            });
        }
        Ok(())
    }

    /// Which replicas of `node` go where: to `heir` where it holds none, else to the least loaded
    /// node. With `shrink` a replica may also go without a successor.
    fn plan(&self, node: NodeId, heir: Option<NodeId>, shrink: bool) -> Result<Vec<Move>, Stop> {
        let mut loads = self.loads(None)?;
        loads.nodes.remove(&node);
        let mut moves = Vec::new();
        for group in self.table::<Group>(Table::Groups)? {
            let held = group.replica_on(node).filter(|replica| !replica.leaving);
            let Some(replica) = held.filter(|_| group.id != GroupId::DIRECTORY) else {
                continue;
            };
            let fits = |node: &NodeId| group.replica_on(*node).is_none();
            let heir = heir.filter(|heir| fits(heir) && loads.nodes.contains_key(heir));
            let full = group.replicas.len() >= limits::PARTITION_REPLICAS_MAX;
            let to = heir.or_else(|| loads.lightest(fits).filter(|_| !full));
            match to {
                Some(to) => loads.nodes.entry(to).or_default().replicas += 1,
                None if !shrink => return Err(Rejection::TooFewNodes.into()),
                None if group.staying().all(|other| other.id == replica.id) => {
                    return Err(Rejection::LastVoter.into());
                }
                None => {}
            }
            moves.push(Move {
                group: group.id,
                from: replica.id,
                to,
            });
        }
        Ok(moves)
    }

    fn carry_out(&mut self, moves: Vec<Move>) -> Result<(), Stop> {
        for Move { group, from, to } in moves {
            let group = self.group(group)?;
            self.move_one(group, from, to)?;
        }
        Ok(())
    }

    /// `from` is leaving; `to` gets a replica in its place, if there is one to take it.
    fn move_one(
        &mut self,
        mut group: Group,
        from: ReplicaId,
        to: Option<NodeId>,
    ) -> Result<Option<ReplicaId>, Fault> {
        for replica in &mut group.replicas {
            replica.leaving |= replica.id == from;
        }
        let placed = to.map(|node| {
            let id = self.next_replica();
            // Ids rise, so the end is its place.
            group.replicas.push(Replica {
                id,
                node,
                role: Role::Learner,
                leaving: false,
            });
            id
        });
        self.put_placement(group)?;
        Ok(placed)
    }

    /// Gives groups that have too few replicas more, then evens out what nodes hold: of a group one
    /// replica moves at a time.
    fn spread(&mut self) -> Result<(), Stop> {
        let wanted = self.cluster()?.replicas as usize;
        let mut loads = self.loads(None)?;
        let mut groups: Vec<Group> = self.table(Table::Groups)?;
        groups.retain(|group| group.id != GroupId::DIRECTORY);
        for group in &mut groups {
            if self.fill(group, wanted, &mut loads) {
                self.put_placement(group.clone())?;
            }
        }
        groups.retain(Group::is_settled);
        while let Some((at, from, to)) = loads.uneven(&groups) {
            let group = groups.remove(at);
            let replica = group.replica_on(from).ok_or(Rejection::NoReplica)?.id;
            for (node, gained) in [(from, false), (to, true)] {
                let load = loads.nodes.entry(node).or_default();
                load.replicas = if gained {
                    load.replicas + 1
                } else {
                    load.replicas - 1
                };
            }
            self.move_one(group, replica, Some(to))?;
        }
        Ok(())
    }

    /// Gives a partition that has lost a replica another one, if a node can take it. The directory
    /// has one on every node: whoever leads it sees to that.
    pub(super) fn replenish(&mut self, group: &mut Group) -> Result<(), Stop> {
        if group.id != GroupId::DIRECTORY {
            let wanted = self.cluster()?.replicas as usize;
            let mut loads = self.loads(Some(group.id))?;
            loads.count(group);
            self.fill(group, wanted, &mut loads);
        }
        Ok(())
    }

    /// New replicas on the least loaded nodes, until as many stay as are wanted; whether there are
    /// any.
    fn fill(&mut self, group: &mut Group, wanted: usize, loads: &mut Loads) -> bool {
        let had = group.replicas.len();
        while group.staying().count() < wanted
            && group.replicas.len() < limits::PARTITION_REPLICAS_MAX
            && let Some(node) = loads.lightest(|node| group.replica_on(*node).is_none())
        {
            loads.nodes.entry(node).or_default().replicas += 1;
            group.replicas.push(Replica {
                id: self.next_replica(),
                node,
                role: Role::Learner,
                leaving: false,
            });
        }
        group.replicas.len() > had
    }

    /// What the active nodes carry, without one group.
    fn loads(&self, without: Option<GroupId>) -> Result<Loads, Fault> {
        let mut loads = Loads::default();
        for node in self.table::<Node>(Table::Nodes)? {
            if node.state == NodeState::Active {
                loads.nodes.insert(node.id, Load::default());
            }
        }
        for group in self.table::<Group>(Table::Groups)? {
            if group.id != GroupId::DIRECTORY && Some(group.id) != without {
                loads.count(&group);
            }
        }
        Ok(loads)
    }

    /// Writes a group whose replicas have changed, and chooses who shall lead it.
    pub(super) fn put_placement(&mut self, mut group: Group) -> Result<(), Fault> {
        let loads = self.loads(Some(group.id))?;
        group.first = loads.first(&group);
        group.changed = self.at.index;
        self.put_group(group);
        Ok(())
    }
}

/// A replica that shall go, and who gets another one instead.
struct Move {
    group: GroupId,
    from: ReplicaId,
    to: Option<NodeId>,
}

/// What a node has to carry.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    /// Replicas that stay.
    replicas: u32,
    /// The groups that it shall lead.
    firsts: u32,
}

/// The loads of the active nodes.
#[derive(Default)]
struct Loads {
    nodes: BTreeMap<NodeId, Load>,
    /// Where the search for the least loaded begins, so that equals take turns.
    turn: usize,
}

impl Loads {
    fn count(&mut self, group: &Group) {
        for replica in group.staying() {
            if let Some(load) = self.nodes.get_mut(&replica.node) {
                load.replicas += 1;
                load.firsts += u32::from(replica.id == group.first);
            }
        }
    }

    fn firsts(&self, node: NodeId) -> u32 {
        self.nodes.get(&node).map_or(u32::MAX, |load| load.firsts)
    }

    /// Who shall lead a group: who does, unless another node leads less by two or more.
    fn first(&self, group: &Group) -> ReplicaId {
        let fit = |replica: &&Replica| replica.role == Role::Voter && !replica.leaving;
        let idlest = group
            .replicas
            .iter()
            .filter(fit)
            .min_by_key(|replica| self.firsts(replica.node));
        let known = group.replica(group.first).filter(fit);
        match (known, idlest) {
            (Some(known), Some(idlest)) if group.id != GroupId::DIRECTORY => {
                let less = self.firsts(idlest.node).saturating_add(2) <= self.firsts(known.node);
                if less { idlest.id } else { known.id }
            }
            (Some(known), _) => known.id,
            (None, Some(idlest)) => idlest.id,
            (None, None) => group.first,
        }
    }

    /// The least loaded node among those that fit.
    fn lightest(&self, fits: impl Fn(&NodeId) -> bool) -> Option<NodeId> {
        let fitting = self.nodes.iter().filter(|(node, _)| fits(node));
        let lightest = fitting.min_by_key(|(_, load)| load.replicas);
        lightest.map(|(node, _)| *node)
    }

    /// A group of which one node, that holds much, has a replica and another, that holds less by
    /// two or more, has none: the group's place in `groups`, and the nodes.
    fn uneven(&self, groups: &[Group]) -> Option<(usize, NodeId, NodeId)> {
        let mut heavy: Vec<_> = self.nodes.iter().collect();
        heavy.sort_by_key(|(node, load)| (std::cmp::Reverse(load.replicas), **node));
        let mut light = heavy.clone();
        light.sort_by_key(|(node, load)| (load.replicas, **node));
        for (from, much) in &heavy {
            for (to, little) in &light {
                if little.replicas + 2 > much.replicas {
                    break;
                }
                let moves = |group: &Group| {
                    group.replica_on(**from).is_some() && group.replica_on(**to).is_none()
                };
                if let Some(at) = groups.iter().position(moves) {
                    return Some((at, **from, **to));
                }
            }
        }
        None
    }

    /// The nodes for a group, the least loaded ones, and which of them shall come first. There must
    /// be enough nodes.
    fn choose(&mut self, replicas: usize) -> (Vec<NodeId>, NodeId) {
        let mut nodes: Vec<_> = self
            .nodes
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
            let load = self.nodes.entry(*node).or_default();
            load.replicas += 1;
            load.firsts += u32::from(*node == first);
        }
        (nodes.into_iter().map(|(node, _)| node).collect(), first)
    }
}
