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
