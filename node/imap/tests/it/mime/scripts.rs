//! Goldenscripts: small messages, and what is made of them.

use std::error::Error;
use std::fmt::Write as _;

use bytes::BytesMut;
use imap::mime::{self, Kind, Needle, PartText, Scope, Structure};

use super::{check, rendered};
use crate::scripts::{latin1, run_all};

#[test]
fn mime() {
    run_all("mime", MimeRunner::default);
}

/// `> |TEXT` is a line of a message, CRLF added; the first one after any other command begins a
/// new message. `bytes STRING` adds exactly these bytes, one per character. Then:
///
/// - `parts` shows the structure, `body`, `bodystructure` and `envelope` the values of FETCH;
/// - `section PART [HEADER|TEXT|MIME]` the bytes of a section (PART may be ""),
///   `fields NAME..` and `fields_not NAME..` those of HEADER.FIELDS;
/// - `search body|text STRING` and `header NAME STRING` whether it is found;
/// - `value NAME` an unfolded field, `words STRING` and `date STRING` a decoded value.
#[derive(Default)]
struct MimeRunner {
    message: Vec<u8>,
    is_whole: bool,
}

impl MimeRunner {
    fn add(&mut self, bytes: &[u8]) -> String {
        if std::mem::take(&mut self.is_whole) {
            self.message.clear();
        }
        self.message.extend_from_slice(bytes);
        String::new()
    }

    fn section(&self, structure: &Structure, part: &str, text: &str) -> String {
        let part: Vec<u32> = part
            .split('.')
            .filter(|n| !n.is_empty())
            .map(|n| n.parse().unwrap())
            .collect();
        let text = match text {
            "" => PartText::Whole,
            "HEADER" => PartText::Header,
            "TEXT" => PartText::Text,
            "MIME" => PartText::Mime,
            other => panic!("no text is called {other}"),
        };
        match mime::section(structure, &part, text) {
            None => "NIL".to_owned(),
            Some(range) => {
                let start = usize::try_from(range.start).unwrap();
                let end = usize::try_from(range.end).unwrap();
                show(&self.message[start..end])
            }
        }
    }
}

impl goldenscript::Runner for MimeRunner {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        if let Some(line) = command.name.strip_prefix('|') {
            return Ok(self.add(format!("{line}\r\n").as_bytes()));
        }
        let mut args = command.consume_args();
        if command.name == "bytes" {
            return Ok(self.add(&latin1(args.next_pos().ok_or("bytes of what")?)));
        }
        self.is_whole = true;
        let message = &self.message;
        let structure = mime::scan(message);
        check(&structure, message);
        let mut next = || args.next_pos().unwrap_or_default().to_owned();
        let output = match command.name.as_str() {
            "parts" => parts(&structure),
            "body" => lossy(&rendered(&structure, false)),
            "bodystructure" => lossy(&rendered(&structure, true)),
            "envelope" => {
                let mut out = BytesMut::new();
                structure.envelope().write(&mut out);
                assert_eq!(&mime::envelope(message), structure.envelope());
                lossy(&out)
            }
            "section" => self.section(&structure, &next(), &next()),
            name @ ("fields" | "fields_not") => {
                let names: Vec<_> = std::iter::from_fn(|| Some(next()))
                    .take_while(|name| !name.is_empty())
                    .collect();
                show(&mime::header_fields(message, &names, name == "fields_not"))
            }
            "search" => {
                let scope = if next() == "body" {
                    Scope::Body
                } else {
                    Scope::Text
                };
                let needle = Needle::new(&next());
                mime::search_text(message, &structure, scope, &needle).to_string()
            }
            "header" => {
                let name = next();
                mime::header_contains(message, name.as_bytes(), &Needle::new(&next())).to_string()
            }
            "value" => match mime::field_value(message, next().as_bytes()) {
                Some(value) => show(&value),
                None => "none".to_owned(),
            },
            "words" => mime::decode_words(&latin1(&next())),
            "date" => match mime::sent_date(next().as_bytes()) {
                Some(date) => format!("{date}, unix {}", date.unix_seconds()),
                None => "none".to_owned(),
            },
            other => return Err(format!("unknown command {other}").into()),
        };
        args.reject_next()?;
        Ok(output)
    }
}

fn parts(structure: &Structure) -> String {
    let mut out = String::new();
    for (number, part) in structure.parts().iter().enumerate() {
        let kind = match &part.kind {
            Kind::Leaf => String::new(),
            Kind::Multipart(children) => format!(" of {children:?}"),
            Kind::Message(inside) => format!(" with {inside}"),
        };
        let media_type = &part.media_type;
        let (header, body, lines) = (&part.header, &part.body, part.lines);
        let (kind_name, subtype) = (lossy(&media_type.kind), lossy(&media_type.subtype));
        writeln!(
            out,
            "{number} {kind_name}/{subtype}{kind} header {header:?} body {body:?} lines {lines}"
        )
        .unwrap();
    }
    out
}

/// As a Rust string literal.
fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// As it is, since most of it is text; line ends of literals are shown.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\\r\\n")
}
