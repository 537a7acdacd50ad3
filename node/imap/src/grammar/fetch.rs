//! FETCH (RFC 3501 section 6.4.5) with the modifiers of CONDSTORE (RFC 7162 section 3.1.4) and
//! PARTIAL (RFC 9394 section 3.3).

use bytes::Bytes;

use super::lexer::Cursor;
use super::returns::{self, PartialRange};
use super::sequence::{self, SequenceSet};
use crate::error::{Error, Result};
use crate::limits;

/// A FETCH or UID FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whether the set names UIDs; then the answers carry UID even if it was not asked for.
    pub uid: bool,
    /// The messages.
    pub set: SequenceSet,
    /// What is asked for, in the client's order, macros replaced by what they stand for. Never
    /// empty, at most [`limits::FETCH_ITEMS_MAX`].
    pub items: Vec<FetchItem>,
    /// Only messages with a mod-sequence above this (0 to 2^63-1). It enables CONDSTORE and makes
    /// the answers carry MODSEQ.
    pub changed_since: Option<u64>,
    /// Only these of the messages that the set names, in the order of their UIDs. Only with `uid`.
    pub partial: Option<PartialRange>,
    /// Whether those that were expunged since are to be told as well (RFC 7162 section 3.2.6). Only
    /// with UIDs, and only with `changed_since`.
    pub vanished: bool,
}

/// One data item that FETCH may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FetchItem {
    /// `BODY` without brackets: BODYSTRUCTURE without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY[section]<partial>`, or `BODY.PEEK[..]`.
    Section {
        /// What part of the message.
        section: Section,
        /// Which bytes of it, all if `None`.
        partial: Option<Partial>,
        /// Whether `\Seen` stays as it is.
        peek: bool,
    },
    /// `BINARY[part]<partial>`, or `BINARY.PEEK[..]` (RFC 3516): a part, decoded.
    Binary {
        /// Part numbers, as in [`Section::part`].
        part: Vec<u32>,
        /// Which of the decoded bytes, all if `None`.
        partial: Option<Partial>,
        /// Whether `\Seen` stays as it is.
        peek: bool,
    },
    /// `BINARY.SIZE[part]`: how many bytes `BINARY[part]` has.
    BinarySize {
        /// Part numbers, as in [`Section::part`].
        part: Vec<u32>,
    },
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`: like `BODY[]`, by another name.
    Rfc822,
    /// `RFC822.HEADER`: like `BODY.PEEK[HEADER]`, by another name.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`: like `BODY[TEXT]`, by another name.
    Rfc822Text,
    /// `UID`
    Uid,
    /// `MODSEQ`; it enables CONDSTORE.
    ModSeq,
    /// `EMAILID` (RFC 8474 section 5.1)
    EmailId,
    /// `THREADID` (RFC 8474 section 5.2)
    ThreadId,
    /// `SAVEDATE` (RFC 8514 section 4.2)
    SaveDate,
    /// `PREVIEW` (RFC 8970).
    Preview {
        /// `(LAZY)`: only if it costs little.
        lazy: bool,
    },
}

impl FetchItem {
    /// Whether fetching this sets `\Seen`.
    pub fn sets_seen(&self) -> bool {
        match self {
            FetchItem::Section { peek, .. } | FetchItem::Binary { peek, .. } => !peek,
            FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
            _ => false,
        }
    }

    /// The names of header fields in it.
    pub fn field_names(&self) -> &[Bytes] {
        match self {
            FetchItem::Section { section, .. } => match &section.text {
                Some(SectionText::HeaderFields { names, .. }) => names,
                _ => &[],
            },
            _ => &[],
        }
    }
}

/// What stands between the brackets of `BODY[..]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// Part numbers from the outside in, each above zero; empty for the message itself. At most
    /// [`limits::SECTION_DEPTH_MAX`].
    pub part: Vec<u32>,
    /// Which text of that part; `None` for its whole content.
    pub text: Option<SectionText>,
}

