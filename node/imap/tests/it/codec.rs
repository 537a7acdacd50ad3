//! A second opinion: imap-codec reads the commands that we read, and must mean the same by them.
//!
//! Its types are not ours, so what it has understood is compared by writing it out again: our
//! grammar must read the original and what imap-codec wrote alike.

use imap::grammar::{CommandBody, Framer, Item};
use imap::limits::Limits;
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder as _;
use imap_codec::encode::Encoder as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What our grammar makes of one command; secrets, which `Debug` hides, are written out.
fn ours(text: &[u8]) -> Vec<String> {
    let mut framer = Framer::new(Limits::AUTHENTICATED);
    framer.push(text);
    let mut items = Vec::new();
    while let Ok(Some(item)) = framer.next() {
        match item {
            Item::Continue => {}
            // How the client announced the message is its own affair.
            Item::Literal(literal) => {
                framer.accept_literal();
                items.push(format!("{} bytes", literal.size));
            }
            Item::Command(command) => {
                let secret = match &command.body {
                    CommandBody::Login { password, .. } => Some(password),
                    CommandBody::Authenticate { initial, .. } => initial.as_ref(),
                    _ => None,
                };
                items.push(format!(
                    "{command:?} {:?}",
                    secret.map(|secret| secret.expose())
                ));
            }
            other => items.push(format!("{other:?}")),
        }
    }
    items
}

fn is_accepted(items: &[String]) -> bool {
    !items.is_empty() && !items.iter().any(|item| item.starts_with("Bad("))
}

/// What imap-codec has understood, in its own words; `None` if it refuses.
fn theirs(text: &[u8]) -> Option<Vec<u8>> {
    match CommandCodec::default().decode(text) {
        Ok((b"", command)) => Some(CommandCodec::default().encode(&command).dump()),
        _ => None,
    }
}

type Text = BoxedStrategy<Vec<u8>>;

fn word(words: &[&'static str]) -> Text {
    select(words.to_vec())
        .prop_map(|word| word.as_bytes().to_vec())
        .boxed()
}

fn atom() -> Text {
    "[A-Za-z0-9$_.]{1,8}x".prop_map(String::into_bytes).boxed()
}

fn string() -> Text {
    let quoted = "[ -~]{0,12}".prop_map(|text| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"").into_bytes()
    });
    let literal = vec(1u8..128, 0..12)
        .prop_map(|content| [format!("{{{}+}}\r\n", content.len()).into_bytes(), content].concat());
    prop_oneof![quoted, literal].boxed()
}

fn astring() -> Text {
    prop_oneof![atom(), string()].boxed()
}

/// No spelling of INBOX but one: imap-codec folds it, we leave that to `names`.
fn mailbox() -> Text {
    prop_oneof![astring(), Just(b"INBOX".to_vec())].boxed()
}

fn set() -> Text {
    let end = prop_oneof![
        (1..=u32::MAX).prop_map(|n| n.to_string()),
        Just("*".to_owned())
    ];
    let range = (end.clone(), proptest::option::of(end))
        .prop_map(|(from, to)| to.map_or(from.clone(), |to| format!("{from}:{to}")));
    vec(range, 1..4)
        .prop_map(|ranges| ranges.join(",").into_bytes())
        .boxed()
}

/// Parts one after the other, a space between them.
fn spaced(parts: Vec<Text>) -> Text {
    parts.prop_map(|parts| parts.join(&b' ')).boxed()
}

/// One to three items in parentheses.
fn listed(item: Text) -> Text {
    vec(item, 1..4)
        .prop_map(|items| [&b"("[..], &items.join(&b' '), b")"].concat())
        .boxed()
}

/// `text` with other text around it.
fn around(before: &'static str, text: Text, after: &'static str) -> Text {
    text.prop_map(move |text| [before.as_bytes(), &text, after.as_bytes()].concat())
        .boxed()
}

fn flag() -> Text {
    prop_oneof![
        word(&["\\Seen", "\\answered", "\\FLAGGED", "\\Deleted", "\\Draft"]),
        atom()
    ]
    .boxed()
}

