//! Every bound of this crate, with unit and reason.

/// Default size of a segment, bytes: large enough that the three syncs of a new segment do not
/// show, small enough that cleaning one is a short piece of work.
pub const SEGMENT_BYTES_DEFAULT: u32 = 64 << 20;

/// Smallest segment, bytes: room for the block, a few records and the index. For tests.
pub const SEGMENT_BYTES_MIN: u32 = 4 << 10;

/// Largest segment, bytes: the last segment is read whole at open.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// Default for the largest payload of a record, bytes: entries stay near 1 MiB by design.
pub const RECORD_BYTES_MAX_DEFAULT: u32 = 4 << 20;

/// A payload may take at most this part of a segment, so that rolling over wastes little and a
/// record always fits beside the state and the index.
pub const RECORD_SEGMENT_PART_MAX: u32 = 4;

/// Default bound of the queue, bytes of payload in memory: about a second of a fast disk.
pub const QUEUE_BYTES_MAX_DEFAULT: u64 = 128 << 20;

/// Largest payload of a vote or commit, bytes: they are repeated in the block of every segment.
pub const MARK_BYTES_MAX: u32 = 1 << 10;

/// Spare segments kept ready when the options do not say.
pub const SPARE_SEGMENTS_DEFAULT: usize = 1;

/// Most spare segments: a bound on disk space that holds nothing.
pub const SPARE_SEGMENTS_MAX: usize = 64;

/// Spare segments beyond the wanted ones that are taken from what is freed. The cleaner frees
/// several at a time ([`SETTLING_SEGMENTS_MAX`], and those of which nothing is needed), so with
/// twice as many a log that does not grow fills none: a byte of mail is not written once more as
/// a zero. 1 GiB at the default size, which counts as room.
pub const RECYCLED_SEGMENTS_MAX: usize = 2 * SETTLING_SEGMENTS_MAX;

/// A segment is cleaned if this part of its file would be won (one over this number): dead
/// records, or room that was never filled because a crash sealed the segment early. With half of
/// it no more is copied than is won, however mail dies; at an eighth each byte that lives on was
/// copied more than three times while half of the mail was deleted at random (measured).
pub const CLEAN_WIN_PART: u64 = 2;

/// The same where room is short: what is copied once more is less trouble than a full disk. Large
/// enough that copying wins more than it writes in blocks and notes.
pub const CLEAN_WIN_PART_SHORT: u64 = 8;

/// Room is short when the log could not grow by this part of itself (one over this number) and
/// still have the reserve.
pub const CLEAN_GROWTH_PART: u64 = 4;

/// A cleaner copies only if this part of a segment (one over this number) stays free behind the
/// copies, for votes, marks and checkpoints, without which nothing could be freed.
pub const CLEAN_ROOM_PART: u64 = 8;

/// Looks for a segment to clean that pass before one is tried again that the disk did not read: a
/// disk that hangs for a moment, or a process that has too many files open, takes nothing out of
/// cleaning for good. Doubled each time it fails again, up to [`CLEAN_UNREAD_LOOKS_MAX`].
pub const CLEAN_UNREAD_LOOKS: u32 = 16;

/// See [`CLEAN_UNREAD_LOOKS`]: what cannot be read for good costs an error each time it is tried.
pub const CLEAN_UNREAD_LOOKS_MAX: u32 = 4096;

/// Segments of which all is copied and that wait for a checkpoint: they take space twice.
pub const SETTLING_SEGMENTS_MAX: usize = 8;

/// Segment files kept open for reading: well below the usual 1,024 descriptors of a process. More
/// only while more are being read.
pub const OPEN_FILES_MAX: usize = 256;

/// Vectors in one `pwritev` (`IOV_MAX` on Linux).
pub const IOVECS_MAX: usize = 1024;

/// Bytes between syncs while a spare is filled: keeps a burst of dirty pages from stalling the
/// syncs of the active segment.
pub const FILL_SYNC_BYTES: u32 = 8 << 20;
