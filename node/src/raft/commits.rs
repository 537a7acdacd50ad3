//! How long commands take from being proposed to being applied, so that bulk can give way to them.
//!
//! ```text
//!   no bulk passes    durations ─► usual    the last ones, of however long ago
//!   bulk passes       durations ─► lately   those of the last half second
//!
//!   strained: nine of ten took up to so long usually, and lately that is half as much again
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::limits::{
    BULK_QUIET, COMMITS_KEPT, COMMITS_LATELY, COMMITS_LATELY_MAX, COMMITS_LATELY_MIN,
};

/// The durations of commands that groups of this node led through.
#[derive(Default)]
pub struct Commits {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    usual: VecDeque<Duration>,
    lately: VecDeque<(Instant, Duration)>,
    /// When bulk passed last.
    bulk: Option<Instant>,
}

impl Commits {
    /// A command took so long.
    pub fn note(&self, took: Duration) {
        self.note_at(took, Instant::now());
    }

    pub(super) fn note_at(&self, took: Duration, now: Instant) {
        let mut seen = self.seen.lock();
        let bulk_passes = seen
            .bulk
            .is_some_and(|at| now.saturating_duration_since(at) < BULK_QUIET);
        if bulk_passes {
            if seen.lately.len() >= COMMITS_LATELY_MAX {
                seen.lately.pop_front();
            }
            seen.lately.push_back((now, took));
        } else {
            if seen.usual.len() >= COMMITS_KEPT {
                seen.usual.pop_front();
            }
            seen.usual.push_back(took);
        }
    }

    /// Bulk passes now. Says whether commands take longer than they usually do; where too few are
    /// known they do not.
    #[must_use]
    pub fn strained(&self, now: Instant) -> bool {
        let mut seen = self.seen.lock();
        seen.bulk = Some(now);
        let is_old = |at: Instant| now.saturating_duration_since(at) > COMMITS_LATELY;
        while seen.lately.front().is_some_and(|(at, _)| is_old(*at)) {
            seen.lately.pop_front();
        }
        if seen.lately.len() < COMMITS_LATELY_MIN {
            return false;
        }
        let lately = nine_of_ten(seen.lately.iter().map(|(_, took)| *took));
        let usual = nine_of_ten(seen.usual.iter().copied());
        usual.is_some_and(|usual| lately > Some(usual + usual / 2))
    }
}

/// Nine of ten are not longer.
fn nine_of_ten(all: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = all.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 9 / 10).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn longer_than_usual_is_strain_as_long_as_it_lasts() {
        let commits = Commits::default();
        let start = Instant::now();
        for _ in 0..50 {
            commits.note_at(ms(4), start);
        }
        let mut now = start + ms(10);
        assert!(!commits.strained(now), "nothing is known of now");
        for _ in 0..COMMITS_LATELY_MIN {
            commits.note_at(ms(5), now);
        }
        assert!(!commits.strained(now), "5 ms is not half as much again");
        for _ in 0..COMMITS_LATELY_MIN {
            commits.note_at(ms(9), now);
        }
        assert!(commits.strained(now));
        now += COMMITS_LATELY + ms(1);
        assert!(!commits.strained(now), "that was before");
        // What bulk slowed down does not become usual.
        for _ in 0..COMMITS_KEPT {
            commits.note_at(ms(9), now);
        }
        assert!(commits.strained(now));
    }

    #[test]
    fn usual_is_what_is_when_no_bulk_passes() {
        let commits = Commits::default();
        let start = Instant::now();
        assert!(!commits.strained(start));
        let mut now = start + BULK_QUIET;
        for _ in 0..COMMITS_KEPT {
            commits.note_at(ms(30), now);
        }
        assert!(!commits.strained(now));
        now += ms(1);
        for _ in 0..COMMITS_LATELY_MIN {
            commits.note_at(ms(40), now);
        }
        assert!(!commits.strained(now));
        for _ in 0..COMMITS_LATELY_MAX {
            commits.note_at(ms(50), now);
        }
        assert!(commits.strained(now));
    }
}
