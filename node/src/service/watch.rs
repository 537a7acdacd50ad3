//! Hints that something changed, from the replicas to the sessions of this node.
//!
//! A hint is never truth: whoever hears one asks for the changes. Every replica on this node hints
//! as it applies; for partitions without a replica here the nodes that hold one are listened to
//! ([`super::listen`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use mailbox::AccountId;
use parking_lot::Mutex;
use proto::v1;
use tokio::sync::{broadcast, mpsc, watch};
use tonic::Status;

use super::limits::{FRAME_CALLS_MAX, HINTS_QUEUED};
use crate::replica::Hint;

/// Where hints meet those who wait for them. Clones share it.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    accounts: Mutex<HashMap<AccountId, watch::Sender<u64>>>,
    all: broadcast::Sender<Hint>,
}

impl Default for Hub {
    fn default() -> Self {
        let shared = Shared {
            accounts: Mutex::default(),
            all: broadcast::channel(HINTS_QUEUED).0,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

/// Waits for changes of one account.
pub struct Watcher {
    hub: Hub,
    account: AccountId,
    changes: watch::Receiver<u64>,
}

impl Hub {
    /// Tells whoever watches. Called for every applied entry: cheap when nobody does.
    pub fn publish(&self, hints: &[Hint]) {
        for hint in hints {
            self.wake(AccountId(hint.account));
            if self.shared.all.receiver_count() > 0 {
                drop(self.shared.all.send(*hint));
            }
        }
    }

    fn wake(&self, account: AccountId) {
        if let Some(sender) = self.shared.accounts.lock().get(&account) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Watches an account until the watcher is dropped.
    #[must_use]
    pub fn watch(&self, account: AccountId) -> Watcher {
        let mut accounts = self.shared.accounts.lock();
        let sender = accounts
            .entry(account)
            .or_insert_with(|| watch::channel(0).0);
        Watcher {
            hub: self.clone(),
            account,
            changes: sender.subscribe(),
        }
    }

    /// Something may have changed in any account: hints were missed.
    pub fn wake_all(&self) {
        for sender in self.shared.accounts.lock().values() {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Sends all hints from the time of the call on to another node until it goes away, or may not
    /// go on.
    pub fn forward(
        self,
        to: mpsc::Sender<Result<v1::StoreHintFrame, Status>>,
        may_go_on: impl Fn() -> Result<(), Status> + Send,
    ) -> impl Future<Output = ()> + Send {
        let mut hints = self.shared.all.subscribe();
        async move {
            loop {
                let mut frame = v1::StoreHintFrame::default();
                let next = tokio::select! {
                    next = hints.recv() => next,
                    () = to.closed() => return,
                };
                match next {
                    Ok(hint) => frame.hints.push(to_wire(hint)),
                    // Lost hints delay, they do not lose: sessions also ask from time to time.
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                }
                while frame.hints.len() < FRAME_CALLS_MAX
                    && let Ok(hint) = hints.try_recv()
                {
                    frame.hints.push(to_wire(hint));
                }
                if let Err(removed) = may_go_on() {
                    drop(to.try_send(Err(removed)));
                    return;
                }
                if to.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Passes on what another node hints.
    pub fn receive(&self, frame: &v1::StoreHintFrame) {
        for hint in &frame.hints {
            self.wake(AccountId(hint.account));
        }
    }
}

fn to_wire(hint: Hint) -> v1::StoreHint {
    v1::StoreHint {
        account: hint.account,
        mailbox: hint.mailbox,
        modseq: hint.modseq,
    }
}

impl Watcher {
    /// Returns when something may have changed since the last call; a hint that came in between is
    /// not lost.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The hub outlives its watchers; should it not, there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut accounts = self.hub.shared.accounts.lock();
        if let Entry::Occupied(entry) = accounts.entry(self.account)
            && entry.get().receiver_count() <= 1
        {
            entry.remove();
        }
    }
}
