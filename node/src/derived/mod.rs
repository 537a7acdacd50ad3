//! What FETCH tells of messages that depends on their bytes alone, remembered for all sessions of
//! this node.
//!
//! ```text
//!   sessions ──what they worked out──► Derived ◄──what they would have to── arrivals (a thread)
//!                                                                              ▲
//!                                                          replicas ──hints────┘
//! ```
//!
//! A client asks for the same of the same messages again and again, and of new ones for what it
//! asked for of others. So an item is worked out once; of mail that arrives before anybody asks,
//! when the processor has nothing else to do (`arrivals`); and of mail that a session has told
//! its client of, by the session itself while it waits, for as much as `spare` lets it.
//!
//! **It is a cache**: bounded in memory, of this node alone, and gone with the process. What is in
//! it follows from a message's bytes, which never change, so nothing in it ever becomes wrong.

mod arrivals;
mod limits;
mod spare;

use std::sync::Arc;

use bytes::Bytes;
use imap::backend::DerivedKey;
use imap::grammar::FetchItem;
use parking_lot::Mutex;

use crate::budget::Share;
use crate::cache::Cache;
use crate::replica::{Checkpointer, GroupId, Hint};
use arrivals::Arrivals;
use limits::{ITEMS_MAX, OVERHEAD_BYTES};
use spare::Spare;

/// What was told of messages, and will be. For any thread.
pub struct Derived {
    cache: Cache<DerivedKey, Bytes>,
    /// What clients of this node ask for beside the envelope, the newest last.
    items: Mutex<Vec<Arc<FetchItem>>>,
    arrivals: Arrivals,
    /// The room for work of sessions for which nobody waits.
    pub spare: Spare,
}

impl Derived {
    /// Takes as much memory as the share has, and looks at what arrives in these replicas.
    #[must_use]
    pub fn new(share: Arc<Share>, replicas: Arc<Checkpointer>) -> Self {
        Self {
            cache: Cache::new(share),
            items: Mutex::default(),
            arrivals: Arrivals::new(replicas),
            spare: Spare::default(),
        }
    }

    /// What an item is of a message, if that is remembered.
    #[must_use]
    pub fn get(&self, key: &DerivedKey) -> Option<Bytes> {
        self.cache.get(key)
    }

    /// Remembers it, for as long as there is room.
    pub fn put(&self, key: DerivedKey, value: Bytes) {
        let bytes = value.len() + key.names_bytes() + OVERHEAD_BYTES;
        self.cache.put(key, value, bytes as u64);
    }

    /// A client has asked for this item: some will ask for it of new messages.
    pub fn asked(&self, item: &Arc<FetchItem>) {
        let mut items = self.items.lock();
        if **item == FetchItem::Envelope || items.last() == Some(item) {
            return;
        }
        items.retain(|known| known != item);
        items.push(Arc::clone(item));
        let more = items.len().saturating_sub(ITEMS_MAX);
        items.drain(..more);
    }

    /// What will be asked for of new messages.
    fn items(&self) -> Vec<Arc<FetchItem>> {
        let mut items = vec![Arc::new(FetchItem::Envelope)];
        items.extend(self.items.lock().iter().cloned());
        items
    }

    /// Takes the hints of an applied entry. Does not wait.
    pub fn note(&self, group: GroupId, hints: &[Hint]) {
        self.arrivals.note(group, hints);
    }

    /// Works out what will be asked for of mail that arrives, until [`Derived::stop`]. Blocks: for
    /// a thread of its own, within a runtime.
    pub fn run(&self) {
        self.arrivals.run(self);
    }

    /// Ends [`Derived::run`].
    pub fn stop(&self) {
        self.arrivals.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_last_will_be_asked_for() {
        let share = Share::new("test", 1 << 20);
        let derived = Derived::new(share, Arc::new(Checkpointer::new()));
        let preview = |lazy| Arc::new(FetchItem::Preview { lazy });
        let structure = Arc::new(FetchItem::BodyStructure);
        derived.asked(&structure);
        derived.asked(&Arc::new(FetchItem::Envelope));
        derived.asked(&preview(false));
        derived.asked(&Arc::new(FetchItem::BodyStructure));
        let envelope = Arc::new(FetchItem::Envelope);
        assert_eq!(
            derived.items(),
            [envelope.clone(), preview(false), structure]
        );
        for item in [
            FetchItem::Body,
            FetchItem::BodyStructure,
            FetchItem::Preview { lazy: true },
        ] {
            derived.asked(&Arc::new(item));
        }
        let items = derived.items();
        assert_eq!(items.len(), ITEMS_MAX + 1);
        assert_eq!((&items[0], &items[ITEMS_MAX]), (&envelope, &preview(true)));
    }
}
