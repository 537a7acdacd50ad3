//! One segmented append-only log per node, shared by all Raft groups of that node.
//!
//! Everything that a node must not lose goes through here: Raft entries (with the mail bodies in
//! them), votes, marks, and the checkpoints of every partition. Because all groups share one log,
//! one `fdatasync` serves whatever all of them have queued.
//!
//! ```text
//!   append, append        Log (any thread)            Writer (one thread, or a simulation)
//!        \    |    ---->  queue of batches  ---step->  pwritev ... fdatasync ... every Done
//!                                                          |
//!   read(place)  <-------------------------------  segments 1, 2, 3 .. active    spares
//!                                                     |  copies ^              ^
//!   Live  <--- refers? moved, settled? ---  Cleaner --+---------+--- freed ----+
//!
//!   a segment:  [ block: magic, version, number, log id | state of every replica at opening ]
//!               [ header | payload ][ header | payload ] ...      (aligned to 8 bytes)
//!               [ index of the headers ][ trailer ]               (once it is sealed)
//! ```
//!
//! A record is a 56 byte header and a payload that this crate never looks into. The header's
//! checksum also covers the log's id, the segment's number and its own offset, so nothing that an
//! earlier life left in a recycled file, no copy inside a payload and no misdirected write can
//! pass for a record. [`Position`] is where a record was first written (segment and offset), so
//! positions rise strictly over the node's life and decide which of two records is newer; a copy
//! made later by [`Log::append_moved`] keeps the position of the original.
//!
//! Invariants, cited where they are asserted or tested:
//!
//! - **L1** A record whose sync completed survives any crash.
//! - **L2** Only an unsynced tail of the last segment may be cut. Every header says how far the
//!   log was durable when it was written: a bad record below that mark of a later good one is
//!   *damage*, reported and never truncated; the rest is a torn tail. A segment is synced before
//!   the next one gets its name, so only the last one can have a torn tail. A segment with a torn
//!   tail or damage is sealed at its good end and never written again: the next segment's block
//!   says where it ended, so the stale bytes behind are never read as records.
//! - **L3** Sealed segments never change.
//! - **L4** After a failed write or sync the log accepts nothing. An `fsync` is never repeated
//!   (the kernel may have dropped the pages); the process ends, and the next open writes what was
//!   not proven durable once more before it trusts it.
//! - **R4**, as far as it is kept here: a segment is freed only after all of its records to which
//!   somebody refers have durable copies, and nothing durable names a place in it.
//!
//! The known limit: damage confined to the very last batch before a crash looks like a torn tail.
//!
//! A segment is freed by a [`Cleaner`]: it copies what somebody still needs of it into the one
//! stream, waits until nothing durable names a place in it, and writes a note that it is freed.
//! Only then the file goes, or is recycled. The number is never used again.
//!
//! What this crate does not do: no threads, no clock, no runtime, no knowledge of Raft or mail.
//! The cleaner copies records side by side that belong together; there are no segments of their
//! own for the mail of one partition, since each further stream would have a tail to be torn.
//!
//! Read on: `record` for what goes in, `log` for the queue and reads, `writer` for the step that
//! makes it durable, `clean` and `live` for what frees segments, `segment`, `spare` and `files` for
//! the files, `format` for the bytes, `state` for what each segment repeats, `recover`, `source`,
//! `scan` and `replay` for what an open does, [`disk`] and [`sim`] for the two kinds of disk.

mod clean;
pub mod disk;
mod error;
mod files;
mod format;
pub mod limits;
mod live;
mod log;
mod ranges;
mod record;
mod recover;
mod replay;
mod scan;
mod segment;
mod shared;
pub mod sim;
mod source;
mod spare;
mod state;
mod writer;

pub use clean::Cleaner;
pub use error::{Error, Poisoned};
pub use format::FORMAT_VERSION;
pub use live::{Cleaned, Live};
pub use log::{Log, Options, Room, Segment, Stats, open};
pub use record::{
    Done, Kind, Place, Position, Record, RecordAt, ReplicaId, Sync, Written, checksum,
};
pub use recover::{Damage, EntryAt, Records, Recovered, RecoveredReplica, RowsAt, Torn, What};
pub use writer::{Step, Writer};
