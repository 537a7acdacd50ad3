//! Target `mime`: a message, to everything that reads one.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use imap::limits::PREVIEW_CHARS_MAX;
use imap::mime::limits::{
    DEPTH_MAX, FIELD_BYTES_MAX, KEPT_ADDRESS_BYTES_MAX, KEPT_BYTES_MAX, PARTS_MAX,
};
use imap::mime::{
    self, FieldFilter, Kind, Needle, Part, PartDecoder, PartText, PieceSearch, Preview, Scanner,
    Scope, Structure, TextDecoder,
};

use crate::{codec, cuts};

/// Most that a scanner may hold: the kept strings, its parts (a list may be twice as long as it
/// is full), a field and a line.
pub const HELD_BYTES_MAX: usize = KEPT_BYTES_MAX
    + KEPT_ADDRESS_BYTES_MAX
    + 2 * PARTS_MAX * size_of::<Part>()
    + 4 * FIELD_BYTES_MAX;

/// Most that can be written: quoting doubles at most, From stands three times in an envelope, and
/// every part has some fixed text.
pub const WRITTEN_BYTES_MAX: usize =
    2 * (KEPT_BYTES_MAX + 3 * KEPT_ADDRESS_BYTES_MAX) + PARTS_MAX * 128;

/// Levels of parts that imap-codec reads.
const READ_DEPTH_MAX: usize = 6;

/// Parts whose sections and texts are looked at.
const PARTS_READ: usize = 64;

/// A whole message.
///
/// # Panics
/// If something does not hold.
pub fn check(message: &[u8]) {
    let ways = cuts::ways(message);
    let structure = mime::scan(message);
    keeps_promises(&structure, message);
    for way in &ways {
        let mut scanner = Scanner::new();
        for chunk in way {
            scanner.push(chunk);
            assert!(scanner.held_bytes() <= HELD_BYTES_MAX);
        }
        assert_eq!(scanner.finish(), structure, "cut otherwise");
    }
    written(&structure);
    sections(&structure, message);
    header_fields(message);
    for number in (0..structure.parts().len()).take(PARTS_READ) {
        decoded(&structure, number, message);
    }
    found(&structure, message);
    encoded(message);
}

/// What [`imap::mime`] promises of every structure, whatever the message.
///
/// # Panics
/// If it is not so.
pub fn keeps_promises(structure: &Structure, message: &[u8]) {
    let size = message.len() as u64;
    assert_eq!(structure.size(), size);
    assert_eq!(structure.root().header.start, 0);
    assert_eq!(structure.root().body.end, size);
    assert!(structure.parts().len() <= PARTS_MAX + DEPTH_MAX + 1);
    let mut seen = 1;
    for part in structure.parts() {
        assert!(part.header.start <= part.header.end);
        assert_eq!(part.header.end, part.body.start);
        assert!(part.body.start <= part.body.end);
        assert_eq!(part.lines, line_feeds(part, message));
        let children = match &part.kind {
            Kind::Leaf => &[][..],
            Kind::Multipart(children) => {
                assert!(!children.is_empty());
                children
            }
            Kind::Message(inside) => std::slice::from_ref(inside),
        };
        let mut end = part.body.start;
        for &child in children {
            seen += 1;
            let child = structure.part(child);
            assert!(end <= child.header.start, "siblings overlap: {child:?}");
            end = child.body.end;
            let is_message = matches!(part.kind, Kind::Message(_));
            assert_eq!(child.envelope.is_some(), is_message);
        }
        assert!(end <= part.body.end, "a child ends after: {part:?}");
    }
    assert_eq!(seen, structure.parts().len(), "every part has one parent");
}

fn line_feeds(part: &Part, message: &[u8]) -> u64 {
    let body = of(message, &part.body).iter();
    body.map(|&byte| u64::from(byte == b'\n')).sum()
}

/// The bytes of a range, which must be one of the message.
fn of<'a>(message: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let place = |offset| usize::try_from(offset).expect("a message in memory");
    &message[place(range.start)..place(range.end)]
}

