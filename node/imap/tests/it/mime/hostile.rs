//! Messages made to hurt: structures stop at their limits, memory stays bounded while a message
//! streams by, and what is written is bounded as well.
//!
//! Time is not measured. Each of these takes a moment if the work is linear in the message, and
//! minutes if it is quadratic.

use bytes::BytesMut;
use hostile::mime::{HELD_BYTES_MAX, WRITTEN_BYTES_MAX};
use imap::mime::limits::{DEPTH_MAX, PARTS_MAX};
use imap::mime::{self, Kind, Needle, Scanner, Scope, Structure};

use super::{check, rendered};

/// Scans as it would stream in.
fn scan(message: &[u8]) -> Structure {
    let mut scanner = Scanner::new();
    for chunk in message.chunks(64 * 1024) {
        scanner.push(chunk);
        assert!(
            scanner.held_bytes() <= HELD_BYTES_MAX,
            "held {}",
            scanner.held_bytes()
        );
    }
    let structure = scanner.finish();
    check(&structure, message);
    assert!(structure.parts().len() <= PARTS_MAX);
    assert!(rendered(&structure, true).len() <= WRITTEN_BYTES_MAX);
    structure
}

fn envelope(structure: &Structure) -> BytesMut {
    let mut out = BytesMut::new();
    structure.envelope().write(&mut out);
    assert!(out.len() <= WRITTEN_BYTES_MAX);
    out
}

/// As deep as it goes, and no deeper.
#[test]
fn nested_multiparts() {
    let mut message = String::new();
    for depth in 0..10_000 {
        let inner =
            format!("Content-Type: multipart/mixed; boundary=\"b{depth}\"\r\n\r\n--b{depth}");
        message += &format!("{inner}\r\n");
    }
    let structure = scan(message.as_bytes());
    assert!(structure.is_truncated());
    assert_eq!(structure.parts().len(), DEPTH_MAX + 1);
    let deepest = structure.parts().last().unwrap();
    assert!(deepest.media_type.is("application", "octet-stream"));
    let path = vec![1; DEPTH_MAX];
    assert_eq!(
        mime::section(&structure, &path, mime::PartText::Whole),
        Some(deepest.body.clone())
    );
}

/// Messages in messages, each malformed.
#[test]
fn nested_messages() {
    let message = "Content-Type: message/rfc822\r\nno field\r\n\r\n".repeat(10_000);
    let structure = scan(message.as_bytes());
    assert!(structure.is_truncated());
    assert_eq!(structure.parts().len(), DEPTH_MAX + 1);
}

/// The rest belongs to the last part.
#[test]
fn many_parts() {
    let count = 200_000;
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let message = format!("{head}{}--b--\r\n", "--b\r\n\r\nx\r\n".repeat(count));
    let structure = scan(message.as_bytes());
    assert!(structure.is_truncated());
    assert_eq!(structure.parts().len(), PARTS_MAX);
    assert_eq!(structure.parts().last().unwrap().body.end, structure.size());
}

/// Boundaries of equal length that differ in their last byte are compared with every line.
#[test]
fn many_boundaries_alike() {
    let mut message = String::new();
    for depth in 0..DEPTH_MAX {
        let boundary = format!("{}{depth:03}", "x".repeat(60));
        message += &format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n");
        message += &format!("--{boundary}\r\n");
    }
    message += "\r\n";
    message += &format!("--{}yyy\r\n", "x".repeat(60)).repeat(5_000);
    assert_eq!(scan(message.as_bytes()).parts().len(), DEPTH_MAX + 1);
}

/// Multiparts that have no part at all.
#[test]
fn empty_multiparts() {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let part = "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n";
    let structure = scan(format!("{head}{}", part.repeat(8_000)).as_bytes());
    assert!(structure.parts().len() <= PARTS_MAX);
    for part in structure.parts() {
        assert!(!matches!(&part.kind, Kind::Multipart(children) if children.is_empty()));
    }
}

/// 200,000 lines of To.
#[test]
fn many_address_fields() {
    let header = "To: someone <someone@example.org>\r\n".repeat(200_000);
    let structure = scan(header.as_bytes());
    assert!(structure.envelope().to.len() > 10_000);
    envelope(&structure);
    assert_eq!(
        mime::header_fields(header.as_bytes(), &["to"], false).len(),
        header.len()
    );
}

