//! SEARCH in a message's header and text (RFC 3501 section 6.4.4).

use std::ops::Range;

use super::address;
use super::charset::TextDecoder;
use super::fields::Kept;
use super::fold::{Matcher, Needle};
use super::header::{self, Field};
use super::limits::HEADER_SEARCH_BYTES_MAX;
use super::structure::{Kind, Structure};

/// Where to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// SEARCH BODY: the text of all text parts, and the headers of messages inside the message.
    Body,
    /// SEARCH TEXT: the message's own header as well.
    Text,
}

/// One stretch of a message to be searched, read whole or in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, as offsets into the message.
    pub range: Range<u64>,
    part: usize,
    is_header: bool,
}

impl Piece {
    /// The number of its part; 0 is the message itself.
    pub(super) fn part(&self) -> usize {
        self.part
    }

    /// Whether it is a header.
    pub fn is_header(&self) -> bool {
        self.is_header
    }
}

/// The pieces of a message that SEARCH reads, in their order in the message.
pub fn pieces(structure: &Structure, scope: Scope) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (number, part) in structure.parts().iter().enumerate() {
        if part.envelope.is_some() && (number > 0 || scope == Scope::Text) {
            pieces.push(Piece {
                range: part.header.clone(),
                part: number,
                is_header: true,
            });
        }
        if part.kind == Kind::Leaf && part.media_type.is_kind("text") {
            pieces.push(Piece {
                range: part.body.clone(),
                part: number,
                is_header: false,
            });
        }
    }
    pieces.retain(|piece| !piece.range.is_empty());
    pieces
}

/// Searches one piece that comes in chunks.
pub struct PieceSearch<'a> {
    needle: &'a Needle,
    matcher: Matcher,
    is_found: bool,
    source: Source,
}

enum Source {
    /// At most [`HEADER_SEARCH_BYTES_MAX`] of it.
    Header(Vec<u8>),
    Text(TextDecoder),
}

impl<'a> PieceSearch<'a> {
    /// At the beginning of a piece of the message with this structure.
    pub fn new(structure: &Structure, piece: &Piece, needle: &'a Needle) -> PieceSearch<'a> {
        let source = if piece.is_header {
            Source::Header(Vec::new())
        } else {
            Source::Text(TextDecoder::new(structure.part(piece.part)))
        };
        PieceSearch {
            needle,
            matcher: Matcher::default(),
            is_found: needle.is_empty(),
            source,
        }
    }

    /// The next bytes of the piece; whether the needle is found already.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let PieceSearch {
            needle,
            matcher,
            is_found,
            source,
        } = self;
        match source {
            _ if *is_found => {}
            Source::Header(header) => {
                let room = HEADER_SEARCH_BYTES_MAX.saturating_sub(header.len());
                header.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
            Source::Text(decoder) => decoder.push(bytes, |text| {
                *is_found = matcher.push(needle, text);
                !*is_found
            }),
        }
        *is_found
    }

    /// Whether the needle is in the piece, which has ended.
    pub fn finish(self) -> bool {
        let PieceSearch {
            needle,
            mut matcher,
            mut is_found,
            source,
        } = self;
        match source {
            _ if is_found => {}
            Source::Header(header) => {
                is_found = header::fields(&header).any(|field| {
                    let name = String::from_utf8_lossy(field.name);
                    has(&field, needle) || needle.is_in(&format!("{name}: {}", field.text()))
                });
            }
            Source::Text(decoder) => decoder.finish(|text| {
                is_found = matcher.push(needle, text);
                false
            }),
        }
        is_found
    }
}

/// Whether a message that lies in one piece has the needle.
pub fn search_text(message: &[u8], structure: &Structure, scope: Scope, needle: &Needle) -> bool {
    needle.is_empty()
        || pieces(structure, scope).iter().any(|piece| {
            let mut search = PieceSearch::new(structure, piece, needle);
            let start = usize::try_from(piece.range.start).unwrap_or(usize::MAX);
            let end = usize::try_from(piece.range.end).unwrap_or(usize::MAX);
            search.push(message.get(start..end).unwrap_or_default()) || search.finish()
        })
}

/// SEARCH HEADER, and with the name of their field BCC, CC, FROM, SUBJECT and TO: whether a field
/// of this name has the needle in its decoded value. The empty needle asks whether there is one.
///
/// Addresses are looked at twice, as they stand there and as `name <mailbox@host>` without comments
/// and quoting, so that a search for an address finds it however it was written.
pub fn header_contains(header: &[u8], name: &[u8], needle: &Needle) -> bool {
    let mut named = header::fields(header).filter(|field| field.is(name));
    named.any(|field| needle.is_empty() || has(&field, needle))
}

fn has(field: &Field, needle: &Needle) -> bool {
    needle.is_in(&field.text()) || (is_address_field(field) && has_address(field, needle))
}

pub(super) fn is_address_field(field: &Field) -> bool {
    let names = ["from", "sender", "reply-to", "to", "cc", "bcc"];
    names.iter().any(|name| field.is(name.as_bytes()))
}

fn has_address(field: &Field, needle: &Needle) -> bool {
    addresses(field).any(|address| needle.is_in(&address))
}

/// The addresses of a field as `name <mailbox@host>`.
pub(super) fn addresses(field: &Field) -> impl Iterator<Item = String> {
    let mut addresses = Vec::new();
    address::parse(&field.value(), &mut Kept::new().addresses, &mut addresses);
    addresses.into_iter().map(|address| {
        let text =
            |text: &Option<Box<[u8]>>| super::decode_words(text.as_deref().unwrap_or_default());
        let (name, mailbox) = (text(&address.name), text(&address.mailbox));
        let host = text(&address.host);
        format!("{name} <{mailbox}@{host}>")
    })
}
