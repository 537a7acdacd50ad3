//! Another implementation of rows, to hold the machine against: a frozen layer under a young one,
//! as a replica has between two checkpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use rows::{Fault, Row, Rows, Scan, Writes};

#[derive(Default)]
pub struct Layers {
    frozen: BTreeMap<Vec<u8>, Vec<u8>>,
    young: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Layers {
    pub fn put(&mut self, writes: Writes) {
        for (key, value) in writes {
            self.young
                .insert(key.to_vec(), value.map(|value| value.to_vec()));
        }
    }

    /// Moves the young layer into the frozen one.
    pub fn freeze(&mut self) {
        for (key, value) in std::mem::take(&mut self.young) {
            match value {
                Some(value) => self.frozen.insert(key, value),
                None => self.frozen.remove(&key),
            };
        }
    }
}

impl Rows for Layers {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let found = match self.young.get(key) {
            Some(young) => young.as_ref(),
            None => self.frozen.get(key),
        };
        Ok(found.map(|value| Bytes::copy_from_slice(value)))
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        if from >= to {
            return Ok(Box::new(std::iter::empty()));
        }
        let range = from.to_vec()..to.to_vec();
        let mut keys: Vec<&Vec<u8>> = self
            .frozen
            .range(range.clone())
            .map(|(key, _)| key)
            .collect();
        keys.extend(self.young.range(range).map(|(key, _)| key));
        keys.sort();
        keys.dedup();
        let row = |key: &Vec<u8>| -> Result<Option<Row>, Fault> {
            Ok(self
                .get(key)?
                .map(|value| (Bytes::copy_from_slice(key), value)))
        };
        let rows: Vec<Row> = keys
            .into_iter()
            .filter_map(|key| row(key).transpose())
            .collect::<Result<_, _>>()?;
        Ok(Box::new(rows.into_iter().map(Ok)))
    }
    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        self.scan(from, to)?.last().transpose()
    }
}
