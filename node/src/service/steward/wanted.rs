//! The members of a group as the directory wants them, and the next step towards that.
//!
//! The voters of a group never become fewer before others have caught up, unless the directory
//! wants fewer; and none are added while others shall go, since more voters want more of them to be
//! there. A leader that shall go hands the lead over first.

use std::collections::BTreeSet;

use directory::{Command as Direct, GroupId, NodeId, NodeState, ReplicaId, Role, View};

use crate::raft::GroupStatus;
use crate::service::limits::PROMOTE_LAG_MAX;

/// What is to be done with the members of a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing can be done now.
    Wait,
    /// A replica begins to receive entries.
    Add(u64),
    /// Another replica shall lead, since this one goes.
    Lead(u64),
    /// These vote, in one change.
    Vote {
        /// All of them.
        voters: BTreeSet<u64>,
        /// Whether the others stay as learners.
        retain: bool,
    },
    /// Replicas without a vote go.
    PutOut(BTreeSet<u64>),
    /// The directory shall know what has been done.
    Tell(Direct),
}

/// The members of a group as the directory wants them.
pub(super) struct Wanted {
    group: directory::Group,
    /// Who takes part.
    members: BTreeSet<u64>,
    /// Who may take part: it is seen to elsewhere that they come, or they go in their turn.
    tolerated: BTreeSet<u64>,
    /// Who votes.
    voters: BTreeSet<u64>,
    /// Voters may not be dropped yet: somebody is still to come for them.
    waits: bool,
}

impl Wanted {
    /// `told` are replicas of the directory that shall not take part any more.
    pub(super) fn of(view: &View, id: GroupId, told: &BTreeSet<u64>) -> Option<Self> {
        let group = view.group(id)?.clone();
        if id != GroupId::DIRECTORY {
            let staying: BTreeSet<u64> = group.staying().map(|replica| replica.id.0).collect();
            return Some(Self {
                members: staying.clone(),
                tolerated: BTreeSet::new(),
                voters: staying,
                waits: false,
                group,
            });
        }
        let state = |node: NodeId| view.node(node).map(|node| node.state);
        let active = |replica: &&directory::Replica| {
            !replica.leaving && state(replica.node) == Some(NodeState::Active)
        };
        let ids = |replicas: Vec<&directory::Replica>| -> BTreeSet<u64> {
            replicas.into_iter().map(|replica| replica.id.0).collect()
        };
        let (members, others) = group.replicas.iter().partition(active);
        let (members, mut others) = (ids(members), ids(others));
        others.retain(|id| group.staying().any(|replica| replica.id.0 == *id));
        // The vote of a node that is replaced goes to its successor, not away.
        let waits = group.voters().any(|voter| {
            let successor = view.node(voter.node).and_then(|node| node.successor);
            successor.is_some_and(|node| state(node) == Some(NodeState::Joining))
        });
        let voters = view.directory_voters();
        Some(Self {
            members,
            tolerated: others.difference(told).copied().collect(),
            voters: voters.into_iter().map(|id| id.0).collect(),
            waits,
            group,
        })
    }

    /// The next thing to do, for the leader `own`; none when all is as it shall be. `turn` decides
    /// between equals, so that one that does not answer is not asked for ever.
    pub(super) fn step(&self, own: u64, status: &GroupStatus, turn: u64) -> Option<Step> {
        let retain = self.group.id == GroupId::DIRECTORY;
        if !status.members_committed || status.voters.is_empty() {
            return Some(Step::Wait);
        }
        // A replica of the directory comes when its node has been told that it has one.
        if !retain && let Some(missing) = self.members.iter().find(|id| !status.has(**id)) {
            return Some(Step::Add(*missing));
        }
        let target = self.target(status);
        if target.is_empty() {
            return Some(Step::Wait);
        }
        if status.joint || target != status.voters {
            return Some(if target.contains(&own) {
                Step::Vote {
                    voters: target,
                    retain,
                }
            } else {
                hand_over(status, target, retain, turn)
            });
        }
        let stays = |id: &&u64| !self.members.contains(*id) && !self.tolerated.contains(*id);
        let superfluous: BTreeSet<u64> = status.learners.iter().filter(stays).copied().collect();
        if !superfluous.is_empty() {
            return Some(Step::PutOut(superfluous));
        }
        if let Some(command) = self.untold(status) {
            return Some(Step::Tell(command));
        }
        (self.voters != status.voters).then_some(Step::Wait)
    }

