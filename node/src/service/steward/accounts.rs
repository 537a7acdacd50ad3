//! Operations that span groups: accounts being made and deleted.

use bytes::Bytes;
use directory::{Command as Direct, OperationKind};
use futures_util::stream::{self, TryStreamExt as _};
use mailbox::{Command, NewFolder, SpecialUse};

use super::{STEP_WAIT, Steward};
use crate::raft::Group;
use crate::replica::GroupId;
use crate::service::call::Failure;
use crate::service::limits::{OPERATIONS_AT_ONCE, OPERATIONS_IN_FLIGHT};

/// Folders that an account is made with.
const FOLDERS: [(&str, SpecialUse); 5] = [
    ("Archive", SpecialUse::Archive),
    ("Drafts", SpecialUse::Drafts),
    ("Junk", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
];

impl Steward {
    /// Does the partition's part of what spans groups, then says so.
    pub(super) async fn drive_operations(&self, group: &Group) -> Result<(), Failure> {
        let pending = group
            .rows()
            .read(|rows| directory::pending(rows, OPERATIONS_AT_ONCE))
            .map_err(|fault| Failure::Broken(fault.to_string()))?;
        stream::iter(pending.into_iter().map(Ok))
            .try_for_each_concurrent(OPERATIONS_IN_FLIGHT, |operation| self.drive(operation))
            .await
    }

    async fn drive(&self, operation: directory::Operation) -> Result<(), Failure> {
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
        let mut lane = self.service.lanes().open_to(partition);
        let outcome = self
            .service
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
        self.service.direct(finish, STEP_WAIT).await?;
        Ok(())
    }
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
