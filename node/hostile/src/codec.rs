//! A second opinion: imap-codec reads the commands that we read, and must mean the same by them;
//! and it must be able to read what we answer.
//!
//! Its types are not ours, so what it has understood is compared by writing it out again: our
//! grammar must read the original and what imap-codec wrote alike.

use imap::grammar::{CommandBody, Framer, Item};
use imap::limits::Limits;
use imap_codec::decode::Decoder as _;
use imap_codec::encode::Encoder as _;
use imap_codec::{CommandCodec, ResponseCodec};

/// What our grammar makes of commands, item by item; secrets, which `Debug` hides, are written out.
#[must_use]
pub fn ours(text: &[u8]) -> Vec<String> {
    let mut framer = Framer::new(Limits::AUTHENTICATED);
    framer.push(text);
    let mut items = Vec::new();
    while let Ok(Some(item)) = framer.next() {
        match item {
            Item::Continue => {}
            // How the client announced the message is its own affair.
            Item::Literal(literal) => {
                framer.accept_literal();
                items.push(format!("{} bytes", literal.size));
            }
            Item::Command(command) => {
                let secret = match &command.body {
                    CommandBody::Login { password, .. } => Some(password),
                    CommandBody::Authenticate { initial, .. } => initial.as_ref(),
                    _ => None,
                };
                let secret = secret.map(|secret| secret.expose());
                items.push(format!("{command:?} {secret:?}"));
            }
            other => items.push(format!("{other:?}")),
        }
    }
    items
}

/// Whether our grammar took all of it.
#[must_use]
pub fn is_accepted(items: &[String]) -> bool {
    !items.is_empty() && !items.iter().any(|item| item.starts_with("Bad("))
}

/// What imap-codec has understood of one command, in its own words; `None` if it refuses.
#[must_use]
pub fn theirs(text: &[u8]) -> Option<Vec<u8>> {
    match CommandCodec::default().decode(text) {
        Ok((b"", command)) => Some(CommandCodec::default().encode(&command).dump()),
        _ => None,
    }
}

/// Whether both may be right although they differ: INBOX in another case, which only imap-codec
/// makes `INBOX` while we leave that to `names`; and a space at the end, which is nothing to us and
/// an empty response to imap-codec.
#[must_use]
pub fn is_excused(text: &[u8]) -> bool {
    let has_other_inbox = text
        .windows(5)
        .any(|word| word.eq_ignore_ascii_case(b"INBOX") && word != b"INBOX");
    has_other_inbox || text.ends_with(b" \r\n")
}

/// Both mean the same by a command that both accept.
///
/// # Panics
/// If they do not.
pub fn agree(text: &[u8]) {
    if is_excused(text) {
        return;
    }
    let our = ours(text);
    if let (true, Some(their)) = (is_accepted(&our), theirs(text)) {
        assert_eq!(
            ours(&their),
            our,
            "{} became {}",
            text.escape_ascii(),
            their.escape_ascii()
        );
    }
}

/// The responses of a stream, one by one, each with its literals; what is left if it ends early.
#[must_use]
pub fn responses(stream: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut responses = Vec::new();
    let mut rest = stream;
    let mut end = 0;
    while let Some(feed) = rest[end..].iter().position(|&byte| byte == b'\n') {
        end += feed + 1;
        if let Some(size) = announced(&rest[..end]) {
            end = end.saturating_add(size);
            if end > rest.len() {
                break;
            }
            continue;
        }
        let (response, after) = rest.split_at(end);
        responses.push(response);
        (rest, end) = (after, 0);
    }
    (responses, rest)
}

/// Bytes of the literal that a line announces at its end.
fn announced(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let brace = line.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&line[brace + 1..]).ok()?.parse().ok()
}

/// Names of untagged responses that imap-codec reads.
const KNOWN: &[&str] = &[
    "OK",
    "NO",
    "BAD",
    "BYE",
    "PREAUTH",
    "CAPABILITY",
    "FLAGS",
    "LIST",
    "LSUB",
    "STATUS",
    "SEARCH",
    "ENABLED",
    "ID",
    "NAMESPACE",
    "EXISTS",
    "RECENT",
    "EXPUNGE",
    "FETCH",
];

/// What makes such a response one that it does not read: items and attributes of extensions.
const UNKNOWN: &[&str] = &[
    "PREVIEW ",
    "EMAILID ",
    "THREADID ",
    "SAVEDATE ",
    "BINARY[",
    "BINARY.SIZE[",
    "MAILBOXID ",
    "APPENDLIMIT ",
    "HIGHESTMODSEQ ",
    "DELETED ",
    "DELETED-STORAGE ",
    "(\"CHILDINFO\"",
    "(\"OLDNAME\"",
    "(MODSEQ ",
];

/// Whether imap-codec is expected to read a response: a condition with or without a tag, a request
/// to go on, or data that it knows, without anything of an extension that it does not.
#[must_use]
pub fn is_known(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let mut words = text.trim_end().split(' ');
    let is_condition = |word: &str| ["OK", "NO", "BAD", "BYE", "PREAUTH"].contains(&word);
    match (words.next(), words.next(), words.next()) {
        (Some("*"), Some(name), third) => {
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
            let name = if is_number {
                third.unwrap_or_default()
            } else {
                name
            };
            let is_plain = is_condition(name)
                || response.is_ascii() && !UNKNOWN.iter().any(|unknown| text.contains(unknown));
            KNOWN.contains(&name) && is_plain
        }
        (Some("+"), Some(text), _) => !text.is_empty(),
        (Some(_), Some(name), _) => is_condition(name),
        _ => false,
    }
}

/// imap-codec reads a response of ours, all of it.
///
/// # Panics
/// If it does not.
pub fn reads(response: &[u8]) {
    let decoded = ResponseCodec::default().decode(response);
    assert!(
        matches!(&decoded, Ok((b"", _))),
        "{decoded:?} of {}",
        response.escape_ascii()
    );
}
