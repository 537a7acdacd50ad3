//! The tokens that structured header fields share (RFC 5322 section 3.2): white space, comments,
//! quoted strings. Values are unfolded before they come here.
//!
//! The lexer only goes forward, so whoever uses it is linear; and comments are counted, not
//! descended into.

#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(value: &'a [u8]) -> Lexer<'a> {
        Lexer { rest: value }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.next();
        }
        is_there
    }

    pub(super) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self
            .rest
            .iter()
            .position(|&byte| !accept(byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// Skips white space and comments, and says whether there were any.
    pub(super) fn skip_space(&mut self) -> bool {
        self.skip_space_into(&mut Vec::new())
    }

    /// The same; the text of the first comment goes to `comment` if that is empty.
    pub(super) fn skip_space_into(&mut self, comment: &mut Vec<u8>) -> bool {
        let before = self.rest.len();
        loop {
            self.take_while(is_space);
            if self.peek() != Some(b'(') {
                return self.rest.len() < before;
            }
            let is_first = comment.is_empty();
            self.comment(|byte| {
                if is_first {
                    comment.push(byte);
                }
            });
        }
    }

    /// A comment, from its parenthesis on; one that does not end takes all that is left.
    fn comment(&mut self, mut text: impl FnMut(u8)) {
        let mut depth = 0_usize;
        while let Some(byte) = self.next() {
            match byte {
                b'(' => {
                    depth += 1;
                    if depth > 1 {
                        text(byte);
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                    text(byte);
                }
                b'\\' => self.next().into_iter().for_each(&mut text),
                _ => text(byte),
            }
        }
    }

    /// A quoted string, from its quote on, without quoting; one that does not end takes all that
    /// is left.
    pub(super) fn quoted(&mut self, text: &mut Vec<u8>) {
        self.until(b'"', text);
    }

    /// A domain literal, from its bracket on, brackets included.
    pub(super) fn domain_literal(&mut self, text: &mut Vec<u8>) {
        text.push(b'[');
        self.until(b']', text);
        text.push(b']');
    }

    fn until(&mut self, end: u8, text: &mut Vec<u8>) {
        self.next();
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => text.extend(self.next()),
                _ if byte == end => return,
                _ => text.push(byte),
            }
        }
    }
}

/// White space of a header. CR is none by the standard; alone, it has no other use.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `token` of RFC 2045 section 5.1, with 8-bit bytes.
pub(super) fn is_token(byte: u8) -> bool {
    byte > b' '
        && byte != 0x7f
        && !matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
}

pub(super) fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}
