//! The header fields that a structure is made of, and what may be kept of them.

use super::content;
use super::envelope::EnvelopeField;
use super::header;
use super::lexer;
use super::limits::{
    FIELD_BYTES_MAX, KEPT_ADDRESS_BYTES_MAX, KEPT_BYTES_MAX, KNOWN_NAME_BYTES_MAX,
    STRING_OVERHEAD_BYTES,
};
use super::structure::Part;

/// What may still be kept of a message's headers.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) texts: Budget,
    pub(super) addresses: Budget,
}

impl Kept {
    pub(super) fn new() -> Kept {
        Kept {
            texts: Budget::new(KEPT_BYTES_MAX),
            addresses: Budget::new(KEPT_ADDRESS_BYTES_MAX),
        }
    }

    /// Bytes that were kept so far.
    pub(super) fn held_bytes(&self) -> usize {
        KEPT_BYTES_MAX - self.texts.left + KEPT_ADDRESS_BYTES_MAX - self.addresses.left
    }
}

/// Bytes that are left to be kept.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: usize,
    is_spent: bool,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        Budget {
            left: bytes,
            is_spent: false,
        }
    }

    /// Takes `bytes`. Once so much is not left, nothing more is kept, however little.
    pub(super) fn charge(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes).filter(|_| !self.is_spent);
        self.is_spent = left.is_none();
        self.left = left.unwrap_or(self.left);
        !self.is_spent
    }

    /// A copy to keep, or `None` if the budget is spent.
    pub(super) fn keep(&mut self, text: &[u8]) -> Option<Box<[u8]>> {
        self.charge(text.len() + STRING_OVERHEAD_BYTES)
            .then(|| text.into())
    }
}

/// A field that says something about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Envelope(EnvelopeField),
    Type,
    Disposition,
    Encoding,
    Id,
    Description,
    Md5,
    Language,
    Location,
}

const KNOWN: [(&[u8], Known); 18] = [
    (b"date", Known::Envelope(EnvelopeField::Date)),
    (b"subject", Known::Envelope(EnvelopeField::Subject)),
    (b"from", Known::Envelope(EnvelopeField::From)),
    (b"sender", Known::Envelope(EnvelopeField::Sender)),
    (b"reply-to", Known::Envelope(EnvelopeField::ReplyTo)),
    (b"to", Known::Envelope(EnvelopeField::To)),
    (b"cc", Known::Envelope(EnvelopeField::Cc)),
    (b"bcc", Known::Envelope(EnvelopeField::Bcc)),
    (b"in-reply-to", Known::Envelope(EnvelopeField::InReplyTo)),
    (b"message-id", Known::Envelope(EnvelopeField::MessageId)),
    (b"content-type", Known::Type),
    (b"content-disposition", Known::Disposition),
    (b"content-transfer-encoding", Known::Encoding),
    (b"content-id", Known::Id),
    (b"content-description", Known::Description),
    (b"content-md5", Known::Md5),
    (b"content-language", Known::Language),
    (b"content-location", Known::Location),
];

impl Known {
    fn by_name(name: &[u8]) -> Option<Known> {
        let known = KNOWN
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|&(_, known)| known)
    }

    /// Whether more of it may be kept.
    fn has_room(self, kept: &Kept) -> bool {
        match self {
            Known::Envelope(field) if field.is_list() => !kept.addresses.is_spent,
            _ => !kept.texts.is_spent,
        }
    }
}

/// The field that is being read, unfolded as its lines come in. Fields that we do not know, or of
/// which nothing more may be kept, are passed over.
#[derive(Debug, Default)]
pub(super) struct Collector {
    known: Option<Known>,
    value: Vec<u8>,
}

impl Collector {
    /// A line, without its end, that does not begin with white space.
    pub(super) fn begin(&mut self, line: &[u8], kept: &Kept) {
        self.value.clear();
        let head = line
            .split_at_checked(KNOWN_NAME_BYTES_MAX)
            .map_or(line, |(head, _)| head);
        let colon = head.iter().position(|&byte| byte == b':');
        let parts = colon.and_then(|colon| line.split_at_checked(colon));
        self.known = parts
            .and_then(|(name, _)| Known::by_name(name.trim_ascii_end()))
            .filter(|known| known.has_room(kept));
        if let (Some(_), Some((_, value))) = (self.known, parts) {
            self.add(value.strip_prefix(b":").unwrap_or(value));
        }
    }

    /// A line that does.
    pub(super) fn go_on(&mut self, line: &[u8]) {
        if self.known.is_none() {
            return;
        }
        match header::after_fold(line) {
            Some(text) => {
                self.add(b" ");
                self.add(text);
            }
            None => self.add(line),
        }
    }

    /// The field, if we know it, once its last line was read.
    pub(super) fn end(&mut self) -> Option<(Known, &[u8])> {
        self.known
            .take()
            .map(|known| (known, lexer::trim(&self.value)))
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.value.capacity()
    }

    fn add(&mut self, text: &[u8]) {
        let room = FIELD_BYTES_MAX - self.value.len();
        self.value
            .extend_from_slice(text.get(..room).unwrap_or(text));
    }
}

/// Puts a field into its part. `is_typed` says whether a Content-Type was; the first one that can
/// be read counts. Fields of an envelope count only where there is one.
pub(super) fn set(
    part: &mut Part,
    is_typed: &mut bool,
    (known, value): (Known, &[u8]),
    kept: &mut Kept,
) {
    let budget = &mut kept.texts;
    match known {
        Known::Envelope(field) => {
            if let Some(envelope) = &mut part.envelope {
                envelope.set(field, value, kept);
            }
        }
        Known::Type if *is_typed => {}
        Known::Type => {
            if let Some((media_type, params)) = content::media_type(value, budget) {
                part.media_type = media_type;
                part.params = params;
                *is_typed = true;
            }
        }
        Known::Disposition if part.disposition.is_none() => {
            part.disposition = content::disposition(value, budget);
        }
        Known::Disposition => {}
        Known::Encoding => set_once(&mut part.encoding, content::token(value), budget),
        Known::Id => set_once(&mut part.id, value, budget),
        Known::Description => set_once(&mut part.description, value, budget),
        Known::Md5 => set_once(&mut part.md5, value, budget),
        Known::Location => set_once(&mut part.location, value, budget),
        Known::Language if part.language.is_empty() => {
            part.language = content::languages(value, budget);
        }
        Known::Language => {}
    }
}

fn set_once(field: &mut Option<Box<[u8]>>, value: &[u8], budget: &mut Budget) {
    if field.is_none() && !value.is_empty() {
        *field = budget.keep(value);
    }
}
