//! Bounds of the doors, each with its unit and its reason.

use std::time::Duration;

/// Bytes that an LMTP connection reads at once while commands come: a small message in one read.
pub const READ_BYTES: usize = 8 << 10;

/// Bytes of LMTP replies after which they are written, though more commands wait to be read.
pub const REPLIES_BYTES: usize = 8 << 10;

/// Bytes that an IMAP connection reads at once while commands come: what an idle one costs.
pub const READ_IDLE_BYTES: usize = 2 << 10;

/// Bytes that are read at once while a message body arrives.
pub const READ_BODY_BYTES: usize = 64 << 10;

/// How long an LMTP client may be silent (RFC 5321 section 4.5.3.2.7 asks for 5 minutes).
pub const LMTP_IDLE: Duration = Duration::from_secs(300);

/// How long an IMAP client may be silent (RFC 3501 section 5.4 asks for 30 minutes).
pub const IMAP_IDLE: Duration = Duration::from_secs(31 * 60);

/// How long an IMAP client may take to log in.
pub const LOGIN_IDLE: Duration = Duration::from_secs(60);

/// How long a client that does not read keeps its connection.
pub const WRITE_STALL: Duration = Duration::from_secs(120);

/// How long a TLS handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a listener that cannot accept, for example without file descriptors, rests.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a stopping node waits for connections to come to the end of their command.
pub const DRAIN: Duration = Duration::from_secs(5);

/// How long an operator's request waits for a leader.
pub const ADMIN_WAIT: Duration = Duration::from_secs(15);

/// How long a node that joins may take to become active.
pub const JOIN_WAIT: Duration = Duration::from_secs(60);

/// How long the leader of a group may take to say how far its replicas are.
pub const MOVES_WAIT: Duration = Duration::from_secs(2);

/// Leaders that are asked so at the same time.
pub const MOVES_ASKED_AT_ONCE: usize = 16;

/// Accounts in one page of a list.
pub const ACCOUNTS_PAGE: usize = 1000;

/// How long a lookup of a recipient that this node does not know waits for the directory.
pub const RESOLVE_WAIT: Duration = Duration::from_secs(10);

/// How long a wrong password delays the answer.
pub const LOGIN_PENALTY: Duration = Duration::from_millis(1500);
