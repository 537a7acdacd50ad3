//! Mail that arrives, of which is worked out what clients will ask for.
//!
//! One thread with the lowest priority does it, for all partitions of which this node holds a
//! replica: so a mailbox that is opened for the first time since its mail came is told at the speed
//! of one that was read before, and delivering waits for nothing. What it does not get to before it
//! is asked for is worked out then.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use imap::backend::{BackendError, Content, DerivedKey};
use imap::grammar::FetchItem;
use mailbox::{AccountId, Answer, Body, Changes, MailboxId, ModSeq, Query, UidRanges};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::Derived;
use super::limits::{GATHER, PAGE_MESSAGES, PLACES_MAX, REST};
use crate::priority;
use crate::replica::partition::{read, take_page};
use crate::replica::{Bell, Checkpointer, GroupId, Hint, Replica};

/// A mailbox of a partition.
type Place = (GroupId, AccountId, MailboxId);

/// What has arrived and was not looked at.
pub(super) struct Arrivals {
    replicas: Arc<Checkpointer>,
    /// Mailboxes that mail came to, and after which MODSEQ.
    changed: Mutex<BTreeMap<Place, ModSeq>>,
    bell: Bell,
    is_stopped: AtomicBool,
}

impl Arrivals {
    pub(super) fn new(replicas: Arc<Checkpointer>) -> Self {
        Self {
            replicas,
            changed: Mutex::default(),
            bell: Bell::default(),
            is_stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn note(&self, group: GroupId, hints: &[Hint]) {
        let mut bring_mail = hints.iter().filter(|hint| hint.brings_mail).peekable();
        // Most entries do not, and this is where all are applied.
        if bring_mail.peek().is_none() {
            return;
        }
        let mut changed = self.changed.lock();
        let was_empty = changed.is_empty();
        for hint in bring_mail {
            let place = (group, AccountId(hint.account), MailboxId(hint.mailbox));
            if changed.len() < PLACES_MAX {
                let since = ModSeq(hint.modseq.saturating_sub(1));
                changed.entry(place).or_insert(since);
            }
        }
        if was_empty && !changed.is_empty() {
            self.bell.ring();
        }
    }

    pub(super) fn run(&self, derived: &Derived) {
        priority::give_way("arrivals");
        while !self.is_stopped.load(Relaxed) {
            self.bell.wait(REST);
            std::thread::sleep(GATHER);
            let changed = std::mem::take(&mut *self.changed.lock());
            for (place, since) in changed {
                if self.look_at(derived, place, since).is_none() {
                    break;
                }
            }
        }
    }

    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        self.bell.ring();
    }

    /// Works out what is asked for of the messages that came to a mailbox; `None` when it is to
    /// stop. What cannot be read now is read when it is asked for.
    fn look_at(&self, derived: &Derived, place: Place, mut since: ModSeq) -> Option<()> {
        let (group, account, mailbox) = place;
        let mut replicas = self.replicas.replicas().into_iter();
        let Some(replica) = replicas.find(|one| one.group() == group && one.fault().is_none())
        else {
            return Some(());
        };
        let items = derived.items();
        loop {
            let query = Query::Changes {
                account,
                mailbox,
                since,
            };
            let Some(Answer::Changes(changes)) = read(&replica, &query) else {
                return Some(());
            };
            let Changes {
                arrived,
                modseq,
                more,
                ..
            } = changes;
            self.work_out(derived, &replica, (account, mailbox), arrived, &items)?;
            if !more || modseq <= since {
                return Some(());
            }
            since = modseq;
        }
    }

    /// The same for these messages.
    fn work_out(
        &self,
        derived: &Derived,
        replica: &Replica,
        place: (AccountId, MailboxId),
        mut uids: UidRanges,
        items: &[Arc<FetchItem>],
    ) -> Option<()> {
        let content = Local { derived, replica };
        while !uids.is_empty() {
            if self.is_stopped.load(Relaxed) {
                return None;
            }
            let Some(messages) = take_page(replica, place, &mut uids, PAGE_MESSAGES) else {
                return Some(());
            };
            for message in &messages {
                let worked_out = imap::work_out(&content, message, items);
                if let Err(error) = Handle::current().block_on(worked_out) {
                    tracing::debug!(%error, "a message that arrived cannot be read");
                }
            }
        }
        Some(())
    }
}

/// Messages as a replica of this node has them.
struct Local<'a> {
    derived: &'a Derived,
    replica: &'a Replica,
}

impl Content for Local<'_> {
    /// Blocks on the disk: the thread is there for it.
    async fn body(&self, body: &Body, range: Range<u64>) -> Result<Bytes, BackendError> {
        let read = self.replica.body_range(body, range);
        read.map_err(|_| BackendError::Broken)
    }

    fn derived(&self, key: &DerivedKey) -> Option<Bytes> {
        self.derived.get(key)
    }

    fn keep_derived(&self, key: DerivedKey, value: Bytes) {
        metrics::counter!("rookery_derived_beforehand_total").increment(1);
        self.derived.put(key, value);
    }
}
