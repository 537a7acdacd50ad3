//! Untagged data (RFC 3501 sections 7.2 to 7.4) except FETCH.

use bytes::BytesMut;

use super::{Writer, string};
use crate::grammar::{IdRange, SpecialUse, StatusItem, Tag, is_atom_char};
use crate::names;

/// What LIST tells of a name (RFC 3501 section 7.2.2, RFC 3348, RFC 5258, RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListAttribute {
    /// It has children.
    HasChildren,
    /// It has none.
    HasNoChildren,
    /// It can have none.
    NoInferiors,
    /// It is no mailbox, only a name that others continue. It says [`ListAttribute::NoSelect`] too.
    NonExistent,
    /// It cannot be selected.
    NoSelect,
    /// It is subscribed.
    Subscribed,
    /// What it is for.
    SpecialUse(SpecialUse),
}

impl ListAttribute {
    /// As it is written in responses.
    pub fn as_str(self) -> &'static str {
        match self {
            ListAttribute::HasChildren => "\\HasChildren",
            ListAttribute::HasNoChildren => "\\HasNoChildren",
            ListAttribute::NoInferiors => "\\Noinferiors",
            ListAttribute::NonExistent => "\\NonExistent",
            ListAttribute::NoSelect => "\\Noselect",
            ListAttribute::Subscribed => "\\Subscribed",
            ListAttribute::SpecialUse(special) => special.as_str(),
        }
    }
}

