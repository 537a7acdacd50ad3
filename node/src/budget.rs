//! One budget of memory for mail on its way through a node.
//!
//! ```text
//!   memory.budget_bytes
//!     3/8    overlays   rows that no checkpoint holds yet      apply waits
//!     1/4    uploads    bodies that arrive, beyond 16 KiB      smaller chunks, then they wait
//!     1/8    frames     entries on their way to followers      replication waits
//!     1/8    derived    what FETCH told of messages            the oldest are let go
//!     1/16   recent     entries that were just written         are let go, and read from the log
//!     1/32   bodies     records of which a part was read       the oldest are let go
//!     1/32   rosters    which messages are in a mailbox        the oldest are let go
//! ```
//!
//! Each use has a [`Share`] of its own, so that none can starve another: what is applied frees what
//! arrives, so apply must never wait for an upload. Within a share whoever comes first is first.
//! What each use holds is the metric `rookery_memory_bytes`, how often one had to wait
//! `rookery_memory_waits_total`.
//!
//! Not in it: the cache of the index and the queue of the log, which have bounds of their own, and
//! what a connection needs to stand: buffers of some KiB, and the rows of an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The budget unless the configuration says otherwise, bytes: what some hundred large messages at
/// once need, and little beside what a node of 2 GiB has.
pub const BUDGET_BYTES_DEFAULT: u64 = 256 << 20;

/// Permits are counted in units of this many bytes.
const UNIT_BYTES: u64 = 1 << 10;

/// The memory that a node may use for mail on its way.
pub struct Budget {
    /// Rows in memory above the indexes of all replicas.
    pub overlays: Arc<Share>,
    /// Bodies that arrive.
    pub uploads: Arc<Share>,
    /// Entries on their way to followers.
    pub frames: Arc<Share>,
    /// Entries that were written and are held for followers.
    pub recent: Arc<Share>,
    /// Bodies that were read from the log.
    pub bodies: Arc<Share>,
    /// Which messages are in the mailboxes that were opened.
    pub rosters: Arc<Share>,
    /// What was told of messages, for when it is asked for again.
    pub derived: Arc<Share>,
}

impl Budget {
    /// Divides so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            overlays: Share::new("overlays", bytes / 8 * 3),
            uploads: Share::new("uploads", bytes / 4),
            frames: Share::new("frames", bytes / 8),
            recent: Share::new("recent", bytes / 16),
            bodies: Share::new("bodies", bytes / 32),
            rosters: Share::new("rosters", bytes / 32),
            derived: Share::new("derived", bytes / 8),
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BUDGET_BYTES_DEFAULT)
    }
}

/// What one use may take. For any thread.
///
/// Some uses take a [`Permit`] first; others say what they hold, and look whether it is too much.
pub struct Share {
    bytes_max: u64,
    held: AtomicU64,
    permits: Arc<Semaphore>,
    shrank: Notify,
    gauge: metrics::Gauge,
    waits: metrics::Counter,
}

/// Bytes of a share, until it is dropped.
pub struct Permit {
    share: Arc<Share>,
    bytes: u64,
    _units: OwnedSemaphorePermit,
}

impl Share {
    /// A share of its own.
    #[must_use]
    pub fn new(name: &'static str, bytes_max: u64) -> Arc<Self> {
        let units = usize::try_from(bytes_max / UNIT_BYTES).unwrap_or(usize::MAX);
        Arc::new(Self {
            bytes_max,
            held: AtomicU64::new(0),
            permits: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            shrank: Notify::new(),
            gauge: metrics::gauge!("rookery_memory_bytes", "use" => name),
            waits: metrics::counter!("rookery_memory_waits_total", "use" => name),
        })
    }

