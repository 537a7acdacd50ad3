//! Commands, outcomes, queries and answers as bytes (`proto/v1/command.proto`, `store.proto`).
//!
//! One value has one form in bytes. Decoding refuses bytes that the decoded value would not encode
//! to: an unknown field of a later version, a number that is no known kind, keywords or UIDs out of
//! order. So a command is applied either as its maker meant it, or not at all ([`Fault`]). `exact`
//! sees to it that bytes and message are the same, and the functions from messages to values lose
//! nothing.
//!
//! ```text
//!   command   Envelope, Command
//!   append    those of them that append
//!   outcome   Outcome, and the shorter form that a lane keeps
//!   query     Query
//!   answer    Answer
//!   retained  those of them that concern what was deleted
//!   granted   those that concern quota, annotations and rights
//! ```

mod answer;
mod append;
mod behalf;
mod command;
mod granted;
mod outcome;
mod query;
mod retained;

pub use answer::{body_in, body_out, decode_answer, encode_answer};
pub use command::{decode_command, decode_envelope, encode_command, encode_envelope};
pub(crate) use outcome::kept;
pub use outcome::{decode_outcome, encode_outcome};
pub use query::{decode_query, encode_query};

use bytes::Bytes;
use proto::v1::{self as wire, mailbox_store};
use rows::Fault;

use crate::command::StoreMode;
use crate::types::{Flags, Hash16, MoveId, SpecialUse, SystemFlags, Uid, UidRanges, UploadId};

/// Bytes that are not `what` they should be, as this version writes it.
fn malformed(what: &str) -> Fault {
    Fault::Command(format!("not {what} of this version"))
}

/// The message that encodes to `bytes`.
pub(crate) fn exact<M: prost::Message + Default>(
    bytes: &Bytes,
    what: &'static str,
) -> Result<M, Fault> {
    let message = M::decode(bytes.clone()).map_err(|_| malformed(what))?;
    if message.encode_to_vec() == *bytes {
        Ok(message)
    } else {
        Err(malformed(what))
    }
}

/// The bytes of a message.
pub(crate) fn bytes_of(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

/// A field that must be there.
fn required<T>(field: Option<T>, what: &'static str) -> Result<T, Fault> {
    field.ok_or_else(|| malformed(what))
}

/// Packs a set of UIDs: for each range the distance from the lowest possible UID, and its length.
pub(crate) fn pack_uids(uids: &UidRanges) -> Vec<u32> {
    let mut packed = Vec::with_capacity(uids.ranges().len() * 2);
    let mut lowest = 1;
    for (first, last) in uids.ranges() {
        packed.push(first.0 - lowest);
        packed.push(last.0 - first.0);
        lowest = last.0.saturating_add(2);
    }
    packed
}

/// The set of UIDs that was packed.
pub(crate) fn unpack_uids(packed: &[u32]) -> Result<UidRanges, Fault> {
    let bad = || malformed("a set of UIDs");
    let mut ranges = Vec::with_capacity(packed.len() / 2);
    let mut lowest: u32 = 1;
    let mut full = false;
    let (pairs, rest) = packed.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad());
    }
    for &[distance, more] in pairs {
        if full {
            return Err(bad());
        }
        let first = lowest.checked_add(distance).ok_or_else(bad)?;
        let last = first.checked_add(more).ok_or_else(bad)?;
        ranges.push((first, last));
        full = last >= Uid::MAX.0 - 1;
        lowest = last.saturating_add(2);
    }
    UidRanges::from_sorted(ranges).ok_or_else(bad)
}

/// The bytes of an upload's id.
pub(crate) fn upload_bytes(upload: UploadId) -> Bytes {
    Bytes::copy_from_slice(&upload.0.to_be_bytes())
}

/// The upload with these 16 bytes.
pub(crate) fn upload_of(bytes: &[u8]) -> Result<UploadId, Fault> {
    let id = bytes.try_into().map_err(|_| malformed("an upload's id"))?;
    Ok(UploadId(u128::from_be_bytes(id)))
}

