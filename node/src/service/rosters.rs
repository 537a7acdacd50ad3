//! Mailboxes that were opened, remembered by their rosters: opening one again costs what changed
//! since. A roster is of a replica's rows, which only go forward, so it is never wrong.
//!
//! The first look at a large mailbox takes many steps. Its roster is remembered from the first one
//! on: who asks gives up after a while and asks again, and the look goes on where it was. Until it
//! is whole it answers nobody; several who ask at the same time take its steps in turn.

use std::sync::Arc;

use mailbox::{AccountId, MailboxId, Opened, QueryError, Roster, UidRanges};
use parking_lot::Mutex;

use super::call::Failure;
use super::limits::{ROSTER_BYTES, ROSTER_MESSAGES_MIN};
use crate::budget::Share;
use crate::cache::Cache;
use crate::replica::{Layers, Replica};

/// What is remembered, by replica, account and mailbox.
pub struct Rosters(Cache<(u64, AccountId, MailboxId), Arc<Mutex<Roster>>>);

impl Rosters {
    /// Nothing yet. `share` is what they may take.
    #[must_use]
    pub fn new(share: Arc<Share>) -> Self {
        Self(Cache::new(share))
    }

    /// Opens a mailbox: anew, or from what is remembered of it. Between two steps apply goes on,
    /// and so do others; it may be given up there.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn open(
        &self,
        replica: &Replica,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Opened, Failure> {
        let step = |roster: &mut Roster, rows: &Layers| roster.step(rows);
        self.ask(replica, account, mailbox, step).await
    }

    /// The same for the messages with `\Deleted`.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn marked(
        &self,
        replica: &Replica,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<UidRanges, Failure> {
        let step = |roster: &mut Roster, rows: &Layers| roster.marked(rows);
        self.ask(replica, account, mailbox, step).await
    }

    /// Takes steps until there is an answer.
    async fn ask<A>(
        &self,
        replica: &Replica,
        account: AccountId,
        mailbox: MailboxId,
        step: impl Fn(&mut Roster, &Layers) -> Result<Option<A>, QueryError>,
    ) -> Result<A, Failure> {
        let key = (replica.id().0, account, mailbox);
        let roster = self.0.get(&key);
        let roster = roster.unwrap_or_else(|| Arc::new(Mutex::new(Roster::new(account, mailbox))));
        loop {
            let answer = replica.read(|rows| step(&mut roster.lock(), rows))?;
            let (messages, ranges) = {
                let roster = roster.lock();
                (roster.messages(), roster.ranges())
            };
            if answer.is_none() || messages >= ROSTER_MESSAGES_MIN {
                let bytes = ROSTER_BYTES + 8 * ranges;
                self.0.put(key, Arc::clone(&roster), bytes as u64);
            }
            if let Some(answer) = answer {
                return Ok(answer);
            }
            tokio::task::yield_now().await;
        }
    }
}
