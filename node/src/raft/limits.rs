//! Bounds of this folder, each with its unit and its reason.

use std::time::Duration;

/// Bytes of entries that a group keeps in memory after they were written, for followers that are a
/// little behind.
pub const RECENT_BYTES_MAX: usize = 2 << 20;

/// The same where the groups of the node together keep more than their share of its memory: what a
/// busy group then still gets.
pub const RECENT_BYTES_MIN: usize = 64 << 10;

/// Bytes of entries that one read for a follower returns: what one request then carries.
pub const READ_BYTES_MAX: usize = 1 << 20;

/// A larger body, in bytes, is not taken into memory with its entry but read when it is sent.
pub const BODY_INLINE_MAX: usize = 16 << 10;

/// Bytes of a command or a body up to which it is copied out of the frame that it came in, which
/// may have some MiB: an entry may be held for long, and would hold all of that.
pub const UNPINNED_BYTES_MAX: usize = 256 << 10;

/// Append requests of one group on their way to one follower; openraft buffers as many.
pub const PIPELINE_MAX: usize = 64;

/// Requests that wait for one connection to a peer.
pub const LINK_QUEUE_MAX: usize = 4096;

/// Bytes that one frame carries, give or take one request: small enough for a heartbeat to pass
/// between two.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes of the largest entry, as the log keeps it: a command with its body. More than mail needs,
/// which is 3 MiB for an APPEND of 500 messages with all keywords that they may have. Less than a
/// record of the log takes, and than a frame to a peer has room for beside what else is in it: an
/// entry that one of them refused could not be appended, or never be sent.
pub const ENTRY_BYTES_MAX: usize = (4 << 20) - (64 << 10);

const _: () = {
    assert!(ENTRY_BYTES_MAX < seglog::limits::RECORD_BYTES_MAX_DEFAULT as usize);
    // A frame that is not full, and a request that is not, and then this entry.
    assert!(FRAME_BYTES_MAX + READ_BYTES_MAX + ENTRY_BYTES_MAX < MESSAGE_BYTES_MAX - (1 << 20));
};

/// Requests or replies that one frame carries.
pub const FRAME_REQUESTS_MAX: usize = 256;

/// Bytes of the largest message that a peer may send: see [`ENTRY_BYTES_MAX`].
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// How long a reply to an append may take before the follower counts as unreachable; longer than a
/// disk that stalls.
pub const REPLY_WAIT: Duration = Duration::from_secs(5);

/// How long heartbeats of several groups wait for each other, to travel in one frame.
pub const HEARTBEAT_MERGE: Duration = Duration::from_millis(5);

/// How long the word that entries are committed waits for more entries, where these follow each
/// other as fast: a client that waits for each of its commands sends the next one sooner.
pub const COMMIT_HOLD: Duration = Duration::from_millis(4);

/// How long a proposal is tried again while this replica leads but may not append yet.
pub const PROPOSE_RETRY: Duration = Duration::from_millis(500);

/// Pause between two such tries.
pub const PROPOSE_PAUSE: Duration = Duration::from_millis(5);

/// How long a round of reading waits for answers that openraft did not: its heartbeats are out by
/// then, or the next round sends others.
pub const CONFIRM_WAIT: Duration = Duration::from_millis(500);

/// Reads that one read index may serve.
pub const READ_BATCH_MAX: usize = 1024;

/// Bytes that must be free in the log's queue for more entries to be let in: what may be on its way
/// there from all groups while one of them looks.
pub const QUEUE_ROOM_BYTES: u64 = 64 << 20;

/// Bytes of bodies in one frame, give or take one.
pub const BODIES_FRAME_BYTES: usize = 1 << 20;

/// How long a snapshot's stream may be silent before it counts as broken: longer than it takes to
/// install a large one.
pub const SNAPSHOT_SILENCE_MAX: Duration = Duration::from_secs(120);

/// What may pass a throttle before it slows anybody down: short, so that the rate is kept within a
/// second, and longer than a sleep is late.
pub const THROTTLE_BURST: Duration = Duration::from_millis(20);

/// How often a throttle looks whether it must give way: often enough that a burst of mail waits for
/// little bulk, and long enough for a few commands to have ended since.
pub const THROTTLE_LOOK: Duration = Duration::from_millis(100);

/// Bytes a second that bulk has even while mail is slow: whoever is behind must come up some time.
pub const BULK_RATE_MIN: u64 = 4 << 20;

/// Durations of commands that say what is usual on this node: enough for nine of ten to mean
/// something.
pub const COMMITS_KEPT: usize = 256;

