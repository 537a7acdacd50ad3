//! GETMETADATA and SETMETADATA (RFC 5464 section 5), and the METADATA of LIST (RFC 9590 section 5).

use bytes::Bytes;
use mailbox::metadata;

use super::lexer::{Cursor, ascii};
use crate::error::{Error, Result};
use crate::limits;

/// A GETMETADATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadata {
    /// The mailbox as sent; empty for the server.
    pub mailbox: Bytes,
    /// Entries in lower case, never none.
    pub entries: Vec<String>,
    /// Which entries below these are asked for too.
    pub depth: Depth,
    /// Values with more bytes than this are left out.
    pub max_size: Option<u64>,
}

/// Which entries below the named ones are asked for (RFC 5464 section 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// `0`: none.
    #[default]
    Zero,
    /// `1`: those directly below.
    One,
    /// `infinity`: all.
    Infinity,
}

/// A SETMETADATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMetadata {
    /// The mailbox as sent; empty for the server.
    pub mailbox: Bytes,
    /// Entries in lower case with their values, never none; `None` removes the entry.
    pub entries: Vec<(String, Option<Bytes>)>,
}

/// The arguments of GETMETADATA, from the space after its name on. The options stand before the
/// mailbox; the RFC's own examples have them after it, and so have clients.
pub(super) fn get_metadata(cursor: &mut Cursor) -> Result<GetMetadata> {
    let mut options = Options::default();
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        options.read(cursor)?;
        cursor.space()?;
    }
    let mailbox = cursor.astring()?;
    cursor.space()?;
    let second = cursor.peek_second();
    if cursor.peek() == Some(b'(') && second.is_some_and(|byte| byte.is_ascii_alphabetic()) {
        options.read(cursor)?;
        cursor.space()?;
    }
    let entries = entries(cursor)?;
    cursor.end()?;
    Ok(GetMetadata {
        mailbox,
        entries,
        depth: options.depth.unwrap_or_default(),
        max_size: options.max_size,
    })
}

#[derive(Default)]
struct Options {
    depth: Option<Depth>,
    max_size: Option<u64>,
}

impl Options {
    fn read(&mut self, cursor: &mut Cursor) -> Result<()> {
        cursor.list(2, |cursor| match cursor.word().as_str() {
            "MAXSIZE" if self.max_size.is_none() => {
                cursor.space()?;
                self.max_size = Some(cursor.number64()?);
                Ok(())
            }
            "DEPTH" if self.depth.is_none() => {
                cursor.space()?;
                self.depth = Some(match cursor.word().as_str() {
                    "0" => Depth::Zero,
                    "1" => Depth::One,
                    "INFINITY" => Depth::Infinity,
                    _ => return Err(Error::Syntax("0, 1 or infinity expected")),
                });
                Ok(())
            }
            _ => Err(Error::Syntax("MAXSIZE or DEPTH expected, each once")),
        })?;
        Ok(())
    }
}

/// One entry, or some in parentheses.
pub(super) fn entries(cursor: &mut Cursor) -> Result<Vec<String>> {
    if cursor.peek() == Some(b'(') {
        cursor.list(limits::METADATA_ENTRIES_MAX, asked_entry)
    } else {
        Ok(vec![asked_entry(cursor)?])
    }
}

/// An entry that is asked for: it may be one of the two roots, below which all others are.
fn asked_entry(cursor: &mut Cursor) -> Result<String> {
    let name = lower_case(cursor)?;
    let is_root = [metadata::PRIVATE, metadata::SHARED]
        .iter()
        .any(|root| root.strip_suffix('/') == Some(&name));
    if is_root { Ok(name) } else { checked(name) }
}

/// The arguments of SETMETADATA, from the space after its name on.
pub(super) fn set_metadata(cursor: &mut Cursor) -> Result<SetMetadata> {
    cursor.space()?;
    let mailbox = cursor.astring()?;
    cursor.space()?;
    let entries = cursor.list(limits::METADATA_ENTRIES_MAX, |cursor| {
        let name = lower_case(cursor).and_then(checked)?;
        cursor.space()?;
        Ok((name, cursor.binary_nstring()?))
    })?;
    cursor.end()?;
    Ok(SetMetadata { mailbox, entries })
}

/// An entry's name. Names do not regard case (RFC 5464 section 3.2), so there is one spelling.
fn lower_case(cursor: &mut Cursor) -> Result<String> {
    let name = cursor.astring()?;
    if name.is_ascii() {
        Ok(ascii(&name).to_ascii_lowercase())
    } else {
        Err(NO_ENTRY)
    }
}

fn checked(name: String) -> Result<String> {
    if metadata::is_valid(&name) {
        Ok(name)
    } else {
        Err(NO_ENTRY)
    }
}

const NO_ENTRY: Error = Error::Syntax("this cannot be the name of an entry");
