//! Lanes: what makes a repeated command run once (M4).
//!
//! A lane has at most one command in flight in each partition; the machine there remembers the
//! lane's last sequence and outcome. A connection has a lane; an upload has one of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use mailbox::{Lane as LaneId, Millis, Stamp};
use tokio::time::Instant;

use super::limits::LANE_IDLE_MAX;
use super::local::now_ms;
use crate::replica::GroupId;

/// Gives lanes that nobody had before: the boot number is counted durably at each start.
#[derive(Debug)]
pub struct Lanes {
    node: u64,
    boot: u64,
    next: AtomicU64,
}

/// One lane.
#[derive(Debug)]
pub struct Lane {
    id: LaneId,
    sequences: BTreeMap<GroupId, u64>,
    used: Instant,
}

impl Lanes {
    /// Lanes of this node's `boot`-th start.
    #[must_use]
    pub fn new(node: u64, boot: u64) -> Self {
        Self {
            node,
            boot,
            next: AtomicU64::new(1),
        }
    }

    /// A lane that was never used.
    #[must_use]
    pub fn open(&self) -> Lane {
        let lane = self.next.fetch_add(1, Ordering::Relaxed);
        let id = LaneId {
            node: self.node,
            boot: self.boot,
            lane,
        };
        Lane {
            id,
            sequences: BTreeMap::new(),
            used: Instant::now(),
        }
    }

    /// The stamp of the lane's next command in `group`. A lane that was idle for long is replaced
    /// first: partitions may have forgotten it.
    pub fn stamp(&self, lane: &mut Lane, group: GroupId) -> Stamp {
        if lane.used.elapsed() > LANE_IDLE_MAX {
            *lane = self.open();
        }
        lane.used = Instant::now();
        let sequence = lane.sequences.entry(group).or_insert(0);
        *sequence += 1;
        Stamp {
            lane: lane.id,
            sequence: *sequence,
            issued: Millis(now_ms()),
        }
    }
}
