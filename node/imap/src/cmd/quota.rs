//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208).
//!
//! All mailboxes of an account are under one quota root, which has the empty name for its owner,
//! and for others the name above its mailboxes.

use mailbox::{Answer, Command, Query, Quota, Rights};

use crate::backend::{Backend, Transport};
use crate::cmd::others::is_refusal;
use crate::grammar::SetQuota;
use crate::guest::OTHERS;
use crate::names;
use crate::respond::{Code, Resource};
use crate::state::{Done, Result, Session, Stop};

/// The quota root of an account.
const ROOT: &str = "";

/// Bytes in a unit of STORAGE (RFC 9208 section 5.1).
const STORAGE_UNIT: u64 = 1024;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn get_quota(&mut self, root: &[u8]) -> Result<Done> {
        let name = std::str::from_utf8(root).map_err(|_| no_root())?;
        if let Some(owner) = owner_of_root(name)? {
            // Who lets the user read one of his mailboxes (RFC 9208 section 3.2), unless the user
            // sets quotas.
            let found = match self.home.is_administrator() {
                true => self.home.administered(owner).await?,
                false => self.other(owner).await?,
            };
            self.backend = found.ok_or_else(no_root)?;
        }
        let quota = match self.quota().await {
            Err(stop) if name != ROOT && is_refusal(&stop) => return Err(no_root()),
            quota => quota?,
        };
        self.conn.out.quota(name, &quota);
        Ok(Done::text("GETQUOTA completed"))
    }

    /// The mailbox need not exist: it is told what would hold for it (RFC 9208 section 4.1.2); but
    /// of another's only if it may be read.
    pub(crate) async fn get_quota_root(&mut self, raw: &[u8]) -> Result<Done> {
        let name = names::decode(raw, self.conn.out.is_utf8())?;
        self.enter(&name).await?;
        let root = match self.backend.guest() {
            Some(guest) => format!("{OTHERS}{}", guest.owner()),
            None => ROOT.to_owned(),
        };
        if root != ROOT {
            self.folder_with(raw, Rights::READ).await?;
        }
        let quota = self.quota().await?;
        self.conn.out.quota_root(&name, &[&root]);
        self.conn.out.quota(&root, &quota);
        Ok(Done::text("GETQUOTAROOT completed"))
    }

    /// What has no limit afterwards is what is not named (RFC 9208 section 4.1.3).
    pub(crate) async fn set_quota(&mut self, asked: &SetQuota) -> Result<Done> {
        if !self.home.is_administrator() {
            return Err(Stop::no(Code::NoPerm, "Only an administrator sets quotas"));
        }
        let name = std::str::from_utf8(&asked.root).map_err(|_| no_root())?;
        if let Some(owner) = owner_of_root(name)? {
            let found = self.home.administered(owner).await?;
            self.backend = found.ok_or_else(no_root)?;
        }
        let (mut bytes, mut messages) = (None, None);
        for (resource, limit) in &asked.limits {
            match resource.as_str() {
                "STORAGE" => bytes = Some(limit.saturating_mul(STORAGE_UNIT)),
                "MESSAGE" => messages = Some(*limit),
                _ => return Err(Stop::no(Code::Cannot, "That has no limit that can be set")),
            }
        }
        let account = self.backend.account();
        let command = Command::SetQuota {
            account,
            bytes,
            messages,
        };
        self.change(command).await?;
        let quota = self.quota().await?;
        self.conn.out.quota(name, &quota);
        Ok(Done::text("SETQUOTA completed"))
    }

    async fn quota(&mut self) -> Result<Vec<Resource>> {
        let query = Query::Quota {
            account: self.backend.account(),
        };
        let quota = self.ask(query, |answer| match answer {
            Answer::Quota(quota) => Some(quota),
            _ => None,
        });
        Ok(resources(&quota.await?))
    }
}

/// Whose quota root it is; `None` if the user's own.
fn owner_of_root(name: &str) -> Result<Option<&str>> {
    match name {
        ROOT => Ok(None),
        _ => name.strip_prefix(OTHERS).map(Some).ok_or_else(no_root),
    }
}

fn no_root() -> Stop {
    Stop::no(Code::NonExistent, "There is no such quota root")
}

/// What has a limit. Bytes are rounded up, used ones and those that may be.
fn resources(quota: &Quota) -> Vec<Resource> {
    let storage = quota.bytes_max.map(|limit| Resource {
        name: "STORAGE",
        usage: quota.bytes.div_ceil(STORAGE_UNIT),
        limit: limit.div_ceil(STORAGE_UNIT),
    });
    let messages = quota.messages_max.map(|limit| Resource {
        name: "MESSAGE",
        usage: quota.messages,
        limit,
    });
    let mailboxes = Resource {
        name: "MAILBOX",
        usage: quota.mailboxes,
        limit: mailbox::limits::MAILBOXES_MAX,
    };
    storage
        .into_iter()
        .chain(messages)
        .chain([mailboxes])
        .collect()
}
