//! What goes into the log and what comes back.

use std::fmt;

use bytes::Bytes;

use crate::error::Poisoned;
use crate::format;

/// A replica of a Raft group on this node. Given out by the directory, never used twice (R5).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct ReplicaId(pub u64);

/// Where a record was first written: segment number in the upper, offset of the header in the
/// lower 32 bits. Rises strictly over the node's life and survives moves, so it tells which of
/// two records is newer.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Position(pub u64);

impl Position {
    /// The position of a record whose header stands at `offset` of `segment`.
    #[must_use]
    pub const fn new(segment: u64, offset: u32) -> Self {
        Self(segment << 32 | offset as u64)
    }

    /// The segment in which the record was first written.
    #[must_use]
    pub const fn segment(self) -> u64 {
        self.0 >> 32
    }

    /// The offset of its header there.
    #[must_use]
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset())
    }
}

/// Where the payload of a record stands now. Changes when the record is moved.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Place {
    /// The segment's number.
    pub segment: u64,
    /// Offset of the payload's first byte in the segment file.
    pub offset: u32,
    /// Bytes of payload.
    pub length: u32,
}

impl Place {
    /// Bytes that the record takes in its segment: header, payload and padding. The unit of
    /// [`Cleaner::step`](crate::Cleaner::step)'s live bytes.
    #[must_use]
    pub const fn record_bytes(&self) -> u64 {
        format::record_bytes(self.length) as u64
    }

    /// Where the record begins in its segment: its header.
    #[must_use]
    pub const fn record_offset(&self) -> u32 {
        self.offset.saturating_sub(format::HEADER_BYTES)
    }
}

/// What a record says. The numbers are on disk and never change.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A Raft entry, `term` and `index` are its log id. Indexes rise by one; an entry at an index
    /// that is already there forgets that one and all behind it, as a `Truncate` would.
    Entry = 1,
    /// The vote of a replica; the payload is opaque, the newest wins. At most
    /// [`MARK_BYTES_MAX`](crate::limits::MARK_BYTES_MAX).
    Vote = 2,
    /// All entries of the replica with `index` or above are forgotten; the index may be used
    /// again by later entries.
    Truncate = 3,
    /// Entries up to and including `term`, `index` are no longer listed. Bytes stay.
    Purge = 4,
    /// How far the replica's log is committed; `term`, `index` and an opaque payload, the newest
    /// wins. At most [`MARK_BYTES_MAX`](crate::limits::MARK_BYTES_MAX).
    Commit = 5,
    /// Rows of a checkpoint. All records of one checkpoint carry the same `term` and `index` (the
    /// applied log id, which never goes back), the first one has `first` set and the last one
    /// `last`: a run without both never happened.
    Rows = 6,
    /// All rows of a replica as one sorted run, of one or more records like `Rows`. Once the one
    /// with `last` is there, the run replaces earlier bases, and the rows before it whose `index`
    /// is not above the run's. A run that was given up may be begun again at the same log id: what
    /// was written of it before does not count.
    Base = 7,
    /// On disk only: a copy of another record, which keeps its position; the header's flags hold
    /// the original kind. Made by [`Log::append_moved`](crate::Log::append_moved).
    Moved = 8,
    /// The life of a replica ends: nothing of it is needed any more.
    ReplicaEnd = 9,
    /// Fills space. Never listed.
    Pad = 10,
    /// On disk only: the segment with the number `index` is no more, whether or not there is still
    /// a file of its name. Made by [`Cleaner`](crate::Cleaner); of no replica.
    Freed = 11,
    /// The body of an entry that this log never had, brought from another replica; `term` and
    /// `index` are the entry's. An open does not list it: who appended it knows its place.
    Body = 12,
}

impl Kind {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Entry,
            2 => Self::Vote,
            3 => Self::Truncate,
            4 => Self::Purge,
            5 => Self::Commit,
            6 => Self::Rows,
            7 => Self::Base,
            8 => Self::Moved,
            9 => Self::ReplicaEnd,
            10 => Self::Pad,
            11 => Self::Freed,
            12 => Self::Body,
            _ => return None,
        })
    }
}

/// One record to append.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Record {
    /// Whose record it is.
    pub replica: ReplicaId,
    /// What it says.
    pub kind: Kind,
    /// Term of the log id, 0 where the kind has none.
    pub term: u64,
    /// Index of the log id, 0 where the kind has none.
    pub index: u64,
    /// Begins a run of `Rows` or `Base`; of no meaning for other kinds.
    pub first: bool,
    /// Ends a run of `Rows` or `Base`; of no meaning for other kinds.
    pub last: bool,
    /// The payload, written one piece after the other without a copy. May be empty.
    pub payload: Vec<Bytes>,
}

