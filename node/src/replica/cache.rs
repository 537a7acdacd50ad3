//! Bodies of which a part was read: the next part is served without the disk.
//!
//! A record is read whole, since its checksum covers the whole, and a client that reads a large
//! message in windows would have it read again for each. What is held was checked when it was read.
//! An entry's id names one body for ever (R5), so nothing here is ever wrong; the ones that were
//! used longest ago go when others need the room.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use seglog::ReplicaId;

use super::machine::LogId;
use crate::budget::Share;

type Key = (ReplicaId, LogId);

/// Bodies of entries, for all replicas of a node.
pub struct BodyCache {
    share: Arc<Share>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bodies: HashMap<Key, (u64, Bytes)>,
    /// By when they were used last.
    order: BTreeMap<u64, Key>,
    /// How often anything was used.
    uses: u64,
    bytes: u64,
}

impl BodyCache {
    /// Holds as much as the share has.
    #[must_use]
    pub fn new(share: Arc<Share>) -> Self {
        Self {
            share,
            held: Mutex::default(),
        }
    }

    /// The body of an entry, if it is held.
    #[must_use]
    pub fn get(&self, replica: ReplicaId, id: LogId) -> Option<Bytes> {
        let mut held = self.held.lock();
        held.uses += 1;
        let now = held.uses;
        let (used, body) = held.bodies.get_mut(&(replica, id))?;
        let before = std::mem::replace(used, now);
        let body = body.clone();
        held.order.remove(&before);
        held.order.insert(now, (replica, id));
        Some(body)
    }

    /// Holds a body that was read and checked, in place of those that were used longest ago.
    pub fn put(&self, replica: ReplicaId, id: LogId, body: Bytes) {
        let bytes = body.len() as u64;
        if bytes > self.share.bytes_max() {
            return;
        }
        let mut held = self.held.lock();
        let before = held.bytes;
        held.uses += 1;
        let now = held.uses;
        if let Some((used, old)) = held.bodies.insert((replica, id), (now, body)) {
            held.order.remove(&used);
            held.bytes -= old.len() as u64;
        }
        held.order.insert(now, (replica, id));
        held.bytes += bytes;
        while held.bytes > self.share.bytes_max() {
            let Some((_, oldest)) = held.order.pop_first() else {
                break;
            };
            if let Some((_, old)) = held.bodies.remove(&oldest) {
                held.bytes -= old.len() as u64;
            }
        }
        self.share.changed(before, held.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go() {
        let share = Share::new("test", 100);
        let cache = BodyCache::new(Arc::clone(&share));
        let id = |index| LogId { term: 1, index };
        let (one, other) = (ReplicaId(1), ReplicaId(2));
        let body = |text: &'static str| Bytes::from_static(text.as_bytes());
        cache.put(one, id(1), body("first"));
        cache.put(other, id(1), body("of another"));
        assert_eq!(cache.get(one, id(1)), Some(body("first")));
        assert_eq!(cache.get(other, id(1)), Some(body("of another")));
        assert_eq!(cache.get(one, id(2)), None);
        // It was used last, so the other one goes.
        assert_eq!(cache.get(one, id(1)), Some(body("first")));
        cache.put(one, id(2), Bytes::from(vec![b'x'; 90]));
        assert_eq!(cache.get(other, id(1)), None);
        assert_eq!(cache.get(one, id(1)), Some(body("first")));
        assert_eq!(share.held(), 95);
        cache.put(one, id(2), Bytes::from(vec![b'y'; 20]));
        assert_eq!(share.held(), 25);
        // What cannot fit empties nothing.
        cache.put(one, id(3), Bytes::from(vec![b'z'; 101]));
        assert_eq!(cache.get(one, id(3)), None);
        assert_eq!(share.held(), 25);
    }
}
