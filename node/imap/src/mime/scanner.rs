//! The one pass over a message that finds its parts.
//!
//! The scanner works line by line. Of a line it sees at most as much as a field or a boundary may
//! have, however the message was cut into chunks. Every line is one of: a boundary of a multipart
//! that is open, a line of the current part's header, or content.
//!
//! ```text
//!   open:  message, boundary "a"  ─►  message/rfc822  ─►  message, boundary "b"  ─►  text/plain
//!   "--b"    ends text/plain, begins a part           (the innermost boundary is tried first)
//!   "--b--"  ends text/plain; content until "a" comes is b's epilogue
//!   "--a"    ends all that is open inside a, and begins a part
//! ```
//!
//! A line end before a boundary belongs to the boundary, a blank line that ends a header belongs
//! to the header. Where that is the same line end (a part without a body), the header keeps it,
//! and the parts around it end no earlier.

use super::content::MediaType;
use super::fields::{self, Collector, Kept};
use super::limits::{BOUNDARY_BYTES_MAX, DEPTH_MAX, FIELD_BYTES_MAX, PARTS_MAX};
use super::lines::{self, Line, Lines, Mark};
use super::structure::{Kind, Part, Structure};

/// Bytes of a line of content that can matter: a boundary between two pairs of hyphens.
const BOUNDARY_LINE_BYTES_MAX: usize = BOUNDARY_BYTES_MAX + 4;

/// The structure of a message that lies in one piece.
pub fn scan(message: &[u8]) -> Structure {
    let mut scanner = Scanner::new();
    scanner.push(message);
    scanner.finish()
}

/// Finds the parts of a message that comes in chunks, in time linear in its bytes. What it holds
/// is bounded by [`super::limits`].
#[derive(Debug)]
pub struct Scanner {
    lines: Lines,
    parts: Parts,
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner::new()
    }
}

impl Scanner {
    /// A scanner at the beginning of a message.
    pub fn new() -> Scanner {
        let mut parts = Parts {
            parts: Vec::new(),
            open: Vec::new(),
            is_in_header: true,
            is_frozen: false,
            is_truncated: false,
            field: Collector::default(),
            kept: Kept::new(),
        };
        parts.begin(Mark::default(), true);
        Scanner {
            lines: Lines::default(),
            parts,
        }
    }

    /// The next bytes of the message, as few or as many as there are.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let kept_max = self.parts.kept_max();
            match piece.strip_suffix(b"\n") {
                Some(text) => self
                    .lines
                    .end(text, kept_max, |line| self.parts.line(&line)),
                None => self.lines.add(piece, kept_max),
            }
        }
    }

    /// The structure, the message having ended.
    pub fn finish(mut self) -> Structure {
        self.lines.finish(|line| self.parts.line(&line));
        let end = self.lines.at();
        self.parts.close(0, end, end);
        let Parts {
            parts,
            is_truncated,
            ..
        } = self.parts;
        Structure {
            parts,
            size: end.offset,
            is_truncated,
        }
    }

    /// About how many bytes it holds at this moment.
    pub fn held_bytes(&self) -> usize {
        self.parts.parts.capacity() * size_of::<Part>()
            + self.lines.held_bytes()
            + self.parts.field.held_bytes()
            + self.parts.kept.held_bytes()
    }
}

/// The parts that were found so far.
#[derive(Debug)]
struct Parts {
    parts: Vec<Part>,
    /// From the message to the part that the next line belongs to. At most [`DEPTH_MAX`] and one.
    open: Vec<Open>,
    /// Whether that part's header still goes on.
    is_in_header: bool,
    /// Whether boundaries are no longer looked for: there are too many parts.
    is_frozen: bool,
    is_truncated: bool,
    field: Collector,
    kept: Kept,
}

/// A part that has not ended.
#[derive(Debug)]
struct Open {
    part: usize,
    /// Of a multipart, until its closing boundary.
    boundary: Option<Boundary>,
    /// Whether its Content-Type was read.
    is_typed: bool,
    body: Mark,
    /// The greatest end of its children.
    children_end: Mark,
}

impl Parts {
    /// How much of a line can matter.
    fn kept_max(&self) -> usize {
        if self.is_in_header {
            FIELD_BYTES_MAX
        } else {
            BOUNDARY_LINE_BYTES_MAX
        }
    }

    fn line(&mut self, line: &Line) {
        if let Some((index, is_closing)) = self.boundary(line) {
            if is_closing || self.parts.len() < PARTS_MAX {
                return self.at_boundary(index, is_closing, line);
            }
            self.is_frozen = true;
            self.is_truncated = true;
        }
        if self.is_in_header {
            self.header_line(line);
        }
    }

    /// The open multipart whose boundary a line is, as an index, and whether it closes it.
    fn boundary(&self, line: &Line) -> Option<(usize, bool)> {
        let text = line.kept.strip_prefix(b"--")?;
        if self.is_frozen || !line.is_tail_blank {
            return None;
        }
        let text = lines::trim_end(text);
        let delimiter = (text, fingerprint(text));
        let closing = text
            .strip_suffix(b"--")
            .map(|text| (text, fingerprint(text)));
        let mut from_innermost = self.open.iter().enumerate().rev();
        from_innermost.find_map(|(index, open)| {
            let boundary = open.boundary.as_ref()?;
            if boundary.is(delimiter) {
                return Some((index, false));
            }
            boundary.is(closing?).then_some((index, true))
        })
    }

