//! Whether the rows agree with each other.

use std::collections::BTreeMap;

use rows::{Digest, Fault, Rows};

use crate::codec::{self, Answered, Wire};
use crate::command::RequestId;
use crate::keys::{self, Table};
use crate::limits;
use crate::operation::{OperationKind, OperationRow};
use crate::share::Share;
use crate::types::{
    Account, AccountId, AccountState, Cluster, Counters, Group, GroupId, Node, NodeState, Replica,
    Role, Setting,
};

/// Reads all rows and recounts everything that is counted (M5), follows every reference from one
/// row to another, and compares the digest. Takes time with the number of accounts.
///
/// # Errors
/// A [`Fault`] that says what does not agree, or cannot be read.
pub fn check(rows: &impl Rows) -> Result<(), Fault> {
    let (kept, counted) = (Digest::kept(rows)?, Digest::counted(rows)?);
    ensure(kept == counted, || {
        format!("digest {kept} kept, {counted} counted")
    })?;
    let counters = match rows.get(keys::COUNTERS)? {
        Some(value) => codec::row(keys::COUNTERS, &value)?,
        None => Counters::NEW,
    };
    let cluster = match rows.get(keys::CLUSTER)? {
        Some(value) => Some(codec::row::<Cluster>(keys::CLUSTER, &value)?),
        None => None,
    };
    let nodes: Vec<Node> = table(rows, Table::Nodes)?;
    check_count("nodes", nodes.len(), counters.nodes.into())?;
    let settings: Vec<Setting> = table(rows, Table::Settings)?;
    check_count("settings", settings.len(), counters.settings.into())?;
    let groups: Vec<Group> = table(rows, Table::Groups)?;
    ensure(
        cluster.is_some() || nodes.is_empty() && groups.is_empty(),
        || "no cluster".into(),
    )?;
    for node in &nodes {
        let awaited = |it: &Node| Some(it.id) == node.successor && it.state != NodeState::Removed;
        let sound = node.successor.is_none()
            || node.state == NodeState::Leaving && nodes.iter().any(awaited);
        ensure(sound, || {
            format!("node {} awaits nobody who comes", node.id)
        })?;
    }
    check_groups(&groups, &nodes, &counters)?;
    check_accounts(rows, &groups, &counters)?;
    check_shares(rows)?;
    check_requests(rows, &counters)
}

fn check_groups(groups: &[Group], nodes: &[Node], counters: &Counters) -> Result<(), Fault> {
    let mut homes = BTreeMap::new();
    for group in groups {
        let id = group.id;
        ensure(group.voters().next().is_some(), || {
            format!("group {id} has no voter")
        })?;
        ensure(
            group.replicas.is_sorted_by_key(|replica| replica.id),
            || format!("group {id} is not in order"),
        )?;
        check_first(group)?;
        for replica in &group.replicas {
            let twice = homes.insert(replica.id, id).is_some();
            let fresh = !twice && (1..counters.next_replica).contains(&replica.id.0);
            ensure(fresh, || {
                format!("replica {} was given twice (R5)", replica.id)
            })?;
            let known = nodes.iter().find(|node| node.id == replica.node);
            // A node hears through its replica of the directory that it was removed.
            let serves = known
                .is_some_and(|node| node.state != NodeState::Removed || id == GroupId::DIRECTORY);
            ensure(serves, || format!("replica {} lies on no node", replica.id))?;
            let alone = group.replica_on(replica.node) == Some(replica);
            ensure(alone, || {
                format!("group {id} lies on node {} twice", replica.node)
            })?;
        }
    }
    Ok(())
}

/// The first is a voter that stays, if there is one.
fn check_first(group: &Group) -> Result<(), Fault> {
    let stays = |replica: &Replica| replica.role == Role::Voter && !replica.leaving;
    let fit = group.replica(group.first).is_some_and(stays);
    ensure(fit || !group.replicas.iter().any(stays), || {
        format!("group {} has an unfit first replica", group.id)
    })
}

