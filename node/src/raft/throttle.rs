//! A limited rate for bulk, so that it does not take disk, network and processor from mail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::commits::Commits;
use super::limits::{BULK_RATE_MIN, THROTTLE_BURST, THROTTLE_LOOK};

/// So many bytes a second, for all who share it, and less while commands take longer than usual:
/// the rate is halved with every look that finds them so, and grows by a quarter with every other.
pub struct Throttle {
    /// Bytes a second, at most.
    rate_max: u64,
    commits: Arc<Commits>,
    passing: Mutex<Passing>,
}

struct Passing {
    /// Bytes a second, now.
    rate: u64,
    /// When the rate was last looked at.
    looked: Instant,
    /// When all that was let through so far is through at this rate.
    busy_until: Instant,
}

impl Throttle {
    /// Lets through so many bytes a second, and fewer while `commits` are strained.
    #[must_use]
    pub fn new(bytes_per_second: u64, commits: Arc<Commits>) -> Self {
        let rate = bytes_per_second.max(1);
        let now = Instant::now();
        Self {
            rate_max: rate,
            commits,
            passing: Mutex::new(Passing {
                rate,
                looked: now,
                busy_until: now,
            }),
        }
    }

    /// Counts bytes that are on their way now, and says how long to wait before more may follow.
    #[must_use]
    pub fn count(&self, bytes: usize) -> Duration {
        self.count_at(bytes, Instant::now())
    }

    fn count_at(&self, bytes: usize, now: Instant) -> Duration {
        let mut passing = self.passing.lock();
        if now.saturating_duration_since(passing.looked) >= THROTTLE_LOOK {
            passing.looked = now;
            passing.rate = if self.commits.strained(now) {
                (passing.rate / 2).max(BULK_RATE_MIN.min(self.rate_max))
            } else {
                (passing.rate + passing.rate.div_ceil(4)).min(self.rate_max)
            };
        }
        let takes = Duration::from_secs_f64(bytes as f64 / passing.rate as f64);
        passing.busy_until = passing.busy_until.max(now) + takes;
        passing
            .busy_until
            .saturating_duration_since(now)
            .saturating_sub(THROTTLE_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes a second that pass from `now` on, until so many have passed.
    fn rate(throttle: &Throttle, now: &mut Instant, bytes: usize) -> f64 {
        const PIECE: usize = 128 << 10;
        let first = *now;
        for _ in 0..bytes / PIECE {
            *now += throttle.count_at(PIECE, *now);
        }
        bytes as f64 / now.duration_since(first).as_secs_f64()
    }

    #[test]
    fn all_together_keep_the_rate() {
        let throttle = Throttle::new(1 << 20, Arc::default());
        // What nobody used before is not saved up.
        let mut now = Instant::now() + Duration::from_secs(100);
        let rate = rate(&throttle, &mut now, 8 << 20);
        let wanted = f64::from(1 << 20);
        assert!((wanted..wanted * 1.05).contains(&rate), "{rate}");
    }

    #[test]
    fn gives_way_while_commands_are_slow() {
        const FULL: u64 = 256 << 20;
        let commits = Arc::new(Commits::default());
        let throttle = Throttle::new(FULL, Arc::clone(&commits));
        for _ in 0..100 {
            commits.note(Duration::from_millis(2));
        }
        let mut now = Instant::now() + Duration::from_secs(1);
        assert!(rate(&throttle, &mut now, 64 << 20) > 0.95 * FULL as f64);
        // From here on every command takes ten times as long.
        for _ in 0..20 {
            for _ in 0..16 {
                commits.note_at(Duration::from_millis(20), now);
            }
            now += THROTTLE_LOOK + throttle.count_at(1, now);
        }
        let least = throttle.passing.lock().rate;
        assert_eq!(least, BULK_RATE_MIN);
        // And then nobody sends mail any more.
        now += Duration::from_secs(2);
        for _ in 0..40 {
            now += THROTTLE_LOOK + throttle.count_at(1, now);
        }
        assert_eq!(throttle.passing.lock().rate, FULL);
    }
}
