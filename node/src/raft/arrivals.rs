//! Snapshots whose stream broke, kept for the next one.
//!
//! While any is kept nothing of this node's log is freed: what has arrived names places in it. So
//! it is kept for as long as a leader may need to come again, and not at all once it is of no use.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;

use super::limits::ARRIVAL_KEPT;
use crate::replica::{Arrival, GroupId};

/// Snapshots whose stream broke, one for each replica at most.
#[derive(Default)]
pub struct Arrivals {
    kept: Mutex<BTreeMap<u64, Kept>>,
}

struct Kept {
    since: Instant,
    arrival: Arrival,
}

impl Arrivals {
    /// Keeps what came, from `now` on.
    pub fn keep(&self, arrival: Arrival, now: Instant) {
        let replica = arrival.replica().id().0;
        let kept = Kept {
            since: now,
            arrival,
        };
        let before = self.kept.lock().insert(replica, kept);
        drop(before);
    }

    /// What came for a replica, to go on with it.
    #[must_use]
    pub fn take(&self, replica: u64) -> Option<Arrival> {
        let kept = self.kept.lock().remove(&replica);
        kept.map(|kept| kept.arrival)
    }

    /// Takes out what nobody goes on with: what has come another way since, what is of a replica
    /// that does not run here any more, what is old, and all of it where there is no room. To be
    /// dropped where it may block.
    #[must_use]
    pub fn sweep(
        &self,
        now: Instant,
        has_room: bool,
        runs: impl Fn(GroupId, u64) -> bool,
    ) -> Vec<Arrival> {
        let mut kept = self.kept.lock();
        let is_of_use = |replica: u64, Kept { since, arrival }: &Kept| {
            let group = arrival.replica().group();
            let applied = arrival.replica().applied().last.map(|at| at.index);
            has_room
                && applied < Some(arrival.at().index)
                && now.saturating_duration_since(*since) < ARRIVAL_KEPT
                && runs(group, replica)
        };
        let gone = kept.extract_if(.., |replica, kept| !is_of_use(*replica, kept));
        gone.map(|(_, kept)| kept.arrival).collect()
    }
}