impl Record {
    /// A Raft entry.
    #[must_use]
    pub fn entry(replica: ReplicaId, term: u64, index: u64, payload: Vec<Bytes>) -> Self {
        Self {
            replica,
            kind: Kind::Entry,
            term,
            index,
            first: false,
            last: false,
            payload,
        }
    }

    /// A vote, opaque.
    #[must_use]
    pub fn vote(replica: ReplicaId, vote: Bytes) -> Self {
        Self {
            replica,
            kind: Kind::Vote,
            term: 0,
            index: 0,
            first: false,
            last: false,
            payload: vec![vote],
        }
    }

    /// A commit mark with an opaque payload.
    #[must_use]
    pub fn commit(replica: ReplicaId, term: u64, index: u64, payload: Bytes) -> Self {
        Self {
            replica,
            kind: Kind::Commit,
            term,
            index,
            first: false,
            last: false,
            payload: vec![payload],
        }
    }

    /// Forgets the entries from index `from` on.
    #[must_use]
    pub fn truncate(replica: ReplicaId, from: u64) -> Self {
        Self::mark(replica, Kind::Truncate, 0, from)
    }

    /// No longer lists the entries up to and including this log id.
    #[must_use]
    pub fn purge(replica: ReplicaId, term: u64, index: u64) -> Self {
        Self::mark(replica, Kind::Purge, term, index)
    }

    /// Rows of the checkpoint at this applied log id; `ends` says whether it is the first one of
    /// the run, and whether the last.
    #[must_use]
    pub fn rows(
        replica: ReplicaId,
        at: (u64, u64),
        ends: (bool, bool),
        payload: Vec<Bytes>,
    ) -> Self {
        Self::run(Kind::Rows, replica, at, ends, payload)
    }

    /// A part of the sorted run of all rows at this applied log id; `ends` says whether it is the
    /// first one, and whether the last.
    #[must_use]
    pub fn base(
        replica: ReplicaId,
        at: (u64, u64),
        ends: (bool, bool),
        payload: Vec<Bytes>,
    ) -> Self {
        Self::run(Kind::Base, replica, at, ends, payload)
    }

    fn run(
        kind: Kind,
        replica: ReplicaId,
        (term, index): (u64, u64),
        (first, last): (bool, bool),
        payload: Vec<Bytes>,
    ) -> Self {
        Self {
            replica,
            kind,
            term,
            index,
            first,
            last,
            payload,
        }
    }

    /// The body of an entry, from another replica.
    #[must_use]
    pub fn body(replica: ReplicaId, id: (u64, u64), payload: Vec<Bytes>) -> Self {
        Self {
            replica,
            kind: Kind::Body,
            term: id.0,
            index: id.1,
            first: false,
            last: false,
            payload,
        }
    }

    /// Ends the life of a replica.
    #[must_use]
    pub fn end(replica: ReplicaId) -> Self {
        Self::mark(replica, Kind::ReplicaEnd, 0, 0)
    }

    /// The segment of this number is no more.
    pub(crate) fn freed(segment: u64) -> Self {
        Self::mark(ReplicaId(0), Kind::Freed, 0, segment)
    }

    fn mark(replica: ReplicaId, kind: Kind, term: u64, index: u64) -> Self {
        Self {
            replica,
            kind,
            term,
            index,
            first: false,
            last: false,
            payload: Vec::new(),
        }
    }
}

/// Where a record went.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Written {
    /// Where it was first written.
    pub position: Position,
    /// Where its payload is.
    pub place: Place,
    /// CRC-32C of the payload, equal on all nodes.
    pub checksum: u32,
}

/// A record that the log holds, and where it is now.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct RecordAt {
    /// Whose it is.
    pub replica: ReplicaId,
    /// What it says; for a moved copy what the original said.
    pub kind: Kind,
    /// Term of its log id.
    pub term: u64,
    /// Index of its log id.
    pub index: u64,
    /// Begins a run of `Rows` or `Base`.
    pub first: bool,
    /// Ends a run of `Rows` or `Base`.
    pub last: bool,
    /// Where it was first written.
    pub position: Position,
    /// Where its payload is.
    pub place: Place,
    /// CRC-32C of its payload.
    pub checksum: u32,
    /// This is a copy that was made later.
    pub moved: bool,
}

/// The checksum that a record with this payload has, in parts.
#[must_use]
pub fn checksum(payload: &[Bytes]) -> u32 {
    payload
        .iter()
        .fold(0, |sum, part| crc32c::crc32c_append(sum, part))
}

/// When a batch is done.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Sync {
    /// When it is durable, with everything that was queued before it.
    Required,
    /// When it is written and readable; it becomes durable with the next required sync.
    Lazy,
}

/// Called once from [`Writer::step`](crate::Writer::step), in the order of the appends, with one
/// [`Written`] per record in the order of the records. Must be quick: the log waits for it.
pub type Done = Box<dyn FnOnce(Result<Vec<Written>, Poisoned>) + Send>;
