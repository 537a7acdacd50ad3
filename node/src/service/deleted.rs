//! What an account deleted: listed, brought back, or removed for good.
//!
//! The machine does a bounded part of each with one command; here it is asked until all is done.
//!
//! ```text
//!   a mailbox that is there   Undelete, Undelete ..   its expunged messages come back
//!   one that was deleted      RestoreMailbox          it comes back
//!   either                    Purge, Purge ..         what was deleted goes
//! ```

use mailbox::{
    Answer, Command, DeletedFolder, DeletedMessage, Folder, MailboxId, Millis, Outcome, Query,
    Rejection, Reply, Uid, UidRanges, Usage,
};

use super::account::Account;
use super::call::Failure;
use super::limits::{DELETED_PAGE, DELETED_QUERIES_MAX};

/// The setting of the directory that says for how many days what was deleted is kept.
pub const RETENTION_SETTING: &str = "retention.days";

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeletedError {
    /// There is no answer.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The machine refused.
    #[error("{why}{}", so_far(.messages))]
    Refused {
        /// Why.
        why: Rejection,
        /// Messages that were done before.
        messages: u64,
    },
    /// No mailbox has the name, and none that was deleted had it.
    #[error("there is no such mailbox, and none that was deleted")]
    NoMailbox,
    /// Some of the messages of a deleted mailbox are wanted; nothing was done.
    #[error("the mailbox was deleted, and comes back with all messages that it had")]
    Whole,
}

fn so_far(messages: &u64) -> String {
    match messages {
        0 => String::new(),
        messages => format!(" ({messages} messages were done before)"),
    }
}

/// What of an account is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// What was expunged in all mailboxes that are there; to purge, deleted ones too.
    All,
    /// A mailbox that is there, or the one that was deleted last of those that had the name.
    Named(String),
    /// A deleted mailbox.
    Deleted(MailboxId),
}

/// What is to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelete {
    /// Of what.
    pub target: Target,
    /// Messages by the UIDs that they had.
    pub uids: UidRanges,
    /// Only messages that were expunged then or later.
    pub since: Option<Millis>,
    /// Where messages go, or what a deleted mailbox is called.
    pub into: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undeleted {
    /// Messages, those of a mailbox that came back included.
    pub messages: u64,
    /// Mailboxes that came back or got some.
    pub mailboxes: Vec<String>,
}

/// What went for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Where a page of what was deleted starts: first come mailboxes, then messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Deleted mailboxes from this one on.
    Mailbox(MailboxId),
    /// Expunged messages from this UID of this mailbox on.
    Message(MailboxId, Uid),
}

/// A page of what was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Deleted mailboxes.
    pub mailboxes: Vec<DeletedFolder>,
    /// Expunged messages, with the name of their mailbox.
    pub messages: Vec<(String, DeletedMessage)>,
    /// Where the next page starts.
    pub next: Option<From>,
}

