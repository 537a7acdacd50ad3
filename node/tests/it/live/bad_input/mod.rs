//! Every kind of bad input that has hurt a mail server, against a real one: what goes in, what must
//! come out, and how much memory it may cost.
//!
//! [`ROWS`] is the list to read first; each row names the tests that hold it, here and in the files
//! beside this folder. After each of them the next client is served, no process has died, and none
//! has met a panic (`Cluster::serves`). Memory is what a node's process has had at most (VmHWM), so
//! that not even a moment is missed.
//!
//! Sizes are such that all of this takes a minute. With `BAD_INPUT=whole` in the environment they
//! are ten times that, as large as what was seen in the wild, and no leader may change meanwhile.

mod flood;
mod mailboxes;
mod messages;
mod waiting;

/// One kind of bad input.
struct Row {
    what: &'static str,
    goes_in: &'static str,
    comes_out: &'static str,
    bound: &'static str,
    /// `file::test`.
    tests: &'static [&'static str],
}

/// Everything, in the order of a connection: before login, after it, mail on its way in, messages
/// that are read, and floods.
const ROWS: &[Row] = &[
    Row {
        what: "commands behind STARTTLS",
        goes_in: "STARTTLS and a command in one segment, or in two, by IMAP and by LMTP",
        comes_out: "the command is neither executed nor answered; nothing said before counts",
        bound: "none",
        tests: &[
            "dialogue_tls::imap_starttls_injection",
            "dialogue_tls::lmtp_starttls_injection",
        ],
    },
    Row {
        what: "passwords in clear text",
        goes_in: "LOGIN and AUTHENTICATE where only TLS is allowed",
        comes_out: "NO [PRIVACYREQUIRED], and no password in the log",
        bound: "none",
        tests: &["dialogue_tls::passwords_need_tls"],
    },
    Row {
        what: "literals of any announced size",
        goes_in: "{4294967296}, {99999999999999999999}, {70000000+}; 10,000 literals in one SEARCH",
        comes_out: "BAD [TOOBIG] and no +; one that is not waited for ends the connection",
        bound: "1 MiB for each connection; 64 MiB for the endless ones together",
        tests: &[
            "dialogue_imap::before_login",
            "dialogue_imap::after_login",
            "dialogue_memory::sizes_and_endless_lines",
            "waiting::many_literals",
        ],
    },
    Row {
        what: "lines without an end",
        goes_in: "70 KB to 40 MiB without a line feed, by IMAP and by LMTP",
        comes_out: "BAD [TOOBIG] or 500 before the end comes; BYE if there is too much of it",
        bound: "64 MiB by IMAP, 20 MiB by LMTP",
        tests: &[
            "dialogue_imap::lines_without_an_end",
            "dialogue_memory::sizes_and_endless_lines",
        ],
    },
    Row {
        what: "nesting without an end",
        goes_in: "a million parentheses; NOT NOT NOT ..; a section of 10,000 levels",
        comes_out: "BAD, before and after login",
        bound: "64 MiB",
        tests: &["dialogue_memory::parentheses", "dialogue_imap::after_login"],
    },
    Row {
        what: "logins that break off",
        goes_in: "responses that are no base64, while others log in",
        comes_out: "BAD to that one, OK to all others",
        bound: "none",
        tests: &["waiting::bad_base64_beside_logins", "dialogue_imap::logins"],
    },
    Row {
        what: "bytes that are no text",
        goes_in: "NUL, half a character, no UTF-8: in names, users, flags, searches and commands",
        comes_out: "BAD or 500, and nothing of it in the log as it came",
        bound: "none",
        tests: &[
            "dialogue_imap::before_login",
            "dialogue_imap::after_login",
            "dialogue_imap::logins",
            "dialogue_lmtp::commands",
        ],
    },
    Row {
        what: "exchanges that are given up",
        goes_in: "SASL exchanges that are cancelled, handshakes for names that nobody has",
        comes_out: "BAD, then BYE; the same certificate for every name",
        bound: "16 MiB, the second time 4 MiB",
        tests: &["waiting::exchanges_that_are_given_up"],
    },
    Row {
        what: "connections that never log in",
        goes_in: "many that are silent or say a byte now and then, from one address and from many",
        comes_out: "the oldest is closed for one too many, each when its time is over",
        bound: "16 KiB for each",
        tests: &[
            "waiting::silent_connections",
            "waiting::the_oldest_goes",
            "waiting::a_client_that_drips",
        ],
    },
    Row {
        what: "guesses",
        goes_in: "wrong passwords, by users who are there and who are not",
        comes_out: "NO, later and later; how much later is tested in `service::penalty`",
        bound: "none",
        tests: &["dialogue_imap::logins"],
    },
    Row {
        what: "names that look like paths",
        goes_in: "../.., /tmp, NUL, %2e, 64 KiB, 10,000 levels, bad UTF-7, by every command",
        comes_out: "a mailbox like any other, or NO or BAD; no file has such a name",
        bound: "none",
        tests: &["dialogue_names::names_are_no_paths"],
    },
    Row {
        what: "mailboxes of others",
        goes_in: "every command that names a mailbox, about one of another user",
        comes_out: "NO, in the same words as for one that is not there",
        bound: "none",
        tests: &["mailboxes::of_others"],
    },
    Row {
        what: "patterns that make matchers slow",
        goes_in: "LIST with *%*%.. and a*a*.. of 2,000 wildcards",
        comes_out: "what matches; nothing if it is too long",
        bound: "4 MiB",
        tests: &["mailboxes::patterns"],
    },
    Row {
        what: "keywords without an end",
        goes_in: "new keywords in every STORE, many in one, long ones",
        comes_out: "NO [LIMIT] or BAD [TOOBIG]; those that are there stay",
        bound: "8 MiB",
        tests: &["mailboxes::keywords"],
    },
    Row {
        what: "numbers at the edge",
        goes_in: "0, 2^32, 2^63, 2^64 and -1 as UID, MODSEQ and offset; sets of 16,000 ranges",
        comes_out: "BAD, or a clean answer",
        bound: "4 MiB",
        tests: &["dialogue_imap::sequence_sets", "mailboxes::numbers"],
    },
    Row {
        what: "recipients",
        goes_in: "odd and long addresses, 100,000 RCPT",
        comes_out: "5xx for each; 452 beyond 1,000, to be sent again",
        bound: "8 MiB",
        tests: &[
            "dialogue_lmtp::commands",
            "dialogue_lmtp::too_many_recipients",
            "flood::recipients",
        ],
    },
    Row {
        what: "smuggling",
        goes_in: "LF . LF, CR . CR and the like in DATA; BDAT that lies about its size",
        comes_out: "content; only CRLF . CRLF ends a message",
        bound: "none",
        tests: &["dialogue_lmtp::messages_do_not_end_early"],
    },
    Row {
        what: "messages that are large",
        goes_in: "46 MiB in and out, 20 of 8 MiB at once, 40 MiB where 1 MiB is allowed",
        comes_out: "stored, or refused with 552 or NO [TOOBIG]",
        bound: "16 MiB for one, 160 MiB for twenty",
        tests: &[
            "dialogue_memory::large_messages",
            "dialogue_memory::sizes_and_endless_lines",
            "dialogue_tls::messages_that_are_too_large",
        ],
    },
    Row {
        what: "parts in parts",
        goes_in: "10,000 multiparts in each other, as many messages, 140,000 parts in one",
        comes_out: "stored as it came; a structure that is cut short, written in the grammar",
        bound: "three times the message, and 64 MiB",
        tests: &["messages::structures"],
    },
    Row {
        what: "headers without an end",
        goes_in: "50,000 fields To, a field of 5 MB, 100,000 groups",
        comes_out: "stored as it came; an envelope of bounded size",
        bound: "three times the message, and 64 MiB",
        tests: &["messages::headers"],
    },
    Row {
        what: "headers that do not end well",
        goes_in: "10,000 segments of a parameter, a comment that ends in \\, quotes left open",
        comes_out: "stored as it came; what can be read of it",
        bound: "8 MiB",
        tests: &["messages::unfinished"],
    },
    Row {
        what: "clients that never read",
        goes_in: "NOOP, FETCH, IDLE again and again, and nothing is taken",
        comes_out: "the server stops reading from that one; others go on",
        bound: "64 MiB",
        tests: &["dialogue_memory::clients_that_never_read"],
    },
    Row {
        what: "floods of commands",
        goes_in: "100,000 NOOP in one go, IDLE and DONE again and again",
        comes_out: "an answer to each, as fast as they are read",
        bound: "4 MiB",
        tests: &["flood::commands"],
    },
    Row {
        what: "many who wait for mail",
        goes_in: "200 IDLE on one mailbox, one of which never reads, and mail all the time",
        comes_out: "all hear of all mail, and no leader changes because of it",
        bound: "64 KiB for each",
        tests: &["flood::idle"],
    },
];