fn date() -> Text {
    word(&[
        "1-Feb-1994",
        "\"28-feb-2000\"",
        "29-FEB-2000",
        "31-Dec-1969",
        "01-Jan-2038",
    ])
}

fn search_key() -> Text {
    let plain = word(&[
        "ALL", "answered", "NEW", "OLD", "RECENT", "SEEN", "UNSEEN", "UNDRAFT",
    ]);
    let texts = word(&["BCC", "BODY", "CC", "from", "SUBJECT", "TEXT", "TO"]);
    let days = word(&["BEFORE", "ON", "since", "SENTBEFORE", "SENTON", "SENTSINCE"]);
    let leaf = prop_oneof![
        plain,
        spaced(vec![texts, astring()]),
        spaced(vec![days, date()]),
        spaced(vec![word(&["HEADER"]), atom(), astring()]),
        spaced(vec![word(&["KEYWORD", "UNKEYWORD"]), atom()]),
        spaced(vec![
            word(&["LARGER", "SMALLER"]),
            word(&["0", "1", "4294967295"])
        ]),
        spaced(vec![word(&["UID"]), set()]),
        set(),
    ];
    leaf.prop_recursive(3, 12, 3, |key| {
        let key = key.boxed();
        prop_oneof![
            listed(key.clone()),
            spaced(vec![word(&["NOT"]), key.clone()]),
            spaced(vec![word(&["OR"]), key.clone(), key]),
        ]
    })
    .boxed()
}

fn search() -> Text {
    let keys = vec(search_key(), 1..4).prop_map(|keys| keys.join(&b' '));
    let charset = word(&["CHARSET UTF-8", "charset us-ascii"]);
    prop_oneof![keys.clone(), spaced(vec![charset, keys.boxed()])].boxed()
}

fn fetch_items() -> Text {
    let part = word(&[
        "", "1", "1.2.3", "HEADER", "TEXT", "1.MIME", "2.HEADER", "3.1.text",
    ]);
    let fields = listed(astring());
    let section = prop_oneof![
        part,
        around("HEADER.FIELDS ", fields.clone(), ""),
        around("1.HEADER.FIELDS.NOT ", fields, ""),
    ];
    let partial = word(&["", "<0.1>", "<4294967295.4294967295>"]);
    let body = (word(&["BODY[", "BODY.PEEK[", "body["]), section, partial)
        .prop_map(|(name, section, partial)| [name, section, b"]".to_vec(), partial].concat());
    let item = prop_oneof![
        body,
        word(&[
            "FLAGS",
            "uid",
            "ENVELOPE",
            "INTERNALDATE",
            "RFC822.SIZE",
            "BODY"
        ]),
        word(&["BODYSTRUCTURE", "RFC822", "RFC822.HEADER", "RFC822.TEXT"]),
    ]
    .boxed();
    prop_oneof![word(&["ALL", "FAST", "full"]), item.clone(), listed(item)].boxed()
}

fn store() -> Text {
    let mode = word(&["FLAGS", "+FLAGS", "-FLAGS", "flags.silent", "+FLAGS.SILENT"]);
    let unchanged = word(&["(UNCHANGEDSINCE 0)", "(UNCHANGEDSINCE 9223372036854775807)"]);
    let plain = spaced(vec![set(), mode.clone(), listed(flag())]);
    prop_oneof![plain, spaced(vec![set(), unchanged, mode, listed(flag())])].boxed()
}

fn append() -> Text {
    let when = word(&[
        "\"17-Jul-1996 02:44:25 -0700\"",
        "\" 7-Feb-2024 23:59:59 +1400\"",
    ]);
    let message = "[ -~]{1,30}".prop_map(|text| format!("{{{}+}}\r\n{text}", text.len()));
    let message = message.prop_map(String::into_bytes).boxed();
    prop_oneof![
        spaced(vec![mailbox(), message.clone()]),
        spaced(vec![mailbox(), listed(flag()), message.clone()]),
        spaced(vec![mailbox(), listed(flag()), when, message]),
    ]
    .boxed()
}

