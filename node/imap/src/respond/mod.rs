//! Every response that the server sends, spelled in one place.
//!
//! A [`Writer`] gathers responses as bytes; the owner of the connection takes them when it likes.
//! It knows syntax only: what may be said when is decided by those who call it.
//!
//! ```text
//!   writer.exists(3)                       * 3 EXISTS
//!   writer.fetch_begin(2)                  * 2 FETCH (
//!   writer.fetch_uid(7)                                UID 7
//!   writer.fetch_body(&item, 310)                            BODY[] {310}
//!      take() and send; then send 310 bytes of the message, from wherever they are;
//!   writer.fetch_end()                     )
//!   writer.ok(&tag, None, "FETCH completed")
//! ```
//!
//! A message's bytes never pass through the writer: it writes the literal's header, and the caller
//! owes exactly as many bytes as it announced.
//!
//! What always holds, whatever arguments a caller passes: a text is one line of printable ASCII
//! that cannot be read as a response code; a string is quoted, or a literal if it is long or holds
//! anything but printable ASCII; a flag that is no flag is left out. So bytes that came from a
//! client or a message cannot end a line and forge a response.
//!
//! `string` holds the encoders, `code` the response codes, `data` the untagged data, `fetch` the
//! pieces of FETCH, `search` what was found, `quota`, `metadata` and `acl` what their commands are
//! answered.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod acl;
mod code;
mod data;
mod fetch;
mod metadata;
mod quota;
mod search;
mod string;

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};

use crate::error::Error;
use crate::grammar::{Bad, Tag};

pub use code::Code;
pub use data::ListAttribute;
pub use quota::Resource;
pub use search::{SearchData, SearchScope, ThreadPart};
pub use string::{astring, id_set, nstring, quoted, string};

/// The condition that a status response tells (RFC 3501 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Done; untagged: information.
    Ok,
    /// Not done; untagged: a warning.
    No,
    /// Not understood; untagged: a protocol error without a tag.
    Bad,
    /// The server closes. Never tagged.
    Bye,
    /// The greeting of a connection that is logged in already. Never tagged.
    PreAuth,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Condition::Ok => "OK",
            Condition::No => "NO",
            Condition::Bad => "BAD",
            Condition::Bye => "BYE",
            Condition::PreAuth => "PREAUTH",
        }
    }
}

/// Responses as bytes, in the order in which they were written.
#[derive(Debug, Default)]
pub struct Writer {
    out: BytesMut,
    /// Whether mailbox names go out in UTF-8 (RFC 6855); set by the session on ENABLE.
    utf8: bool,
    /// Data items in the FETCH that is open.
    fetch_items: usize,
}

impl Writer {
    /// A writer that holds nothing.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Whether mailbox names go out in UTF-8 instead of modified UTF-7.
    pub fn set_utf8(&mut self, utf8: bool) {
        self.utf8 = utf8;
    }

    /// Whether mailbox names go out in UTF-8, and come in so.
    pub fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Bytes that wait to be taken: send them when they are many, for nothing bounds them here.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes all that was written, without a copy.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// A status response, tagged if there is a tag. The text is for people.
    pub fn status(
        &mut self,
        tag: Option<&Tag>,
        condition: Condition,
        code: Option<&Code>,
        text: &str,
    ) {
        self.put(tag.map_or("*", Tag::as_str));
        self.put(" ");
        self.put(condition.as_str());
        self.put(" ");
        if let Some(code) = code {
            self.put("[");
            code.write(&mut self.out);
            self.put("] ");
        }
        string::text(&mut self.out, text);
        self.end_line();
    }

    /// A tagged OK.
    pub fn ok(&mut self, tag: &Tag, code: Option<&Code>, text: &str) {
        self.status(Some(tag), Condition::Ok, code, text);
    }

    /// A tagged NO.
    pub fn no(&mut self, tag: &Tag, code: Option<&Code>, text: &str) {
        self.status(Some(tag), Condition::No, code, text);
    }

    /// A tagged BAD.
    pub fn bad(&mut self, tag: &Tag, code: Option<&Code>, text: &str) {
        self.status(Some(tag), Condition::Bad, code, text);
    }

    /// The answer to a command that is not in the grammar or beyond a limit: BAD, untagged if its
    /// tag could not be read.
    pub fn bad_command(&mut self, bad: &Bad) {
        let code = matches!(bad.error, Error::TooBig(_)).then_some(&Code::TooBig);
        self.status(
            bad.tag.as_ref(),
            Condition::Bad,
            code,
            &bad.error.to_string(),
        );
    }

    /// An untagged OK.
    pub fn untagged_ok(&mut self, code: Option<&Code>, text: &str) {
        self.status(None, Condition::Ok, code, text);
    }

    /// BYE.
    pub fn bye(&mut self, code: Option<&Code>, text: &str) {
        self.status(None, Condition::Bye, code, text);
    }

    /// A continuation line that asks for a literal or for IDLE's DONE.
    pub fn continuation(&mut self, text: &str) {
        self.put("+ ");
        string::text(&mut self.out, text);
        self.end_line();
    }

    /// A continuation line with a SASL challenge that is already in base64, possibly empty.
    pub fn challenge(&mut self, base64: &str) {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        debug_assert!(base64.bytes().all(is_base64), "a challenge is base64");
        self.put("+ ");
        self.put(base64);
        self.end_line();
    }

    /// Like [`Writer::take`], and lets the buffer go.
    pub fn take_all(&mut self) -> Bytes {
        std::mem::take(&mut self.out).freeze()
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put_number(&mut self, number: u64) {
        write!(self.out, "{number}").expect("a buffer in memory takes all");
    }

    fn end_line(&mut self) {
        self.put("\r\n");
    }
}
