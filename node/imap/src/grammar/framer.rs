//! The framer: where one command ends and the next begins.

use bytes::{Buf, Bytes, BytesMut};

use super::append::{self, AppendStart, Appending, LiteralStart, MessageStart, Next};
use super::command::{self, Command, Tag};
use super::literal::{ANNOUNCED_BYTES_MAX, Announced, announced};
use super::table;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// What comes out of a connection's stream, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole command.
    Command(Command),
    /// The client waits with a literal: answer a `+` line. The command itself comes later.
    Continue,
    /// An APPEND or REPLACE up to its first message.
    Append(AppendStart),
    /// The next message of an APPEND begins, and the one before it was whole.
    Message(MessageStart),
    /// A part of the message is what this URL names (RFC 4469).
    Url(Bytes),
    /// Bytes of the message are about to come. Nothing more comes until
    /// [`Framer::accept_literal`] or [`Framer::refuse_append`] is called.
    Literal(LiteralStart),
    /// The next bytes of the accepted literal, at least one.
    Body(Bytes),
    /// The last message is whole and the command has ended.
    AppendEnd,
    /// The raw line that [`Framer::expect_line`] asked for, without its line end.
    Line(Bytes),
    /// Not a command: answer BAD. After [`Item::Append`] it says that all of its messages must be
    /// thrown away; instead of [`Item::Line`] that the line was too long.
    Bad(Bad),
}

/// A command that is not in the grammar or beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The command's tag; `None` if none could be read: the answer is untagged then.
    pub tag: Option<Tag>,
    /// Why: `Syntax`, or `TooBig`, to be answered with that code.
    pub error: Error,
}

/// Cuts a stream of bytes into commands, holding no more than [`Limits`].
///
/// The caller pushes what it read, then calls [`Framer::next`] until it returns `None`, and only
/// then reads again. It handles every item before it asks for the next one, so that limits and
/// modes which a command changes hold for the very next byte.
///
/// Invariants: `start <= scanned <= buf.len()` while a command is gathered; no line end lies
/// between `start` and `scanned`; a literal's bytes are never searched for line ends.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    /// The command or line being gathered, and whatever was received after it.
    buf: BytesMut,
    /// Where the text after the last literal begins, 0 if there was none.
    start: usize,
    /// Up to where there is no line end.
    scanned: usize,
    /// Bytes of all literals so far that are in the buffer.
    literals: usize,
    /// The APPEND that is being read.
    append: Option<Box<Appending>>,
}

/// What the next bytes are.
#[derive(Debug)]
enum State {
    /// Text of a command.
    Text,
    /// A raw line.
    Raw,
    /// The rest of a literal that ends at this place in the buffer.
    Literal { end: usize },
    /// Text of an APPEND that was received and is being given out.
    Append,
    /// The caller decides about a literal.
    Asked { size: u64, sync: bool },
    /// A literal of a message, so many bytes of it still to come.
    Body { left: u64 },
    /// Refused: bytes of a literal are thrown away, then text. `budget` bounds both together.
    SkipLiteral { left: u64, budget: u64 },
    /// Refused: text is thrown away up to the end of the command.
    SkipText { budget: u64 },
    /// The stream cannot be read on.
    Dead(Error),
}

