//! Bounds of this folder, each with its unit and its reason.

use std::time::Duration;

/// Calls that wait for one connection to another node.
pub const CALL_QUEUE_MAX: usize = 8192;

/// Bytes of calls or answers in one frame, give or take one.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Calls or answers in one frame.
pub const FRAME_CALLS_MAX: usize = 256;

/// Bytes of the largest message on the wire: a body of 1 MiB or a page of messages, and its frame.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Calls of one connection that are being worked on; more wait in the socket.
pub const CALLS_AT_ONCE_MAX: usize = 4096;

/// How long one try of a call may take before the leader counts as lost and is looked for anew.
pub const TRY_WAIT: Duration = Duration::from_secs(3);

/// Pause between two tries while there is no leader; an election takes some hundred milliseconds.
pub const TRY_PAUSE: Duration = Duration::from_millis(15);

/// How long a replica may take to apply an index that somebody waits for.
pub const APPLIED_WAIT: Duration = Duration::from_secs(5);

/// Mailboxes whose recent messages the leaders of this node remember; beyond it all are forgotten,
/// and messages are recent twice.
pub const RECENT_MAX: usize = 200_000;

/// Mailboxes with fewer messages are not remembered by their rosters: a look at all of them takes
/// less than a millisecond.
pub const ROSTER_MESSAGES_MIN: u64 = 500;

/// What a roster takes in memory beside its ranges, bytes.
pub const ROSTER_BYTES: usize = 256;

/// A lane that was not used for so long in a partition is replaced by a new one: partitions forget
/// lanes after an hour.
pub const LANE_IDLE_MAX: Duration = Duration::from_secs(20 * 60);

/// Lanes that are kept for whoever needs one next, of each partition and of those that go to all:
/// some 100 bytes each. More are free only where as many connections have ended at about the same
/// time.
pub const FREE_LANES_MAX: usize = 4096;

/// Bytes of a body that ride in the entry that delivers it; a larger body is uploaded in chunks of
/// this size.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of a body that a connection may hold without asking for room in memory: most messages, and
/// no more than its other buffers. With the bounds on connections this is a bound too.
pub const HELD_FREE_BYTES: usize = 16 << 10;

/// How long the leader of a partition may take to free what was uploaded in vain; it goes by itself
/// an hour later.
pub const FREE_WAIT: Duration = Duration::from_secs(5);

/// Bodies of one session that become durable at the same time, ahead of the command that names
/// them: enough for a few flushes to carry them all.
pub const LEAVING_MAX: usize = 64;

/// Deliveries of one partition whose clients saw the reply and that wait to be told.
pub const CONFIRMED_MAX: usize = 1024;

/// Bytes that one read of a body returns at most.
pub const BODY_READ_MAX: u64 = 1 << 20;

/// Bodies that are read ahead at once: enough for the call to cost little beside them.
pub const AHEAD_PARTS_MAX: usize = 128;

/// Messages in one page of what an account deleted, give or take as many of one mailbox.
pub const DELETED_PAGE: usize = 1000;

/// Mailboxes that are asked for one page of what an account deleted.
pub const DELETED_QUERIES_MAX: usize = 100;

/// By how much the system's clock may be corrected at a time for it to be followed whatever others
/// say, milliseconds: far more than time services do in a second, and nothing beside what expires.
pub const CLOCK_FOLLOWED_MS: u64 = 1_000;

/// How long the clock of a node that is alone must have been elsewhere until it is followed.
pub const CLOCK_LONE_WAIT: Duration = Duration::from_secs(60);

/// How often leaders look whether something is due.
pub const STEWARD_PAUSE: Duration = Duration::from_millis(500);

/// The same for members of groups while these change: a move takes some ten steps, and a node that
/// is replaced has a move for each of its groups.
pub const STEP_PAUSE: Duration = Duration::from_millis(50);

