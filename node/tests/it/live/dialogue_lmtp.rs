//! Bad input to the LMTP door, and what a good delivery leaves behind.

use super::cluster::{Cluster, DOMAIN, cluster};
use super::wire::Wire;

/// What a client sends to node 1 after LHLO, and how each line of the answer begins.
struct Row {
    what: &'static str,
    send: Vec<u8>,
    answers: &'static [&'static str],
    /// The server closes then; otherwise the same connection serves on.
    closes: bool,
}

fn row(what: &'static str, send: impl AsRef<[u8]>, answers: &'static [&'static str]) -> Row {
    Row {
        what,
        send: send.as_ref().to_vec(),
        answers,
        closes: false,
    }
}

/// In a transaction with one recipient.
fn to_user1(what: &'static str, send: impl AsRef<[u8]>, answers: &'static [&'static str]) -> Row {
    let head = format!("MAIL FROM:<>\r\nRCPT TO:<user1@{DOMAIN}>\r\n");
    row(what, [head.as_bytes(), send.as_ref()].concat(), answers)
}

const OK: &str = "250 2.1.0 sender ok";
const TO: &str = "250 2.1.5 <user1@demo.example> recipient ok";
const GO: &str = "354 ";
const DONE: &str = "250 2.0.0 <user1@demo.example> delivered, id ";

impl Row {
    fn check(&self, mut wire: Wire) {
        wire.send(&self.send);
        let said = if self.closes {
            wire.rest()
        } else {
            // HELP is answered like nothing else.
            wire.send(b"HELP\r\n");
            let mut said = wire.until("214 ");
            let last = said.pop().unwrap_or_default();
            assert!(last.starts_with("214 "), "{}: {said:?} {last}", self.what);
            said
        };
        let fits = said.len() == self.answers.len()
            && said
                .iter()
                .zip(self.answers)
                .all(|(said, answer)| said.starts_with(answer));
        assert!(fits, "{}: {said:?}", self.what);
    }
}

/// How many messages a user has.
fn messages(cluster: &Cluster, user: &str, mailbox: &str) -> usize {
    let mut wire = cluster.in_inbox(1, user);
    let said = wire.ask("a", format!("a STATUS {mailbox} (MESSAGES)\r\n"));
    let count = said[0].split("(MESSAGES ").nth(1).unwrap();
    count.trim_end_matches(')').parse().unwrap()
}

/// The newest message of a mailbox, as it is.
fn newest(cluster: &Cluster, user: &str, mailbox: &str) -> String {
    let mut wire = cluster.in_inbox(1, user);
    let fetch = format!("a SELECT {mailbox}\r\nb FETCH * BODY.PEEK[]\r\n");
    let said = wire.ask("b", fetch);
    let from = said.iter().position(|line| line.contains("BODY[] {"));
    let end = said.len() - 2;
    said[from.unwrap() + 1..end].join("\n")
}

#[test]
fn commands() {
    let (cluster, _use) = cluster();
    let long = "x".repeat(70_000);
    let rcpt = |path: &str| format!("RCPT TO:{path}\r\n");
    let addresses = [
        "<>",
        "alice",
        "<alice",
        "<@@>",
        "<\"\"@demo.example>",
        "<a b@demo.example>",
        "<\"@demo.example>",
        "<.a@demo.example>",
        "<a..b@demo.example>",
        "<a@-x.example>",
        "<\u{e9}@demo.example>",
    ];
    let bad_addresses: String = addresses.iter().map(|path| rcpt(path)).collect();
    let long_local = rcpt(&format!("<{}@demo.example>", "l".repeat(65)));
    let mut rows = vec![
        row(
            "SMTP",
            "HELO x\r\nEHLO x\r\n",
            &["500 5.5.1 this is LMTP", "500 5.5.1 this is LMTP"],
        ),
        row("an unknown command", "FOO\r\n", &["500 5.5.1 "]),
        row("AUTH", "AUTH PLAIN\r\n", &["502 5.5.1 "]),
        row("DATA before MAIL", "DATA\r\n", &["503 5.5.1 "]),
        row(
            "DATA before RCPT",
            "MAIL FROM:<>\r\nDATA\r\n",
            &[OK, "503 5.5.1 "],
        ),
        row(
            "RCPT before MAIL",
            rcpt("<user1@demo.example>"),
            &["503 5.5.1 "],
        ),
        row(
            "MAIL twice",
            "MAIL FROM:<>\r\nMAIL FROM:<a@b.example>\r\n",
            &[OK, "503 5.5.1 "],
        ),
        row("MAIL without an address", "MAIL FROM:\r\n", &["501 5.5.4 "]),
        row(
            "a sender without a domain",
            "MAIL FROM:<a@>\r\n",
            &["553 5.1.7 "],
        ),
        row("a parameter", "MAIL FROM:<> FOO=1\r\n", &["555 5.5.4 "]),
        row(
            "sizes",
            "MAIL FROM:<> SIZE=x\r\nMAIL FROM:<> SIZE=\r\nMAIL FROM:<> SIZE=999999999\r\n\
             MAIL FROM:<> SIZE=18446744073709551616\r\n",
            &["501 5.5.4 ", "501 5.5.4 ", "552 5.3.4 ", "552 5.3.4 "],
        ),
        to_user1(
            "bad addresses",
            bad_addresses,
            &[
                OK,
                TO,
                "553 5.1.3 ",
                "501 5.5.4 ",
                "501 5.5.4 ",
                "553 5.1.3 ",
                "553 5.1.3 ",
                "553 5.1.3 ",
                "501 5.5.4 ",
                "553 5.1.3 ",
                "553 5.1.3 ",
                "553 5.1.3 ",
                "553 5.6.7 ",
            ],
        ),
        to_user1("a long local part", long_local, &[OK, TO, "553 5.1.3 "]),
        to_user1(
            "nobody, and somebody elsewhere",
            rcpt("<nobody@demo.example>") + &rcpt("<user1@else.example>"),
            &[
                OK,
                TO,
                "550 5.1.1 <nobody@demo.example> ",
                "550 5.1.1 <user1@else.example> ",
            ],
        ),
        row(
            "a line of 70 KB",
            format!("NOOP {long}\r\n"),
            &["500 5.5.2 line too long"],
        ),
        row("bare LF", "NOOP\nNOOP\n", &["500 5.5.2 ", "500 5.5.2 "]),
        row("NUL", "NO\0OP\r\n", &["500 5.5.2 control character"]),
        row(
            "no UTF-8",
            b"NOOP \xff\xfe\r\n",
            &["500 5.5.2 command is not UTF-8"],
        ),
        row(
            "LHLO without a name",
            "LHLO\r\nLHLO a b\r\n",
            &["501 5.5.4 ", "501 5.5.4 "],
        ),
        to_user1(
            "BDAT of a negative size",
            "BDAT -1 LAST\r\nx",
            &[OK, TO, "501 5.5.4 "],
        ),
        to_user1(
            "BDAT beyond numbers",
            "BDAT 99999999999999999999 LAST\r\nx",
            &[OK, TO, "501 5.5.4 "],
        ),
        row(
            "BDAT before RCPT",
            "MAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\n",
            &[OK, "503 5.5.1 "],
        ),
    ];
    for row in &mut rows {
        row.closes = row.what.starts_with("BDAT of") || row.what.starts_with("BDAT beyond");
        row.check(cluster.lmtp(1));
        cluster.serves_lmtp(1, row.what);
    }
    cluster.serves(1, "bad commands");
    assert_eq!(messages(cluster, "user1", "Junk"), 0);
}

#[test]
fn before_lhlo_and_after_too_many_errors() {
    let (cluster, _use) = cluster();
    let mut wire = Wire::connect(&cluster.node(1).lmtp);
    wire.send(b"MAIL FROM:<>\r\nRCPT TO:<user1@demo.example>\r\nDATA\r\nBDAT 1 LAST\r\nxQUIT\r\n");
    let said = wire.rest();
    let codes: Vec<&str> = said.iter().map(|line| &line[..3]).collect();
    assert_eq!(
        codes,
        ["220", "503", "503", "503", "503", "221"],
        "{said:?}"
    );

    let mut wire = cluster.lmtp(1);
    wire.send("FOO\r\n".repeat(30).as_bytes());
    let said = wire.rest();
    assert_eq!(said.len(), 21, "{said:?}");
    assert!(
        said[20].starts_with("421 4.7.0 too many errors"),
        "{said:?}"
    );
    cluster.serves(1, "too many errors");
}

/// RFC 5321 section 4.5.3.1.10: the rest is to be sent again, not to be bounced.
#[test]
fn too_many_recipients() {
    let (cluster, _use) = cluster();
    let mut wire = cluster.lmtp(1);
    let rcpt = format!("RCPT TO:<user1@{DOMAIN}>\r\n");
    wire.send(format!("MAIL FROM:<>\r\n{}RSET\r\nQUIT\r\n", rcpt.repeat(1_002)).as_bytes());
    let said = wire.rest();
    let (taken, rest) = said[1..].split_at(1_000);
    assert!(
        taken.iter().all(|line| line == TO),
        "{:?}",
        taken.iter().find(|line| *line != TO)
    );
    assert!(
        rest[..2].iter().all(|line| line.starts_with("452 4.5.3 ")),
        "{rest:?}"
    );
    assert!(
        rest[2].starts_with("250 2.0.0 ") && rest[3].starts_with("221 "),
        "{rest:?}"
    );
    cluster.serves(1, "too many recipients");
}

/// No line end but CRLF ends a message: what follows is content, whatever it looks like.
#[test]
fn messages_do_not_end_early() {
    let (cluster, _use) = cluster();
    let before = messages(cluster, "user1", "INBOX");
    let ends = ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\n.\r"];
    for (number, end) in ends.iter().enumerate() {
        let what = format!("{end:?}");
        let smuggled =
            format!("MAIL FROM:<evil@x>\r\nRCPT TO:<bob@{DOMAIN}>\r\nDATA\r\nEvil: 1\r\n");
        let message = format!("Subject: {number}\r\n\r\nx{end}{smuggled}");
        let send = format!("DATA\r\n{message}\r\n.\r\n");
        let row = to_user1("smuggling", send, &[OK, TO, GO, DONE]);
        row.check(cluster.lmtp(1));
        assert_eq!(
            messages(cluster, "user1", "INBOX"),
            before + number + 1,
            "{what}"
        );
        let stored = newest(cluster, "user1", "INBOX");
        assert!(stored.contains("MAIL FROM:<evil@x>"), "{what}: {stored}");
    }
    // A lie about the size: what comes is content up to it, and nothing if it never comes.
    let lies = to_user1(
        "a lie",
        "BDAT 3 LAST\r\nabcdef\r\n",
        &[OK, TO, DONE, "500 5.5.1 "],
    );
    lies.check(cluster.lmtp(1));
    assert_eq!(messages(cluster, "user1", "INBOX"), before + ends.len() + 1);
    let mut wire = cluster.lmtp(1);
    wire.send(format!("MAIL FROM:<>\r\nRCPT TO:<user1@{DOMAIN}>\r\n").as_bytes());
    wire.send(b"BDAT 1000 LAST\r\nSubject: never\r\n\r\nQUIT\r\n");
    wire.finish();
    assert_eq!(wire.rest(), [OK, TO], "no reply to what did not come");
    let mut wire = cluster.lmtp(1);
    wire.send(format!("MAIL FROM:<>\r\nRCPT TO:<user1@{DOMAIN}>\r\n").as_bytes());
    wire.send(b"DATA\r\nSubject: never\r\n\r\nx\r\n");
    wire.finish();
    assert_eq!(wire.rest().len(), 3);
    assert_eq!(messages(cluster, "user1", "INBOX"), before + ends.len() + 1);
    cluster.serves(1, "messages that do not end");
}

/// NUL and other bytes are content like any other.
#[test]
fn any_bytes_are_a_message() {
    let (cluster, _use) = cluster();
    let bytes: Vec<u8> = (0..=255).filter(|byte| !b"\r\n".contains(byte)).collect();
    let message = [b"Subject: bytes\r\n\r\n", &bytes[..]].concat();
    let said = cluster.deliver(1, &["user3"], &message);
    assert!(said[0].starts_with("250 2.0.0 "), "{said:?}");
    let mut wire = cluster.in_inbox(2 + 1, "user3");
    let said = wire.ask("a", "a FETCH * BODY.PEEK[TEXT]\r\n");
    assert!(
        said[0].contains(&format!("BODY[TEXT] {{{}}}", bytes.len() + 2)),
        "{said:?}"
    );
    cluster.serves(1, "any bytes");
}

/// RFC 2033 section 4.2: one reply for each recipient that was taken, in order.
#[test]
fn a_good_delivery() {
    let (cluster, _use) = cluster();
    let mut wire = cluster.in_inbox(3, "testuser");
    let said = wire.ask("a", "a CREATE Lists\r\n");
    assert!(said[0].starts_with("a OK [MAILBOXID ("), "{said:?}");

    let mut wire = cluster.lmtp(1);
    let mut head = String::from("MAIL FROM:<sender@else.example> SIZE=100\r\n");
    for to in [
        "testuser",
        "nobody",
        "testuser+Lists",
        "testuser+Nowhere",
        "TESTUSER2",
    ] {
        head += &format!("RCPT TO:<{to}@{DOMAIN}>\r\n");
    }
    wire.send(format!("{head}DATA\r\n").as_bytes());
    let said = wire.until("354 ");
    let codes: Vec<&str> = said.iter().map(|line| &line[..9]).collect();
    assert_eq!(
        codes,
        [
            "250 2.1.0",
            "250 2.1.5",
            "550 5.1.1",
            "250 2.1.5",
            "250 2.1.5",
            "250 2.1.5",
            "354 send "
        ]
    );
    wire.send(b"Subject: to many\r\n\r\n..stuffed\r\nend\r\n.\r\nQUIT\r\n");
    let said = wire.rest();
    assert_eq!(said.len(), 5, "{said:?}");
    for (said, to) in said.iter().zip([
        "<testuser@",
        "<testuser+Lists@",
        "<testuser+Nowhere@",
        "<TESTUSER2@",
    ]) {
        assert!(said.starts_with(&format!("250 2.0.0 {to}")), "{said}");
    }
    assert_eq!(
        messages(cluster, "testuser", "INBOX"),
        2,
        "one for the folder that is not there"
    );
    assert_eq!(messages(cluster, "testuser2", "INBOX"), 1);

    let stored = newest(cluster, "testuser", "Lists");
    let mut lines = stored.lines();
    assert_eq!(lines.next(), Some("Return-Path: <sender@else.example>"));
    assert_eq!(
        lines.next(),
        Some("Delivered-To: testuser+Lists@demo.example")
    );
    assert_eq!(
        lines.next(),
        Some("Received: from client.example ([127.0.0.1])")
    );
    assert!(
        stored.ends_with("\nSubject: to many\n\n.stuffed\nend"),
        "{stored}"
    );

    // The same mail again: the MTA did not get the reply.
    let again = cluster.deliver(3, &["testuser"], b"Subject: again\r\n\r\nx");
    assert!(again[0].contains("delivered, id"), "{again:?}");
    let again = cluster.deliver(1, &["testuser"], b"Subject: again\r\n\r\nx");
    assert_eq!(
        again,
        ["250 2.0.0 <testuser@demo.example> delivered before"]
    );
    assert_eq!(messages(cluster, "testuser", "INBOX"), 3);
    cluster.serves(1, "a delivery");
}
