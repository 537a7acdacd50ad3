//! The content of DATA: dots taken out, the end found (RFC 5321 section 4.5.2).
//!
//! ```text
//!               .            CR            LF
//!   LineStart -----> Dot -----------> DotCr -----> end
//!       ^  other |    | other: the dot   | other: the dot was stuffed,
//!       |        v    v was stuffed      v         the CR is content
//!       |       Text ---------------> AfterCr
//!       +------------------------------- | LF
//! ```
//!
//! Only CR LF counts as a line end. `LF . LF`, `CR . CR`, `LF . CR LF` and `CR LF . LF`, by
//! which one server's content becomes another server's commands, never leave `Text`, or leave
//! `Dot` as content.

use bytes::{Buf, Bytes, BytesMut};

use crate::input::Input;
use crate::limits;

/// Reads the content of one DATA command.
#[derive(Debug)]
pub(crate) struct Content {
    at: At,
    ended: bool,
    /// Short pieces between stuffed dots, copied together. Empty between chunks.
    gathered: BytesMut,
    /// A piece that comes after what was gathered.
    held: Option<Bytes>,
}

/// What [`Content::take`] found.
pub(crate) enum Piece {
    /// The next bytes of the message.
    Bytes(Bytes),
    /// The message is complete.
    End,
    /// All input is used up.
    More,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    LineStart,
    Dot,
    DotCr,
    Text,
    AfterCr,
}

impl Content {
    /// The reader right after the DATA line, which counts as the line end before the first line.
    pub fn new() -> Self {
        Self {
            at: At::LineStart,
            ended: false,
            gathered: BytesMut::new(),
            held: None,
        }
    }

    /// Takes the next piece of the message out of the input.
    pub fn take(&mut self, input: &mut Input) -> Piece {
        loop {
            if let Some(run) = self.held.take() {
                return Piece::Bytes(run);
            }
            if self.ended {
                return Piece::End;
            }
            let Some(mut chunk) = input.take_chunk() else {
                return Piece::More;
            };
            let run = self.take_run(&mut chunk);
            let last = self.ended || chunk.is_empty();
            input.put_back(chunk);
            if let Some(bytes) = self.gather(run, last) {
                return Piece::Bytes(bytes);
            }
        }
    }

    /// Hands a run on as it is, or copies it to its short neighbours. `last`: no run of the same
    /// chunk follows.
    fn gather(&mut self, run: Bytes, last: bool) -> Option<Bytes> {
        let long = run.len() >= limits::SLICE_BYTES_MIN;
        if self.gathered.is_empty() && (last || long) {
            return (!run.is_empty()).then_some(run);
        }
        if long {
            self.held = Some(run);
            return Some(self.gathered.split().freeze());
        }
        self.gathered.extend_from_slice(&run);
        let full = self.gathered.len() >= limits::GATHER_BYTES;
        (last || full).then(|| self.gathered.split().freeze())
    }

    /// Takes content from the front of `chunk` up to the next stuffed dot, the end of the message,
    /// or the end of the chunk. The run may be empty.
    fn take_run(&mut self, chunk: &mut Bytes) -> Bytes {
        loop {
            let Some(first) = chunk.first().copied() else {
                return Bytes::new();
            };
            match (self.at, first) {
                (At::LineStart, b'.') => {
                    chunk.advance(1);
                    self.at = At::Dot;
                }
                (At::Dot, b'\r') if chunk.len() == 1 => {
                    chunk.advance(1);
                    self.at = At::DotCr;
                }
                (At::Dot, b'\r') if chunk.get(1) == Some(&b'\n') => {
                    chunk.advance(2);
                    self.ended = true;
                    return Bytes::new();
                }
                (At::DotCr, b'\n') => {
                    chunk.advance(1);
                    self.ended = true;
                    return Bytes::new();
                }
                // The CR came with an earlier chunk and is content after all.
                (At::DotCr, _) => {
                    self.at = At::AfterCr;
                    return Bytes::from_static(b"\r");
                }
                _ => return self.take_text(chunk),
            }
        }
    }

    /// Takes text up to and with the next CRLF that a dot follows.
    fn take_text(&mut self, chunk: &mut Bytes) -> Bytes {
        let mut after_cr = self.at == At::AfterCr;
        let mut bytes = chunk.iter().copied().enumerate().peekable();
        while let Some((index, byte)) = bytes.next() {
            if byte == b'\n' && after_cr {
                match bytes.peek() {
                    Some((_, b'.')) => {
                        self.at = At::LineStart;
                        return chunk.split_to(index + 1);
                    }
                    Some(_) => {}
                    None => {
                        self.at = At::LineStart;
                        return std::mem::take(chunk);
                    }
                }
            }
            after_cr = byte == b'\r';
        }
        self.at = if after_cr { At::AfterCr } else { At::Text };
        std::mem::take(chunk)
    }
}
