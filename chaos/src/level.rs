//! Whether a cluster has come to rest: leaders everywhere, and all replicas level.

use std::collections::{BTreeMap, BTreeSet};

use client::v1::{AdminGroup, AdminReplica, AdminStatus};

use crate::cluster::{Leader, NODES};
use crate::limits::LAG_ENTRIES_MAX;

/// Who leads what, by the newest term.
pub(crate) fn newest_leaders<'a>(
    groups: impl Iterator<Item = &'a AdminGroup>,
) -> BTreeMap<u64, Leader> {
    let mut leaders: BTreeMap<u64, Leader> = BTreeMap::new();
    for group in groups.filter(|group| group.leader != 0) {
        let leader = Leader {
            term: group.term,
            node: group.leader,
        };
        let newest = leaders.entry(group.group).or_insert(leader);
        *newest = leader.max(*newest);
    }
    leaders
}

/// What is still missing; none if the cluster is whole.
pub(crate) fn unsettled(
    statuses: &BTreeMap<u64, AdminStatus>,
    members: usize,
    groups_wanted: usize,
) -> Option<String> {
    if statuses.len() < members {
        return Some(format!("only {} nodes answer", statuses.len()));
    }
    let leaders = newest_leaders(statuses.values().flat_map(|status| &status.groups));
    let groups: BTreeSet<u64> = statuses
        .values()
        .flat_map(|status| status.groups.iter().map(|group| group.group))
        .collect();
    if groups.len() < groups_wanted {
        let known = groups.len();
        return Some(format!("only {known} of {groups_wanted} groups are known"));
    }
    for id in groups {
        let Some(leader) = leaders.get(&id) else {
            return Some(format!("group {id} has no leader"));
        };
        let told = statuses
            .get(&leader.node)
            .into_iter()
            .flat_map(|status| &status.groups);
        let Some(group) = told.into_iter().find(|group| group.group == id) else {
            return Some(format!("node {} does not know group {id}", leader.node));
        };
        if group.leader != leader.node || group.replicas.len() < NODES as usize {
            return Some(format!("group {id} is about to change"));
        }
        let moves = |replica: &AdminReplica| replica.leaving || !replica.voter;
        if id != 0 && group.replicas.iter().any(moves) {
            return Some(format!("a replica of group {id} is on its way"));
        }
        for replica in &group.replicas {
            let node = statuses.get(&replica.node).into_iter();
            let mut told = node.flat_map(|status| &status.groups);
            let node = replica.node;
            match told.find(|group| group.group == id) {
                None => return Some(format!("group {id} does not run on node {node}")),
                Some(AdminGroup { trouble, .. }) if !trouble.is_empty() => {
                    return Some(format!("group {id} on node {node}: {trouble}"));
                }
                Some(_) => {}
            }
        }
        let level = |matched: Option<u64>| {
            matched.is_some_and(|index| index + LAG_ENTRIES_MAX >= group.last_index)
        };
        if let Some(late) = group
            .replicas
            .iter()
            .find(|replica| !level(replica.matched))
        {
            let (matched, last) = (late.matched, group.last_index);
            return Some(format!(
                "group {id} on node {} has {matched:?} of {last}",
                late.node
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: u64, leader: u64, matched: [Option<u64>; 3]) -> AdminGroup {
        let replica = |(node, matched)| AdminReplica {
            replica: node,
            node,
            voter: true,
            matched,
            ..AdminReplica::default()
        };
        AdminGroup {
            group: id,
            term: 4,
            leader,
            last_index: 1000,
            applied_index: 1000,
            replicas: (1..).zip(matched).map(replica).collect(),
            trouble: String::new(),
        }
    }

    fn statuses(groups: &[AdminGroup]) -> BTreeMap<u64, AdminStatus> {
        let status = |node| AdminStatus {
            node,
            groups: groups.to_vec(),
            ..AdminStatus::default()
        };
        (1..=3).map(|node| (node, status(node))).collect()
    }

    #[test]
    fn a_cluster_is_settled_when_all_replicas_are_level() {
        let all = [Some(1000), Some(990), Some(1000)];
        let healthy = statuses(&[group(0, 1, all), group(1, 2, all)]);
        assert_eq!(unsettled(&healthy, 3, 2), None);
        assert!(unsettled(&healthy, 3, 3).unwrap().contains("2 of 3"));
        let late = statuses(&[
            group(0, 1, all),
            group(1, 2, [Some(1000), None, Some(1000)]),
        ]);
        assert!(unsettled(&late, 3, 2).is_some());
        let headless = statuses(&[group(0, 1, all), group(1, 0, all)]);
        assert!(unsettled(&headless, 3, 2).unwrap().contains("no leader"));
        let mut ailing = healthy.clone();
        let group = &mut ailing.get_mut(&3).unwrap().groups[1];
        group.trouble = "damaged".into();
        assert!(unsettled(&ailing, 3, 2).unwrap().contains("damaged"));
        ailing.get_mut(&3).unwrap().groups.clear();
        assert!(unsettled(&ailing, 3, 2).unwrap().contains("does not run"));
        let mut down = healthy;
        down.remove(&3);
        assert!(unsettled(&down, 3, 2).unwrap().contains("2 nodes"));
    }

    #[test]
    fn the_newest_term_counts() {
        let old = AdminGroup {
            term: 3,
            ..group(1, 1, [None; 3])
        };
        let new = AdminGroup {
            term: 5,
            ..group(1, 2, [None; 3])
        };
        let none = AdminGroup {
            term: 9,
            ..group(1, 0, [None; 3])
        };
        let leaders = newest_leaders([&old, &new, &none].into_iter());
        assert_eq!(leaders[&1], Leader { term: 5, node: 2 });
    }
}