/// How far back it is looked at how long commands take now.
pub const COMMITS_LATELY: Duration = Duration::from_millis(500);

/// Durations that are looked at then, at most; a busy node has thousands.
pub const COMMITS_LATELY_MAX: usize = 64;

/// Fewer say nothing.
pub const COMMITS_LATELY_MIN: usize = 4;

/// After so long without bulk what commands take is usual again.
pub const BULK_QUIET: Duration = Duration::from_secs(1);

/// How often the log says how far a snapshot has come.
pub const TRANSFER_TOLD_EVERY: Duration = Duration::from_secs(10);

/// How long a leader offers the same checkpoint to a follower that lost the stream. So long no
/// entry above it is purged.
pub const OFFER_KEPT: Duration = Duration::from_secs(5);

/// How long what came of a snapshot is kept for the next stream: several elections and a restart of
/// the leader. So long nothing of the receiver's log is freed.
pub const ARRIVAL_KEPT: Duration = Duration::from_secs(300);

/// Bytes of entries below which a busy group is not purged, or what it may keep if that is less:
/// each purge costs a checkpoint.
pub const PURGE_BYTES_MIN: u64 = 1 << 20;

/// How long a follower that is not heard from counts as one that comes back and goes on: a reboot.
/// Until then it holds back what is purged, up to its bytes; after that it gets a checkpoint.
pub const FOLLOWER_LOST: Duration = Duration::from_secs(600);

/// Entries below the checkpoint that are not purged, at most: each costs about 80 bytes of memory.
pub const LOG_KEPT_ENTRIES: usize = 8192;

/// A node whose log has less room than this part of the reserve (one over this number) takes no
/// entries: the rest is for votes, checkpoints and cleaning, without which no room would be won.
pub const ENTRIES_RESERVE_PART: u64 = 4;

/// How long a node is believed to be as it said: three times the pause between two such words.
pub const CONDITION_FRESH: Duration = Duration::from_secs(3);

/// Syncs of the log whose median is how fast its disk is: a few seconds under load, and few enough
/// that a disk that became slow is known after so many.
pub const SYNCS_KEPT: usize = 32;

/// A disk that syncs faster is never called slow: elections and clients do not feel it.
pub const SLOW_SYNC: Duration = Duration::from_millis(20);

/// A sync that has not ended for so long counts before it ends: the disk hangs. Shorter ones may be
/// those of a busy machine.
pub const HANGING_SYNC: Duration = Duration::from_secs(1);

/// So many times slower than that of a follower a leader's disk must be for it to hand over.
pub const SLOW_SYNC_RATIO: u32 = 5;

/// A disk that syncs faster than this may lead; slower ones only if they are not so many times
/// slower as the next says. Both below those of handing over, so that the lead does not go to and
/// fro.
pub const STEADY_SYNC: Duration = Duration::from_millis(10);

/// See [`STEADY_SYNC`].
pub const STEADY_SYNC_RATIO: u32 = 2;

/// Milliseconds that a clock may be off the median before its node shall not lead: far more than
/// clocks differ that somebody looks after, and little beside what expires by log time.
pub const CLOCK_OFF_MAX_MS: u64 = 5_000;
/// How long apply waits for a damaged entry to be mended before its group is started anew; longer
/// than it takes to ask every other replica.
pub const MEND_WAIT: Duration = Duration::from_secs(30);

/// Between two looks whether an entry is mended.
pub const MEND_PAUSE: Duration = Duration::from_millis(100);

/// How long another node may take to accept a connection on which good copies are fetched.
pub const FETCH_DIAL_WAIT: Duration = Duration::from_secs(3);

/// How long it may be silent then: longer than it takes to make a checkpoint of a busy replica.
pub const FETCH_SILENCE_MAX: Duration = Duration::from_secs(20);

/// How often a replica of which the index failed is brought back before the process ends, for the
/// next one to begin with an empty index.
pub const HEAL_TRIES: u32 = 8;

/// A group that has run for so long runs well: what stops it then is something new, and the tries
/// before do not count. Longer than one takes to meet again what stopped it before.
pub const STEADY_AFTER: Duration = Duration::from_secs(60);

/// The pause before a group that stopped is started again; as much more each time it does not last.
pub const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// So many times [`RESTART_PAUSE`] is the longest pause: an operator who mends something sees it.
pub const RESTART_PAUSES_MAX: u32 = 50;

/// Between two looks whether a replica has met a fault.
pub const FAULT_LOOK: Duration = Duration::from_millis(500);

/// Between two tries to bring a damaged replica back.
pub const HEAL_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks at which entries can be purged.
pub const PURGE_EVERY: Duration = Duration::from_secs(5);
