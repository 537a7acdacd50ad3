//! What an index keeps of a message is enough: whoever has a text has its grams.

use std::convert::Infallible;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use imap::mime::{self, MessageGrams, Needle, NeedleGrams, Scope, Structure};
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes_of(message: &[u8], range: std::ops::Range<u64>) -> Result<Bytes, Infallible> {
    // In small pieces, so that texts go over their ends.
    let start = usize::try_from(range.start).unwrap();
    let end = usize::try_from(range.end).unwrap().min(start + 7);
    Ok(Bytes::copy_from_slice(&message[start..end]))
}

fn grams(structure: &Structure, message: &[u8]) -> MessageGrams {
    mime::grams(structure, |range| bytes_of(message, range)).unwrap()
}

fn texts(structure: &Structure, message: &[u8]) -> Vec<String> {
    let (mut all, mut open) = (Vec::new(), String::new());
    let read = |text: mime::Text<'_>| {
        open.push_str(text.text);
        if !text.goes_on {
            all.push(std::mem::take(&mut open));
        }
    };
    mime::texts(structure, |range| bytes_of(message, range), read).unwrap();
    all
}

/// Words in several scripts, with what folding changes.
fn text() -> impl Strategy<Value = String> {
    let words = vec![
        "IMAP",
        "imap",
        "break",
        "Stra\u{df}e",
        "gr\u{fc}n",
        "gru\u{308}n",
        "\u{fb01}n",
        "\u{3a3}\u{3c2}",
        "\u{1f80}",
        "\u{1c4}",
        "\u{d55c}\u{ae00}",
        "\u{6f22}\u{5b57}",
        "a",
        "b.",
        "<p>&amp;</p>",
        "\u{1f600}",
        "-- ",
        "x=3D",
        "\u{130}",
        "\r\n",
        "\r\n ",
        "\t",
    ];
    let word = prop_oneof![
        6 => prop::sample::select(words).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9 ]{0,8}",
    ];
    (vec(word, 0..8), prop::sample::select(vec!["", " "]))
        .prop_map(|(words, between)| words.join(between))
}

fn word_encoded((text, is_base64): (String, bool)) -> String {
    let text = text.replace(['\r', '\n'], "");
    if is_base64 {
        return format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(text));
    }
    let quoted: String = text.bytes().map(|byte| format!("={byte:02X}")).collect();
    format!("=?UTF-8?q?{quoted}?=")
}

/// The value of a field: plain, encoded, folded, an address.
fn value() -> impl Strategy<Value = String> {
    let encoded = || (text(), any::<bool>()).prop_map(word_encoded);
    let plain = || text().prop_map(|text| text.replace(['\r', '\n'], " "));
    let part = prop_oneof![
        plain(),
        encoded(),
        Just("\r\n ".to_owned()),
        Just("\r\n\t".to_owned()),
        Just(" ".to_owned()),
        Just("\"Q. \\\"x\" <User.Name@Example.ORG>, (c) b@c".to_owned()),
        (encoded(), plain()).prop_map(|(name, host)| format!("{name} <me@{host}>, ")),
    ];
    vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn header() -> impl Strategy<Value = String> {
    let names = [
        "From", "to", "CC", "Bcc", "Subject", "X-Other", "Reply-To", "Received",
    ];
    let field = (prop::sample::select(names.to_vec()), value());
    vec(field, 0..6).prop_map(|fields| {
        let line = |(name, value): (&str, String)| format!("{name}: {value}\r\n");
        fields.into_iter().map(line).collect()
    })
}

/// A part with its header, in one of the transfer encodings and charsets.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let kinds = ["text/plain", "text/html", "text/plain", "application/pdf"];
    (text(), 0..4_u8, prop::sample::select(kinds.to_vec())).prop_map(|(text, encoding, kind)| {
        let (name, body) = match encoding {
            0 => ("8bit", text.clone().into_bytes()),
            1 => ("base64", wrapped(&BASE64_STANDARD.encode(&text))),
            2 => {
                let quote = |byte: u8| match byte {
                    b'a'..=b'z' | b' ' => char::from(byte).to_string(),
                    _ => format!("={byte:02X}"),
                };
                let quoted: Vec<String> = text.bytes().map(quote).collect();
                let lines = quoted.chunks(20).map(<[String]>::concat);
                (
                    "quoted-printable",
                    lines.collect::<Vec<_>>().join("=\r\n").into_bytes(),
                )
            }
            _ => ("7bit", text.chars().map(|char| char as u8).collect()),
        };
        let charset = if encoding == 3 { "iso-8859-1" } else { "utf-8" };
        let header = format!(
            "Content-Type: {kind}; charset={charset}\r\nContent-Transfer-Encoding: {name}\r\n\r\n"
        );
        [header.into_bytes(), body].concat()
    })
}

fn wrapped(text: &str) -> Vec<u8> {
    let lines = text.as_bytes().chunks(11);
    lines.collect::<Vec<_>>().join(&b"\r\n"[..])
}

