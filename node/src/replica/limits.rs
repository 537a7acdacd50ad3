//! Bounds of this folder, each with its unit and its reason.

use std::time::Duration;

/// Bytes of rows, with their bookkeeping, that a replica holds in memory above its index, unless
/// the configuration says otherwise: about 30,000 rows, a second of heavy deliveries. Beyond it
/// apply waits for the checkpoint; also when those of all replicas together are over their share of
/// the node's memory.
pub const OVERLAY_BYTES_MAX_DEFAULT: usize = 8 << 20;

/// Bytes that a row in the overlay costs beside its key and its value: two handles, its part of a
/// map's node, and what the allocator rounds up.
pub const OVERLAY_ROW_BYTES: usize = 128;

/// Bytes of the rows of a checkpoint that stay in memory after it, to be read there: those of a
/// busy second. With 17 groups at most 34 MiB.
pub const RECENT_BYTES_MAX: usize = 2 << 20;

/// Bytes of rows after which a record of a run is closed. A merge holds one record of each run, so
/// this times [`RUNS_MAX`] bounds its memory: 64 MiB.
pub const RECORD_BYTES: usize = 64 << 10;

/// Runs of rows since the base after which the base is merged anew whatever their size: bounds the
/// memory of a merge, and the work of an open.
pub const RUNS_MAX: usize = 1024;

/// Bytes of rows since the base below which it is not merged anew: a small base is not written
/// again for every few rows.
pub const MERGE_BYTES_MIN: u64 = 4 << 20;

/// Bytes of a base that one step of its merge writes: bounds how long the checkpoints of other
/// groups wait for it (some 50 ms), and what a merge holds of the log's queue.
pub const MERGE_STEP_BYTES: usize = 4 << 20;

/// Bytes of rows put into the index after which it is flushed. What a crash takes from it is put
/// again from the log, so this bounds that work and spares the disk a sync for each checkpoint.
pub const INDEX_FLUSH_BYTES: usize = 4 << 20;

/// Bytes of index pages that are kept in memory, for all replicas of a node together.
pub const INDEX_CACHE_BYTES: u64 = 32 << 20;

/// Bytes in the queue of the log beyond which rows wait: a quarter of what it takes by default, so
/// that checkpoints of all groups at once leave room for entries.
pub const LOG_QUEUED_BYTES_MAX: u64 = 32 << 20;

/// Bytes of room that rows and bases leave in the log: for votes, purges and the notes that free
/// segments, all of them small.
pub const LOG_ROOM_LEFT: u64 = 1 << 20;

/// Bytes of a row that says where a body lies, with its bookkeeping in a base.
pub const PLACE_BYTES: u64 = 96;

/// How often a replica that has applied something makes a checkpoint: what an open has to apply
/// again from the log, at most.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How long the checkpointer sleeps before it looks again whether a replica's entries have become
/// durable, of which nothing tells it.
pub const POLL_EVERY: Duration = Duration::from_millis(5);

/// Steps that a checkpoint passes before it reads a record again that could not be read: at
/// [`POLL_EVERY`] as long as it takes for damage to be looked at ([`MEND_EVERY`]).
pub const UNREAD_STEPS: u32 = 40;

/// Bytes of one read of a body. A body of any size is read in pieces of at most this.
pub const BODY_READ_BYTES_MAX: u64 = 4 << 20;

/// Bytes of a record from which on it is held after a part of it was read: smaller ones are read
/// again from the system's cache for less than it costs to keep them.
pub const BODY_CACHED_BYTES_MIN: u64 = 64 << 10;

/// Bodies that a snapshot asks for at a time.
pub const BODIES_WANTED_MAX: usize = 1024;

/// Bytes of bodies that a snapshot asks for at a time, give or take one. It holds twice as many:
/// some are written while the next ones come.
pub const ARRIVED_BYTES_MAX: u64 = 2 << 20;

/// How often the cleaner of the log looks for something to do when it rests.
pub const CLEAN_EVERY: Duration = Duration::from_secs(2);

/// How long the cleaner waits for a checkpoint or the log, of which nothing tells it.
pub const CLEAN_POLL: Duration = Duration::from_millis(20);

/// Bytes of records that the cleaner copies at a time: it delays entries by no more than their
/// sync.
pub const CLEAN_BATCH_BYTES: u64 = 1 << 20;

/// Bytes a second that the cleaner copies: a part of what a plain disk writes, so that mail is
/// written beside it; a disk of 1 TB is cleaned in half a day.
pub const CLEAN_BYTES_PER_SECOND: u64 = 24 << 20;

/// Bodies that are read in one go to verify them.
pub const PROBE_BODIES: u64 = 1024;

/// Bytes of bodies that are read in one go to verify them, give or take one: a second of a plain
/// disk.
pub const PROBE_BYTES: u64 = 64 << 20;

/// Damaged bodies that a replica remembers until they are mended; each takes about 50 bytes. What
/// is beyond it is found again, by the next read or scrub.
pub const WOUNDS_MAX: usize = 65_536;

/// Damaged entries that are looked at and asked for at a time.
pub const MEND_BATCH: usize = 256;

/// Bytes of bodies that are asked for at a time, give or take one: what mending holds of them.
pub const MEND_BATCH_BYTES: u64 = 4 << 20;

/// How often damage that was found is mended: reads go to other replicas until then.
pub const MEND_EVERY: Duration = Duration::from_millis(200);

/// Stretches of the log that were found damaged before all replicas were open, at most. Beyond it
/// the scrubber finds them.
pub const SUSPECTS_MAX: usize = 65_536;

/// Rows that a scan of the index in memory takes at a time, between two looks at its lock.
pub const MEMORY_SCAN_ROWS: usize = 64;

/// The bounds that a node's configuration, or a test, may set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of rows in memory, of each replica, beyond which apply waits.
    pub overlay_bytes_max: usize,
    /// Bytes of rows since the base below which it is not merged anew.
    pub merge_bytes_min: u64,
    /// Bytes of a base that one step of its merge writes.
    pub merge_step_bytes: usize,
    /// Bytes of rows put into the index after which it is flushed.
    pub index_flush_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            overlay_bytes_max: OVERLAY_BYTES_MAX_DEFAULT,
            merge_bytes_min: MERGE_BYTES_MIN,
            merge_step_bytes: MERGE_STEP_BYTES,
            index_flush_bytes: INDEX_FLUSH_BYTES,
        }
    }
}
