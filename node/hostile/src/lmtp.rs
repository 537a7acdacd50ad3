//! Target `lmtp`: what an MTA sends, to a session.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lmtp::trace::{self, Trace};
use lmtp::{Address, Config, Delivered, Event, Session, Side, Verdict, limits};

use crate::cuts;

/// All bytes of a connection.
///
/// # Panics
/// If something does not hold.
pub fn check(wire: &[u8]) {
    let mut ways = cuts::ways(wire).into_iter();
    let whole = play(&ways.next().unwrap_or_default());
    for way in ways {
        assert_eq!(play(&way), whole, "cut otherwise");
    }
    replies(&whole.replies);
    whole.events.iter().for_each(event);
    assert!(whole.events.len() <= 2 * wire.len() + 4, "too many events");
    if let Ok(path) = std::str::from_utf8(wire) {
        for side in [Side::Sender, Side::Recipient] {
            if let Ok(address) = Address::parse(path, side, true) {
                self::address(&address, side);
            }
        }
    }
}

/// All that came of a connection. When the client has shown that it has a reply depends on when it
/// sent what, so [`Event::Seen`] is left out.
#[derive(Debug, Default, PartialEq)]
struct Played {
    events: Vec<Event>,
    replies: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

fn config() -> Config {
    let mut config = Config::new("store.example").expect("a host name");
    config.size_bytes_max = 300;
    config.recipients_max = 3;
    config.starttls = true;
    config
}

/// A socket loop that decides by what it is told and nothing else.
fn play(chunks: &[&[u8]]) -> Played {
    let mut session = Session::new(Arc::new(config()));
    let mut played = Played::default();
    let mut open: Option<(Vec<Address>, Vec<u8>)> = None;
    let mut chunks: VecDeque<&[u8]> = chunks.iter().copied().collect();
    loop {
        while let Some(event) = session.next() {
            match &event {
                Event::Reply(bytes) => {
                    played.replies.extend_from_slice(bytes);
                    continue;
                }
                Event::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    let (_, content) = open.as_mut().expect("data without a beginning");
                    content.extend_from_slice(bytes);
                    assert!(content.len() <= 300, "more than may come");
                    continue;
                }
                Event::Seen => continue,
                Event::Recipient(address) => {
                    session.recipient(verdict(address)).expect("it was asked");
                }
                Event::Begin { recipients, .. } => {
                    assert!(open.is_none() && (1..=3).contains(&recipients.len()));
                    open = Some((recipients.clone(), Vec::new()));
                }
                Event::End => {
                    let (recipients, content) = open.take().expect("an end without a beginning");
                    let outcomes: Vec<_> = recipients.iter().map(outcome).collect();
                    played.messages.push(content);
                    session.delivered(&outcomes).expect("it was asked");
                }
                Event::Abort => assert!(open.take().is_some(), "nothing to abort"),
                // What had come by then is dropped, which depends on how it came.
                Event::StartTls => chunks.clear(),
                Event::Quit => {}
            }
            played.events.push(event);
        }
        match chunks.pop_front() {
            Some(chunk) => session
                .push(Bytes::copy_from_slice(chunk))
                .expect("there is room when nothing waits"),
            None if session.is_closed() => break,
            None => session.disconnected(),
        }
    }
    assert!(open.is_none(), "a message without an end");
    played
}

fn verdict(address: &Address) -> Verdict {
    match address.local.len() % 6 {
        0 => Verdict::NoSuchUser,
        1 => Verdict::TempFail(format!("{}\r\n250 2.0.0 forged", address.raw)),
        2 => Verdict::Rejected(address.local.clone()),
        _ => Verdict::Accept,
    }
}

fn outcome(address: &Address) -> Delivered {
    match address.local.len() % 4 {
        0 => Delivered::Rejected(format!("{}\r\n.\r\n", address.local)),
        1 => Delivered::Duplicate,
        _ => Delivered::Ok {
            id: address.local.clone(),
        },
    }
}

/// Whole replies, each line short, nothing of a client's in them that ends one.
fn replies(replies: &[u8]) {
    let mut open: Option<[u8; 3]> = None;
    for line in replies.split_inclusive(|&byte| byte == b'\n') {
        assert!(line.len() <= limits::REPLY_BYTES_MAX, "a long reply");
        let line = line.strip_suffix(b"\r\n").expect("a line ends in CRLF");
        assert!(
            line.iter().all(|byte| !byte.is_ascii_control()),
            "{}",
            line.escape_ascii()
        );
        let (code, rest) = line.split_first_chunk::<3>().expect("a code");
        assert!(code.iter().all(u8::is_ascii_digit));
        assert!(
            open.is_none_or(|open| open == *code),
            "a reply has one code"
        );
        open = rest.starts_with(b"-").then_some(*code);
        assert!(rest.starts_with(b" ") || rest.starts_with(b"-"));
    }
    assert!(open.is_none(), "a reply without an end");
}

fn event(event: &Event) {
    match event {
        Event::Recipient(recipient) => address(recipient, Side::Recipient),
        Event::Begin {
            sender,
            recipients,
            utf8,
            ..
        } => {
            if let Some(sender) = sender {
                address(sender, Side::Sender);
            }
            for recipient in recipients {
                trace(sender.as_ref(), recipient, *utf8);
            }
        }
        _ => {}
    }
}

/// An address as it was given means the same once more.
fn address(address: &Address, side: Side) {
    assert!(address.raw.len() <= limits::ADDRESS_BYTES_MAX);
    assert!(!address.raw.chars().any(char::is_control));
    assert!(!address.local.is_empty());
    assert_eq!(
        Address::parse(&address.to_string(), side, true).as_ref(),
        Ok(address)
    );
}

/// The header that goes before a message is a few fields, whatever the addresses are.
fn trace(sender: Option<&Address>, recipient: &Address, utf8: bool) {
    let prefix = trace::prefix(&Trace {
        sender,
        recipient,
        lhlo: &recipient.raw,
        peer: None,
        host: "store.example",
        tls: false,
        utf8,
        id: &recipient.local,
        unix_seconds: 1_700_000_000,
    });
    assert!(prefix.len() <= limits::PREFIX_BYTES_MAX);
    let names: Vec<_> = imap::mime::fields(prefix.as_bytes())
        .map(|field| field.name)
        .collect();
    assert_eq!(names, [&b"Return-Path"[..], b"Delivered-To", b"Received"]);
    let text = prefix.strip_suffix("\r\n").expect("a field ends in CRLF");
    for line in text.split("\r\n") {
        let line = line.trim_start_matches('\t');
        assert!(!line.is_empty() && !line.chars().any(char::is_control));
    }
}
