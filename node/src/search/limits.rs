//! Bounds of this folder, each with its unit and its reason.

use std::time::Duration;

/// Bytes of a file of the index between two checksums. What is asked of it is read in whole blocks,
/// so they are small beside a list of messages and large beside a checksum.
pub const BLOCK_BYTES: usize = 16 << 10;

/// Bytes of what is indexed and not written yet, at most: the least that the library takes.
pub const WRITER_BYTES: usize = 15 << 20;

/// Trigrams of messages that are handed to the library before it writes them: what waits in its
/// queue is 16 bytes each, so at most 16 MiB, and nearly nothing where it keeps up.
pub const GRAMS_PER_COMMIT: usize = 1 << 20;

/// Messages of one mailbox that are taken out of the index in one go.
pub const REMOVED_AT_ONCE: u64 = 1000;

/// Trigrams of one text that are looked up, those that the fewest messages have: a few of them tell
/// nearly as much as all, and each costs reading the list of its messages.
pub const GRAMS_ASKED_MAX: usize = 6;

/// How long a message waits until it is indexed, unless many do. Every commit costs some ten syncs
/// of the disk, whereas reading the messages of ten seconds costs a search next to nothing.
pub const COMMIT_EVERY: Duration = Duration::from_secs(10);

/// Bytes of mail a second that are read to be indexed: a part of what a plain disk gives, and less
/// than a core can take apart.
pub const READ_BYTES_PER_SECOND: u64 = 16 << 20;

/// Bytes of a body that are read at once; so much of one message is held.
pub const PIECE_BYTES: u64 = 1 << 20;

/// Rows of messages that are read at once, between two looks of others at the rows.
pub const PAGE_MESSAGES: u32 = 100;

/// Mailboxes that are indexed, at most: what is remembered of each takes about 100 bytes. Others
/// are searched by reading.
pub const MAILBOXES_MAX: usize = 100_000;

/// Mailboxes that a sweep looks at before those that changed have their turn.
pub const MAILBOXES_PER_STEP: usize = 64;

/// How often all mailboxes of the index are looked at: for messages that could not be read before,
/// and to take out those that are gone.
pub const SWEEP_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// Messages of a mailbox that are gone are taken out of the index once they are one over so many of
/// those that are there: they only cost room.
pub const GONE_PART: u64 = 4;

/// How long the indexer rests after a failure: of the disk, or of the index, which is then made
/// anew.
pub const FAILURE_PAUSE: Duration = Duration::from_secs(10);
