//! APPEND up to its message (RFC 3501 section 6.3.11): what the framer reads before the bytes come.

use bytes::Bytes;

use super::command::Tag;
use super::date::{self, DateTime};
use super::flag::{self, Flag};
use super::lexer::Cursor;
use crate::error::{Error, Result};
use crate::limits;

/// An APPEND whose message is about to come.
///
/// The caller answers with [`super::Framer::accept_literal`], and with `+` if `sync`, or with
/// [`super::Framer::refuse_literal`] and a tagged NO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendStart {
    /// To be echoed in the tagged response.
    pub tag: Tag,
    /// The mailbox's name as sent.
    pub mailbox: Bytes,
    /// The message's flags, possibly none.
    pub flags: Vec<Flag>,
    /// Its internal date, if the client says one.
    pub date: Option<DateTime>,
    /// Exactly how many bytes the message has.
    pub size: u64,
    /// Whether the client waits for `+` before it sends them.
    pub sync: bool,
}

/// What a literal is, judged by the text before it.
pub(super) enum Before {
    /// An argument, to be held.
    Argument,
    /// The message of an APPEND. Size and `sync` are still to be set.
    Message(AppendStart),
}

/// Whether a command's text begins like an APPEND.
pub(super) fn is_append(text: &[u8]) -> bool {
    let mut words = text.splitn(3, |&byte| byte == b' ');
    let has_tag = words.next().is_some_and(|tag| !tag.is_empty());
    has_tag
        && words
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"APPEND"))
}

/// Judges a literal by the whole text before its `{`.
///
/// # Errors
/// `Syntax` if no argument of APPEND may begin there, so that nothing needs to be awaited.
pub(super) fn before_literal(text: Bytes) -> Result<Before> {
    let mut cursor = Cursor::new(text);
    let tag = Tag::read(&mut cursor)?;
    cursor.space()?;
    cursor.word();
    cursor.space()?;
    if cursor.at_end() {
        return Ok(Before::Argument);
    }
    let mailbox = cursor.astring()?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.list_or_empty(limits::FLAGS_MAX, flag::flag)?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(date::date_time(&mut cursor)?);
        cursor.space()?;
    }
    if cursor.peek() == Some(b'~') {
        return Err(Error::Syntax("binary literals are not supported"));
    }
    if !cursor.at_end() {
        return Err(Error::Syntax("flags, a date or a message expected"));
    }
    Ok(Before::Message(AppendStart {
        tag,
        mailbox,
        flags,
        date,
        size: 0,
        sync: false,
    }))
}