    /// Who shall vote now.
    fn target(&self, status: &GroupStatus) -> BTreeSet<u64> {
        let ready = |id: &&u64| status.voters.contains(*id) || has_caught_up(status, **id);
        let ready: BTreeSet<u64> = self.voters.iter().filter(ready).copied().collect();
        let drops = !status.voters.is_subset(&self.voters);
        if drops && (ready != self.voters || self.waits) {
            return status.voters.clone();
        }
        ready
    }

    /// What the directory does not know of the members yet.
    fn untold(&self, status: &GroupStatus) -> Option<Direct> {
        let group = self.group.id;
        let is_gone = |replica: &&directory::Replica| {
            let known = self.members.contains(&replica.id.0);
            !known && !self.tolerated.contains(&replica.id.0) && !status.has(replica.id.0)
        };
        let gone = self.group.replicas.iter().find(is_gone);
        let with_role = |role: Role, ids: &BTreeSet<u64>| -> Option<ReplicaId> {
            let mut replicas = self.group.replicas.iter();
            let found =
                replicas.find(|replica| replica.role != role && ids.contains(&replica.id.0));
            found.map(|replica| replica.id)
        };
        // A place is made before it is taken: there is a bound on voters.
        if let Some(replica) = with_role(Role::Learner, &status.learners) {
            return Some(Direct::MarkLearner { group, replica });
        }
        if let Some(replica) = with_role(Role::Voter, &status.voters) {
            return Some(Direct::MarkVoter { group, replica });
        }
        gone.map(|replica| Direct::RemoveReplica {
            group,
            replica: replica.id,
        })
    }
}

/// Whether a replica has all but a few entries.
pub(super) fn has_caught_up(status: &GroupStatus, replica: u64) -> bool {
    let matched = status.matched_of(replica);
    matched.is_some_and(|upto| upto + PROMOTE_LAG_MAX >= status.last_index)
}

/// Another voter leads, one that stays; if there is none yet there will be.
fn hand_over(status: &GroupStatus, target: BTreeSet<u64>, retain: bool, turn: u64) -> Step {
    let able = |id: &&u64| status.voters.contains(*id) && has_caught_up(status, **id);
    let heirs: Vec<u64> = target.iter().filter(able).copied().collect();
    if !heirs.is_empty() {
        let at = usize::try_from(turn).unwrap_or(0) % heirs.len();
        return Step::Lead(heirs[at]);
    }
    let all: BTreeSet<u64> = target.union(&status.voters).copied().collect();
    if all == status.voters {
        return Step::Wait;
    }
    Step::Vote {
        voters: all,
        retain,
    }
}

#[cfg(test)]
mod tests {
    use directory::{Group, Replica};

    use super::*;

    fn replica(id: u64, role: Role, leaving: bool) -> Replica {
        Replica {
            id: ReplicaId(id),
            node: NodeId(id),
            role,
            leaving,
        }
    }

    /// A partition of voters 1, 2, 3; of these 3 is leaving, and 4 takes its place.
    fn moving() -> Wanted {
        let group = Group {
            id: GroupId(1),
            replicas: vec![
                replica(1, Role::Voter, false),
                replica(2, Role::Voter, false),
                replica(3, Role::Voter, true),
                replica(4, Role::Learner, false),
            ],
            first: ReplicaId(1),
            accounts: 0,
            changed: 7,
            placed: 2,
        };
        let staying: BTreeSet<u64> = group.staying().map(|replica| replica.id.0).collect();
        Wanted {
            members: staying.clone(),
            tolerated: BTreeSet::new(),
            voters: staying,
            waits: false,
            group,
        }
    }

    fn status(voters: &[u64], learners: &[u64], matched: &[(u64, u64)]) -> GroupStatus {
        GroupStatus {
            term: 1,
            leader: Some(1),
            last_index: 5000,
            applied_index: 5000,
            voters: voters.iter().copied().collect(),
            learners: learners.iter().copied().collect(),
            joint: false,
            members_committed: true,
            members_at: None,
            matched: matched
                .iter()
                .map(|(id, upto)| (*id, Some(*upto)))
                .collect(),
        }
    }

