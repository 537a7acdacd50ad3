//! Bounds on rows and on the chunks they travel in.

/// Bytes of a key. A mailbox name of 1,000 bytes, ids and a tag fit; more would bloat the index.
pub const KEY_BYTES_MAX: usize = 2 << 10;

/// Bytes of a value. Ordinary rows have about 200; this only stops a broken machine.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Bytes of rows after which a snapshot's chunk is closed: small enough to interleave with other
/// traffic, large enough that the price per chunk does not count.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Bytes of a whole chunk that a reader accepts: one row may come on top, and the frame.
pub const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX + 256;
