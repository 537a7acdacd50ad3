//! The bytes of one message: prefix and body as one, read in pieces and never held whole.
//!
//! ```text
//!   0        prefix.len()                                size
//!   ├─prefix─┼──────────────── body ───────────────────────┤
//!            │   ▲ held: the piece that was read last      │
//! ```
//!
//! A body of one piece is read once, whatever is asked of it, and together with those of the next
//! messages ([`read_ahead`]). Of a larger one only what is asked
//! for is read, unless the structure is needed, which takes one pass.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mailbox::{Body, Message};

use crate::backend::{Backend, BackendError, Content};
use crate::limits;
use crate::mime::{self, PartText, Scanner, Structure};
use crate::pace::Pace;

/// A message's bytes.
pub(crate) struct Source<'b, B> {
    backend: &'b B,
    prefix: Bytes,
    body: Body,
    /// The most that is read at once.
    piece_bytes: u64,
    /// The piece of the body that was read last, and where in the body it begins.
    held: (u64, Bytes),
    header: Option<u64>,
    structure: Option<Arc<Structure>>,
    /// About what the structure takes.
    structure_bytes: usize,
    pace: Pace,
}

type Result<T> = std::result::Result<T, BackendError>;

impl<'b, B: Content> Source<'b, B> {
    /// A message, of which at first only the header is likely to be wanted if `only_header`.
    pub(crate) fn new(backend: &'b B, message: &Message, only_header: bool) -> Source<'b, B> {
        Source {
            backend,
            prefix: message.prefix.clone(),
            body: message.body,
            piece_bytes: first_bytes(only_header),
            held: (0, Bytes::new()),
            header: None,
            structure: None,
            structure_bytes: 0,
            pace: Pace::default(),
        }
    }

    /// Where it is read from.
    pub(crate) fn backend(&self) -> &'b B {
        self.backend
    }

    /// Bytes of the message.
    pub(crate) fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.body.length
    }

    /// So many bytes were made of it.
    pub(crate) async fn spend(&mut self, bytes: usize) {
        self.pace.spend(bytes).await;
    }

    /// Bytes that were read since others had their turn.
    pub(crate) fn unspent(&self) -> usize {
        self.pace.unspent()
    }

    /// Whether finding the structure takes more than one piece.
    pub(crate) fn is_long(&self) -> bool {
        self.body.length > limits::PIECE_BYTES
    }

    /// Gives the structure that an earlier command has found.
    pub(crate) fn set_structure(&mut self, structure: Arc<Structure>) {
        self.structure = Some(structure);
    }

    /// The structure, if it was needed and is small enough to be kept.
    pub(crate) fn found_structure(&self) -> Option<Arc<Structure>> {
        self.structure
            .clone()
            .filter(|_| self.structure_bytes <= limits::KEPT_STRUCTURE_BYTES)
    }

    /// The next bytes of a range of the message that is not empty, at least one.
    pub(crate) async fn piece(&mut self, range: Range<u64>) -> Result<Bytes> {
        let prefix = self.prefix.len() as u64;
        if range.start < prefix {
            let part = span(range.start..range.end.min(prefix));
            return Ok(self.prefix.slice(part));
        }
        let wanted = range.start - prefix..(range.end - prefix).min(self.body.length);
        if !self.holds(wanted.start) {
            let read = if self.body.length <= self.piece_bytes {
                0..self.body.length
            } else {
                wanted.start..wanted.end.min(wanted.start + self.piece_bytes)
            };
            let bytes = self.backend.body(&self.body, read.clone()).await?;
            if bytes.len() as u64 != read.end - read.start || bytes.is_empty() {
                return Err(BackendError::Broken);
            }
            self.held = (read.start, bytes);
        }
        let (start, bytes) = &self.held;
        let end = wanted.end.min(start + bytes.len() as u64);
        let piece = bytes.slice(span(wanted.start - start..end - start));
        self.pace.spend(piece.len()).await;
        Ok(piece)
    }

    fn holds(&self, at: u64) -> bool {
        let (start, bytes) = &self.held;
        (*start..start + bytes.len() as u64).contains(&at)
    }

    /// Bytes of the header with its blank line.
    pub(crate) async fn header_size(&mut self) -> Result<u64> {
        if let Some(structure) = &self.structure {
            return Ok(structure.root().header.end);
        }
        if let Some(header) = self.header {
            return Ok(header);
        }
        let mut end = HeaderEnd::default();
        let (mut at, size) = (0, self.size());
        while at < size {
            let piece = self.piece(at..size).await?;
            if let Some(found) = end.push(&piece) {
                at += found as u64;
                break;
            }
            at += piece.len() as u64;
        }
        self.header = Some(at);
        Ok(at)
    }

    /// The structure, which takes a pass over the whole message the first time.
    pub(crate) async fn structure(&mut self) -> Result<Arc<Structure>> {
        if let Some(structure) = &self.structure {
            return Ok(Arc::clone(structure));
        }
        self.piece_bytes = limits::PIECE_BYTES;
        let structure = Arc::new(self.scan(0..self.size()).await?);
        self.structure = Some(Arc::clone(&structure));
        Ok(structure)
    }

    /// The structure, or that of the first `max` bytes, as if the message ended there.
    pub(crate) async fn structure_within(&mut self, max: u64) -> Result<Arc<Structure>> {
        if self.structure.is_some() || self.size() <= max {
            return self.structure().await;
        }
        self.scan(0..max).await.map(Arc::new)
    }

    /// The structure of the header alone, for the envelope.
    pub(crate) async fn header_structure(&mut self) -> Result<Arc<Structure>> {
        if let Some(structure) = &self.structure {
            return Ok(Arc::clone(structure));
        }
        let end = self.header_size().await?;
        self.scan(0..end).await.map(Arc::new)
    }

    async fn scan(&mut self, range: Range<u64>) -> Result<Structure> {
        let mut scanner = Scanner::new();
        let mut at = range.start;
        while at < range.end {
            let piece = self.piece(at..range.end).await?;
            scanner.push(&piece);
            at += piece.len() as u64;
        }
        self.structure_bytes = scanner.held_bytes();
        Ok(scanner.finish())
    }

    /// Where a section lies; `None` if there is no such part. Only parts need the structure.
    pub(crate) async fn section(
        &mut self,
        part: &[u32],
        text: PartText,
    ) -> Result<Option<Range<u64>>> {
        let size = self.size();
        match (part, text) {
            ([], PartText::Whole) => Ok(Some(0..size)),
            ([], PartText::Header) => Ok(Some(0..self.header_size().await?)),
            ([], PartText::Text) => Ok(Some(self.header_size().await?..size)),
            _ => Ok(mime::section(self.structure().await?.as_ref(), part, text)),
        }
    }

    /// A range in one piece, but no more than the first `max` bytes of it.
    pub(crate) async fn read(&mut self, range: Range<u64>, max: usize) -> Result<Bytes> {
        let end = range.end.min(range.start.saturating_add(max as u64));
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let first = self.piece(range.start..end).await?;
        if first.len() as u64 == end - range.start {
            return Ok(first);
        }
        let mut bytes = first.to_vec();
        while range.start + (bytes.len() as u64) < end {
            let piece = self.piece(range.start + bytes.len() as u64..end).await?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }
}

