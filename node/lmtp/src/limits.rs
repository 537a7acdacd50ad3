//! Every bound of this crate, with its unit and its reason.

/// A command line, in bytes, CRLF included. RFC 5321 section 4.5.3.1.4 asks for 512, and
/// extensions add to it; the longest line that this server can accept is below 1,000.
pub const LINE_BYTES_MAX: usize = 4096;

/// Input that was pushed but not yet taken, in bytes. A socket loop reads 64 KiB at a time and
/// takes all events before it reads again, so only a loop that does not drain comes here.
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;

/// Pushed buffers that were not yet taken. Each costs a handle, also when it holds one byte.
pub const INPUT_CHUNKS_MAX: usize = 4096;

/// A message, in bytes, when the configuration does not say otherwise: 50 MiB, somewhat above
/// what large mail providers let through.
pub const MESSAGE_BYTES_DEFAULT: u64 = 50 * 1024 * 1024;

/// Accepted recipients of one transaction by default. RFC 5321 section 4.5.3.1.8 asks for at least
/// 100; MTAs send 50 to 1,000. The next one gets 452 4.5.3 and the MTA sends the rest again.
pub const RECIPIENTS_DEFAULT: usize = 1000;

/// Protocol errors after which the connection is closed by default. A delivered message starts
/// the count anew, so that a cached connection is not closed for one odd command a day. An address
/// that is refused is none: it would end a transaction that has good ones.
pub const ERRORS_DEFAULT: u32 = 20;

/// A local part as given, quotes included, in octets (RFC 5321 section 4.5.3.1.1). Only
/// recipients are held to it: rewritten senders (SRS, VERP) are longer in practice, and the MTA
/// has already taken responsibility for that mail.
pub const LOCAL_BYTES_MAX: usize = 64;

/// A domain, in octets (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// A label of a domain, in octets (RFC 1035 section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// A whole address, in octets: the longest local part, the `@` and the longest domain.
pub const ADDRESS_BYTES_MAX: usize = LOCAL_BYTES_MAX + 1 + DOMAIN_BYTES_MAX;

/// The name that a client gives in LHLO, in bytes: a domain or an address literal.
pub const LHLO_BYTES_MAX: usize = 255;

/// A reply line, in bytes, CRLF included (RFC 5321 section 4.5.3.1.5).
pub const REPLY_BYTES_MAX: usize = 512;

/// Replies to pipelined commands are gathered up to about this many bytes into one
/// [`Event::Reply`](crate::Event::Reply): fewer packets (RFC 2920 section 3.2), bounded memory.
pub const REPLY_BATCH_BYTES: usize = 16 * 1024;

/// Content between two stuffed dots is handed out as a slice from this length on, in bytes.
/// Shorter pieces are copied together, since a handle of its own would outweigh the bytes.
pub const SLICE_BYTES_MIN: usize = 1024;

/// Short pieces of content are copied together up to about this many bytes.
pub const GATHER_BYTES: usize = 16 * 1024;

/// The trace headers before a delivered message, in bytes. They are stored once per recipient,
/// in a row of the index, and rows are meant to be small.
pub const PREFIX_BYTES_MAX: usize = 1024;

/// A delivery id in the trace headers, in bytes; what is longer is cut.
pub const ID_BYTES_MAX: usize = 64;
