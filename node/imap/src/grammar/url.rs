//! IMAP URLs that name a message or a part of one (RFC 5092), as CATENATE takes them.
//!
//! ```text
//!   /INBOX;UIDVALIDITY=785799047/;UID=113330/;SECTION=1.5/;PARTIAL=0.1024
//!   /;UID=20/;SECTION=1.MIME and ;UID=20      in the selected mailbox
//! ```
//!
//! Only URLs relative to the session are known, which name messages of its own account: an
//! absolute one names a server by a name that we need not have, and all others are elsewhere.

use bytes::Bytes;

use super::fetch::{self, Partial, Section};
use super::lexer::{Cursor, number_of};

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageUrl {
    /// The mailbox's name in UTF-8; `None` for the selected one.
    pub mailbox: Option<Bytes>,
    /// What the mailbox's UIDVALIDITY must be.
    pub uid_validity: Option<u32>,
    /// The message.
    pub uid: u32,
    /// Which part of it, all if empty.
    pub section: Section,
    /// Which bytes of that (RFC 5550 section 3.1): without a length, all from the offset on.
    pub partial: Option<Partial>,
}

impl MessageUrl {
    /// Reads a URL; `None` if it is none that names a message of this account.
    pub fn parse(url: &[u8]) -> Option<MessageUrl> {
        if !url.is_ascii() {
            return None;
        }
        let (path, uid_on) = match url.first()? {
            b';' => (None, url),
            _ => {
                let path = url.strip_prefix(b"/")?;
                if path.first() == Some(&b'/') {
                    return None;
                }
                if path.starts_with(b";") {
                    (None, path)
                } else {
                    let at = find(path, b"/;UID=")?;
                    (Some(path.get(..at)?), path.get(at + 1..)?)
                }
            }
        };
        let (mailbox, uid_validity) = match path {
            Some(path) => mailbox(path)?,
            None => (None, None),
        };
        let rest = strip(uid_on, b";UID=")?;
        let (uid, mut rest) = number(rest)?;
        let uid = u32::try_from(uid).ok().filter(|&uid| uid > 0)?;
        let mut section = Section::default();
        if let Some(from) = strip(rest, b"/;SECTION=") {
            let end = find(from, b"/;PARTIAL=").unwrap_or(from.len());
            section = self::section(from.get(..end)?)?;
            rest = from.get(end..)?;
        }
        let mut partial = None;
        if let Some(from) = strip(rest, b"/;PARTIAL=") {
            let (range, after) = self::partial(from)?;
            partial = Some(range);
            rest = after;
        }
        rest.is_empty().then_some(MessageUrl {
            mailbox,
            uid_validity,
            uid,
            section,
            partial,
        })
    }
}

/// `enc-mailbox [uidvalidity]`.
fn mailbox(path: &[u8]) -> Option<(Option<Bytes>, Option<u32>)> {
    let (name, validity) = match find(path, b";UIDVALIDITY=") {
        Some(at) => {
            let (number, rest) = number(strip(path.get(at..)?, b";UIDVALIDITY=")?)?;
            let validity = u32::try_from(number).ok().filter(|_| rest.is_empty())?;
            (path.get(..at)?, Some(validity))
        }
        None => (path, None),
    };
    let name = decode(name).filter(|name| !name.is_empty())?;
    Some((Some(name), validity))
}

fn section(text: &[u8]) -> Option<Section> {
    let mut cursor = Cursor::new(decode(text).filter(|text| !text.is_empty())?);
    let section = fetch::section(&mut cursor).ok()?;
    cursor.at_end().then_some(section)
}

/// `partial-range`: an offset, and perhaps a length.
fn partial(text: &[u8]) -> Option<(Partial, &[u8])> {
    let (offset, rest) = number(text)?;
    let Some(length) = rest.strip_prefix(b".") else {
        let len = u64::MAX;
        return Some((Partial { offset, len }, rest));
    };
    let (len, rest) = number(length)?;
    (len > 0).then_some((Partial { offset, len }, rest))
}

/// The number that `text` begins with, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    let is_number = !digits.is_empty();
    number_of(digits)
        .filter(|_| is_number)
        .map(|number| (number, rest))
}

/// What follows `prefix`, in any case.
fn strip<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Where `wanted` stands, in any case.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window.eq_ignore_ascii_case(wanted))
}

/// Undoes percent-encoding. A byte that must be encoded and is not makes it no URL.
fn decode(text: &[u8]) -> Option<Bytes> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(*bytes.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            decoded.push(u8::try_from(value).ok()?);
        } else {
            let is_plain = byte.is_ascii_graphic() && !b";\"<>\\^`{|}".contains(&byte);
            // Clients are known to write header names with their spaces.
            if !is_plain && byte != b' ' {
                return None;
            }
            decoded.push(byte);
        }
    }
    Some(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::SectionText;

    fn parse(url: &str) -> Option<MessageUrl> {
        MessageUrl::parse(url.as_bytes())
    }

    #[test]
    fn parts_of_messages() {
        let url = parse("/INBOX;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9").unwrap();
        assert_eq!(url.mailbox.as_deref(), Some(b"INBOX".as_slice()));
        assert_eq!((url.uid_validity, url.uid), (Some(785_799_047), 113_330));
        assert_eq!((url.section.part, url.section.text), (vec![1, 5, 9], None));
        assert_eq!(url.partial, None);

        let url = parse("/a%2Fb%20c/d/;UID=20/;SECTION=2.HEADER.FIELDS%20(To%20Cc)/;PARTIAL=5.7");
        let url = url.unwrap();
        assert_eq!(url.mailbox.as_deref(), Some(b"a/b c/d".as_slice()));
        let names = vec![Bytes::from("To"), Bytes::from("Cc")];
        let except = false;
        let text = Some(SectionText::HeaderFields { except, names });
        assert_eq!(
            url.section,
            Section {
                part: vec![2],
                text
            }
        );
        assert_eq!(url.partial, Some(Partial { offset: 5, len: 7 }));

        let url = parse("/x/;uid=1/;partial=9").unwrap();
        let len = u64::MAX;
        assert_eq!(url.partial, Some(Partial { offset: 9, len }));
        assert_eq!(parse(";UID=7"), parse("/;UID=7"));
        assert_eq!(parse(";UID=7").unwrap().mailbox, None);
    }

    #[test]
    fn no_messages_of_this_account() {
        let bad = [
            "",
            "/",
            "INBOX",
            "/INBOX",
            "/INBOX/;UID=",
            "/INBOX/;UID=0",
            "/INBOX/;UID=4294967296",
            "/INBOX/;UID=1/",
            "/INBOX/;UID=1x",
            "/INBOX;UIDVALIDITY=/;UID=1",
            "/INBOX;UIDVALIDITY=1x/;UID=1",
            "/INBOX/;UID=1/;SECTION=",
            "/INBOX/;UID=1/;SECTION=NOPE",
            "/INBOX/;UID=1/;PARTIAL=",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1/;PARTIAL=99999999999999999999",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal:0",
            "/IN%4/;UID=1",
            "/IN%zz/;UID=1",
            "/IN;BOX/;UID=1",
            "//example.org/INBOX/;UID=1",
            "imap://alice@example.org/INBOX/;UID=1",
            "http://example.org/",
            "/\u{f6}/;UID=1",
        ];
        for url in bad {
            assert_eq!(parse(url), None, "{url}");
        }
    }
}