/// Lets the backend read ahead what sources of the next messages will begin with: of those that are
/// `wanted`, by their places among these, and only where one piece is enough. Says how many
/// messages that concerns, at least one.
pub(crate) async fn read_ahead<B: Backend>(
    backend: &B,
    next: &[Message],
    only_header: bool,
    wanted: impl Fn(usize, &Message) -> bool,
) -> usize {
    let most = first_bytes(only_header);
    let next = next.iter().enumerate();
    let (places, bodies): (Vec<usize>, Vec<(Body, u64)>) = next
        .filter(|(_, message)| only_header || message.body.length <= most)
        .filter(|(at, message)| wanted(*at, message))
        .take(limits::AHEAD_MESSAGES)
        .map(|(at, message)| (at, (message.body, most)))
        .unzip();
    if bodies.is_empty() {
        return usize::MAX;
    }
    let read = backend.read_ahead(&bodies).await.max(1);
    places
        .get(read)
        .copied()
        .unwrap_or(places[places.len() - 1] + 1)
}

/// The most that is read of a body at once.
fn first_bytes(only_header: bool) -> u64 {
    if only_header {
        limits::HEADER_PIECE_BYTES
    } else {
        limits::PIECE_BYTES
    }
}

/// A range that lies within a buffer.
fn span(range: Range<u64>) -> Range<usize> {
    let place = |at: u64| usize::try_from(at).expect("a place in a buffer");
    place(range.start)..place(range.end)
}

/// Finds the blank line that ends a header, in bytes that come in pieces.
#[derive(Default)]
struct HeaderEnd {
    line: Line,
}

/// What there is of the current line.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    /// A carriage return alone.
    Return,
    Text,
}

impl HeaderEnd {
    /// Where in these bytes the header has ended: after the blank line.
    fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            at += line.len();
            let (text, is_ended) = match line.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (line, false),
            };
            self.line = match (self.line, text) {
                (line, b"") => line,
                (Line::Empty, b"\r") => Line::Return,
                _ => Line::Text,
            };
            if is_ended {
                if self.line != Line::Text {
                    return Some(at);
                }
                self.line = Line::Empty;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(pieces: &[&str]) -> Option<usize> {
        let mut end = HeaderEnd::default();
        let mut before = 0;
        for piece in pieces {
            if let Some(at) = end.push(piece.as_bytes()) {
                return Some(before + at);
            }
            before += piece.len();
        }
        None
    }

    #[test]
    fn header_ends_with_the_first_blank_line() {
        assert_eq!(end(&["A: b\r\n\r\ntext"]), Some(8));
        assert_eq!(end(&["A: b\n\ntext"]), Some(6));
        assert_eq!(end(&["\r\ntext"]), Some(2));
        assert_eq!(end(&["A: b\r\n", "\r", "\n", "text\r\n\r\n"]), Some(8));
        assert_eq!(end(&["A: b\r", "\n\r\n"]), Some(8));
        assert_eq!(end(&["A: b\r\n\r\r\nC\r\n"]), None);
        assert_eq!(end(&["A: b"]), None);
        assert_eq!(end(&[]), None);
    }
}
