//! Bad input to the IMAP door: a clear answer, and the connection goes on or is closed.

use super::cluster::{PASSWORD, cluster};
use super::wire::Wire;

/// What a client sends to node 1, and how each line of the answer begins.
struct Row {
    what: String,
    send: Vec<u8>,
    answers: Vec<String>,
    /// The server closes then; otherwise the same connection serves on.
    closes: bool,
}

fn row(what: &str, send: impl AsRef<[u8]>, answers: &[&str]) -> Row {
    Row {
        what: what.to_owned(),
        send: send.as_ref().to_vec(),
        answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
        closes: false,
    }
}

fn closing(what: &str, send: impl AsRef<[u8]>, answers: &[&str]) -> Row {
    Row {
        closes: true,
        ..row(what, send, answers)
    }
}

impl Row {
    /// Gives the connection back unless it was closed.
    fn check(&self, mut wire: Wire) -> Option<Wire> {
        wire.send(&self.send);
        let said = if self.closes {
            wire.rest()
        } else {
            let mut said = wire.ask("zz", "zz NOOP\r\n");
            let last = said.pop();
            assert_eq!(
                last.as_deref(),
                Some("zz OK NOOP completed"),
                "{}: {said:?}",
                self.what
            );
            said
        };
        let fits = said.len() == self.answers.len()
            && said
                .iter()
                .zip(&self.answers)
                .all(|(said, answer)| said.starts_with(answer.as_str()));
        assert!(fits, "{}: {said:?}", self.what);
        (!self.closes).then_some(wire)
    }
}

fn repeat(bytes: &str, count: usize) -> Vec<u8> {
    bytes.repeat(count).into_bytes()
}

fn line(start: &str, middle: Vec<u8>) -> Vec<u8> {
    [start.as_bytes(), &middle, b"\r\n"].concat()
}

/// Nobody has logged in.
#[test]
fn before_login() {
    let (cluster, _use) = cluster();
    let long = "a BAD [TOOBIG] a line is too long";
    let bye = "* BYE Too much input that is no command";
    let literal = "a BAD [TOOBIG] a literal is too big";
    let rows = [
        row(
            "an unknown command",
            "a FOO\r\n",
            &["a BAD unknown command"],
        ),
        row("a tag alone", "a\r\n", &["a BAD "]),
        row(
            "no tag",
            "* NOOP\r\n",
            &["* BAD a command begins with a tag"],
        ),
        row("empty lines", "\r\n\r\n\n", &[]),
        row("not yet", "a SELECT INBOX\r\n", &["a BAD Log in first"]),
        row("APPEND", "a APPEND INBOX {9}\r\n", &["a BAD Log in first"]),
        closing(
            "three bad commands",
            "a FOO\r\nb FOO\r\nc FOO\r\nd NOOP\r\n",
            &["a BAD", "b BAD", "c BAD", "* BYE Too many bad commands"],
        ),
        row(
            "another protocol",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            &["GET BAD", "Host: BAD"],
        ),
        closing(
            "a line of 70 KB",
            line("a LOGIN ", repeat("x", 70_000)),
            &[long, bye],
        ),
        closing(
            "a million parentheses",
            line("a SEARCH ", repeat("(", 1_000_000)),
            &[long, bye],
        ),
        row("a literal of 4 GiB", "a LOGIN {4294967295}\r\n", &[literal]),
        row(
            "a literal of 10 TB",
            "a LOGIN {9999999999999}\r\n",
            &[literal],
        ),
        row(
            "a literal beyond numbers",
            "a LOGIN {99999999999999999999999}\r\n",
            &[literal],
        ),
        closing(
            "one that is not waited for",
            "a LOGIN {70000000+}\r\nxyz",
            &[literal, bye],
        ),
        row(
            "NUL",
            b"a LOGIN alice \"pa\0ss\"\r\n",
            &["a BAD NUL in a quoted string"],
        ),
        row(
            "no UTF-8",
            b"a LOGIN \"\xff\xfe\" x\r\n",
            &["a BAD a quoted string is not UTF-8"],
        ),
        row(
            "half a character",
            b"a LOGIN \"\xc3\" x\r\n",
            &["a BAD a quoted string is not UTF-8"],
        ),
        row(
            "no UTF-8 in a literal",
            b"a LOGIN {2+}\r\n\xff\xfe x\r\n",
            &["a BAD User and password must be UTF-8"],
        ),
        row(
            "no quote at the end",
            "a LOGIN \"alice pass\r\n",
            &["a BAD "],
        ),
        row("a number too big for IMAP", "a LOGIN {-1}\r\n", &["a BAD "]),
    ];
    for row in rows {
        row.check(cluster.imap(1));
        cluster.serves_imap(1, &row.what);
    }
}

