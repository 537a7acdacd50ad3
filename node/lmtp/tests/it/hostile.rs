//! Input that means harm, and callers that make mistakes.

use bytes::Bytes;
use lmtp::{Config, Delivered, Error, Event, Verdict, limits};
use proptest::prelude::*;

use crate::client::{Client, config};

#[test]
fn a_hundred_thousand_recipients() {
    let mut client = Client::greeted(config());
    client.send(b"MAIL FROM:<>\r\n");
    client.clear();
    for _ in 0..100 {
        let group: String = (0..1_000)
            .map(|at| format!("RCPT TO:<u{at}@example.org>\r\n"))
            .collect();
        client.send(group.as_bytes());
        client.events.clear();
    }
    let codes = client.codes();
    assert_eq!(codes.len(), 100_000);
    assert!(codes[..1_000].iter().all(|code| *code == 250));
    assert!(codes[1_000..].iter().all(|code| *code == 452));
    client.replies.clear();
    client.send(b"DATA\r\n");
    client.send(b"x\r\n.\r\n");
    let codes = client.codes();
    assert_eq!(codes[0], 354);
    assert_eq!(codes[1..], [250; 1_000]);
}

#[test]
fn replies_to_a_group_come_together() {
    let mut client = Client::greeted(config());
    let group = "RCPT TO:<alice@example.org>\r\n".repeat(50);
    client
        .session
        .push(format!("MAIL FROM:<>\r\n{group}NOOP\r\n").into())
        .unwrap();
    let mut replies = 0;
    while let Some(event) = client.session.next() {
        match event {
            Event::Recipient(_) => client.session.recipient(Verdict::Accept).unwrap(),
            Event::Reply(_) => replies += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(replies, 1);
}

#[test]
fn long_local_parts() {
    for (length, code) in [(65, 553), (4_000, 553), (4_096, 500), (100_000, 500)] {
        let mut client = Client::greeted(config());
        client.send(b"MAIL FROM:<>\r\n");
        client.clear();
        client.send(format!("RCPT TO:<{}@example.org>\r\nNOOP\r\n", "a".repeat(length)).as_bytes());
        assert_eq!(client.codes(), [code, 250], "{length}");
    }
}

#[test]
fn the_longest_line() {
    for (length, code) in [
        (limits::LINE_BYTES_MAX, 250),
        (limits::LINE_BYTES_MAX + 1, 500),
    ] {
        for cut in [1, 100, usize::MAX] {
            let mut client = Client::greeted(config());
            let line = format!("NOOP {}\r\n", "x".repeat(length - 7));
            assert_eq!(line.len(), length);
            for piece in line.as_bytes().chunks(cut.min(length)) {
                client.send(piece);
            }
            client.send(b"NOOP\r\n");
            assert_eq!(client.codes(), [code, 250], "{length} by {cut}");
        }
    }
}

#[test]
fn bdat_takes_what_it_announced() {
    let mut client = Client::greeted(config());
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n");
    client.clear();
    // More than announced: the rest is a command line. Less: the next command is content.
    client.send(b"BDAT 3\r\nabcNOOP\r\nBDAT 8\r\nxRSET\r\nyBDAT 0 LAST\r\n");
    assert_eq!(client.codes(), [250, 250, 250, 250]);
    assert_eq!(client.messages, [b"abcxRSET\r\ny".to_vec()]);
}

#[test]
fn bdat_of_endless_size_is_dropped() {
    let mut client = Client::greeted(config());
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n");
    client.clear();
    client.send(b"BDAT 18446744073709551615 LAST\r\n");
    let noise = vec![b'.'; 64 * 1024];
    for _ in 0..1_000 {
        client.send(&noise);
    }
    assert!(client.events.is_empty() && client.replies.is_empty());
}

#[test]
fn too_much_data_is_dropped_to_its_end() {
    let mut config = config();
    config.size_bytes_max = 100_000;
    let mut client = Client::in_data(config);
    let line = "x".repeat(998) + "\r\n";
    for _ in 0..1_000 {
        client.send(line.as_bytes());
    }
    assert_eq!(client.events, [Event::Abort]);
    client.send(b".\r\nNOOP\r\n");
    assert_eq!(client.codes(), [552, 250]);
}

#[test]
fn input_is_bounded() {
    let mut client = Client::greeted(config());
    let mebibyte = Bytes::from(vec![b'x'; limits::INPUT_BYTES_MAX]);
    client.session.push(mebibyte).unwrap();
    assert_eq!(
        client.session.push(Bytes::from_static(b"x")),
        Err(Error::InputFull)
    );
    client.drain();
    for _ in 0..limits::INPUT_CHUNKS_MAX {
        client.session.push(Bytes::from_static(b"x")).unwrap();
    }
    assert_eq!(
        client.session.push(Bytes::from_static(b"x")),
        Err(Error::InputFull)
    );
    client.drain();
    client.send(b"\r\n");
    assert_eq!(client.codes(), [500]);
}

#[test]
fn answers_out_of_turn_change_nothing() {
    let mut client = Client::greeted(config());
    let ok = Delivered::Ok { id: String::new() };
    assert_eq!(
        client.session.recipient(Verdict::Accept),
        Err(Error::NotAsked)
    );
    assert_eq!(client.session.delivered(&[]), Err(Error::NotEnded));
    let group = b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 1 LAST\r\nxNOOP\r\n";
    client.session.push(Bytes::from_static(group)).unwrap();
    assert!(matches!(client.session.next(), Some(Event::Recipient(_))));
    assert_eq!(client.session.delivered(&[]), Err(Error::NotEnded));
    client.session.recipient(Verdict::Accept).unwrap();
    assert_eq!(
        client.session.recipient(Verdict::Accept),
        Err(Error::NotAsked)
    );
    while client.session.next() != Some(Event::End) {}
    assert_eq!(client.session.next(), None);
    for given in [0, 2] {
        let wrong = vec![ok.clone(); given];
        let error = Error::Outcomes { expected: 1, given };
        assert_eq!(client.session.delivered(&wrong), Err(error));
    }
    client.session.delivered(&[ok]).unwrap();
    client.drain();
    assert_eq!(client.codes(), [250, 250]);
}

/// Clear text that arrives while the 220 is being written is dropped as well.
#[test]
fn clear_text_before_the_handshake_is_dropped() {
    let mut config = config();
    config.starttls = true;
    let mut client = Client::greeted(config);
    client
        .session
        .push(Bytes::from_static(b"STARTTLS\r\nLHLO a\r\n"))
        .unwrap();
    assert!(matches!(client.session.next(), Some(Event::Reply(_))));
    let injected = Bytes::from_static(b"LHLO b\r\nMAIL FROM:<evil@b.c>\r\n");
    client.session.push(injected).unwrap();
    assert_eq!(client.session.next(), Some(Event::StartTls));
    assert_eq!(client.session.next(), None);
    assert_eq!(client.session.lhlo(), None);
    assert!(client.session.tls() && !client.session.in_transaction());
    client.send(b"NOOP\r\n");
    assert_eq!(client.codes(), [250]);
}

#[test]
fn host_names() {
    for bad in ["", "a b", "a\r\nb", "b\u{fc}cher", &"a".repeat(256)] {
        assert_eq!(Config::new(bad).err(), Some(Error::Hostname), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn random_bytes_do_no_harm(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..20),
        data in any::<bool>(),
    ) {
        let mut client = if data { Client::in_data(config()) } else { Client::new(config()) };
        for piece in &pieces {
            client.send(piece);
        }
        client.session.disconnected();
        client.drain();
        prop_assert!(client.session.is_closed());
    }

    /// Every line of every reply is short and begins with a code; UTF-8 only if asked for.
    #[test]
    fn replies_are_clean(
        local in "\\PC{0,80}",
        domain in "[a-z\u{e4}\u{7}<>]{0,80}",
        utf8 in any::<bool>(),
    ) {
        let mut client = Client::greeted(config());
        let extension = if utf8 { " SMTPUTF8" } else { "" };
        client.send(format!("MAIL FROM:<>{extension}\r\n").as_bytes());
        client.send(format!("RCPT TO:<\"{local}\"@{domain}>\r\n").as_bytes());
        client.send(format!("RCPT TO:<a@b> {local}\r\n{local}\r\n").as_bytes());
        let text = client.reply_text();
        for line in text.split_inclusive("\r\n") {
            prop_assert!(line.len() <= limits::REPLY_BYTES_MAX && line.ends_with("\r\n"));
            prop_assert!(line[..3].parse::<u16>().is_ok());
            prop_assert!(!line.trim_end().chars().any(char::is_control));
            prop_assert!(utf8 || line.is_ascii());
        }
    }
}