    fn vote(voters: &[u64]) -> Option<Step> {
        Some(Step::Vote {
            voters: voters.iter().copied().collect(),
            retain: false,
        })
    }

    #[test]
    fn a_move_is_a_learner_then_one_change_then_told() {
        let wanted = moving();
        let step = |status: &GroupStatus| wanted.step(1, status, 0);
        assert_eq!(step(&status(&[1, 2, 3], &[], &[])), Some(Step::Add(4)));
        let behind = status(&[1, 2, 3], &[4], &[(4, 3000)]);
        assert_eq!(step(&behind), Some(Step::Wait));
        assert_eq!(
            step(&status(&[1, 2, 3], &[4], &[(4, 4900)])),
            vote(&[1, 2, 4])
        );
        let group = GroupId(1);
        assert_eq!(
            step(&status(&[1, 2, 4], &[], &[])),
            Some(Step::Tell(Direct::MarkVoter {
                group,
                replica: ReplicaId(4)
            }))
        );
        let mut wanted = moving();
        wanted.group.replicas[3].role = Role::Voter;
        assert_eq!(
            wanted.step(1, &status(&[1, 2, 4], &[], &[]), 0),
            Some(Step::Tell(Direct::RemoveReplica {
                group,
                replica: ReplicaId(3)
            }))
        );
        wanted.group.replicas.remove(2);
        assert_eq!(wanted.step(1, &status(&[1, 2, 4], &[], &[]), 0), None);
    }

    #[test]
    fn members_that_are_not_committed_are_waited_for() {
        let mut uncommitted = status(&[1, 2, 3], &[4], &[(4, 5000)]);
        uncommitted.members_committed = false;
        assert_eq!(moving().step(1, &uncommitted, 0), Some(Step::Wait));
    }

    #[test]
    fn a_change_that_was_left_half_way_is_ended() {
        let mut joint = status(&[1, 2, 3, 4], &[], &[(4, 5000)]);
        joint.joint = true;
        assert_eq!(moving().step(1, &joint, 0), vote(&[1, 2, 4]));
    }

    #[test]
    fn a_leader_that_goes_hands_over_first() {
        let status = status(&[1, 2, 3], &[4], &[(1, 5000), (2, 4999), (4, 5000)]);
        assert_eq!(moving().step(3, &status, 0), Some(Step::Lead(1)));
        assert_eq!(moving().step(3, &status, 1), Some(Step::Lead(2)));
    }

    #[test]
    fn the_only_voter_makes_another_one_first() {
        let mut wanted = moving();
        wanted.group.replicas.drain(..2);
        for set in [&mut wanted.members, &mut wanted.voters] {
            set.retain(|id| *id == 4);
        }
        let seen = status(&[3], &[4], &[(4, 5000)]);
        assert_eq!(wanted.step(3, &seen, 0), vote(&[3, 4]));
        let seen = status(&[3, 4], &[], &[(4, 5000)]);
        assert_eq!(wanted.step(3, &seen, 0), Some(Step::Lead(4)));
        let seen = status(&[3, 4], &[], &[(3, 5000)]);
        assert_eq!(wanted.step(4, &seen, 0), vote(&[4]));
    }

    #[test]
    fn a_learner_that_shall_go_is_put_out() {
        let mut wanted = moving();
        wanted.group.replicas[2].leaving = false;
        wanted.group.replicas[3].leaving = true;
        for set in [&mut wanted.members, &mut wanted.voters] {
            *set = BTreeSet::from([1, 2, 3]);
        }
        let seen = status(&[1, 2, 3], &[4], &[]);
        let out = Some(Step::PutOut(BTreeSet::from([4])));
        assert_eq!(wanted.step(1, &seen, 0), out);
        let told = Direct::RemoveReplica {
            group: GroupId(1),
            replica: ReplicaId(4),
        };
        let seen = status(&[1, 2, 3], &[], &[]);
        assert_eq!(wanted.step(1, &seen, 0), Some(Step::Tell(told)));
    }

    #[test]
    fn a_vote_waits_for_the_successor() {
        let mut wanted = moving();
        wanted.waits = true;
        let seen = status(&[1, 2, 3], &[4], &[(4, 5000)]);
        assert_eq!(wanted.step(1, &seen, 0), Some(Step::Wait));
    }
}
