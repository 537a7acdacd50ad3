//! All rows as a stream of bounded chunks, and back.
//!
//! A chunk is a `MailRows` of `proto/v1/row.proto`: rows in the order of their keys. The machine's
//! own row has the lowest key, so it is the first of the first chunk, and its digest tells at the
//! end whether all others have arrived as they were.

use bytes::Bytes;
use prost::Message as _;
use proto::v1::{MailMetaRow, MailRow, MailRows};

use crate::check;
use crate::codec::exact;
use crate::event::Fault;
use crate::keys::{self, Key};
use crate::limits;
use crate::query::Digest;
use crate::rows::{Row, RowIter, Rows, decode};
use crate::staged::{RowHasher, digest_of};

/// The chunks of all rows, each of about [`limits::SNAPSHOT_CHUNK_BYTES`] at most. The rows must
/// not change meanwhile.
pub fn chunks<R: Rows>(rows: &R) -> Result<Chunks<'_>, Fault> {
    let (from, to) = keys::everything();
    Ok(Chunks {
        rows: rows.scan(&from, &to)?,
        failed: false,
    })
}

/// See [`chunks`].
pub struct Chunks<'a> {
    rows: RowIter<'a>,
    failed: bool,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Bytes, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut chunk = MailRows::default();
        let mut bytes = 0;
        while bytes < limits::SNAPSHOT_CHUNK_BYTES {
            match self.rows.next() {
                Some(Ok((key, value))) => {
                    bytes += key.len() + value.len();
                    chunk.rows.push(MailRow { key, value });
                }
                Some(Err(fault)) => {
                    self.failed = true;
                    return Some(Err(fault));
                }
                None => break,
            }
        }
        (!chunk.rows.is_empty()).then(|| Ok(chunk.encode_to_vec().into()))
    }
}

/// Takes chunks apart and verifies that together they are a whole machine.
#[derive(Default)]
pub struct Loader {
    last: Bytes,
    meta: MailMetaRow,
    sum: u128,
    hasher: RowHasher,
}

impl Loader {
    /// Expects the first chunk.
    pub fn new() -> Loader {
        Loader::default()
    }

    /// The rows of the next chunk. [`Fault::Bytes`] if it is not one, or does not come after the
    /// chunk before.
    pub fn push(&mut self, chunk: &Bytes) -> Result<Vec<Row>, Fault> {
        let chunk: MailRows = exact(chunk, "a chunk of a snapshot")?;
        let mut rows = Vec::with_capacity(chunk.rows.len());
        for MailRow { key, value } in chunk.rows {
            if key <= self.last {
                return Err(Fault::Bytes("a snapshot's rows in order"));
            }
            if Key::decode(&key)? == Key::Meta {
                self.meta = decode(&key, value.clone())?;
            } else {
                self.sum = self.sum.wrapping_add(self.hasher.hash(&key, &value));
            }
            self.last = key.clone();
            rows.push((key, value));
        }
        Ok(rows)
    }

    /// There are no more chunks: the digest of the machine, or [`Fault::Broken`] if its rows are
    /// not those that the digest was made of.
    pub fn finish(self) -> Result<Digest, Fault> {
        if digest_of(&self.meta)? != self.sum {
            return Err(Fault::Broken(
                "a snapshot's rows do not add up to its digest".into(),
            ));
        }
        check::digest(&self.meta)
    }
}