/// Levels of parts below this one.
fn depth(structure: &Structure, part: &Part) -> usize {
    let children = match &part.kind {
        Kind::Leaf => return 0,
        Kind::Multipart(children) => &children[..],
        Kind::Message(inside) => std::slice::from_ref(inside),
    };
    let depths = children
        .iter()
        .map(|&child| depth(structure, structure.part(child)));
    1 + depths.max().unwrap_or(0)
}

/// ENVELOPE, BODY and BODYSTRUCTURE are bounded, and in the grammar.
fn written(structure: &Structure) {
    let deepest = depth(structure, structure.root());
    assert!(deepest <= DEPTH_MAX + 1, "{deepest} levels");
    let mut out = BytesMut::from(&b"* 1 FETCH (ENVELOPE "[..]);
    structure.envelope().write(&mut out);
    for (name, extended) in [(" BODY ", false), (" BODYSTRUCTURE ", true)] {
        out.extend_from_slice(name.as_bytes());
        let before = out.len();
        mime::write_body(structure, extended, &mut out);
        assert!(out.len() - before <= WRITTEN_BYTES_MAX);
    }
    out.extend_from_slice(b")\r\n");
    if deepest <= READ_DEPTH_MAX {
        codec::reads(&out);
    }
}

/// The sections of a part meet where they should, and lie in the message.
fn sections(structure: &Structure, message: &[u8]) {
    let mut open = vec![(Vec::new(), 0)];
    let mut seen = 0;
    while let Some((path, number)) = open.pop() {
        seen += 1;
        if seen > PARTS_READ {
            return;
        }
        let find = |text| mime::section(structure, &path, text);
        let whole = find(PartText::Whole).expect("a part that is there");
        of(message, &whole);
        if let (Some(header), Some(text)) = (find(PartText::Header), find(PartText::Text)) {
            assert_eq!(header.end, text.start);
            assert_eq!(header.start..text.end, whole, "{path:?}");
        }
        match find(PartText::Mime) {
            Some(header) => assert_eq!(header.end, whole.start),
            None => assert!(path.is_empty()),
        }
        assert_eq!(
            mime::part_of(structure, &path).is_none(),
            path.is_empty(),
            "{path:?}"
        );
        let part = structure.part(number);
        let mut message_part = part;
        if let (Kind::Message(inside), false) = (&part.kind, path.is_empty()) {
            message_part = structure.part(*inside);
        }
        let below = |number: u32| [&path[..], &[number]].concat();
        match &message_part.kind {
            Kind::Multipart(children) => {
                let count = u32::try_from(children.len()).expect("a bounded number");
                assert_eq!(
                    mime::section(structure, &below(count + 1), PartText::Whole),
                    None
                );
                open.extend((1..=count).map(below).zip(children.iter().copied()));
            }
            // A message that is no multipart has one part, which is not asked about again.
            _ if message_part.envelope.is_some() => {
                let only = mime::section(structure, &below(1), PartText::Whole);
                assert_eq!(only, Some(message_part.body.clone()));
            }
            _ => assert_eq!(mime::section(structure, &below(1), PartText::Whole), None),
        }
        assert_eq!(mime::section(structure, &below(0), PartText::Whole), None);
    }
}

fn header_fields(message: &[u8]) {
    let names = ["from", "Content-Type", "x"];
    for except in [false, true] {
        let whole = mime::header_fields(message, &names, except);
        assert!(whole.len() <= message.len());
        for way in cuts::ways(message) {
            let mut filter = FieldFilter::new(&names, except);
            let mut out = Vec::new();
            way.iter().for_each(|chunk| filter.push(chunk, &mut out));
            filter.finish(&mut out);
            assert_eq!(out, whole, "cut otherwise");
        }
    }
}

