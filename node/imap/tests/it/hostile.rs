//! Inputs that have broken other servers: large, deep or slow ones. That they end at all within the
//! patience of a test run is what is asserted; time is measured elsewhere.

use imap::grammar::{COMMANDS, CommandInfo, Framer, Item, SequenceSet, ValidIn};
use imap::limits::{self, Limits};
use imap::names::{self, Pattern};
use imap::{Error, grammar};

/// Feeds `bytes` in reads of the usual size; the items, and the error that ended it.
fn feed(limits: Limits, bytes: &[u8]) -> (Vec<Item>, Option<Error>) {
    let mut framer = Framer::new(limits);
    let mut items = Vec::new();
    for chunk in bytes.chunks(limits::READ_BYTES) {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(None) => break,
                Ok(Some(item)) => items.push(item),
                Err(error) => return (items, Some(error)),
            }
        }
        assert!(framer.buffered() <= framer.buffered_max());
    }
    (items, None)
}

fn is_bad(item: &Item) -> bool {
    matches!(item, Item::Bad(_))
}

/// Ten thousand literals of 1 KiB in one SEARCH.
#[test]
fn many_literals() {
    let literal = format!(" TEXT {{1024+}}\r\n{}", "x".repeat(1024));
    let command = format!("a SEARCH{}\r\n", literal.repeat(10_000));
    let (items, error) = feed(Limits::AUTHENTICATED, command.as_bytes());
    assert!(items.len() == 1 && is_bad(&items[0]));
    assert!(matches!(error, Some(Error::Fatal(_))));
}

/// A million parentheses, after login, as many bytes as one reads before giving up and more.
#[test]
fn a_million_parentheses() {
    let command = format!(
        "a SEARCH {}{}\r\n",
        "(".repeat(1_000_000),
        ")".repeat(1_000_000)
    );
    let (items, error) = feed(Limits::AUTHENTICATED, command.as_bytes());
    assert!(items.len() == 1 && is_bad(&items[0]));
    assert!(matches!(error, Some(Error::Fatal(_))));
    // The parser itself, without the framer's limits before it.
    assert!(grammar::parse(command.trim_end().as_bytes().to_vec().into()).is_err());
}

/// NOT, a hundred thousand times.
#[test]
fn many_nots() {
    let command = format!("a SEARCH {}SEEN", "NOT ".repeat(100_000));
    assert!(grammar::parse(command.into_bytes().into()).is_err());
}

/// Patterns that make backtracking matchers exponential, or quadratic at least.
#[test]
fn evil_patterns() {
    let wild = Pattern::new(b"", "*%".repeat(1_000).as_bytes(), false).unwrap();
    let steps = Pattern::new(b"", format!("{}b", "a*".repeat(900)).as_bytes(), false).unwrap();
    let names: Vec<String> = (0..10_000)
        .map(|at| format!("folder{at}/sub/sub{at}"))
        .collect();
    assert_eq!(
        names.iter().filter(|name| wild.matches(name)).count(),
        names.len()
    );
    assert_eq!(names.iter().filter(|name| steps.matches(name)).count(), 0);
    assert!(!steps.matches(&"a".repeat(limits::NAME_BYTES_MAX)));
    assert!(Pattern::new(b"", &[b'*'; limits::PATTERN_BYTES_MAX + 1], false).is_err());
}

/// A hundred thousand ranges.
#[test]
fn many_ranges() {
    let ranges = vec!["1:*"; 100_000].join(",");
    assert!(matches!(
        SequenceSet::parse(ranges.as_bytes()),
        Err(Error::TooBig(_))
    ));
    let most = vec!["1:*"; limits::SET_RANGES_MAX].join(",");
    let set = SequenceSet::parse(most.as_bytes()).unwrap();
    assert_eq!(set.normalise(u32::MAX).len(), 1);
}

/// Long and deep names, as CREATE, RENAME and APPEND would bring them.
#[test]
fn long_and_deep_names() {
    let bad = [
        "x".repeat(limits::NAME_BYTES_MAX + 1),
        "x".repeat(64 * 1024),
        "a/".repeat(10_000) + "a",
        "a/".repeat(limits::NAME_LEVELS_MAX) + "a",
        "&".repeat(64 * 1024),
        format!("&{}-", "A".repeat(64 * 1024)),
    ];
    for name in bad {
        assert!(matches!(
            names::decode(name.as_bytes(), false),
            Err(Error::Name(_))
        ));
    }
    let deep = "a/".repeat(limits::NAME_LEVELS_MAX - 1) + "a";
    assert_eq!(
        names::decode(deep.as_bytes(), false).as_deref(),
        Ok(deep.as_str())
    );
}

