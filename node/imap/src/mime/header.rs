//! The fields of a header that lies in one piece.

use super::lexer;
use super::words;

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, without the colon, in the case in which it stands there.
    pub name: &'a [u8],
    /// What follows the colon, with its line ends.
    pub folded: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, in any case.
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Its value, unfolded, without white space around it.
    pub fn value(&self) -> Vec<u8> {
        let lines = self.folded.split_inclusive(|&byte| byte == b'\n');
        let value = lines.fold(Vec::with_capacity(self.folded.len()), |mut value, line| {
            let line = without_end(line);
            if let Some(text) = after_fold(line) {
                value.push(b' ');
                value.extend_from_slice(text);
            } else {
                value.extend_from_slice(line);
            }
            value
        });
        lexer::trim(&value).to_vec()
    }

    /// Its value as text, encoded words decoded.
    pub fn text(&self) -> String {
        words::decode_words(&self.value())
    }
}

/// The fields of a header, up to its blank line. Lines that are no fields are passed over.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// The value of the first field of this name, unfolded.
pub fn field_value(header: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    fields(header)
        .find(|field| field.is(name))
        .map(|field| field.value())
}

/// An iterator over the fields of a header; see [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let (line, after) = split_line(self.rest);
            if without_end(line).is_empty() {
                self.rest = b"";
                return None;
            }
            let mut end = after;
            while end.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                end = split_line(end).1;
            }
            let (field, _) = self.rest.split_at(self.rest.len() - end.len());
            self.rest = end;
            if let Some(name) = name(line) {
                let colon = line.iter().position(|&byte| byte == b':')?;
                return Some(Field {
                    name,
                    folded: field.get(colon + 1..)?,
                });
            }
        }
    }
}

/// The name that a line begins with, if it begins a field. White space before the colon is
/// obsolete and allowed (RFC 5322 section 4.5).
pub(super) fn name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some(name)
}

/// The rest of a line that goes on after a tab. There the tab becomes a space: it is only where
/// some program folded a line that had one.
pub(super) fn after_fold(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"\t")
}

/// A line with its end, and what follows.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(text.len(), |at| at + 1);
    text.split_at(len)
}

fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}
