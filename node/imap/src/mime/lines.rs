//! Lines of a message that comes in chunks: where they begin and end, and of each its beginning,
//! as much as can matter.

/// A place in the message. Marks order by offset; two of one offset agree in their lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) offset: u64,
    /// Line feeds before it.
    pub(super) lines: u64,
}

/// One line.
pub(super) struct Line<'a> {
    /// Its beginning, without the line end.
    pub(super) kept: &'a [u8],
    /// Whether nothing but white space follows what was kept.
    pub(super) is_tail_blank: bool,
    pub(super) begin: Mark,
    /// Where the line before it ended, its line end not counted.
    pub(super) last_end: Mark,
    /// Where the next line begins.
    pub(super) next: Mark,
}

/// Puts lines together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the current line begins.
    at: Mark,
    last_end: Mark,
    /// The current line, if it did not come in one piece.
    kept: Vec<u8>,
    len: u64,
    is_tail_blank: bool,
    ends_in_cr: bool,
}

impl Lines {
    /// Where the current line begins.
    pub(super) fn at(&self) -> Mark {
        self.at
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// Bytes of the current line that do not end it.
    pub(super) fn add(&mut self, text: &[u8], kept_max: usize) {
        if self.len == 0 {
            self.kept.clear();
            self.is_tail_blank = true;
        }
        let room = kept_max.saturating_sub(self.kept.len());
        let (kept, tail) = text.split_at_checked(room).unwrap_or((text, b""));
        self.kept.extend_from_slice(kept);
        self.is_tail_blank &= is_blank(tail);
        self.len += count(text);
        self.ends_in_cr = text.last().map_or(self.ends_in_cr, |&byte| byte == b'\r');
    }

    /// Ends the current line: `text`, then a line feed. `read` gets it.
    pub(super) fn end(&mut self, text: &[u8], kept_max: usize, read: impl FnOnce(Line)) {
        if self.len > 0 {
            self.add(text, kept_max);
            return self.end_buffered(true, read);
        }
        // It came in one piece: nothing to join, and nothing to copy.
        let line = text.strip_suffix(b"\r").unwrap_or(text);
        let (kept, tail) = line.split_at_checked(kept_max).unwrap_or((line, b""));
        let is_tail_blank = is_blank(tail);
        let (end, next) = self.marks(count(line), count(text) + 1, 1);
        let (begin, last_end) = (self.at, self.last_end);
        read(Line {
            kept,
            is_tail_blank,
            begin,
            last_end,
            next,
        });
        self.advance(end, next);
    }

    /// The message has ended: its last line, if no line feed ended that.
    pub(super) fn finish(&mut self, read: impl FnOnce(Line)) {
        if self.len > 0 {
            self.end_buffered(false, read);
        }
    }

    fn end_buffered(&mut self, has_feed: bool, read: impl FnOnce(Line)) {
        let cr = u64::from(has_feed && self.ends_in_cr);
        let feed = u64::from(has_feed);
        let (end, next) = self.marks(self.len - cr, self.len + feed, feed);
        let is_cr_kept = cr > 0 && count(&self.kept) == self.len;
        let kept = if is_cr_kept {
            self.kept.strip_suffix(b"\r")
        } else {
            None
        };
        let kept = kept.unwrap_or(&self.kept);
        let (is_tail_blank, begin, last_end) = (self.is_tail_blank, self.at, self.last_end);
        read(Line {
            kept,
            is_tail_blank,
            begin,
            last_end,
            next,
        });
        self.len = 0;
        self.advance(end, next);
    }

    fn marks(&self, text_len: u64, len: u64, feeds: u64) -> (Mark, Mark) {
        let Mark { offset, lines } = self.at;
        let end = Mark {
            offset: offset + text_len,
            lines,
        };
        (
            end,
            Mark {
                offset: offset + len,
                lines: lines + feeds,
            },
        )
    }

    fn advance(&mut self, end: Mark, next: Mark) {
        self.last_end = end;
        self.at = next;
    }
}

/// Without the white space at its end, in which a boundary's line may end (RFC 2046 section
/// 5.1.1).
pub(super) fn trim_end(text: &[u8]) -> &[u8] {
    let len = text
        .iter()
        .rposition(|&byte| !is_blank(&[byte]))
        .map_or(0, |last| last + 1);
    text.get(..len).unwrap_or(text)
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

fn count(text: &[u8]) -> u64 {
    u64::try_from(text.len()).expect("a slice has fewer bytes than an u64 counts")
}