/// What cannot be a user, a mailbox or a flag, in every way of writing it.
#[test]
fn nul_and_broken_utf8() {
    let bad: [&[u8]; 8] = [
        b"a LOGIN \"u\0\" p\r\n",
        b"a LOGIN {2+}\r\nu\0 p\r\n",
        b"a LOGIN u\0 p\r\n",
        b"a LOGIN \"\xc3\" p\r\n",
        b"a SELECT \"\xed\xa0\x80\"\r\n",
        b"a STORE 1 FLAGS (\xc3\xa9)\r\n",
        b"a STORE 1 FLAGS (a\0b)\r\n",
        b"a SEARCH KEYWORD \xff\r\n",
    ];
    for command in bad {
        let (items, error) = feed(Limits::NOT_AUTHENTICATED, command);
        assert!(
            items.len() == 1 && is_bad(&items[0]) && error.is_none(),
            "{command:?}"
        );
    }
    for name in [&b"\xc3"[..], b"a\0", b"\xed\xa0\x80", b"\xff\xfe"] {
        assert!(names::decode(name, true).is_err());
        assert!(names::decode(name, false).is_err());
    }
}

/// A million commands in one go cost no memory.
#[test]
fn pipelined_noops() {
    let (items, error) = feed(
        Limits::AUTHENTICATED,
        "a NOOP\r\n".repeat(100_000).as_bytes(),
    );
    assert_eq!((items.len(), error), (100_000, None));
}

/// The table names every command once, and every row of it can be parsed.
#[test]
fn the_table_is_whole() {
    let example = |name: &str| match name {
        "AUTHENTICATE" => " PLAIN",
        "LOGIN" | "RENAME" | "LIST" | "LSUB" => " a b",
        "CREATE" | "DELETE" | "SELECT" | "EXAMINE" | "SUBSCRIBE" | "UNSUBSCRIBE" | "ENABLE" => " a",
        "STATUS" => " a (SIZE)",
        "ID" => " NIL",
        "COPY" | "MOVE" | "UID COPY" | "UID MOVE" => " 1 a",
        "FETCH" | "UID FETCH" => " 1 UID",
        "STORE" | "UID STORE" => " 1 FLAGS ()",
        "SEARCH" | "UID SEARCH" => " ALL",
        "SORT" | "UID SORT" => " (DATE) UTF-8 ALL",
        "THREAD" | "UID THREAD" => " REFS UTF-8 ALL",
        "ESEARCH" => " IN (selected) ALL",
        "CANCELUPDATE" => " \"x\"",
        "UID EXPUNGE" => " 1",
        "UIDBATCHES" => " 500",
        "COMPRESS" => " DEFLATE",
        "GETQUOTA" | "GETQUOTAROOT" | "GETACL" | "MYRIGHTS" => " a",
        "NOTIFY" => " NONE",
        "SETQUOTA" => " a ()",
        "DELETEACL" | "LISTRIGHTS" => " a b",
        "SETACL" => " a b lr",
        "GETMETADATA" => " a /shared/comment",
        "SETMETADATA" => " a (/shared/comment NIL)",
        "APPEND" => " a {1+}",
        "REPLACE" | "UID REPLACE" => " 1 a {1+}",
        _ => "",
    };
    for info in COMMANDS {
        let text = format!("a {}{}\r\n", info.name, example(info.name));
        let (items, _) = feed(Limits::AUTHENTICATED, text.as_bytes());
        match &items[..] {
            [Item::Command(command)] => {
                assert_eq!(command.body.name(), info.name);
                assert_eq!(command.body.valid_in(), info.valid_in);
            }
            [Item::Append(start), Item::Message(_), Item::Literal(_)] => {
                assert_eq!(start.verb.name(), info.name);
            }
            other => panic!("{text:?} gave {other:?}"),
        }
    }
    let mut names: Vec<_> = COMMANDS.iter().map(|info| info.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), COMMANDS.len());
    assert_eq!(
        CommandInfo::of("LOGIN").unwrap().valid_in,
        ValidIn::NotAuthenticated
    );
}
