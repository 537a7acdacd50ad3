//! The cursor that every parser reads with: the lexical rules of RFC 3501 section 9.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::limits;

/// A place in a command that lies in one piece, literals inline. What it returns shares the bytes.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    text: Bytes,
    at: usize,
}

impl Cursor {
    pub(super) fn new(text: Bytes) -> Cursor {
        Cursor { text, at: 0 }
    }

    /// The next byte, not consumed.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The byte after the next one.
    pub(super) fn peek_second(&self) -> Option<u8> {
        self.text.get(self.at + 1).copied()
    }

    pub(super) fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Consumes `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<()> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(Error::Syntax(otherwise))
        }
    }

    /// Exactly one space, as between all arguments.
    pub(super) fn space(&mut self) -> Result<()> {
        self.expect(b' ', "a space and an argument expected")
    }

    /// Whether a space and something else is next, as before an optional argument.
    pub(super) fn has_argument(&self) -> bool {
        self.peek() == Some(b' ') && self.peek_second().is_some_and(|byte| byte != b' ')
    }

    /// Whether nothing but spaces is left.
    pub(super) fn has_only_spaces(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.iter().all(|&byte| byte == b' ')
    }

    /// The end of the command. Trailing spaces are forgiven, for some clients send them.
    pub(super) fn end(&mut self) -> Result<()> {
        while self.eat(b' ') {}
        if self.at_end() {
            Ok(())
        } else {
            Err(Error::Syntax("more arguments than expected"))
        }
    }

    /// The longest run of bytes that `belongs` accepts, possibly empty.
    pub(super) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> Bytes {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest
            .iter()
            .position(|&byte| !belongs(byte))
            .unwrap_or(rest.len());
        let run = self.text.slice(self.at..self.at + len);
        self.at += len;
        run
    }

    /// A word of the protocol itself, in upper case: letters, digits, `.`, `-` and `_`. Empty if
    /// none is next.
    pub(super) fn word(&mut self) -> String {
        let run = self.take_while(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        ascii(&run).to_ascii_uppercase()
    }

    /// Whether a [`Cursor::word`] equal to `word` is next; consumes it then.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let start = self.at;
        let is_next = self.word() == word;
        if !is_next {
            self.at = start;
        }
        is_next
    }

    /// The next `size` bytes, whatever they are; `None` if there are fewer.
    pub(super) fn take(&mut self, size: u64) -> Option<Bytes> {
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| self.at.checked_add(size))
            .filter(|&end| end <= self.text.len())?;
        let taken = self.text.slice(self.at..end);
        self.at = end;
        Some(taken)
    }

    /// Whether these bytes are next, letters in any case; consumes them then.
    pub(super) fn eat_text(&mut self, text: &[u8]) -> bool {
        let next = self.text.get(self.at..self.at + text.len());
        let is_next = next.is_some_and(|next| next.eq_ignore_ascii_case(text));
        self.at += if is_next { text.len() } else { 0 };
        is_next
    }

    /// `atom`: one or more ATOM-CHAR.
    pub(super) fn atom(&mut self, otherwise: &'static str) -> Result<Bytes> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() {
            Err(Error::Syntax(otherwise))
        } else {
            Ok(atom)
        }
    }

    /// `astring`: one or more ASTRING-CHAR, or a string.
    pub(super) fn astring(&mut self) -> Result<Bytes> {
        self.run_or_string(is_astring_char)
    }

    /// `list-mailbox`: like `astring`, with wildcards.
    pub(super) fn list_mailbox(&mut self) -> Result<Bytes> {
        self.run_or_string(|byte| is_astring_char(byte) || byte == b'*' || byte == b'%')
    }

    fn run_or_string(&mut self, belongs: impl Fn(u8) -> bool) -> Result<Bytes> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let run = self.take_while(belongs);
                if run.is_empty() {
                    Err(Error::Syntax("a string expected"))
                } else {
                    Ok(run)
                }
            }
        }
    }

    /// `string`: quoted or literal.
    pub(super) fn string(&mut self) -> Result<Bytes> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            Some(b'~') => Err(Error::Syntax("binary literals are not supported")),
            _ => Err(Error::Syntax("a quoted string or a literal expected")),
        }
    }

    /// `nstring`: a string or NIL.
    pub(super) fn nstring(&mut self) -> Result<Option<Bytes>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string().map(Some);
        }
        if self.eat_word("NIL") {
            Ok(None)
        } else {
            Err(Error::Syntax("a string or NIL expected"))
        }
    }

    /// `nstring` or `literal8`, which may hold NUL (RFC 5464 section 5).
    pub(super) fn binary_nstring(&mut self) -> Result<Option<Bytes>> {
        if self.eat(b'~') {
            return self.any_literal().map(Some);
        }
        self.nstring()
    }

    fn quoted(&mut self) -> Result<Bytes> {
        self.expect(b'"', "a quote expected")?;
        let plain = self.take_while(is_quoted_plain);
        let content = match self.peek() {
            Some(b'\\') => self.quoted_with_escapes(&plain)?,
            _ => plain,
        };
        if !self.eat(b'"') {
            return Err(Error::Syntax(match self.peek() {
                Some(0) => "NUL in a quoted string",
                _ => "a quoted string does not end on its line",
            }));
        }
        // RFC 6855 and RFC 9051 allow UTF-8 in quotes, RFC 3501 no 8-bit at all: accepting UTF-8
        // cannot be misread.
        if std::str::from_utf8(&content).is_err() {
            return Err(Error::Syntax("a quoted string is not UTF-8"));
        }
        Ok(content)
    }

    /// The rest of a quoted string from its first escape on; the closing quote is left.
    fn quoted_with_escapes(&mut self, plain: &[u8]) -> Result<Bytes> {
        let mut content = plain.to_vec();
        while self.eat(b'\\') {
            match self.peek() {
                Some(escaped @ (b'"' | b'\\')) => content.push(escaped),
                _ => return Err(Error::Syntax("only a quote or a backslash may be escaped")),
            }
            self.at += 1;
            content.extend_from_slice(&self.take_while(is_quoted_plain));
        }
        Ok(content.into())
    }

    fn literal(&mut self) -> Result<Bytes> {
        let content = self.any_literal()?;
        if content.contains(&0) {
            Err(Error::Syntax("NUL in a literal"))
        } else {
            Ok(content)
        }
    }

    fn any_literal(&mut self) -> Result<Bytes> {
        self.expect(b'{', "a literal expected")?;
        let size = self.number64()?;
        self.eat(b'+');
        self.expect(b'}', "a literal's size does not end")?;
        self.eat(b'\r');
        self.expect(b'\n', "a literal's size does not end its line")?;
        self.take(size)
            .ok_or(Error::Syntax("a literal is shorter than announced"))
    }

    /// `number`: 32 bits.
    pub(super) fn number(&mut self) -> Result<u32> {
        u32::try_from(self.number64()?).map_err(|_| Error::Syntax("a number is beyond 32 bits"))
    }

    /// `nz-number`: 32 bits, not zero, no leading zero.
    pub(super) fn nz_number(&mut self) -> Result<u32> {
        match self.peek() {
            Some(b'1'..=b'9') => self.number(),
            _ => Err(Error::Syntax("a number above zero expected")),
        }
    }

    /// `number64` and `mod-sequence-valzer`: 0 to 2^63-1 (RFC 7162, RFC 9051).
    pub(super) fn number64(&mut self) -> Result<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(Error::Syntax("a number expected"));
        }
        number_of(&digits).ok_or(Error::Syntax("a number is beyond 63 bits"))
    }

    /// `digits` digits, no more and no fewer, as in dates.
    pub(super) fn fixed_digits(&mut self, digits: usize) -> Result<u32> {
        let mut value = 0u32;
        for _ in 0..digits {
            match self.peek() {
                Some(digit @ b'0'..=b'9') => value = value * 10 + u32::from(digit - b'0'),
                _ => return Err(Error::Syntax("a date or time lacks digits")),
            }
            self.at += 1;
        }
        Ok(value)
    }

    /// One or more items in parentheses, a space between them, at most `max`.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut item: impl FnMut(&mut Cursor) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(b'(', "an opening parenthesis expected")?;
        let mut items = vec![item(self)?];
        while self.eat(b' ') {
            if items.len() == max {
                return Err(Error::TooBig("too many items in one list"));
            }
            items.push(item(self)?);
        }
        self.expect(b')', "a closing parenthesis expected")?;
        Ok(items)
    }

    /// Like [`Cursor::list`], also accepting `()`.
    pub(super) fn list_or_empty<T>(
        &mut self,
        max: usize,
        item: impl FnMut(&mut Cursor) -> Result<T>,
    ) -> Result<Vec<T>> {
        if self.peek() == Some(b'(') && self.peek_second() == Some(b')') {
            self.at += 2;
            return Ok(Vec::new());
        }
        self.list(max, item)
    }

    /// A tag and nothing after it: ASTRING-CHAR without `+`.
    pub(super) fn tag(&mut self) -> Option<Bytes> {
        let tag = self.take_while(|byte| is_astring_char(byte) && byte != b'+');
        let is_ended = matches!(self.peek(), None | Some(b' '));
        (is_ended && !tag.is_empty() && tag.len() <= limits::TAG_BYTES_MAX).then_some(tag)
    }
}

/// The value of decimal digits, or `None` beyond 2^63-1.
pub(super) fn number_of(digits: &[u8]) -> Option<u64> {
    let value = digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    (value <= limits::MODSEQ_MAX).then_some(value)
}

/// Text whose bytes were already checked to be ASCII.
pub(super) fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("only ASCII was taken")
}

/// `ATOM-CHAR`: any 7-bit character except controls, space and `( ) { % * " \ ]`.
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

/// `ASTRING-CHAR`: `ATOM-CHAR` and `]`.
pub(crate) fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// What stands for itself between quotes.
fn is_quoted_plain(byte: u8) -> bool {
    !matches!(byte, 0 | b'\r' | b'\n' | b'"' | b'\\')
}