impl Writer {
    /// FLAGS: all flags in use in the mailbox, as they are written.
    pub fn flags<'a>(&mut self, flags: impl IntoIterator<Item = &'a str>) {
        self.put("* FLAGS ");
        flag_list(&mut self.out, flags);
        self.end_line();
    }

    /// EXISTS: the number of messages.
    pub fn exists(&mut self, messages: u32) {
        self.numbered(messages, "EXISTS");
    }

    /// RECENT: the number of messages with `\Recent`.
    pub fn recent(&mut self, messages: u32) {
        self.numbered(messages, "RECENT");
    }

    /// EXPUNGE: the message with this sequence number is gone, and those after it move up by one.
    pub fn expunge(&mut self, sequence_number: u32) {
        self.numbered(sequence_number, "EXPUNGE");
    }

    /// VANISHED (RFC 7162 section 3.2.10): UIDs that are gone; `earlier` if before this session
    /// saw them, so that sequence numbers do not move. Nothing is written for no UIDs.
    pub fn vanished(&mut self, earlier: bool, uids: &[IdRange]) {
        if uids.is_empty() {
            return;
        }
        self.put(if earlier {
            "* VANISHED (EARLIER) "
        } else {
            "* VANISHED "
        });
        string::id_set(&mut self.out, uids);
        self.end_line();
    }

    /// LIST: one mailbox, its name in UTF-8. `child_info` names the selection options that names
    /// below it meet, if RECURSIVEMATCH was asked for (RFC 5258 section 3.5).
    pub fn list(&mut self, attributes: &[ListAttribute], name: &str, child_info: &[&str]) {
        self.mailbox_line("* LIST ", attributes, name);
        for (at, option) in child_info.iter().enumerate() {
            self.put(if at > 0 { " " } else { " (\"CHILDINFO\" (" });
            string::quoted(&mut self.out, option);
        }
        self.put(if child_info.is_empty() { "" } else { "))" });
        self.end_line();
    }

    /// LIST of a mailbox that had another name (RFC 5465 section 5.4, RFC 9051 section 6.3.9.8).
    pub fn list_renamed(&mut self, attributes: &[ListAttribute], name: &str, old: &str) {
        self.mailbox_line("* LIST ", attributes, name);
        self.put(" (\"OLDNAME\" (");
        self.put_mailbox(old);
        self.put("))");
        self.end_line();
    }

    /// LSUB: one subscribed name, in UTF-8.
    pub fn lsub(&mut self, attributes: &[ListAttribute], name: &str) {
        self.mailbox_line("* LSUB ", attributes, name);
        self.end_line();
    }

    /// The answer to `LIST "" ""`: the hierarchy separator, and an empty root.
    pub fn list_separator(&mut self) {
        self.put("* LIST (\\Noselect) \"/\" \"\"");
        self.end_line();
    }

    /// STATUS: items of one mailbox, its name in UTF-8.
    pub fn mailbox_status(&mut self, name: &str, items: &[(StatusItem, u64)]) {
        self.mailbox_status_with_id(name, items, None);
    }

    /// STATUS, with MAILBOXID if there is an id (RFC 8474 section 4.3).
    pub fn mailbox_status_with_id(
        &mut self,
        name: &str,
        items: &[(StatusItem, u64)],
        id: Option<&str>,
    ) {
        self.put("* STATUS ");
        self.put_mailbox(name);
        self.put(" (");
        for (at, &(item, value)) in items.iter().enumerate() {
            self.put(if at > 0 { " " } else { "" });
            self.put(item.as_str());
            self.put(" ");
            self.put_number(value);
        }
        if let Some(id) = id {
            self.put(if items.is_empty() { "" } else { " " });
            self.put(StatusItem::MailboxId.as_str());
            self.put(" (");
            self.put(id);
            self.put(")");
        }
        self.put(")");
        self.end_line();
    }

    /// UIDBATCHES (RFC 10022 section 3.1): the answer to the command with this tag, ranges from the
    /// newest messages on, each with its highest UID first; possibly none.
    pub fn uid_batches(&mut self, tag: &Tag, batches: &[IdRange]) {
        self.put("* UIDBATCHES (TAG ");
        string::string(&mut self.out, tag.as_str().as_bytes());
        self.put(")");
        for (at, batch) in batches.iter().enumerate() {
            self.put(if at > 0 { "," } else { " " });
            self.put_number(u64::from(batch.last));
            self.put(":");
            self.put_number(u64::from(batch.first));
        }
        self.end_line();
    }

    /// CAPABILITY: what is offered now.
    pub fn capability<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.words("* CAPABILITY", names);
    }

    /// ENABLED (RFC 5161): what this ENABLE has switched on, possibly nothing.
    pub fn enabled<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.words("* ENABLED", names);
    }

    /// ID (RFC 2971): fields and values, NIL if there are none.
    pub fn id(&mut self, fields: &[(&str, &str)]) {
        self.put("* ID ");
        for (at, (field, value)) in fields.iter().enumerate() {
            self.put(if at > 0 { " " } else { "(" });
            string::string(&mut self.out, field.as_bytes());
            self.put(" ");
            string::string(&mut self.out, value.as_bytes());
        }
        self.put(if fields.is_empty() { "NIL" } else { ")" });
        self.end_line();
    }

    /// NAMESPACE (RFC 2342): prefixes of the user's own mailboxes, of other users', and of shared
    /// ones, in UTF-8.
    pub fn namespace(&mut self, own: &[&str], others: &[&str], shared: &[&str]) {
        self.put("* NAMESPACE");
        for prefixes in [own, others, shared] {
            self.put(if prefixes.is_empty() { " NIL" } else { " (" });
            for prefix in prefixes {
                self.put("(");
                self.put_quoted_name(prefix);
                self.put(" \"/\")");
            }
            self.put(if prefixes.is_empty() { "" } else { ")" });
        }
        self.end_line();
    }

    fn numbered(&mut self, number: u32, name: &str) {
        self.put("* ");
        self.put_number(u64::from(number));
        self.put(" ");
        self.put(name);
        self.end_line();
    }

    fn words<'a>(&mut self, start: &str, words: impl IntoIterator<Item = &'a str>) {
        self.put(start);
        for word in words {
            self.put(" ");
            self.put(word);
        }
        self.end_line();
    }

    fn mailbox_line(&mut self, start: &str, attributes: &[ListAttribute], name: &str) {
        self.put(start);
        flag_list(
            &mut self.out,
            attributes.iter().map(|attribute| attribute.as_str()),
        );
        self.put(" \"/\" ");
        self.put_mailbox(name);
    }

    /// A mailbox name. Quoted if it is not an atom: clients are known to fail at other forms.
    pub(super) fn put_mailbox(&mut self, name: &str) {
        match (self.utf8, name.is_ascii()) {
            (true, false) => string::quoted(&mut self.out, name),
            (true, true) => string::astring(&mut self.out, name.as_bytes()),
            (false, _) => string::astring(&mut self.out, names::encode(name).as_bytes()),
        }
    }

    fn put_quoted_name(&mut self, name: &str) {
        if self.utf8 {
            string::quoted(&mut self.out, name);
        } else {
            string::string(&mut self.out, names::encode(name).as_bytes());
        }
    }
}

/// Flags in parentheses. One that is no flag is left out: it could forge a response.
pub(super) fn flag_list<'a>(out: &mut BytesMut, flags: impl IntoIterator<Item = &'a str>) {
    out.extend_from_slice(b"(");
    let mut separator: &[u8] = b"";
    for flag in flags.into_iter().filter(|flag| is_flag(flag)) {
        out.extend_from_slice(separator);
        out.extend_from_slice(flag.as_bytes());
        separator = b" ";
    }
    out.extend_from_slice(b")");
}

fn is_flag(text: &str) -> bool {
    let name = text.strip_prefix('\\').unwrap_or(text);
    text == "\\*" || (!name.is_empty() && name.bytes().all(is_atom_char))
}
