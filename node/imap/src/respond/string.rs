//! Encoders of strings and sets, for responses and for whoever renders a part of one.

use std::fmt::Write as _;

use bytes::BytesMut;

use crate::grammar::{IdRange, is_astring_char};
use crate::limits;

/// `astring`: as it is if that is possible, else like [`string`].
pub fn astring(out: &mut BytesMut, bytes: &[u8]) {
    // NIL is an atom as well, but no client expects it for a string.
    let is_plain = !bytes.is_empty()
        && bytes.len() <= limits::QUOTED_BYTES_MAX
        && bytes.iter().all(|&byte| is_astring_char(byte))
        && !bytes.eq_ignore_ascii_case(b"NIL");
    if is_plain {
        out.extend_from_slice(bytes);
    } else {
        string(out, bytes);
    }
}

/// `string`: quoted if it is printable ASCII and not long, else a literal.
pub fn string(out: &mut BytesMut, bytes: &[u8]) {
    let is_quotable = bytes.len() <= limits::QUOTED_BYTES_MAX
        && bytes
            .iter()
            .all(|&byte| byte == b' ' || byte.is_ascii_graphic());
    if is_quotable {
        return put_quoted(out, bytes);
    }
    write!(out, "{{{}}}\r\n", bytes.len()).expect("a buffer in memory takes all");
    // NUL may not stand in a literal (RFC 3501 section 4.3).
    out.extend(
        bytes
            .iter()
            .map(|&byte| if byte == 0 { b'?' } else { byte }),
    );
}

/// Like [`string`], but with NUL it becomes a `literal8` (RFC 5464 section 5).
pub(super) fn binary(out: &mut BytesMut, bytes: &[u8]) {
    if !bytes.contains(&0) {
        return string(out, bytes);
    }
    write!(out, "~{{{}}}\r\n", bytes.len()).expect("a buffer in memory takes all");
    out.extend_from_slice(bytes);
}

/// `nstring`: NIL for `None`, else like [`string`].
pub fn nstring(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => string(out, bytes),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A quoted string in UTF-8, for clients that enabled it (RFC 6855). Line ends, other controls and
/// NUL become `?`.
pub fn quoted(out: &mut BytesMut, text: &str) {
    let printable: String = text
        .chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect();
    put_quoted(out, printable.as_bytes());
}

fn put_quoted(out: &mut BytesMut, bytes: &[u8]) {
    out.extend_from_slice(b"\"");
    for run in bytes.split_inclusive(|&byte| byte == b'"' || byte == b'\\') {
        match run.split_last() {
            Some((special @ (b'"' | b'\\'), plain)) => {
                out.extend_from_slice(plain);
                out.extend_from_slice(&[b'\\', *special]);
            }
            _ => out.extend_from_slice(run),
        }
    }
    out.extend_from_slice(b"\"");
}

/// `sequence-set` or `uid-set` without `*`: `1:3,7`. The caller sees to it that there is a range.
pub fn id_set(out: &mut BytesMut, ranges: &[IdRange]) {
    for (at, range) in ranges.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let written = if range.first == range.last {
            write!(out, "{comma}{}", range.first)
        } else {
            write!(out, "{comma}{}:{}", range.first, range.last)
        };
        written.expect("a buffer in memory takes all");
    }
}

/// The human text of a status response: one line of printable ASCII, never empty, and never
/// beginning like a response code.
pub(super) fn text(out: &mut BytesMut, text: &str) {
    let is_safe = |char: char| char == ' ' || char.is_ascii_graphic();
    if text.is_empty() {
        out.extend_from_slice(b"Done");
    }
    for (at, char) in text.chars().enumerate() {
        let char = if at == 0 && char == '[' { '(' } else { char };
        let char = if is_safe(char) { char } else { '?' };
        write!(out, "{char}").expect("a buffer in memory takes all");
    }
}
