//! What can go wrong, by what the caller does next.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// The crate's error.
#[derive(Debug, Error)]
pub enum Error {
    /// The disk refused an operation. At open and in reads: report it. From `Writer::step` it
    /// means that no segment could be made; nothing was written and a later step tries again.
    #[error("{op} {path}: {source}")]
    Io {
        /// The operation, a verb.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the directory open. Do not start.
    #[error("{path} is in use by another process")]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// Written by a newer version of this program. Do not start.
    #[error("the log has format {found}, this program knows up to {known}")]
    NewerFormat {
        /// The format version found.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The files are no segments, or segments of another log. Do not start.
    #[error("{path} is not a segment of this log")]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// No room for another segment. Nothing was written and nothing is lost: free space, then
    /// step again.
    #[error("no space for a new segment in {path}")]
    NoSpace {
        /// The file that could not be filled.
        path: PathBuf,
    },
    /// The bytes at a place are not what was written. Fetch a good copy elsewhere.
    #[error("segment {segment} is damaged at offset {offset}: {what}")]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// The offset of the record's header in the segment file.
        offset: u32,
        /// What does not fit.
        what: &'static str,
    },
    /// The segment was freed: nobody refers to a place in it any more. Who still has one was late,
    /// looks the record's place up again, and reads there.
    #[error("segment {segment} was freed")]
    Freed {
        /// The segment's number.
        segment: u64,
    },
    /// The log has stopped for good. End the process.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// A record, or a vote or commit, is larger than the limit. Refuse the request.
    #[error("{bytes} bytes are more than the {max} allowed")]
    TooLarge {
        /// The size asked for.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The queue holds as many bytes as it may. Try later.
    #[error("{queued} bytes wait to be written, {max} are allowed")]
    Overloaded {
        /// Bytes in the queue.
        queued: u64,
        /// The limit.
        max: u64,
    },
    /// The place lies outside of the segment or log.
    #[error("segment {segment} has no {length} bytes at offset {offset}")]
    OutOfRange {
        /// The segment's number.
        segment: u64,
        /// Offset asked for.
        offset: u32,
        /// Length asked for.
        length: u32,
    },
    /// The call breaks the rules of this crate (options that contradict each other, a kind that
    /// only the log itself writes). A mistake in the program.
    #[error("misuse of the log: {0}")]
    Misuse(&'static str),
}

impl Error {
    /// Tells a full disk from other failures.
    pub(crate) fn io(op: &'static str, path: PathBuf, source: io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { op, path, source },
        }
    }
}

/// The log stopped after a failed write or sync (L4), or its writer is gone.
///
/// Whether the records of a batch that got this are durable is unknown until the next open.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("the log accepts nothing more: {reason}")]
pub struct Poisoned {
    /// The first failure, in words.
    pub reason: Arc<str>,
}
