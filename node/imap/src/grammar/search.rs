//! SEARCH (RFC 3501 section 6.4.4) with MODSEQ (RFC 7162 section 3.1.5), RETURN (RFC 4731), OLDER
//! and YOUNGER (RFC 5032), and FUZZY (RFC 6203).

use std::borrow::Cow;

use bytes::Bytes;
use encoding_rs::Encoding;

use super::date::{self, Date};
use super::flag::{self, Keyword};
use super::lexer::Cursor;
use super::returns::{self, SearchReturn};
use super::saved::{self, SavedKey};
use super::sequence::{self, SequenceSet};
use crate::error::{Error, Result};
use crate::limits;

/// A SEARCH or UID SEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Whether the answer names UIDs. Sets among the keys name what they say in either case.
    pub uid: bool,
    /// What to return; `None` for the SEARCH response.
    pub returns: Option<SearchReturn>,
    /// The charset of the strings, if given.
    pub charset: Option<Charset>,
    /// What a message must match; several keys are one [`SearchKey::And`].
    pub key: SearchKey,
}

/// The charset of SEARCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// US-ASCII
    UsAscii,
    /// UTF-8
    Utf8,
    /// One that mail is written in as well; strings were decoded from it.
    Other(&'static Encoding),
    /// Any other: to be answered NO with BADCHARSET. The strings of the keys mean nothing then.
    Unknown,
}

/// The charsets that BADCHARSET names: those that mail is written in. Other names of them are known
/// as well.
pub const CHARSETS: &[&str] = &[
    "US-ASCII",
    "UTF-8",
    "ISO-8859-1",
    "ISO-8859-2",
    "ISO-8859-3",
    "ISO-8859-4",
    "ISO-8859-5",
    "ISO-8859-6",
    "ISO-8859-7",
    "ISO-8859-8",
    "ISO-8859-9",
    "ISO-8859-10",
    "ISO-8859-13",
    "ISO-8859-14",
    "ISO-8859-15",
    "ISO-8859-16",
    "WINDOWS-1250",
    "WINDOWS-1251",
    "WINDOWS-1252",
    "WINDOWS-1253",
    "WINDOWS-1254",
    "WINDOWS-1255",
    "WINDOWS-1256",
    "WINDOWS-1257",
    "WINDOWS-1258",
    "WINDOWS-874",
    "KOI8-R",
    "KOI8-U",
    "IBM866",
    "MACINTOSH",
    "GBK",
    "GB18030",
    "BIG5",
    "EUC-JP",
    "ISO-2022-JP",
    "SHIFT_JIS",
    "EUC-KR",
];

impl Charset {
    fn named(name: &[u8]) -> Charset {
        match name.to_ascii_uppercase().as_slice() {
            b"US-ASCII" | b"ASCII" => Charset::UsAscii,
            b"UTF-8" => Charset::Utf8,
            _ => Encoding::for_label_no_replacement(name).map_or(Charset::Unknown, Charset::Other),
        }
    }
}

/// A condition on a message. Nested at most [`limits::SEARCH_DEPTH_MAX`] deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these; never empty.
    And(Vec<SearchKey>),
    /// Either.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// About this (RFC 6203).
    Fuzzy(Box<SearchKey>),
    /// By sequence numbers.
    Set(SequenceSet),
    /// By UIDs.
    Uid(SequenceSet),
    /// `\Answered` is set.
    Answered,
    /// `\Deleted` is set.
    Deleted,
    /// `\Draft` is set.
    Draft,
    /// `\Flagged` is set.
    Flagged,
    /// `\Seen` is set.
    Seen,
    /// `\Recent` is set.
    Recent,
    /// `\Recent` is set and `\Seen` is not.
    New,
    /// `\Recent` is not set.
    Old,
    /// `\Answered` is not set.
    Unanswered,
    /// `\Deleted` is not set.
    Undeleted,
    /// `\Draft` is not set.
    Undraft,
    /// `\Flagged` is not set.
    Unflagged,
    /// `\Seen` is not set.
    Unseen,
    /// The keyword is set.
    Keyword(Keyword),
    /// The keyword is not set.
    Unkeyword(Keyword),
    /// The internal date is earlier than this day.
    Before(Date),
    /// The internal date is on this day.
    On(Date),
    /// The internal date is on this day or later.
    Since(Date),
    /// The internal date is at least so many seconds ago.
    Older(u32),
    /// The internal date is at most so many seconds ago.
    Younger(u32),
    /// The Date field is earlier than this day.
    SentBefore(Date),
    /// The Date field is on this day.
    SentOn(Date),
    /// The Date field is on this day or later.
    SentSince(Date),
    /// More bytes than this.
    Larger(u64),
    /// Fewer bytes than this.
    Smaller(u64),
    /// The envelope's Bcc contains this.
    Bcc(String),
    /// The text without the header contains this.
    Body(String),
    /// The envelope's Cc contains this.
    Cc(String),
    /// The envelope's From contains this.
    From(String),
    /// A field of this name contains this; an empty value asks whether the field exists.
    Header {
        /// The field's name as the client wrote it.
        name: Bytes,
        /// What its decoded value must contain.
        value: String,
    },
    /// The envelope's Subject contains this.
    Subject(String),
    /// The header or the text contains this.
    Text(String),
    /// The envelope's To contains this.
    To(String),
    /// The mod-sequence is at least this. It enables CONDSTORE. The entry that RFC 7162 lets a
    /// client name is read and dropped: we keep one mod-sequence per message.
    ModSeq(u64),
    /// A condition of RFC 8474, RFC 8514 or RFC 9738.
    Saved(SavedKey),
}

