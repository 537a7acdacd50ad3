//! Flags and keywords (RFC 3501 section 2.3.2).

use bytes::Bytes;

use super::lexer::{Cursor, ascii, is_atom_char};
use crate::error::{Error, Result};
use crate::limits;

/// A flag that a client may set. `\Recent` is not among them: only the server sets it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// A name that users and clients chose.
    Keyword(Keyword),
}

impl Flag {
    /// As it is written in commands and responses.
    pub fn as_str(&self) -> &str {
        match self {
            Flag::Answered => "\\Answered",
            Flag::Flagged => "\\Flagged",
            Flag::Deleted => "\\Deleted",
            Flag::Seen => "\\Seen",
            Flag::Draft => "\\Draft",
            Flag::Keyword(keyword) => keyword.as_str(),
        }
    }

    /// The inverse of [`Flag::as_str`], without regard to case for system flags.
    ///
    /// # Errors
    /// `Syntax` for `\Recent`, an unknown system flag and an invalid keyword.
    pub fn from_text(text: &str) -> Result<Flag> {
        let mut cursor = Cursor::new(Bytes::copy_from_slice(text.as_bytes()));
        let flag = flag(&mut cursor)?;
        if cursor.at_end() {
            Ok(flag)
        } else {
            Err(Error::Syntax("not a flag"))
        }
    }
}

/// A keyword: an atom of at most [`limits::KEYWORD_BYTES_MAX`] bytes, in the case it was sent in.
/// Two that differ in case only are one keyword; use [`Keyword::is_same`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keyword(String);

impl Keyword {
    /// Checks that `text` is an atom of a valid length.
    ///
    /// # Errors
    /// `Syntax` if it is no atom, `TooBig` if it is too long.
    pub fn new(text: &str) -> Result<Keyword> {
        if text.is_empty() || !text.bytes().all(is_atom_char) {
            return Err(Error::Syntax("not a keyword"));
        }
        if text.len() > limits::KEYWORD_BYTES_MAX {
            return Err(Error::TooBig("a keyword is too long"));
        }
        Ok(Keyword(text.to_owned()))
    }

    /// In the case it was sent in.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Equality without regard to case.
    pub fn is_same(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

/// `flag`, for STORE and APPEND.
pub(super) fn flag(cursor: &mut Cursor) -> Result<Flag> {
    if !cursor.eat(b'\\') {
        return keyword(cursor).map(Flag::Keyword);
    }
    match cursor.word().as_str() {
        "ANSWERED" => Ok(Flag::Answered),
        "FLAGGED" => Ok(Flag::Flagged),
        "DELETED" => Ok(Flag::Deleted),
        "SEEN" => Ok(Flag::Seen),
        "DRAFT" => Ok(Flag::Draft),
        "RECENT" => Err(Error::Syntax("\\Recent cannot be set by a client")),
        _ => Err(Error::Syntax("unknown system flag")),
    }
}

/// `flag-keyword`.
pub(super) fn keyword(cursor: &mut Cursor) -> Result<Keyword> {
    let atom = cursor.atom("a flag expected")?;
    Keyword::new(ascii(&atom))
}
