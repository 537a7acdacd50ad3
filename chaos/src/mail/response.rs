//! What an IMAP server says, as far as a judge needs it (RFC 3501 section 7).
//!
//! [`Framer`] finds where a response ends, literals included; [`parse`] takes one apart. Both are
//! pure and take any bytes: what they do not understand is an error or [`Untagged::Other`], so that
//! a strange answer ends up in the report and not in a panic.

use crate::history::Flags;

/// The status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// The server hangs up.
    Bye,
    /// Logged in already.
    PreAuth,
}

/// One response.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// `+ ...`
    Continue,
    /// The end of a command.
    Tagged {
        /// The command's tag.
        tag: String,
        /// What became of it.
        status: Status,
        /// What stands in brackets.
        code: Option<Code>,
        /// The rest.
        text: String,
    },
    /// Anything else.
    Untagged(Untagged),
}

/// A response without a tag.
#[derive(Clone, Debug, PartialEq)]
pub enum Untagged {
    /// `* OK [code] text` and its like.
    Status {
        /// Which.
        status: Status,
        /// What stands in brackets.
        code: Option<Code>,
        /// The rest.
        text: String,
    },
    /// So many messages are in the mailbox.
    Exists(u32),
    /// The message with this sequence number is gone.
    Expunge(u32),
    /// What was fetched, or flags that changed.
    Fetch(Fetched),
    /// Nothing that a judge needs.
    Other(String),
}

/// A response code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// UIDVALIDITY of the mailbox.
    UidValidity(u32),
    /// Its next UID.
    UidNext(u32),
    /// Its highest mod-sequence.
    HighestModSeq(u64),
    /// UIDVALIDITY and UID of an appended message.
    AppendUid(u32, u32),
    /// UIDVALIDITY of the target, UIDs in the source and in the target.
    CopyUid(u32, Vec<u32>, Vec<u32>),
    /// Any other.
    Other(String),
}

/// One FETCH response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The sequence number.
    pub sequence: u32,
    /// The UID, if told.
    pub uid: Option<u32>,
    /// The flags, if told.
    pub flags: Option<Flags>,
    /// Bytes of the whole message, if told.
    pub size: Option<u64>,
    /// The content of the one body section, if told.
    pub body: Option<Vec<u8>>,
}

/// UIDs in one set are at most this many; no client here asks for more.
const SET_MAX: usize = 100_000;

/// Finds the end of a response in bytes that arrive piece by piece, looking at each byte once.
#[derive(Debug, Default)]
pub struct Framer {
    /// Bytes before this were looked at.
    seen: usize,
    /// Where the current line began.
    line: usize,
}

impl Framer {
    /// The length of the first response in `buffer`, once it is whole. The same bytes and more must
    /// be given until then.
    pub fn next(&mut self, buffer: &[u8]) -> Option<usize> {
        loop {
            let rest = buffer.get(self.seen..)?;
            let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
                self.seen = (buffer.len().max(1) - 1).max(self.seen);
                return None;
            };
            let line_end = self.seen + end;
            let after = line_end + 2;
            match literal_at_end(&buffer[self.line..line_end]) {
                Some(length) => {
                    self.seen = after.saturating_add(length);
                    self.line = self.seen;
                }
                None => {
                    *self = Self::default();
                    return Some(after);
                }
            }
        }
    }
}

/// The length of the literal that a line announces at its end.
fn literal_at_end(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// Takes one whole response apart.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse(frame: &[u8]) -> Result<Response, String> {
    let line = frame.strip_suffix(b"\r\n").ok_or("no line")?;
    if line.first() == Some(&b'+') {
        return Ok(Response::Continue);
    }
    let mut input = Input { bytes: line, at: 0 };
    let tag = input.word()?;
    if tag == "*" {
        return untagged(&mut input).map(Response::Untagged);
    }
    let status = status_of(&input.word()?).ok_or("a tag without a status")?;
    let (code, text) = status_text(&input.rest())?;
    Ok(Response::Tagged {
        tag,
        status,
        code,
        text,
    })
}

fn untagged(input: &mut Input<'_>) -> Result<Untagged, String> {
    let word = input.word()?;
    if let Some(status) = status_of(&word) {
        let (code, text) = status_text(&input.rest())?;
        return Ok(Untagged::Status { status, code, text });
    }
    let Ok(number) = word.parse::<u32>() else {
        return Ok(Untagged::Other(format!("{word} {}", input.rest())));
    };
    match input.word()?.to_ascii_uppercase().as_str() {
        "EXISTS" => Ok(Untagged::Exists(number)),
        "EXPUNGE" => Ok(Untagged::Expunge(number)),
        "FETCH" => fetched(number, input).map(Untagged::Fetch),
        other => Ok(Untagged::Other(format!("{number} {other}"))),
    }
}

