//! The bytes of a section in pieces, however they are made: as they stand in the message, picked
//! out of a header, or decoded.

use std::ops::Range;

use bytes::Bytes;

use crate::backend::{BackendError, Content};
use crate::mime::{FieldFilter, PartDecoder};
use crate::source::Source;

/// Bytes that come piece by piece.
pub(crate) enum Chunks {
    /// In one piece.
    Held(Bytes),
    /// A range of the message.
    Range(Range<u64>),
    /// What is made of a range of the message.
    Made(Box<Making>),
}

/// A range of the message goes in, something else comes out.
pub(crate) struct Making {
    from: Range<u64>,
    maker: Option<Maker>,
    /// Where in what comes out the next bytes stand.
    at: u64,
    /// Which of what comes out is wanted.
    wanted: Range<u64>,
}

/// What makes it.
pub(crate) enum Maker {
    /// Picks header fields.
    Fields(FieldFilter),
    /// Undoes a transfer encoding.
    Decoder(PartDecoder),
}

impl Chunks {
    /// The wanted bytes of what `maker` makes of a range of the message.
    pub(crate) fn made(from: Range<u64>, maker: Maker, wanted: Range<u64>) -> Chunks {
        Chunks::Made(Box::new(Making {
            from,
            maker: Some(maker),
            at: 0,
            wanted,
        }))
    }

    /// The next bytes, perhaps none; `None` at the end.
    pub(crate) async fn next<B: Content>(
        &mut self,
        source: &mut Source<'_, B>,
    ) -> Result<Option<Bytes>, BackendError> {
        match self {
            Chunks::Held(bytes) if bytes.is_empty() => Ok(None),
            Chunks::Held(bytes) => Ok(Some(std::mem::take(bytes))),
            Chunks::Range(range) if range.is_empty() => Ok(None),
            Chunks::Range(range) => {
                let piece = source.piece(range.clone()).await?;
                range.start += piece.len() as u64;
                Ok(Some(piece))
            }
            Chunks::Made(making) => making.next(source).await,
        }
    }
}

impl Making {
    async fn next<B: Content>(
        &mut self,
        source: &mut Source<'_, B>,
    ) -> Result<Option<Bytes>, BackendError> {
        let Some(maker) = self.maker.take() else {
            return Ok(None);
        };
        if self.at >= self.wanted.end {
            return Ok(None);
        }
        let mut out = Vec::new();
        if self.from.is_empty() {
            maker.finish(&mut out);
        } else {
            let piece = source.piece(self.from.clone()).await?;
            self.from.start += piece.len() as u64;
            self.maker = Some(maker.push(&piece, &mut out));
        }
        let begin = self.at;
        self.at += out.len() as u64;
        let place = |offset: u64| {
            let inside = offset.clamp(begin, self.at) - begin;
            usize::try_from(inside).unwrap_or(usize::MAX)
        };
        let (start, end) = (place(self.wanted.start), place(self.wanted.end));
        Ok(Some(Bytes::from(out).slice(start..end)))
    }
}

impl Maker {
    fn push(mut self, piece: &[u8], out: &mut Vec<u8>) -> Maker {
        match &mut self {
            Maker::Fields(filter) => filter.push(piece, out),
            Maker::Decoder(decoder) => decoder.push(piece, out),
        }
        self
    }

    fn finish(self, out: &mut Vec<u8>) {
        match self {
            Maker::Fields(filter) => filter.finish(out),
            Maker::Decoder(mut decoder) => decoder.finish(out),
        }
    }
}
