//! A message's parts: where they are and what their headers say.

use std::ops::Range;

use super::content::{Disposition, MediaType};
use super::envelope::Envelope;
use super::parameters::{self, Param};

/// The parts of one message, made by [`super::Scanner`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// In the order in which they begin; the first is the message. Never empty.
    pub(super) parts: Vec<Part>,
    pub(super) size: u64,
    pub(super) is_truncated: bool,
}

/// One part of a message, or a message: the outermost one, or one inside a message/rfc822.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Bytes of the message: this part's header with the blank line that ends it, if it has one.
    pub header: Range<u64>,
    /// Bytes of the message: this part's content, without the line end that belongs to the
    /// boundary after it (RFC 2046 section 5.1.1). It begins where the header ends.
    pub body: Range<u64>,
    /// Line feeds in the body.
    pub lines: u64,
    /// Content-Type, or what stands for it if there is none or none that can be read.
    pub media_type: MediaType,
    /// The parameters of Content-Type, RFC 2231 continuations joined.
    pub params: Vec<Param>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-ID, as it stands there.
    pub id: Option<Box<[u8]>>,
    /// Content-Description, as it stands there.
    pub description: Option<Box<[u8]>>,
    /// Content-Transfer-Encoding; `7bit` if there is none.
    pub encoding: Option<Box<[u8]>>,
    /// Content-MD5.
    pub md5: Option<Box<[u8]>>,
    /// The tags of Content-Language.
    pub language: Vec<Box<[u8]>>,
    /// Content-Location.
    pub location: Option<Box<[u8]>>,
    /// The fields of ENVELOPE, if this is a message.
    pub envelope: Option<Box<Envelope>>,
    /// What it consists of.
    pub kind: Kind,
}

/// What a part consists of. Numbers are those that [`Structure::part`] takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Content, of whatever type.
    #[default]
    Leaf,
    /// A multipart and its parts, at least one.
    Multipart(Vec<usize>),
    /// A message/rfc822 and the message inside.
    Message(usize),
}

impl Structure {
    /// The message itself.
    pub fn root(&self) -> &Part {
        self.parts
            .first()
            .expect("a structure has the message itself")
    }

    /// The part of this number.
    ///
    /// # Panics
    /// If there is none: numbers come from [`Kind`].
    pub fn part(&self, number: usize) -> &Part {
        self.parts
            .get(number)
            .expect("a part's number comes from its structure")
    }

    /// All parts in the order in which they begin, the message first. At most
    /// [`super::limits::PARTS_MAX`].
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Bytes of the message, as RFC822.SIZE shows them.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a limit cut this short, so that some parts are not shown as such.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The message's envelope.
    pub fn envelope(&self) -> &Envelope {
        self.root()
            .envelope
            .as_deref()
            .expect("the outermost part is a message")
    }
}

impl Part {
    /// A part whose header begins at `offset`, before anything of it was read.
    pub(super) fn new(offset: u64, is_message: bool) -> Part {
        Part {
            header: offset..offset,
            body: offset..offset,
            lines: 0,
            media_type: MediaType::text_plain(),
            params: Vec::new(),
            disposition: None,
            id: None,
            description: None,
            encoding: None,
            md5: None,
            language: Vec::new(),
            location: None,
            envelope: is_message.then(Box::default),
            kind: Kind::Leaf,
        }
    }

    /// Bytes of its body.
    pub fn size(&self) -> u64 {
        self.body.end - self.body.start
    }

    /// The first parameter of Content-Type with this name, in any case, as it stands there.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        parameters::find(&self.params, name)
    }
}
