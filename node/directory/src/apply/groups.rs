//! Groups and where their replicas lie.

use rows::Rows;

use super::{Machine, Stop};
use crate::command::{Outcome, Rejection};
use crate::limits;
use crate::types::{Group, GroupId, NodeId, NodeState, Replica, ReplicaId, Role};

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
            leaving: false,
        });
        self.put_placement(group)?;
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
        if let Some(leaving) = group.replica(replica).map(|found| found.leaving) {
            check_not_last_voter(&group, replica)?;
            group.replicas.retain(|kept| kept.id != replica);
            if leaving {
                self.replenish(&mut group)?;
            }
            self.put_placement(group)?;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn retire_replica(
        &mut self,
        id: GroupId,
        replica: ReplicaId,
    ) -> Result<Outcome, Stop> {
        let mut group = self.group(id)?;
        let stays = |voter: &Replica| voter.id != replica && !voter.leaving;
        let some_stay = group.voters().any(stays);
        let retired = group.replicas.iter_mut().find(|found| found.id == replica);
        match retired {
            Some(retired) if !retired.leaving => {
                if !some_stay {
                    return Err(Rejection::LastVoter.into());
                }
                retired.leaving = true;
                self.put_placement(group)?;
            }
            // It is on its way out already, or gone.
            _ => {}
        }
        Ok(Outcome::Done)
    }

    fn mark(&mut self, mut group: Group, id: ReplicaId, role: Role) -> Result<Outcome, Stop> {
        let replica = group.replicas.iter_mut().find(|replica| replica.id == id);
        let replica = replica.ok_or(Rejection::NoReplica)?;
        if replica.role != role {
            replica.role = role;
            self.put_placement(group)?;
        }
        Ok(Outcome::Done)
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
