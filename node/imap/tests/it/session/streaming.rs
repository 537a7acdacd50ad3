//! Large messages and large mailboxes: memory stays flat, reads stay few.

use imap::Config;
use imap::limits::{PIECE_BYTES, READ_BYTES, WRITE_BYTES};
use mailbox::{Command, Flags, StoreMode, SystemFlags, UidRanges};

use super::backend::Partition;
use super::scripts::Dialogue;
use super::transport::Client;
use super::users::Users;

/// A multipart message with an attachment of about so many bytes.
fn large(bytes: usize) -> Vec<u8> {
    let head = "Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n\
        --b\r\nContent-Type: application/octet-stream\r\n\r\n";
    let line = format!("{}\r\n", "x".repeat(76));
    format!("{head}{}--b--\r\n", line.repeat(bytes / line.len())).into_bytes()
}

fn selected(partition: impl FnOnce(&Partition)) -> Dialogue {
    let mut dialogue = Dialogue::new();
    partition(&dialogue.partition);
    dialogue.log_in("c", "alice");
    dialogue.say("c", b"s SELECT INBOX\r\n");
    dialogue.partition.take_read();
    dialogue
}

#[test]
fn a_large_message_goes_in_pieces() {
    let message = large(5 << 20);
    let mut dialogue = selected(|partition| drop(partition.deliver("alice", None, &message)));
    let said = dialogue.say("c", b"a FETCH 1 BODY.PEEK[]\r\n");
    let size = message.len() + "Delivered-To: alice\r\n".len();
    let head = format!("* 1 FETCH (BODY[] {{{size}}}\r\nDelivered-To: alice\r\n");
    assert!(said.starts_with(head.as_bytes()));
    assert!(said.get(head.len()..).unwrap().starts_with(&message));
    assert!(said.ends_with(b")\r\na OK FETCH completed\r\n"));
    assert!(dialogue.client("c").largest_write() <= PIECE_BYTES as usize);
    let read = dialogue.partition.take_read();
    assert_eq!(
        read.len() as u64,
        (message.len() as u64).div_ceil(PIECE_BYTES)
    );
}

#[test]
fn a_slice_reads_only_itself() {
    let message = large(5 << 20);
    let mut dialogue = selected(|partition| drop(partition.deliver("alice", None, &message)));
    let said = dialogue.say("c", b"a FETCH 1 BODY.PEEK[]<3000021.16>\r\n");
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.starts_with("* 1 FETCH (BODY[]<3000021> {16}\r\n"),
        "{said}"
    );
    assert_eq!(dialogue.partition.take_read(), vec![3_000_000..3_000_016]);
}

/// A client that reads a part in slices does not make us scan the message for each.
#[test]
fn slices_of_a_part_scan_once() {
    let message = large(5 << 20);
    let mut dialogue = selected(|partition| drop(partition.deliver("alice", None, &message)));
    dialogue.say("c", b"a FETCH 1 BODY.PEEK[2]<0.65536>\r\n");
    let scan = dialogue.partition.take_read().len() as u64;
    assert!(scan >= (message.len() as u64).div_ceil(PIECE_BYTES));
    for slice in 1..20 {
        let line = format!("a FETCH 1 BODY.PEEK[2]<{}.65536>\r\n", slice * 65536);
        let said = dialogue.say("c", line.as_bytes());
        assert!(said.len() > 65536);
        assert_eq!(dialogue.partition.take_read().len(), 1);
    }
}

#[test]
fn headers_do_not_read_the_body() {
    let message = large(1 << 20);
    let mut dialogue = selected(|partition| drop(partition.deliver("alice", None, &message)));
    dialogue.say(
        "c",
        b"a FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)] ENVELOPE RFC822.SIZE)\r\n",
    );
    let read: u64 = dialogue
        .partition
        .take_read()
        .iter()
        .map(|read| read.end - read.start)
        .sum();
    assert!(read <= 16 * 1024, "{read}");
    dialogue.say("c", b"a FETCH 1 (FLAGS UID INTERNALDATE RFC822.SIZE)\r\n");
    assert!(dialogue.partition.take_read().is_empty());
}