fn check_accounts(rows: &impl Rows, groups: &[Group], counters: &Counters) -> Result<(), Fault> {
    let mut counts: BTreeMap<GroupId, u64> = groups.iter().map(|group| (group.id, 0)).collect();
    let accounts: Vec<Account> = table(rows, Table::Accounts)?;
    let mut operations: BTreeMap<_, _> = table::<OperationRow>(rows, Table::Operations)?
        .into_iter()
        .map(|operation| (operation.id, operation))
        .collect();
    for account in &accounts {
        let id = account.id;
        ensure((1..counters.next_account).contains(&id.0), || {
            format!("account {id} is not ours")
        })?;
        let named = rows.get(&keys::name(&account.name))?;
        let named =
            named.map(|value| codec::row::<AccountId>(account.name.as_str().as_bytes(), &value));
        ensure(named == Some(Ok(id)), || {
            format!("account {id} is not found by its name")
        })?;
        match counts.get_mut(&account.partition) {
            Some(count) => *count += 1,
            None => ensure(false, || format!("account {id} lives in no group"))?,
        }
        let operation = account
            .operation
            .and_then(|operation| operations.remove(&operation));
        let due = operation
            .filter(|operation| operation.account == id)
            .map(|it| it.kind);
        let wanted = match account.state {
            AccountState::Creating => Some(OperationKind::CreateAccount),
            AccountState::Deleting => Some(OperationKind::DeleteAccount),
            AccountState::Active | AccountState::Locked => None,
        };
        let agree = due == wanted && account.operation.is_some() == wanted.is_some();
        ensure(agree, || {
            format!("the operation of account {id} is not that of its state")
        })?;
    }
    ensure(operations.is_empty(), || {
        "an operation belongs to no account".into()
    })?;
    check_count("names", count(rows, Table::Names)?, counters.accounts)?;
    check_count("accounts", accounts.len(), counters.accounts)?;
    for group in groups {
        let counted = counts.get(&group.id).copied().unwrap_or_default();
        ensure(counted == group.accounts, || {
            format!(
                "group {} has {counted} accounts, not {}",
                group.id, group.accounts
            )
        })?;
    }
    Ok(())
}

/// Each is there both ways, and both ends are there.
fn check_shares(rows: &impl Rows) -> Result<(), Fault> {
    let shares: Vec<Share> = table(rows, Table::Shares)?;
    check_count("shares", count(rows, Table::SharedBy)?, shares.len() as u64)?;
    for Share { user, account } in shares {
        let found = rows.get(&keys::shared_by(account, user))?.is_some();
        let ends = [user, account].into_iter().filter(|id| id.0 != 0);
        let ends: Result<Vec<_>, Fault> = ends.map(|id| rows.get(&keys::account(id))).collect();
        let there = found && ends?.iter().all(Option::is_some);
        ensure(there, || {
            format!("what {account} shares with {user} is not whole")
        })?;
    }
    Ok(())
}

fn check_requests(rows: &impl Rows, counters: &Counters) -> Result<(), Fault> {
    let order: Vec<RequestId> = table(rows, Table::RequestOrder)?;
    let kept = (counters.next_request - 1).min(limits::REQUESTS_KEPT);
    check_count("places of requests", order.len(), kept)?;
    check_count("requests", count(rows, Table::Requests)?, kept)?;
    for request in order {
        let key = keys::request(request);
        let row = rows.get(&key)?;
        ensure(row.is_some(), || {
            format!("request {request} has a place and no outcome")
        })?;
        if let Some(value) = row {
            codec::row::<Answered>(&key, &value)?;
        }
    }
    Ok(())
}

fn table<T: Wire>(rows: &impl Rows, table: Table) -> Result<Vec<T>, Fault> {
    let (from, to) = table.range();
    rows.scan(&from, &to)?
        .map(|row| row.and_then(|(key, value)| codec::row(&key, &value)))
        .collect()
}

fn count(rows: &impl Rows, table: Table) -> Result<usize, Fault> {
    let (from, to) = table.range();
    rows.scan(&from, &to)?
        .try_fold(0, |count, row| row.map(|_| count + 1))
}

fn check_count(what: &str, counted: usize, kept: u64) -> Result<(), Fault> {
    ensure(counted as u64 == kept, || {
        format!("{counted} {what}, not {kept} (M5)")
    })
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::Invariant(why()))
    }
}
