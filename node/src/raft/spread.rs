//! How far a group's entries have spread: what purging goes by.
//!
//! A leader knows what each follower has. The last index that all of them have travels with its
//! append requests, so that followers purge by it too: leaders change, and whoever leads next has
//! what one of them may still need. A follower that was not heard from for long does not count: it
//! is brought to a checkpoint when it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The last index that every follower of a group has, of those that count. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Spread(Arc<AtomicU64>);

impl Spread {
    /// The index; 0 while it is not known.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// A leader counted, or was heard.
    pub fn set(&self, index: u64) {
        self.0.store(index, Relaxed);
    }
}

/// What is known of a follower.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// The last index that it has, if it has said so since the leader leads.
    pub matched: Option<u64>,
    /// It was not heard from for long.
    pub is_lost: bool,
}

/// The last index that every follower that counts has; `last` is the leader's own. `None` while one
/// has not said yet what it has.
#[must_use]
pub fn count(last: u64, followers: impl IntoIterator<Item = Follower>) -> Option<u64> {
    let counts = followers.into_iter().filter(|follower| !follower.is_lost);
    counts
        .map(|follower| follower.matched)
        .try_fold(last, |least, matched| Some(least.min(matched?)))
}

#[cfg(test)]
mod tests {
    use super::{Follower, count};

    fn follower(matched: Option<u64>) -> Follower {
        Follower {
            matched,
            is_lost: false,
        }
    }

    #[test]
    fn the_slowest_that_is_not_lost() {
        let lost = Follower {
            matched: Some(3),
            is_lost: true,
        };
        assert_eq!(count(90, []), Some(90));
        assert_eq!(
            count(90, [follower(Some(80)), follower(Some(85))]),
            Some(80)
        );
        assert_eq!(count(90, [follower(Some(80)), lost]), Some(80));
        assert_eq!(count(90, [follower(Some(80)), follower(None)]), None);
        assert_eq!(count(90, [lost]), Some(90));
    }
}
