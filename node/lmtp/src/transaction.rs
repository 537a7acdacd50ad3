//! One mail transaction: its envelope, and how far its message came.

use bytes::BytesMut;

use crate::reply::{self, Reply};
use crate::{Address, Event};

/// From MAIL to the last reply.
#[derive(Debug)]
pub(crate) struct Transaction {
    sender: Option<Address>,
    /// SIZE in octets, as announced.
    pub size_hint: Option<u64>,
    /// SMTPUTF8.
    pub utf8: bool,
    /// Accepted recipients; fixed once the message began.
    pub recipients: Vec<Address>,
    /// The first octets were announced by DATA or BDAT: no more recipients.
    pub begun: bool,
    /// `Begin` was said, and neither `End` nor `Abort` yet.
    open: bool,
    /// Octets of the message so far.
    octets: u64,
    /// The message outgrew the limit; what follows of it is dropped.
    pub too_large: bool,
}

impl Transaction {
    pub fn new(sender: Option<Address>, size_hint: Option<u64>, utf8: bool) -> Self {
        Self {
            sender,
            size_hint,
            utf8,
            recipients: Vec::new(),
            begun: false,
            open: false,
            octets: 0,
            too_large: false,
        }
    }

    /// `Begin`, when it is due: not twice, and not for a message that is too large from the first
    /// BDAT on. `octets`: the size of the message, where no SIZE told it.
    pub fn begin(&mut self, octets: Option<u64>) -> Option<Event> {
        if std::mem::replace(&mut self.begun, true) || self.too_large {
            return None;
        }
        self.open = true;
        Some(Event::Begin {
            size_hint: self.size_hint.or(octets),
            sender: self.sender.clone(),
            recipients: self.recipients.clone(),
            utf8: self.utf8,
        })
    }

    /// Counts octets of the message; `Abort` when they become too many.
    pub fn receive(&mut self, octets: u64, octets_max: u64) -> Option<Event> {
        self.octets = self.octets.saturating_add(octets);
        self.too_large |= self.octets > octets_max;
        if self.too_large { self.abort() } else { None }
    }

    /// Whether content shall be handed on.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// `Abort`, when it is due.
    pub fn abort(&mut self) -> Option<Event> {
        std::mem::replace(&mut self.open, false).then_some(Event::Abort)
    }

    /// `End` of a message that was handed on whole.
    pub fn end(&mut self) -> Option<Event> {
        std::mem::replace(&mut self.open, false).then_some(Event::End)
    }

    /// Writes one reply for each recipient, in order (RFC 2033 section 4.2).
    pub fn reply_each(&self, out: &mut BytesMut, replies: impl Iterator<Item = Reply>) {
        replies.for_each(|reply| reply.write(out, self.utf8));
    }

    /// Tells every recipient that the message was too large.
    pub fn reply_too_large(&self, out: &mut BytesMut) {
        self.reply_each(out, self.recipients.iter().map(reply::too_large_for));
    }
}
