//! What applies entries, and the words it is spoken to in.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rows::{Fault, Staged};

use super::overlay::Layers;

/// A Raft group: a partition, or the directory.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The directory.
    pub const DIRECTORY: Self = Self(0);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The id of an entry: terms rise with indexes, and together they name one payload (R5).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term of the leader that made the entry.
    pub term: u64,
    /// Its place in the group's log, from 0.
    pub index: u64,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// A group's members as `raft` encodes them, and the entry that made them so, if one did.
pub type Membership = (Option<LogId>, Bytes);

/// A committed entry.
#[derive(Copy, Clone, Debug)]
pub enum Applying<'a> {
    /// Says nothing: the first of a new leader.
    Blank,
    /// A command.
    Command {
        /// Log time in milliseconds, stamped by the leader.
        time_ms: u64,
        /// The encoded command.
        command: &'a Bytes,
        /// Bytes of the body that rides in the entry; 0 for none.
        body_length: u64,
    },
    /// New members.
    Membership(&'a Bytes),
}

/// The entry in which a command stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Log time in milliseconds, stamped by the leader.
    pub time_ms: u64,
    /// Bytes of the body that rides in it; 0 for none.
    pub body_length: u64,
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The encoded outcome.
    pub outcome: Bytes,
    /// What changed, for those who watch.
    pub hints: Vec<Hint>,
    /// By how many the rows that refer to the bodies of entries became more, or fewer.
    pub references: Vec<(LogId, i64)>,
}

/// Something changed in an account. Never truth: whoever hears it asks.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hint {
    /// The account.
    pub account: u64,
    /// The mailbox; 0 when it concerns the account as a whole.
    pub mailbox: u64,
    /// The change is visible at or above this.
    pub modseq: u64,
    /// Whether a message arrived; of changes on other nodes that is not known.
    pub brings_mail: bool,
}

/// Takes the hints of an entry once it was applied. Called by the thread that applied it, so it
/// does not wait.
pub type Hints = Arc<dyn Fn(GroupId, &[Hint]) + Send + Sync>;

/// A replicated machine.
///
/// The implementer owes M1: the same rows and the same command give the same writes, outcome and
/// hints, on every node and at any time. It decides nothing by what it keeps beside the rows.
pub trait Machine: Send + Sync {
    /// Decides a command and writes what comes of it.
    ///
    /// # Errors
    /// A [`Fault`] if it cannot be decided; it stops the replica, and nothing is written.
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault>;

    /// The rows are others than those that it wrote: the replica was opened, or took a snapshot.
    ///
    /// # Errors
    /// A [`Fault`] if the rows cannot be read; it stops the replica.
    fn loaded(&self, rows: &Layers) -> Result<(), Fault> {
        let _ = rows;
        Ok(())
    }

    /// The log time in milliseconds at which the leader shall propose that time has passed.
    fn next_due(&self, rows: &Layers) -> Option<u64>;

    /// The body that a row refers to, if it does.
    ///
    /// # Errors
    /// A [`Fault`] if this is no row of this machine.
    fn referred(&self, key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
        let _ = (key, value);
        Ok(None)
    }
}

/// The body of an entry that a row refers to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Referred {
    /// The entry.
    pub id: LogId,
    /// Bytes of its body.
    pub length: u64,
    /// The first 16 bytes of the BLAKE3 hash of the body, where the row tells it.
    pub hash: Option<[u8; 16]>,
    /// What its row belongs to: bodies of one home are read together. `None` where nothing says it.
    pub home: Option<u128>,
}