/// A header of many MiB is filtered as it streams by.
#[test]
fn a_long_header_is_filtered() {
    let mut message = b"Subject: here\r\n".to_vec();
    message.extend_from_slice("To: somebody@example.org\r\n".repeat(20_000).as_bytes());
    message.extend_from_slice(b"\r\ntext\r\n");
    let mut dialogue = selected(|partition| drop(partition.deliver("alice", None, &message)));
    let said = dialogue.say("c", b"a FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]\r\n");
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("{17}\r\nSubject: here\r\n\r\n)"), "{said}");
    let said = dialogue.say("c", b"a FETCH 1 BODY.PEEK[HEADER.FIELDS (To)]\r\n");
    let said = String::from_utf8(said).unwrap();
    let size = "To: somebody@example.org\r\n".len() * 20_000 + 2;
    assert!(said.starts_with(&format!(
        "* 1 FETCH (BODY[HEADER.FIELDS (To)] {{{size}}}\r\nTo:"
    )));
    assert!(said.ends_with("example.org\r\n\r\n)\r\na OK FETCH completed\r\n"));
    let line = b"a FETCH 1 BODY.PEEK[HEADER.FIELDS (To)]<500000.30>\r\n";
    let slice = String::from_utf8(dialogue.say("c", line)).unwrap();
    let start = "* 1 FETCH (BODY[HEADER.FIELDS (To)]<500000> {30}\r\n".len();
    let offset = said.find("\r\n").unwrap() + 2 + 500_000;
    assert_eq!(slice.get(start..start + 30), said.get(offset..offset + 30));
}

#[test]
fn an_appended_message_is_not_held() {
    let mut dialogue = Dialogue::new();
    dialogue.log_in("c", "alice");
    let message = large(1 << 19);
    let line = format!("a APPEND INBOX (\\Seen) {{{}+}}\r\n", message.len());
    let client = dialogue.client("c");
    client.send(line);
    for piece in message.chunks(READ_BYTES) {
        client.send(piece.to_vec());
    }
    let said = String::from_utf8(dialogue.say("c", b"\r\nb STATUS INBOX (SIZE)\r\n")).unwrap();
    assert!(said.contains("a OK [APPENDUID "), "{said}");
    assert!(said.contains(&format!("SIZE {}", message.len())), "{said}");
}

/// STORE, MOVE and EXPUNGE of very many messages are several commands with one answer; COPY is not.
#[test]
fn very_many_messages() {
    let mut dialogue = selected(|partition| {
        for _ in 0..10_050 {
            partition.deliver("alice", None, b"a: b\r\n\r\nc\r\n");
        }
    });
    let mut say = |line: &str| {
        let before = dialogue.partition.proposals();
        let said = dialogue.say("c", format!("t {line}\r\n").as_bytes());
        (
            String::from_utf8(said).unwrap(),
            dialogue.partition.proposals() - before,
        )
    };
    let (said, proposals) = say("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    assert_eq!((said.as_str(), proposals), ("t OK STORE completed\r\n", 2));
    say("CREATE Away");
    // SAVELIMIT (RFC 9738): refused whole, whether by number or by UID.
    for copy in ["COPY 1:* Away", "UID COPY 1:* Away"] {
        let (said, proposals) = say(copy);
        assert!(said.starts_with("t NO [MESSAGELIMIT 10000 51] "), "{said}");
        assert_eq!(proposals, 0);
    }
    let (said, _) = say("COPY 1:10000 Away");
    assert!(said.contains("t OK [COPYUID "), "{said}");
    assert!(say("CAPABILITY").0.contains(" SAVELIMIT=10000 "));
    let (said, proposals) = say("EXPUNGE");
    assert_eq!(proposals, 2, "two batches");
    assert_eq!(said.matches(" EXPUNGE\r\n").count(), 10_050);
    assert!(said.ends_with("t OK EXPUNGE completed\r\n"));
}

/// Changes that come while a client is away for long are all told, page by page.
#[test]
fn very_many_changes() {
    let mut dialogue = selected(|partition| {
        for _ in 0..1_500 {
            partition.deliver("alice", None, b"a: b\r\n\r\nc\r\n");
        }
    });
    let account = dialogue.partition.account("alice");
    dialogue.partition.apply(Command::Store {
        account,
        mailbox: mailbox::MailboxId::INBOX,
        uids: UidRanges::all(),
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::FLAGGED),
        unchanged_since: None,
    });
    let said = String::from_utf8(dialogue.say("c", b"t NOOP\r\n")).unwrap();
    assert_eq!(said.matches(" FETCH (FLAGS (\\Flagged").count(), 1_500);
    let said = String::from_utf8(dialogue.say("c", b"t NOOP\r\n")).unwrap();
    assert_eq!(said, "t OK NOOP completed\r\n");
}

