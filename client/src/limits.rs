//! Bounds of this crate, each with its unit and its reason.

use std::time::Duration;

/// How long connecting to one endpoint may take, with the handshake.
pub const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// How long a node may take to say that it is there.
pub const PROBE_WAIT: Duration = Duration::from_secs(5);

/// How long a question may take: the answer is in the node's memory.
pub const READ_WAIT: Duration = Duration::from_secs(10);

/// How long a change may take: an election may be under way.
pub const CHANGE_WAIT: Duration = Duration::from_secs(30);

/// How long making a cluster or adding a node may take: every group gets its replicas.
pub const CLUSTER_WAIT: Duration = Duration::from_secs(120);

/// How long comparing all replicas may take: each has to apply what the others have, and to sum
/// its rows.
pub const VERIFY_WAIT: Duration = Duration::from_secs(300);

/// How long restoring or purging mail may take: it is done in parts of 10,000 messages.
pub const UNDELETE_WAIT: Duration = Duration::from_secs(600);

/// How long the stream of a backup may be silent: a checkpoint is made before it begins.
pub const BACKUP_SILENCE: Duration = Duration::from_secs(120);
/// Between two looks at nodes and replicas on their way that somebody waits for.
pub const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// How long a cluster may give no answer to such a look, as during an election, before it is given
/// up.
pub const FOLLOW_SILENCE_MAX: Duration = Duration::from_secs(60);

/// Accounts that one page of a list holds.
pub const PAGE_ACCOUNTS: u32 = 1000;

/// Bytes of the largest answer: a page of accounts with long names is far below.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Bytes of the longest password; the server takes no longer one.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// How long replicas may take to read all of their bodies: a terabyte on a plain disk.
pub const DEEP_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Between two looks at how a scrub goes.
pub const SCRUB_LOOK: Duration = Duration::from_millis(500);
