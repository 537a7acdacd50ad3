//! Reads of one group: whether this replica still leads it when it is asked.
//!
//! openraft answers a read once a majority has answered requests that were sent since. But it takes
//! an answer for one to every request that ends at the same entry, also one that leaves later: a
//! leader that slept while another was elected could find the answers of before and count them for
//! now. So it is counted here too, where each answer is known by its request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What reads of a group and the connections of its replica have in common. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Reading(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicBool,
    followed: Mutex<BTreeMap<u64, Followed>>,
    news: Notify,
}

/// The last request to which a follower answered as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Followed {
    term: u64,
    sent: Instant,
}

impl Reading {
    /// Says whether somebody waits for a read: it is confirmed by heartbeats, which are then
    /// pressing.
    pub fn set_waiting(&self, waiting: bool) {
        self.0.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Whether somebody waits.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// A replica has answered a request that was sent then as a follower of this replica's term.
    pub fn followed(&self, replica: u64, term: u64, sent: Instant) {
        let now = Followed { term, sent };
        let mut followed = self.0.followed.lock();
        let last = followed.entry(replica).or_insert(now);
        *last = now.max(*last);
        drop(followed);
        self.0.news.notify_one();
    }

    /// Returns once a majority of each of these sets of voters followed this replica, `own`, in
    /// `term` at some moment since: then nobody else has led in between. For one caller at a time.
    pub async fn confirmed(&self, own: u64, term: u64, since: Instant, voters: &[BTreeSet<u64>]) {
        while !self.is_confirmed(own, term, since, voters) {
            self.0.news.notified().await;
        }
    }

    fn is_confirmed(&self, own: u64, term: u64, since: Instant, voters: &[BTreeSet<u64>]) -> bool {
        let followed = self.0.followed.lock();
        let counts = |voter: &&u64| {
            let last = followed.get(voter);
            **voter == own || last.is_some_and(|last| last.term == term && last.sent >= since)
        };
        let is_majority =
            |voters: &BTreeSet<u64>| voters.iter().filter(counts).count() > voters.len() / 2;
        voters.iter().all(is_majority)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn answers_to_what_was_sent_before_confirm_nothing() {
        let reading = Reading::default();
        let voters = [BTreeSet::from([1, 2, 3])];
        let before = Instant::now();
        let since = before + Duration::from_millis(1);
        let after = since + Duration::from_millis(1);
        let confirmed = |reading: &Reading| reading.is_confirmed(1, 7, since, &voters);
        assert!(!confirmed(&reading), "alone");
        reading.followed(2, 7, before);
        assert!(!confirmed(&reading), "that was before");
        reading.followed(2, 6, after);
        assert!(!confirmed(&reading), "in another term");
        reading.followed(4, 7, after);
        assert!(!confirmed(&reading), "of no voter");
        reading.followed(2, 7, since);
        assert!(confirmed(&reading));
        reading.followed(2, 7, before);
        assert!(
            confirmed(&reading),
            "an answer that came late takes nothing back"
        );
        reading.confirmed(1, 7, since, &voters).await;
    }

    #[tokio::test]
    async fn both_sets_of_voters_are_asked_while_they_change() {
        let reading = Reading::default();
        let voters = [BTreeSet::from([1, 2, 3]), BTreeSet::from([3, 4, 5])];
        let since = Instant::now();
        reading.followed(2, 7, since);
        assert!(
            !reading.is_confirmed(1, 7, since, &voters),
            "no majority of the new ones"
        );
        let waits = reading.confirmed(1, 7, since, &voters);
        let answers = async {
            tokio::task::yield_now().await;
            reading.followed(4, 7, since);
            tokio::task::yield_now().await;
            reading.followed(5, 7, since);
        };
        tokio::join!(waits, answers);
        assert!(Reading::default().is_confirmed(1, 7, since, &[BTreeSet::from([1])]));
    }
}