/// A text of a message or of one of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS`, or with `except` `HEADER.FIELDS.NOT`.
    HeaderFields {
        /// Whether all fields but these are asked for.
        except: bool,
        /// Field names as the client wrote them, never none. They are echoed in the answer.
        names: Vec<Bytes>,
    },
    /// `TEXT`
    Text,
    /// `MIME`: the header of a part. Only with part numbers.
    Mime,
}

/// `<offset.len>`: at most `len` bytes from `offset` on, fewer or none if the section is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partial {
    /// The first byte, from 0.
    pub offset: u64,
    /// The number of bytes, above zero.
    pub len: u64,
}

/// The arguments of FETCH, from the space after its name on.
pub(super) fn fetch(cursor: &mut Cursor, uid: bool) -> Result<Fetch> {
    cursor.space()?;
    let set = sequence::set(cursor)?;
    cursor.space()?;
    let items = match cursor.peek() {
        Some(b'(') => items(cursor)?,
        _ => macro_or_item(cursor)?,
    };
    let mut fetch = Fetch {
        uid,
        set,
        items,
        changed_since: None,
        vanished: false,
        partial: None,
    };
    modifiers(cursor, &mut fetch)?;
    cursor.end()?;
    Ok(fetch)
}

/// `fetch-att`s in parentheses.
pub(super) fn items(cursor: &mut Cursor) -> Result<Vec<FetchItem>> {
    cursor.list(limits::FETCH_ITEMS_MAX, item)
}

fn macro_or_item(cursor: &mut Cursor) -> Result<Vec<FetchItem>> {
    let fast = [
        FetchItem::Flags,
        FetchItem::InternalDate,
        FetchItem::Rfc822Size,
    ];
    let mut items = fast.to_vec();
    if cursor.eat_word("FAST") {
        return Ok(items);
    }
    items.push(FetchItem::Envelope);
    if cursor.eat_word("ALL") {
        return Ok(items);
    }
    items.push(FetchItem::Body);
    if cursor.eat_word("FULL") {
        return Ok(items);
    }
    Ok(vec![item(cursor)?])
}

fn item(cursor: &mut Cursor) -> Result<FetchItem> {
    let word = cursor.word();
    if cursor.peek() == Some(b'[') {
        return match word.as_str() {
            "BODY" => section_item(cursor, false),
            "BODY.PEEK" => section_item(cursor, true),
            "BINARY" => binary_item(cursor, false),
            "BINARY.PEEK" => binary_item(cursor, true),
            "BINARY.SIZE" => Ok(FetchItem::BinarySize {
                part: binary_part(cursor)?,
            }),
            _ => Err(Error::Syntax("only BODY and BINARY have a section")),
        };
    }
    Ok(match word.as_str() {
        "BODY" => FetchItem::Body,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "ENVELOPE" => FetchItem::Envelope,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "MODSEQ" => FetchItem::ModSeq,
        "PREVIEW" => FetchItem::Preview {
            lazy: cursor.eat_text(b" (LAZY)"),
        },
        "RFC822" => FetchItem::Rfc822,
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "RFC822.TEXT" => FetchItem::Rfc822Text,
        "UID" => FetchItem::Uid,
        "EMAILID" => FetchItem::EmailId,
        "THREADID" => FetchItem::ThreadId,
        "SAVEDATE" => FetchItem::SaveDate,
        _ => return Err(Error::Syntax("unknown data item to fetch")),
    })
}

fn section_item(cursor: &mut Cursor, peek: bool) -> Result<FetchItem> {
    cursor.expect(b'[', "a section expected")?;
    let section = section(cursor)?;
    cursor.expect(b']', "a section does not end")?;
    Ok(FetchItem::Section {
        section,
        partial: optional_partial(cursor)?,
        peek,
    })
}

