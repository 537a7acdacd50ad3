//! What accounts may have.

use mailbox::{Answer, Command, Outcome, Query, Quota};
use proto::v1;
use tonic::Status;

use super::{AdminServer, status};
use crate::front::audit::Audit;
use crate::service::Account;

impl AdminServer {
    /// Sets what an account may have, as far as that is given, and tells what it uses and may.
    pub(super) async fn quota_of(
        &self,
        who: &str,
        asked: v1::AdminQuotaRequest,
    ) -> Result<v1::AdminQuota, Status> {
        let account = self.account_of(&asked.account).await?;
        let mut quota = read(&account).await?;
        if asked.bytes.is_some() || asked.messages.is_some() {
            let limit = |given: Option<u64>, kept: Option<u64>| match given {
                Some(given) => Some(given).filter(|given| *given > 0),
                None => kept,
            };
            let bytes = limit(asked.bytes, quota.bytes_max);
            let messages = limit(asked.messages, quota.messages_max);
            let command = Command::SetQuota {
                account: account.id(),
                bytes,
                messages,
            };
            let of = format!("{}: bytes {bytes:?}, messages {messages:?}", asked.account);
            let audit = Audit::begin(who, "quota", &of);
            let set = account.propose(command).await;
            audit.end(&set);
            match set.map_err(status)? {
                Outcome::Done(_) => {}
                other => return Err(Status::failed_precondition(format!("{other:?}"))),
            }
            quota = read(&account).await?;
        }
        Ok(v1::AdminQuota {
            bytes: quota.bytes,
            messages: quota.messages,
            mailboxes: quota.mailboxes,
            bytes_max: quota.bytes_max,
            messages_max: quota.messages_max,
        })
    }
}

async fn read(account: &Account) -> Result<Quota, Status> {
    let query = Query::Quota {
        account: account.id(),
    };
    match account.read(query).await.map_err(status)? {
        Answer::Quota(quota) => Ok(quota),
        _ => Err(Status::internal("another question was answered")),
    }
}
