//! How this node is, and how the others said that they are: room on the disk, speed of its syncs,
//! clock.
//!
//! ```text
//!   room of the log >= reserve        takes mail (again, once it is a segment above the reserve)
//!                   >= reserve / 4    takes entries: flags, expunges, what others replicate to it
//!                   below             votes, checkpoints and cleaning alone
//! ```
//!
//! Nodes tell each other once a second (`Peer.Condition`). A condition that is older than
//! [`CONDITION_FRESH`] is known no more, except that a node that was full stays so until it says
//! otherwise. Who is unknown is not judged: it is neither full, nor slow, nor wrong about the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proto::v1;

use super::limits::{
    CLOCK_OFF_MAX_MS, CONDITION_FRESH, ENTRIES_RESERVE_PART, HANGING_SYNC, SLOW_SYNC,
    SLOW_SYNC_RATIO, STEADY_SYNC, STEADY_SYNC_RATIO, SYNCS_KEPT,
};

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Bytes that its log can still take.
    pub room_bytes: u64,
    /// It has room for mail.
    pub takes_mail: bool,
    /// Half of its last syncs took longer; none is known before the first.
    pub sync: Option<Duration>,
    /// By how much its clock is ahead of that of this node, milliseconds.
    pub clock_ahead_ms: i64,
}

struct Heard {
    at: Instant,
    condition: Condition,
    lost_replicas: BTreeSet<u64>,
}

/// How this node and the others are. One per node.
pub struct Health {
    node: u64,
    segment_bytes: u64,
    reserve_bytes: u64,
    room_bytes: AtomicU64,
    takes_mail: AtomicBool,
    takes_entries: AtomicBool,
    /// Some node, this one or another, has no room for mail.
    somebody_is_full: AtomicBool,
    syncs: Mutex<Syncs>,
    /// Replicas on this node that are damaged beyond mending.
    lost_replicas: Mutex<BTreeSet<u64>>,
    others: Mutex<BTreeMap<u64, Heard>>,
}

/// The last syncs of the log.
#[derive(Default)]
struct Syncs {
    last: VecDeque<Duration>,
    /// Since when the writer is at one; a disk that hangs is slow before it answers.
    since: Option<Instant>,
}

impl Syncs {
    fn typical(&self, now: Instant) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied();
        let hanging = self.since.map(|since| now.saturating_duration_since(since));
        median.max(hanging.filter(|time| *time >= HANGING_SYNC))
    }
}

impl Health {
    /// Of the node `node`, which keeps `reserve_bytes` of room for all but mail. It has room until
    /// [`Health::set_room`] says otherwise.
    #[must_use]
    pub fn new(node: u64, segment_bytes: u64, reserve_bytes: u64) -> Self {
        Self {
            node,
            segment_bytes,
            reserve_bytes,
            room_bytes: AtomicU64::new(u64::MAX),
            takes_mail: AtomicBool::new(true),
            takes_entries: AtomicBool::new(true),
            somebody_is_full: AtomicBool::new(false),
            syncs: Mutex::default(),
            lost_replicas: Mutex::default(),
            others: Mutex::default(),
        }
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.node
    }

    /// Bytes of room that are not for mail.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// The log can still take so many bytes.
    pub fn set_room(&self, bytes: u64) {
        let took = self.takes_mail.load(Relaxed);
        // Room has to be won before mail comes again, or it would come and go.
        let wanted = match took {
            true => self.reserve_bytes,
            false => self.reserve_bytes + self.segment_bytes,
        };
        let takes = bytes >= wanted;
        self.room_bytes.store(bytes, Relaxed);
        self.takes_mail.store(takes, Relaxed);
        let entries = bytes >= self.reserve_bytes / ENTRIES_RESERVE_PART;
        self.takes_entries.store(entries, Relaxed);
        if took != takes {
            let (room, reserve) = (bytes, self.reserve_bytes);
            if takes {
                tracing::info!(room, reserve, "there is room for mail again");
            } else {
                tracing::warn!(room, reserve, "the disk is nearly full: no mail is taken");
            }
        }
        self.look_for_full(&self.others.lock());
        metrics::gauge!("rookery_log_room_bytes").set(bytes as f64);
        metrics::gauge!("rookery_takes_mail").set(f64::from(u8::from(takes)));
    }

