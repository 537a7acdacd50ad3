//! Content-Type (RFC 2045 section 5) and its kin: Content-Disposition (RFC 2183),
//! Content-Transfer-Encoding, Content-Language (RFC 3282).

use super::fields::Budget;
use super::lexer::{self, Lexer};
use super::parameters::{self, Param};

/// `type/subtype`, in the case in which it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `text`
    pub kind: Box<[u8]>,
    /// `plain`
    pub subtype: Box<[u8]>,
}

impl MediaType {
    /// What a part without a Content-Type is (RFC 2045 section 5.2).
    pub(super) fn text_plain() -> MediaType {
        MediaType::new(b"text", b"plain")
    }

    pub(super) fn new(kind: &[u8], subtype: &[u8]) -> MediaType {
        MediaType {
            kind: kind.into(),
            subtype: subtype.into(),
        }
    }

    /// Whether it is this one, in any case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.is_kind(kind) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// Whether it is of this type, whatever its subtype.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }
}

/// Content-Disposition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment` or any other, in the case in which it stands there.
    pub kind: Box<[u8]>,
    /// Its parameters, RFC 2231 continuations joined.
    pub params: Vec<Param>,
}

/// `None` if it cannot be read, or nothing more may be kept.
pub(super) fn media_type(value: &[u8], budget: &mut Budget) -> Option<(MediaType, Vec<Param>)> {
    let mut lexer = Lexer::new(value);
    lexer.skip_space();
    let kind = lexer.take_while(lexer::is_token);
    lexer.skip_space();
    let has_slash = lexer.eat(b'/');
    lexer.skip_space();
    let subtype = lexer.take_while(lexer::is_token);
    if kind.is_empty() || !has_slash || subtype.is_empty() {
        return None;
    }
    let media_type = MediaType {
        kind: budget.keep(kind)?,
        subtype: budget.keep(subtype)?,
    };
    Some((media_type, parameters::parse(lexer, budget)))
}

/// `None` if it names none, or nothing more may be kept.
pub(super) fn disposition(value: &[u8], budget: &mut Budget) -> Option<Disposition> {
    let mut lexer = Lexer::new(value);
    lexer.skip_space();
    let kind = lexer.take_while(lexer::is_token);
    if kind.is_empty() {
        return None;
    }
    Some(Disposition {
        kind: budget.keep(kind)?,
        params: parameters::parse(lexer, budget),
    })
}

/// The first token of a value; empty if it begins with none.
pub(super) fn token(value: &[u8]) -> &[u8] {
    let mut lexer = Lexer::new(value);
    lexer.skip_space();
    lexer.take_while(lexer::is_token)
}

/// The tags of a list, as many as may be kept.
pub(super) fn languages(value: &[u8], budget: &mut Budget) -> Vec<Box<[u8]>> {
    let mut lexer = Lexer::new(value);
    let mut tags = Vec::new();
    while !lexer.is_at_end() {
        lexer.skip_space();
        let tag = lexer.take_while(lexer::is_token);
        if tag.is_empty() {
            lexer.next();
            continue;
        }
        match budget.keep(tag) {
            Some(tag) => tags.push(tag),
            None => break,
        }
    }
    tags
}
