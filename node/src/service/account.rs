//! One account as a session uses it: whatever node leads its partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imap::mime::NeedleGrams;
use mailbox::{
    AccountId, Body, Command, MailboxId, ModSeq, NewBody, Outcome, Query, Rejection, Uid, UidRanges,
};
use tokio::sync::{Mutex, Semaphore};

use super::Service;
use super::body::{Arrived, Incoming, Leaving};
use super::call::{Answer, Call, Failure};
use super::lane::Lane;
use super::limits::{LEAVING_MAX, WATCH_POLL};
use super::reading::Ahead;
use super::watch::Watcher;
use crate::replica::GroupId;

/// An account that somebody has logged in to.
pub struct Account {
    service: Service,
    id: AccountId,
    group: GroupId,
    lane: Mutex<Lane>,
    watcher: Mutex<Watcher>,
    ahead: Ahead,
    leaving: Arc<Semaphore>,
    wait: Duration,
}

impl Account {
    /// The account `id` of the partition `group`; requests wait up to `wait` for a leader.
    #[must_use]
    pub fn open(service: &Service, id: AccountId, group: GroupId, wait: Duration) -> Self {
        Self {
            service: service.clone(),
            id,
            group,
            lane: Mutex::new(service.lanes().open_to(group)),
            watcher: Mutex::new(service.hub().watch(id)),
            ahead: Ahead::default(),
            leaving: Arc::new(Semaphore::new(LEAVING_MAX)),
            wait,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// Its name, as long as it is there.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let view = self.service.view().read();
        let account = view.account_by_id(directory::AccountId(self.id.0))?;
        Some(account.name.to_string())
    }

    /// Whether it is there and its user may log in, as far as this node has heard. Its own
    /// partition says so itself; those of others do not know.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let view = self.service.view().read();
        let account = view.account_by_id(directory::AccountId(self.id.0));
        account.is_some_and(|account| account.state.may_log_in())
    }

    /// The account of a user who takes mail, and his name.
    ///
    /// # Errors
    ///
    /// When this node does not know him and the directory's leader cannot be asked.
    pub async fn find(&self, user: &str) -> Result<Option<(AccountId, String)>, Failure> {
        let Some(found) = self.service.resolve(user, self.wait).await? else {
            return Ok(None);
        };
        let view = self.service.view().read();
        let account = view.account_by_id(directory::AccountId(found.account.0));
        Ok(account.map(|account| (found.account, account.name.to_string())))
    }

    /// The account of another, for a session of this one.
    #[must_use]
    pub fn other(&self, id: AccountId) -> Option<Self> {
        let group = {
            let view = self.service.view().read();
            let account = view.account_by_id(directory::AccountId(id.0))?;
            GroupId(account.partition.0)
        };
        Some(Self::open(&self.service, id, group, self.wait))
    }

    /// The accounts in use that may have given this one rights, or anyone, and their names, in the
    /// order of the names. What this node has not heard of yet is not among them.
    #[must_use]
    pub fn sharing(&self) -> Vec<(AccountId, String)> {
        let view = self.service.view().read();
        let mut found = Vec::new();
        for user in [self.id.0, 0].map(directory::AccountId) {
            let accounts = view.sharing_with(user).filter(|id| id.0 != self.id.0);
            let accounts = accounts.filter_map(|id| view.account_by_id(id));
            let in_use = accounts.filter(|account| account.state.takes_mail());
            found.extend(in_use.map(|it| (it.name.to_string(), AccountId(it.id.0))));
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(name, id)| (id, name)).collect()
    }

    /// Lets this account be among those that may have given a user rights, or anyone (0), as every
    /// node that can be reached knows it.
    ///
    /// # Errors
    ///
    /// [`Failure::Rejected`] if there are too many.
    pub async fn share_with(&self, user: AccountId) -> Result<(), Failure> {
        let is_known = {
            let view = self.service.view().read();
            let mut sharing = view.sharing_with(directory::AccountId(user.0));
            sharing.any(|id| id.0 == self.id.0)
        };
        if is_known {
            return Ok(());
        }
        let share = directory::Command::Share {
            user: directory::AccountId(user.0),
            account: directory::AccountId(self.id.0),
        };
        match self.service.direct(share, self.wait).await? {
            directory::Outcome::Rejected(directory::Rejection::TooManyShares) => {
                Err(Failure::Rejected(Rejection::GrantLimit))
            }
            directory::Outcome::Rejected(_) => Err(Failure::NoMailbox),
            _ => {
                self.service.spread(self.wait).await;
                Ok(())
            }
        }
    }