/// Logins that do not come about, and then one that does.
#[test]
fn logins() {
    let (cluster, _use) = cluster();
    let denied = "a NO [AUTHENTICATIONFAILED] ";
    let not_base64 = ["+ ", "a BAD The response is not base64"];
    let rows = [
        row("a wrong password", "a LOGIN alice wrong\r\n", &[denied]),
        row("nobody", "a LOGIN nobody pass\r\n", &[denied]),
        row(
            "a name that would break a log line",
            "a LOGIN {9+}\r\nal\r\n\x1b[31m x\r\n",
            &[denied],
        ),
        row("no base64", "a AUTHENTICATE PLAIN\r\n!!!!\r\n", &not_base64),
        row(
            "half of base64",
            "a AUTHENTICATE PLAIN\r\nYWxpY2U\r\n",
            &not_base64,
        ),
        row(
            "no base64 at once",
            "a AUTHENTICATE PLAIN !!!!\r\n",
            &["a BAD "],
        ),
        row(
            "cancelled",
            "a AUTHENTICATE PLAIN\r\n*\r\n",
            &["+ ", "a BAD AUTHENTICATE cancelled"],
        ),
        row(
            "base64 of something else",
            "a AUTHENTICATE PLAIN YWxpY2U=\r\n",
            &["a BAD Malformed response"],
        ),
        row(
            "a response of 20 KB",
            line("a AUTHENTICATE PLAIN\r\n", repeat("QUFB", 5_000)),
            &["+ ", "a BAD The response is too long"],
        ),
        row(
            "SCRAM without sense",
            "a AUTHENTICATE SCRAM-SHA-256 bm9uc2Vuc2U=\r\n",
            &["a BAD Malformed response"],
        ),
        row(
            "no such mechanism",
            "a AUTHENTICATE CRAM-MD5\r\n",
            &["a NO "],
        ),
    ];
    for row in rows {
        row.check(cluster.imap(1));
        cluster.serves_imap(1, &row.what);
    }
    let mut wire = cluster.imap(1);
    let good = format!("b LOGIN alice {PASSWORD}\r\n");
    let said = wire.ask("b", format!("a LOGIN alice wrong\r\n{good}"));
    assert!(
        said[0].starts_with(denied) && said[1].starts_with("b OK "),
        "{said:?}"
    );
    // What was tried is in the log in one line, without the password.
    let log = cluster.log(1);
    assert!(log.contains("login denied"), "{log}");
    assert!(!log.contains('\x1b') && !log.contains("wrong"), "{log}");
}

/// What is no set of numbers is BAD everywhere.
#[test]
fn sequence_sets() {
    let (cluster, _use) = cluster();
    let sets = [
        "0",
        "*:",
        ":*",
        "1:2:3",
        "4294967296",
        "1,,2",
        ",1",
        "1,",
        "-1",
        "0:*",
        "1:0",
        "+1",
        "1:",
        "99999999999999999999",
        "1 :2",
        "**",
        "$$",
        "a",
    ];
    let mut wire = cluster.in_inbox(1, "alice");
    for set in sets {
        for (before, after) in [
            ("FETCH", "FLAGS"),
            ("UID FETCH", "FLAGS"),
            ("STORE", "+FLAGS (\\Seen)"),
            ("COPY", "Sent"),
            ("UID MOVE", "Sent"),
            ("UID EXPUNGE", ""),
            ("SEARCH UID", ""),
        ] {
            let command = format!("{before} {set} {after}").trim_end().to_owned();
            // A good one behind it: fifty bad ones in a row end a connection.
            let said = wire.ask("n", format!("a {command}\r\nn NOOP\r\n"));
            let fits = said.len() == 2 && said[0].starts_with("a BAD ");
            assert!(
                fits && said[1] == "n OK NOOP completed",
                "{command}: {said:?}"
            );
        }
    }
    let many = vec!["1"; 30_000].join(",");
    let said = wire.ask("a", format!("a FETCH {many} UID\r\n"));
    assert!(said.last().unwrap().starts_with("a "), "{said:?}");
    cluster.serves(1, "sequence sets");
}