    /// Whether the log of this node can take entries.
    #[must_use]
    pub fn takes_entries(&self) -> bool {
        self.takes_entries.load(Relaxed)
    }

    /// The same when so many bytes more are in it.
    #[must_use]
    pub fn takes_bytes(&self, bytes: u64) -> bool {
        let left = self.reserve_bytes / ENTRIES_RESERVE_PART;
        self.takes_entries() && self.room_bytes.load(Relaxed) >= bytes.saturating_add(left)
    }

    /// The writer of the log begins a step, which may sync.
    pub fn sync_begins(&self) {
        self.syncs.lock().since = Some(Instant::now());
    }

    /// The step has ended, with a sync or without.
    pub fn sync_ends(&self, synced: bool) {
        let mut syncs = self.syncs.lock();
        let Some(since) = syncs.since.take().filter(|_| synced) else {
            return;
        };
        if syncs.last.len() >= SYNCS_KEPT {
            syncs.last.pop_front();
        }
        syncs.last.push_back(since.elapsed());
    }

    /// How this node is.
    #[must_use]
    pub fn own(&self) -> Condition {
        Condition {
            room_bytes: self.room_bytes.load(Relaxed),
            takes_mail: self.takes_mail.load(Relaxed),
            sync: self.syncs.lock().typical(Instant::now()),
            clock_ahead_ms: 0,
        }
    }

    /// The same for others, with this node's clock.
    #[must_use]
    pub fn to_wire(&self, now_ms: u64) -> v1::PeerCondition {
        let own = self.own();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        v1::PeerCondition {
            room_bytes: own.room_bytes,
            takes_mail: own.takes_mail,
            sync_us: own.sync.map_or(0, micros),
            clock_ms: now_ms,
            lost_replicas: self.lost_replicas.lock().iter().copied().collect(),
            logins: Vec::new(),
        }
    }

    /// Whether a replica on this node is damaged beyond mending.
    pub fn set_lost(&self, replica: u64, lost: bool) {
        let mut replicas = self.lost_replicas.lock();
        if lost {
            replicas.insert(replica);
        } else {
            replicas.remove(&replica);
        }
    }

    /// Whether the replica on this or another node is damaged beyond mending, as that node said
    /// last.
    #[must_use]
    pub fn is_lost(&self, node: u64, replica: u64) -> bool {
        if node == self.node {
            return self.lost_replicas.lock().contains(&replica);
        }
        let others = self.others.lock();
        let heard = others.get(&node);
        heard.is_some_and(|heard| heard.lost_replicas.contains(&replica))
    }

    /// Another node said how it is, when it was `now_ms` here.
    pub fn heard(&self, node: u64, wire: &v1::PeerCondition, now_ms: u64) {
        let condition = Condition {
            room_bytes: wire.room_bytes,
            takes_mail: wire.takes_mail,
            sync: Some(Duration::from_micros(wire.sync_us)).filter(|time| !time.is_zero()),
            clock_ahead_ms: wire.clock_ms.wrapping_sub(now_ms).cast_signed(),
        };
        let heard = Heard {
            at: Instant::now(),
            condition,
            lost_replicas: wire.lost_replicas.iter().copied().collect(),
        };
        let mut others = self.others.lock();
        others.insert(node, heard);
        self.look_for_full(&others);
    }

    fn look_for_full(&self, others: &BTreeMap<u64, Heard>) {
        let full = others.values().any(|heard| !heard.condition.takes_mail);
        let full = full || !self.takes_mail.load(Relaxed);
        self.somebody_is_full.store(full, Relaxed);
    }

    /// How a node is, if it said so of late.
    #[must_use]
    pub fn of(&self, node: u64) -> Option<Condition> {
        if node == self.node {
            return Some(self.own());
        }
        let others = self.others.lock();
        let heard = others.get(&node)?;
        (heard.at.elapsed() < CONDITION_FRESH).then_some(heard.condition)
    }

