//! A directory that is brought back from a backup, for a cluster of one node.
//!
//! No command: it is done before there is a cluster that could agree on one. What it makes is where
//! the new cluster begins.

use rows::{Fault, Rows, Staged};

use super::{Machine, Stop};
use crate::command::{NodeReport, Rejection};
use crate::keys::{self, Table};
use crate::operation::OperationKind;
use crate::types::{
    Account, AccountState, Addresses, Cluster, EntryAt, Group, GroupId, Node, NodeState, Replica,
    ReplicaId, Role,
};

/// What the new cluster is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recast {
    /// Random; the new cluster's id.
    pub cluster: [u8; 16],
    /// Its only node, which no cluster of the backup ever had.
    pub node: NodeReport,
}

/// The replicas of the new cluster's groups, all on its only node.
pub type Recasted = Result<Vec<(GroupId, ReplicaId)>, Rejection>;

/// Makes the rows those of a new cluster: all nodes are removed, and each group has one replica,
/// under a new id (R5), on the new node. Accounts stay, with their ids and verifiers; for one that
/// is active and of which its partition does not know (`missing`), since it was made between the
/// two backups, the operation that makes it is begun again.
///
/// # Errors
/// A [`Fault`] if the rows cannot be read.
pub fn recast<R: Rows>(
    rows: &mut Staged<'_, R>,
    at: EntryAt,
    wanted: &Recast,
    missing: impl Fn(&Account) -> bool,
) -> Result<Recasted, Fault> {
    let mut machine = Machine::load(rows, at)?;
    match machine.recast(wanted, missing) {
        Ok(replicas) => {
            machine.write(keys::COUNTERS, &machine.counters.clone());
            Ok(Ok(replicas))
        }
        Err(Stop::Rejected(rejection)) => Ok(Err(rejection)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

impl<R: Rows> Machine<'_, '_, R> {
    fn recast(
        &mut self,
        wanted: &Recast,
        missing: impl Fn(&Account) -> bool,
    ) -> Result<Vec<(GroupId, ReplicaId)>, Stop> {
        let cluster = self.cluster()?;
        if self.read::<Node>(&keys::node(wanted.node.node))?.is_some() {
            return Err(Rejection::NodeRemoved.into());
        }
        self.check_level(&wanted.node)?;
        for node in self.table::<Node>(Table::Nodes)? {
            self.put_node(Node {
                state: NodeState::Removed,
                addresses: Addresses::default(),
                ..node
            });
        }
        self.check_report(&wanted.node)?;
        self.put_new_node(&wanted.node, NodeState::Active);
        self.put_cluster(Cluster {
            id: wanted.cluster,
            ..cluster
        });
        let mut replicas = Vec::new();
        for group in self.table::<Group>(Table::Groups)? {
            let replica = Replica {
                id: self.next_replica(),
                node: wanted.node.node,
                role: Role::Voter,
                leaving: false,
            };
            replicas.push((group.id, replica.id));
            self.put_group(Group {
                replicas: vec![replica],
                first: replica.id,
                changed: self.at.index,
                ..group
            });
        }
        for account in self.table::<Account>(Table::Accounts)? {
            if account.state == AccountState::Active && missing(&account) {
                let operation = self.begin(OperationKind::CreateAccount, account.id);
                self.put_account(Account {
                    state: AccountState::Creating,
                    operation: Some(operation),
                    ..account
                });
            }
        }
        Ok(replicas)
    }
}
