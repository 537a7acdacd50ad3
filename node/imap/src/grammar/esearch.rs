//! ESEARCH, a search of several mailboxes (RFC 7377), and CANCELUPDATE (RFC 5267 section 4.3.5).

use bytes::Bytes;

use super::command::Tag;
use super::lexer::Cursor;
use super::search::{self, Search};
use crate::error::{Error, Result};
use crate::limits;

/// An ESEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiSearch {
    /// Where to search, in the client's order; at most [`limits::SEARCH_SOURCES_MAX`] with all
    /// their names. Never empty: without IN it is the selected mailbox.
    pub sources: Vec<SearchSource>,
    /// What to search for, and what to return. UIDs are told in any case.
    pub search: Search,
}

/// Mailboxes to search (RFC 7377 section 2.2). Names are as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchSource {
    /// The selected mailbox.
    Selected,
    /// Where mail is delivered.
    Inboxes,
    /// The user's own.
    Personal,
    /// Those that are subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<Bytes>),
    /// These and those right below them.
    SubtreeOne(Vec<Bytes>),
    /// These.
    Mailboxes(Vec<Bytes>),
}

/// The arguments of ESEARCH, from the space after its name on.
pub(super) fn multi_search(cursor: &mut Cursor) -> Result<MultiSearch> {
    let mut sources = vec![SearchSource::Selected];
    let mut ahead = cursor.clone();
    ahead.space()?;
    if ahead.eat_word("IN") && ahead.peek() == Some(b' ') {
        *cursor = ahead;
        cursor.space()?;
        let mut names = 0;
        sources = cursor.list(limits::SEARCH_SOURCES_MAX, |cursor| {
            source(cursor, &mut names)
        })?;
    }
    Ok(MultiSearch {
        sources,
        search: search::search(cursor, true)?,
    })
}

fn source(cursor: &mut Cursor, names: &mut usize) -> Result<SearchSource> {
    Ok(match cursor.word().as_str() {
        "SELECTED" => SearchSource::Selected,
        "INBOXES" => SearchSource::Inboxes,
        "PERSONAL" => SearchSource::Personal,
        "SUBSCRIBED" => SearchSource::Subscribed,
        "SUBTREE" => SearchSource::Subtree(mailboxes(cursor, names)?),
        "SUBTREE-ONE" => SearchSource::SubtreeOne(mailboxes(cursor, names)?),
        "MAILBOXES" => SearchSource::Mailboxes(mailboxes(cursor, names)?),
        _ => return Err(Error::Syntax("unknown source of a search")),
    })
}

/// `one-or-more-mailbox` (RFC 5465 section 8) and the space before it.
pub(super) fn mailboxes(cursor: &mut Cursor, names: &mut usize) -> Result<Vec<Bytes>> {
    cursor.space()?;
    let found = if cursor.peek() == Some(b'(') {
        cursor.list(limits::SEARCH_SOURCES_MAX, Cursor::astring)?
    } else {
        vec![cursor.astring()?]
    };
    *names += found.len();
    if *names > limits::SEARCH_SOURCES_MAX {
        return Err(Error::TooBig("too many mailboxes in one command"));
    }
    Ok(found)
}

/// The arguments of CANCELUPDATE: tags in quotes.
pub(super) fn cancel_update(cursor: &mut Cursor) -> Result<Vec<Tag>> {
    let mut tags = Vec::new();
    while cursor.has_argument() {
        cursor.space()?;
        if tags.len() == limits::UPDATE_CONTEXTS_MAX {
            return Err(Error::TooBig("too many tags in one CANCELUPDATE"));
        }
        let mut quoted = Cursor::new(cursor.string()?);
        tags.push(Tag::read(&mut quoted)?);
        quoted.end()?;
    }
    if tags.is_empty() {
        return Err(Error::Syntax("a tag in quotes expected"));
    }
    cursor.end()?;
    Ok(tags)
}
