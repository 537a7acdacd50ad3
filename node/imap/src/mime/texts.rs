//! The texts of a message that SEARCH compares with, one after the other: for whoever wants to know
//! all of them, rather than whether one text is among them.
//!
//! ```text
//!   pieces ─► header ─► each field as `name: value`, its addresses ─┐
//!         └─► part ──► its text, a few KiB at a time ───────────────┴─► read(Text)
//! ```
//!
//! What [`super::PieceSearch`] and [`super::header_contains`] find in a message lies within one of
//! these texts.

use std::ops::Range;

use bytes::Bytes;

use super::charset::TextDecoder;
use super::header;
use super::limits::HEADER_SEARCH_BYTES_MAX;
use super::search::{Piece, Scope, addresses, is_address_field, pieces};
use super::structure::Structure;

/// A text, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The name of the field, if it is one of the message's own header. Other headers inside the
    /// message belong to its body.
    pub field: Option<&'a [u8]>,
    /// What it says.
    pub text: &'a str,
    /// Whether the next one goes on where this one ends.
    pub goes_on: bool,
}

/// Hands over all texts of a message; `from` gives bytes of it, from the beginning of a range that
/// is not empty and at least one.
///
/// # Errors
/// What `from` fails with.
pub fn texts<E>(
    structure: &Structure,
    mut from: impl FnMut(Range<u64>) -> Result<Bytes, E>,
    mut read: impl FnMut(Text<'_>),
) -> Result<(), E> {
    for piece in pieces(structure, Scope::Text) {
        let mut texts = PieceTexts::new(structure, &piece);
        let mut at = piece.range.start;
        while at < piece.range.end {
            let bytes = from(at..piece.range.end)?;
            at += bytes.len() as u64;
            texts.push(&bytes, &mut read);
        }
        texts.finish(&mut read);
    }
    Ok(())
}

/// The texts of one piece that comes in chunks.
pub struct PieceTexts {
    is_root: bool,
    source: Source,
}

enum Source {
    /// At most [`HEADER_SEARCH_BYTES_MAX`] of it.
    Header(Vec<u8>),
    Part(TextDecoder),
}

impl PieceTexts {
    /// At the beginning of a piece of the message with this structure.
    pub fn new(structure: &Structure, piece: &Piece) -> PieceTexts {
        PieceTexts {
            is_root: piece.part() == 0,
            source: if piece.is_header() {
                Source::Header(Vec::new())
            } else {
                Source::Part(TextDecoder::new(structure.part(piece.part())))
            },
        }
    }

    /// The next bytes of the piece.
    pub fn push(&mut self, bytes: &[u8], read: &mut impl FnMut(Text<'_>)) {
        match &mut self.source {
            Source::Header(header) => {
                let room = HEADER_SEARCH_BYTES_MAX.saturating_sub(header.len());
                header.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
            Source::Part(decoder) => decoder.push(bytes, |text| {
                read(Text {
                    field: None,
                    text,
                    goes_on: true,
                });
                true
            }),
        }
    }

    /// The piece has ended.
    pub fn finish(self, read: &mut impl FnMut(Text<'_>)) {
        match self.source {
            Source::Header(header) => header_texts(&header, self.is_root, read),
            Source::Part(decoder) => decoder.finish(|text| {
                read(Text {
                    field: None,
                    text,
                    goes_on: false,
                });
                true
            }),
        }
    }
}

/// The texts of a header; `is_root` for the message's own.
pub fn header_texts(header: &[u8], is_root: bool, read: &mut impl FnMut(Text<'_>)) {
    for field in header::fields(header) {
        let name = is_root.then_some(field.name);
        let mut tell = |text: &str| {
            read(Text {
                field: name,
                text,
                goes_on: false,
            });
        };
        let shown = String::from_utf8_lossy(field.name);
        tell(&format!("{shown}: {}", field.text()));
        if is_address_field(&field) {
            addresses(&field).for_each(|address| tell(&address));
        }
    }
}
