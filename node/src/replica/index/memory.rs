//! Indexes in memory: the model that sled is held against, and what a simulated node has.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rows::{Fault, Row, Rows, Scan};
use seglog::ReplicaId;

use super::{Change, Index, Indexes, name_of, parse_name};
use crate::replica::limits::MEMORY_SCAN_ROWS;
use crate::replica::machine::LogId;

/// The indexes of a simulated node. They live as long as this value: a simulated crash calls
/// [`MemoryIndex::crash`] on each and opens the replicas again.
#[derive(Default)]
pub struct MemoryIndexes {
    trees: Mutex<BTreeMap<String, Arc<MemoryIndex>>>,
    /// The highest number that was given.
    numbers: AtomicU64,
}

impl MemoryIndexes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All that there are.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<MemoryIndex>> {
        self.trees.lock().values().cloned().collect()
    }
}

impl Indexes for MemoryIndexes {
    fn of(&self, replica: ReplicaId) -> Result<Vec<Arc<dyn Index>>, Fault> {
        let trees = self.trees.lock();
        let own = trees
            .iter()
            .rev()
            .filter(|(name, _)| parse_name(name).is_some_and(|(owner, _)| owner == replica));
        Ok(own
            .map(|(_, tree)| Arc::clone(tree) as Arc<dyn Index>)
            .collect())
    }

    fn fresh(&self, replica: ReplicaId) -> Result<Arc<dyn Index>, Fault> {
        let mut trees = self.trees.lock();
        let name = name_of(replica, self.numbers.fetch_add(1, Relaxed) + 1);
        let tree = Arc::new(MemoryIndex {
            name: name.clone(),
            ..MemoryIndex::default()
        });
        trees.insert(name, Arc::clone(&tree));
        Ok(tree)
    }

    fn discard(&self, index: &dyn Index) -> Result<(), Fault> {
        self.trees.lock().remove(index.name());
        Ok(())
    }
}

/// An index in memory.
#[derive(Default)]
pub struct MemoryIndex {
    name: String,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Bytes, Bytes>,
    applied: Option<LogId>,
    /// What to do to go back to the last flush, in the order in which it was done.
    undo: Vec<Undo>,
}

enum Undo {
    Row(Bytes, Option<Bytes>),
    Applied(Option<LogId>),
}

impl MemoryIndex {
    /// Loses what was done since the last flush, except for the first `kept` of it.
    pub fn crash(&self, kept: usize) {
        let mut state = self.state.write();
        while state.undo.len() > kept {
            match state.undo.pop() {
                Some(Undo::Row(key, Some(value))) => drop(state.rows.insert(key, value)),
                Some(Undo::Row(key, None)) => drop(state.rows.remove(&key)),
                Some(Undo::Applied(applied)) => state.applied = applied,
                None => {}
            }
        }
        state.undo.clear();
    }

    /// How much was done since the last flush.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.state.read().undo.len()
    }

    fn put(&self, key: Bytes, value: Option<Bytes>) {
        let mut state = self.state.write();
        let old = match value {
            Some(value) => state.rows.insert(key.clone(), value),
            None => state.rows.remove(&key),
        };
        state.undo.push(Undo::Row(key, old));
    }

    /// Some rows of a range, from the lowest on.
    fn page(&self, from: &[u8], after: bool, to: &[u8]) -> Vec<Row> {
        let start = if after {
            Bound::Excluded(from)
        } else {
            Bound::Included(from)
        };
        if from >= to {
            return Vec::new();
        }
        let state = self.state.read();
        let range = state.rows.range::<[u8], _>((start, Bound::Excluded(to)));
        let rows = range.map(|(key, value)| (key.clone(), value.clone()));
        rows.take(MEMORY_SCAN_ROWS).collect()
    }
}

impl Rows for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.state.read().rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let to = to.to_vec();
        let mut page = self.page(from, false, &to).into_iter();
        let mut last: Option<Bytes> = None;
        Ok(Box::new(std::iter::from_fn(move || {
            if page.len() == 0
                && let Some(last) = &last
            {
                page = self.page(last, true, &to).into_iter();
            }
            let row = page.next()?;
            last = Some(row.0.clone());
            Some(Ok(row))
        })))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        if from >= to {
            return Ok(None);
        }
        let state = self.state.read();
        let mut range = state
            .rows
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(range
            .next_back()
            .map(|(key, value)| (key.clone(), value.clone())))
    }
}

impl Index for MemoryIndex {
    fn put_sorted(
        &self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), Fault> {
        for change in changes {
            let (key, value) = change?;
            self.put(key, value);
        }
        Ok(())
    }

    fn applied(&self) -> Result<Option<LogId>, Fault> {
        Ok(self.state.read().applied)
    }

    fn set_applied(&self, applied: LogId) -> Result<(), Fault> {
        let mut state = self.state.write();
        let before = state.applied.replace(applied);
        state.undo.push(Undo::Applied(before));
        Ok(())
    }

    fn flush(&self) -> Result<(), Fault> {
        self.state.write().undo.clear();
        Ok(())
    }

    fn name(&self) -> &str {
        &self.name
    }
}