    /// Reads, linearizably.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn read(&self, query: Query) -> Result<mailbox::Answer, Failure> {
        self.service.query(self.group, query, self.wait).await
    }

    /// Reads from the replica on this node if it has applied all changes of the account up to
    /// `at_least`; otherwise linearizably.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn read_near(
        &self,
        query: Query,
        at_least: ModSeq,
    ) -> Result<mailbox::Answer, Failure> {
        let near = self.service.router().local();
        match near.read_near(self.group, self.id, &query, at_least) {
            Some(answer) => Ok(answer),
            None => self.read(query).await,
        }
    }

    /// Changes something, exactly once.
    ///
    /// # Errors
    ///
    /// [`Failure::Unknown`] when it may or may not have been done.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Failure> {
        self.propose_with(command, Bytes::new()).await
    }

    async fn propose_with(&self, command: Command, body: Bytes) -> Result<Outcome, Failure> {
        let mut lane = self.lane.lock().await;
        let done = self
            .service
            .propose(self.group, &mut lane, command, body, self.wait)
            .await;
        if done.is_err() {
            // The partition may not know this lane, and takes an unknown one only from its first
            // command on.
            *lane = self.service.lanes().open_to(self.group);
        }
        done
    }

    /// A part of a body; see [`Service::read_body`].
    ///
    /// # Errors
    ///
    /// When the bytes are nowhere to be had.
    pub async fn body(&self, body: &Body, range: std::ops::Range<u64>) -> Result<Bytes, Failure> {
        self.service
            .read_body(self.group, body, range, &self.ahead, self.wait)
            .await
    }

    /// Reads the beginnings of bodies that will be asked for; see [`Service::read_ahead`].
    pub async fn read_ahead(&self, wanted: &[(Body, u64)]) -> usize {
        let ahead = &self.ahead;
        self.service
            .read_ahead(self.group, wanted, ahead, self.wait)
            .await
    }

    /// For each text the messages of a mailbox of which this node knows that they lack it.
    pub async fn lacking(&self, mailbox: MailboxId, texts: Vec<NeedleGrams>) -> Vec<UidRanges> {
        let local = self.service.router().local();
        local.lacking(self.group, (self.id, mailbox), texts).await
    }

    /// Begins a message that is appended to one of the account's mailboxes.
    ///
    /// # Errors
    ///
    /// [`Failure::NoSpace`], so that it need not be sent.
    pub fn upload(&self) -> Result<Incoming, Failure> {
        if !self.service.takes_mail(self.group) {
            return Err(Failure::NoSpace);
        }
        let targets = [(self.group, self.id)];
        Ok(Incoming::new(&self.service, targets, self.wait))
    }

    /// The whole body has arrived and goes ahead of its command; a few do so at the same time.
    pub async fn send_ahead(&self, body: Incoming) -> Leaving {
        // It is never closed.
        let place = Arc::clone(&self.leaving).acquire_owned().await;
        body.leave(place.ok())
    }

    /// How a command names a body that has arrived.
    #[must_use]
    pub fn arrived_body(&self, arrived: &Arrived) -> NewBody {
        arrived.for_group(self.group).0
    }

    /// Runs a command that brings bodies, of which at most one rides with it.
    ///
    /// # Errors
    ///
    /// As [`Account::propose`].
    pub async fn propose_arrived<'a>(
        &self,
        command: Command,
        arrived: impl Iterator<Item = &'a Arrived>,
    ) -> Result<Outcome, Failure> {
        let riding = arrived.map(|arrived| arrived.for_group(self.group).1);
        let riding = riding.filter(|bytes| !bytes.is_empty());
        let bytes = riding.last().unwrap_or_default();
        self.propose_with(command, bytes).await
    }

    /// From which UID on messages are recent for a session that opens the mailbox now; all below
    /// `claim_below` are no longer recent for others.
    ///
    /// # Errors
    ///
    /// When there is no leader.
    pub async fn recent_from(&self, mailbox: MailboxId, claim_below: Uid) -> Result<Uid, Failure> {
        let call = Call::Recent {
            account: self.id,
            mailbox,
            claim_below,
        };
        match self.service.ask(self.group, call, self.wait).await? {
            Answer::RecentFrom(uid) => Ok(uid),
            _ => Err(Failure::Invalid("unexpected answer".into())),
        }
    }

    /// Returns when something in the account may have changed since the last call; now and then
    /// also without a reason, so that a lost hint costs a delay only.
    pub async fn changed(&self) {
        let mut watcher = self.watcher.lock().await;
        drop(tokio::time::timeout(WATCH_POLL, watcher.changed()).await);
    }
}