    /// The bound, bytes.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What is held now, bytes.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Bytes, once they are free: first come, first served. More than the whole share is the whole
    /// share.
    pub async fn take(self: &Arc<Self>, bytes: u64) -> Permit {
        if let Some(permit) = self.try_take(bytes) {
            return permit;
        }
        self.waits.increment(1);
        let units = Arc::clone(&self.permits).acquire_many_owned(self.units(bytes));
        let units = units.await.expect("the semaphore is never closed");
        self.permit(bytes, units)
    }

    /// Bytes, if they are free and nobody waits for them.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        let units = Arc::clone(&self.permits).try_acquire_many_owned(self.units(bytes));
        Some(self.permit(bytes, units.ok()?))
    }

    fn units(&self, bytes: u64) -> u32 {
        let bytes = bytes.min(self.bytes_max / UNIT_BYTES * UNIT_BYTES);
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
    }

    fn permit(self: &Arc<Self>, bytes: u64, units: OwnedSemaphorePermit) -> Permit {
        self.changed(0, bytes);
        Permit {
            share: Arc::clone(self),
            bytes,
            _units: units,
        }
    }

    /// Somebody who takes no permits holds other bytes than before.
    pub fn changed(&self, before: u64, after: u64) {
        if after >= before {
            self.held.fetch_add(after - before, Relaxed);
        } else {
            self.held.fetch_sub(before - after, Relaxed);
            self.shrank.notify_waiters();
        }
        self.gauge.set(self.held() as f64);
    }

    /// Whether more than this part of it, one over `part`, is held by those who take no permits.
    #[must_use]
    pub fn is_over(&self, part: u64) -> bool {
        self.held() > self.bytes_max / part
    }

    /// Returns once `wanted` holds; looked at again whenever something is given back. `pressing` is
    /// called before each wait.
    pub async fn wait_until(&self, wanted: impl Fn() -> bool, pressing: impl Fn()) {
        let mut waited = false;
        while !wanted() {
            let shrank = self.shrank.notified();
            tokio::pin!(shrank);
            // Enlisted before the second look, so that no note is missed in between.
            shrank.as_mut().enable();
            if wanted() {
                return;
            }
            if !std::mem::replace(&mut waited, true) {
                self.waits.increment(1);
            }
            pressing();
            shrank.await;
        }
    }

    /// Wakes those that wait, for another reason than bytes.
    pub fn wake(&self) {
        self.shrank.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.share.changed(self.bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::task::{Context, Poll, Waker};

    use super::Share;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn first_come_first_served() {
        let share = Share::new("test", 100 << 10);
        let held = share.try_take(80 << 10).expect("it is free");
        assert_eq!(share.held(), 80 << 10);
        let mut large = pin!(share.take(60 << 10));
        assert!(poll(large.as_mut()).is_pending());
        // What would fit does not pass whoever waits.
        assert!(share.try_take(10 << 10).is_none());
        let mut small = pin!(share.take(10 << 10));
        assert!(poll(small.as_mut()).is_pending());
        drop(held);
        let Poll::Ready(large) = poll(large.as_mut()) else {
            panic!("there is room");
        };
        assert!(poll(small.as_mut()).is_ready());
        drop(large);
        assert_eq!(share.held(), 0);
        // More than there is at all is taken alone.
        let all = share.try_take(1 << 30).expect("it is free");
        assert!(share.try_take(1 << 10).is_none());
        drop(all);
        assert_eq!(share.held(), 0);
    }

    #[test]
    fn waits_until_something_is_given_back() {
        let share = Share::new("test", 100);
        share.changed(0, 150);
        assert!(share.is_over(1));
        let pressed = AtomicBool::new(false);
        {
            let until = share.wait_until(|| !share.is_over(1), || pressed.store(true, Relaxed));
            let mut until = pin!(until);
            assert!(poll(until.as_mut()).is_pending());
            assert!(pressed.load(Relaxed));
            share.changed(150, 120);
            assert!(poll(until.as_mut()).is_pending());
            share.changed(120, 90);
            assert!(poll(until.as_mut()).is_ready());
        }
        assert!(share.is_over(2));
    }
}
