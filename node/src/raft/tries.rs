//! How often a group was started again for what is the matter with it now.

use std::time::{Duration, Instant};

use super::limits::{HEAL_TRIES, RESTART_PAUSE, RESTART_PAUSES_MAX, STEADY_AFTER};

/// Tries to start one group again. What was before the group ran well does not count.
pub struct Tries {
    launched: Instant,
    restarts: u32,
    heals: u32,
}

impl Tries {
    /// None yet: the group was launched `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            launched: now,
            restarts: 0,
            heals: 0,
        }
    }

    /// The group has stopped `now`, because of its index or not.
    pub fn stopped(&mut self, now: Instant, is_index: bool) {
        if now.saturating_duration_since(self.launched) >= STEADY_AFTER {
            (self.restarts, self.heals) = (0, 0);
        }
        self.restarts += 1;
        self.heals += u32::from(is_index);
    }

    /// It was not launched.
    pub fn failed(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
    }

    /// It was launched `now`.
    pub fn launched(&mut self, now: Instant) {
        self.launched = now;
    }

    /// How often it was started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Whether the index failed so often that only a new process helps.
    #[must_use]
    pub fn are_spent(&self) -> bool {
        self.heals > HEAL_TRIES
    }

    /// How long to wait before the next try: the longer, the more there were.
    #[must_use]
    pub fn pause(&self) -> Duration {
        RESTART_PAUSE * self.restarts.min(RESTART_PAUSES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut now = Instant::now();
        let mut tries = Tries::new(now);
        for _ in 0..3 * HEAL_TRIES {
            now += STEADY_AFTER;
            tries.stopped(now, true);
            assert_eq!((tries.restarts(), tries.pause()), (1, RESTART_PAUSE));
            assert!(!tries.are_spent());
            tries.launched(now);
        }
    }

    #[test]
    fn only_the_index_spends_tries() {
        let now = Instant::now();
        let mut tries = Tries::new(now);
        for _ in 0..3 * HEAL_TRIES {
            tries.stopped(now, false);
            tries.failed();
            tries.launched(now);
        }
        assert!(tries.pause() > RESTART_PAUSE * HEAL_TRIES);
        for _ in 0..HEAL_TRIES {
            tries.stopped(now, true);
            assert!(!tries.are_spent());
            tries.launched(now);
        }
        tries.stopped(now + STEADY_AFTER / 2, true);
        assert!(tries.are_spent());
    }

    /// Tries that failed take long, and the group did not run meanwhile.
    #[test]
    fn a_launch_begins_the_time() {
        let mut now = Instant::now();
        let mut tries = Tries::new(now);
        for _ in 0..=HEAL_TRIES {
            tries.stopped(now, true);
            now += STEADY_AFTER;
            tries.failed();
            tries.launched(now);
        }
        assert!(tries.are_spent());
    }
}