/// What a part's text is, what is shown of it, and what its bytes are.
fn decoded(structure: &Structure, number: usize, message: &[u8]) {
    let part = structure.part(number);
    let body = of(message, &part.body);
    let whole = text(part, &[body]);
    assert!(whole.len() <= 4 * body.len() + 16, "text grows");
    let preview = preview(part, &whole);
    assert!(preview.chars().count() <= PREVIEW_CHARS_MAX);
    assert!(!preview.chars().any(char::is_control), "{preview:?}");
    assert_eq!(preview.trim(), preview);
    let bytes = PartDecoder::new(part).map(|decoder| transferred(decoder, &[body]));
    for way in cuts::ways(body) {
        assert_eq!(text(part, &way), whole, "cut otherwise");
        let again = PartDecoder::new(part).map(|decoder| transferred(decoder, &way));
        assert_eq!(again, bytes, "cut otherwise");
    }
    assert!(bytes.is_none_or(|bytes| bytes.len() <= body.len() + 3));
}

fn text(part: &Part, chunks: &[&[u8]]) -> String {
    let mut decoder = TextDecoder::new(part);
    let mut out = String::new();
    let mut read = |text: &str| {
        out += text;
        true
    };
    chunks
        .iter()
        .for_each(|chunk| decoder.push(chunk, &mut read));
    decoder.finish(&mut read);
    out
}

fn preview(part: &Part, text: &str) -> String {
    let mut preview = Preview::new(part, PREVIEW_CHARS_MAX);
    preview.push(text);
    let whole = preview.finish();
    let mut preview = Preview::new(part, PREVIEW_CHARS_MAX);
    for char in text.chars() {
        preview.push(char.encode_utf8(&mut [0; 4]));
    }
    assert_eq!(preview.finish(), whole, "cut otherwise");
    whole
}

fn transferred(mut decoder: PartDecoder, chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    chunks
        .iter()
        .for_each(|chunk| decoder.push(chunk, &mut out));
    decoder.finish(&mut out);
    out
}

/// What stands in a part's text is found there, and in any chunks.
fn found(structure: &Structure, message: &[u8]) {
    mime::preview_parts(structure)
        .iter()
        .for_each(|&number| assert_eq!(structure.part(number).kind, Kind::Leaf));
    for part in structure.parts().iter().take(PARTS_READ) {
        if part.kind != Kind::Leaf || !part.media_type.is_kind("text") {
            continue;
        }
        let text = text(part, &[of(message, &part.body)]);
        let word: String = text
            .chars()
            .skip(text.chars().count() / 2)
            .take(9)
            .collect();
        let needle = Needle::new(&word);
        assert!(
            mime::search_text(message, structure, Scope::Body, &needle),
            "{word:?} is not found"
        );
    }
    let needle = Needle::new("e");
    let whole = mime::search_text(message, structure, Scope::Text, &needle);
    let pieces = mime::pieces(structure, Scope::Text);
    assert!(pieces.len() <= 2 * structure.parts().len());
    let mut in_chunks = false;
    for piece in &pieces {
        for way in cuts::ways(of(message, &piece.range)) {
            let mut search = PieceSearch::new(structure, piece, &needle);
            in_chunks |= way.iter().any(|chunk| search.push(chunk)) || search.finish();
        }
    }
    assert_eq!(in_chunks, whole, "cut otherwise");
}

/// Any bytes, encoded and sent as a part, come out as they were.
fn encoded(bytes: &[u8]) {
    let mut printable = String::new();
    for chunk in bytes.chunks(25) {
        for byte in chunk {
            printable += &format!("={byte:02X}");
        }
        printable += "=\r\n";
    }
    let lines: Vec<_> = bytes.chunks(57).map(|line| BASE64.encode(line)).collect();
    for (name, text) in [
        ("quoted-printable", printable),
        ("base64", lines.join("\r\n")),
    ] {
        let head = format!("Content-Transfer-Encoding: {name}\r\n\r\n");
        let message = [head.as_bytes(), text.as_bytes()].concat();
        let structure = mime::scan(&message);
        let decoder = PartDecoder::new(structure.root()).expect("a known encoding");
        let body = of(&message, &structure.root().body);
        assert_eq!(transferred(decoder, &[body]), bytes, "{name}");
    }
}