/// Whether sizes are as large as what was seen, on a machine that has nothing else to do.
fn is_whole() -> bool {
    std::env::var("BAD_INPUT").is_ok_and(|wanted| wanted == "whole")
}

/// How much more than in an everyday run.
fn times(everyday: usize) -> usize {
    everyday * if is_whole() { 10 } else { 1 }
}

/// A row that names no test, or one that is not there, holds nothing.
#[test]
fn every_row_has_its_tests() {
    let files = [
        ("dialogue_imap", include_str!("../dialogue_imap.rs")),
        ("dialogue_lmtp", include_str!("../dialogue_lmtp.rs")),
        ("dialogue_memory", include_str!("../dialogue_memory.rs")),
        ("dialogue_names", include_str!("../dialogue_names.rs")),
        ("dialogue_tls", include_str!("../dialogue_tls.rs")),
        ("flood", include_str!("flood.rs")),
        ("mailboxes", include_str!("mailboxes.rs")),
        ("messages", include_str!("messages.rs")),
        ("waiting", include_str!("waiting.rs")),
    ];
    let text_of = |wanted: &str| files.iter().find(|(file, _)| *file == wanted);
    for row in ROWS {
        println!(
            "{}\n  in:    {}\n  out:   {}\n  bound: {}\n  tests: {}",
            row.what,
            row.goes_in,
            row.comes_out,
            row.bound,
            row.tests.join(", ")
        );
        assert!(!row.tests.is_empty(), "{} is not tested", row.what);
        for test in row.tests {
            let (file, name) = test.split_once("::").unwrap();
            let (_, text) = text_of(file).expect(file);
            let start = format!("#[test]\nfn {name}() {{");
            assert!(text.contains(&start), "{test} is not there");
        }
    }
    // And the other way round: what stands in this folder belongs to a row.
    for (file, text) in files
        .iter()
        .filter(|(file, _)| !file.starts_with("dialogue"))
    {
        for part in text.split("#[test]\nfn ").skip(1) {
            let test = format!("{file}::{}", part.split('(').next().unwrap());
            let is_named = ROWS.iter().any(|row| row.tests.contains(&test.as_str()));
            assert!(is_named, "{test} belongs to no row");
        }
    }
}
