//! Room for work that nobody waits for: a few at the same time, and so many in a second, on the
//! whole node.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::limits::{SPARE_INTERVAL, SPARE_PLACES};

/// Where such work waits for its turn.
pub struct Spare {
    places: Arc<Semaphore>,
    /// When the next one may begin.
    next: Mutex<Option<Instant>>,
}

impl Default for Spare {
    fn default() -> Spare {
        Spare {
            places: Arc::new(Semaphore::new(SPARE_PLACES)),
            next: Mutex::new(None),
        }
    }
}

impl Spare {
    /// Waits for room, which is held until what is returned is dropped.
    pub async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let now = Instant::now();
        let turn = self.turn(now);
        if turn > now {
            sleep_until(turn).await;
        }
        place
    }

    /// Only those who have a place ask, so turns are given for few.
    fn turn(&self, now: Instant) -> Instant {
        let mut next = self.next.lock();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + SPARE_INTERVAL);
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn few_at_once() {
        let spare = Spare::default();
        let mut held = Vec::new();
        for _ in 0..SPARE_PLACES {
            held.push(spare.take().await);
        }
        assert!(spare.take().now_or_never().is_none());
        held.pop();
        assert!(spare.take().await.is_some());
    }

    #[test]
    fn one_after_the_other() {
        let (spare, now) = (Spare::default(), Instant::now());
        let turns: Vec<_> = (0..3).map(|_| spare.turn(now) - now).collect();
        assert_eq!(turns, [0, 1, 2].map(|turn| SPARE_INTERVAL * turn));
        // What was not used is not made up for.
        let later = now + SPARE_INTERVAL * 10;
        assert_eq!(spare.turn(later), later);
        assert_eq!(spare.turn(later), later + SPARE_INTERVAL);
    }
}