impl SearchKey {
    /// Whether something in it is FUZZY. At most [`limits::SEARCH_DEPTH_MAX`] levels deep.
    pub fn has_fuzzy(&self) -> bool {
        match self {
            SearchKey::Fuzzy(_) => true,
            SearchKey::And(keys) => keys.iter().any(SearchKey::has_fuzzy),
            SearchKey::Or(one, other) => one.has_fuzzy() || other.has_fuzzy(),
            SearchKey::Not(key) => key.has_fuzzy(),
            _ => false,
        }
    }
}

const NOT_IN_CHARSET: Error = Error::Syntax("a search string is not in its charset");

/// The arguments of SEARCH, from the space after its name on.
pub(super) fn search(cursor: &mut Cursor, uid: bool) -> Result<Search> {
    cursor.space()?;
    let returns = returns::optional(cursor, false)?;
    let mut charset = None;
    if cursor.eat_word("CHARSET") {
        cursor.space()?;
        charset = Some(Charset::named(&cursor.astring()?));
        cursor.space()?;
    }
    let key = keys(cursor, charset)?;
    let wants_relevancy = returns.as_ref().is_some_and(|returns| returns.relevancy);
    check_relevancy(wants_relevancy, &key)?;
    Ok(Search {
        uid,
        returns,
        charset,
        key,
    })
}

/// Relevancy is that of FUZZY (RFC 6203 sections 4 and 6).
pub(super) fn check_relevancy(is_wanted: bool, key: &SearchKey) -> Result<()> {
    if is_wanted && !key.has_fuzzy() {
        return Err(Error::Syntax("RELEVANCY is only of a search with FUZZY"));
    }
    Ok(())
}

/// `search-criteria` of SORT and THREAD (RFC 5256 section 5), from the space before it on.
pub(super) fn charset_and_keys(cursor: &mut Cursor) -> Result<(Charset, SearchKey)> {
    cursor.space()?;
    let charset = Charset::named(&cursor.astring()?);
    cursor.space()?;
    Ok((charset, keys(cursor, Some(charset))?))
}

/// One or more keys up to the end of the command.
fn keys(cursor: &mut Cursor, charset: Option<Charset>) -> Result<SearchKey> {
    let mut keys = Keys { cursor, charset };
    let mut all = vec![keys.key(0)?];
    while keys.cursor.has_argument() {
        keys.cursor.space()?;
        all.push(keys.key(0)?);
    }
    cursor.end()?;
    Ok(if all.len() == 1 {
        all.remove(0)
    } else {
        SearchKey::And(all)
    })
}

struct Keys<'a> {
    cursor: &'a mut Cursor,
    charset: Option<Charset>,
}

