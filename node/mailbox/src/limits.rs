//! Every bound of the machine, with its unit and reason.
//!
//! They are part of the replicated behaviour: two replicas with different limits would come to
//! different rows. A limit therefore changes with the feature level, not with a configuration.

/// Messages that one command touches at most: a longer one would stop its group for too long.
pub const MESSAGES_PER_COMMAND_MAX: usize = 10_000;

/// Messages that one command appends. All but one came before it as uploads, of which an account
/// may have [`UPLOADS_PER_ACCOUNT_MAX`].
pub const APPEND_MESSAGES_MAX: usize = 500;

/// Moves out of an account that have not ended: a session has one at a time, and what it leaves
/// behind is finished within minutes. Each is a row of some kilobytes, and all go when the account
/// is deleted.
pub const MOVES_PER_ACCOUNT_MAX: usize = 100;

/// Mailboxes of an account: LIST reads them all.
pub const MAILBOXES_MAX: u64 = 10_000;

/// Names of an account: its mailboxes and what is subscribed to without a mailbox.
pub const NAMES_MAX: u64 = 20_000;

/// Bytes of a mailbox name: it is part of a row's key.
pub const NAME_BYTES_MAX: usize = 1_000;

/// Levels of a mailbox name: CREATE makes missing superior names.
pub const NAME_DEPTH_MAX: usize = 64;

/// Different keywords that a mailbox ever had: a message's row names them by number.
pub const KEYWORDS_PER_MAILBOX_MAX: usize = 500;

/// Keywords of one message: answers about many messages name all of theirs.
pub const KEYWORDS_PER_MESSAGE_MAX: usize = 32;

/// Bytes of a keyword.
pub const KEYWORD_BYTES_MAX: usize = 100;

/// Bytes of an annotation's name: it is part of a row's key.
pub const METADATA_NAME_BYTES_MAX: usize = 256;

/// Bytes of an annotation's value: colours and comments, and some clients keep settings there.
pub const METADATA_VALUE_BYTES_MAX: usize = 64 << 10;

/// Annotations of one mailbox, or of an account as a whole, of all users: they are counted and read
/// at once.
pub const METADATA_ENTRIES_MAX: usize = 100;

/// What all annotations of an account weigh: their names and values, and
/// [`METADATA_ROW_BYTES`] for each. LIST may ask for all of them.
pub const METADATA_BYTES_PER_ACCOUNT_MAX: u64 = 1 << 20;

/// What a row of an annotation costs beside its name and value.
pub const METADATA_ROW_BYTES: u64 = 64;

/// Users who have rights on one mailbox: all are read to decide, and copied to each mailbox that is
/// made below it.
pub const GRANTS_PER_MAILBOX_MAX: usize = 100;

/// Folders that CREATE ACCOUNT makes beside INBOX.
pub const NEW_FOLDERS_MAX: usize = 64;

/// Recipients of one delivery at one partition. 100 is what RFC 5321 section 4.5.3.1.8 asks for,
/// and their results must fit into [`OUTCOME_BYTES_MAX`].
pub const RECIPIENTS_MAX: usize = 100;

/// Bytes of a sender's or recipient's address (RFC 5321 section 4.5.3.1.3 gives 256, with SMTPUTF8
/// and quoting to spare).
pub const ADDRESS_BYTES_MAX: usize = 1_024;

/// Bytes of a message's prefix: it stands in the message's row.
pub const PREFIX_BYTES_MAX: usize = 1_024;

/// Rows that one step of a roster reads: apply waits for it, some milliseconds.
pub const ROSTER_ROWS_MAX: usize = 4_096;

/// Bytes that ride in one entry, as a body or as a chunk.
pub const ENTRY_BODY_BYTES_MAX: u64 = 1 << 20;

/// Chunks of one upload: freeing a body deletes so many rows at once. A message of 256 MiB, of
/// which half of the chunks were sent before they were full.
pub const CHUNKS_MAX: u32 = 512;

/// Bytes of unfinished uploads of one account.
pub const UPLOAD_BYTES_PER_ACCOUNT_MAX: u64 = 512 << 20;

/// Unfinished uploads of one account.
pub const UPLOADS_PER_ACCOUNT_MAX: u32 = 1_000;

/// Bytes of unfinished uploads of a partition.
pub const UPLOAD_BYTES_PER_PARTITION_MAX: u64 = 8 << 30;

/// Unfinished uploads live so long after their last chunk, in milliseconds of log time.
pub const UPLOAD_LIFE_MS: u64 = 3_600_000;

/// Expunged messages, deleted mailboxes and deleted accounts stay for so long unless something else
/// was set, in milliseconds of log time: 7 days.
pub const RETENTION_MS: u64 = 7 * 86_400_000;

/// The shortest retention, in milliseconds: sessions that have not been told of an expunge yet, and
/// clients that come back, need the rows for a while.
pub const RETENTION_MS_MIN: u64 = 86_400_000;

/// The longest retention, in milliseconds: 10 years.
pub const RETENTION_MS_MAX: u64 = 3_650 * 86_400_000;

/// Rows of messages that one command looks at to restore or purge some of them; more are left to
/// the next one.
pub const UNDELETE_ROWS_MAX: usize = 100_000;

/// A delivery is recognised for so long, in milliseconds of log time: MTAs retry for 5 days.
pub const DUPLICATE_LIFE_MS: u64 = 7 * 86_400_000;

/// A delivery whose client has seen the reply is recognised for so long after that.
pub const CONFIRMED_DUPLICATE_LIFE_MS: u64 = 3_600_000;

/// Deliveries of other lanes that one delivery confirms.
pub const CONFIRMED_MAX: usize = 64;

/// Deliveries that a partition remembers. Beyond it those that end first are forgotten early.
pub const DUPLICATES_MAX: u64 = 4_000_000;

/// Lanes that a partition remembers: 1 KiB each at worst.
pub const LANES_MAX: u64 = 100_000;

/// A lane is remembered for so long after its last command, in milliseconds of log time.
pub const LANE_LIFE_MS: u64 = 3_600_000;

/// Bytes of an outcome that a lane keeps, and so of any outcome that a caller can rely on seeing
/// again.
pub const OUTCOME_BYTES_MAX: usize = 1_024;

/// A lane's first command may be stamped so far ahead of log time, in milliseconds. A node whose
/// clock is further off gets `Forgotten`: its stamps would raise the floor for everybody else.
pub const ISSUED_AHEAD_MS_MAX: u64 = 60_000;

/// Lanes and duplicates are looked through for expired ones so often, in milliseconds of log time.
pub const SWEEP_EVERY_MS: u64 = 1_200_000;

/// Rows that one `Tick` looks at or removes.
pub const TICK_ROWS_MAX: usize = 500;

/// Rows that are looked at to find the one to be forgotten when lanes or duplicates are full.
pub const EVICTION_ROWS: usize = 16;

/// UID ranges in one row of changes, so that rows stay small.
pub const RANGES_PER_CHANGE_ROW: usize = 64;

/// Messages in one page of an answer.
pub const PAGE_MESSAGES_MAX: usize = 1_000;

/// Bytes of prefixes and keywords in one page of an answer; the message that crosses it is whole.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Rows that are read for one page of an answer.
pub const PAGE_ROWS_MAX: usize = 20_000;

/// Changed messages in one answer; the one command more that crosses it is told whole.
pub const PAGE_CHANGES_MAX: usize = 10_000;

/// Bytes of rows in one chunk of a snapshot.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;