    /// Whether a partition whose voters are on these nodes takes mail: a majority of them has room,
    /// as far as is known. `voters` is asked for only if somebody has none.
    #[must_use]
    pub fn take_mail(&self, voters: impl FnOnce() -> Vec<u64>) -> bool {
        if !self.somebody_is_full.load(Relaxed) {
            return true;
        }
        let voters = voters();
        let majority = voters.len() / 2 + 1;
        let known: Vec<bool> = voters
            .iter()
            .filter_map(|node| self.of(*node))
            .map(|condition| condition.takes_mail)
            .collect();
        let roomy = known.iter().filter(|takes_mail| **takes_mail).count();
        // While too few can be heard, mail waits for them rather than being refused.
        if known.len() >= majority && roomy < majority {
            return false;
        }
        let own_is_full = !self.takes_mail.load(Relaxed);
        let others = self.others.lock();
        let is_full = |node: &&u64| match others.get(*node) {
            Some(heard) => !heard.condition.takes_mail,
            None => **node == self.node && own_is_full,
        };
        voters.is_empty() || voters.len() - voters.iter().filter(is_full).count() >= majority
    }

    /// Whether the disk of this node is so slow that another one should lead. The first is that
    /// one's sync.
    #[must_use]
    pub fn is_slower_than(&self, other: Duration) -> bool {
        let own = self.own().sync.unwrap_or_default();
        own >= SLOW_SYNC && own >= other * SLOW_SYNC_RATIO
    }

    /// Whether a node may be given the lead: it was heard, its disk is not much slower than that of
    /// this one, and it knows the time.
    #[must_use]
    pub fn may_lead(&self, node: u64) -> bool {
        let Some(condition) = self.of(node) else {
            return false;
        };
        let is_steady = match (condition.sync, self.own().sync) {
            (Some(its), Some(own)) => its < STEADY_SYNC || its < own * STEADY_SYNC_RATIO,
            _ => true,
        };
        is_steady && !self.clock_is_off(node)
    }

    /// Whether another node that was heard lately has about the time of this one's clock.
    #[must_use]
    pub fn clock_is_confirmed(&self) -> bool {
        let others = self.others.lock();
        let mut fresh = others
            .values()
            .filter(|heard| heard.at.elapsed() < CONDITION_FRESH);
        fresh.any(|heard| heard.condition.clock_ahead_ms.unsigned_abs() <= CLOCK_OFF_MAX_MS)
    }

    /// Whether the clock of a node is far from the median of all that were heard and this one.
    #[must_use]
    pub fn clock_is_off(&self, node: u64) -> bool {
        let Some(condition) = self.of(node) else {
            return false;
        };
        let median = {
            let others = self.others.lock();
            let fresh = others
                .values()
                .filter(|heard| heard.at.elapsed() < CONDITION_FRESH);
            median(fresh.map(|heard| heard.condition.clock_ahead_ms).chain([0]))
        };
        (condition.clock_ahead_ms.saturating_sub(median)).unsigned_abs() > CLOCK_OFF_MAX_MS
    }
}