fn binary_item(cursor: &mut Cursor, peek: bool) -> Result<FetchItem> {
    Ok(FetchItem::Binary {
        part: binary_part(cursor)?,
        partial: optional_partial(cursor)?,
        peek,
    })
}

/// `section-binary` (RFC 3516 section 7): part numbers and no text.
fn binary_part(cursor: &mut Cursor) -> Result<Vec<u32>> {
    cursor.expect(b'[', "a section expected")?;
    let mut part = Vec::new();
    while cursor.peek() != Some(b']') {
        if !part.is_empty() {
            cursor.expect(b'.', "a section of BINARY has part numbers alone")?;
        }
        if part.len() == limits::SECTION_DEPTH_MAX {
            return Err(Error::Syntax("a section is nested too deeply"));
        }
        part.push(cursor.nz_number()?);
    }
    cursor.expect(b']', "a section does not end")?;
    Ok(part)
}

fn optional_partial(cursor: &mut Cursor) -> Result<Option<Partial>> {
    match cursor.peek() {
        Some(b'<') => partial(cursor).map(Some),
        _ => Ok(None),
    }
}

/// What stands between the brackets, up to the closing one.
pub(super) fn section(cursor: &mut Cursor) -> Result<Section> {
    if cursor.peek() == Some(b']') {
        return Ok(Section::default());
    }
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        if part.len() == limits::SECTION_DEPTH_MAX {
            return Err(Error::Syntax("a section is nested too deeply"));
        }
        part.push(cursor.nz_number()?);
        if !cursor.eat(b'.') {
            return Ok(Section { part, text: None });
        }
    }
    let text = match cursor.word().as_str() {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => header_fields(cursor, false)?,
        "HEADER.FIELDS.NOT" => header_fields(cursor, true)?,
        "TEXT" => SectionText::Text,
        "MIME" if part.is_empty() => return Err(Error::Syntax("MIME needs a part number")),
        "MIME" => SectionText::Mime,
        _ => return Err(Error::Syntax("unknown section")),
    };
    Ok(Section {
        part,
        text: Some(text),
    })
}

fn header_fields(cursor: &mut Cursor, except: bool) -> Result<SectionText> {
    cursor.space()?;
    let names = cursor.list(usize::MAX, Cursor::astring)?;
    Ok(SectionText::HeaderFields { except, names })
}

fn partial(cursor: &mut Cursor) -> Result<Partial> {
    cursor.expect(b'<', "a partial range expected")?;
    let offset = cursor.number64()?;
    cursor.expect(b'.', "a partial range is like <0.1024>")?;
    let len = cursor.number64()?;
    cursor.expect(b'>', "a partial range is like <0.1024>")?;
    if len == 0 {
        return Err(Error::Syntax("a partial range of no bytes"));
    }
    Ok(Partial { offset, len })
}

/// The modifiers in parentheses, from the space before them on; possibly none.
fn modifiers(cursor: &mut Cursor, fetch: &mut Fetch) -> Result<()> {
    if cursor.peek() != Some(b' ') || cursor.peek_second() != Some(b'(') {
        return Ok(());
    }
    cursor.space()?;
    cursor.list(limits::FETCH_MODIFIERS_MAX, |cursor| {
        match cursor.word().as_str() {
            "CHANGEDSINCE" => {
                cursor.space()?;
                // RFC 7162 asks for a value above zero, clients send 0 for "all": it does no harm.
                fetch.changed_since = Some(cursor.number64()?);
            }
            "PARTIAL" if fetch.uid => {
                cursor.space()?;
                fetch.partial = Some(returns::partial_range(cursor)?);
            }
            "VANISHED" => fetch.vanished = true,
            _ => return Err(Error::Syntax("unknown fetch modifier")),
        }
        Ok(())
    })?;
    if fetch.vanished && !(fetch.uid && fetch.changed_since.is_some()) {
        return Err(Error::Syntax("VANISHED is for UID FETCH with CHANGEDSINCE"));
    }
    Ok(())
}