/// A million groups, in one field and folded.
#[test]
fn many_groups() {
    let message = format!("To: {}\r\n\r\n", "g:;,".repeat(1_000_000));
    let structure = scan(message.as_bytes());
    let to = &structure.envelope().to;
    assert!(to.len() > 10_000);
    assert!(to.len().is_multiple_of(2), "a group has no end");
    envelope(&structure);
    let folded = format!("To: {}\r\n\r\n", "g:;,\r\n ".repeat(100_000));
    assert!(scan(folded.as_bytes()).envelope().to.len() > 10_000);
}

/// One field of 2 MiB, in one line and in many.
#[test]
fn huge_fields() {
    for filling in ["x", "\r\n x"] {
        let value = filling.repeat(2 * 1024 * 1024 / filling.len());
        for name in ["Subject", "From", "X-Unknown", "Content-Type"] {
            let structure = scan(format!("{name}: {value}\r\n\r\n").as_bytes());
            envelope(&structure);
            assert_eq!(structure.root().size(), 0);
        }
    }
}

/// 100,000 segments of one parameter, forwards and backwards.
#[test]
fn many_segments() {
    let segment = |number: u32| format!("; name*{number}*=x");
    for order in [
        (0..100_000).collect::<Vec<_>>(),
        (0..100_000).rev().collect(),
    ] {
        let params: String = order.into_iter().map(segment).collect();
        let structure = scan(format!("Content-Type: a/b{params}\r\n\r\n").as_bytes());
        assert!(structure.root().params.len() <= mime::limits::PARAMS_MAX);
    }
}

/// What does not end takes the rest of its field, whatever follows.
#[test]
fn unfinished_syntax() {
    let openings = [
        "(",
        "((((",
        "\"",
        "\\",
        "(\\",
        "\"\\",
        "<",
        "<@",
        "<@a",
        "<a@",
        "a@",
        "a@[",
        "a@[\\",
        "g:",
        "g: <",
        "=?",
        "=?a?b?",
        "=?utf-8?q?=",
        "a/b;",
        "a/b;c",
        "a/b;c=",
        "a/b;c=\"",
        "a/b;c=\"\\",
        "a/b;*0=1",
        "a/b;c*=",
        "a/",
    ];
    for opening in openings {
        for times in [1, 5_000] {
            let value = opening.repeat(times);
            for name in [
                "From",
                "To",
                "Subject",
                "Content-Type",
                "Content-Disposition",
                "Date",
            ] {
                let structure = scan(format!("{name}: {value}\r\n\r\nbody").as_bytes());
                envelope(&structure);
                assert_eq!(structure.root().size(), 4);
            }
            mime::decode_words(value.as_bytes());
            mime::sent_date(value.as_bytes());
        }
    }
}

/// Budgets run out in the middle of things, and what is written is whole all the same.
#[test]
fn a_spent_budget() {
    let address = "\"a name\" <mailbox@host.example>, ";
    let params = "; name=value".repeat(100);
    let fields = format!("To: {}\r\n", address.repeat(2_000)).repeat(30);
    let head = format!("{fields}Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    let part = format!("--b\r\nContent-Type: a/b{params}\r\nContent-ID: <x>\r\n\r\n\r\n");
    let structure = scan(format!("{head}{}", part.repeat(400)).as_bytes());
    envelope(&structure);
    assert!(
        structure.root().media_type.is("multipart", "mixed"),
        "addresses starve it"
    );
    assert_eq!(structure.parts().len(), 401);
    assert!(structure.parts()[1].media_type.is("a", "b"));
    assert!(
        structure
            .parts()
            .last()
            .unwrap()
            .media_type
            .is("text", "plain")
    );
}

/// Searching reads each byte a bounded number of times, also where the needle nearly fits.
#[test]
fn near_misses() {
    let message = format!("Subject: {0}\r\n\r\n{0}", "a".repeat(1024 * 1024));
    let structure = scan(message.as_bytes());
    let needle = Needle::new(&format!("{}b", "a".repeat(4096)));
    assert!(!mime::search_text(
        message.as_bytes(),
        &structure,
        Scope::Text,
        &needle
    ));
}

/// Single bytes, and single bytes repeated.
#[test]
fn every_byte() {
    for byte in 0..=u8::MAX {
        for count in [1, 3, 1000] {
            scan(&vec![byte; count]);
            let field = [b"From: ".to_vec(), vec![byte; count], b"\r\n\r\n".to_vec()].concat();
            envelope(&scan(&field));
        }
    }
}
