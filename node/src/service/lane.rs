//! Lanes: what makes a repeated command run once (M4).
//!
//! A lane has at most one command in flight in each partition; the machine there remembers the
//! lane's last sequence and outcome, for an hour, and of so many lanes. So lanes are used again:
//! a connection has one, an upload has one, and when they end their lanes are free for the next,
//! unless what became of their last command is not known. Those that only ever go to one partition
//! are kept apart, or in time each partition would remember all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mailbox::{Lane as LaneId, Millis, Stamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::clock::Clock;
use super::limits::{FREE_LANES_MAX, LANE_IDLE_MAX};
use crate::replica::GroupId;

/// Gives lanes that nobody else has: the boot number is counted durably at each start.
#[derive(Debug)]
pub struct Lanes {
    node: u64,
    boot: u64,
    next: AtomicU64,
    clock: Arc<Clock>,
    free: Arc<Free>,
}

/// Lanes that nobody has at the moment, by where they go; those that were used last stand last.
#[derive(Debug, Default)]
struct Free(Mutex<BTreeMap<Option<GroupId>, VecDeque<Used>>>);

/// One lane. It is free for others when it is dropped, if it is [`Lane::settled`].
#[derive(Debug)]
pub struct Lane {
    id: LaneId,
    home: Option<GroupId>,
    used: Used,
    is_settled: bool,
    free: Arc<Free>,
}

/// What a lane was used for.
#[derive(Debug, Default)]
struct Used {
    lane: u64,
    /// The last sequence in each partition, and when.
    last: BTreeMap<GroupId, (u64, Instant)>,
}

impl Used {
    /// Whether a partition may have forgotten it.
    fn is_idle(&self, now: Instant) -> bool {
        let mut last = self.last.values();
        last.any(|(_, at)| now.duration_since(*at) > LANE_IDLE_MAX)
    }
}

impl Lanes {
    /// Lanes of this node's `boot`-th start. Stamps have the time of `clock`: a partition that
    /// forgets a lane refuses all new ones with older stamps, so they must not be ahead.
    #[must_use]
    pub fn new(node: u64, boot: u64, clock: Arc<Clock>) -> Self {
        Self {
            node,
            boot,
            next: AtomicU64::new(1),
            clock,
            free: Arc::default(),
        }
    }

    /// A lane for any partitions.
    #[must_use]
    pub fn open(&self) -> Lane {
        self.take(None, Instant::now())
    }

    /// A lane for one partition only.
    #[must_use]
    pub fn open_to(&self, group: GroupId) -> Lane {
        self.take(Some(group), Instant::now())
    }

    fn take(&self, home: Option<GroupId>, now: Instant) -> Lane {
        let free = self
            .free
            .0
            .lock()
            .get_mut(&home)
            .and_then(VecDeque::pop_back);
        match free.filter(|used| !used.is_idle(now)) {
            Some(used) => self.lane(home, used),
            None => self.fresh(home),
        }
    }

    /// A lane that was never used.
    pub(super) fn fresh(&self, home: Option<GroupId>) -> Lane {
        let used = Used {
            lane: self.next.fetch_add(1, Ordering::Relaxed),
            last: BTreeMap::new(),
        };
        self.lane(home, used)
    }

    fn lane(&self, home: Option<GroupId>, used: Used) -> Lane {
        let id = LaneId {
            node: self.node,
            boot: self.boot,
            lane: used.lane,
        };
        Lane {
            id,
            home,
            used,
            is_settled: true,
            free: Arc::clone(&self.free),
        }
    }

    /// A partition has forgotten a lane, and perhaps others with it.
    pub fn forget(&self, group: GroupId) {
        for free in self.free.0.lock().values_mut() {
            free.retain(|used| !used.last.contains_key(&group));
        }
    }

    /// The stamp of the lane's next command in `group`. A lane that was not there for long is
    /// replaced first: the partition may have forgotten it.
    pub fn stamp(&self, lane: &mut Lane, group: GroupId) -> Stamp {
        self.stamp_at(lane, group, Instant::now())
    }

    fn stamp_at(&self, lane: &mut Lane, group: GroupId, now: Instant) -> Stamp {
        debug_assert!(lane.home.is_none_or(|home| home == group));
        let last = lane.used.last.get(&group);
        if last.is_some_and(|(_, at)| now.duration_since(*at) > LANE_IDLE_MAX) {
            *lane = self.fresh(lane.home);
        }
        lane.is_settled = false;
        let (sequence, at) = lane.used.last.entry(group).or_insert((0, now));
        *sequence += 1;
        *at = now;
        Stamp {
            lane: lane.id,
            sequence: *sequence,
            issued: Millis(self.clock.now_ms()),
        }
    }
}

