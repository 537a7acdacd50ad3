//! Decoding, joining and looking into large messages: in pieces, and no more of them than is asked
//! for.

use std::sync::Arc;

use imap::Config;
use imap::limits::{PIECE_BYTES, PREVIEW_SCAN_BYTES};

use super::backend::Partition;
use super::scripts::Dialogue;

/// A message with one part in base64, and what it stands for.
fn encoded(lines: usize) -> (Vec<u8>, Vec<u8>) {
    let head = "Content-Transfer-Encoding: base64\r\n\r\n";
    let line = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\r\n";
    let decoded: Vec<u8> = (0..=32).collect();
    (
        format!("{head}{}", line.repeat(lines)).into_bytes(),
        decoded.repeat(lines),
    )
}

fn selected(message: &[u8]) -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.config = Arc::new(Config {
        append_limit: 16 << 20,
        ..Config::default()
    });
    dialogue.partition.deliver("alice", None, message);
    dialogue.log_in("c", "alice");
    dialogue.say("c", b"s SELECT INBOX\r\n");
    dialogue.partition.take_read();
    dialogue
}

fn bytes_read(partition: &Partition) -> u64 {
    let read = partition.take_read();
    read.iter().map(|read| read.end - read.start).sum()
}

#[test]
fn a_large_part_is_decoded_in_pieces() {
    let (message, decoded) = encoded(100_000);
    let mut dialogue = selected(&message);
    let said = dialogue.say("c", b"a FETCH 1 BINARY.PEEK[1]\r\n");
    let head = format!("* 1 FETCH (BINARY[1] ~{{{}}}\r\n", decoded.len());
    assert!(said.starts_with(head.as_bytes()));
    assert!(said.get(head.len()..).unwrap().starts_with(&decoded));
    assert!(said.ends_with(b")\r\na OK FETCH completed\r\n"));
    assert!(dialogue.client("c").largest_write() <= PIECE_BYTES as usize);

    let said = dialogue.say("c", b"a FETCH 1 BINARY.SIZE[1]\r\n");
    let told = format!("* 1 FETCH (BINARY.SIZE[1] {})\r\n", decoded.len());
    assert!(said.starts_with(told.as_bytes()));

    // The structure is known by now: a slice is decoded up to its end, twice.
    dialogue.partition.take_read();
    let said = dialogue.say("c", b"a FETCH 1 BINARY.PEEK[1]<100000.40>\r\n");
    let head = b"* 1 FETCH (BINARY[1]<100000> ~{40}\r\n";
    assert!(said.starts_with(head));
    assert_eq!(
        &said[head.len()..head.len() + 40],
        &decoded[100_000..100_040]
    );
    assert!(bytes_read(&dialogue.partition) <= 2 * PIECE_BYTES);
}

#[test]
fn a_preview_reads_a_bounded_beginning() {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n\r\n";
    let mut message = head.as_bytes().to_vec();
    message.extend_from_slice("line\r\n".repeat(1_000_000).as_bytes());
    message.extend_from_slice(b"--b--\r\n");
    let mut dialogue = selected(&message);
    let said = dialogue.say("c", b"a FETCH 1 PREVIEW\r\n");
    assert!(said.starts_with(b"* 1 FETCH (PREVIEW \"Hello\")\r\n"));
    assert!(bytes_read(&dialogue.partition) <= 2 * PREVIEW_SCAN_BYTES);
}

#[test]
fn large_messages_are_joined_in_pieces() {
    let (message, _) = encoded(50_000);
    let mut dialogue = selected(&message);
    let line =
        b"a APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\" TEXT {1+}\r\n! URL \"/;UID=1\")\r\n";
    let said = String::from_utf8(dialogue.say("c", line)).unwrap();
    assert!(said.contains("a OK [APPENDUID "), "{said}");
    let largest = dialogue.partition.take_read();
    let largest = largest.iter().map(|read| read.end - read.start).max();
    assert!(largest.unwrap() <= PIECE_BYTES);
    let said = String::from_utf8(dialogue.say("c", b"b FETCH 2 RFC822.SIZE\r\n")).unwrap();
    let size = 2 * (message.len() + "Delivered-To: alice\r\n".len()) + 1;
    assert!(said.contains(&format!("RFC822.SIZE {size})")), "{said}");
}

/// What depends on the body alone is told again without reading it, of any copy of the message.
/// What the server puts before a body is never told of another one.
#[test]
fn what_was_told_is_not_read_again() {
    let message = b"From: a@b.example\r\nSubject: s\r\n\r\ntext\r\n";
    let mut dialogue = selected(message);
    dialogue.partition.deliver("alice", None, message);
    dialogue.say("c", b"n NOOP\r\n");
    let again = [
        "ENVELOPE",
        "BODY",
        "BODYSTRUCTURE",
        "PREVIEW",
        "BODY.PEEK[HEADER.FIELDS (From Subject)]",
    ];
    for item in again {
        let mut told = Vec::new();
        for number in ["1", "1", "2"] {
            let command = format!("f FETCH {number} {item}\r\n");
            let said = String::from_utf8(dialogue.say("c", command.as_bytes())).unwrap();
            told.push(said.replacen(&format!("* {number} "), "* n ", 1));
            let is_first = told.len() == 1;
            assert_eq!(!dialogue.partition.take_read().is_empty(), is_first);
        }
        assert_eq!(told[0], told[1], "{item}");
        assert_eq!(told[0], told[2], "{item}");
    }
    let anew = [
        "BODY.PEEK[HEADER.FIELDS (From Delivered-To)]",
        "BODY.PEEK[HEADER.FIELDS.NOT (From)]",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[]",
    ];
    for item in anew {
        for _ in 0..2 {
            let said = dialogue.say("c", format!("f FETCH 2 {item}\r\n").as_bytes());
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains("f OK"), "{said}");
            assert!(!dialogue.partition.take_read().is_empty(), "{item}");
        }
    }
}

/// However many messages and parts a client sends, there is an end to them, and an answer.
#[test]
fn messages_and_parts_are_counted() {
    let mut dialogue = selected(b"A: b\r\n\r\n");
    let one = b" {1+}\r\nx";
    let append = |times: usize| [b"a APPEND INBOX".to_vec(), one.repeat(times)].concat();
    let said = dialogue.say("c", &[append(500), b"\r\n".to_vec()].concat());
    assert!(String::from_utf8(said).unwrap().contains("a OK [APPENDUID"));
    let said = dialogue.say("c", &[append(501), b"\r\nb NOOP\r\n".to_vec()].concat());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(
        said,
        "a NO [LIMIT] Too many messages at once\r\nb OK NOOP completed\r\n"
    );
    let part = b" URL \"/INBOX/;UID=1\"";
    let catenate = |times: usize| {
        let begin = b"a APPEND INBOX CATENATE (TEXT {1+}\r\nx".to_vec();
        [begin, part.repeat(times), b")\r\nb NOOP\r\n".to_vec()].concat()
    };
    let said = String::from_utf8(dialogue.say("c", &catenate(255))).unwrap();
    assert!(said.contains("a OK [APPENDUID"), "{said}");
    let said = String::from_utf8(dialogue.say("c", &catenate(256))).unwrap();
    assert!(said.starts_with("a NO [LIMIT] Too many parts"), "{said}");
    assert!(said.ends_with("b OK NOOP completed\r\n"), "{said}");
}
