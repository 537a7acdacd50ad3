//! Operations that span groups: accounts being made and deleted.
//!
//! Each partition is asked by itself, so that one without a leader keeps back nobody else's
//! accounts:
//!
//! ```text
//!   pending in the directory --by partition--> asked already? left alone
//!                                              otherwise some at once, until it does not answer
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use directory::{Command as Direct, Operation, OperationKind};
use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use mailbox::{Command, NewFolder, SpecialUse};
use tokio::time::MissedTickBehavior;

use super::STEP_WAIT;
use crate::replica::GroupId;
use crate::service::call::Failure;
use crate::service::limits::{OPERATIONS_AT_ONCE, OPERATIONS_IN_FLIGHT, STEWARD_PAUSE};
use crate::service::{DIRECTORY, Service};

/// What partitions have to do.
type Due = BTreeMap<GroupId, Vec<Operation>>;

/// Folders that an account is made with.
const FOLDERS: [(&str, SpecialUse); 5] = [
    ("Archive", SpecialUse::Archive),
    ("Drafts", SpecialUse::Drafts),
    ("Junk", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
];

/// Runs for as long as the node does.
pub(super) async fn run(service: Service) {
    let due = |busy: &BTreeSet<GroupId>| due(&service, busy);
    keep(due, |operation| drive(&service, operation)).await;
}

/// Looks now and then for what is due in partitions that are not busy, and drives it.
async fn keep<F>(mut due: impl FnMut(&BTreeSet<GroupId>) -> Due, drive: impl Fn(Operation) -> F)
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut looks = tokio::time::interval(STEWARD_PAUSE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut busy = BTreeSet::new();
    let mut work = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = looks.tick() => for (partition, operations) in due(&busy) {
                busy.insert(partition);
                work.push(drive_all(partition, operations, &drive));
            },
            Some(partition) = work.next() => {
                busy.remove(&partition);
            }
        }
    }
}

/// What is to be done in partitions that are not busy, if this node leads the directory.
fn due(service: &Service, busy: &BTreeSet<GroupId>) -> Due {
    let directory = service.router().local().groups().get(DIRECTORY);
    let Some(directory) = directory.filter(|group| group.is_leader()) else {
        return Due::new();
    };
    let pending = directory
        .rows()
        .read(|rows| directory::pending(rows, OPERATIONS_AT_ONCE));
    match pending {
        Ok(pending) => by_partition(pending, busy),
        Err(fault) => {
            tracing::warn!(%fault, "what accounts wait for cannot be read");
            Due::new()
        }
    }
}

fn by_partition(pending: Vec<Operation>, busy: &BTreeSet<GroupId>) -> Due {
    let mut due = Due::new();
    for operation in pending {
        let partition = GroupId(operation.partition.0);
        if !busy.contains(&partition) {
            due.entry(partition).or_default().push(operation);
        }
    }
    due
}

/// Drives what is due in one partition. Once it did not answer no more is begun; that is due again.
async fn drive_all<F>(
    partition: GroupId,
    operations: Vec<Operation>,
    drive: impl Fn(Operation) -> F,
) -> GroupId
where
    F: Future<Output = Result<(), Failure>>,
{
    let answers = AtomicBool::new(true);
    let each = |operation: Operation| {
        let (answers, drive) = (&answers, &drive);
        async move {
            if !answers.load(Relaxed) {
                return;
            }
            let id = operation.id.0;
            match drive(operation).await {
                Ok(()) => {}
                // A matter of this one alone.
                Err(failure @ Failure::Invalid(_)) => {
                    tracing::warn!(operation = id, group = partition.0, %failure, "an operation");
                }
                Err(failure) => {
                    answers.store(false, Relaxed);
                    let group = partition.0;
                    tracing::info!(operation = id, group, %failure, "an operation goes on later");
                }
            }
        }
    };
    stream::iter(operations)
        .for_each_concurrent(OPERATIONS_IN_FLIGHT, each)
        .await;
    partition
}

