//! What was pushed and not yet taken: whole lines for commands, raw chunks for content.
//!
//! Every byte is looked at once. A line that lies whole in one pushed buffer is a slice of it; only
//! a line that was cut is gathered, up to the limit. Positions count all bytes since the session
//! began, so that the session can tell what was sent before it handed out a reply.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Error, limits};

/// A command line without its line end.
pub(crate) struct Line {
    /// The text. Of a line that is too long, only the beginning.
    pub text: Bytes,
    /// The position of its first byte.
    pub start: u64,
    /// Why it is no good command line, if so.
    pub fault: Option<LineFault>,
}

/// What may be wrong with a line before anybody reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LineFault {
    /// Longer than [`limits::LINE_BYTES_MAX`].
    TooLong,
    /// It ended with LF alone. Accepting that would let a sloppy relay smuggle commands.
    BareLf,
}

#[derive(Default)]
pub(crate) struct Input {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    queued: usize,
    /// Bytes that ever left `chunks`.
    taken: u64,
    /// The beginning of a line whose end was not pushed yet.
    partial: Vec<u8>,
    /// Where that line began; `None` between lines.
    partial_start: Option<u64>,
    /// That line outgrew the limit; the rest of it is dropped.
    overlong: bool,
}

impl Input {
    pub fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        let full = chunk.len() > limits::INPUT_BYTES_MAX.saturating_sub(self.queued);
        if full || self.chunks.len() >= limits::INPUT_CHUNKS_MAX {
            return Err(Error::InputFull);
        }
        self.queued += chunk.len();
        self.chunks.push_back(chunk);
        Ok(())
    }

    /// The position behind the last pushed byte.
    pub fn end(&self) -> u64 {
        self.taken + self.queued as u64
    }

    /// The position of the next byte to be taken.
    pub fn position(&self) -> u64 {
        self.taken
    }

    /// Takes the next line, if its end was pushed.
    pub fn take_line(&mut self) -> Option<Line> {
        loop {
            let mut chunk = self.take_chunk()?;
            let chunk_start = self.taken - chunk.len() as u64;
            let start = *self.partial_start.get_or_insert(chunk_start);
            let Some(lf) = chunk.iter().position(|byte| *byte == b'\n') else {
                self.gather(&chunk);
                continue;
            };
            let piece = chunk.split_to(lf + 1);
            self.put_back(chunk);
            return Some(self.finish_line(piece, start));
        }
    }

    /// Takes the next pushed buffer, or what is left of it.
    pub fn take_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?;
        self.queued -= chunk.len();
        self.taken += chunk.len() as u64;
        Some(chunk)
    }

    /// Takes at most `max` bytes of the next pushed buffer.
    pub fn take_up_to(&mut self, max: u64) -> Option<Bytes> {
        let mut chunk = self.take_chunk()?;
        let piece = match usize::try_from(max) {
            Ok(max) if max < chunk.len() => chunk.split_to(max),
            _ => std::mem::take(&mut chunk),
        };
        self.put_back(chunk);
        Some(piece)
    }

    /// Gives back the rest of the buffer that was taken last.
    pub fn put_back(&mut self, rest: Bytes) {
        if !rest.is_empty() {
            self.queued += rest.len();
            self.taken -= rest.len() as u64;
            self.chunks.push_front(rest);
        }
    }

    /// Drops everything, a line that had begun too.
    pub fn clear(&mut self) {
        let taken = self.end();
        *self = Self {
            taken,
            ..Self::default()
        };
    }

    fn gather(&mut self, piece: &[u8]) {
        let room = limits::LINE_BYTES_MAX.saturating_sub(self.partial.len());
        self.overlong |= piece.len() > room;
        self.partial.extend(piece.iter().take(room));
    }

    fn finish_line(&mut self, piece: Bytes, start: u64) -> Line {
        let whole = self.partial.is_empty() && !self.overlong;
        let mut text = if whole && piece.len() <= limits::LINE_BYTES_MAX {
            piece
        } else {
            self.gather(&piece);
            Bytes::from(std::mem::take(&mut self.partial))
        };
        self.partial_start = None;
        let fault = if std::mem::take(&mut self.overlong) {
            Some(LineFault::TooLong)
        } else if text.ends_with(b"\r\n") {
            text.truncate(text.len() - 2);
            None
        } else {
            text.truncate(text.len() - 1);
            Some(LineFault::BareLf)
        };
        Line { text, start, fault }
    }
}
