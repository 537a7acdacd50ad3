//! Bounds of the doors, each with its unit and its reason.

use std::time::Duration;

/// Accounts of others that a session keeps open: each has a lane and a watcher.
pub const OTHERS_KEPT: usize = 16;

/// Bytes that an LMTP connection reads at once while commands come: a small message in one read.
pub const READ_BYTES: usize = 8 << 10;

/// Bytes of LMTP replies after which they are written, though more commands wait to be read.
pub const REPLIES_BYTES: usize = 8 << 10;

/// Bytes that an IMAP connection reads at once while commands come: what an idle one costs.
pub const READ_IDLE_BYTES: usize = 2 << 10;

/// Bytes of an answer that a client must have taken within [`WRITE_STALL`]: slow lines take some
/// KiB a second.
pub const WRITTEN_PIECE_BYTES: usize = 256 << 10;

/// Bytes that an LMTP client sent behind a message and that are read before it is answered: a group
/// of commands (RFC 2920 section 3.1).
pub const WAITING_BYTES: usize = 64 << 10;

/// Bytes that are read at once while a message body arrives.
pub const READ_BODY_BYTES: usize = 64 << 10;

/// Bytes that are inflated at once: however little they came from, no more are held.
pub const INFLATED_BYTES: usize = 16 << 10;

/// Bytes that are deflated before they are sent.
pub const DEFLATED_BYTES: usize = 16 << 10;

/// Compressors of a node: some 300 KiB each. Connections that find none free send stored blocks.
pub const COMPRESSORS_MAX: usize = 512;

/// After so long a silence a connection gives its compressor back.
pub const COMPRESSOR_REST: Duration = Duration::from_secs(5);

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

/// How long a stopping node waits for connections to come to the end of their command or message:
/// a command that waits for the next leader is answered in that time, and with the handover before
/// it the process ends within the 30 seconds of the unit file (`TimeoutStopSec`).
pub const DRAIN: Duration = Duration::from_secs(15);

/// How long the connections that are cut off then may take to notice: they need only be closed.
pub const DRAIN_LAST: Duration = Duration::from_millis(500);

/// How often a stopping node looks whether connections are left, and whether it was given a lead
/// back by those who keep leaders spread.
pub const DRAIN_LOOK: Duration = Duration::from_millis(20);

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

/// Seconds by which the clock of a token's issuer may differ from ours.
pub const TOKEN_CLOCK_SECS: u64 = 60;

/// Bytes of a file with a public key: 16384 bits of RSA take 3 KiB.
pub const TOKEN_KEY_BYTES: u64 = 64 << 10;

/// Bytes of what a client says of itself by ID that are logged, of each field.
pub const ID_LOGGED_BYTES: usize = 64;

/// Bytes behind the first 16 of a header of the PROXY protocol, version 2: addresses take 216 at
/// most, the rest are extensions that nobody here reads.
pub const PROXY_HEADER_BYTES: usize = 4096;

/// How long a proxy may take to send its header.
pub const PROXY_HEADER: Duration = Duration::from_secs(5);

/// Characters of what an audit line is about: an account's name, a mailbox and some UIDs.
pub const AUDITED_CHARS: usize = 1000;
