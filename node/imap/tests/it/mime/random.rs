//! Any bytes: no panic, a structure that keeps its promises, and the same one for any chunks.

use bytes::BytesMut;
use imap::mime::{self, FieldFilter, Needle, PieceSearch, Scanner, Scope};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{check, rendered};

/// Pieces of which messages are made, right and wrong.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: multipart/digest; boundary=\"b-\"\r\n",
        b"content-type: multipart/mixed\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html; charset*0*=utf-8''a; charset*1=%b\n",
        b"Content-Type: text\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Disposition: attachment; filename=a b; x=\"\xe4\"\r\n",
        b"Content-Language: de, en\r\n",
        b"From: \"a\\\"b\" <a@b>, g: c@d (e);\r\n",
        b"To: <@r,@s:t@u>, =?utf-8?q?=C3=A4?= <v>\r\n",
        b"Subject: (\\\r\n",
        b" folded\r\n",
        b"\r\n--b\r\n",
        b"--b--\r\n",
        b"--b-\r\n",
        b"\r\n--b---",
        b"--b \t\r\n",
        b"no field\r\n",
        b":\r\n",
        b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n",
        b"\0",
    ];
    prop_oneof![
        8 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..12),
        1 => vec(prop::sample::select(&b"()<>@,;:\\\".[]=?*' \t\r\nab0-/"[..]), 0..12),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..24).prop_map(|pieces| pieces.concat())
}

/// Cuts at these places, as far as there are so many bytes.
fn chunks<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts
        .zip(ends)
        .map(|(start, end)| &bytes[start..end])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn structures_keep_their_promises(message in message(), cuts in vec(0_usize..4096, 0..8)) {
        let structure = mime::scan(&message);
        check(&structure, &message);
        let mut scanner = Scanner::new();
        chunks(&message, &cuts).iter().for_each(|chunk| scanner.push(chunk));
        prop_assert_eq!(&scanner.finish(), &structure);
        let mut scanner = Scanner::new();
        message.chunks(1).for_each(|chunk| scanner.push(chunk));
        prop_assert_eq!(&scanner.finish(), &structure);
    }

    /// Another parser of IMAP reads what we write. It descends 8 levels.
    #[test]
    fn what_is_written_is_in_the_grammar(message in message()) {
        let structure = mime::scan(&message);
        let mut out = BytesMut::from(&b"* 1 FETCH (ENVELOPE "[..]);
        structure.envelope().write(&mut out);
        for (name, extended) in [("BODY", false), ("BODYSTRUCTURE", true)] {
            out.extend_from_slice(format!(" {name} ").as_bytes());
            out.extend_from_slice(&rendered(&structure, extended));
        }
        out.extend_from_slice(b")\r\n");
        let opened = message.windows(5).filter(|text| text.eq_ignore_ascii_case(b"multi")
            || text.eq_ignore_ascii_case(b"rfc82")).count();
        if opened < 7 {
            let decoded = ResponseCodec::default().decode(&out);
            prop_assert!(matches!(&decoded, Ok((b"", _))), "{decoded:?} of {}", out.escape_ascii());
        }
    }

    #[test]
    fn fields_are_the_same_in_chunks(header in message(), cuts in vec(0_usize..4096, 0..8)) {
        let names = ["from", "Content-Type", "x"];
        for except in [false, true] {
            let whole = mime::header_fields(&header, &names, except);
            let mut filter = FieldFilter::new(&names, except);
            let mut out = Vec::new();
            chunks(&header, &cuts).iter().for_each(|chunk| filter.push(chunk, &mut out));
            filter.finish(&mut out);
            prop_assert_eq!(whole, out);
        }
    }

    /// HEADER.FIELDS and HEADER.FIELDS.NOT share out a header, but for its blank line.
    #[test]
    fn fields_are_shared_out(values in vec(("[abc]{1,2}", "[a-z]{0,5}(\r\n [a-z]{1,3})?"), 0..8)) {
        let lines: Vec<_> =
            values.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let header = lines.concat() + "\r\n";
        let names = ["A", "bb", "C"];
        let is_wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        for except in [false, true] {
            let all = lines.iter().zip(&values);
            let expected: String = all
                .filter(|(_, (name, _))| is_wanted(name) != except)
                .map(|(line, _)| line.as_str())
                .collect();
            let got = mime::header_fields(header.as_bytes(), &names, except);
            prop_assert_eq!(String::from_utf8(got).unwrap(), expected + "\r\n");
        }
        for (name, _) in &values {
            let first = values.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).unwrap();
            let value = mime::field_value(header.as_bytes(), name.as_bytes()).unwrap();
            let unfolded = first.1.replace("\r\n", "");
            prop_assert_eq!(String::from_utf8(value).unwrap(), unfolded.trim());
        }
    }

    #[test]
    fn values_are_read_without_panic(value in vec(any::<u8>(), 0..64), text in piece()) {
        for value in [&value, &text, &[b"=?utf-8?", &value[..]].concat()] {
            mime::decode_words(value);
            mime::sent_date(value);
        }
    }

    #[test]
    fn dates_come_back(seconds in -60_000_000_000_i64..200_000_000_000, zone in -1439_i16..1439) {
        let date = imap::grammar::DateTime::new(seconds, zone);
        let text = date.to_string();
        // "17-Jul-1996 02:44:25 -0700" and as a mail has it.
        prop_assert_eq!(mime::sent_date(text.as_bytes()), Some(date));
        let text = format!("Xyz, {} (comment)", text.trim_start().replacen('-', " ", 2));
        prop_assert_eq!(mime::sent_date(text.as_bytes()), Some(date));
    }

    #[test]
    fn needles_are_found_as_by_comparing(needle in "[abAä]{0,5}", text in "[abAÄB]{0,24}") {
        let fold = |text: &str| text.to_uppercase().replace('Ä', "A\u{308}");
        let expected = fold(&text).contains(&fold(&needle));
        prop_assert_eq!(Needle::new(&needle).is_in(&text), expected);
    }

    #[test]
    fn searches_are_the_same_in_chunks(
        message in message(),
        needle in "[a-f0-9 ]{1,2}",
        cuts in vec(0_usize..4096, 0..8),
    ) {
        let structure = mime::scan(&message);
        let needle = Needle::new(&needle);
        let pieces = mime::pieces(&structure, Scope::Text);
        let in_chunks = pieces.iter().any(|piece| {
            let mut search = PieceSearch::new(&structure, piece, &needle);
            let start = usize::try_from(piece.range.start).unwrap();
            let end = usize::try_from(piece.range.end).unwrap();
            let chunks = chunks(&message[start..end], &cuts);
            chunks.iter().any(|chunk| search.push(chunk)) || search.finish()
        });
        prop_assert_eq!(
            in_chunks,
            mime::search_text(&message, &structure, Scope::Text, &needle)
        );
    }
}
