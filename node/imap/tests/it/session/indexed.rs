//! Searches find the same with and without an index, and read less with one.

use super::scripts::Dialogue;

/// Messages, some alike: with encoded words, encoded bodies, HTML, and one inside another.
fn messages() -> Vec<String> {
    let subjects = [
        "IMAP break",
        "=?utf-8?B?R3LDvG5lIMOEcGZlbA==?=",
        "broken\r\n imap",
        "",
        "=?iso-8859-1?Q?Caf=E9?= opens",
    ];
    let bodies = [
        "\r\nplain apples and pears",
        "Content-Transfer-Encoding: base64\r\n\r\nR3LDvG5lIEJpcm5lbiB1bmQg\r\nw4RwZmVs",
        "Content-Type: text/html\r\n\r\n<p>ap<b>ples</b> &amp; pears</p>",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nap=\r\nples =C3=84pfel",
        "Content-Type: message/rfc822\r\n\r\nSubject: inner pears\r\n\r\napples",
        "Content-Type: application/zip\r\n\r\napples that nobody sees",
    ];
    let mut all = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        for body in bodies {
            let from = format!("From: \"P. {number}\" <p{number}@example.org>\r\n");
            all.push(format!(
                "{from}Subject: {subject}\r\nX-Kind: k{number}\r\n{body}"
            ));
        }
    }
    all
}

const KEYS: [&str; 24] = [
    "BODY apples",
    "TEXT imap",
    "BODY {6}\r\n\u{e4}pfel",
    "TEXT {6}\r\ngr\u{fc}ne",
    "NOT TEXT apples",
    "OR BODY pears SUBJECT caf",
    "SUBJECT break BODY pears",
    "FROM p3@example",
    "FROM \"P. 2\"",
    "HEADER X-Kind k4",
    "NOT HEADER X-Kind k4 NOT BODY pears",
    "TEXT ap",
    "BODY \"\"",
    "HEADER Subject \"\"",
    "TEXT nobody",
    "TEXT \"apples\u{20}that\"",
    "OR (TEXT inner 1:10) NOT BODY apples",
    "TO alice",
    "TEXT Delivered",
    "BODY inner",
    "FUZZY TEXT \"pears apples\"",
    "FUZZY SUBJECT \"break imap\"",
    "NOT FUZZY BODY \"pears and\"",
    "OR FUZZY BODY birnen SEEN",
];

#[test]
fn an_index_changes_no_answer() {
    let mut with = Dialogue::new();
    let mut without = Dialogue::new();
    without.partition.drop_index();
    for dialogue in [&mut with, &mut without] {
        for message in messages() {
            dialogue
                .partition
                .deliver("alice", None, message.as_bytes());
        }
        dialogue.log_in("c", "alice");
        dialogue.say("c", b"a SELECT INBOX\r\n");
        dialogue.say("c", b"a STORE 5,9 +FLAGS (\\Deleted)\r\n");
        dialogue.say("c", b"a EXPUNGE\r\n");
        dialogue.partition.take_read();
    }
    let (mut found, mut spared) = (0, 0);
    for key in KEYS {
        // A literal that needs no answer.
        let key = key.replace("}\r\n", "+}\r\n");
        let command = format!("s SEARCH CHARSET UTF-8 {key}\r\n");
        let one = with.say("c", command.as_bytes());
        let other = without.say("c", command.as_bytes());
        let (one, other) = (
            String::from_utf8(one).unwrap(),
            String::from_utf8(other).unwrap(),
        );
        assert_eq!(one, other, "{key}");
        assert!(one.contains("s OK"), "{key}: {one}");
        found += usize::from(one.starts_with("* SEARCH "));
        let read = with.partition.take_read().len();
        let all = without.partition.take_read().len();
        assert!(read <= all, "{key}: {read} instead of {all}");
        spared += usize::from(read < all);
    }
    assert!(found > 15, "{found} keys find something");
    assert!(spared > 15, "{spared} keys are spared reading");
}
