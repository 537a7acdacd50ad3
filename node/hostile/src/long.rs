//! Target `long`: a short input that says how a long one goes, to all parsers once.
//!
//! ```text
//!   head NUL piece NUL tail   ─►   head piece piece piece .. tail
//! ```
//!
//! What reads a byte again and again for every byte that follows shows only when there are many.
//! Where the work is linear such an input takes some milliseconds, and otherwise so long that
//! libFuzzer's `-timeout` or `-report_slow_units` tells.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use imap::grammar::{Framer, Item};
use imap::limits::{self, Limits};
use imap::mime::{self, Needle, Scope, Structure};
use imap::names::Pattern;
use lmtp::{Config, Delivered, Event, Session, Verdict};

/// Bytes of the long input.
const LONG_BYTES: usize = 128 << 10;

/// What is made of a head, a piece and a tail.
///
/// # Panics
/// If something does not hold.
pub fn check(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |&byte| byte == 0);
    let (Some(head), Some(piece)) = (parts.next(), parts.next()) else {
        return;
    };
    let tail = parts.next().unwrap_or_default();
    if piece.is_empty() || head.len() + tail.len() > LONG_BYTES {
        return;
    }
    let long = [head, &piece.repeat(LONG_BYTES / piece.len()), tail].concat();
    commands(&long);
    message(&long);
    value(&long);
    mail(&long);
}

fn commands(stream: &[u8]) {
    let mut framer = Framer::new(Limits::AUTHENTICATED);
    let mut items = 0;
    for chunk in stream.chunks(limits::READ_BYTES) {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(None) => break,
                Ok(Some(Item::Literal(_))) => framer.accept_literal(),
                Ok(Some(_)) => {}
                Err(_) => return,
            }
            items += 1;
        }
        assert!(framer.buffered() <= framer.buffered_max());
    }
    assert!(items <= 3 * stream.len());
    let pattern = stream.get(..limits::PATTERN_BYTES_MAX);
    if let Ok(pattern) = Pattern::new(b"", pattern.unwrap_or_default(), true) {
        pattern.matches(&"a/b".repeat(limits::NAME_BYTES_MAX / 3));
    }
}

fn message(message: &[u8]) {
    let structure = mime::scan(message);
    crate::mime::keeps_promises(&structure, message);
    for extended in [false, true] {
        let mut out = BytesMut::new();
        mime::write_body(&structure, extended, &mut out);
        assert!(out.len() <= crate::mime::WRITTEN_BYTES_MAX);
    }
    searched(&structure, message);
    mime::header_fields(message, &["from", "x"], true);
    mime::field_value(message, b"never");
}

fn searched(structure: &Structure, message: &[u8]) {
    for text in ["never", "aaaaaaaaaaaaaaaaaaaaaaaab"] {
        let needle = Needle::new(text);
        mime::search_text(message, structure, Scope::Text, &needle);
        mime::header_contains(message, b"from", &needle);
        mime::header_contains(message, b"subject", &needle);
    }
}

fn value(value: &[u8]) {
    let text = mime::decode_words(value);
    assert!(text.len() <= 4 * value.len());
    Needle::new(&text).is_in(&text);
    mime::collate(&text, limits::SORT_TEXT_BYTES_MAX);
    mime::base_subject(value);
    mime::sent_date(value);
    assert!(mime::message_ids(value).count() <= value.len() / 5);
}

fn mail(wire: &[u8]) {
    let config = Config::new("store.example").expect("a host name");
    let mut session = Session::new(Arc::new(config));
    let mut recipients_max = 0;
    let mut events = 0;
    for chunk in wire.chunks(limits::READ_BYTES) {
        if session.push(Bytes::copy_from_slice(chunk)).is_err() {
            return;
        }
        while let Some(event) = session.next() {
            events += 1;
            match event {
                Event::Recipient(_) => session.recipient(Verdict::Accept).expect("it was asked"),
                Event::Begin { recipients, .. } => recipients_max = recipients.len(),
                Event::End => session
                    .delivered(&vec![Delivered::Duplicate; recipients_max])
                    .expect("it was asked"),
                Event::Quit => return,
                _ => {}
            }
        }
    }
    assert!(events <= 2 * wire.len());
}
