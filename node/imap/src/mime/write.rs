//! BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2).

use std::fmt::Write as _;

use bytes::BytesMut;

use super::content::Disposition;
use super::parameters::Param;
use super::structure::{Kind, Part, Structure};
use crate::respond;

/// Appends the value of BODYSTRUCTURE, or without extension data (`extended` false) that of BODY.
pub fn write_body(structure: &Structure, extended: bool, out: &mut BytesMut) {
    BodyWriter {
        structure,
        extended,
        out,
    }
    .part(structure.root());
}

struct BodyWriter<'a> {
    structure: &'a Structure,
    extended: bool,
    out: &'a mut BytesMut,
}

impl BodyWriter<'_> {
    /// Recurses at most [`super::limits::DEPTH_MAX`] deep.
    fn part(&mut self, part: &Part) {
        self.put("(");
        match &part.kind {
            Kind::Multipart(children) => {
                // Parts follow each other without a space.
                for &child in children {
                    self.part(self.structure.part(child));
                }
                self.put(" ");
                respond::string(self.out, &part.media_type.subtype);
                if self.extended {
                    self.put(" ");
                    self.params(&part.params, None);
                }
            }
            kind => {
                self.fields(part);
                self.content(part, kind);
                if self.extended {
                    self.put(" ");
                    respond::nstring(self.out, part.md5.as_deref());
                }
            }
        }
        if self.extended {
            self.extension(part);
        }
        self.put(")");
    }

    /// Type, `body-fields`.
    fn fields(&mut self, part: &Part) {
        respond::string(self.out, &part.media_type.kind);
        self.put(" ");
        respond::string(self.out, &part.media_type.subtype);
        self.put(" ");
        let default = part
            .media_type
            .is_kind("text")
            .then_some(("charset", "us-ascii"));
        self.params(&part.params, default);
        self.put(" ");
        respond::nstring(self.out, part.id.as_deref());
        self.put(" ");
        respond::nstring(self.out, part.description.as_deref());
        self.put(" ");
        respond::string(self.out, part.encoding.as_deref().unwrap_or(b"7bit"));
        self.put_number(part.size());
    }

    /// What only a text and a message have.
    fn content(&mut self, part: &Part, kind: &Kind) {
        if let &Kind::Message(inside) = kind {
            let message = self.structure.part(inside);
            self.put(" ");
            if let Some(envelope) = &message.envelope {
                envelope.write(self.out);
            }
            self.put(" ");
            self.part(message);
        }
        if matches!(kind, Kind::Message(_)) || part.media_type.is_kind("text") {
            self.put_number(part.lines);
        }
    }

    /// Disposition, language, location: the extension data that all parts have.
    fn extension(&mut self, part: &Part) {
        self.put(" ");
        match &part.disposition {
            None => self.put("NIL"),
            Some(Disposition { kind, params }) => {
                self.put("(");
                respond::string(self.out, kind);
                self.put(" ");
                self.params(params, None);
                self.put(")");
            }
        }
        self.put(" ");
        if part.language.is_empty() {
            self.put("NIL");
        } else {
            self.strings(part.language.iter().map(|tag| &tag[..]));
        }
        self.put(" ");
        respond::nstring(self.out, part.location.as_deref());
    }

    /// `body-fld-param`; `default` is added if there is no parameter of its name.
    fn params(&mut self, params: &[Param], default: Option<(&str, &str)>) {
        let is_there = |wanted: &str| {
            params.iter().any(|Param { name, .. }| {
                let name = name.strip_suffix(b"*").unwrap_or(name);
                name.eq_ignore_ascii_case(wanted.as_bytes())
            })
        };
        let default = default.filter(|(name, _)| !is_there(name));
        if params.is_empty() && default.is_none() {
            return self.put("NIL");
        }
        let default = default.map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let given = params
            .iter()
            .map(|Param { name, value }| [&name[..], &value[..]]);
        self.strings(given.chain(default).flatten());
    }

    fn strings<'a>(&mut self, strings: impl Iterator<Item = &'a [u8]>) {
        self.put("(");
        for (at, text) in strings.enumerate() {
            self.put(if at > 0 { " " } else { "" });
            respond::string(self.out, text);
        }
        self.put(")");
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A number and the space before it.
    fn put_number(&mut self, number: u64) {
        write!(self.out, " {number}").expect("a buffer in memory takes all");
    }
}
