//! ENVELOPE (RFC 3501 section 7.4.2).

use bytes::BytesMut;

use super::address::{self, Address};
use super::fields::{Budget, Kept};
use super::scanner;
use crate::respond;

/// The fields of a message's header that ENVELOPE shows, unfolded, encoded words kept.
///
/// A text is `None` if the field is absent and empty if it is there and empty. Addresses of fields
/// that stand there more than once are joined, of other fields the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Date, as it stands there.
    pub date: Option<Box<[u8]>>,
    /// Subject.
    pub subject: Option<Box<[u8]>>,
    /// From.
    pub from: Vec<Address>,
    /// Sender; where it is empty, ENVELOPE shows From.
    pub sender: Vec<Address>,
    /// Reply-To; where it is empty, ENVELOPE shows From.
    pub reply_to: Vec<Address>,
    /// To.
    pub to: Vec<Address>,
    /// Cc.
    pub cc: Vec<Address>,
    /// Bcc.
    pub bcc: Vec<Address>,
    /// In-Reply-To.
    pub in_reply_to: Option<Box<[u8]>>,
    /// Message-ID.
    pub message_id: Option<Box<[u8]>>,
}

/// A field of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnvelopeField {
    Date,
    Subject,
    From,
    Sender,
    ReplyTo,
    To,
    Cc,
    Bcc,
    InReplyTo,
    MessageId,
}

impl EnvelopeField {
    /// Whether its value is a list of addresses.
    pub(super) fn is_list(self) -> bool {
        use EnvelopeField::{Date, InReplyTo, MessageId, Subject};
        !matches!(self, Date | Subject | InReplyTo | MessageId)
    }
}

/// The envelope of a message with this header; what follows a blank line is not looked at.
pub fn envelope(header: &[u8]) -> Envelope {
    let root = scanner::scan(header).parts.into_iter().next();
    root.and_then(|root| root.envelope)
        .map_or_else(Envelope::default, |envelope| *envelope)
}

impl Envelope {
    pub(super) fn set(&mut self, field: EnvelopeField, value: &[u8], kept: &mut Kept) {
        let texts = &mut kept.texts;
        let list = match field {
            EnvelopeField::Date => return set_once(&mut self.date, value, texts),
            EnvelopeField::Subject => return set_once(&mut self.subject, value, texts),
            EnvelopeField::InReplyTo => return set_once(&mut self.in_reply_to, value, texts),
            EnvelopeField::MessageId => return set_once(&mut self.message_id, value, texts),
            EnvelopeField::From => &mut self.from,
            EnvelopeField::Sender => &mut self.sender,
            EnvelopeField::ReplyTo => &mut self.reply_to,
            EnvelopeField::To => &mut self.to,
            EnvelopeField::Cc => &mut self.cc,
            EnvelopeField::Bcc => &mut self.bcc,
        };
        address::parse(value, &mut kept.addresses, list);
    }

    /// Appends the value of ENVELOPE, parentheses included.
    pub fn write(&self, out: &mut BytesMut) {
        let or_from = |list| {
            if Vec::is_empty(list) {
                &self.from
            } else {
                list
            }
        };
        out.extend_from_slice(b"(");
        respond::nstring(out, self.date.as_deref());
        out.extend_from_slice(b" ");
        respond::nstring(out, self.subject.as_deref());
        let lists = [
            &self.from,
            or_from(&self.sender),
            or_from(&self.reply_to),
            &self.to,
            &self.cc,
            &self.bcc,
        ];
        for list in lists {
            out.extend_from_slice(b" ");
            write_addresses(list, out);
        }
        out.extend_from_slice(b" ");
        respond::nstring(out, self.in_reply_to.as_deref());
        out.extend_from_slice(b" ");
        respond::nstring(out, self.message_id.as_deref());
        out.extend_from_slice(b")");
    }
}

fn set_once(field: &mut Option<Box<[u8]>>, value: &[u8], budget: &mut Budget) {
    if field.is_none() {
        *field = budget.keep(value);
    }
}

/// Addresses follow each other without a space.
fn write_addresses(addresses: &[Address], out: &mut BytesMut) {
    if addresses.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.extend_from_slice(b"(");
    for Address {
        name,
        route,
        mailbox,
        host,
    } in addresses
    {
        out.extend_from_slice(b"(");
        for (at, text) in [name, route, mailbox, host].into_iter().enumerate() {
            out.extend_from_slice(if at > 0 { b" " } else { b"" });
            respond::nstring(out, text.as_deref());
        }
        out.extend_from_slice(b")");
    }
    out.extend_from_slice(b")");
}