/// A client that comes back after more changes than one page holds is told all of them, also when
/// it is not remembered what was expunged.
#[test]
fn very_many_missed() {
    let mut dialogue = selected(|partition| {
        for _ in 0..10_050 {
            partition.deliver("alice", None, b"a: b\r\n\r\nc\r\n");
        }
    });
    dialogue.log_in("back", "alice");
    dialogue.say("back", b"t ENABLE QRESYNC\r\n");
    let come_back = |dialogue: &mut Dialogue| {
        let said = dialogue.say("back", b"t SELECT INBOX (QRESYNC (1704164645 1))\r\n");
        String::from_utf8(said).unwrap()
    };
    let said = come_back(&mut dialogue);
    assert_eq!(said.matches(" FETCH (UID ").count(), 10_050);
    assert!(!said.contains("VANISHED"));
    dialogue.say("c", b"t STORE 7,9 +FLAGS.SILENT (\\Deleted)\r\n");
    dialogue.say("c", b"t EXPUNGE\r\n");
    let said = come_back(&mut dialogue);
    assert!(said.contains("* VANISHED (EARLIER) 7,9\r\n"));
    dialogue.partition.forget_expunged();
    let said = come_back(&mut dialogue);
    assert_eq!(said.matches(" FETCH (UID ").count(), 10_048);
    assert!(said.contains("* VANISHED (EARLIER) 7,9\r\n"));
}

/// What a connection costs while nothing happens.
#[test]
fn an_idle_session_is_small() {
    let (mut server, config) = (Client::plain().server(), Config::default());
    let users = Users(Partition::default());
    let session = imap::serve(&mut server, &users, &config);
    assert!(
        size_of_val(&session) < 2048,
        "{} bytes",
        size_of_val(&session)
    );
    is_send(session);
}

fn is_send(_: impl Send) {}

/// RFC 3501 section 9: NUL stands in no literal, and the length is what it was; in a `literal8` it
/// does (RFC 3516 section 4.3).
#[test]
fn nul_stands_in_no_literal() {
    let head = "Subject: a\0b\r\n\r\n";
    let message = format!("{head}{}\0end\0", "text\r\n".repeat(100_000));
    let mut dialogue =
        selected(|partition| drop(partition.deliver("alice", None, message.as_bytes())));
    let trace = "Delivered-To: alice\r\n";
    let whole = format!("{trace}{message}");
    let rows = [
        ("BODY[]", whole.clone()),
        ("RFC822", whole.clone()),
        ("BODY[TEXT]", message.split_at(head.len()).1.to_owned()),
        ("RFC822.HEADER", format!("{trace}{head}")),
        ("BODY[HEADER.FIELDS (Subject)]", head.to_owned()),
        // What is remembered.
        ("BODY[HEADER.FIELDS (Subject)]", head.to_owned()),
        ("BODY[1]<600000.5>", "\0end\0".to_owned()),
    ];
    for (item, bytes) in rows {
        let said = dialogue.say("c", format!("a FETCH 1 (UID {item})\r\n").as_bytes());
        assert!(!said.contains(&0), "{item}");
        let literal = format!(" {{{}}}\r\n{}", bytes.len(), bytes.replace('\0', "?"));
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(&literal), "{item}");
    }
    let said = dialogue.say("c", b"a FETCH 1 BINARY.PEEK[]\r\n");
    let literal = format!(" ~{{{}}}\r\n{whole})", whole.len());
    assert!(String::from_utf8(said).unwrap().contains(&literal));
}

/// Whatever an answer ends with is sent before the client is waited for: also if the answer was so
/// long that nothing of it was left to be written then.
#[test]
fn long_answers_are_sent_to_their_end() {
    let mut dialogue = Dialogue::new();
    dialogue.log_in("c", "alice");
    let value = "x".repeat(WRITE_BYTES + 4096);
    let set = format!(
        "a SETMETADATA INBOX (/shared/long {{{}+}}\r\n{value})\r\n",
        value.len()
    );
    let said = String::from_utf8(dialogue.say("c", set.as_bytes())).unwrap();
    assert!(said.starts_with("a OK"), "{said}");
    let said = dialogue.say("c", b"b GETMETADATA INBOX /shared/long\r\n");
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(&value) && said.ends_with("b OK GETMETADATA completed\r\n"));
}