/// How often nodes tell each other how they are.
pub const CONDITION_EVERY: Duration = Duration::from_secs(1);

/// How long a node may take to answer that; the next one comes soon.
pub const CONDITION_WAIT: Duration = Duration::from_secs(1);

/// How often a node looks whether it is fit to lead.
pub const HEALTH_PAUSE: Duration = Duration::from_millis(500);

/// For how many looks in a row a node must be unfit before it hands over: three seconds.
pub const HEALTH_LOOKS_MIN: u32 = 6;

/// How often, in turns of the steward, a leader looks whether a preferred replica should lead.
pub const BALANCE_TURNS: u64 = 10;

/// Entries that a replica may be behind when it is given the lead, by itself or by an operator.
pub const BALANCE_LAG_MAX: u64 = 100;

/// Entries that a replica may be behind when it begins to vote: it has them in a moment.
pub const PROMOTE_LAG_MAX: u64 = 1000;

/// Groups led by one node whose new replicas are brought up at the same time: each may read and
/// send all of a partition.
pub const MOVES_AT_ONCE: usize = 4;

/// How long it is looked whether a node that was removed has heard of it; then it is left alone.
pub const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(10);

/// For how long at least it stays a member after that: it hears that what it has is committed.
pub const FAREWELL_WAIT_MIN: Duration = Duration::from_millis(600);

/// Hints that wait for another node; beyond it the oldest are lost.
pub const HINTS_QUEUED: usize = 4096;

/// How often a node looks whom to listen to: a replica that comes or goes is noticed soon enough
/// for who waits in IDLE.
pub const LISTEN_LOOK: Duration = Duration::from_millis(500);

/// Pause before a node that was listened to is listened to again.
pub const LISTEN_PAUSE: Duration = Duration::from_millis(500);

/// How long a session waits for a hint before it asks for changes without one.
pub const WATCH_POLL: Duration = Duration::from_secs(30);

/// How long ago a move from one user to another must have begun that is taken for one whose session
/// is gone: a session works much less at one batch. Two of them at work would spoil nothing, but
/// bring every message twice.
pub const MOVE_AGE: Duration = Duration::from_secs(5 * 60);
const _: () = assert!(MOVE_AGE.as_secs() >= 2 * imap::limits::MOVE_SECONDS);

/// How often leaders look for such moves: few rows are read for it.
pub const FINISH_PAUSE: Duration = Duration::from_secs(10);

/// When one that could not be finished is tried again: its messages may all be brought for nothing.
pub const FINISH_AGAIN: Duration = Duration::from_secs(10 * 60);

/// Moves that are looked at together, some kilobytes each; the rest follows.
pub const UNFINISHED_PAGE: usize = 64;

/// Moves that could not be finished and wait, some 50 bytes each; with more of them a node rests
/// until it is their turn again.
pub const UNFINISHED_FAILED_MAX: usize = 10_000;

/// Operations that span groups and are looked at in one turn, some 50 bytes each: more than what
/// waits for partitions without a leader, so that others are found behind it.
pub const OPERATIONS_AT_ONCE: usize = 4096;

/// Of these, how many at the same time in each partition: enough for a group commit to hold many.
pub const OPERATIONS_IN_FLIGHT: usize = 16;

/// Passwords that are checked at the same time: each keeps a core busy.
pub const PASSWORD_CHECKS_MAX: usize = 4;

/// How long the first wrong password delays the answer.
pub const LOGIN_PENALTY: Duration = Duration::from_millis(1500);

/// How long any wrong password delays it: mail clients wait some 30 seconds.
pub const LOGIN_PENALTY_MAX: Duration = Duration::from_secs(15);

/// Users and addresses whose failed logins a node remembers, some 100 bytes each.
pub const PENALTIES_MAX: usize = 65_536;

/// Logins of which the other nodes are told at once, some 40 bytes each; of more they hear nothing.
pub const LOGINS_TOLD_MAX: usize = 1000;
