//! Bounds of a run, each with its unit and its reason.
//!
//! None of them is a claim about speed. They are how long a run waits for something before it says
//! that it never came; on a busy machine everything takes longer, and that is no fault.

use std::time::Duration;

/// How long a connection may take to be made.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long a reply may take: longer than any server holds a request while there is no leader
/// (60 s for LMTP), so that silence is not mistaken for patience.
pub const REPLY_WAIT: Duration = Duration::from_secs(120);

/// How long an operator's call may take.
pub const ADMIN_WAIT: Duration = Duration::from_secs(20);

/// How long a node may take from its start until it answers an operator.
pub const START_WAIT: Duration = Duration::from_secs(180);

/// How long a cluster may take to have leaders everywhere and all replicas level, once nothing is
/// broken any more.
pub const SETTLE_WAIT: Duration = Duration::from_secs(300);

/// How long the load may take for the operations that stand between two strikes.
pub const LOAD_WAIT: Duration = Duration::from_secs(300);

/// How long clients may take to end what they are at when a run ends: longer than an MTA tries.
pub const DRAIN_WAIT: Duration = Duration::from_secs(400);

/// How long a node may take to stop by itself before it is killed: longer than it waits for its
/// clients (15 s).
pub const STOP_WAIT: Duration = Duration::from_secs(30);

/// How long a node may take to end whose disk refuses to work: somebody has to write first.
pub const END_WAIT: Duration = Duration::from_secs(60);

/// How long nodes may take until what they need no more is purged from their logs.
pub const PURGE_WAIT: Duration = Duration::from_secs(12);

/// How long a disk may take to be filled by the load, or what is refused meanwhile to be seen.
pub const FULL_WAIT: Duration = Duration::from_secs(300);

/// Between two looks at something that is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A replica counts as level when it lacks at most so many entries of a leader under load.
pub const LAG_ENTRIES_MAX: u64 = 256;

/// How long a partition may take for a delivery, or for an APPEND and a STORE, when nothing is
/// broken any more: much longer than an election, much shorter than anybody would wait.
pub const SERVE_WAIT: Duration = Duration::from_secs(30);

/// How long an MTA tries to deliver one message; the attempt under way may last longer.
pub const DELIVER_WAIT: Duration = Duration::from_secs(240);

/// Bytes of one response of an IMAP server: a large message and some more.
pub const RESPONSE_BYTES_MAX: usize = 80 << 20;
