//! The headers before a delivered message.

use std::net::IpAddr;

use lmtp::trace::{Trace, date, prefix};
use lmtp::{Address, Side, limits};
use proptest::prelude::*;

fn address(path: &str) -> Address {
    Address::parse(path, Side::Sender, true).unwrap()
}

fn example<'a>(sender: Option<&'a Address>, recipient: &'a Address) -> Trace<'a> {
    Trace {
        sender,
        recipient,
        lhlo: "mx.example",
        peer: Some("192.0.2.7".parse().unwrap()),
        host: "store.example",
        tls: false,
        utf8: false,
        id: "1-2-3",
        unix_seconds: 1_795_373_693,
    }
}

#[test]
fn usual() {
    let (sender, recipient) = (address("s@example.org"), address("alice+x@example.org"));
    assert_eq!(
        prefix(&example(Some(&sender), &recipient)),
        "Return-Path: <s@example.org>\r\n\
         Delivered-To: alice+x@example.org\r\n\
         Received: from mx.example ([192.0.2.7])\r\n\
         \tby store.example with LMTP id 1-2-3\r\n\
         \tfor <alice+x@example.org>;\r\n\
         \tSun, 22 Nov 2026 18:54:53 +0000\r\n"
    );
}

#[test]
fn bounce_over_tls_by_ipv6() {
    let recipient = address("jörg@example.org");
    let trace = Trace {
        peer: Some("2001:db8::1".parse().unwrap()),
        tls: true,
        utf8: true,
        ..example(None, &recipient)
    };
    assert_eq!(
        prefix(&trace),
        "Return-Path: <>\r\n\
         Delivered-To: jörg@example.org\r\n\
         Received: from mx.example ([IPv6:2001:db8::1])\r\n\
         \tby store.example with UTF8LMTPS id 1-2-3\r\n\
         \tfor <jörg@example.org>;\r\n\
         \tSun, 22 Nov 2026 18:54:53 +0000\r\n"
    );
}

#[test]
fn nothing_begins_another_line() {
    let evil = Address {
        raw: "a@b>\r\nX-Evil: 1".to_owned(),
        ..address("a@b")
    };
    let trace = Trace {
        lhlo: "x\r\n\r\nY: (",
        id: "1\n2 3;",
        ..example(Some(&evil), &evil)
    };
    let text = prefix(&Trace { host: "", ..trace });
    assert!(
        text.starts_with("Return-Path: <a@b>??X-Evil: 1>\r\nDelivered-To: a@b>??X-Evil: 1\r\n")
    );
    assert!(text.contains("Received: from x????Y:?? ([192.0.2.7])\r\n\tby ? with LMTP id 1?2?3?"));
}

#[test]
fn dates() {
    for (seconds, text) in [
        (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 +0000"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 +0000"),
        (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 +0000"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 +0000"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 +0000"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 +0000"),
    ] {
        assert_eq!(date(seconds), text);
    }
}

proptest! {
    #[test]
    fn always_short_and_well_formed(
        sender in "\\PC{0,500}|[\\x00-\\x7f]{0,500}",
        recipient in "\\PC{0,500}|[a-z]{300,400}",
        names in prop::collection::vec("[\\x00-\\x7f]{0,20}|[a-z]{40,400}|\u{e4}{250}", 3),
        peer in prop::option::of(any::<IpAddr>()),
        unix_seconds in any::<u64>(),
        tls in any::<bool>(),
    ) {
        let of = |raw: &str| Address { raw: raw.to_owned(), ..address("a@b") };
        let (sender, recipient) = (of(&sender), of(&recipient));
        let text = prefix(&Trace {
            sender: Some(&sender),
            recipient: &recipient,
            lhlo: &names[0],
            peer,
            host: &names[1],
            tls,
            utf8: tls,
            id: &names[2],
            unix_seconds,
        });
        prop_assert!(text.len() <= limits::PREFIX_BYTES_MAX, "{} bytes", text.len());
        prop_assert!(text.ends_with(" +0000\r\n"));
        let unfolded = text.replace("\r\n\t", " ");
        let fields: Vec<_> = unfolded.split_terminator("\r\n").collect();
        prop_assert_eq!(fields.len(), 3);
        let names = ["Return-Path: <", "Delivered-To: ", "Received: from "];
        for (field, name) in fields.iter().zip(names) {
            prop_assert!(field.starts_with(name));
            prop_assert!(!field.chars().any(char::is_control));
        }
        prop_assert!(text.lines().all(|line| line.len() <= 998));
    }
}
