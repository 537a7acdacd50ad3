//! Property tests of the small types: what is written is read back, and what is computed agrees
//! with a slow model.

use bytes::{Bytes, BytesMut};
use imap::grammar::sequence::merge;
use imap::grammar::{self, CommandBody, Date, DateTime, Flag, IdRange, SequenceSet, Status};
use imap::names::{self, Pattern};
use imap::respond;
use proptest::collection::vec;
use proptest::prelude::*;

fn set_text() -> impl Strategy<Value = String> {
    let end = prop_oneof![8 => (1..12u32).prop_map(|n| n.to_string()), 1 => Just("*".to_owned())];
    let range = (end.clone(), proptest::option::of(end)).prop_map(|(from, to)| match to {
        Some(to) if to != from => format!("{from}:{to}"),
        _ => from,
    });
    vec(range, 1..8).prop_map(|ranges| ranges.join(","))
}

/// Every number that a set names, the slow way.
fn named(text: &str, max: u32) -> Vec<u32> {
    let end = |text: &str| {
        if text == "*" {
            max
        } else {
            text.parse().unwrap()
        }
    };
    let mut numbers = Vec::new();
    for range in text.split(',') {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        let (from, to) = (end(from), end(to));
        numbers.extend((from.min(to)..=from.max(to)).filter(|&number| number > 0));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn matches_slowly(pattern: &[char], name: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            (0..=name.len()).any(|skipped| matches_slowly(rest, &name[skipped..]))
        }
        (Some(('%', rest)), _) => {
            let level = name
                .iter()
                .position(|&char| char == '/')
                .unwrap_or(name.len());
            (0..=level).any(|skipped| matches_slowly(rest, &name[skipped..]))
        }
        (Some((one, pattern)), Some((other, name))) => {
            one == other && matches_slowly(pattern, name)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn sets_round_trip(text in set_text()) {
        let set = SequenceSet::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(set.to_string(), text);
    }

    #[test]
    fn normalised_sets_name_the_same(text in set_text(), max in 0..15u32) {
        let ranges = SequenceSet::parse(text.as_bytes()).unwrap().normalise(max);
        let numbers: Vec<u32> =
            ranges.iter().flat_map(|range| range.first..=range.last).collect();
        prop_assert_eq!(numbers, named(&text, max));
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].last + 1 < pair[1].first, "sorted and not touching");
        }
        if let Ok(set) = SequenceSet::of(&ranges) {
            prop_assert_eq!(set.normalise(max), ranges);
        }
    }

    #[test]
    fn merging_survives_the_largest_numbers(ends in vec(any::<(u32, u32)>(), 0..20)) {
        let ranges: Vec<_> =
            ends.iter().map(|&(one, other)| IdRange::between(one, other)).collect();
        let merged = merge(ranges.clone());
        for range in ranges {
            let holds = |all: &IdRange| all.contains(range.first) && all.contains(range.last);
            prop_assert!(merged.iter().any(holds));
        }
        prop_assert!(merged.windows(2).all(|pair| pair[0].last < pair[1].first));
    }

    #[test]
    fn dates_round_trip(days in -719_162i64..=2_932_896) {
        let date = Date::from_days(days);
        prop_assert_eq!(date.days(), days);
        prop_assert_eq!(Date::parse(date.to_string().as_bytes()), Ok(date));
        prop_assert!(days == 2_932_896 || Date::from_days(days + 1) > date);
    }

    #[test]
    fn date_times_round_trip(seconds in any::<i64>(), near in -70_000_000_000i64..300_000_000_000,
                             offset in any::<i16>()) {
        for seconds in [seconds, near] {
            let written = DateTime::new(seconds, offset);
            let text = format!("\"{written}\"");
            prop_assert_eq!(DateTime::parse(text.as_bytes()), Ok(written));
            let again = DateTime::new(written.unix_seconds(), written.offset_minutes());
            prop_assert_eq!(again, written);
        }
    }

    #[test]
    fn names_round_trip(name in any::<String>()) {
        let encoded = names::encode(&name);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        prop_assert_eq!(names::decode_utf7(encoded.as_bytes()), Ok(name));
    }

    #[test]
    fn no_name_has_two_spellings(raw in "[&+,/a-zA-Z0-9 -]{0,30}") {
        if let Ok(name) = names::decode_utf7(raw.as_bytes()) {
            prop_assert_eq!(names::encode(&name), raw);
        }
    }

    #[test]
    fn decoded_names_are_valid(raw in vec(any::<u8>(), 0..40), utf8 in any::<bool>()) {
        if let Ok(name) = names::decode(&raw, utf8) {
            prop_assert_eq!(names::check(&name), Ok(()));
            prop_assert_eq!(names::decode(names::encode(&name).as_bytes(), false), Ok(name));
        }
    }

    #[test]
    fn patterns_match_like_the_model(pattern in "[ab/*%]{0,12}", name in "[ab/]{0,12}") {
        let compiled = Pattern::new(b"", pattern.as_bytes(), false).unwrap();
        let slow = matches_slowly(
            &pattern.chars().collect::<Vec<_>>(),
            &name.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(compiled.matches(&name), slow);
    }

    /// Across the border of a word of states.
    #[test]
    fn long_patterns_match(plain in "[a-c]{60,200}", star in 0usize..60) {
        let mut pattern = plain.clone();
        pattern.insert(star, '*');
        let compiled = Pattern::new(b"", pattern.as_bytes(), false).unwrap();
        prop_assert!(compiled.matches(&plain));
        let longer = plain.clone() + "x";
        prop_assert!(!compiled.matches(&longer));
        prop_assert!(!compiled.matches(&plain[..plain.len() - 1]));
    }

    /// What we write as a string, our own grammar reads as that string.
    #[test]
    fn strings_round_trip(bytes in vec(1u8.., 0..60), text in "[ -~]{0,40}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let mut out = BytesMut::from("a STATUS ");
            respond::astring(&mut out, bytes);
            out.extend_from_slice(b" (SIZE)");
            let command = grammar::parse(out.freeze()).unwrap();
            let CommandBody::Status(Status { mailbox, .. }) = command.body else { unreachable!() };
            prop_assert_eq!(&mailbox[..], bytes);
        }
    }

    #[test]
    fn commands_never_panic(tail in vec(any::<u8>(), 0..80),
                            name in "(LIST|SEARCH|UID FETCH|ID|STORE|STATUS|CREATE|ENABLE)") {
        let text = [b"a ", name.as_bytes(), b" ", &tail].concat();
        let _ = grammar::parse(Bytes::from(text));
    }

    #[test]
    fn searches_never_panic(tail in "[ -~]{0,40}", bytes in vec(any::<u8>(), 0..8),
                            name in "(SEARCH RETURN|SORT \\(DATE|THREAD|ESEARCH IN|CANCELUPDATE)") {
        let text = [b"a ", name.as_bytes(), b" ", tail.as_bytes(), &bytes].concat();
        let _ = grammar::parse(Bytes::from(text));
    }
}

