//! Search keys of OBJECTID, SAVEDATE and SAVELIMIT (RFC 8474 section 6, RFC 8514 section 4.3, RFC
//! 9738 section 3).

use super::date::{self, Date};
use super::lexer::Cursor;
use crate::error::{Error, Result};
use crate::limits;

/// A condition on what is known of a message since it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavedKey {
    /// `EMAILID`: its id is this.
    EmailId(String),
    /// `THREADID`: that of its thread is this.
    ThreadId(String),
    /// `SAVEDBEFORE`: its save date is earlier than this day.
    Before(Date),
    /// `SAVEDON`: its save date is on this day.
    On(Date),
    /// `SAVEDSINCE`: its save date is on this day or later.
    Since(Date),
    /// `SAVEDATESUPPORTED`: it has a save date.
    Supported,
    /// `UIDAFTER`: its UID is above this.
    UidAfter(u32),
    /// `UIDBEFORE`: its UID is below this.
    UidBefore(u32),
}

pub(super) const ARGUMENT_KEYS: [&str; 7] = [
    "EMAILID",
    "THREADID",
    "SAVEDBEFORE",
    "SAVEDON",
    "SAVEDSINCE",
    "UIDAFTER",
    "UIDBEFORE",
];

/// The key with one of these names, of which the argument is next.
pub(super) fn with_argument(cursor: &mut Cursor, word: &str) -> Result<SavedKey> {
    Ok(match word {
        "EMAILID" => SavedKey::EmailId(object_id(cursor)?),
        "THREADID" => SavedKey::ThreadId(object_id(cursor)?),
        "SAVEDBEFORE" => SavedKey::Before(date::date(cursor)?),
        "SAVEDON" => SavedKey::On(date::date(cursor)?),
        "UIDAFTER" => SavedKey::UidAfter(cursor.nz_number()?),
        "UIDBEFORE" => SavedKey::UidBefore(cursor.nz_number()?),
        _ => SavedKey::Since(date::date(cursor)?),
    })
}

/// `objectid`: 1 to 255 letters, digits, `_` and `-`, of which the case matters.
fn object_id(cursor: &mut Cursor) -> Result<String> {
    let id = cursor.astring()?;
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let is_id = (1..=limits::OBJECT_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(belongs);
    match String::from_utf8(id.to_vec()) {
        Ok(id) if is_id => Ok(id),
        _ => Err(Error::Syntax("not an object id")),
    }
}
