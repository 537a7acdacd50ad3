//! Local rows: where the bodies of entries lie in the log of this node (R4).
//!
//! Once Raft has purged an entry its log no longer knows where it was written. So a checkpoint has
//! a row for every entry to whose body its rows refer, and says how many of them do:
//!
//! ```text
//!   key    0xff 'p' | index u64 | term u64
//!   value  segment u64 | offset u32 | length u32 | checksum u32 | skip u32 | references u32
//!          [home u128]
//! ```
//!
//! Numbers are big endian. The row goes with the last reference: then nobody reads the body any
//! more, and the cleaner lets it go. The keys sort above [`rows::END`], so that neither a machine
//! nor a snapshot nor the digest meets them; they have a digest of their own in the checkpoint.
//!
//! `home` is to what the body belongs ([`Referred::home`](super::Referred::home)), so that the
//! cleaner lays the mail of a mailbox side by side; rows of which nothing said it do without. It
//! comes from the rows of the checkpoint in which more rows came to refer to the body, or of the
//! snapshot that brought it: of those that tell one the last in key order. It is kept until then,
//! may be out of date (nothing is written for it alone), and decides nothing but an order.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rows::{END, Fault, Row};
use seglog::Place;

use super::bodies::Logged;
use super::index::Index;
use super::machine::LogId;

/// Where local rows begin.
pub const LOCAL_FROM: &[u8] = &[0xff, b'p'];

/// Above all local rows.
pub const LOCAL_TO: &[u8] = &[0xff, 0xff];

/// The key of an entry's row.
#[must_use]
pub fn key(id: LogId) -> Bytes {
    let mut key = BytesMut::with_capacity(18);
    key.put_slice(LOCAL_FROM);
    key.put_u64(id.index);
    key.put_u64(id.term);
    key.freeze()
}

/// The entry of a row's key.
///
/// # Errors
/// A [`Fault`] if it is none.
pub fn id_of(key: &[u8]) -> Result<LogId, Fault> {
    let numbers = key.strip_prefix(LOCAL_FROM);
    let Some(mut numbers) = numbers.filter(|numbers| numbers.len() == 16) else {
        return Err(Fault::row(key, "the key of a place has 18 bytes"));
    };
    let (index, term) = (numbers.get_u64(), numbers.get_u64());
    Ok(LogId { term, index })
}

/// The body of an entry to which rows refer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it lies.
    pub logged: Logged,
    /// How many rows refer to it.
    pub references: u32,
    /// To what it belongs, if that is known.
    pub home: Option<u128>,
}

/// The value of an entry's row.
#[must_use]
pub fn value(kept: &Kept) -> Bytes {
    let Kept {
        logged,
        references,
        home,
    } = kept;
    let mut value = BytesMut::with_capacity(44);
    value.put_u64(logged.place.segment);
    value.put_u32(logged.place.offset);
    value.put_u32(logged.place.length);
    value.put_u32(logged.checksum);
    value.put_u32(logged.skip);
    value.put_u32(*references);
    if let Some(home) = home {
        value.put_u128(*home);
    }
    value.freeze()
}

/// Reads a value.
///
/// # Errors
/// A [`Fault`] if it is none of this version.
pub fn parse(key: &[u8], mut value: &[u8]) -> Result<Kept, Fault> {
    if value.len() != 28 && value.len() != 44 {
        return Err(Fault::row(key, "a place has 28 bytes, or 44"));
    }
    let (segment, offset, length) = (value.get_u64(), value.get_u32(), value.get_u32());
    let place = Place {
        segment,
        offset,
        length,
    };
    let logged = Logged {
        place,
        checksum: value.get_u32(),
        skip: value.get_u32(),
    };
    Ok(Kept {
        logged,
        references: value.get_u32(),
        home: value.try_get_u128().ok(),
    })
}

/// All rows of an index: those of the machine, then the local ones.
///
/// # Errors
/// A [`Fault`] if they cannot be read.
pub fn all_rows(index: &dyn Index) -> Result<impl Iterator<Item = Result<Row, Fault>>, Fault> {
    let rows = index.scan(&[], END)?;
    Ok(rows.chain(index.scan(LOCAL_FROM, LOCAL_TO)?))
}

/// What an index says of the body of an entry.
///
/// # Errors
/// A [`Fault`] if the row cannot be read.
pub fn find(index: &dyn Index, id: LogId) -> Result<Option<Kept>, Fault> {
    let key = key(id);
    let value = index.get(&key)?;
    value.map(|value| parse(&key, &value)).transpose()
}
