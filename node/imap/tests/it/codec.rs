//! A second opinion, see [`hostile::codec`]: commands that are valid, and valid ones that were
//! changed, mean the same to imap-codec and to us; and it reads what the sessions of all scripts
//! answer.

use hostile::codec::{self, is_accepted, is_excused, is_known, ours, theirs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// imap-codec reads every response that it knows among these.
pub fn reads_responses(stream: &[u8]) {
    let (responses, _) = codec::responses(stream);
    for response in responses {
        if is_known(response) {
            codec::reads(response);
        }
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

/// What may become of a command on its way.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    /// A piece of it stands somewhere else as well.
    Repeat(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>;
    let telling = select(&b"\"(){}[]*%\\ \r\n<>.,:$~+-0123456789"[..]);
    let byte = prop_oneof![telling, any::<u8>()];
    prop_oneof![
        (place(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (place(), vec(byte, 1..4)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place(), 1..8_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (place(), 1..12_usize, place()).prop_map(|(at, len, to)| Change::Repeat(at, len, to)),
    ]
}

/// The command with its changes; its line end stays.
fn changed(text: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut text = text.strip_suffix(b"\r\n").unwrap_or(text).to_vec();
    for change in changes {
        let len = text.len();
        let place = |at: usize| at % (len + 1);
        match change {
            Change::Set(at, byte) if len > 0 => text[at % len] = *byte,
            Change::Set(..) => {}
            Change::Insert(at, bytes) => drop(text.splice(place(*at)..place(*at), bytes.clone())),
            Change::Remove(at, bytes) => {
                let at = place(*at);
                text.drain(at..(at + bytes).min(len));
            }
            Change::Repeat(at, bytes, to) => {
                let (at, to) = (place(*at), place(*to));
                let piece = text[at..(at + bytes).min(len)].to_vec();
                text.splice(to..to, piece);
            }
        }
    }
    [&text[..], b"\r\n"].concat()
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

    /// Changed in a few places: whenever both still accept it, they mean the same.
    #[test]
    fn changed_commands_mean_the_same(text in command(), changes in vec(change(), 1..4)) {
        let text = changed(&text, &changes);
        prop_assume!(!is_excused(&text));
        let our = ours(&text);
        if let (true, Some(their)) = (is_accepted(&our), theirs(&text)) {
            prop_assert_eq!(ours(&their), our, "{}", text.escape_ascii());
        }
    }
}

/// So that the oracle is asked at all.
#[test]
fn responses_are_told_apart() {
    let stream = b"* 1 FETCH (BODY[] {4}\r\n)\r\nx UID 2)\r\na OK done\r\n\
        * ESEARCH\r\n+ Idling\r\n* 2 EX";
    let (responses, rest) = codec::responses(stream);
    let known: Vec<bool> = responses
        .iter()
        .map(|response| is_known(response))
        .collect();
    assert_eq!(known, [true, true, false, true]);
    assert_eq!((responses.len(), rest), (4, &b"* 2 EX"[..]));
    reads_responses(stream);
}