/// Somebody has logged in and selected INBOX.
#[test]
fn after_login() {
    let (cluster, _use) = cluster();
    let long = "a BAD [TOOBIG] a line is too long";
    let bye = "* BYE Too much input that is no command";
    let literal = "a BAD [TOOBIG] a literal is too big";
    let nul = "a BAD NUL in a quoted string";
    let not_utf8 = "a BAD a quoted string is not UTF-8";
    let idle = ["+ Idling", "a BAD IDLE ends with DONE"];
    let rows = [
        row(
            "an unknown command",
            "a FOO\r\n",
            &["a BAD unknown command"],
        ),
        row("login once more", "a LOGIN alice pass\r\n", &["a BAD "]),
        row("STARTTLS too late", "a STARTTLS\r\n", &["a BAD "]),
        row(
            "a line of 70 KB",
            line("a SEARCH ", repeat("x", 70_000)),
            &[long],
        ),
        closing(
            "a line of 1.2 MB",
            line("a SEARCH ", repeat("x", 1_200_000)),
            &[long, bye],
        ),
        row(
            "parentheses: FETCH",
            line("a FETCH 1 ", repeat("(", 1_000_000)),
            &[long],
        ),
        row(
            "parentheses: SEARCH",
            line("a SEARCH ", repeat("(", 1_000_000)),
            &[long],
        ),
        row(
            "parentheses: STORE",
            line("a STORE 1 FLAGS ", repeat("(", 1_000_000)),
            &[long],
        ),
        row(
            "parentheses in a line that is not too long",
            line("a SEARCH ", repeat("(", 60_000)),
            &["a BAD search keys are nested too deeply"],
        ),
        row(
            "parentheses in FETCH",
            line("a FETCH 1 ", repeat("(", 60_000)),
            &["a BAD "],
        ),
        row(
            "NOT NOT NOT",
            line("a SEARCH ", repeat("NOT ", 15_000)),
            &["a BAD search keys are nested too deeply"],
        ),
        row(
            "a section of 10,000 levels",
            line(
                "a FETCH 1 BODY[",
                [repeat("1.", 10_000), b"1]".to_vec()].concat(),
            ),
            &["a BAD "],
        ),
        row(
            "a literal of 4 GiB",
            "a SEARCH TEXT {4294967295}\r\n",
            &[literal],
        ),
        row(
            "a literal of 10 TB",
            "a SEARCH TEXT {9999999999999}\r\n",
            &[literal],
        ),
        closing(
            "one that is not waited for",
            "a SEARCH TEXT {70000000+}\r\nx",
            &[literal, bye],
        ),
        row("NUL in a name", b"a SELECT \"a\0b\"\r\n", &[nul]),
        row("NUL in a search", b"a SEARCH SUBJECT \"a\0b\"\r\n", &[nul]),
        row("NUL in an atom", b"a SELECT a\0b\r\n", &["a BAD "]),
        row("no UTF-8 in a name", b"a SELECT \"a\xff\"\r\n", &[not_utf8]),
        row("no UTF-8 in an atom", b"a SELECT a\xff\r\n", &["a BAD "]),
        row(
            "a system flag of one's own",
            "a STORE 1 +FLAGS (\\Foo)\r\n",
            &["a BAD "],
        ),
        row(
            "a control character",
            "a STORE 1 +FLAGS (a\x01b)\r\n",
            &["a BAD "],
        ),
        row("garbage in IDLE", "a IDLE\r\nxyz\r\n", &idle),
        row(
            "a long line in IDLE",
            line("a IDLE\r\n", repeat("x", 70_000)),
            &idle,
        ),
        row("a command in IDLE", "a IDLE\r\nb NOOP\r\n", &idle),
        row(
            "too much to append",
            "a APPEND INBOX {70000000}\r\n",
            &["a NO [TOOBIG] "],
        ),
        row(
            "far too much",
            "a APPEND INBOX {99999999999999999999}\r\n",
            &["a NO [TOOBIG] "],
        ),
        closing(
            "too much to append, at once",
            "a APPEND INBOX {70000000+}\r\nabc",
            &["a NO [TOOBIG] ", bye],
        ),
        row(
            "nothing to append",
            "a APPEND INBOX {0}\r\n\r\n",
            &["a NO "],
        ),
        row(
            "more than announced",
            "a APPEND INBOX {4+}\r\nabcdefgh\r\n",
            &["a BAD a message is longer than announced"],
        ),
        row(
            "nowhere",
            "a APPEND nowhere {3+}\r\nabc\r\n",
            &["a NO [TRYCREATE] "],
        ),
    ];
    let mut open = None;
    for row in rows {
        let wire = open.unwrap_or_else(|| cluster.in_inbox(1, "alice"));
        open = row.check(wire);
        cluster.serves_imap(1, &row.what);
    }
    cluster.serves(1, "bad commands");
    let mut wire = cluster.in_inbox(1, "alice");
    let said = wire.ask("a", "a STATUS INBOX (MESSAGES)\r\n");
    assert_eq!(
        said[0], "* STATUS INBOX (MESSAGES 1)",
        "nothing was appended"
    );
}

/// A line that does not end is answered before it ends.
#[test]
fn lines_without_an_end() {
    let (cluster, _use) = cluster();
    let mut wire = cluster.in_inbox(1, "alice");
    wire.send(&repeat("x", 70_000));
    assert_eq!(wire.line().unwrap(), "* BAD [TOOBIG] a line is too long");
    // The rest of it is not taken for a command.
    let said = wire.ask("b", "\r\na NOOP\r\nb NOOP\r\n");
    assert_eq!(said, ["a OK NOOP completed", "b OK NOOP completed"]);
    cluster.serves(1, "a line without an end");

    let mut wire = cluster.imap(1);
    wire.send(&repeat("x", 100_000));
    let said = wire.rest();
    assert_eq!(said[0], "* BAD [TOOBIG] a line is too long");
    assert!(said[1].starts_with("* BYE ") && said.len() == 2, "{said:?}");
    cluster.serves(1, "a line without an end, before login");
}
