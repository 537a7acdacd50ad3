//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 section 4).

use bytes::Bytes;
use mailbox::{Rights, StoreMode};

use super::lexer::Cursor;
use crate::error::{Error, Result};

/// A SETACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAcl {
    /// The mailbox as sent.
    pub mailbox: Bytes,
    /// Whose rights; with `-` before it, which rights he has not.
    pub identifier: Bytes,
    /// Whether the rights are all, more, or fewer.
    pub mode: StoreMode,
    /// The rights, `c` and `d` taken apart.
    pub rights: Rights,
}

/// A mailbox and an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfIdentifier {
    /// The mailbox as sent.
    pub mailbox: Bytes,
    /// As in [`SetAcl`].
    pub identifier: Bytes,
}

/// The arguments of SETACL, from the space after its name on.
pub(super) fn set_acl(cursor: &mut Cursor) -> Result<SetAcl> {
    let (mailbox, identifier) = two(cursor)?;
    cursor.space()?;
    let rights = cursor.astring()?;
    cursor.end()?;
    let (mode, letters) = match rights.split_first() {
        Some((b'+', letters)) => (StoreMode::Add, letters),
        Some((b'-', letters)) => (StoreMode::Remove, letters),
        _ => (StoreMode::Replace, rights.as_ref()),
    };
    let letters = std::str::from_utf8(letters).ok();
    let rights = letters.and_then(Rights::parse);
    Ok(SetAcl {
        mailbox,
        identifier,
        mode,
        rights: rights.ok_or(Error::Syntax("this is no right"))?,
    })
}

/// The arguments of DELETEACL and LISTRIGHTS, from the space after the name on.
pub(super) fn of_identifier(cursor: &mut Cursor) -> Result<OfIdentifier> {
    let (mailbox, identifier) = two(cursor)?;
    cursor.end()?;
    Ok(OfIdentifier {
        mailbox,
        identifier,
    })
}

fn two(cursor: &mut Cursor) -> Result<(Bytes, Bytes)> {
    cursor.space()?;
    let mailbox = cursor.astring()?;
    cursor.space()?;
    let identifier = cursor.astring()?;
    if identifier.is_empty() {
        return Err(Error::Syntax("an identifier expected"));
    }
    Ok((mailbox, identifier))
}
