//! What SEARCH, SORT and THREAD found (RFC 3501 section 7.2.5, RFC 4731, RFC 5256 section 4, RFC
//! 6203 section 4).

use super::{Writer, string};
use crate::grammar::{IdRange, PartialRange, Tag};

/// The mailbox in which something was found, if it need not be the selected one (RFC 7377 section
/// 2.1).
#[derive(Clone, Copy, Debug)]
pub struct SearchScope<'a> {
    /// Its name in UTF-8.
    pub mailbox: &'a str,
    /// Its UIDVALIDITY.
    pub uid_validity: u32,
}

/// What an ESEARCH response tells (RFC 4466 section 2.6.2, RFC 4731 section 3.1, RFC 9394).
#[derive(Clone, Debug, Default)]
pub struct SearchData {
    /// The first message; nothing if none was found.
    pub min: Option<u32>,
    /// The last message; nothing if none was found.
    pub max: Option<u32>,
    /// All messages, in the order in which they are to be told. Not written if there is none.
    pub all: Vec<IdRange>,
    /// A page of them: the range as it was asked for, and what it holds.
    pub partial: Option<(PartialRange, Vec<IdRange>)>,
    /// How many there are.
    pub count: Option<u64>,
    /// How well each message matches that `all` or `partial` tells, or each at all (RFC 6203
    /// section 4).
    pub relevancy: Option<Vec<u8>>,
    /// The highest mod-sequence of what is told.
    pub modseq: Option<u64>,
}

/// A piece of THREAD (RFC 5256 section 4): `(1 2 (3)(4 5))` is Open, 1, 2, Open, 3, Close and so
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPart {
    /// A thread begins.
    Open,
    /// A message.
    Id(u32),
    /// A thread ends.
    Close,
}

impl Writer {
    /// SEARCH: what was found, UIDs or sequence numbers as asked. The highest mod-sequence of what
    /// was found is told only if the client asked for MODSEQ and something was found (RFC 7162
    /// section 3.1.5).
    pub fn search(&mut self, found: impl IntoIterator<Item = u32>, modseq: Option<u64>) {
        self.found("* SEARCH", found, modseq);
    }

    /// SORT: like [`Writer::search`], in the order that was asked for.
    pub fn sort(&mut self, found: impl IntoIterator<Item = u32>, modseq: Option<u64>) {
        self.found("* SORT", found, modseq);
    }

    fn found(&mut self, start: &str, found: impl IntoIterator<Item = u32>, modseq: Option<u64>) {
        self.put(start);
        let mut is_empty = true;
        for id in found {
            is_empty = false;
            self.put(" ");
            self.put_number(u64::from(id));
        }
        if let Some(modseq) = modseq.filter(|_| !is_empty) {
            self.put(" (MODSEQ ");
            self.put_number(modseq);
            self.put(")");
        }
        self.end_line();
    }

    /// ESEARCH, the answer to the command with this tag.
    pub fn esearch(&mut self, tag: &Tag, scope: Option<SearchScope>, uid: bool, data: &SearchData) {
        self.esearch_begin(tag, scope, uid);
        self.search_data(data);
        self.end_line();
    }

    /// ESEARCH that tells what has come to match, or does so no more, since the command with this
    /// tag (RFC 5267 section 4.3). The place in the result is not told, as it is that in the
    /// mailbox.
    pub fn esearch_update(&mut self, tag: &Tag, uid: bool, is_added: bool, ids: &[IdRange]) {
        self.esearch_begin(tag, None, uid);
        self.put(if is_added {
            " ADDTO (0 "
        } else {
            " REMOVEFROM (0 "
        });
        string::id_set(&mut self.out, ids);
        self.put(")");
        self.end_line();
    }

    fn esearch_begin(&mut self, tag: &Tag, scope: Option<SearchScope>, uid: bool) {
        self.put("* ESEARCH (TAG ");
        string::string(&mut self.out, tag.as_str().as_bytes());
        if let Some(scope) = scope {
            self.put(" MAILBOX ");
            self.put_mailbox(scope.mailbox);
            self.search_number(" UIDVALIDITY ", Some(u64::from(scope.uid_validity)));
        }
        self.put(if uid { ") UID" } else { ")" });
    }

    fn search_data(&mut self, data: &SearchData) {
        self.search_number(" MIN ", data.min.map(u64::from));
        self.search_number(" MAX ", data.max.map(u64::from));
        if !data.all.is_empty() {
            self.put(" ALL ");
            string::id_set(&mut self.out, &data.all);
        }
        if let Some((range, found)) = &data.partial {
            self.put(&format!(" PARTIAL ({range} "));
            if found.is_empty() {
                self.put("NIL");
            } else {
                string::id_set(&mut self.out, found);
            }
            self.put(")");
        }
        self.search_number(" COUNT ", data.count);
        self.search_number(" MODSEQ ", data.modseq);
        if let Some(scores) = &data.relevancy {
            self.put(" RELEVANCY (");
            for (place, score) in scores.iter().enumerate() {
                self.put(if place > 0 { " " } else { "" });
                self.put_number(u64::from(*score));
            }
            self.put(")");
        }
    }

    fn search_number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.put(name);
            self.put_number(number);
        }
    }

    /// THREAD: threads in parentheses, messages and the threads that answer them in those.
    pub fn thread(&mut self, parts: impl IntoIterator<Item = ThreadPart>) {
        self.put("* THREAD");
        let mut before = ThreadPart::Id(0);
        for part in parts {
            let is_after_id = matches!(before, ThreadPart::Id(_));
            let is_apart = is_after_id && part != ThreadPart::Close;
            self.put(if is_apart { " " } else { "" });
            match part {
                ThreadPart::Open => self.put("("),
                ThreadPart::Id(id) => self.put_number(u64::from(id)),
                ThreadPart::Close => self.put(")"),
            }
            before = part;
        }
        self.end_line();
    }
}
