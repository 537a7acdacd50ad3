//! HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 3501 section 6.4.5).

use super::header;

/// Passes on the wanted fields of a header that comes in chunks, byte by byte as they are, and the
/// blank line that ends it.
///
/// Without the blank line (a message that is only a header) there is none in the result either.
#[derive(Debug)]
pub struct FieldFilter {
    /// In lower case, sorted.
    names: Vec<Vec<u8>>,
    except: bool,
    /// The beginning of a line of which it is not yet known whether it is wanted.
    head: Vec<u8>,
    head_max: usize,
    state: State,
    /// Whether the last field was wanted: its further lines are as well.
    is_wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a line.
    Head,
    /// In a line of which it is known.
    Line,
    /// After the blank line.
    Done,
}

/// The wanted fields of a header that lies in one piece; see [`FieldFilter`].
pub fn header_fields<N: AsRef<[u8]>>(header: &[u8], names: &[N], except: bool) -> Vec<u8> {
    let mut filter = FieldFilter::new(names, except);
    let mut out = Vec::new();
    filter.push(header, &mut out);
    filter.finish(&mut out);
    out
}

impl FieldFilter {
    /// Wants the fields of these names, in any case, or with `except` all others.
    pub fn new<N: AsRef<[u8]>>(names: &[N], except: bool) -> FieldFilter {
        let mut names: Vec<_> = names
            .iter()
            .map(|name| name.as_ref().to_ascii_lowercase())
            .collect();
        names.sort_unstable();
        let longest = names.iter().map(Vec::len).max().unwrap_or(0);
        FieldFilter {
            names,
            except,
            head: Vec::new(),
            // A longer name is none of these; white space may stand between name and colon.
            head_max: longest + 64,
            state: State::Head,
            is_wanted: false,
        }
    }

    /// The next bytes of the header. What is wanted of them is appended to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.head(bytes, out),
                State::Line => self.rest_of_line(bytes, out),
                State::Done => return,
            };
        }
    }

    /// The header has ended.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if self.state == State::Head && !self.head.is_empty() {
            self.decide(out);
        }
    }

    /// Takes bytes until it is known whether the line is wanted, and returns those left.
    fn head<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let is_first = self.head.is_empty();
        if is_first && matches!(bytes.first(), Some(b' ' | b'\t')) {
            self.state = State::Line;
            return bytes;
        }
        let room = self.head_max.saturating_sub(self.head.len());
        let end = bytes
            .iter()
            .take(room)
            .position(|&byte| byte == b':' || byte == b'\n');
        let len = end.map_or(room.min(bytes.len()), |at| at + 1);
        let (head, rest) = bytes.split_at(len);
        self.head.extend_from_slice(head);
        if matches!(self.head.as_slice(), b"\n" | b"\r\n") {
            out.append(&mut self.head);
            self.state = State::Done;
        } else if end.is_some() || self.head.len() >= self.head_max {
            let is_whole_line = head.ends_with(b"\n");
            self.decide(out);
            self.state = if is_whole_line {
                State::Head
            } else {
                State::Line
            };
        }
        rest
    }

    /// A line that is no field belongs to "all others".
    fn decide(&mut self, out: &mut Vec<u8>) {
        let is_named = header::name(&self.head)
            .is_some_and(|name| self.names.binary_search(&name.to_ascii_lowercase()).is_ok());
        self.is_wanted = is_named != self.except;
        if self.is_wanted {
            out.extend_from_slice(&self.head);
        }
        self.head.clear();
    }

    fn rest_of_line<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        if self.is_wanted {
            out.extend_from_slice(line);
        }
        if end.is_some() {
            self.state = State::Head;
        }
        rest
    }
}
