//! What an index is told of a message, and what it is asked: the sequences of three bytes of its
//! folded texts (trigrams).
//!
//! ```text
//!   texts ─► folded as SEARCH does it ─► each three bytes, with where they stand ─► MessageGrams
//!   needle, folded ─► the same ─► NeedleGrams: a message that has the needle has all of them
//! ```
//!
//! So whoever lacks one of a needle's grams does not have the needle, and need not be read. Whoever
//! has all of them may have it: that is for the message to say.

use std::ops::Range;

use bytes::Bytes;

use super::casemap::fold;
use super::fold::Needle;
use super::limits::{
    GRAMS_HELD, GRAMS_PER_MESSAGE_MAX, HEADER_SEARCH_BYTES_MAX, INDEXED_TEXT_BYTES_MAX,
};
use super::search::{Scope, pieces};
use super::structure::Structure;
use super::texts::{Text, texts};

/// Where in a message a text stands. The numbers are kept by indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In a part, or in a header inside the message.
    Body = 1,
    /// In a field of its own header.
    Header = 2,
    /// In From; also in `Header`, and so with the next ones.
    From = 3,
    /// In To.
    To = 4,
    /// In Cc.
    Cc = 5,
    /// In Bcc.
    Bcc = 6,
    /// In Subject.
    Subject = 7,
}

impl Place {
    /// The narrowest place of a field.
    fn of_field(name: &[u8]) -> Place {
        let named = [
            ("From", Place::From),
            ("To", Place::To),
            ("Cc", Place::Cc),
            ("Bcc", Place::Bcc),
            ("Subject", Place::Subject),
        ];
        let found = named
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map_or(Place::Header, |(_, place)| *place)
    }

    fn gram(self, bytes: u32) -> Gram {
        Gram(((self as u32) << 24) | bytes)
    }
}

/// Three bytes of a folded text, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gram(u32);

impl Gram {
    /// As an index keeps it.
    pub fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// The grams of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageGrams {
    /// All of them, sorted, none twice.
    All(Vec<Gram>),
    /// There is too much text for all to be kept: it may have any.
    Any,
}

/// The grams that a message has if it has a text: all of one of these lists, of which there is at
/// least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedleGrams {
    /// The lists, each sorted and not empty.
    pub either: Vec<Vec<Gram>>,
}

impl NeedleGrams {
    /// Of a text that is searched for with BODY or TEXT. `None` if it is too short to have any.
    pub fn in_text(scope: Scope, needle: &Needle) -> Option<NeedleGrams> {
        match scope {
            Scope::Body => NeedleGrams::new(&[Place::Body], needle),
            Scope::Text => NeedleGrams::new(&[Place::Body, Place::Header], needle),
        }
    }

    /// Of a text that is searched for in a field of this name.
    pub fn in_field(name: &[u8], needle: &Needle) -> Option<NeedleGrams> {
        NeedleGrams::new(&[Place::of_field(name)], needle)
    }

    fn new(places: &[Place], needle: &Needle) -> Option<NeedleGrams> {
        let mut bytes = Vec::new();
        let mut window = Window::default();
        needle
            .folded()
            .iter()
            .for_each(|byte| bytes.extend(window.push(*byte)));
        bytes.sort_unstable();
        bytes.dedup();
        let of_place = |place: &Place| bytes.iter().map(|bytes| place.gram(*bytes)).collect();
        (!bytes.is_empty()).then(|| NeedleGrams {
            either: places.iter().map(of_place).collect(),
        })
    }

    /// Whether a message may have the text.
    pub fn may_be_in(&self, message: &MessageGrams) -> bool {
        let MessageGrams::All(all) = message else {
            return true;
        };
        let has = |gram: &Gram| all.binary_search(gram).is_ok();
        self.either.iter().any(|grams| grams.iter().all(has))
    }
}

/// The grams of a message; `from` gives bytes of it, from the beginning of a range that is not
/// empty and at least one.
///
/// # Errors
/// What `from` fails with.
pub fn grams<E>(
    structure: &Structure,
    from: impl FnMut(Range<u64>) -> Result<Bytes, E>,
) -> Result<MessageGrams, E> {
    let header_max = HEADER_SEARCH_BYTES_MAX as u64;
    let all = pieces(structure, Scope::Text);
    let bytes: u64 = all.iter().map(|piece| length(&piece.range)).sum();
    let is_cut = |range: &Range<u64>| length(range) > header_max;
    let has_long_header = all
        .iter()
        .any(|piece| piece.is_header() && is_cut(&piece.range));
    if bytes > INDEXED_TEXT_BYTES_MAX || has_long_header {
        return Ok(MessageGrams::Any);
    }
    let mut collected = Collected::default();
    texts(structure, from, |text| collected.add(&text))?;
    Ok(collected.finish())
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The last bytes of a text.
#[derive(Clone, Copy, Default)]
struct Window {
    bytes: u32,
    len: u8,
}

impl Window {
    /// The last three bytes after one more, if there are so many.
    fn push(&mut self, byte: u8) -> Option<u32> {
        self.bytes = ((self.bytes << 8) | u32::from(byte)) & 0x00ff_ffff;
        self.len = self.len.saturating_add(1);
        (self.len >= 3).then_some(self.bytes)
    }
}

/// Grams of some texts, at most [`GRAMS_HELD`].
#[derive(Default)]
struct Collected {
    grams: Vec<Gram>,
    window: Window,
    is_over: bool,
}

impl Collected {
    fn add(&mut self, text: &Text<'_>) {
        let place = text.field.map_or(Place::Body, Place::of_field);
        let also = (text.field.is_some() && place != Place::Header).then_some(Place::Header);
        for char in text.text.chars() {
            let Collected { grams, window, .. } = self;
            fold(char, |byte| {
                if let Some(bytes) = window.push(byte) {
                    grams.push(place.gram(bytes));
                    grams.extend(also.map(|place| place.gram(bytes)));
                }
            });
            if self.grams.len() >= GRAMS_HELD {
                self.tidy();
            }
        }
        if !text.goes_on {
            self.window = Window::default();
        }
    }

    fn tidy(&mut self) {
        self.grams.sort_unstable();
        self.grams.dedup();
        if self.grams.len() > GRAMS_PER_MESSAGE_MAX {
            self.is_over = true;
        }
        if self.is_over {
            self.grams.clear();
        }
    }

    fn finish(mut self) -> MessageGrams {
        self.tidy();
        if self.is_over {
            return MessageGrams::Any;
        }
        self.grams.shrink_to_fit();
        MessageGrams::All(self.grams)
    }
}