/// A message of one part, of several, or with another one inside.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let single = (header(), part()).prop_map(|(header, part)| [header.as_bytes(), &part].concat());
    single.prop_recursive(3, 12, 3, |inner| {
        let several = (header(), vec(prop_oneof![part(), inner.clone()], 1..3));
        let several = several.prop_map(|(header, parts)| {
            let mut all = header.into_bytes();
            all.extend_from_slice(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n");
            for part in parts {
                all.extend_from_slice(b"--b\r\n");
                all.extend_from_slice(&part);
                all.extend_from_slice(b"\r\n");
            }
            all.extend_from_slice(b"--b--\r\n");
            all
        });
        let around = (header(), inner).prop_map(|(header, inner)| {
            let kind = "Content-Type: message/rfc822\r\n\r\n";
            [header.as_bytes(), kind.as_bytes(), &inner].concat()
        });
        prop_oneof![several, around]
    })
}

/// A key: some of what is in the message, in another case; or something else.
fn key(texts: &[String], place: usize, from: usize, len: usize, other: &str) -> String {
    let Some(text) = texts.get(place % (texts.len() + 1)) else {
        return other.to_owned();
    };
    let chars: Vec<char> = text.chars().collect();
    let from = from % (chars.len() + 1);
    let some: String = chars.iter().skip(from).take(len).collect();
    if len.is_multiple_of(2) {
        some.to_lowercase()
    } else {
        some.to_uppercase()
    }
}

#[track_caller]
fn check(message: &[u8], key: &str) {
    let structure = mime::scan(message);
    let all = grams(&structure, message);
    let needle = Needle::new(key);
    for scope in [Scope::Body, Scope::Text] {
        if let Some(asked) = NeedleGrams::in_text(scope, &needle)
            && mime::search_text(message, &structure, scope, &needle)
        {
            assert!(
                asked.may_be_in(&all),
                "{scope:?} {key:?}: {}",
                message.escape_ascii()
            );
        }
    }
    let end = usize::try_from(structure.root().header.end).unwrap();
    for name in [
        "From", "TO", "cc", "bcc", "SUBJECT", "X-other", "Reply-To", "received",
    ] {
        if let Some(asked) = NeedleGrams::in_field(name.as_bytes(), &needle)
            && mime::header_contains(&message[..end], name.as_bytes(), &needle)
        {
            assert!(
                asked.may_be_in(&all),
                "{name} {key:?}: {}",
                message.escape_ascii()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_has_a_text_has_its_grams(
        message in message(),
        keys in vec((any::<usize>(), any::<usize>(), 1..12_usize, text()), 8),
    ) {
        let texts = texts(&mime::scan(&message), &message);
        for (place, from, len, other) in keys {
            check(&message, &key(&texts, place, from, len, &other));
        }
    }
}

fn may_have(message: &str, scope: Scope, key: &str) -> Option<bool> {
    let structure = mime::scan(message.as_bytes());
    let all = grams(&structure, message.as_bytes());
    NeedleGrams::in_text(scope, &Needle::new(key)).map(|asked| asked.may_be_in(&all))
}

#[test]
fn grams_leave_out_what_others_have() {
    let message = "Subject: =?utf-8?q?Gr=C3=BCne?= apples\r\nFrom: Ann <ann@b.c>\r\n\r\nsome pears";
    assert_eq!(may_have(message, Scope::Text, "gr\u{fc}ne A"), Some(true));
    assert_eq!(may_have(message, Scope::Body, "apples"), Some(false));
    assert_eq!(may_have(message, Scope::Body, "PEARS"), Some(true));
    assert_eq!(may_have(message, Scope::Text, "plums"), Some(false));
    // Header and text are not one after the other, and neither are fields.
    assert_eq!(may_have(message, Scope::Text, "c>some"), Some(false));
    // What is too short has none.
    assert_eq!(may_have(message, Scope::Text, "pe"), None);
    assert_eq!(may_have(message, Scope::Text, ""), None);
    let structure = mime::scan(message.as_bytes());
    let all = grams(&structure, message.as_bytes());
    let in_field = |name: &str, key: &str| {
        let asked = NeedleGrams::in_field(name.as_bytes(), &Needle::new(key)).unwrap();
        asked.may_be_in(&all)
    };
    assert!(in_field("FROM", "ann@b") && in_field("Subject", "APPLES"));
    assert!(!in_field("Subject", "ann@b") && !in_field("From", "apples"));
    assert!(
        in_field("X-Any", "apples"),
        "other fields are not told apart"
    );
}

#[test]
fn too_much_text_may_have_anything() {
    let size = usize::try_from(mime::limits::INDEXED_TEXT_BYTES_MAX).unwrap();
    let whole = |message: &[u8]| {
        let structure = mime::scan(message);
        let from = |range: std::ops::Range<u64>| {
            let start = usize::try_from(range.start).unwrap();
            let end = usize::try_from(range.end).unwrap();
            Ok::<_, Infallible>(Bytes::copy_from_slice(&message[start..end]))
        };
        mime::grams(&structure, from).unwrap()
    };
    let long = [&b"Subject: x\r\n\r\n"[..], &vec![b'a'; size]].concat();
    assert_eq!(whole(&long), MessageGrams::Any);
    // Many different trigrams: no language has them.
    let mut random = 1_u32;
    let noise = |_| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b' ' + (random >> 24) as u8 % 94
    };
    let many: Vec<u8> = (0..1 << 20).map(noise).collect();
    assert_eq!(whole(&[&b"\r\n"[..], &many].concat()), MessageGrams::Any);
    let binary = [&b"Content-Type: image/png\r\n\r\n"[..], &many].concat();
    assert!(
        matches!(whole(&binary), MessageGrams::All(_)),
        "no text is in it"
    );
}
