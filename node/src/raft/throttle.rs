//! A limited rate for bulk, so that it does not take disk and network from mail.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::limits::THROTTLE_BURST;

/// So many bytes a second, for all who share it.
pub struct Throttle {
    bytes_per_second: u64,
    /// When all that was let through so far is through at this rate.
    busy_until: Mutex<Instant>,
}

impl Throttle {
    /// Lets through so many bytes a second.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            busy_until: Mutex::new(Instant::now()),
        }
    }

    /// Counts bytes that are on their way now, and says how long to wait before more may follow.
    #[must_use]
    pub fn count(&self, bytes: usize) -> Duration {
        self.count_at(bytes, Instant::now())
    }

    fn count_at(&self, bytes: usize, now: Instant) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut busy_until = self.busy_until.lock();
        *busy_until = (*busy_until).max(now) + takes;
        busy_until
            .saturating_duration_since(now)
            .saturating_sub(THROTTLE_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_keep_the_rate() {
        let throttle = Throttle::new(1 << 20);
        let start = *throttle.busy_until.lock();
        // What nobody used before is not saved up.
        let mut now = start + Duration::from_secs(100);
        let first = now;
        for _ in 0..64 {
            now += throttle.count_at(128 << 10, now);
        }
        let rate = (64 * (128 << 10)) as f64 / now.duration_since(first).as_secs_f64();
        let wanted = f64::from(1 << 20);
        assert!((wanted..wanted * 1.05).contains(&rate), "{rate}");
    }
}