fn status_of(word: &str) -> Option<Status> {
    match word.to_ascii_uppercase().as_str() {
        "OK" => Some(Status::Ok),
        "NO" => Some(Status::No),
        "BAD" => Some(Status::Bad),
        "BYE" => Some(Status::Bye),
        "PREAUTH" => Some(Status::PreAuth),
        _ => None,
    }
}

fn status_text(rest: &str) -> Result<(Option<Code>, String), String> {
    let Some(inner) = rest.strip_prefix('[') else {
        return Ok((None, rest.to_owned()));
    };
    let (code, text) = inner
        .split_once(']')
        .ok_or("a response code without an end")?;
    Ok((Some(code_of(code)?), text.trim_start().to_owned()))
}

fn code_of(code: &str) -> Result<Code, String> {
    let mut words = code.split(' ');
    let name = words.next().unwrap_or_default().to_ascii_uppercase();
    let mut number = || -> Result<u64, String> {
        let word = words.next().unwrap_or_default();
        word.parse().map_err(|_| format!("no number in [{code}]"))
    };
    let small = |number: u64| u32::try_from(number).map_err(|_| format!("too big: [{code}]"));
    Ok(match name.as_str() {
        "UIDVALIDITY" => Code::UidValidity(small(number()?)?),
        "UIDNEXT" => Code::UidNext(small(number()?)?),
        "HIGHESTMODSEQ" => Code::HighestModSeq(number()?),
        "APPENDUID" => Code::AppendUid(small(number()?)?, small(number()?)?),
        "COPYUID" => {
            let validity = small(number()?)?;
            let from = set_of(words.next().unwrap_or_default())?;
            let to = set_of(words.next().unwrap_or_default())?;
            if from.len() != to.len() {
                return Err(format!("uneven sets: [{code}]"));
            }
            Code::CopyUid(validity, from, to)
        }
        _ => Code::Other(code.to_owned()),
    })
}

/// The numbers of a set such as `1:3,7`, in its order.
fn set_of(set: &str) -> Result<Vec<u32>, String> {
    let bad = || format!("no set: {set:?}");
    let mut numbers = Vec::new();
    for part in set.split(',') {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let from: u32 = from.parse().map_err(|_| bad())?;
        let to: u32 = to.parse().map_err(|_| bad())?;
        let (low, high) = (from.min(to), from.max(to));
        if numbers.len() + (high - low) as usize >= SET_MAX {
            return Err(format!("a set of too many: {set:?}"));
        }
        numbers.extend(low..=high);
    }
    Ok(numbers)
}

fn fetched(sequence: u32, input: &mut Input<'_>) -> Result<Fetched, String> {
    let mut fetched = Fetched {
        sequence,
        ..Fetched::default()
    };
    input.expect(b'(')?;
    while !input.skip(b')') {
        let name = input.item_name()?.to_ascii_uppercase();
        input.expect(b' ')?;
        match name.as_str() {
            "UID" => fetched.uid = Some(input.number()?),
            "RFC822.SIZE" => fetched.size = Some(u64::from(input.number()?)),
            "FLAGS" => fetched.flags = Some(flags_of(&input.list()?)),
            name if name.starts_with("BODY[") => fetched.body = Some(input.string()?),
            _ => input.value()?,
        }
        input.skip(b' ');
    }
    Ok(fetched)
}

fn flags_of(words: &[u8]) -> Flags {
    Flags::parse(&String::from_utf8_lossy(words))
}