/// A command's text after its tag.
fn body() -> Text {
    let any = word(&[
        "CAPABILITY",
        "noop",
        "LOGOUT",
        "STARTTLS",
        "CHECK",
        "CLOSE",
        "EXPUNGE",
    ]);
    let more = word(&[
        "UNSELECT",
        "IDLE",
        "NAMESPACE",
        "ID NIL",
        "AUTHENTICATE LOGIN",
    ]);
    let initial = word(&["AUTHENTICATE PLAIN AGEAYg==", "AUTHENTICATE PLAIN ="]);
    let one = word(&[
        "SELECT",
        "EXAMINE",
        "create",
        "DELETE",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
    ]);
    let list_mailbox = prop_oneof![string(), "[a-z*%/]{1,6}".prop_map(String::into_bytes)].boxed();
    let items = word(&[
        "MESSAGES",
        "recent",
        "UIDNEXT",
        "UIDVALIDITY",
        "UNSEEN",
        "SIZE",
    ]);
    let uid = |name: &'static str| {
        prop_oneof![
            around("", word(&[""]), name),
            around("UID ", word(&[""]), name)
        ]
    };
    let changed = word(&["(CHANGEDSINCE 1)", "(CHANGEDSINCE 9223372036854775807)"]);
    prop_oneof![
        any,
        more,
        initial,
        spaced(vec![word(&["LOGIN"]), astring(), astring()]),
        spaced(vec![one, mailbox()]),
        spaced(vec![
            word(&["SELECT", "EXAMINE"]),
            mailbox(),
            word(&["(CONDSTORE)"])
        ]),
        spaced(vec![word(&["RENAME"]), mailbox(), mailbox()]),
        spaced(vec![word(&["LIST", "LSUB"]), mailbox(), list_mailbox]),
        spaced(vec![word(&["STATUS"]), mailbox(), listed(items)]),
        spaced(vec![
            word(&["ID"]),
            around("(", spaced(vec![string(), string()]), ")")
        ]),
        spaced(vec![
            word(&["ENABLE"]),
            word(&["CONDSTORE", "condstore x-y"])
        ]),
        spaced(vec![uid("SEARCH").boxed(), search()]),
        spaced(vec![uid("FETCH").boxed(), set(), fetch_items()]),
        spaced(vec![uid("FETCH").boxed(), set(), fetch_items(), changed]),
        spaced(vec![uid("STORE").boxed(), store()]),
        spaced(vec![uid("COPY").boxed(), set(), mailbox()]),
        spaced(vec![uid("MOVE").boxed(), set(), mailbox()]),
        spaced(vec![word(&["UID EXPUNGE"]), set()]),
        spaced(vec![word(&["APPEND"]), append()]),
    ]
    .boxed()
}

fn command() -> Text {
    let tag = "[A-Za-z0-9.]{1,6}".prop_map(String::into_bytes).boxed();
    around("", spaced(vec![tag, body()]), "\r\n")
}

/// INBOX in another case, which only imap-codec makes `INBOX`.
fn has_other_inbox(text: &[u8]) -> bool {
    text.windows(5)
        .any(|word| word.eq_ignore_ascii_case(b"INBOX") && word != b"INBOX")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn valid_commands_mean_the_same(text in command()) {
        let our = ours(&text);
        prop_assert!(is_accepted(&our), "we refuse {:?}: {our:?}", text.escape_ascii().to_string());
        let Some(their) = theirs(&text) else {
            return Err(TestCaseError::fail(format!("they refuse {}", text.escape_ascii())));
        };
        prop_assert_eq!(ours(&their), our);
    }

    /// One byte changed: whenever both still accept it, they mean the same.
    #[test]
    fn changed_commands_mean_the_same(text in command(), at in any::<usize>(), to in any::<u8>()) {
        let mut text = text;
        let at = at % (text.len() - 2);
        text[at] = to;
        // A space at the end is nothing to us and an empty response to imap-codec.
        prop_assume!(!has_other_inbox(&text) && !text.ends_with(b" \r\n"));
        let our = ours(&text);
        if let (true, Some(their)) = (is_accepted(&our), theirs(&text)) {
            prop_assert_eq!(ours(&their), our);
        }
    }
}
