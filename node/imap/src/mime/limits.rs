//! Every bound on what is made of a message, with its unit and its reason.
//!
//! A message beyond one of them is kept and served as it is; only its structure is cut short.

/// Parts of one message, counted with multiparts and the messages inside message/rfc822. What
/// follows belongs to the body of the last part. Other servers allow as many; people send fewer
/// than 100.
pub const PARTS_MAX: usize = 10_000;

/// Levels of parts below the message itself; equal to what a section may name
/// ([`crate::limits::SECTION_DEPTH_MAX`]). A part that would nest deeper is shown as
/// application/octet-stream. Writing a structure recurses, so this also bounds its stack.
pub const DEPTH_MAX: usize = 100;

/// Bytes of a multipart's boundary. RFC 2046 section 5.1.1 allows 70, some programs send more. A
/// multipart with a longer one is shown as text.
pub const BOUNDARY_BYTES_MAX: usize = 256;

/// Bytes of one header field that are looked at: some 5,000 addresses.
pub const FIELD_BYTES_MAX: usize = 256 * 1024;

/// Bytes at the start of a header's line in which a colon must stand for the line to be a field
/// that we know. The longest such name has 25.
pub(super) const KNOWN_NAME_BYTES_MAX: usize = 64;

/// Parameters of one Content-Type or Content-Disposition, segments of RFC 2231 counted one by one.
pub const PARAMS_MAX: usize = 256;

/// Bytes that a structure keeps of its message's headers, all parts together, addresses apart. It
/// bounds what one BODYSTRUCTURE can cost. What comes after it is spent is not shown.
pub const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The same for addresses: some 10,000 of them. They have their own bound so that a mail to very
/// many still shows its subject and its parts.
pub const KEPT_ADDRESS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a string is charged beside its length against these: its pointer and the
/// allocator's share.
pub(super) const STRING_OVERHEAD_BYTES: usize = 32;

/// What an address is charged beside its strings.
pub(super) const ADDRESS_OVERHEAD_BYTES: usize = 64;

/// Bytes of one header that SEARCH looks at when a message is searched piece by piece.
pub const HEADER_SEARCH_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that are decoded at once when a part's text is searched.
pub(super) const DECODE_BYTES: usize = 8 * 1024;

/// Bytes of a Date field that are looked at.
pub(super) const DATE_BYTES_MAX: usize = 256;

/// Bytes of a message's headers and text parts, encoded, up to which it is indexed. What has more,
/// some log of a program, is read whenever it is searched.
pub const INDEXED_TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Different trigrams of a message up to which it is indexed: a long text has 20,000, so only text
/// that is no language has more. It bounds what one message adds to an index.
pub const GRAMS_PER_MESSAGE_MAX: usize = 64 * 1024;

/// Trigrams of a message that are held, before those that stand twice are taken out: 1 MiB.
pub(super) const GRAMS_HELD: usize = 4 * GRAMS_PER_MESSAGE_MAX;

/// Bytes of a word, folded, that are compared with those of a FUZZY key; what follows in the same
/// word is passed over. Words of people are shorter.
pub(super) const TOKEN_BYTES_MAX: usize = 256;
