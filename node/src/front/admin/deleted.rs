//! What accounts deleted and can get back.

use directory::{AccountState, Command};
use mailbox::{MailboxId, Millis, Rejection, Uid, UidRanges, limits};
use proto::v1;
use tonic::Status;

use super::{AdminServer, status};
use crate::front::audit::Audit;
use crate::front::limits::ADMIN_WAIT;
use crate::replica::GroupId;
use crate::service::Account;
use crate::service::deleted::{DAY_MS, DeletedError, From, RETENTION_SETTING, Target, Undelete};

impl AdminServer {
    /// The account of a name, whether or not it may log in.
    pub(super) async fn account_of(&self, name: &str) -> Result<Account, Status> {
        self.service().refresh(ADMIN_WAIT).await.map_err(status)?;
        let found = {
            let view = self.service().view().read();
            view.account(name)
                .filter(|found| matches!(found.state, AccountState::Active | AccountState::Locked))
                .map(|found| (found.id.0, found.partition.0))
        };
        let (id, group) = found.ok_or_else(|| Status::not_found("there is no such account"))?;
        let id = mailbox::AccountId(id);
        Ok(Account::open(
            self.service(),
            id,
            GroupId(group),
            ADMIN_WAIT,
        ))
    }

    /// A page of what an account deleted.
    pub(super) async fn deleted_page(
        &self,
        asked: v1::AdminListDeletedRequest,
    ) -> Result<v1::AdminDeleted, Status> {
        let account = self.account_of(&asked.account).await?;
        let name = (!asked.mailbox.is_empty()).then_some(asked.mailbox.as_str());
        let from = from_bytes(&asked.from)?;
        let page = account.list_deleted(name, from).await.map_err(refused)?;
        let usage = account.usage().await.map_err(status)?;
        let mailboxes = page.mailboxes.into_iter();
        let mailboxes = mailboxes.map(|folder| v1::AdminDeletedMailbox {
            mailbox: folder.id.0,
            name: folder.name,
            messages: folder.messages,
            bytes: folder.bytes,
            deleted_ms: folder.deleted.0,
            deadline_ms: folder.deadline.0,
        });
        let messages = page.messages.into_iter();
        let messages = messages.map(|(mailbox, message)| v1::AdminDeletedMessage {
            mailbox,
            uid: message.uid.0,
            size: message.size,
            internal_ms: message.internal_date.0,
            expunged_ms: message.expunged.0,
            deadline_ms: message.deadline.0,
        });
        Ok(v1::AdminDeleted {
            mailboxes: mailboxes.collect(),
            messages: messages.collect(),
            held_messages: usage.held_messages,
            held_bytes: usage.held_bytes,
            retention_ms: usage.retention.0,
            own_retention: usage.own_retention,
            next: page.next.map_or_else(Vec::new, to_bytes).into(),
        })
    }

    /// Brings back messages or a mailbox.
    pub(super) async fn bring_back(
        &self,
        who: &str,
        asked: v1::AdminUndeleteRequest,
    ) -> Result<v1::AdminUndeleted, Status> {
        let wanted = Undelete {
            target: match asked.deleted_mailbox {
                0 => target(asked.mailbox)?,
                mailbox => Target::Deleted(MailboxId(mailbox)),
            },
            uids: uids(&asked.uids)?,
            since: Some(asked.since_ms).filter(|ms| *ms > 0).map(Millis),
            into: Some(asked.into).filter(|name| !name.is_empty()),
        };
        let account = self.account_of(&asked.account).await?;
        let of = format!("{}: {wanted:?}", asked.account);
        let audit = Audit::begin(who, "undelete", &of);
        let back = account.undelete(&wanted).await;
        audit.end(&back);
        let back = back.map_err(refused)?;
        Ok(v1::AdminUndeleted {
            messages: back.messages,
            mailboxes: back.mailboxes,
        })
    }

    /// Removes for good what was deleted.
    pub(super) async fn purge(
        &self,
        who: &str,
        asked: v1::AdminPurgeRequest,
    ) -> Result<v1::AdminPurged, Status> {
        let target = target(asked.mailbox)?;
        let account = self.account_of(&asked.account).await?;
        let of = format!("{}: {target:?}", asked.account);
        let audit = Audit::begin(who, "purge", &of);
        let purged = account.purge_deleted(&target).await;
        audit.end(&purged);
        let purged = purged.map_err(refused)?;
        Ok(v1::AdminPurged {
            messages: purged.messages,
            bytes: purged.bytes,
        })
    }

