//! Target `headers`: the fields of a header, each value also as if it stood in every other field.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use imap::grammar::{Date, DateTime};
use imap::mime::{self, Address, Envelope, Needle};

use crate::codec;

/// Fields of one header that are looked at one by one.
const FIELDS_READ: usize = 64;

/// A whole header.
///
/// # Panics
/// If something does not hold.
pub fn check(header: &[u8]) {
    envelope(&mime::envelope(header));
    let fields: Vec<_> = mime::fields(header).collect();
    let bytes: usize = fields
        .iter()
        .map(|field| field.name.len() + 1 + field.folded.len())
        .sum();
    assert!(bytes <= header.len(), "fields overlap");
    for field in fields.iter().take(FIELDS_READ) {
        let first = fields.iter().find(|other| other.is(field.name));
        let first = first.map(mime::Field::value);
        assert_eq!(mime::field_value(header, field.name), first);
        let text = field.text();
        let name = field.name;
        if first == Some(field.value()) && text.len() < 1024 {
            let needle = Needle::new(&text);
            let is_found = mime::header_contains(header, name, &needle);
            let is_list = mime::envelope(&[name, b":a@b"].concat()) != Envelope::default();
            assert!(is_found || is_list, "{text:?} is not found");
        }
        value(&field.value());
    }
    value(header);
    words(header);
}

/// One value, read as each kind of field.
fn value(value: &[u8]) {
    let text = mime::decode_words(value);
    assert!(text.len() <= 4 * value.len(), "text grows");
    let base = mime::base_subject(value);
    assert!(base.text.len() <= text.len());
    if !base.text.contains("=?") {
        let again = mime::base_subject(base.text.as_bytes());
        assert_eq!(again.text, base.text, "a base has no base");
    }
    if let Some(date) = mime::sent_date(value) {
        let text = date.to_string();
        assert_eq!(DateTime::parse(format!("\"{text}\"").as_bytes()), Ok(date));
        assert_eq!(mime::sent_date(text.as_bytes()), Some(date));
    }
    if let Ok(date) = Date::parse(value) {
        assert_eq!(Date::from_days(date.days()), date);
    }
    let mut bytes = 0;
    for id in mime::message_ids(value) {
        assert!(id.contains(&b'@'));
        bytes += id.len() + 2;
        // As it would be written by one who knows that it has to be quoted.
        let mut quoted = b"<\"".to_vec();
        let (left, right) = id.split_at(id.iter().rposition(|&byte| byte == b'@').unwrap_or(0));
        for &byte in left {
            quoted.extend_from_slice(&[b'\\', byte]);
        }
        let is_plain = right
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\".contains(byte));
        quoted.extend_from_slice(&[b"\"", right, b">"].concat());
        if is_plain && right.len() > 1 {
            assert_eq!(mime::message_ids(&quoted).collect::<Vec<_>>(), [id]);
        }
    }
    assert!(bytes <= value.len(), "ids overlap");
    let unfolded: Vec<u8> = value
        .iter()
        .map(|&byte| if byte == b'\n' { b' ' } else { byte })
        .collect();
    addresses(&unfolded);
    for name in ["Content-Type", "Content-Disposition", "Content-Language"] {
        let header = [name.as_bytes(), b": ", &unfolded, b"\r\n\r\n"].concat();
        let structure = mime::scan(&header);
        let mut out = BytesMut::from(&b"* 1 FETCH (BODYSTRUCTURE "[..]);
        mime::write_body(&structure, true, &mut out);
        out.extend_from_slice(b")\r\n");
        codec::reads(&out);
    }
}

/// Addresses, written so that nothing in them can be taken for something else, are the same.
fn addresses(list: &[u8]) {
    let header = [b"From: ", list, b"\r\n\r\n"].concat();
    let read = mime::envelope(&header);
    envelope(&read);
    assert!(read.from.len() <= 2 * list.len() + 1);
    for address in &read.from {
        let Address {
            name,
            route: None,
            mailbox: Some(mailbox),
            host: Some(host),
        } = address
        else {
            continue;
        };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
        if host.is_empty() || !host.iter().all(is_plain) {
            continue;
        }
        let mut header = b"From: ".to_vec();
        if let Some(name) = name {
            quote(name, &mut header);
        }
        header.extend_from_slice(b" <");
        quote(mailbox, &mut header);
        header.extend_from_slice(&[b"@", &host[..], b">\r\n\r\n"].concat());
        let again = mime::envelope(&header).from;
        assert_eq!(
            again,
            std::slice::from_ref(address),
            "written as {}",
            header.escape_ascii()
        );
    }
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn envelope(envelope: &Envelope) {
    let mut out = BytesMut::from(&b"* 1 FETCH (ENVELOPE "[..]);
    envelope.write(&mut out);
    out.extend_from_slice(b")\r\n");
    codec::reads(&out);
}

/// A text in encoded words, of both kinds and cut anywhere, is decoded to what it was.
fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.get(..text.floor_char_boundary(512)).unwrap_or("");
    let mut binary = String::new();
    let mut quoted = String::new();
    for chunk in text.as_bytes().chunks(30) {
        let _ = write!(binary, " =?UTF-8?B?{}?=", BASE64.encode(chunk));
        quoted += " =?utf-8*en?q?";
        for byte in chunk {
            let _ = write!(quoted, "={byte:02X}");
        }
        quoted += "?=";
    }
    for encoded in [binary, quoted] {
        assert_eq!(mime::decode_words(encoded.trim().as_bytes()), text);
    }
}
