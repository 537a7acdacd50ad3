//! Time as commands carry it: what expires, and which lanes are known, follows from it.
//!
//! Log time never goes back, so a clock that is set far ahead for a moment would end all that is
//! kept for a while, for good. So this clock takes no steps by itself: it goes on from where it
//! was, and follows the system's where that is near, or where another node has the same time.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::limits::{CLOCK_FOLLOWED_MS, CLOCK_LONE_WAIT};
use super::local::now_ms;

/// The time of this node. For any thread.
#[derive(Debug)]
pub struct Clock(Mutex<Anchor>);

#[derive(Debug)]
struct Anchor {
    /// Milliseconds since 1970, at that moment.
    time_ms: u64,
    at: Instant,
    /// Since when the system's clock has been elsewhere.
    apart: Option<Instant>,
}

/// Who else says what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// There are no other nodes.
    None,
    /// One of them has about the time of this system's clock.
    Agree,
    /// None that was heard lately has.
    Differ,
}

impl Default for Clock {
    /// Begins with the system's time.
    fn default() -> Self {
        Self::at(now_ms(), Instant::now())
    }
}

impl Clock {
    fn at(time_ms: u64, at: Instant) -> Self {
        Self(Mutex::new(Anchor {
            time_ms,
            at,
            apart: None,
        }))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.lock().now_ms(Instant::now())
    }

    /// Looks at the system's clock; to be called about every second.
    pub fn follow(&self, others: Others) {
        self.follow_at(now_ms(), Instant::now(), others);
    }

    fn follow_at(&self, system_ms: u64, now: Instant, others: Others) {
        let mut anchor = self.0.lock();
        let off_ms = system_ms.abs_diff(anchor.now_ms(now));
        let since = *anchor.apart.get_or_insert(now);
        let is_followed = off_ms <= CLOCK_FOLLOWED_MS
            || match others {
                Others::Agree => true,
                Others::Differ => false,
                Others::None => now.saturating_duration_since(since) >= CLOCK_LONE_WAIT,
            };
        if is_followed {
            *anchor = Anchor {
                time_ms: system_ms,
                at: now,
                apart: None,
            };
        } else if since == now {
            tracing::warn!(
                off_ms,
                "the system's clock has made a step, which is not followed"
            );
        }
        metrics::gauge!("rookery_clock_refused_seconds").set(if is_followed {
            0.0
        } else {
            Duration::from_millis(off_ms).as_secs_f64()
        });
    }
}

impl Anchor {
    fn now_ms(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_millis();
        self.time_ms
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;
    const DAY_MS: u64 = 86_400_000;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_step_is_followed_only_if_others_have_the_time() {
        let start = Instant::now();
        let clock = Clock::at(START_MS, start);
        let time = |at: Instant| clock.0.lock().now_ms(at) - START_MS;
        // What is corrected little by little is followed at once, in both directions.
        let now = start + SECOND;
        clock.follow_at(START_MS + 1_400, now, Others::Differ);
        assert_eq!(time(now), 1_400);
        clock.follow_at(START_MS + 900, now, Others::Differ);
        assert_eq!(time(now), 900);
        // A clock that is wrong for a while.
        for seconds in 1..=600 {
            let now = now + SECOND * seconds;
            clock.follow_at(START_MS + DAY_MS, now, Others::Differ);
            assert_eq!(time(now), 900 + 1_000 * u64::from(seconds));
        }
        // And one that was wrong before, or did not go on while the machine slept.
        let now = now + SECOND * 601;
        clock.follow_at(START_MS + DAY_MS, now, Others::Agree);
        assert_eq!(time(now), DAY_MS);
    }

    #[test]
    fn a_lone_node_follows_its_clock_after_a_while() {
        let start = Instant::now();
        let clock = Clock::at(START_MS, start);
        let step = |after: Duration| {
            clock.follow_at(START_MS + DAY_MS, start + after, Others::None);
            clock.0.lock().now_ms(start + after) - START_MS >= DAY_MS
        };
        assert!(!step(SECOND) && !step(CLOCK_LONE_WAIT));
        // It was right again in between.
        clock.follow_at(START_MS + 70_000, start + SECOND * 70, Others::None);
        assert!(!step(SECOND * 71));
        assert!(step(SECOND * 71 + CLOCK_LONE_WAIT));
    }
}
