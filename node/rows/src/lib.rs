//! The rows under a replicated machine: how a machine reads and writes them, and how replicas
//! prove to each other that they hold the same ones.
//!
//! A machine (`mailbox` for a partition, `directory` for group 0) keeps all that it knows in rows:
//! ordered pairs of bytes. It never sees where they live. In a node they are an overlay in memory
//! over an index on disk; in a test they are a [`Memory`].
//!
//! ```text
//!   entry --> machine::apply --> Staged --into_writes--> Writes --> overlay, checkpoint, index
//!                 |   ^             |                      |
//!                 v   |  get, scan  v                      +-- the digest row is one of them
//!               outcome           Rows (what was committed before)
//! ```
//!
//! A [`Staged`] collects the writes of one entry, or of a few applied in one go, and answers reads
//! as if they were done. Nothing is written before [`Staged::into_writes`]: an entry that ends in a
//! [`Fault`] leaves no trace.
//!
//! **The digest.** Every row has a hash, and the [`Digest`] is their sum. It is kept by adding and
//! taking away what an entry changed, so its price does not depend on how much mail there is, and
//! its value does not depend on the order of writes. It is itself a row ([`DIGEST_KEY`], the only
//! one outside the sum), so it becomes durable together with the rows it speaks of.
//!
//! Invariants (the ids are those of the design):
//!
//! * M1: equal rows and equal writes give equal rows and an equal digest, whatever lies beneath.
//! * The kept digest equals the counted one ([`Digest::kept`], [`Digest::counted`]); where it does
//!   not, the rows are not to be trusted.
//! * Keys are 1 to [`limits::KEY_BYTES_MAX`] bytes and sort below [`END`]; those that start with a
//!   zero byte belong to this crate.
//! * [`Writes`] are in key order, each key once, and none of them is idle: a write that changes
//!   nothing is left out.
//!
//! What it does not do: it touches no disk, gives no meaning to a key, and has no transactions
//! beyond the one entry.
//!
//! Read on: [`Rows`] for what a store owes, [`Staged`] for what a machine uses, [`snapshot`] for
//! how all rows travel to another replica.

mod digest;
mod fault;
pub mod limits;
mod memory;
pub mod snapshot;
mod staged;

use bytes::Bytes;

pub use digest::{DIGEST_KEY, Digest};
pub use fault::Fault;
pub use memory::Memory;
pub use staged::{Staged, Writes};

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// An ordered walk over rows; ends at the first error.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<Row, Fault>> + 'a>;

/// Sorts above every key, so that `scan(from, END)` goes to the last row.
pub const END: &[u8] = &[0xff];

/// Rows that can be read.
///
/// An implementer owes: byte order of keys; answers that do not change while it is borrowed; a
/// [`Fault`] for what it could not read, never a missing row in its place.
pub trait Rows {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`Fault::Store`] if it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault>;

    /// The rows with `from <= key < to`, in ascending order; none if `from >= to`.
    ///
    /// # Errors
    /// [`Fault::Store`], here or from the walk, if they cannot be read.
    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault>;

    /// The row with the greatest key in `from <= key < to`, found without walking the range.
    ///
    /// # Errors
    /// [`Fault::Store`] if it cannot be read.
    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault>;
}

impl<R: Rows + ?Sized> Rows for &R {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        (**self).get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        (**self).scan(from, to)
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        (**self).last(from, to)
    }
}

/// The first key after all those that start with `prefix`; [`END`] if the prefix is empty.
///
/// A prefix of a key never consists of 0xff alone, since keys sort below [`END`].
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    END.to_vec()
}