const SKIPPED_TOO_MUCH: Error = Error::Fatal("a refused command is too long to be skipped");
const LINE_TOO_LONG: Error = Error::TooBig("a line is too long");
const LITERAL_TOO_BIG: Error = Error::TooBig("a literal is too big");

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: Limits) -> Framer {
        Framer {
            limits,
            state: State::Text,
            buf: BytesMut::new(),
            start: 0,
            scanned: 0,
            literals: 0,
            append: None,
        }
    }

    /// Sets limits that hold from the next command on, as after login.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes bytes that were read, by copying them. The caller pushes as much as it is willing to
    /// hold beyond [`Framer::buffered_max`]: [`crate::limits::READ_BYTES`] at once is plenty.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The buffer to read into without a copy. Only append to it, as [`Framer::push`] does.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Bytes that are held now.
    pub fn buffered(&self) -> usize {
        self.buf.len()
    }

    /// The most bytes that are held once [`Framer::next`] has returned `None`.
    pub fn buffered_max(&self) -> usize {
        self.limits.line_bytes_max + self.limits.literal_bytes_max
    }

    /// The next item; `None` until more bytes are pushed, or until the caller has decided about an
    /// [`Item::Literal`].
    ///
    /// # Errors
    /// Only [`Error::Fatal`], and then always again: answer BYE and close.
    #[expect(
        clippy::should_implement_trait,
        reason = "None is not the end, and it may fail"
    )]
    pub fn next(&mut self) -> Result<Option<Item>> {
        loop {
            let step = match &mut self.state {
                State::Text => self.text(),
                State::Raw => self.raw_line(),
                State::Literal { end } => {
                    let end = *end;
                    self.literal(end)
                }
                State::Append => self.append(),
                State::Asked { .. } => Step::Wait,
                State::Body { .. } => self.body(),
                State::SkipLiteral { .. } => self.skip_literal(),
                State::SkipText { .. } => self.skip_text(),
                State::Dead(error) => {
                    self.buf = BytesMut::new();
                    return Err(*error);
                }
            };
            match step {
                Step::Again => {}
                Step::Wait => return Ok(None),
                Step::Yield(item) => return Ok(Some(item)),
            }
        }
    }

    /// Makes the next line an [`Item::Line`], whatever it holds: for SASL responses and IDLE's
    /// DONE. To be called between commands, once for each line.
    pub fn expect_line(&mut self) {
        if matches!(self.state, State::Text) && self.append.is_none() {
            self.state = State::Raw;
        }
    }

    /// Accepts the [`Item::Literal`] that was just returned. If it is `sync`, the caller writes a
    /// `+` line.
    pub fn accept_literal(&mut self) {
        if let State::Asked { size, .. } = self.state {
            self.state = State::Body { left: size };
        }
    }

    /// Refuses the APPEND that is being read, at whatever item of it: the caller writes the tagged
    /// NO. A client that waits for `+` has ended its command with that. What else belongs to the
    /// command is thrown away; if that is too much, [`Framer::next`] fails.
    pub fn refuse_append(&mut self) {
        let Some(append) = self.append.take() else {
            return;
        };
        let budget = self.limits.append_skip_bytes_max;
        self.state = match self.state {
            State::Asked { size, sync: false } => skip(size, budget),
            State::Append => match append.literal() {
                Some(literal) if !literal.sync => skip(literal.size.unwrap_or(u64::MAX), budget),
                _ => State::Text,
            },
            State::Body { left } => skip(left, budget),
            State::Text => State::SkipText { budget },
            // The client waits with a literal, and will not send it.
            _ => State::Text,
        };
        self.restart();
    }

    /// Throws away all that was received and not yet returned, and says how many bytes it was: for
    /// STARTTLS, since what came in plain text before the handshake must not be executed after it.
    pub fn discard_buffered(&mut self) -> usize {
        let discarded = self.buf.len();
        self.buf = BytesMut::new();
        self.append = None;
        self.restart();
        if !matches!(self.state, State::Dead(_)) {
            self.state = State::Text;
        }
        discarded
    }

    /// Whether the stream is between two commands and nothing was received of the next one.
    pub fn is_idle(&self) -> bool {
        self.buf.is_empty()
            && self.append.is_none()
            && matches!(self.state, State::Text | State::Raw)
    }

    /// Gathers text up to a line end.
    fn text(&mut self) -> Step {
        let Some(end) = self.find_line_end() else {
            return self.refuse_if_long(self.buf.len());
        };
        if let step @ Step::Yield(_) = self.refuse_if_long(end) {
            return step;
        }
        let line = self.buf.get(self.start..end).unwrap_or_default();
        let literal = announced(line, self.start);
        let has_return = line.last() == Some(&b'\r');
        let text_end = literal.map_or(end - usize::from(has_return), |literal| literal.brace);
        let text = self.buf.get(..text_end).unwrap_or_default();
        if let Some(append) = &mut self.append {
            append.resume(Bytes::copy_from_slice(text), literal);
            self.buf.advance(end + 1);
            self.restart();
            self.state = State::Append;
            return Step::Again;
        }
        if append::is_append(text) {
            let text = Bytes::copy_from_slice(text);
            return self.begin_append(text, literal, end);
        }
        match literal {
            Some(literal) => self.argument(literal, end),
            None => self.command(end),
        }
    }

    /// A whole command, whose line end stands at `end`.
    fn command(&mut self, end: usize) -> Step {
        let text = self.take_line(end);
        self.restart();
        if text.is_empty() {
            return Step::Again;
        }
        Step::Yield(match command::parse(text) {
            Ok(command) => Item::Command(command),
            Err(bad) => Item::Bad(bad),
        })
    }

    /// The text of an APPEND up to its first literal or its end; the line ends at `end`.
    fn begin_append(&mut self, text: Bytes, literal: Option<Announced>, end: usize) -> Step {
        let tag = Tag::at_start_of(&text);
        match (append::begin(text, literal), literal) {
            (Ok(Some((start, append))), _) => {
                self.buf.advance(end + 1);
                self.restart();
                self.append = Some(Box::new(append));
                self.state = State::Append;
                Step::Yield(Item::Append(start))
            }
            (Ok(None), Some(literal)) => self.argument(literal, end),
            (Ok(None), None) => self.command(end),
            (Err(error), Some(literal)) => {
                let budget = self.limits.append_skip_bytes_max;
                self.refuse_announced(error, literal, end, budget)
            }
            (Err(error), None) => {
                self.buf.advance(end + 1);
                self.restart();
                Step::Yield(Item::Bad(Bad { tag, error }))
            }
        }
    }

    /// What stands next in the APPEND.
    fn append(&mut self) -> Step {
        let Some(append) = &mut self.append else {
            self.state = State::Text;
            return Step::Again;
        };
        match (append.next(), append.literal()) {
            (Ok(Next::Message(start)), _) => Step::Yield(Item::Message(start)),
            (Ok(Next::Url(url)), _) => Step::Yield(Item::Url(url)),
            (Ok(Next::Literal { binary }), Some(literal)) => match literal.size {
                Some(size) => {
                    let sync = literal.sync;
                    self.state = State::Asked { size, sync };
                    Step::Yield(Item::Literal(LiteralStart { size, sync, binary }))
                }
                None => self.fail_append(LITERAL_TOO_BIG),
            },
            (Ok(Next::Argument), Some(literal)) => self.append_argument(literal),
            (Ok(_), _) => {
                self.append = None;
                self.state = State::Text;
                Step::Yield(Item::AppendEnd)
            }
            (Err(error), _) => self.fail_append(error),
        }
    }

    /// Gathers a literal that is an argument in the middle of an APPEND.
    fn append_argument(&mut self, literal: Announced) -> Step {
        let size = literal.size.and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|&size| size <= self.limits.literal_bytes_max) else {
            return self.fail_append(LITERAL_TOO_BIG);
        };
        self.literals = size;
        self.state = State::Literal { end: size };
        if literal.sync {
            Step::Yield(Item::Continue)
        } else {
            Step::Again
        }
    }

    /// Gives the APPEND up in the middle.
    fn fail_append(&mut self, error: Error) -> Step {
        let tag = self.append.as_ref().map(|append| append.tag().clone());
        self.refuse_append();
        Step::Yield(Item::Bad(Bad { tag, error }))
    }

    /// The line that ends at `end` announces a literal that is an argument.
    fn argument(&mut self, literal: Announced, end: usize) -> Step {
        let left = self.limits.literal_bytes_max.saturating_sub(self.literals);
        let size = literal.size.and_then(|size| usize::try_from(size).ok());
        let budget = self.limits.skip_bytes_max;
        let Some(size) = size.filter(|&size| size <= left) else {
            return self.refuse_announced(LITERAL_TOO_BIG, literal, end, budget);
        };
        // A client that waits need not send what no command takes (RFC 3501 section 7.5).
        let is_first = self.start == 0;
        let text = self.buf.get(..end).unwrap_or_default();
        if is_first && literal.sync && !table::is_known(text) {
            return self.refuse_announced(command::UNKNOWN, literal, end, budget);
        }
        self.literals += size;
        self.state = State::Literal {
            end: end + 1 + size,
        };
        if literal.sync {
            Step::Yield(Item::Continue)
        } else {
            Step::Again
        }
    }

    /// Refuses the command because of a literal: a client that waits for `+` will not send it.
    fn refuse_announced(
        &mut self,
        error: Error,
        literal: Announced,
        end: usize,
        budget: u64,
    ) -> Step {
        let tag = self.tag(literal.brace);
        self.buf.advance(end + 1);
        self.restart();
        if !literal.sync {
            // A size beyond 63 bits is beyond every budget.
            self.state = skip(literal.size.unwrap_or(u64::MAX), budget);
        }
        Step::Yield(Item::Bad(Bad { tag, error }))
    }

    /// Refuses the command if its text up to `end` is too long, whether or not it ends there.
    fn refuse_if_long(&mut self, end: usize) -> Step {
        if end - self.literals <= self.limits.line_bytes_max {
            return Step::Wait;
        }
        // However much of the line has come, the tag is looked for in the same bytes.
        let tag = self.tag(end.min(self.limits.line_bytes_max + 1));
        self.append = None;
        self.buf.advance(self.start);
        self.restart();
        self.state = State::SkipText {
            budget: self.limits.skip_bytes_max,
        };
        Step::Yield(Item::Bad(Bad {
            tag,
            error: LINE_TOO_LONG,
        }))
    }

    /// The tag of the command being gathered, if it can be told from its text up to `end`.
    fn tag(&self, end: usize) -> Option<Tag> {
        if let Some(append) = &self.append {
            return Some(append.tag().clone());
        }
        self.buf.get(..end).and_then(Tag::at_start_of)
    }

    fn literal(&mut self, end: usize) -> Step {
        if self.buf.len() < end {
            return Step::Wait;
        }
        self.start = end;
        self.scanned = end;
        self.state = State::Text;
        Step::Again
    }

    fn raw_line(&mut self) -> Step {
        let end = self.find_line_end();
        if end.unwrap_or(self.buf.len()) > self.limits.line_bytes_max {
            self.restart();
            self.state = State::SkipText {
                budget: self.limits.skip_bytes_max,
            };
            return Step::Yield(Item::Bad(Bad {
                tag: None,
                error: LINE_TOO_LONG,
            }));
        }
        let Some(end) = end else { return Step::Wait };
        let line = self.take_line(end);
        self.restart();
        self.state = State::Text;
        Step::Yield(Item::Line(line))
    }

    /// Passes a literal of a message on, then reads what follows it.
    fn body(&mut self) -> Step {
        let State::Body { left } = &mut self.state else {
            return Step::Wait;
        };
        let here = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(self.buf.len());
        *left -= here as u64;
        if *left == 0 && here == 0 {
            self.restart();
            self.state = State::Text;
            return Step::Again;
        }
        if here == 0 {
            return Step::Wait;
        }
        let bytes = self.buf.split_to(here).freeze();
        self.release();
        Step::Yield(Item::Body(bytes))
    }

    fn skip_literal(&mut self) -> Step {
        let State::SkipLiteral { left, budget } = &mut self.state else {
            return Step::Wait;
        };
        let here = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(self.buf.len());
        *left -= here as u64;
        let (left, budget) = (*left, *budget);
        self.buf.advance(here);
        self.release();
        if left > 0 {
            return Step::Wait;
        }
        self.state = State::SkipText { budget };
        Step::Again
    }

    /// Throws text away up to the end of the command; a literal may come before that.
    fn skip_text(&mut self) -> Step {
        let State::SkipText { budget } = self.state else {
            return Step::Wait;
        };
        let line_end = self.find_line_end();
        let line = line_end.and_then(|end| self.buf.get(..end));
        let literal = line
            .and_then(|line| announced(line, 0))
            .filter(|literal| !literal.sync);
        // What may still be the beginning of an announced literal is kept.
        let skipped = match line_end {
            Some(end) => end + 1,
            None => self.buf.len().saturating_sub(ANNOUNCED_BYTES_MAX),
        };
        let Some(budget) = budget.checked_sub(skipped as u64) else {
            self.state = State::Dead(SKIPPED_TOO_MUCH);
            return Step::Again;
        };
        self.buf.advance(skipped);
        self.restart();
        if line_end.is_none() {
            self.scanned = self.buf.len();
            self.state = State::SkipText { budget };
            return Step::Wait;
        }
        self.state = match literal {
            Some(literal) => skip(literal.size.unwrap_or(u64::MAX), budget),
            None => State::Text,
        };
        Step::Again
    }

    /// The place of the next line feed in the text being gathered.
    fn find_line_end(&mut self) -> Option<usize> {
        let fresh = self.buf.get(self.scanned..).unwrap_or_default();
        let found = fresh
            .iter()
            .position(|&byte| byte == b'\n')
            .map(|at| self.scanned + at);
        self.scanned = found.unwrap_or(self.buf.len());
        found
    }

    /// Takes all before the line feed at `end` and drops the line end.
    fn take_line(&mut self, end: usize) -> Bytes {
        let mut text = self.buf.split_to(end + 1);
        text.truncate(end);
        if text.last() == Some(&b'\r') {
            text.truncate(end - 1);
        }
        self.release();
        text.freeze()
    }

    /// The buffer begins with a new command or line.
    fn restart(&mut self) {
        self.start = 0;
        self.scanned = 0;
        self.literals = 0;
        self.release();
    }

    /// Lets go of memory that only items hold now, so that an idle connection holds none.
    fn release(&mut self) {
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
        }
    }
}

/// What a state's step came to.
enum Step {
    /// The state has changed: take the next step.
    Again,
    /// More bytes or a decision are needed.
    Wait,
    Yield(Item),
}

/// The state that throws away a literal of `size` bytes.
fn skip(size: u64, budget: u64) -> State {
    match budget.checked_sub(size) {
        Some(budget) => State::SkipLiteral { left: size, budget },
        None => State::Dead(SKIPPED_TOO_MUCH),
    }
}
