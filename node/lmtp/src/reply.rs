//! Every reply in one place: RFC 5321 section 4.2, with the codes of RFC 3463.
//!
//! Texts say what happened and never carry bytes that could break a line: control characters
//! become `?`, and so does everything beyond ASCII unless the transaction is SMTPUTF8
//! (RFC 6531 section 3.7.4.3).

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use crate::address::{Address, Side};
use crate::config::OverQuota;
use crate::{Error, limits};

/// The answer to [`Event::Recipient`](crate::Event::Recipient).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Mail for this recipient is taken: 250 2.1.5.
    Accept,
    /// No such account: 550 5.1.1.
    NoSuchUser,
    /// The mailbox is full: 452 4.2.2 or 552 5.2.2, by [`OverQuota`].
    OverQuota,
    /// Overload: 451 4.3.2.
    Busy,
    /// The account's partition has no leader now: 451 4.4.2.
    Unavailable,
    /// No space in the whole system: 452 4.3.1.
    NoSpace,
    /// The announced size is more than this recipient takes: 552 5.3.4.
    TooLarge,
    /// Something else that may pass, in words: 451 4.3.0.
    TempFail(String),
    /// Refused for good, in words: 550 5.7.1.
    Rejected(String),
}

/// What became of a message for one recipient, the answer to [`Event::End`](crate::Event::End).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Delivered {
    /// Durable on a majority and applied (R1): 250 2.0.0.
    Ok {
        /// The delivery's id, for logs on both sides.
        id: String,
    },
    /// This very mail was delivered before: 250 2.0.0, and nothing was added.
    Duplicate,
    /// The account is gone since RCPT: 550 5.1.1.
    NoSuchUser,
    /// The message does not fit the quota: 452 4.2.2 or 552 5.2.2, by [`OverQuota`].
    OverQuota,
    /// Overload: 451 4.3.2.
    Busy,
    /// No leader, or the outcome is not known: 451 4.4.2.
    Unavailable,
    /// No space in the whole system: 452 4.3.1.
    NoSpace,
    /// More than this recipient takes: 552 5.3.4.
    TooLarge,
    /// Something else that may pass, in words: 451 4.3.0.
    TempFail(String),
    /// Refused for good, in words: 550 5.7.1.
    Rejected(String),
}

/// One reply of one line.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub code: u16,
    /// The enhanced code; empty for 354, which has none (RFC 2034 section 4).
    pub status: &'static str,
    pub text: Cow<'static, str>,
}

/// A reply with a fixed text.
pub(crate) const fn fixed(code: u16, status: &'static str, text: &'static str) -> Reply {
    Reply {
        code,
        status,
        text: Cow::Borrowed(text),
    }
}

const fn owned(code: u16, status: &'static str, text: String) -> Reply {
    Reply {
        code,
        status,
        text: Cow::Owned(text),
    }
}

impl Reply {
    /// Appends the line. `utf8`: the client may be sent UTF-8.
    pub fn write(&self, out: &mut BytesMut, utf8: bool) {
        let mut line = format!("{} ", self.code);
        if !self.status.is_empty() {
            line.push_str(self.status);
            line.push(' ');
        }
        let room = limits::REPLY_BYTES_MAX - "\r\n".len();
        for char in self.text.chars() {
            let safe = !char.is_control() && (utf8 || char.is_ascii());
            let char = if safe { char } else { '?' };
            if line.len() + char.len_utf8() > room {
                break;
            }
            line.push(char);
        }
        out.put_slice(line.as_bytes());
        out.put_slice(b"\r\n");
    }
}

pub(crate) const MAIL_OK: Reply = fixed(250, "2.1.0", "sender ok");
pub(crate) const RESET_OK: Reply = fixed(250, "2.0.0", "reset");
pub(crate) const NOOP_OK: Reply = fixed(250, "2.0.0", "ok");
pub(crate) const VRFY_OK: Reply = fixed(252, "2.0.0", "not verified here, send it and see");
pub(crate) const HELP: Reply = fixed(
    214,
    "2.0.0",
    "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
);
pub(crate) const TLS_READY: Reply = fixed(220, "2.0.0", "start TLS now");
pub(crate) const BYE: Reply = fixed(221, "2.0.0", "bye");
pub(crate) const GO_AHEAD: Reply = fixed(354, "", "send the message, end with <CRLF>.<CRLF>");

pub(crate) const TOO_MANY_ERRORS: Reply = fixed(421, "4.7.0", "too many errors, closing");
pub(crate) const SHUTDOWN: Reply = fixed(421, "4.3.2", "the server is going down, try again");
pub(crate) const IDLE: Reply = fixed(421, "4.4.2", "timeout, closing");
pub(crate) const TOO_MANY_RECIPIENTS: Reply = fixed(
    452,
    "4.5.3",
    "too many recipients, send the rest in another transaction",
);

pub(crate) const LINE_TOO_LONG: Reply = fixed(500, "5.5.2", "line too long");
pub(crate) const BARE_LF: Reply = fixed(500, "5.5.2", "a line must end with CRLF");
pub(crate) const CONTROL: Reply = fixed(500, "5.5.2", "control character in a command");
pub(crate) const NOT_UTF8: Reply = fixed(500, "5.5.2", "command is not UTF-8");
pub(crate) const UNKNOWN: Reply = fixed(500, "5.5.1", "unknown command");
pub(crate) const SAY_LHLO: Reply = fixed(500, "5.5.1", "this is LMTP, say LHLO");
pub(crate) const NOT_HERE: Reply = fixed(502, "5.5.1", "command not implemented");