impl Keys<'_> {
    /// `search-key` at `depth`, 0 being the outermost.
    fn key(&mut self, depth: usize) -> Result<SearchKey> {
        if depth > limits::SEARCH_DEPTH_MAX {
            return Err(Error::Syntax("search keys are nested too deeply"));
        }
        if self.cursor.peek() == Some(b'(') {
            return self.group(depth);
        }
        if sequence::is_next(self.cursor) {
            return sequence::set(self.cursor).map(SearchKey::Set);
        }
        let word = self.cursor.word();
        if let Some(key) = without_argument(&word) {
            return Ok(key);
        }
        match word.as_str() {
            "NOT" => Ok(SearchKey::Not(self.argument_key(depth)?)),
            "FUZZY" => Ok(SearchKey::Fuzzy(self.argument_key(depth)?)),
            "OR" => Ok(SearchKey::Or(
                self.argument_key(depth)?,
                self.argument_key(depth)?,
            )),
            _ => self.with_argument(&word),
        }
    }

    fn group(&mut self, depth: usize) -> Result<SearchKey> {
        self.cursor
            .expect(b'(', "a group of search keys expected")?;
        let mut keys = vec![self.key(depth + 1)?];
        while self.cursor.eat(b' ') {
            keys.push(self.key(depth + 1)?);
        }
        self.cursor
            .expect(b')', "a group of search keys does not end")?;
        Ok(if keys.len() == 1 {
            keys.remove(0)
        } else {
            SearchKey::And(keys)
        })
    }

    fn argument_key(&mut self, depth: usize) -> Result<Box<SearchKey>> {
        self.cursor.space()?;
        self.key(depth + 1).map(Box::new)
    }

    fn with_argument(&mut self, word: &str) -> Result<SearchKey> {
        let is_known = ARGUMENT_KEYS.contains(&word) || saved::ARGUMENT_KEYS.contains(&word);
        if !is_known {
            return Err(Error::Syntax("unknown search key"));
        }
        self.cursor.space()?;
        Ok(match word {
            "BCC" => SearchKey::Bcc(self.text()?),
            "BODY" => SearchKey::Body(self.text()?),
            "CC" => SearchKey::Cc(self.text()?),
            "FROM" => SearchKey::From(self.text()?),
            "HEADER" => self.header()?,
            "SUBJECT" => SearchKey::Subject(self.text()?),
            "TEXT" => SearchKey::Text(self.text()?),
            "TO" => SearchKey::To(self.text()?),
            "BEFORE" => SearchKey::Before(date::date(self.cursor)?),
            "ON" => SearchKey::On(date::date(self.cursor)?),
            "SINCE" => SearchKey::Since(date::date(self.cursor)?),
            "SENTBEFORE" => SearchKey::SentBefore(date::date(self.cursor)?),
            "SENTON" => SearchKey::SentOn(date::date(self.cursor)?),
            "SENTSINCE" => SearchKey::SentSince(date::date(self.cursor)?),
            "KEYWORD" => SearchKey::Keyword(flag::keyword(self.cursor)?),
            "UNKEYWORD" => SearchKey::Unkeyword(flag::keyword(self.cursor)?),
            "LARGER" => SearchKey::Larger(self.cursor.number64()?),
            "SMALLER" => SearchKey::Smaller(self.cursor.number64()?),
            "OLDER" => SearchKey::Older(self.cursor.nz_number()?),
            "YOUNGER" => SearchKey::Younger(self.cursor.nz_number()?),
            "UID" => SearchKey::Uid(sequence::set(self.cursor)?),
            "MODSEQ" => self.modseq()?,
            _ => SearchKey::Saved(saved::with_argument(self.cursor, word)?),
        })
    }

    /// A string to look for. Without a charset, UTF-8 is accepted: clients send it.
    fn text(&mut self) -> Result<String> {
        let bytes = self.cursor.astring()?;
        if let Some(Charset::Other(encoding)) = self.charset {
            let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
            return text.map(Cow::into_owned).ok_or(NOT_IN_CHARSET);
        }
        match (std::str::from_utf8(&bytes), self.charset) {
            (Ok(text), _) => Ok(text.to_owned()),
            (Err(_), Some(Charset::Unknown)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            (Err(_), _) => Err(NOT_IN_CHARSET),
        }
    }

    fn header(&mut self) -> Result<SearchKey> {
        let name = self.cursor.astring()?;
        self.cursor.space()?;
        Ok(SearchKey::Header {
            name,
            value: self.text()?,
        })
    }

    fn modseq(&mut self) -> Result<SearchKey> {
        if self.cursor.peek() == Some(b'"') {
            self.cursor.string()?;
            self.cursor.space()?;
            if !matches!(self.cursor.word().as_str(), "ALL" | "PRIV" | "SHARED") {
                return Err(Error::Syntax("a MODSEQ entry is all, priv or shared"));
            }
            self.cursor.space()?;
        }
        self.cursor.number64().map(SearchKey::ModSeq)
    }
}

const ARGUMENT_KEYS: [&str; 22] = [
    "BCC",
    "BODY",
    "CC",
    "FROM",
    "HEADER",
    "SUBJECT",
    "TEXT",
    "TO",
    "BEFORE",
    "ON",
    "SINCE",
    "SENTBEFORE",
    "SENTON",
    "SENTSINCE",
    "KEYWORD",
    "UNKEYWORD",
    "LARGER",
    "SMALLER",
    "OLDER",
    "YOUNGER",
    "UID",
    "MODSEQ",
];

fn without_argument(word: &str) -> Option<SearchKey> {
    Some(match word {
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Answered,
        "DELETED" => SearchKey::Deleted,
        "DRAFT" => SearchKey::Draft,
        "FLAGGED" => SearchKey::Flagged,
        "NEW" => SearchKey::New,
        "OLD" => SearchKey::Old,
        "RECENT" => SearchKey::Recent,
        "SEEN" => SearchKey::Seen,
        "UNANSWERED" => SearchKey::Unanswered,
        "UNDELETED" => SearchKey::Undeleted,
        "UNDRAFT" => SearchKey::Undraft,
        "UNFLAGGED" => SearchKey::Unflagged,
        "UNSEEN" => SearchKey::Unseen,
        "SAVEDATESUPPORTED" => SearchKey::Saved(SavedKey::Supported),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_that_are_named_are_known() {
        for name in CHARSETS {
            assert_ne!(Charset::named(name.as_bytes()), Charset::Unknown, "{name}");
        }
        assert_eq!(Charset::named(b"X-UNKNOWN"), Charset::Unknown);
    }
}
