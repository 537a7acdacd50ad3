//! Writes that are not yet written: a layer over [`Rows`] in which commands are applied.
//!
//! ```text
//!   get, scan ---> what was put here ---> else the rows below
//!   put, delete -> here, with the value before
//!   into_writes -> the rows that differ now, and the machine's row with the new digest
//! ```
//!
//! One layer takes any number of commands, one after the other, and costs less the more it takes: a
//! row that many of them change is hashed and written once. A command that is refused is rolled
//! back alone.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use prost::Message as _;
use proto::v1::MailMetaRow;

use crate::event::{BodyChange, Fault};
use crate::keys::{Key, Span};
use crate::rows::{Row, RowIter, Rows, decode, read};

/// What applying commands changed.
#[derive(Debug, Default)]
pub struct Writes {
    /// The rows that changed, sorted by key, each once; `None` where the row is gone.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
    /// How references to bodies changed, in no particular order; one body may stand here more than
    /// once.
    pub bodies: Vec<BodyChange>,
}

/// A layer of writes over rows.
pub struct Staged<'a, R: Rows> {
    base: &'a R,
    /// What was read alone or written here.
    slots: BTreeMap<Bytes, Slot>,
    /// Counts marks.
    epoch: u64,
    bodies: Vec<BodyChange>,
    meta: MailMetaRow,
}

struct Slot {
    /// Below this layer.
    before: Option<Bytes>,
    /// Now.
    after: Option<Bytes>,
    /// At the mark of `epoch`, after which it was written.
    marked: Option<Bytes>,
    epoch: u64,
}

/// A point to roll back to.
pub(crate) struct Mark {
    bodies: usize,
    meta: MailMetaRow,
}

impl<'a, R: Rows> Staged<'a, R> {
    /// An empty layer.
    pub fn new(base: &'a R) -> Result<Staged<'a, R>, Fault> {
        let meta = read(base, &Key::Meta.encode())?.unwrap_or_default();
        Ok(Staged {
            base,
            slots: BTreeMap::new(),
            epoch: 0,
            bodies: Vec::new(),
            meta,
        })
    }

    /// How many rows were read alone or written here: a measure of the memory in use.
    pub fn rows_held(&self) -> usize {
        self.slots.len()
    }

    /// What changed. The rows below are unchanged until these writes are put into them.
    pub fn into_writes(mut self) -> Result<Writes, Fault> {
        let mut digest = digest_of(&self.meta)?;
        let mut rows = Vec::with_capacity(self.slots.len() + 1);
        // The machine's row has the lowest key. Its value comes when the digest is known.
        rows.push((Key::Meta.encode(), None));
        let mut hasher = RowHasher::default();
        for (key, slot) in self.slots {
            if slot.before == slot.after {
                continue;
            }
            if let Some(before) = &slot.before {
                digest = digest.wrapping_sub(hasher.hash(&key, before));
            }
            if let Some(after) = &slot.after {
                digest = digest.wrapping_add(hasher.hash(&key, after));
            }
            rows.push((key, slot.after));
        }
        self.meta.digest = Bytes::copy_from_slice(&digest.to_be_bytes());
        if let Some((_, own)) = rows.first_mut() {
            *own = Some(self.meta.encode_to_vec().into());
        }
        Ok(Writes {
            rows,
            bodies: self.bodies,
        })
    }

    /// The machine's own row. Its digest is as it was below.
    pub(crate) fn meta(&self) -> &MailMetaRow {
        &self.meta
    }

    /// The machine's own row, to be changed.
    pub(crate) fn meta_mut(&mut self) -> &mut MailMetaRow {
        &mut self.meta
    }

    /// The value of a key, which is remembered here: for rows that are about to be written.
    pub(crate) fn take(&mut self, key: Bytes) -> Result<Option<Bytes>, Fault> {
        if let Some(slot) = self.slots.get(&key) {
            return Ok(slot.after.clone());
        }
        let value = self.base.get(&key)?;
        self.slots.insert(key, Slot::read(value.clone()));
        Ok(value)
    }

    /// As [`Staged::take`], decoded.
    pub(crate) fn take_row<M: prost::Message + Default>(
        &mut self,
        key: Bytes,
    ) -> Result<Option<M>, Fault> {
        if let Some(slot) = self.slots.get(&key) {
            return slot
                .after
                .clone()
                .map(|value| decode(&key, value))
                .transpose();
        }
        let value = self.base.get(&key)?;
        let row = value.clone().map(|value| decode(&key, value)).transpose()?;
        self.slots.insert(key, Slot::read(value));
        Ok(row)
    }

    /// Puts a row whatever was there.
    pub(crate) fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), Fault> {
        self.write(key, Some(value))
    }

    /// Puts a row that is a message of `row.proto`.
    pub(crate) fn put_row(&mut self, key: Bytes, row: &impl prost::Message) -> Result<(), Fault> {
        self.write(key, Some(row.encode_to_vec().into()))
    }