impl Lane {
    /// What became of all its commands is known, and the partitions remember it. Otherwise nobody
    /// uses it again: a partition takes a lane that it does not know from its first command on, and
    /// no other.
    pub fn settled(&mut self) {
        self.is_settled = true;
    }

    fn give_back(&mut self, now: Instant) {
        if !self.is_settled || self.used.last.is_empty() {
            return;
        }
        let used = std::mem::take(&mut self.used);
        let mut free = self.free.0.lock();
        let free = free.entry(self.home).or_default();
        free.push_back(used);
        let is_old = |used: &Used| used.is_idle(now);
        while free.len() > FREE_LANES_MAX || free.front().is_some_and(is_old) {
            free.pop_front();
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.give_back(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: GroupId = GroupId(3);
    const THERE: GroupId = GroupId(4);

    #[test]
    fn what_is_settled_is_used_again() {
        let lanes = Lanes::new(1, 1, Arc::default());
        let mut lane = lanes.open_to(HERE);
        let first = lanes.stamp(&mut lane, HERE);
        lane.settled();
        drop(lane);
        // Not by those who go elsewhere.
        for mut other in [lanes.open(), lanes.open_to(THERE)] {
            assert_ne!(lanes.stamp(&mut other, THERE).lane, first.lane);
        }
        let mut again = lanes.open_to(HERE);
        let second = lanes.stamp(&mut again, HERE);
        assert_eq!((second.lane, second.sequence), (first.lane, 2));
        // Not by anybody where the partition has forgotten some.
        again.settled();
        drop(again);
        lanes.forget(THERE);
        let mut again = lanes.open_to(HERE);
        assert_eq!(lanes.stamp(&mut again, HERE).lane, first.lane);
        again.settled();
        drop(again);
        lanes.forget(HERE);
        let mut again = lanes.open_to(HERE);
        assert_ne!(lanes.stamp(&mut again, HERE).lane, first.lane);
        // Whoever was interrupted does not know what became of its command.
        drop(again);
        let mut other = lanes.open_to(HERE);
        let third = lanes.stamp(&mut other, HERE);
        assert_eq!(third.sequence, 1);
    }

    #[test]
    fn what_a_partition_may_have_forgotten_is_not() {
        const LONGER: Duration = LANE_IDLE_MAX.saturating_add(Duration::from_secs(1));
        let (lanes, now) = (Lanes::new(1, 1, Arc::default()), Instant::now());
        let mut lane = lanes.open();
        let first = lanes.stamp_at(&mut lane, HERE, now);
        let later = now + LANE_IDLE_MAX;
        assert_eq!(lanes.stamp_at(&mut lane, THERE, later).lane, first.lane);
        // The other one knows it, this one may not.
        let later = now + LONGER;
        assert_eq!(lanes.stamp_at(&mut lane, THERE, later).lane, first.lane);
        let stamp = lanes.stamp_at(&mut lane, HERE, later);
        assert_ne!(stamp.lane, first.lane);
        assert_eq!(stamp.sequence, 1);
        lane.settled();
        lane.give_back(later);
        let mut late = lanes.take(None, later + LONGER);
        assert_ne!(lanes.stamp(&mut late, HERE).lane, stamp.lane);
    }

    #[test]
    fn few_are_kept() {
        let (lanes, now) = (Lanes::new(1, 1, Arc::default()), Instant::now());
        let mut all: Vec<Lane> = (0..FREE_LANES_MAX + 10).map(|_| lanes.open()).collect();
        for lane in &mut all {
            lanes.stamp_at(lane, HERE, now);
            lane.settled();
            lane.give_back(now);
        }
        let kept = |lanes: &Lanes| lanes.free.0.lock()[&None].len();
        assert_eq!(kept(&lanes), FREE_LANES_MAX);
        let later = now + LANE_IDLE_MAX + Duration::from_secs(1);
        let mut lane = lanes.fresh(None);
        lanes.stamp_at(&mut lane, HERE, later);
        lane.settled();
        lane.give_back(later);
        assert_eq!(kept(&lanes), 1);
    }
}
