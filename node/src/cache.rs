//! A cache of a bounded number of bytes: what was used longest ago goes when others need the room.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::Share;

/// Values by key. For any thread.
pub struct Cache<K, V> {
    share: Arc<Share>,
    held: Mutex<Held<K, V>>,
}

struct Held<K, V> {
    values: HashMap<K, One<V>>,
    /// By when they were used last.
    order: BTreeMap<u64, K>,
    /// How often anything was used.
    uses: u64,
    bytes: u64,
}

struct One<V> {
    value: V,
    bytes: u64,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds as much as the share has.
    #[must_use]
    pub fn new(share: Arc<Share>) -> Self {
        Self {
            share,
            held: Mutex::new(Held {
                values: HashMap::new(),
                order: BTreeMap::new(),
                uses: 0,
                bytes: 0,
            }),
        }
    }

    /// The value of a key, if it is held.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        let mut held = self.held.lock();
        held.uses += 1;
        let now = held.uses;
        let one = held.values.get_mut(key)?;
        let before = std::mem::replace(&mut one.used, now);
        let value = one.value.clone();
        if let Some(key) = held.order.remove(&before) {
            held.order.insert(now, key);
        }
        Some(value)
    }

    /// Holds a value of so many bytes, in place of those that were used longest ago.
    pub fn put(&self, key: K, value: V, bytes: u64) {
        if bytes > self.share.bytes_max() {
            return;
        }
        let mut held = self.held.lock();
        let before = held.bytes;
        held.uses += 1;
        let used = held.uses;
        let one = One { value, bytes, used };
        if let Some(old) = held.values.insert(key.clone(), one) {
            held.order.remove(&old.used);
            held.bytes -= old.bytes;
        }
        held.order.insert(used, key);
        held.bytes += bytes;
        while held.bytes > self.share.bytes_max() {
            let Some((_, oldest)) = held.order.pop_first() else {
                break;
            };
            if let Some(old) = held.values.remove(&oldest) {
                held.bytes -= old.bytes;
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
        let cache = Cache::new(Arc::clone(&share));
        let put = |key: u64, value: &'static str| cache.put(key, value, value.len() as u64);
        put(1, "first");
        put(2, "another");
        assert_eq!(cache.get(&1), Some("first"));
        assert_eq!(cache.get(&2), Some("another"));
        assert_eq!(cache.get(&3), None);
        // It was used last, so the other one goes.
        assert_eq!(cache.get(&1), Some("first"));
        cache.put(3, "large", 90);
        assert_eq!(cache.get(&2), None);
        assert_eq!(cache.get(&1), Some("first"));
        assert_eq!(share.held(), 95);
        cache.put(3, "smaller", 20);
        assert_eq!(share.held(), 25);
        // What cannot fit empties nothing.
        cache.put(4, "too large", 101);
        assert_eq!(cache.get(&4), None);
        assert_eq!(share.held(), 25);
    }
}
