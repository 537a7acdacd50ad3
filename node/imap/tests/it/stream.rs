//! The framer as a stream: however the bytes are cut, the items are the same; nothing that a peer
//! sends makes it panic or hold more than its limits.

use imap::grammar::{Bad, CommandBody, Framer, Item};
use imap::limits::Limits;
use proptest::collection::vec;
use proptest::prelude::*;

/// Small, so that random input meets every limit.
const LIMITS: Limits = Limits {
    line_bytes_max: 100,
    literal_bytes_max: 60,
    skip_bytes_max: 200,
    append_skip_bytes_max: 300,
};

/// Feeds `chunks` and decides as a session would: messages above 40 bytes are refused, IDLE is
/// followed by a raw line. Body chunks are joined, since only their sum is promised.
fn drive<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Item> {
    let mut framer = Framer::new(LIMITS);
    let mut items: Vec<Item> = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        loop {
            let item = match framer.next() {
                Ok(None) => break,
                Ok(Some(item)) => item,
                Err(error) => {
                    items.push(Item::Bad(Bad { tag: None, error }));
                    return items;
                }
            };
            match (&item, items.last_mut()) {
                (Item::Literal(literal), _) if literal.size <= 40 => framer.accept_literal(),
                (Item::Literal(_), _) => framer.refuse_append(),
                (Item::Command(command), _) if command.body == CommandBody::Idle => {
                    framer.expect_line();
                }
                (Item::Body(more), Some(Item::Body(body))) => {
                    assert!(!more.is_empty());
                    *body = [body.clone(), more.clone()].concat().into();
                    continue;
                }
                _ => {}
            }
            items.push(item);
        }
        assert!(
            framer.buffered() <= framer.buffered_max(),
            "held {}",
            framer.buffered()
        );
    }
    items
}

/// Pieces of which commands are made, right and wrong.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b" ",
        b"a1 ",
        b"b2 ",
        b"NOOP",
        b"LOGIN ",
        b"IDLE\r\n",
        b"DONE\r\n",
        b"APPEND INBOX ",
        b"a APPEND x {7}\r\n",
        b"a APPEND x {3+}\r\nabc {2+}\r\nxy",
        b"a APPEND x CATENATE (TEXT {3+}\r\nabc",
        b" URL {2+}\r\n/x",
        b"REPLACE 1 x ",
        b"UTF8 (~{3+}\r\n",
        b"APPEND x (\\Seen) ",
        b"a LOGIN {2+}\r\n",
        b"FETCH 1:* ",
        b"BODY[]",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"{3}\r\n",
        b"{3+}\r\n",
        b"{0}\r\n",
        b"{0+}\r\n",
        b"{50+}\r\n",
        b"{50}\r\n",
        b"{70}\r\n",
        b"{150+}\r\n",
        b"{99999999999999999999+}\r\n",
        b"{9999999999999999999999}\r\n",
        b"{3",
        b"+}",
        b"abc",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        b"SEARCH ",
        b"NOT ",
        b"STARTTLS\r\n",
        b"~",
    ];
    prop_oneof![
        20 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 1..4),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

/// Cuts `bytes` at the given places, each taken within bounds.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place % (bytes.len() + 1))
        .collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|ends| &bytes[ends[0]..ends[1]])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cutting_does_not_matter(bytes in stream(), places in vec(any::<usize>(), 0..6)) {
        let whole = drive([bytes.as_slice()]);
        prop_assert_eq!(&drive(bytes.chunks(1)), &whole);
        prop_assert_eq!(&drive(cut(&bytes, &places)), &whole);
    }

    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(drive(bytes.chunks(1)), drive([bytes.as_slice()]));
    }

    /// A literal is either an argument or makes its command BAD: what is in it never runs.
    #[test]
    fn literals_never_run(before in vec(piece(), 0..4), inside in "[a-z0-9 ]{0,20}") {
        let mut bytes = before.concat();
        bytes.retain(|&byte| !matches!(byte, b'\r' | b'\n'));
        let payload = format!("evil NOOP\r\n{inside}\r\n");
        let line = format!("a X {{{}+}}\r\n{payload} z\r\nok NOOP\r\n", payload.len());
        bytes.extend_from_slice(line.as_bytes());
        for item in drive([bytes.as_slice()]) {
            if let Item::Command(command) = item {
                prop_assert_eq!(command.tag.as_str(), "ok");
            }
        }
    }
}

/// Reads an APPEND up to its literal.
fn begin(framer: &mut Framer) {
    assert!(matches!(framer.next(), Ok(Some(Item::Append(_)))));
    assert!(matches!(framer.next(), Ok(Some(Item::Message(_)))));
    assert!(matches!(framer.next(), Ok(Some(Item::Literal(_)))));
}

#[test]
fn bodies_share_the_bytes_that_were_read() {
    let mut framer = Framer::new(Limits::AUTHENTICATED);
    framer.push(b"a APPEND INBOX {6+}\r\nabcdef\r\n");
    begin(&mut framer);
    framer.accept_literal();
    let start = framer.read_buffer().as_ptr();
    let Ok(Some(Item::Body(body))) = framer.next() else {
        panic!("a body expected")
    };
    assert_eq!(body.as_ptr(), start);
    assert_eq!(framer.next(), Ok(Some(Item::AppendEnd)));
    assert!(framer.is_idle());
}

#[test]
fn a_large_message_is_never_held() {
    let mut framer = Framer::new(Limits::AUTHENTICATED);
    let size = 50 * 1024 * 1024;
    framer.push(format!("a APPEND INBOX {{{size}}}\r\n").as_bytes());
    begin(&mut framer);
    framer.accept_literal();
    let chunk = vec![b'x'; imap::limits::READ_BYTES];
    let mut received = 0;
    while received < size {
        framer.push(&chunk);
        while let Some(Item::Body(body)) = framer.next().unwrap() {
            received += body.len();
        }
        assert_eq!(framer.buffered(), 0);
    }
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Ok(Some(Item::AppendEnd)));
}
