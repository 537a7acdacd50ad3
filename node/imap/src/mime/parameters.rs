//! Parameters of Content-Type and Content-Disposition, and the continuations of RFC 2231.
//!
//! `name*0="a"; name*1="b"` becomes `name="ab"`. If one of the segments is percent-encoded, the
//! joined value is as well, and its name ends in `*`: clients that know RFC 2231 decode that, and
//! nothing is lost for those that do not.

use super::fields::Budget;
use super::lexer::{self, Lexer};
use super::limits::PARAMS_MAX;

/// One parameter, quoting removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// In the case in which it stands there; with a `*` at its end if the value is encoded as in
    /// RFC 2231 section 4.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: Box<[u8]>,
}

/// The first one of this name.
pub(super) fn find<'a>(params: &'a [Param], name: &str) -> Option<&'a [u8]> {
    let param = params
        .iter()
        .find(|param| param.name.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(&param.value)
}

/// A parameter as it stands in the field.
struct Raw<'a> {
    name: &'a [u8],
    value: Vec<u8>,
}

/// A parameter that is one segment of a longer one: `base*number` or `base*number*`.
struct Segment<'a> {
    base: &'a [u8],
    number: usize,
    is_encoded: bool,
    /// Where it stands among all.
    at: usize,
}

/// What follows the type of a field.
pub(super) fn parse(lexer: Lexer, budget: &mut Budget) -> Vec<Param> {
    let raws = read(lexer);
    let mut joined = join(&raws);
    joined.sort_by_key(|(at, _, _)| *at);
    let mut params = Vec::with_capacity(joined.len());
    for (_, name, value) in joined {
        match (budget.keep(&name), budget.keep(&value)) {
            (Some(name), Some(value)) => params.push(Param { name, value }),
            _ => break,
        }
    }
    params
}

/// At most [`PARAMS_MAX`]. Semicolons may be missing; a name without a value is dropped.
fn read(mut lexer: Lexer) -> Vec<Raw> {
    let mut raws = Vec::new();
    while raws.len() < PARAMS_MAX && !lexer.is_at_end() {
        lexer.skip_space();
        let name = lexer.take_while(|byte| {
            !lexer::is_space(byte) && !matches!(byte, b'=' | b';' | b'(' | b'"')
        });
        if name.is_empty() {
            lexer.next();
            continue;
        }
        lexer.skip_space();
        if lexer.eat(b'=') {
            lexer.skip_space();
            let mut value = Vec::new();
            if lexer.peek() == Some(b'"') {
                lexer.quoted(&mut value);
            } else {
                unquoted(&mut lexer, &mut value);
            }
            raws.push(Raw { name, value });
        }
    }
    raws
}

/// A value without quotes. Programs forget them around file names with spaces, so words go on up
/// to the semicolon, or to a word that looks like the next parameter.
fn unquoted(lexer: &mut Lexer, value: &mut Vec<u8>) {
    loop {
        let mut ahead = *lexer;
        ahead.skip_space();
        let word = ahead.take_while(|byte| !lexer::is_space(byte) && !matches!(byte, b';' | b'('));
        if word.is_empty() || (!value.is_empty() && word.contains(&b'=')) {
            return;
        }
        if !value.is_empty() {
            value.push(b' ');
        }
        value.extend_from_slice(word);
        *lexer = ahead;
    }
}

/// Joins segments, with the place of the first of each. What is no segment, or belongs to no
/// unbroken row from 0 on, stays as it is.
fn join(raws: &[Raw]) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let mut done = Vec::with_capacity(raws.len());
    let mut segments = Vec::new();
    for (at, raw) in raws.iter().enumerate() {
        match segment(raw.name, at) {
            Some(segment) => segments.push(segment),
            None => done.push((at, raw.name.to_vec(), raw.value.clone())),
        }
    }
    segments.sort_by_cached_key(|segment| (segment.base.to_ascii_lowercase(), segment.number));
    let same_base = |a: &Segment, b: &Segment| a.base.eq_ignore_ascii_case(b.base);
    for group in segments.chunk_by(same_base) {
        let row = group
            .iter()
            .zip(0..)
            .take_while(|(segment, n)| segment.number == *n)
            .count();
        let (row, rest) = group.split_at(row);
        for segment in rest {
            if let Some(raw) = raws.get(segment.at) {
                done.push((segment.at, raw.name.to_vec(), raw.value.clone()));
            }
        }
        done.extend(join_row(row, raws));
    }
    done
}

fn join_row(row: &[Segment], raws: &[Raw]) -> Option<(usize, Vec<u8>, Vec<u8>)> {
    let first = row.first()?;
    let at = row.iter().map(|segment| segment.at).min()?;
    let is_encoded = row.iter().any(|segment| segment.is_encoded);
    let mut name = first.base.to_vec();
    let mut value = Vec::new();
    if is_encoded {
        name.push(b'*');
        // The first segment names charset and language, if it is encoded itself.
        value.extend_from_slice(if first.is_encoded { b"" } else { b"''" });
    }
    for segment in row {
        let text = raws
            .get(segment.at)
            .map_or(&[][..], |raw| raw.value.as_slice());
        if is_encoded && !segment.is_encoded {
            encode(text, &mut value);
        } else {
            value.extend_from_slice(text);
        }
    }
    Some((at, name, value))
}

fn segment(name: &[u8], at: usize) -> Option<Segment<'_>> {
    let star = name.iter().position(|&byte| byte == b'*')?;
    let (base, tail) = name.split_at_checked(star)?;
    let tail = tail.strip_prefix(b"*")?;
    let (digits, is_encoded) = match tail.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (tail, false),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (is_number && !base.is_empty() && number < PARAMS_MAX).then_some(Segment {
        base,
        number,
        is_encoded,
        at,
    })
}

/// Percent-encodes what is no `attribute-char` (RFC 2231 section 7).
fn encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    for &byte in text {
        let is_plain = byte.is_ascii_graphic()
            && lexer::is_token(byte)
            && !matches!(byte, b'*' | b'\'' | b'%');
        if is_plain {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