/// The bytes of a move's id.
fn move_bytes(id: MoveId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// The move with these 16 bytes.
fn move_of(bytes: &[u8]) -> Result<MoveId, Fault> {
    let id = bytes.try_into().map_err(|_| malformed("a move's id"))?;
    Ok(MoveId(u128::from_be_bytes(id)))
}

/// The bytes of a hash.
fn hash_bytes(hash: &Hash16) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

/// The hash with these 16 bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> Result<Hash16, Fault> {
    bytes
        .try_into()
        .map(Hash16)
        .map_err(|_| malformed("a hash"))
}

/// The wire's number of a special use.
pub(crate) fn use_number(special_use: Option<SpecialUse>) -> i32 {
    let number = match special_use {
        None => wire::MailboxUse::None,
        Some(SpecialUse::All) => wire::MailboxUse::All,
        Some(SpecialUse::Archive) => wire::MailboxUse::Archive,
        Some(SpecialUse::Drafts) => wire::MailboxUse::Drafts,
        Some(SpecialUse::Flagged) => wire::MailboxUse::Flagged,
        Some(SpecialUse::Junk) => wire::MailboxUse::Junk,
        Some(SpecialUse::Sent) => wire::MailboxUse::Sent,
        Some(SpecialUse::Trash) => wire::MailboxUse::Trash,
        Some(SpecialUse::Important) => wire::MailboxUse::Important,
    };
    number.into()
}

/// The special use with this number.
pub(crate) fn use_of(number: i32) -> Result<Option<SpecialUse>, Fault> {
    let known = wire::MailboxUse::try_from(number).map_err(|_| malformed("a special use"))?;
    Ok(match known {
        wire::MailboxUse::None => None,
        wire::MailboxUse::All => Some(SpecialUse::All),
        wire::MailboxUse::Archive => Some(SpecialUse::Archive),
        wire::MailboxUse::Drafts => Some(SpecialUse::Drafts),
        wire::MailboxUse::Flagged => Some(SpecialUse::Flagged),
        wire::MailboxUse::Junk => Some(SpecialUse::Junk),
        wire::MailboxUse::Sent => Some(SpecialUse::Sent),
        wire::MailboxUse::Trash => Some(SpecialUse::Trash),
        wire::MailboxUse::Important => Some(SpecialUse::Important),
    })
}

fn flags_out(flags: &Flags) -> wire::MailboxFlags {
    wire::MailboxFlags {
        system: flags.system.bits().into(),
        keywords: flags.keywords().to_vec(),
    }
}

fn flags_in(flags: wire::MailboxFlags) -> Result<Flags, Fault> {
    let bad = || malformed("flags");
    let bits = u8::try_from(flags.system).map_err(|_| bad())?;
    let system = SystemFlags::from_bits(bits).ok_or_else(bad)?;
    let sent = flags.keywords.clone();
    let flags = Flags::new(system, flags.keywords);
    if flags.keywords() == sent {
        Ok(flags)
    } else {
        Err(bad())
    }
}

/// The wire's number of what is done with flags or rights.
fn mode_out(mode: StoreMode) -> i32 {
    let mode = match mode {
        StoreMode::Add => mailbox_store::Mode::Add,
        StoreMode::Remove => mailbox_store::Mode::Remove,
        StoreMode::Replace => mailbox_store::Mode::Replace,
    };
    mode.into()
}

/// What is done with flags or rights.
fn mode_in(number: i32) -> Result<StoreMode, Fault> {
    let known = mailbox_store::Mode::try_from(number).map_err(|_| malformed("a command"))?;
    Ok(match known {
        mailbox_store::Mode::Add => StoreMode::Add,
        mailbox_store::Mode::Remove => StoreMode::Remove,
        mailbox_store::Mode::Replace => StoreMode::Replace,
    })
}
