//! DATA content: dots, ends, and everything that only looks like an end.

use bytes::Bytes;
use lmtp::Event;
use proptest::prelude::*;

use crate::client::{Client, config};

/// What a client sends for a message (RFC 5321 section 4.5.2): a dot more at each line's start.
fn stuff(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (at, byte) in message.iter().enumerate() {
        if *byte == b'.' && (at == 0 || message[..at].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*byte);
    }
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

fn received(wire: &[u8]) -> Vec<u8> {
    let mut client = Client::in_data(config());
    client.send(wire);
    assert_eq!(client.messages.len(), 1, "{}", wire.escape_ascii());
    client.messages.remove(0)
}

#[test]
fn only_crlf_dot_crlf_ends() {
    for false_end in [
        "\n.\n",
        "\r.\r",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\n.\r",
        "\r.\n",
        "\r\n.\0\r\n",
        "\r\n. \r\n",
        "\r\n.\r\0\n",
        "\n\r.\r\n",
        "\r\n..\r\n",
        "\r\r.\r\n",
        "\r\n\0.\r\n",
    ] {
        let wire = format!("a{false_end}MAIL FROM:<evil@example.org>\r\n");
        let mut client = Client::in_data(config());
        client.send(wire.as_bytes());
        assert!(client.replies.is_empty(), "{false_end:?} ended the message");
        client.send(b".\r\n");
        assert_eq!(client.codes(), [250], "{false_end:?}");
        let expected = wire.replace("\r\n.", "\r\n");
        assert_eq!(
            client.messages[0].escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
}

#[test]
fn empty_messages() {
    assert_eq!(received(b".\r\n"), b"");
    assert_eq!(received(b"\r\n.\r\n"), b"\r\n");
    assert_eq!(received(b"..\r\n.\r\n"), b".\r\n");
}

#[test]
fn slices_are_not_copied() {
    let mut client = Client::in_data(config());
    let mut wire = vec![b'x'; 60_000];
    wire.extend_from_slice(b"\r\n");
    let chunk = Bytes::from(wire);
    client.session.push(chunk.clone()).unwrap();
    let Some(Event::Data(data)) = client.session.next() else {
        panic!("no data")
    };
    assert_eq!(data.as_ptr(), chunk.as_ptr());
    assert_eq!(data.len(), chunk.len());
}

#[test]
fn dense_dots_make_few_events() {
    let mut client = Client::in_data(config());
    client
        .session
        .push(b"..\r\n".repeat(200_000).into())
        .unwrap();
    let mut events = 0;
    let mut bytes = 0;
    while let Some(event) = client.session.next() {
        let Event::Data(data) = event else {
            panic!("no data")
        };
        events += 1;
        bytes += data.len();
    }
    assert_eq!(bytes, 600_000);
    assert!(events < 60, "{events} events");
}

/// Bytes that make trouble, in any order.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec!["\r\n", ".", "\r", "\n", "\r\n.", "\r\n..", "ab", "\0"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => (1_000_usize..1_100).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn stuffing_round_trips(
        mut message in tricky(),
        cuts in prop::collection::vec(1_usize..9, 1..8),
    ) {
        if !message.is_empty() && !message.ends_with(b"\r\n") {
            message.extend_from_slice(b"\r\n");
        }
        let wire = stuff(&message);
        prop_assert_eq!(received(&wire), message.clone());
        let mut client = Client::in_data(config());
        let mut rest = wire.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            client.send(piece);
            rest = tail;
        }
        prop_assert_eq!(&client.messages, &[message]);
        prop_assert_eq!(client.codes(), [250]);
    }

    #[test]
    fn nothing_but_the_end_ends(message in tricky()) {
        let mut client = Client::in_data(config());
        let wire: Vec<u8> = [b"x".as_slice(), &message].concat();
        client.send(&wire);
        let end = wire.windows(5).position(|window| window == b"\r\n.\r\n");
        prop_assert_eq!(client.messages.len(), usize::from(end.is_some()));
    }
}
