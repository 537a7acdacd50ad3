//! The writes of one command before it is known whether they shall be done.
//!
//! A command writes as it goes and may be refused at any point. So it writes into a layer of its
//! own; if it was refused, the layer is emptied, and in the end what is left in it goes down into
//! the replica's `Staged`, which keeps the digest.
//!
//! ```text
//!   get, scan ---> what was written here ---> else what is below
//!   put, delete -> here
//!   into_changes -> what was written, and how references to bodies changed
//! ```

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use prost::Message as _;
use proto::v1::MailMetaRow;
use rows::{Fault, Row, Rows, Scan, Writes};

use crate::event::BodyChange;
use crate::keys::{Key, Span};
use crate::stored::{decode, read};

/// A layer of writes over rows.
pub(crate) struct Layer<'a, R: Rows> {
    below: &'a R,
    written: BTreeMap<Bytes, Option<Bytes>>,
    bodies: Vec<BodyChange>,
    /// The machine's own row, which nearly every command changes.
    meta: MailMetaRow,
}

/// A point to roll back to: before anything was written.
pub(crate) struct Mark(MailMetaRow);

impl<'a, R: Rows> Layer<'a, R> {
    /// An empty layer.
    pub fn new(below: &'a R) -> Result<Layer<'a, R>, Fault> {
        let meta = read(below, &Key::Meta.encode())?.unwrap_or_default();
        let (written, bodies) = (BTreeMap::new(), Vec::new());
        Ok(Layer {
            below,
            written,
            bodies,
            meta,
        })
    }

    /// What was written, the machine's own row included, and how references to bodies changed.
    pub fn into_changes(mut self) -> (Writes, Vec<BodyChange>) {
        let own = Bytes::from(self.meta.encode_to_vec());
        self.written.insert(Key::Meta.encode(), Some(own));
        (self.written.into_iter().collect(), self.bodies)
    }

    /// The machine's own row.
    pub fn meta(&self) -> &MailMetaRow {
        &self.meta
    }

    /// The machine's own row, to be changed.
    pub fn meta_mut(&mut self) -> &mut MailMetaRow {
        &mut self.meta
    }

    /// A row that is a message of `row.proto`.
    pub fn row<M: prost::Message + Default>(&self, key: &Bytes) -> Result<Option<M>, Fault> {
        self.get(key)?.map(|value| decode(key, value)).transpose()
    }

    /// Puts a row.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.written.insert(key, Some(value));
    }

    /// Puts a row that is a message of `row.proto`.
    pub fn put_row(&mut self, key: Bytes, row: &impl prost::Message) {
        self.put(key, row.encode_to_vec().into());
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, key: Bytes) {
        self.written.insert(key, None);
    }

    /// Counts references to the body of a log entry.
    pub fn refer(&mut self, change: BodyChange) {
        if change.change != 0 {
            self.bodies.push(change);
        }
    }

    /// The rows of a span, at most `limit`: for rows that are changed as they are walked over.
    pub fn collect(&self, span: &Span, limit: usize) -> Result<Vec<Row>, Fault> {
        self.scan(&span.0, &span.1)?.take(limit).collect()
    }

    /// From here on, what is written can be taken back. Nothing was written yet.
    pub fn mark(&self) -> Mark {
        debug_assert!(self.written.is_empty() && self.bodies.is_empty());
        Mark(self.meta.clone())
    }

    /// Takes back all that was written.
    pub fn roll_back(&mut self, mark: Mark) {
        self.written.clear();
        self.bodies.clear();
        self.meta = mark.0;
    }
}

impl<R: Rows> Rows for Layer<'_, R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        match self.written.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let below = self.below.scan(from, to)?;
        if from >= to {
            return Ok(below);
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut here = self.written.range::<[u8], _>(range).peekable();
        if here.peek().is_none() {
            return Ok(below);
        }
        Ok(Box::new(Merged {
            below: below.peekable(),
            here,
        }))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        // No command asks for it, so a walk is good enough.
        self.scan(from, to)?.last().transpose()
    }
}

/// Two layers of rows in one order; where both have a key, the upper one counts.
struct Merged<'a> {
    below: Peekable<Scan<'a>>,
    here: Peekable<btree_map::Range<'a, Bytes, Option<Bytes>>>,
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(&(key, value)) = self.here.peek() else {
                return self.below.next();
            };
            match self.below.peek() {
                Some(Ok((lower, _))) if lower < key => return self.below.next(),
                Some(Err(_)) => return self.below.next(),
                Some(Ok((lower, _))) if lower == key => drop(self.below.next()),
                _ => {}
            }
            self.here.next();
            if let Some(value) = value {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}
