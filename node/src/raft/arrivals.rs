//! Snapshots whose stream broke, kept for the next one.
//!
//! While any is kept nothing of this node's log is freed: what has arrived names places in it. So
//! it is kept for as long as a leader may need to come again, counted from when something of it
//! came last, and not at all once it is of no use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rows::Fault;

use super::limits::ARRIVAL_KEPT;
use crate::replica::{Arrival, GroupId, LogId, Membership, Replica};

/// Snapshots whose stream broke, one for each replica at most.
#[derive(Default)]
pub struct Arrivals {
    kept: Mutex<BTreeMap<u64, Kept>>,
}

/// What is known of a snapshot since its stream broke first.
struct Kept {
    group: GroupId,
    at: LogId,
    /// What had come by then.
    came_bytes: u64,
    /// Since when no more of it has come.
    since: Instant,
    /// None while a stream goes on with it.
    arrival: Option<Arrival>,
}

impl Arrivals {
    /// Goes on with what is kept for a replica, if it is of this checkpoint. Of another one, for
    /// example another leader's, the bodies count that have arrived: they are the same. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// Those of [`Arrival::begin`] and [`Arrival::inherit`].
    pub fn go_on(
        &self,
        replica: &Arc<Replica>,
        at: LogId,
        membership: Option<Membership>,
    ) -> Result<Arrival, Fault> {
        let kept = self.take(replica.id().0);
        let kept = kept.filter(|kept| Arc::ptr_eq(kept.replica(), replica));
        match kept {
            Some(kept) if kept.at() == at => Ok(kept),
            kept => {
                let mut arrival = Arrival::begin(replica, at, membership)?;
                if let Some(kept) = kept {
                    arrival.inherit(&kept)?;
                }
                Ok(arrival)
            }
        }
    }

    /// Its stream broke, for this reason. What came is of use to the next one, unless there is no
    /// room for it. Blocks on the disk.
    pub fn broke_off(&self, arrival: Arrival, error: &anyhow::Error) {
        match error.downcast_ref::<Fault>() {
            Some(Fault::NoRoom) => drop(arrival),
            _ => self.keep(arrival, Instant::now()),
        }
    }

    /// Keeps what came, from `now` on; of what was kept before, and of which nothing more has come
    /// since, from when it was kept first.
    pub fn keep(&self, arrival: Arrival, now: Instant) {
        let replica = arrival.replica().id().0;
        let mut all = self.kept.lock();
        let (at, came_bytes) = (arrival.at(), arrival.came_bytes());
        let before = all.remove(&replica);
        let same = before.as_ref().filter(|before| {
            (before.at, before.came_bytes) == (at, came_bytes) && before.arrival.is_none()
        });
        let kept = Kept {
            group: arrival.replica().group(),
            at,
            came_bytes,
            since: same.map_or(now, |before| before.since),
            arrival: Some(arrival),
        };
        all.insert(replica, kept);
        // The index of what it takes the place of is removed.
        drop(all);
        drop(before);
    }

    /// What came for a replica, to go on with it.
    #[must_use]
    pub fn take(&self, replica: u64) -> Option<Arrival> {
        self.kept.lock().get_mut(&replica)?.arrival.take()
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
        let gone = kept.extract_if(.., |replica, kept| {
            let is_wanted = kept.arrival.as_ref().is_none_or(is_wanted);
            let is_fresh = now.saturating_duration_since(kept.since) < ARRIVAL_KEPT;
            !(has_room && is_wanted && is_fresh && runs(kept.group, *replica))
        });
        gone.filter_map(|(_, kept)| kept.arrival).collect()
    }
}

/// Whether the replica lacks what it brings: entries, or all rows, which it has lost.
fn is_wanted(arrival: &Arrival) -> bool {
    let replica = arrival.replica();
    let applied = replica.applied().last.map(|at| at.index);
    replica.fault().is_some() || applied < Some(arrival.at().index)
}