/// Does the partition's part of what spans groups, then says so.
async fn drive(service: &Service, operation: Operation) -> Result<(), Failure> {
    let account = mailbox::AccountId(operation.account.0);
    let command = match operation.kind {
        OperationKind::CreateAccount => Command::CreateAccount {
            account,
            folders: new_folders(),
            quota_bytes: operation.quota_bytes,
        },
        OperationKind::DeleteAccount => Command::DeleteAccount { account },
    };
    let partition = GroupId(operation.partition.0);
    let mut lane = service.lanes().open_to(partition);
    let outcome = service
        .propose(partition, &mut lane, command, Bytes::new(), STEP_WAIT)
        .await?;
    match outcome {
        mailbox::Outcome::Done(_) => {}
        mailbox::Outcome::Rejected(mailbox::Rejection::NoAccount)
            if operation.kind == OperationKind::DeleteAccount => {}
        outcome => return Err(Failure::Invalid(format!("{outcome:?}"))),
    }
    let finish = Direct::FinishOperation {
        operation: operation.id,
    };
    service.direct(finish, STEP_WAIT).await?;
    Ok(())
}

fn new_folders() -> Vec<NewFolder> {
    FOLDERS
        .into_iter()
        .map(|(name, special_use)| NewFolder {
            name: name.into(),
            special_use: Some(special_use),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use directory::{AccountId, OperationId};
    use parking_lot::Mutex;
    use tokio::sync::mpsc;

    use super::*;

    const STUCK: GroupId = GroupId(1);

    fn operation(id: u64, partition: GroupId) -> Operation {
        Operation {
            id: OperationId(id),
            kind: OperationKind::CreateAccount,
            account: AccountId(id),
            partition: directory::GroupId(partition.0),
            quota_bytes: None,
        }
    }

    #[tokio::test]
    async fn a_partition_without_a_leader_keeps_back_no_other() {
        let (done, mut driven) = mpsc::unbounded_channel();
        let mut next = 1000;
        // At every look the first partition has more to do than may be in flight, and one more
        // account is wanted in the second.
        let due = |busy: &BTreeSet<GroupId>| {
            next += 1;
            let stuck = (0..100).map(|id| operation(id, STUCK));
            let other = operation(next, GroupId(2));
            by_partition(stuck.chain([other]).collect(), busy)
        };
        let begun = Mutex::new(0);
        let drive = |operation: Operation| {
            let is_stuck = operation.partition.0 == STUCK.0;
            if is_stuck {
                *begun.lock() += 1;
            } else {
                done.send(operation.id.0).unwrap();
            }
            async move {
                if is_stuck {
                    pending::<()>().await;
                }
                Ok(())
            }
        };
        let three = async {
            for wanted in 1001..=1003 {
                assert_eq!(driven.recv().await, Some(wanted));
            }
        };
        tokio::select! {
            () = keep(due, drive) => {}
            () = three => {}
        }
        assert_eq!(
            *begun.lock(),
            OPERATIONS_IN_FLIGHT,
            "and not anew at every look"
        );
    }

    #[tokio::test]
    async fn what_one_operation_meets_concerns_others_only_if_nobody_answers() {
        let count = OPERATIONS_IN_FLIGHT as u64 * 3;
        let driven = async |failure: Failure| {
            let tried = Mutex::new(0);
            let operations = (0..count).map(|id| operation(id, STUCK)).collect();
            let drive = |operation: Operation| {
                *tried.lock() += 1;
                let failed = (operation.id.0 == 0).then(|| failure.clone());
                async move { failed.map_or(Ok(()), Err) }
            };
            assert_eq!(drive_all(STUCK, operations, drive).await, STUCK);
            tried.into_inner()
        };
        assert_eq!(driven(Failure::Invalid("refused".into())).await, count);
        assert!(driven(Failure::Busy("no leader".into())).await < count);
    }
}