/// The rest of a response that is being taken apart.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.skip(byte) {
            return Ok(());
        }
        let near = &self.bytes[self.at..self.bytes.len().min(self.at + 20)];
        let near = String::from_utf8_lossy(near);
        Err(format!("expected {:?} before {near:?}", char::from(byte)))
    }

    fn rest(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.bytes[self.at..]).into_owned();
        self.at = self.bytes.len();
        rest
    }

    /// Up to the next space, which is skipped.
    fn word(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        if end == 0 {
            return Err("expected a word".into());
        }
        self.at = (self.at + end + 1).min(self.bytes.len());
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// The name of a FETCH item; what stands in its brackets may hold spaces.
    fn item_name(&mut self) -> Result<String, String> {
        let start = self.at;
        let mut in_brackets = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'[' => in_brackets = true,
                b']' => in_brackets = false,
                b' ' | b')' if !in_brackets => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.at == start {
            return Err("expected the name of an item".into());
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned())
    }

    fn number(&mut self) -> Result<u32, String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = String::from_utf8_lossy(&self.bytes[start..self.at]);
        digits
            .parse()
            .map_err(|_| format!("expected a number, not {digits:?}"))
    }

    /// What stands between parentheses; lists in it are not looked into.
    fn list(&mut self) -> Result<Vec<u8>, String> {
        self.expect(b'(')?;
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| *byte == b')')
            .ok_or("a list without an end")?;
        self.at += end + 1;
        Ok(rest[..end].to_vec())
    }

    /// A literal, a quoted string or NIL.
    fn string(&mut self) -> Result<Vec<u8>, String> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                let length = self.number()? as usize;
                self.expect(b'}')?;
                self.expect(b'\r')?;
                self.expect(b'\n')?;
                let end = self.at.saturating_add(length);
                let bytes = self
                    .bytes
                    .get(self.at..end)
                    .ok_or("a literal without an end")?;
                self.at = end;
                Ok(bytes.to_vec())
            }
            Some(b'"') => {
                self.at += 1;
                let mut bytes = Vec::new();
                loop {
                    match self.peek().ok_or("a string without an end")? {
                        b'"' => break,
                        b'\\' => self.at += 1,
                        _ => {}
                    }
                    bytes.push(self.peek().ok_or("a string without an end")?);
                    self.at += 1;
                }
                self.at += 1;
                Ok(bytes)
            }
            _ => self.value().map(|()| Vec::new()),
        }
    }

    /// Any value, which is skipped. Lists may be nested, but this does not recurse.
    fn value(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or("a value without an end")? {
                b'(' => {
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth == 0 => return Ok(()),
                b')' => {
                    depth -= 1;
                    self.at += 1;
                }
                b'{' | b'"' => drop(self.string()?),
                b' ' if depth == 0 => return Ok(()),
                _ => self.at += 1,
            }
            if depth == 0 && matches!(self.peek(), None | Some(b' ' | b')')) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Response {
        let mut framer = Framer::default();
        assert_eq!(framer.next(text.as_bytes()), Some(text.len()));
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn codes() {
        let Response::Tagged {
            tag,
            status,
            code,
            text,
        } = one("a7 OK [COPYUID 9 4,6:7 11:13] Done\r\n")
        else {
            panic!("not tagged")
        };
        assert_eq!(
            (tag.as_str(), status, text.as_str()),
            ("a7", Status::Ok, "Done")
        );
        assert_eq!(
            code,
            Some(Code::CopyUid(9, vec![4, 6, 7], vec![11, 12, 13]))
        );
        let select = one("* OK [HIGHESTMODSEQ 715194045007] Highest\r\n");
        let Response::Untagged(Untagged::Status { code, .. }) = select else {
            panic!("{select:?}")
        };
        assert_eq!(code, Some(Code::HighestModSeq(715_194_045_007)));
        assert!(parse(b"a OK [APPENDUID 1]\r\n").is_err());
        assert!(parse(b"a OK [COPYUID 1 1:2 5]\r\n").is_err());
        assert!(parse(b"a OK [COPYUID 1 1:4294967295 5]\r\n").is_err());
    }

    #[test]
    fn a_fetch_with_a_literal_in_the_middle() {
        let text = "* 3 FETCH (UID 12 FLAGS (\\Seen $Chaos1 \\Recent) \
                    BODY[HEADER.FIELDS (X-Chaos-Serial)] {9}\r\nab}\r\n)) \r RFC822.SIZE 77 \
                    ENVELOPE (\"a)\" NIL ((NIL \"b\")) {3}\r\n) ( x))\r\n";
        let Response::Untagged(Untagged::Fetch(fetched)) = one(text) else {
            panic!("no FETCH")
        };
        assert_eq!(
            (fetched.sequence, fetched.uid, fetched.size),
            (3, Some(12), Some(77))
        );
        assert_eq!(fetched.flags, Some(Flags::SEEN.with(Flags::FIRST)));
        assert_eq!(fetched.body.as_deref(), Some(b"ab}\r\n)) \r".as_slice()));
        let quoted = one("* 1 FETCH (BODY[1]<0> \"a\\\"b\" UID 4)\r\n");
        let Response::Untagged(Untagged::Fetch(fetched)) = quoted else {
            panic!("no FETCH")
        };
        assert_eq!(fetched.body.as_deref(), Some(b"a\"b".as_slice()));
    }

    #[test]
    fn others() {
        assert_eq!(one("+ go\r\n"), Response::Continue);
        assert_eq!(
            one("* 23 EXISTS\r\n"),
            Response::Untagged(Untagged::Exists(23))
        );
        assert_eq!(
            one("* 4 expunge\r\n"),
            Response::Untagged(Untagged::Expunge(4))
        );
        let other = one("* LIST (\\HasNoChildren) \"/\" INBOX\r\n");
        assert!(matches!(other, Response::Untagged(Untagged::Other(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(parse(&[&bytes[..], b"\r\n"].concat()));
            drop(parse(&[b"* 1 FETCH (", &bytes[..], b"\r\n"].concat()));
        }

        #[test]
        fn pieces_do_not_matter(cut in 0_usize..60) {
            let text = b"* 1 FETCH (BODY[] {5}\r\n\r\n\r\n1 X {2}\r\nab)\r\n* 2 EXISTS\r\n";
            let mut framer = Framer::default();
            let whole = Framer::default().next(text);
            match framer.next(&text[..cut.min(text.len())]) {
                Some(found) => prop_assert_eq!(Some(found), whole),
                None => prop_assert_eq!(framer.next(text), whole),
            }
        }
    }
}