/// The middle one; of two, that which is nearer to 0: this node is believed as much as another.
fn median(values: impl Iterator<Item = i64>) -> i64 {
    let mut sorted: Vec<i64> = values.collect();
    sorted.sort_unstable();
    let middle = &sorted[(sorted.len().max(1) - 1) / 2..=sorted.len() / 2];
    let nearest = middle
        .iter()
        .copied()
        .min_by_key(|value| value.unsigned_abs());
    nearest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: u64 = 400;
    const SEGMENT: u64 = 100;

    fn health() -> Health {
        Health::new(1, SEGMENT, RESERVE)
    }

    fn hear(health: &Health, node: u64, takes_mail: bool, sync_ms: u64, ahead_ms: i64) {
        let wire = v1::PeerCondition {
            room_bytes: 1000,
            takes_mail,
            sync_us: sync_ms * 1000,
            clock_ms: 1_000_000_u64.wrapping_add_signed(ahead_ms),
            lost_replicas: Vec::new(),
            logins: Vec::new(),
        };
        health.heard(node, &wire, 1_000_000);
    }

    fn sync(health: &Health, time: Duration) {
        let mut syncs = health.syncs.lock();
        syncs.last = std::iter::repeat_n(time, SYNCS_KEPT).collect();
    }

    #[test]
    fn mail_stops_before_entries_and_comes_back_later() {
        let health = health();
        let takes = |bytes| {
            health.set_room(bytes);
            (health.own().takes_mail, health.takes_entries())
        };
        assert_eq!(takes(400), (true, true));
        assert_eq!(takes(399), (false, true));
        assert_eq!(takes(499), (false, true));
        assert_eq!(takes(99), (false, false));
        assert_eq!(takes(100), (false, true));
        assert_eq!(takes(500), (true, true));
        assert_eq!(takes(400), (true, true));
        assert!(health.takes_bytes(300) && !health.takes_bytes(301));
        assert_eq!(takes(99), (false, false));
        assert!(!health.takes_bytes(0));
    }

    #[test]
    fn a_majority_needs_room() {
        let health = health();
        let takes = || health.take_mail(|| vec![1, 2, 3]);
        assert!(takes(), "nobody is known to be full");
        health.set_room(0);
        // Too few are heard to tell.
        assert!(takes());
        hear(&health, 2, true, 1, 0);
        assert!(
            !takes(),
            "of two that were heard one is full, and the third is unknown"
        );
        hear(&health, 3, true, 1, 0);
        assert!(takes());
        hear(&health, 3, false, 1, 0);
        assert!(!takes());
        health.set_room(1000);
        assert!(takes());
        // Other voters.
        assert!(health.take_mail(|| vec![1, 2, 4]));
        hear(&health, 2, false, 1, 0);
        assert!(!takes() && !health.take_mail(|| vec![2, 3]));
    }

    #[test]
    fn a_slow_disk_is_slow_beside_others() {
        let health = health();
        let ms = Duration::from_millis;
        assert!(!health.is_slower_than(ms(1)), "nothing is known");
        sync(&health, ms(19));
        assert!(!health.is_slower_than(ms(1)));
        sync(&health, ms(100));
        assert!(health.is_slower_than(ms(20)) && !health.is_slower_than(ms(21)));
        // A few slow ones are no slow disk.
        sync(&health, ms(2));
        let slow = SYNCS_KEPT / 2 - 1;
        health
            .syncs
            .lock()
            .last
            .iter_mut()
            .take(slow)
            .for_each(|time| *time = ms(500));
        assert!(!health.is_slower_than(ms(1)));
        // One that hangs is.
        health.syncs.lock().since = Instant::now().checked_sub(ms(4000));
        assert!(health.is_slower_than(ms(20)));
    }

    #[test]
    fn who_may_lead() {
        let health = health();
        sync(&health, Duration::from_millis(4));
        assert!(!health.may_lead(2), "it was not heard");
        hear(&health, 2, true, 9, 0);
        hear(&health, 3, true, 0, 0);
        assert!(health.may_lead(2) && health.may_lead(3));
        hear(&health, 2, true, 30, 0);
        assert!(!health.may_lead(2));
        hear(&health, 2, true, 3, 4_000);
        assert!(health.may_lead(2));
        hear(&health, 2, true, 3, 6_000);
        assert!(!health.may_lead(2) && health.may_lead(3) && !health.clock_is_off(1));
        // Two against this one.
        hear(&health, 3, true, 3, 6_100);
        assert!(health.clock_is_off(1) && health.may_lead(2) && health.may_lead(3));
    }

    #[test]
    fn what_is_lost_is_told() {
        let (here, there) = (health(), Health::new(2, SEGMENT, RESERVE));
        there.set_lost(7, true);
        here.heard(2, &there.to_wire(0), 0);
        assert!(here.is_lost(2, 7) && there.is_lost(2, 7));
        assert!(!here.is_lost(2, 8) && !here.is_lost(1, 7) && !here.is_lost(3, 7));
        there.set_lost(7, false);
        here.heard(2, &there.to_wire(0), 0);
        assert!(!here.is_lost(2, 7) && !there.is_lost(2, 7));
    }

    #[test]
    fn two_clocks_do_not_tell_which_is_wrong() {
        let health = health();
        hear(&health, 2, true, 3, -60_000);
        assert!(health.clock_is_off(2) && !health.clock_is_off(1));
    }
}