impl Account {
    /// How much it uses and holds.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn usage(&self) -> Result<Usage, Failure> {
        match self.read(Query::Usage { account: self.id() }).await? {
            Answer::Usage(usage) => Ok(usage),
            _ => Err(unexpected()),
        }
    }

    /// A page of what was deleted, of all or of the mailboxes of a name.
    ///
    /// # Errors
    ///
    /// [`DeletedError::NoMailbox`] on the first page if there never was one of that name.
    pub async fn list_deleted(
        &self,
        name: Option<&str>,
        from: Option<From>,
    ) -> Result<Page, DeletedError> {
        let folders = self.mailboxes(name).await?;
        let mut page = Page {
            mailboxes: Vec::new(),
            messages: Vec::new(),
            next: None,
        };
        let from = from.unwrap_or(From::Mailbox(MailboxId(0)));
        let (mailbox, uid) = match from {
            From::Message(mailbox, uid) => (mailbox, uid),
            From::Mailbox(first) => {
                let (found, next) = self.deleted_mailboxes(name, first).await?;
                page.mailboxes = found;
                page.next = Some(match next {
                    Some(next) => From::Mailbox(next),
                    None => From::Message(MailboxId(0), Uid(1)),
                });
                let is_first = first == MailboxId(0);
                if is_first && next.is_none() && page.mailboxes.is_empty() && folders.is_empty() {
                    return Err(DeletedError::NoMailbox);
                }
                return Ok(page);
            }
        };
        let mut from = (mailbox, uid);
        let left = folders.into_iter().filter(|folder| folder.id >= mailbox);
        for (asked, folder) in left.enumerate() {
            if from.0 != folder.id {
                from = (folder.id, Uid(1));
            }
            if asked == DELETED_QUERIES_MAX || page.messages.len() >= DELETED_PAGE {
                page.next = Some(From::Message(from.0, from.1));
                break;
            }
            let (found, next) = self.deleted_messages(from.0, from.1).await?;
            let named = found.into_iter().map(|one| (folder.name.clone(), one));
            page.messages.extend(named);
            if let Some(next) = next {
                page.next = Some(From::Message(folder.id, next));
                break;
            }
        }
        Ok(page)
    }

    /// Brings back what was deleted.
    ///
    /// # Errors
    ///
    /// [`DeletedError::Refused`] says how much was done before; [`DeletedError::Whole`] if a part
    /// of a deleted mailbox is wanted.
    pub async fn undelete(&self, wanted: &Undelete) -> Result<Undeleted, DeletedError> {
        let folders = match &wanted.target {
            Target::All => self.mailboxes(None).await?,
            Target::Named(name) => self.mailboxes(Some(name)).await?,
            Target::Deleted(_) => Vec::new(),
        };
        let mailbox = match &wanted.target {
            Target::Deleted(mailbox) => *mailbox,
            Target::Named(name) if folders.is_empty() => self.last_deleted(name).await?,
            _ => return self.undelete_messages(folders, wanted).await,
        };
        if wanted.uids != UidRanges::all() || wanted.since.is_some() {
            return Err(DeletedError::Whole);
        }
        self.restore(mailbox, wanted.into.as_deref()).await
    }

    /// Removes what was deleted for good.
    ///
    /// # Errors
    ///
    /// As [`Account::undelete`].
    pub async fn purge_deleted(&self, target: &Target) -> Result<Purged, DeletedError> {
        let (there, deleted) = match target {
            Target::All => {
                let there = self.mailboxes(None).await?;
                (there, self.all_deleted(None).await?)
            }
            Target::Named(name) => {
                let there = self.mailboxes(Some(name)).await?;
                (there, self.all_deleted(Some(name)).await?)
            }
            Target::Deleted(mailbox) => (Vec::new(), vec![*mailbox]),
        };
        let mailboxes: Vec<MailboxId> = there.iter().map(|folder| folder.id).collect();
        if mailboxes.is_empty() && deleted.is_empty() {
            return Err(DeletedError::NoMailbox);
        }
        let mut purged = Purged::default();
        for mailbox in mailboxes.into_iter().chain(deleted) {
            let mut from = Some(Uid(1));
            while let Some(first) = from {
                let command = Command::Purge {
                    account: self.id(),
                    mailbox,
                    from: first,
                };
                let reply = self.done(command, purged.messages).await?;
                let Reply::Purged {
                    messages,
                    bytes,
                    next,
                } = reply
                else {
                    return Err(unexpected().into());
                };
                purged.messages += messages;
                purged.bytes += bytes;
                from = next;
            }
        }
        Ok(purged)
    }

    /// Sets its retention; `None` for that of the cluster.
    ///
    /// # Errors
    ///
    /// [`DeletedError::Refused`] if it is too long or too short.
    pub async fn set_retention(&self, retention: Option<Millis>) -> Result<(), DeletedError> {
        let command = Command::SetRetention {
            account: self.id(),
            retention,
        };
        self.done(command, 0).await.map(drop)
    }

    async fn restore(
        &self,
        mailbox: MailboxId,
        name: Option<&str>,
    ) -> Result<Undeleted, DeletedError> {
        let command = Command::RestoreMailbox {
            account: self.id(),
            mailbox,
            name: name.map(str::to_owned),
        };
        self.done(command, 0).await?;
        let folders = self.mailboxes(None).await?;
        let back = folders.into_iter().find(|folder| folder.id == mailbox);
        Ok(back.map_or_else(Undeleted::default, |folder| Undeleted {
            messages: folder.messages.into(),
            mailboxes: vec![folder.name],
        }))
    }

    async fn undelete_messages(
        &self,
        folders: Vec<Folder>,
        wanted: &Undelete,
    ) -> Result<Undeleted, DeletedError> {
        let into = match &wanted.into {
            Some(name) => Some((self.made(name).await?, name)),
            None => None,
        };
        let mut back = Undeleted::default();
        for folder in folders {
            let (to, name) = into.map_or((folder.id, &folder.name), |into| into);
            let mut from = wanted.uids.first();
            while let Some(first) = from {
                let rest = UidRanges::range(first, Uid::MAX);
                let command = Command::Undelete {
                    account: self.id(),
                    from: folder.id,
                    to,
                    uids: wanted.uids.intersect(&rest),
                    since: wanted.since,
                };
                let reply = self.done(command, back.messages).await?;
                let Reply::Restored { messages, next, .. } = reply else {
                    return Err(unexpected().into());
                };
                back.messages += u64::from(messages);
                if messages > 0 && back.mailboxes.last() != Some(name) {
                    back.mailboxes.push(name.clone());
                }
                from = next;
            }
        }
        Ok(back)
    }

    /// The mailbox of a name, which is made if there is none.
    async fn made(&self, name: &str) -> Result<MailboxId, DeletedError> {
        if let Some(folder) = self.mailboxes(Some(name)).await?.first() {
            return Ok(folder.id);
        }
        let command = Command::CreateMailbox {
            account: self.id(),
            name: name.to_owned(),
            special_use: None,
        };
        match self.done(command, 0).await? {
            Reply::Created { mailbox, .. } => Ok(mailbox),
            _ => Err(unexpected().into()),
        }
    }

    /// Mailboxes that are there, sorted by id; only that of a name if one is given.
    async fn mailboxes(&self, name: Option<&str>) -> Result<Vec<Folder>, Failure> {
        let account = self.id();
        let mut folders = match name {
            None => match self.read(Query::Folders { account }).await? {
                Answer::Folders(folders) => folders,
                _ => return Err(unexpected()),
            },
            Some(name) => {
                let name = name.to_owned();
                match self.read(Query::Folder { account, name }).await? {
                    Answer::Folder(folder) => folder.into_iter().collect(),
                    _ => return Err(unexpected()),
                }
            }
        };
        folders.retain(|folder| folder.exists);
        folders.sort_unstable_by_key(|folder| folder.id);
        Ok(folders)
    }

    async fn deleted_messages(
        &self,
        mailbox: MailboxId,
        from: Uid,
    ) -> Result<(Vec<DeletedMessage>, Option<Uid>), Failure> {
        let query = Query::Deleted {
            account: self.id(),
            mailbox,
            from,
            limit: u32::try_from(DELETED_PAGE).unwrap_or(u32::MAX),
        };
        match self.read(query).await {
            Ok(Answer::Deleted(page)) => Ok((page.messages, page.next)),
            // It was deleted while the pages were read.
            Err(Failure::NoMailbox) => Ok((Vec::new(), None)),
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        }
    }

    async fn deleted_mailboxes(
        &self,
        name: Option<&str>,
        from: MailboxId,
    ) -> Result<(Vec<DeletedFolder>, Option<MailboxId>), Failure> {
        let account = self.id();
        match self.read(Query::DeletedFolders { account, from }).await? {
            Answer::DeletedFolders(mut page) => {
                page.folders
                    .retain(|folder| name.is_none_or(|name| folder.name == name));
                Ok((page.folders, page.next))
            }
            _ => Err(unexpected()),
        }
    }

    async fn all_deleted(&self, name: Option<&str>) -> Result<Vec<MailboxId>, Failure> {
        let mut all = Vec::new();
        let mut from = Some(MailboxId(0));
        while let Some(first) = from {
            let (found, next) = self.deleted_mailboxes(name, first).await?;
            all.extend(found.iter().map(|folder| (folder.deleted, folder.id)));
            from = next;
        }
        all.sort_unstable();
        Ok(all.into_iter().map(|(_, id)| id).collect())
    }

    async fn last_deleted(&self, name: &str) -> Result<MailboxId, DeletedError> {
        let all = self.all_deleted(Some(name)).await?;
        all.last().copied().ok_or(DeletedError::NoMailbox)
    }

    async fn done(&self, command: Command, before: u64) -> Result<Reply, DeletedError> {
        match self.propose(command).await? {
            Outcome::Done(reply) => Ok(reply),
            Outcome::Rejected(why) => Err(DeletedError::Refused {
                why,
                messages: before,
            }),
            Outcome::Forgotten => Err(Failure::Unknown.into()),
            Outcome::Moved => Err(Failure::Moved.into()),
        }
    }
}

fn unexpected() -> Failure {
    Failure::Invalid("unexpected answer".into())
}