    /// Deletes a row, if it is there.
    pub(crate) fn delete(&mut self, key: Bytes) -> Result<(), Fault> {
        self.write(key, None)
    }

    /// Puts a row that the caller knows to be a new one.
    pub(crate) fn put_new(&mut self, key: Bytes, value: Bytes) {
        debug_assert!(
            self.get(&key).is_ok_and(|there| there.is_none()),
            "{key:?} is there"
        );
        let epoch = self.epoch;
        self.slots
            .entry(key)
            .or_insert_with(|| Slot::read(None))
            .set(epoch, Some(value));
    }

    /// Puts or (`after` is `None`) deletes a row that the caller has just read as `before`.
    pub(crate) fn replace(&mut self, key: Bytes, before: Bytes, after: Option<Bytes>) {
        debug_assert_eq!(self.get(&key).ok().flatten().as_ref(), Some(&before));
        let epoch = self.epoch;
        self.slots
            .entry(key)
            .or_insert_with(|| Slot::read(Some(before)))
            .set(epoch, after);
    }

    fn write(&mut self, key: Bytes, after: Option<Bytes>) -> Result<(), Fault> {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.set(self.epoch, after);
            return Ok(());
        }
        let mut slot = Slot::read(self.base.get(&key)?);
        slot.set(self.epoch, after);
        self.slots.insert(key, slot);
        Ok(())
    }

    /// Counts references to the body of a log entry.
    pub(crate) fn refer(&mut self, change: BodyChange) {
        if change.change != 0 {
            self.bodies.push(change);
        }
    }

    /// The rows of a span, collected, at most `limit`. For scans whose rows are changed under way.
    pub(crate) fn collect(&self, span: &Span, limit: usize) -> Result<Vec<Row>, Fault> {
        self.scan(&span.0, &span.1)?.take(limit).collect()
    }

    /// From here on, what is written can be taken back.
    pub(crate) fn mark(&mut self) -> Mark {
        self.epoch += 1;
        Mark {
            bodies: self.bodies.len(),
            meta: self.meta.clone(),
        }
    }

    /// Takes back all that was written since the last mark, which this is.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        for slot in self
            .slots
            .values_mut()
            .filter(|slot| slot.epoch == self.epoch)
        {
            slot.after = slot.marked.take();
            slot.epoch = 0;
        }
        self.bodies.truncate(mark.bodies);
        self.meta = mark.meta;
    }
}

impl Slot {
    /// A row as it is below.
    fn read(value: Option<Bytes>) -> Slot {
        Slot {
            before: value.clone(),
            after: value,
            marked: None,
            epoch: 0,
        }
    }

    fn set(&mut self, epoch: u64, after: Option<Bytes>) {
        let last = std::mem::replace(&mut self.after, after);
        if self.epoch < epoch {
            (self.marked, self.epoch) = (last, epoch);
        }
    }
}

impl<R: Rows> Rows for Staged<'_, R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        match self.slots.get(key) {
            Some(slot) => Ok(slot.after.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<RowIter<'_>, Fault> {
        let below = self.base.scan(from, to)?;
        if from >= to {
            return Ok(below);
        }
        let here = self
            .slots
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut here = here.peekable();
        if here.peek().is_none() {
            return Ok(below);
        }
        Ok(Box::new(Merged {
            below: below.peekable(),
            here,
        }))
    }
}

/// Two layers of rows in one order; where both have a key, the upper one counts.
struct Merged<'a> {
    below: Peekable<RowIter<'a>>,
    here: Peekable<btree_map::Range<'a, Bytes, Slot>>,
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(&(key, slot)) = self.here.peek() else {
                return self.below.next();
            };
            match self.below.peek() {
                Some(Ok((lower, _))) if lower < key => return self.below.next(),
                Some(Err(_)) => return self.below.next(),
                Some(Ok((lower, _))) if lower == key => drop(self.below.next()),
                _ => {}
            }
            self.here.next();
            if let Some(value) = &slot.after {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

/// The digest as the machine's row keeps it.
pub(crate) fn digest_of(meta: &MailMetaRow) -> Result<u128, Fault> {
    if meta.digest.is_empty() {
        return Ok(0);
    }
    let bytes = meta.digest.as_ref().try_into();
    let bytes = bytes.map_err(|_| Fault::Broken("the digest has not 16 bytes".into()))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Hashes rows for the digest.
#[derive(Default)]
pub(crate) struct RowHasher {
    /// Key and value in one piece: one call to the hash is much cheaper than three.
    joined: Vec<u8>,
}

impl RowHasher {
    /// The hash of a row: of the key's length (4 bytes), the key and the value.
    pub fn hash(&mut self, key: &[u8], value: &[u8]) -> u128 {
        self.joined.clear();
        self.joined
            .extend_from_slice(&(key.len() as u32).to_be_bytes());
        self.joined.extend_from_slice(key);
        self.joined.extend_from_slice(value);
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(&self.joined).as_bytes()[..16]);
        u128::from_be_bytes(first)
    }
}