pub(crate) const NO_ARGUMENT: Reply = fixed(501, "5.5.4", "argument missing");
pub(crate) const ARGUMENT: Reply = fixed(501, "5.5.4", "this command takes no argument");
pub(crate) const BAD_LHLO: Reply = fixed(501, "5.5.4", "LHLO takes one host name");
pub(crate) const BAD_MAIL: Reply = fixed(501, "5.5.4", "syntax: MAIL FROM:<address>");
pub(crate) const BAD_RCPT: Reply = fixed(501, "5.5.4", "syntax: RCPT TO:<address>");
pub(crate) const BAD_SIZE: Reply = fixed(501, "5.5.4", "SIZE takes 1 to 20 digits");
pub(crate) const BAD_UTF8: Reply = fixed(501, "5.5.4", "SMTPUTF8 takes no value");
pub(crate) const TWICE: Reply = fixed(501, "5.5.4", "parameter given twice");
pub(crate) const BAD_BDAT: Reply = fixed(
    501,
    "5.5.4",
    "cannot tell how much follows this BDAT, closing",
);
pub(crate) const BAD_BODY: Reply = fixed(555, "5.5.4", "BODY must be 7BIT or 8BITMIME");

pub(crate) const LHLO_FIRST: Reply = fixed(503, "5.5.1", "say LHLO first");
pub(crate) const MAIL_FIRST: Reply = fixed(503, "5.5.1", "say MAIL first");
pub(crate) const NESTED_MAIL: Reply = fixed(503, "5.5.1", "a transaction is open already");
pub(crate) const NO_RECIPIENTS: Reply = fixed(503, "5.5.1", "no valid recipients");
pub(crate) const IN_BDAT: Reply = fixed(503, "5.5.1", "the message has begun with BDAT");
pub(crate) const NO_TLS: Reply = fixed(502, "5.5.1", "STARTTLS is not offered");
pub(crate) const IN_TLS: Reply = fixed(503, "5.5.1", "the connection is encrypted already");
pub(crate) const NULL_RECIPIENT: Reply = fixed(553, "5.1.3", "a recipient must have an address");
pub(crate) const TOO_LARGE: Reply = fixed(552, "5.3.4", "the message is too large");

/// A parameter of MAIL or RCPT that was not offered (RFC 5321 section 4.1.1.11).
pub(crate) fn unknown_parameter(name: &str) -> Reply {
    owned(555, "5.5.4", format!("parameter {name} is not offered"))
}

/// An address that was not accepted.
pub(crate) fn bad_address(error: Error, side: Side) -> Reply {
    let status = match (error, side) {
        (Error::AddressUtf8, _) => "5.6.7",
        (_, Side::Sender) => "5.1.7",
        (_, Side::Recipient) => "5.1.3",
    };
    owned(553, status, error.to_string())
}

/// The reply to a chunk that is not the last (RFC 3030 section 2).
pub(crate) fn chunk_ok(octets: u64) -> Reply {
    owned(250, "2.0.0", format!("{octets} octets received"))
}

/// The reply for one recipient of a message that was too large.
pub(crate) fn too_large_for(recipient: &Address) -> Reply {
    outcome(&Delivered::TooLarge, recipient, OverQuota::Retry)
}

/// The reply to RCPT.
pub(crate) fn verdict(verdict: Verdict, recipient: &Address, over_quota: OverQuota) -> Reply {
    let refused = match verdict {
        Verdict::Accept => return owned(250, "2.1.5", format!("<{recipient}> recipient ok")),
        Verdict::NoSuchUser => Delivered::NoSuchUser,
        Verdict::OverQuota => Delivered::OverQuota,
        Verdict::Busy => Delivered::Busy,
        Verdict::Unavailable => Delivered::Unavailable,
        Verdict::NoSpace => Delivered::NoSpace,
        Verdict::TooLarge => Delivered::TooLarge,
        Verdict::TempFail(text) => Delivered::TempFail(text),
        Verdict::Rejected(text) => Delivered::Rejected(text),
    };
    outcome(&refused, recipient, over_quota)
}

/// The reply after the message for one recipient, who is named in it (RFC 2033 section 4.2).
pub(crate) fn outcome(delivered: &Delivered, recipient: &Address, over_quota: OverQuota) -> Reply {
    let (code, status, text): (u16, &'static str, Cow<'_, str>) = match delivered {
        Delivered::Ok { id } => (250, "2.0.0", Cow::Owned(format!("delivered, id {id}"))),
        Delivered::Duplicate => (250, "2.0.0", "delivered before".into()),
        Delivered::NoSuchUser => (550, "5.1.1", "no such user".into()),
        Delivered::OverQuota => match over_quota {
            OverQuota::Retry => (452, "4.2.2", "mailbox full".into()),
            OverQuota::Bounce => (552, "5.2.2", "mailbox full".into()),
        },
        Delivered::Busy => (451, "4.3.2", "too busy, try again".into()),
        Delivered::Unavailable => (451, "4.4.2", "not available now, try again".into()),
        Delivered::NoSpace => (452, "4.3.1", "no space left, try again".into()),
        Delivered::TooLarge => (552, "5.3.4", "the message is too large".into()),
        Delivered::TempFail(text) => (451, "4.3.0", text.into()),
        Delivered::Rejected(text) => (550, "5.7.1", text.into()),
    };
    owned(code, status, format!("<{recipient}> {text}"))
}
