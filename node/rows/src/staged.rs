//! The writes of an entry before they are committed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter::Peekable;

use bytes::Bytes;

use crate::memory::bounds;
use crate::{DIGEST_KEY, Digest, Fault, Row, Rows, Scan, limits};

/// What to put (`Some`) and remove (`None`), in key order, each key once, none of them idle.
pub type Writes = Vec<(Bytes, Option<Bytes>)>;

/// Rows as they will be once the writes made through it are committed.
///
/// What it read is remembered until then, so that the old value of a row that was read before it
/// was written costs no second look into the store.
#[derive(Debug)]
pub struct Staged<'a, R> {
    base: &'a R,
    /// The values in `base` of rows that were looked up by key.
    seen: RefCell<BTreeMap<Bytes, Option<Bytes>>>,
    /// What was written, the last write of each key.
    written: BTreeMap<Bytes, Option<Bytes>>,
}

impl<'a, R: Rows> Staged<'a, R> {
    /// Nothing written yet over `base`, which must be committed rows, not another `Staged`: the
    /// digest that it keeps is the one the new digest starts from.
    #[must_use]
    pub fn new(base: &'a R) -> Self {
        Self {
            base,
            seen: RefCell::default(),
            written: BTreeMap::new(),
        }
    }

    /// Writes a row.
    ///
    /// # Panics
    /// If the key is empty, reserved (a leading 0x00), not below [`crate::END`] or too long, or the
    /// value too long: the machine checks what it is given long before.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        check_key(&key);
        assert!(
            value.len() <= limits::VALUE_BYTES_MAX,
            "a value of {} bytes",
            value.len()
        );
        self.written.insert(key, Some(value));
    }

    /// Removes a row, if it is there.
    ///
    /// # Panics
    /// For a key that [`Staged::put`] would not take.
    pub fn remove(&mut self, key: impl Into<Bytes>) {
        let key = key.into();
        check_key(&key);
        self.written.insert(key, None);
    }

    /// The number of keys written so far, by which a machine can bound its work.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written.len()
    }

    /// Ends it: what is to be written, the digest row included. Hashes each changed row once.
    ///
    /// # Errors
    /// A [`Fault`] if an old value could not be read; then nothing may be written.
    pub fn into_writes(self) -> Result<Writes, Fault> {
        let kept = Digest::kept(self.base)?;
        let (mut digest, mut seen) = (kept, self.seen.into_inner());
        let mut writes = Writes::with_capacity(self.written.len() + 1);
        for (key, new) in self.written {
            let old = match seen.remove(&key) {
                Some(old) => old,
                None => self.base.get(&key)?,
            };
            if old == new {
                continue;
            }
            if let Some(old) = old {
                digest.remove(&key, &old);
            }
            if let Some(new) = &new {
                digest.add(&key, new);
            }
            writes.push((key, new));
        }
        if digest != kept {
            // Reserved keys sort before all others, so the order holds.
            let value = Bytes::copy_from_slice(&digest.to_bytes());
            writes.insert(0, (Bytes::from_static(DIGEST_KEY), Some(value)));
        }
        Ok(writes)
    }
}

impl<R: Rows> Rows for Staged<'_, R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        if let Some(value) = self.written.get(key) {
            return Ok(value.clone());
        }
        if let Some(value) = self.seen.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.base.get(key)?;
        self.seen
            .borrow_mut()
            .insert(Bytes::copy_from_slice(key), value.clone());
        Ok(value)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let written = self.written.range::<[u8], _>(bounds(from, to));
        let base = self.base.scan(from, to)?;
        // Most scans cover nothing that this entry wrote.
        if written.clone().next().is_none() {
            return Ok(base);
        }
        Ok(Box::new(Merged {
            base: base.peekable(),
            written: written.peekable(),
        }))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        let mut newest = self.written.range::<[u8], _>(bounds(from, to)).rev();
        let written = newest.find_map(|(key, value)| Some((key.clone(), value.clone()?)));
        let mut below = self.base.last(from, to)?;
        // Each turn passes a row that this entry removed, so their number bounds the loop.
        while let Some((key, value)) = below {
            match self.written.get(&key) {
                None if written.as_ref().is_none_or(|(above, _)| *above < key) => {
                    return Ok(Some((key, value)));
                }
                Some(None) => below = self.base.last(from, &key)?,
                // A written row, this one or a later one, is the last.
                None | Some(Some(_)) => break,
            }
        }
        Ok(written)
    }
}

/// Two ordered walks as one; at equal keys what was written wins.
struct Merged<'s, W: Iterator<Item = (&'s Bytes, &'s Option<Bytes>)>> {
    base: Peekable<Scan<'s>>,
    written: Peekable<W>,
}

impl<'s, W: Iterator<Item = (&'s Bytes, &'s Option<Bytes>)>> Iterator for Merged<'s, W> {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.written.peek() else {
                return self.base.next();
            };
            match self.base.peek() {
                Some(Err(_)) => return self.base.next(),
                Some(Ok((below, _))) if below < *key => return self.base.next(),
                Some(Ok((below, _))) if below == *key => drop(self.base.next()),
                Some(Ok(_)) | None => {}
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

fn check_key(key: &[u8]) {
    let ordinary = key.first().is_some_and(|first| (1..0xff).contains(first));
    assert!(
        ordinary && key.len() <= limits::KEY_BYTES_MAX,
        "a key of {} bytes",
        key.len()
    );
}
