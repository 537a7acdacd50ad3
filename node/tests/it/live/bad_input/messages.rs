//! Messages that are made to hurt those who read them: they are stored as they came, and what is
//! said of them is bounded.

use super::super::cluster::{Cluster, GROWTH_MAX, cluster_alone};
use super::times;

const MIB: u64 = 1 << 20;

/// Bytes of what may be written of one message: its structure, or its envelope.
const WRITTEN_MAX: usize = 8 << 20;

/// Delivers a message and reads all that there is to be read of it, within so many bytes.
fn survives(cluster: &Cluster, what: &str, message: &str, growth_max: u64) {
    println!("{what}: {} bytes", message.len());
    cluster.within(growth_max, what, || {
        let said = cluster.deliver(1, &["user2"], message.as_bytes());
        assert!(said[0].starts_with("250 2.0.0 "), "{what}: {said:?}");
        // Where it came in, and somewhere else.
        for node in [1, 3] {
            let mut wire = cluster.in_inbox(node, "user2");
            for item in [
                "(RFC822.SIZE ENVELOPE)",
                "(BODY BODYSTRUCTURE)",
                "BODY.PEEK[HEADER.FIELDS (SUBJECT TO)]",
                "BODY.PEEK[1.1.1.1]",
                "BODY.PEEK[1.MIME]",
                "PREVIEW",
            ] {
                let said = wire.ask("f", format!("f FETCH * {item}\r\n"));
                let written: usize = said.iter().map(String::len).sum();
                assert!(
                    written <= WRITTEN_MAX.max(message.len() * 2),
                    "{what}: {item}"
                );
                assert_eq!(
                    said.last().unwrap(),
                    "f OK FETCH completed",
                    "{what}: {item}"
                );
            }
            for key in [
                "TEXT never",
                "FROM never",
                "HEADER X-Never x",
                "SUBJECT never",
            ] {
                let said = wire.ask("s", format!("s UID SEARCH * {key}\r\n"));
                assert_eq!(said.last().unwrap(), "s OK UID SEARCH completed", "{what}");
            }
        }
    });
    // As it came: its last bytes as well.
    let mut wire = cluster.in_inbox(3, "user2");
    let stored = wire.ask("s", "s FETCH * RFC822.SIZE\r\n").remove(0);
    let size = stored.split("RFC822.SIZE ").nth(1).unwrap();
    let size: usize = size.trim_end_matches(')').parse().unwrap();
    assert!(
        size >= message.len() && size < message.len() + 1024,
        "{what}: {size}"
    );
    let tail = 100.min(message.len());
    let window = format!("f FETCH * BODY.PEEK[]<{}.1000>\r\n", size - tail - 2);
    let said = wire.ask("f", window).join("\r\n");
    assert!(
        said.contains(&message[message.len() - tail..]),
        "{what}: {said}"
    );
    cluster.serves(1, what);
}

/// The bound of a message: three times its size, and never more than any input may take. Buffers
/// that stay are a few MiB.
fn bound(message: &str) -> u64 {
    (3 * message.len() as u64 + 16 * MIB).min(GROWTH_MAX)
}

#[test]
fn structures() {
    let (cluster, _use) = cluster_alone();
    let nested: String = (0..10_000)
        .map(|depth| {
            let kind = format!("Content-Type: multipart/mixed; boundary=\"b{depth}\"");
            format!("{kind}\r\n\r\n--b{depth}\r\n")
        })
        .collect();
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let siblings = format!("{head}{}--b--", "--b\r\n\r\n".repeat(times(140_000)));
    let messages = "Content-Type: message/rfc822\r\nno field\r\n\r\n".repeat(10_000);
    let empty = "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n";
    let empty = format!("{head}{}", empty.repeat(times(2_000)));
    for (what, message) in [
        ("multiparts in each other", nested),
        ("parts beside each other", siblings),
        ("messages in each other", messages),
        ("multiparts without parts", empty),
    ] {
        survives(cluster, what, &message, bound(&message));
    }
}

#[test]
fn headers() {
    let (cluster, _use) = cluster_alone();
    let fields = "To: someone <someone@example.org>\r\n".repeat(times(50_000));
    let line = format!("{}\r\n ", "x".repeat(900));
    let huge = format!("Subject: {}", line.repeat(times(5_000)));
    let groups = format!("To: {}", "g:;,\r\n ".repeat(times(100_000)));
    for (what, header) in [
        ("fields of addresses", fields),
        ("one field", huge),
        ("groups of nobody", groups),
    ] {
        let message = format!("{}\r\n\r\nthe end", header.trim_end());
        survives(cluster, what, &message, bound(&message));
    }
}

#[test]
fn unfinished() {
    let (cluster, _use) = cluster_alone();
    let segments: String = (0..times(10_000))
        .map(|number| format!(";\r\n name*{number}*=x"))
        .collect();
    let rows = [
        (
            "segments of a parameter",
            format!("Content-Type: a/b{segments}"),
        ),
        (
            "a comment that ends in \\",
            "From: a@b (x\\\r\nSubject: (\\".to_owned(),
        ),
        (
            "an empty group",
            "To: :;\r\nCc: g:;\r\nBcc: ;;,,:".to_owned(),
        ),
        (
            "quotes that are open",
            "From: \"x\r\nContent-Type: text/plain; charset=\"x\\".to_owned(),
        ),
        (
            "encoded words that are open",
            "Subject: =?utf-8?q?=\r\nFrom: =?x?b?".to_owned(),
        ),
        (
            "a boundary of nothing",
            "Content-Type: multipart/mixed; boundary=\"\"".to_owned(),
        ),
        (
            "a text in no charset",
            "Content-Type: text/plain; charset=utf-7\r\nContent-Transfer-Encoding: base64"
                .to_owned(),
        ),
    ];
    for (what, header) in rows {
        let message = format!("{header}\r\n\r\n--\r\nthe end ====");
        survives(cluster, what, &message, 16 * MIB);
    }
}
