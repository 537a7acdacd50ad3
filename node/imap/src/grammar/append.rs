//! APPEND and REPLACE, read piece by piece between the messages that they bring.
//!
//! ```text
//!   APPEND mailbox   1*( SP [flags SP] [date SP] data )            RFC 3501 6.3.11, RFC 3502
//!   REPLACE id mailbox   SP [flags SP] [date SP] data              RFC 8508
//!   data:  literal / literal8                                      RFC 3516
//!          UTF8 SP "(" literal8 ")"                                RFC 6855
//!          CATENATE SP "(" part *(SP part) ")"                     RFC 4469
//!   part:  URL SP astring / TEXT SP literal
//! ```
//!
//! The framer hands over the text up to each literal and at last up to the end of the command; an
//! [`Appending`] gives out, one by one, what stands there. Nothing that was read is read again.

use bytes::Bytes;

use super::command::Tag;
use super::date::{self, DateTime};
use super::flag::{self, Flag};
use super::lexer::Cursor;
use super::literal::Announced;
use super::sequence::{self, SequenceSet};
use crate::error::{Error, Result};
use crate::limits;

/// An APPEND or REPLACE up to its first message.
///
/// What follows comes as [`super::Item::Message`], [`super::Item::Url`] and
/// [`super::Item::Literal`], until [`super::Item::AppendEnd`] or [`super::Item::Bad`]. At any of
/// these [`super::Framer::refuse_append`] ends the command, and the caller writes the tagged NO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendStart {
    /// To be echoed in the tagged response.
    pub tag: Tag,
    /// Which command.
    pub verb: AppendVerb,
    /// The mailbox's name as sent.
    pub mailbox: Bytes,
}

/// What shall be done with the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendVerb {
    /// APPEND: they are added.
    Append,
    /// REPLACE and UID REPLACE: a message of the selected mailbox goes for it.
    Replace {
        /// Whether it is named by UID.
        uid: bool,
        /// Which: one number, or `*`.
        message: SequenceSet,
    },
}

impl AppendVerb {
    /// The command's name as in [`super::COMMANDS`].
    pub fn name(&self) -> &'static str {
        match self {
            AppendVerb::Append => "APPEND",
            AppendVerb::Replace { uid: false, .. } => "REPLACE",
            AppendVerb::Replace { uid: true, .. } => "UID REPLACE",
        }
    }
}

/// A message of an APPEND begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageStart {
    /// Its flags, possibly none.
    pub flags: Vec<Flag>,
    /// Its internal date, if the client says one.
    pub date: Option<DateTime>,
    /// In which form its bytes come.
    pub form: MessageForm,
}

/// In which form the bytes of a message come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageForm {
    /// One literal.
    Whole,
    /// One literal whose headers are in UTF-8 (RFC 6855 section 4).
    Utf8,
    /// Any number of URLs and literals, to be joined.
    Catenate,
}

/// A literal with bytes of a message is about to come.
///
/// The caller answers with [`super::Framer::accept_literal`], and with `+` if `sync`, or with
/// [`super::Framer::refuse_append`] and a tagged NO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralStart {
    /// Exactly how many bytes it has.
    pub size: u64,
    /// Whether the client waits for `+` before it sends them.
    pub sync: bool,
    /// Whether it is a `literal8`, which may hold NUL.
    pub binary: bool,
}

/// What stands next in a command that appends.
pub(super) enum Next {
    Message(MessageStart),
    Url(Bytes),
    /// The text has ended with a literal of a message.
    Literal {
        binary: bool,
    },
    /// The text has ended with a literal that is an argument, to be held: the next text begins
    /// with its bytes.
    Argument,
    /// The command has ended.
    End,
}

/// A command that appends, as far as it was read.
#[derive(Debug)]
pub(super) struct Appending {
    tag: Tag,
    replaces: bool,
    place: Place,
    cursor: Cursor,
    /// The literal that the text ended with.
    literal: Option<Announced>,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first message.
    First,
    /// After a message: the end, or a space and another one.
    Between,
    /// In the parentheses of CATENATE, before a part.
    Part,
    /// At the bytes of a URL that is a literal, so many.
    Url { size: u64 },
    /// After a part.
    AfterPart,
    /// After the literal of UTF8.
    AfterUtf8,
    /// The literal that was announced.
    Literal { binary: bool, then: AfterLiteral },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterLiteral {
    Message,
    Part,
    Utf8,
}

/// Whether a command's text begins like one that appends.
pub(super) fn is_append(text: &[u8]) -> bool {
    let mut words = text.splitn(4, |&byte| byte == b' ').skip(1);
    let mut next = || words.next().unwrap_or_default();
    let first = next();
    let is = |word: &[u8], name: &[u8]| word.eq_ignore_ascii_case(name);
    let has_tag = text.first().is_some_and(|&byte| byte != b' ');
    has_tag
        && (is(first, b"APPEND")
            || is(first, b"REPLACE")
            || (is(first, b"UID") && is(next(), b"REPLACE")))
}

/// Reads a command that appends up to its mailbox. `None` if the text ends before the mailbox, with
/// a literal that is its name.
///
/// # Errors
/// `Syntax` if it cannot become a valid command.
pub(super) fn begin(
    text: Bytes,
    literal: Option<Announced>,
) -> Result<Option<(AppendStart, Appending)>> {
    let mut cursor = Cursor::new(text);
    let tag = Tag::read(&mut cursor)?;
    cursor.space()?;
    let mut name = cursor.word();
    let uid = name == "UID";
    if uid {
        cursor.space()?;
        name = cursor.word();
    }
    let verb = if name == "REPLACE" {
        cursor.space()?;
        let message = sequence::single(&mut cursor)?;
        AppendVerb::Replace { uid, message }
    } else {
        AppendVerb::Append
    };
    cursor.space()?;
    if cursor.at_end() && literal.is_some() {
        return Ok(None);
    }
    let start = AppendStart {
        tag: tag.clone(),
        mailbox: cursor.astring()?,
        verb,
    };
    let appending = Appending {
        tag,
        replaces: start.verb != AppendVerb::Append,
        place: Place::First,
        cursor,
        literal,
    };
    Ok(Some((start, appending)))
}

impl Appending {
    /// The command's tag.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// The literal that the text in hand ends with.
    pub fn literal(&self) -> Option<Announced> {
        self.literal
    }

