//! METADATA (RFC 5464 section 4.4.1).

use bytes::Bytes;

use super::{Writer, string};

impl Writer {
    /// METADATA: entries of a mailbox, its name in UTF-8 and empty for the server, with their
    /// values; NIL for an entry that is not set. Nothing is written for no entries.
    pub fn metadata(&mut self, mailbox: &str, entries: &[(&str, Option<&Bytes>)]) {
        if entries.is_empty() {
            return;
        }
        self.put("* METADATA ");
        self.put_mailbox(mailbox);
        self.put(" (");
        for (at, (name, value)) in entries.iter().enumerate() {
            self.put(if at > 0 { " " } else { "" });
            string::astring(&mut self.out, name.as_bytes());
            self.put(" ");
            match value {
                Some(value) => string::binary(&mut self.out, value),
                None => self.put("NIL"),
            }
        }
        self.put(")");
        self.end_line();
    }

    /// METADATA without values (RFC 5464 section 4.4.2): entries of a mailbox, empty for the
    /// server, that have changed.
    pub fn metadata_changed(&mut self, mailbox: &str, entries: &[String]) {
        self.put("* METADATA ");
        self.put_mailbox(mailbox);
        for name in entries {
            self.put(" ");
            string::astring(&mut self.out, name.as_bytes());
        }
        self.end_line();
    }
}
