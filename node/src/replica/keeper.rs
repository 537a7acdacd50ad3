//! Who drives the checkpoints of a node.
//!
//! One thread goes over all replicas: once a second each begins a checkpoint if it has applied
//! anything, earlier if its overlay fills up. All of them hand their rows to the log in one go, so
//! one sync completes them all. In a simulation nothing runs [`Checkpointer::run`], and whoever
//! holds the clock calls [`Checkpointer::round`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::checkpoint::{Due, Progress};
use super::limits::{CHECKPOINT_EVERY, POLL_EVERY};
use super::{GroupId, Replica};

/// Wakes the checkpointer: rung by replicas that run out of room, and by the log when it has
/// written what a checkpoint waits for.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Wakes whoever waits, or will wait next.
    pub fn ring(&self) {
        *self.rung.lock() = true;
        self.changed.notify_all();
    }

    /// Returns when the bell rings or has been rung since the last wait, and after `limit` at most.
    pub fn wait(&self, limit: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.changed.wait_for(&mut rung, limit);
        }
        *rung = false;
    }
}

/// Takes checkpoints of all replicas of a node.
#[derive(Default)]
pub struct Checkpointer {
    bell: Arc<Bell>,
    replicas: Mutex<BTreeMap<GroupId, Arc<Replica>>>,
    stopped: AtomicBool,
}

impl Checkpointer {
    /// Without replicas yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bell, to open replicas with.
    #[must_use]
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Takes checkpoints of this replica too; it takes the place of another one of its group.
    pub fn add(&self, replica: Arc<Replica>) {
        self.replicas.lock().insert(replica.group(), replica);
    }

    /// Takes no more checkpoints of a group.
    pub fn remove(&self, group: GroupId) {
        self.replicas.lock().remove(&group);
    }

    /// All replicas.
    #[must_use]
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.lock().values().cloned().collect()
    }

    /// One step of each replica; the furthest progress among them.
    pub fn round(&self, due: Due) -> Progress {
        self.replicas()
            .iter()
            .map(|replica| replica.step(due))
            .max()
            .unwrap_or(Progress::Idle)
    }

    /// Goes on until [`Checkpointer::stop`]. Blocks: for a thread of its own.
    pub fn run(&self) {
        let mut next = Instant::now() + CHECKPOINT_EVERY;
        while !self.stopped.load(Relaxed) {
            let now = Instant::now();
            let due = if now >= next { Due::Now } else { Due::IfFull };
            if due == Due::Now {
                next = now + CHECKPOINT_EVERY;
            }
            match self.round(due) {
                Progress::Working => {}
                Progress::Waiting => self.bell.wait(POLL_EVERY),
                Progress::Idle => self
                    .bell
                    .wait(next.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// Ends [`Checkpointer::run`] after its step. Nothing is lost by it: what no checkpoint covers
    /// is applied again from the log.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.bell.ring();
    }
}
