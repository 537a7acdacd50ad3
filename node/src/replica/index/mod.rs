//! The index: rows by key, on disk, and never to be trusted without proof.
//!
//! There is one implementation over sled, and one over an ordered map for tests and for the
//! simulation of a whole node; a test holds them equal. Either may lose what was put since the last
//! flush, or come back with rows that nobody put there: whoever opens an index compares all of its
//! rows with the digest of a checkpoint (`open`).
//!
//! A replica has one index at a time. Another one is filled beside it when the rows come from
//! elsewhere, from a snapshot or from the log, and takes its place when it is whole.

mod memory;
mod tree;

use std::sync::Arc;

use bytes::Bytes;
use rows::{Fault, Rows};
use seglog::ReplicaId;

pub use memory::{MemoryIndex, MemoryIndexes};
pub use tree::{SledIndex, SledIndexes};

use super::machine::LogId;

/// A row as it is to be: its key, and its value unless it is removed.
pub type Change = (Bytes, Option<Bytes>);

/// The rows of one replica.
///
/// The implementer owes, beyond [`Rows`]: scans that pass over rows while others are put, without
/// losing any that stay; a [`Fault::Store`] for whatever it could not do, never a panic.
pub trait Index: Rows + Send + Sync {
    /// Puts and removes rows, whose keys are in ascending order, one by one: readers go on.
    ///
    /// # Errors
    /// The fault of `changes`, or [`Fault::Store`]; some of the changes may have been made.
    fn put_sorted(
        &self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), Fault>;

    /// The checkpoint that the index says it holds; `None` while it is being filled.
    ///
    /// # Errors
    /// [`Fault::Store`].
    fn applied(&self) -> Result<Option<LogId>, Fault>;

    /// Says which checkpoint the index holds, once all of its rows were put.
    ///
    /// # Errors
    /// [`Fault::Store`].
    fn set_applied(&self, applied: LogId) -> Result<(), Fault>;

    /// Makes durable what was put.
    ///
    /// # Errors
    /// [`Fault::Store`].
    fn flush(&self) -> Result<(), Fault>;

    /// What it is called in messages, and by [`Indexes::discard`].
    fn name(&self) -> &str;
}

/// The indexes of a node.
pub trait Indexes: Send + Sync {
    /// Those that there are of a replica, newest first; more than one if a crash came between
    /// filling one and discarding the other.
    ///
    /// # Errors
    /// [`Fault::Store`].
    fn of(&self, replica: ReplicaId) -> Result<Vec<Arc<dyn Index>>, Fault>;

    /// A new, empty one, beside those that there are.
    ///
    /// # Errors
    /// [`Fault::Store`].
    fn fresh(&self, replica: ReplicaId) -> Result<Arc<dyn Index>, Fault>;

    /// Frees an index that is no longer used.
    ///
    /// # Errors
    /// [`Fault::Store`].
    fn discard(&self, index: &dyn Index) -> Result<(), Fault>;

    /// Whether the last run of this node ended in doubt about its indexes, so that they were put
    /// aside: said when they are built again.
    fn put_aside(&self) -> Option<&str> {
        None
    }
}

/// Names sort by replica and then by age.
fn name_of(replica: ReplicaId, number: u64) -> String {
    format!("{:016x}-{number:016x}", replica.0)
}

/// The replica and the number in a name.
fn parse_name(name: &str) -> Option<(ReplicaId, u64)> {
    let (replica, number) = name.split_once('-')?;
    let parsed = (
        ReplicaId(u64::from_str_radix(replica, 16).ok()?),
        u64::from_str_radix(number, 16).ok()?,
    );
    (name_of(parsed.0, parsed.1) == name).then_some(parsed)
}
