//! A directory that comes back from a backup begins a cluster of its own.

use std::collections::BTreeSet;

use directory::{
    AccountState, Command, EntryAt, GroupId, NodeId, NodeState, Recast, Recasted, Rejection,
    ReplicaId, Role, Staged, View, apply, check, pending, recast,
};
use proptest::prelude::*;
use rows::Memory;

use crate::cluster::{Cluster, init, report, verifiers};
use crate::history::{at, history};

const AT: EntryAt = EntryAt {
    index: 900,
    term: 3,
};

fn wanted(node: u64) -> Recast {
    Recast {
        cluster: [9; 16],
        node: report(node, 2),
    }
}

/// What comes of it, and the rows after it.
fn recast_rows(
    rows: &Memory,
    node: u64,
    missing: impl Fn(&directory::Account) -> bool,
) -> (Recasted, Memory) {
    let mut staged = Staged::new(rows);
    let recasted = recast(&mut staged, AT, &wanted(node), missing).unwrap();
    let writes = staged.into_writes().unwrap();
    let mut rows = rows.clone();
    if recasted.is_ok() {
        rows.commit(writes);
    }
    (recasted, rows)
}

/// A cluster of three nodes with two accounts that are in use.
fn old_cluster() -> Cluster {
    let mut cluster = Cluster::default();
    cluster.ask(init(1, 3, 2));
    for node in 2..=3 {
        cluster.ask(Command::JoinNode(report(node, 1)));
        let node = NodeId(node);
        let group = GroupId::DIRECTORY;
        cluster.ask(Command::PlaceReplica { group, node });
        cluster.ask(Command::ActivateNode { node });
    }
    cluster.ask(Command::PlacePartitions);
    for name in ["alice", "bob"] {
        cluster.ask(Command::CreateAccount {
            name: name.to_owned(),
            verifiers: verifiers(name),
            quota_bytes: None,
        });
    }
    for operation in pending(&cluster.rows, 10).unwrap() {
        cluster.ask(Command::FinishOperation {
            operation: operation.id,
        });
    }
    cluster.check();
    cluster
}

#[test]
fn one_node_has_it_all() {
    let old = old_cluster();
    let (recasted, rows) = recast_rows(&old.rows, 7, |_| false);
    check(&rows).unwrap();
    let view = View::load(&rows).unwrap();
    let replicas = recasted.unwrap();
    assert_eq!(replicas.len(), 3, "the directory and two partitions");
    assert_eq!(view.cluster().unwrap().id, [9; 16]);
    let nodes: Vec<_> = view.nodes().map(|node| (node.id.0, node.state)).collect();
    let (removed, active) = (NodeState::Removed, NodeState::Active);
    assert_eq!(
        nodes,
        [(1, removed), (2, removed), (3, removed), (7, active)]
    );
    let before: BTreeSet<ReplicaId> = old
        .view
        .groups()
        .flat_map(|group| group.replicas.iter().map(|replica| replica.id))
        .collect();
    for (group, replica) in replicas {
        let group = view.group(group).unwrap();
        let only = group.replicas.as_slice();
        assert_eq!(only.len(), 1);
        assert_eq!(
            (only[0].id, only[0].node, only[0].role),
            (replica, NodeId(7), Role::Voter)
        );
        assert_eq!(group.first, replica);
        assert!(!before.contains(&replica), "R5: replica {replica} again");
    }
    for name in ["alice", "bob"] {
        assert_eq!(view.account(name), old.view.account(name));
    }
}

#[test]
fn what_a_partition_does_not_know_is_made_again() {
    let old = old_cluster();
    let alice = old.view.account("alice").unwrap().id;
    let (recasted, rows) = recast_rows(&old.rows, 7, |account| account.id == alice);
    recasted.unwrap();
    check(&rows).unwrap();
    let view = View::load(&rows).unwrap();
    assert_eq!(view.account("alice").unwrap().state, AccountState::Creating);
    assert_eq!(view.account("bob").unwrap().state, AccountState::Active);
    let due = pending(&rows, 10).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].account, alice);
}

#[test]
fn an_old_number_is_refused() {
    let old = old_cluster();
    for node in 1..=3 {
        let (recasted, _) = recast_rows(&old.rows, node, |_| false);
        assert_eq!(recasted, Err(Rejection::NodeRemoved));
    }
    let (recasted, _) = recast_rows(&Memory::new(), 7, |_| false);
    assert_eq!(recasted, Err(Rejection::NoCluster));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// M5, R5: whatever was asked before, the rows are sound, and go on.
    #[test]
    fn any_directory_can_be_brought_back(history in history()) {
        let mut rows = Memory::new();
        for (index, envelope) in history.iter().enumerate() {
            let mut staged = Staged::new(&rows);
            apply(&mut staged, at(index), envelope).unwrap();
            let writes = staged.into_writes().unwrap();
            rows.commit(writes);
        }
        let (recasted, mut rows) = recast_rows(&rows, 77, |account| account.id.0 % 2 == 0);
        prop_assert!(matches!(recasted, Ok(_) | Err(Rejection::NoCluster)));
        check(&rows).unwrap();
        for (index, envelope) in history.iter().rev().enumerate() {
            let mut staged = Staged::new(&rows);
            apply(&mut staged, at(1000 + index), envelope).unwrap();
            let writes = staged.into_writes().unwrap();
            rows.commit(writes);
            check(&rows).unwrap();
        }
    }
}