    fn at_boundary(&mut self, index: usize, is_closing: bool, line: &Line) {
        self.close(index + 1, line.begin, line.last_end);
        if !is_closing {
            self.begin(line.next, false);
        } else if let Some(open) = self.open.get_mut(index) {
            open.boundary = None;
        }
    }

    fn header_line(&mut self, line: &Line) {
        match line.kept.first() {
            None => self.end_header(line.next),
            Some(b' ' | b'\t') => self.field.go_on(line.kept),
            Some(_) => {
                self.end_field();
                self.field.begin(line.kept, &self.kept);
            }
        }
    }

    fn end_field(&mut self) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        let Some(part) = self.parts.get_mut(open.part) else {
            return;
        };
        if let Some(field) = self.field.end() {
            fields::set(part, &mut open.is_typed, field, &mut self.kept);
        }
    }

    /// Begins a part with its header, as a child of the innermost open one.
    fn begin(&mut self, at: Mark, is_message: bool) {
        let number = self.parts.len();
        self.parts.push(Part::new(at.offset, is_message));
        if let Some(parent) = self
            .open
            .last()
            .and_then(|open| self.parts.get_mut(open.part))
        {
            match &mut parent.kind {
                Kind::Multipart(children) => children.push(number),
                kind => *kind = Kind::Message(number),
            }
        }
        self.open.push(Open {
            part: number,
            boundary: None,
            is_typed: false,
            body: at,
            children_end: at,
        });
        self.is_in_header = true;
    }

    /// The current part's header ends at `at`, and its body begins there. If it is a
    /// message/rfc822, the message inside begins there as well, and is the current part then.
    fn end_header(&mut self, at: Mark) {
        self.end_field();
        self.is_in_header = false;
        let has_room = self.parts.len() < PARTS_MAX && self.open.len() <= DEPTH_MAX;
        let is_in_digest = self.is_in_digest();
        let Some(open) = self.open.last_mut() else {
            return;
        };
        let Some(part) = self.parts.get_mut(open.part) else {
            return;
        };
        open.body = at;
        open.children_end = at;
        part.header.end = at.offset;
        part.body = at.offset..at.offset;
        if is_in_digest && !open.is_typed {
            part.media_type = MediaType::new(b"message", b"rfc822");
        }
        let is_message = part.media_type.is("message", "rfc822");
        let is_multipart = part.media_type.is_kind("multipart");
        if is_multipart {
            open.boundary = part.param("boundary").and_then(Boundary::new);
            if open.boundary.is_none() {
                part.media_type = MediaType::text_plain();
                part.params.clear();
                return;
            }
        }
        if (is_message || is_multipart) && !has_room {
            part.media_type = MediaType::new(b"application", b"octet-stream");
            part.params.clear();
            open.boundary = None;
            self.is_truncated = true;
        } else if is_multipart {
            part.kind = Kind::Multipart(Vec::new());
        } else if is_message {
            self.begin(at, true);
        }
    }

    /// Whether the current part is one of a multipart/digest, where the default is another.
    fn is_in_digest(&self) -> bool {
        let parent = self
            .open
            .iter()
            .rev()
            .nth(1)
            .and_then(|open| self.parts.get(open.part));
        parent.is_some_and(|parent| parent.media_type.is("multipart", "digest"))
    }

    /// Closes parts until `remaining` are open. A header that goes on ends with the last line, at
    /// `begin`; a body ends at `end`, before that line's end.
    fn close(&mut self, remaining: usize, begin: Mark, end: Mark) {
        while self.open.len() > remaining {
            if self.is_in_header {
                // This may begin the message inside a message/rfc822; it has no header.
                self.end_header(begin);
                continue;
            }
            if let Some(open) = self.open.pop() {
                self.close_part(&open, end);
            }
        }
    }

    fn close_part(&mut self, open: &Open, end: Mark) {
        let end = end.max(open.children_end);
        let next_number = self.parts.len();
        let Some(part) = self.parts.get_mut(open.part) else {
            return;
        };
        part.body.end = end.offset;
        part.lines = end.lines - open.body.lines;
        if let Some(parent) = self.open.last_mut() {
            parent.children_end = end;
        }
        let is_childless = matches!(&part.kind, Kind::Multipart(children) if children.is_empty());
        if is_childless {
            part.kind = Kind::Multipart(vec![next_number]);
            self.parts.push(Part::new(end.offset, false));
        }
    }
}

/// What parts a multipart.
#[derive(Debug)]
struct Boundary {
    text: Box<[u8]>,
    /// Of the text, so that a line that looks like many boundaries is compared with few.
    fingerprint: u64,
}

impl Boundary {
    /// `None` if it could not be found again in a line.
    fn new(text: &[u8]) -> Option<Boundary> {
        let text = lines::trim_end(text);
        let is_usable = !text.is_empty() && text.len() <= BOUNDARY_BYTES_MAX;
        is_usable.then(|| Boundary {
            text: text.into(),
            fingerprint: fingerprint(text),
        })
    }

    fn is(&self, (text, fingerprint): (&[u8], u64)) -> bool {
        self.fingerprint == fingerprint && *self.text == *text
    }
}

/// FNV-1a.
fn fingerprint(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