#[test]
fn keywords_and_flags_are_checked() {
    assert_eq!(Flag::from_text("\\seen"), Ok(Flag::Seen));
    assert_eq!(Flag::from_text("$Junk").unwrap().as_str(), "$Junk");
    for bad in [
        "",
        "\\",
        "\\Recent",
        "a b",
        "a)",
        "é",
        "\\Seen ",
        &"x".repeat(129),
    ] {
        assert!(Flag::from_text(bad).is_err(), "{bad}");
    }
}

#[test]
fn known_instants() {
    let parsed = DateTime::parse(b"\"17-Jul-1996 02:44:25 -0700\"").unwrap();
    assert_eq!(
        (parsed.unix_seconds(), parsed.offset_minutes()),
        (837_596_665, -420)
    );
    assert_eq!(parsed.date(), Date::new(1996, 7, 17).unwrap());
    assert_eq!(
        DateTime::new(0, 0).to_string(),
        " 1-Jan-1970 00:00:00 +0000"
    );
    assert_eq!(Date::new(1970, 1, 1).unwrap().days(), 0);
    assert_eq!(Date::new(2000, 2, 29).unwrap().days(), 11_016);
    assert_eq!(Date::new(1900, 2, 29), None);
}

#[test]
fn an_empty_mailbox_has_no_star() {
    let set = |text: &str| SequenceSet::parse(text.as_bytes()).unwrap();
    assert_eq!(set("*").normalise(0), []);
    assert_eq!(set("1:*").normalise(0), [IdRange::single(1)]);
    assert_eq!(set("9:*").normalise(3), [IdRange::between(3, 9)]);
    assert_eq!(set("9:*,4").largest(), 9);
    assert!(set("9:*,4").has_star());
}
