//! Ids and numbers.

use std::fmt;

/// Makes a type of its own around a number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> $name {
                $name(number)
            }
        }
    };
}

number! {
    /// An account. Given by the directory, never reused, also not for a later account of that name.
    AccountId(u64)
}

number! {
    /// A mailbox of an account. Given by the machine, never reused within the account; a rename
    /// keeps it. INBOX is always [`MailboxId::INBOX`].
    MailboxId(u64)
}

impl MailboxId {
    /// The INBOX of every account.
    pub const INBOX: MailboxId = MailboxId(1);

    /// The MAILBOXID of RFC 8474 section 4.1.
    pub fn object_id(self, account: AccountId) -> String {
        format!("F{account}-{self}")
    }
}

number! {
    /// A message's number within its mailbox, from 1, strictly rising (RFC 9051 section 2.3.1.1).
    Uid(u32)
}

impl Uid {
    /// The highest UID there can be.
    pub const MAX: Uid = Uid(u32::MAX);
}

number! {
    /// Which life of a mailbox its UIDs belong to, from 1 (RFC 9051 section 2.3.1.1).
    UidValidity(u32)
}

number! {
    /// A modification sequence (RFC 7162), from 1. One counter per account, always below 2^63.
    ModSeq(u64)
}

impl ModSeq {
    /// The next one.
    pub fn next(self) -> ModSeq {
        ModSeq(self.0 + 1)
    }
}

number! {
    /// A point in time: milliseconds since 1970-01-01T00:00:00Z.
    Millis(u64)
}

impl Millis {
    /// The time `span_ms` milliseconds later, or the end of time.
    pub fn after(self, span_ms: u64) -> Millis {
        Millis(self.0.saturating_add(span_ms))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// A body that arrives in chunks. Random, chosen by the node that receives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub u128);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A move of messages into another account. Random, chosen by whoever begins it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoveId(pub u128);

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The first 16 bytes of the BLAKE3 hash of a body as it was received.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash16(pub [u8; 16]);

impl Hash16 {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Hash16 {
        Hash16::from(blake3::hash(bytes))
    }
}

impl From<blake3::Hash> for Hash16 {
    fn from(hash: blake3::Hash) -> Hash16 {
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Hash16(first)
    }
}

impl fmt::Display for Hash16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Hash16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash16({self})")
    }
}

/// The EMAILID of RFC 8474 section 4.2: equal for messages with equal bytes, so COPY and MOVE keep
/// it.
///
/// It is made of the body's hash and length and of the prefix, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailId(Hash16);

impl EmailId {
    /// The id of the message that is `prefix` followed by a body with this hash and length.
    pub fn of(prefix: &[u8], hash: Hash16, body_bytes: u64) -> EmailId {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&hash.0)
            .update(&body_bytes.to_be_bytes())
            .update(prefix);
        EmailId(Hash16::from(hasher.finalize()))
    }
}

impl fmt::Display for EmailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "M{}", self.0)
    }
}

/// An origin of commands with at most one of them in flight: a session, an LMTP connection, an
/// upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The node that opened it.
    pub node: u64,
    /// That node's boot, counted durably at each start.
    pub boot: u64,
    /// Its number within the boot.
    pub lane: u64,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.node, self.boot, self.lane)
    }
}

/// What makes a command run at most once (invariant M4). A repeated command carries the same stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Where it comes from.
    pub lane: Lane,
    /// Rises by one with every command of the lane *at this partition* that was answered; the first
    /// is 1. Not raised when a command is known not to have been appended.
    pub sequence: u64,
    /// The origin's clock when the command was made. Becomes the SAVEDATE of what it stores.
    pub issued: Millis,
}

/// The special uses of mailboxes (RFC 6154 section 2, RFC 8457 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
    /// `\Important`
    Important,
}

impl SpecialUse {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [SpecialUse; 8] = [
        SpecialUse::All,
        SpecialUse::Archive,
        SpecialUse::Drafts,
        SpecialUse::Flagged,
        SpecialUse::Junk,
        SpecialUse::Sent,
        SpecialUse::Trash,
        SpecialUse::Important,
    ];
}

impl fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\\{self:?}")
    }
}