    /// The text that follows the last literal; of an argument its bytes stand before it.
    pub fn resume(&mut self, text: Bytes, literal: Option<Announced>) {
        self.cursor = Cursor::new(text);
        self.literal = literal;
    }

    /// What stands next.
    ///
    /// # Errors
    /// `Syntax`, and then the command is over.
    pub fn next(&mut self) -> Result<Next> {
        loop {
            match self.place {
                Place::First => return self.message(),
                Place::Between if self.is_ended() => return Ok(Next::End),
                Place::Between if self.replaces => {
                    return Err(Error::Syntax("one message replaces one"));
                }
                Place::Between if self.cursor.peek() != Some(b' ') => {
                    return Err(Error::Syntax("a message is longer than announced"));
                }
                Place::Between => return self.message(),
                Place::Part => return self.part(),
                Place::Url { size } => {
                    self.place = Place::AfterPart;
                    return self.held(size).map(Next::Url);
                }
                Place::AfterPart if self.cursor.eat(b')') => self.place = Place::Between,
                Place::AfterPart => {
                    self.cursor
                        .expect(b' ', "a message does not end with a parenthesis")?;
                    self.place = Place::Part;
                }
                Place::AfterUtf8 => {
                    self.cursor
                        .expect(b')', "a message does not end with a parenthesis")?;
                    self.place = Place::Between;
                }
                Place::Literal { binary, then } => {
                    self.place = match then {
                        AfterLiteral::Message => Place::Between,
                        AfterLiteral::Part => Place::AfterPart,
                        AfterLiteral::Utf8 => Place::AfterUtf8,
                    };
                    return Ok(Next::Literal { binary });
                }
            }
        }
    }

    /// Whether the command ends here. Trailing spaces are forgiven.
    fn is_ended(&self) -> bool {
        self.literal.is_none() && self.cursor.has_only_spaces()
    }

    fn message(&mut self) -> Result<Next> {
        let is_first = self.place == Place::First;
        if is_first && self.literal.is_none() && !self.cursor.has_argument() {
            return Err(Error::Syntax("APPEND ends with its message, a literal"));
        }
        if !is_first {
            // IMAPClient puts two spaces between messages without flags.
            while self.cursor.peek_second() == Some(b' ') && self.cursor.eat(b' ') {}
        }
        self.cursor.space()?;
        let mut flags = Vec::new();
        if self.cursor.peek() == Some(b'(') {
            flags = self.cursor.list_or_empty(limits::FLAGS_MAX, flag::flag)?;
            self.cursor.space()?;
        }
        let mut date = None;
        if self.cursor.peek() == Some(b'"') {
            date = Some(date::date_time(&mut self.cursor)?);
            self.cursor.space()?;
        }
        let form = if self.cursor.eat_text(b"CATENATE (") {
            self.place = Place::Part;
            MessageForm::Catenate
        } else if self.cursor.eat_text(b"UTF8 (") {
            let binary = self.cursor.peek() == Some(b'~');
            if !binary {
                return Err(Error::Syntax("UTF8 wants a literal like ~{310}"));
            }
            self.literal_here(AfterLiteral::Utf8)?;
            MessageForm::Utf8
        } else {
            self.literal_here(AfterLiteral::Message)?;
            MessageForm::Whole
        };
        Ok(Next::Message(MessageStart { flags, date, form }))
    }

    fn part(&mut self) -> Result<Next> {
        if self.cursor.eat_text(b"TEXT ") {
            self.literal_here(AfterLiteral::Part)?;
            return self.next();
        }
        if !self.cursor.eat_text(b"URL ") {
            return Err(Error::Syntax("URL or TEXT expected"));
        }
        if let Some(literal) = self.literal.filter(|_| self.cursor.at_end()) {
            let size = literal.size.unwrap_or(u64::MAX);
            self.place = Place::Url { size };
            return Ok(Next::Argument);
        }
        self.place = Place::AfterPart;
        Ok(Next::Url(self.cursor.astring()?))
    }

    /// The text must end here, with a literal of a message.
    fn literal_here(&mut self, then: AfterLiteral) -> Result<()> {
        let binary = self.cursor.eat(b'~');
        if self.literal.is_none() || !self.cursor.at_end() {
            return Err(Error::Syntax("flags, a date or a message expected"));
        }
        self.place = Place::Literal { binary, then };
        Ok(())
    }

    /// The bytes of a literal that is held.
    fn held(&mut self, size: u64) -> Result<Bytes> {
        match self.cursor.take(size) {
            Some(held) if !held.contains(&0) => Ok(held),
            Some(_) => Err(Error::Syntax("NUL in a literal")),
            None => Err(Error::Syntax("a literal is shorter than announced")),
        }
    }
}
