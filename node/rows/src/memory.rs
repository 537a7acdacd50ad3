//! Rows in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::{Fault, Row, Rows, Scan, Writes};

/// Rows in an ordered map: for tests, for the small directory, and as the model that any other
/// store is held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    rows: BTreeMap<Bytes, Bytes>,
}

impl Memory {
    /// No rows.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }

    /// Puts (`Some`) or removes (`None`) each of `writes`.
    pub fn commit(&mut self, writes: Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// Puts rows as they are, with what a snapshot brought for example.
    pub fn load(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// All rows in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, &Bytes)> {
        self.rows.iter()
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Half-open bounds for a map's `range`, which panics where they are the wrong way round.
pub(crate) fn bounds<'a>(from: &'a [u8], to: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(from.min(to)), Bound::Excluded(to))
}

impl Rows for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let range = self.rows.range::<[u8], _>(bounds(from, to));
        Ok(Box::new(
            range.map(|(key, value)| Ok((key.clone(), value.clone()))),
        ))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        let last = self.rows.range::<[u8], _>(bounds(from, to)).next_back();
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }
}
