//! Where the bytes of a message are.

use super::{Hash16, UploadId};

/// A body as a row keeps it: the bytes after the prefix, as they were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Body {
    /// The hash of the bytes.
    pub hash: Hash16,
    /// How many bytes.
    pub length: u64,
    /// Where they are.
    pub at: BodyAt,
}

/// Where a body is. Equal on every replica; each maps it to a place in its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodyAt {
    /// It is the body of the log entry that brought it.
    Entry {
        /// The entry's index.
        index: u64,
        /// The entry's term.
        term: u64,
    },
    /// It came in chunks: [`crate::Query::Locate`] lists them.
    Upload(UploadId),
}

/// A body as a command names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NewBody {
    /// The hash of the bytes, made where they came in.
    pub hash: Hash16,
    /// How many bytes.
    pub length: u64,
    /// Where they come from.
    pub source: BodySource,
}

/// Where a new body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodySource {
    /// The bytes ride in the entry of the command.
    Inline,
    /// They came before it, as chunks.
    Upload(UploadId),
}

/// A part of a body: all bytes that ride in one log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// How many bytes.
    pub length: u64,
}