    /// Sets for how long what is deleted is kept.
    pub(super) async fn keep_for(
        &self,
        who: &str,
        asked: v1::AdminRetentionRequest,
    ) -> Result<(), Status> {
        let days = u64::from(asked.days);
        let possible = limits::RETENTION_MS_MIN..=limits::RETENTION_MS_MAX;
        if days != 0 && !possible.contains(&(days * DAY_MS)) {
            return Err(Status::invalid_argument(format!(
                "a retention has {} to {} days",
                possible.start() / DAY_MS,
                possible.end() / DAY_MS
            )));
        }
        let Some(name) = named(asked.account, "account")? else {
            if days == 0 {
                return Err(Status::invalid_argument("how many days?"));
            }
            // The leaders of the partitions see it, and tell those.
            let command = Command::SetSetting {
                name: RETENTION_SETTING.into(),
                value: days.to_string(),
            };
            self.change(who, command).await?;
            return Ok(());
        };
        let account = self.account_of(&name).await?;
        let retention = (days != 0).then_some(Millis(days * DAY_MS));
        let audit = Audit::begin(who, "retention", &format!("{name}: {days} days"));
        let set = account.set_retention(retention).await;
        audit.end(&set);
        set.map_err(refused)
    }
}

/// A name that is given. One that was left empty by mistake must not mean more than one.
fn named(name: Option<String>, of: &str) -> Result<Option<String>, Status> {
    match name {
        Some(name) if name.is_empty() => {
            let why = format!("no {of} has an empty name");
            Err(Status::invalid_argument(why))
        }
        name => Ok(name),
    }
}

/// One mailbox, or all if none is given.
fn target(mailbox: Option<String>) -> Result<Target, Status> {
    let mailbox = named(mailbox, "mailbox")?;
    Ok(mailbox.map_or(Target::All, Target::Named))
}

/// A set of UIDs in words; empty for all.
fn uids(text: &str) -> Result<UidRanges, Status> {
    if text.is_empty() {
        return Ok(UidRanges::all());
    }
    let bad = || Status::invalid_argument(format!("{text:?} is no set of UIDs, such as 3:7,9"));
    let uid = |text: &str| match text {
        "*" => Some(Uid::MAX),
        digits => digits.parse().ok().filter(|uid| *uid > 0).map(Uid),
    };
    let mut uids = UidRanges::new();
    for range in text.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let ends = uid(first).zip(uid(last)).ok_or_else(bad)?;
        uids.insert_range(ends.0.min(ends.1), ends.0.max(ends.1));
    }
    Ok(uids)
}

/// Where a page starts, as clients hand it back.
fn to_bytes(from: From) -> Vec<u8> {
    match from {
        From::Mailbox(mailbox) => mailbox.0.to_be_bytes().to_vec(),
        From::Message(mailbox, uid) => {
            [&mailbox.0.to_be_bytes()[..], &uid.0.to_be_bytes()[..]].concat()
        }
    }
}

fn from_bytes(bytes: &[u8]) -> Result<Option<From>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let parts = bytes.split_first_chunk::<8>().map(|(mailbox, uid)| {
        let mailbox = MailboxId(u64::from_be_bytes(*mailbox));
        (mailbox, uid)
    });
    let from = match parts {
        Some((mailbox, [])) => Some(From::Mailbox(mailbox)),
        Some((mailbox, uid)) => {
            let uid = uid.try_into().ok().map(u32::from_be_bytes);
            uid.map(|uid| From::Message(mailbox, Uid(uid)))
        }
        None => None,
    };
    from.map(Some)
        .ok_or_else(|| Status::invalid_argument("no page starts there"))
}

fn refused(error: DeletedError) -> Status {
    match error {
        DeletedError::Failed(failure) => status(failure),
        DeletedError::NoMailbox => Status::not_found(error.to_string()),
        DeletedError::Whole => {
            Status::invalid_argument(format!("{error}: leave out --uids and --since"))
        }
        DeletedError::Refused { why, .. } => match why {
            Rejection::NoMailbox => Status::not_found(error.to_string()),
            Rejection::Exists => Status::already_exists(format!(
                "{error}: give it another name (--into), or rename the other one"
            )),
            Rejection::NameInvalid | Rejection::Invalid => {
                Status::invalid_argument(error.to_string())
            }
            _ => Status::failed_precondition(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_is_not_all() {
        assert_eq!(target(None).unwrap(), Target::All);
        let named = target(Some("INBOX".into())).unwrap();
        assert_eq!(named, Target::Named("INBOX".into()));
        let refused = target(Some(String::new())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn sets_of_uids_in_words() {
        let set = |text: &str| uids(text).map(|uids| uids.to_string()).ok();
        assert_eq!(set("3:7,9").as_deref(), Some("3:7,9"));
        assert_eq!(set("9,7:3,4").as_deref(), Some("3:7,9"));
        assert_eq!(uids("").unwrap(), UidRanges::all());
        assert_eq!(uids("1:*").unwrap(), UidRanges::all());
        for text in ["0", "1:", ",", "a", "-1", "1;2", "4294967296"] {
            assert_eq!(set(text), None, "{text}");
        }
    }

    #[test]
    fn where_a_page_starts_survives() {
        for from in [
            From::Mailbox(MailboxId(7)),
            From::Message(MailboxId(7), Uid(9)),
        ] {
            assert_eq!(from_bytes(&to_bytes(from)).unwrap(), Some(from));
        }
        assert_eq!(from_bytes(&[]).unwrap(), None);
        for bytes in [&[1][..], &[1; 9], &[1; 13]] {
            assert!(from_bytes(bytes).is_err());
        }
    }
}
