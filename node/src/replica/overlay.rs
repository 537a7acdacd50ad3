//! The rows as they are now: what was applied since the last checkpoint over what is in the index.
//!
//! ```text
//!   get, scan, last
//!      |
//!   current   written since the last freeze          changed by apply
//!   frozen    being put into the index               never changed; there only in a checkpoint
//!   recent    what was put into the index last       asked for single rows, to spare the index
//!   index     up to the last checkpoint put          changed only where frozen covers it
//! ```
//!
//! The uppermost layer that knows a key decides. While frozen rows are put into the index their
//! keys are answered by the frozen layer, so a reader never sees a checkpoint by half. Recent rows
//! say what the index says: rows that nearly every entry changes are found without it.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use rows::{Fault, Row, Rows, Scan, Writes};

use super::index::Index;
use super::limits::{OVERLAY_ROW_BYTES, RECENT_BYTES_MAX};

/// A layer: what to put (`Some`) and what to remove (`None`).
pub(crate) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Changed rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    rows: Changes,
    bytes: usize,
}

impl Overlay {
    fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        self.bytes += length(&value);
        let key_bytes = key.len();
        match self.rows.insert(key, value) {
            Some(old) => self.bytes -= length(&old),
            None => self.bytes += key_bytes + OVERLAY_ROW_BYTES,
        }
    }

    /// Bytes of the keys and values.
    pub fn content_bytes(&self) -> usize {
        self.bytes - self.rows.len() * OVERLAY_ROW_BYTES
    }

    /// The changes in key order.
    pub fn rows(&self) -> &Changes {
        &self.rows
    }
}

/// All rows of a replica. Cheap to read, and it is what a machine reads.
pub struct Layers {
    current: Overlay,
    frozen: Option<Arc<Overlay>>,
    recent: Option<Arc<Overlay>>,
    index: Arc<dyn Index>,
    fault: Option<Fault>,
}

impl Layers {
    pub(crate) fn new(index: Arc<dyn Index>) -> Self {
        Self {
            current: Overlay::default(),
            frozen: None,
            recent: None,
            index,
            fault: None,
        }
    }

    /// The fault that stopped the replica.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Fails once the replica has stopped.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Stops: every look at the rows fails from now on. Answers the fault that came first (R3).
    pub(crate) fn stop(&mut self, fault: Fault) -> Fault {
        self.fault.get_or_insert(fault).clone()
    }

    /// Goes on after a fault, on the rows that it was given since.
    pub(crate) fn revive(&mut self) {
        self.fault = None;
    }

    /// The index beneath.
    pub(crate) fn index(&self) -> &Arc<dyn Index> {
        &self.index
    }

    /// Bytes held in memory.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.current.bytes + self.frozen.as_ref().map_or(0, |frozen| frozen.bytes)
    }

    /// Takes up what an entry wrote.
    pub(crate) fn commit(&mut self, writes: Writes) {
        for (key, value) in writes {
            self.current.put(key, value);
        }
    }

    /// Sets the changes so far aside for a checkpoint.
    pub(crate) fn freeze(&mut self) -> Arc<Overlay> {
        assert!(self.frozen.is_none(), "one checkpoint at a time");
        let frozen = Arc::new(std::mem::take(&mut self.current));
        self.frozen = Some(Arc::clone(&frozen));
        frozen
    }

    /// The index holds what was frozen.
    pub(crate) fn thaw(&mut self) {
        let few = |rows: &Arc<Overlay>| rows.bytes <= RECENT_BYTES_MAX;
        self.recent = self.frozen.take().filter(few);
    }

    /// Stands on another index, which holds all rows there are; answers the one before.
    pub(crate) fn replace(&mut self, index: Arc<dyn Index>) -> Arc<dyn Index> {
        self.current = Overlay::default();
        self.frozen = None;
        self.recent = None;
        std::mem::replace(&mut self.index, index)
    }

    fn layers(&self) -> impl Iterator<Item = &Changes> {
        let frozen = self.frozen.as_ref().map(|frozen| &frozen.rows);
        std::iter::once(&self.current.rows).chain(frozen)
    }
}

impl Rows for Layers {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.check()?;
        let recent = self.recent.as_ref().map(|recent| &recent.rows);
        match self.layers().chain(recent).find_map(|layer| layer.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.index.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        self.check()?;
        let mut scan = self.index.scan(from, to)?;
        if from < to {
            let frozen = self.frozen.as_ref().map(|frozen| &frozen.rows);
            for layer in frozen.into_iter().chain([&self.current.rows]) {
                scan = over(scan, layer, from, to);
            }
        }
        Ok(scan)
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        self.check()?;
        if from >= to {
            return Ok(None);
        }
        let mut to = Bytes::copy_from_slice(to);
        let mut below = self.index.last(from, &to)?;
        loop {
            // Each turn passes a row that one of the layers removed.
            if below.as_ref().is_some_and(|(key, _)| *key >= to) {
                below = self.index.last(from, &to)?;
            }
            let above = self.layers().filter_map(|layer| {
                let range = (Bound::Included(from), Bound::Excluded(to.as_ref()));
                layer
                    .range::<[u8], _>(range)
                    .next_back()
                    .map(|(key, _)| key)
            });
            let Some(key) = above
                .chain(below.as_ref().map(|(key, _)| key))
                .max()
                .cloned()
            else {
                return Ok(None);
            };
            if let Some(value) = self.get(&key)? {
                return Ok(Some((key, value)));
            }
            to = key;
        }
    }
}

/// A walk with a layer laid over it.
fn over<'a>(below: Scan<'a>, layer: &'a Changes, from: &[u8], to: &[u8]) -> Scan<'a> {
    let range = layer.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
    // Most scans cover nothing that changed of late.
    if range.clone().next().is_none() {
        return below;
    }
    Box::new(Over {
        below: below.peekable(),
        above: range.peekable(),
    })
}

struct Over<'a, A: Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>> {
    below: Peekable<Scan<'a>>,
    above: Peekable<A>,
}

impl<'a, A: Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>> Iterator for Over<'a, A> {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.above.peek() else {
                return self.below.next();
            };
            match self.below.peek() {
                Some(Err(_)) => return self.below.next(),
                Some(Ok((low, _))) if low < *key => return self.below.next(),
                Some(Ok((low, _))) if low == *key => drop(self.below.next()),
                Some(Ok(_)) | None => {}
            }
            if let Some((key, Some(value))) = self.above.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}
