//! FETCH, piece by piece, so that a message's bytes can be streamed between two pieces.

use std::fmt::Write as _;

use super::data::flag_list;
use super::{Writer, string};
use crate::grammar::{DateTime, FetchItem, Partial, Section, SectionText};

impl Writer {
    /// Opens the FETCH of the message with this sequence number. At least one item must follow,
    /// then [`Writer::fetch_end`].
    pub fn fetch_begin(&mut self, sequence_number: u32) {
        self.put("* ");
        self.put_number(u64::from(sequence_number));
        self.put(" FETCH (");
        self.fetch_items = 0;
    }

    /// Like [`Writer::fetch_begin`], by UID (RFC 9586 section 3.2).
    pub fn uid_fetch_begin(&mut self, uid: u32) {
        self.put("* ");
        self.put_number(u64::from(uid));
        self.put(" UIDFETCH (");
        self.fetch_items = 0;
    }

    /// Closes it.
    pub fn fetch_end(&mut self) {
        self.put(")");
        self.end_line();
    }

    /// FLAGS, as they are written; `\Recent` may be among them.
    pub fn fetch_flags<'a>(&mut self, flags: impl IntoIterator<Item = &'a str>) {
        self.item(&FetchItem::Flags);
        flag_list(&mut self.out, flags);
    }

    /// UID.
    pub fn fetch_uid(&mut self, uid: u32) {
        self.item(&FetchItem::Uid);
        self.put_number(u64::from(uid));
    }

    /// INTERNALDATE.
    pub fn fetch_internal_date(&mut self, date: DateTime) {
        self.item(&FetchItem::InternalDate);
        write!(self.out, "\"{date}\"").expect("a buffer in memory takes all");
    }

    /// RFC822.SIZE.
    pub fn fetch_size(&mut self, bytes: u64) {
        self.item(&FetchItem::Rfc822Size);
        self.put_number(bytes);
    }

    /// BINARY.SIZE.
    pub fn fetch_binary_size(&mut self, item: &FetchItem, bytes: u64) {
        self.item(item);
        self.put_number(bytes);
    }

    /// MODSEQ (RFC 7162).
    pub fn fetch_modseq(&mut self, modseq: u64) {
        self.item(&FetchItem::ModSeq);
        self.put("(");
        self.put_number(modseq);
        self.put(")");
    }

    /// EMAILID (RFC 8474 section 5.1): letters, digits, `_` and `-`.
    pub fn fetch_email_id(&mut self, id: &str) {
        self.item(&FetchItem::EmailId);
        self.put("(");
        self.put(id);
        self.put(")");
    }

    /// THREADID (RFC 8474 section 5.2); NIL if the message is in no thread that is known.
    pub fn fetch_thread_id(&mut self, id: Option<&str>) {
        self.item(&FetchItem::ThreadId);
        match id {
            Some(id) => {
                self.put("(");
                self.put(id);
                self.put(")");
            }
            None => self.put("NIL"),
        }
    }

    /// SAVEDATE (RFC 8514 section 4.2).
    pub fn fetch_save_date(&mut self, date: DateTime) {
        self.item(&FetchItem::SaveDate);
        write!(self.out, "\"{date}\"").expect("a buffer in memory takes all");
    }

    /// An item whose value was rendered elsewhere: ENVELOPE, BODY and BODYSTRUCTURE.
    pub fn fetch_rendered(&mut self, item: &FetchItem, value: &[u8]) {
        self.item(item);
        self.out.extend_from_slice(value);
    }

    /// Bytes of the literal that [`Writer::fetch_body`] has announced.
    pub fn fetch_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A section or an RFC822 item as a literal of `size` bytes, which the caller sends right
    /// after what was written so far. With a partial range, `size` is what is left of the section
    /// there, possibly 0.
    pub fn fetch_body(&mut self, item: &FetchItem, size: u64) {
        self.item(item);
        // What was decoded may hold NUL, for which there is `literal8` (RFC 3516 section 4.3).
        let mark = match item {
            FetchItem::Binary { .. } => "~",
            _ => "",
        };
        write!(self.out, "{mark}{{{size}}}\r\n").expect("a buffer in memory takes all");
    }

    /// A section or an RFC822 item whose bytes are at hand, quoted if it is short; NIL for a part
    /// that does not exist.
    pub fn fetch_text(&mut self, item: &FetchItem, bytes: Option<&[u8]>) {
        self.item(item);
        string::nstring(&mut self.out, bytes);
    }

    /// An item's name and the space around it.
    fn item(&mut self, item: &FetchItem) {
        if self.fetch_items > 0 {
            self.put(" ");
        }
        self.fetch_items += 1;
        let name = match item {
            FetchItem::Body => "BODY",
            FetchItem::BodyStructure => "BODYSTRUCTURE",
            FetchItem::Envelope => "ENVELOPE",
            FetchItem::Flags => "FLAGS",
            FetchItem::InternalDate => "INTERNALDATE",
            FetchItem::ModSeq => "MODSEQ",
            FetchItem::EmailId => "EMAILID",
            FetchItem::ThreadId => "THREADID",
            FetchItem::SaveDate => "SAVEDATE",
            FetchItem::Preview { .. } => "PREVIEW",
            FetchItem::Rfc822 => "RFC822",
            FetchItem::Rfc822Header => "RFC822.HEADER",
            FetchItem::Rfc822Size => "RFC822.SIZE",
            FetchItem::Rfc822Text => "RFC822.TEXT",
            FetchItem::Uid => "UID",
            FetchItem::Section {
                section, partial, ..
            } => {
                self.section(section);
                self.origin(*partial);
                ""
            }
            FetchItem::Binary { part, partial, .. } => {
                self.part("BINARY[", part);
                self.put("]");
                self.origin(*partial);
                ""
            }
            FetchItem::BinarySize { part } => {
                self.part("BINARY.SIZE[", part);
                "]"
            }
        };
        self.put(name);
        self.put(" ");
    }

    fn origin(&mut self, partial: Option<Partial>) {
        if let Some(partial) = partial {
            self.put("<");
            self.put_number(partial.offset);
            self.put(">");
        }
    }

    fn part(&mut self, before: &str, numbers: &[u32]) {
        self.put(before);
        for (at, &number) in numbers.iter().enumerate() {
            self.put(if at > 0 { "." } else { "" });
            self.put_number(u64::from(number));
        }
    }

    fn section(&mut self, section: &Section) {
        self.part("BODY[", &section.part);
        if let Some(text) = &section.text {
            self.put(if section.part.is_empty() { "" } else { "." });
            self.section_text(text);
        }
        self.put("]");
    }

    fn section_text(&mut self, text: &SectionText) {
        match text {
            SectionText::Header => self.put("HEADER"),
            SectionText::Text => self.put("TEXT"),
            SectionText::Mime => self.put("MIME"),
            SectionText::HeaderFields { except, names } => {
                self.put(if *except {
                    "HEADER.FIELDS.NOT ("
                } else {
                    "HEADER.FIELDS ("
                });
                for (at, name) in names.iter().enumerate() {
                    self.put(if at > 0 { " " } else { "" });
                    string::astring(&mut self.out, name);
                }
                self.put(")");
            }
        }
    }
}
