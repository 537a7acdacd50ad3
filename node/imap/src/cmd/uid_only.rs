//! UIDONLY (RFC 9586): a client that has enabled it neither sends nor hears sequence numbers.
//!
//! ```text
//!   * 3 FETCH (UID 7 FLAGS ())     * 7 UIDFETCH (FLAGS ())
//!   * 3 EXPUNGE                    * VANISHED 7
//! ```

use mailbox::Uid;

use crate::backend::{Backend, Transport};
use crate::grammar::{CommandBody, SearchKey};
use crate::respond::{Code, Writer};
use crate::state::{Result, Session, Stop};
use crate::view::View;

/// How the line of a message begins.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    uid: Uid,
    /// None if the client wants no sequence numbers.
    sequence: Option<u32>,
}

impl Line {
    /// The line of a message; `None` if the view does not show it.
    pub(crate) fn of(view: &View, uid: Uid, uid_only: bool) -> Option<Line> {
        let sequence = view.sequence(uid)?;
        Some(Line {
            uid,
            sequence: (!uid_only).then_some(sequence),
        })
    }

    /// Opens it: FETCH, or UIDFETCH.
    pub(crate) fn begin(self, out: &mut Writer) {
        match self.sequence {
            Some(sequence) => out.fetch_begin(sequence),
            None => out.uid_fetch_begin(self.uid.0),
        }
    }

    /// Tells the UID, unless the line begins with it.
    pub(crate) fn uid(self, out: &mut Writer) {
        if self.sequence.is_some() {
            out.fetch_uid(self.uid.0);
        }
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// The line of a message of the selected mailbox.
    pub(crate) fn line(&self, uid: Uid) -> Option<Line> {
        let view = &self.selected.as_ref()?.view;
        Line::of(view, uid, self.uid_only)
    }

    /// Refuses a command that takes or answers sequence numbers, if the client has said that it
    /// uses none (RFC 9586 section 3).
    pub(crate) fn takes(&self, body: &CommandBody) -> Result<()> {
        self.takes_numbers(uses_numbers(body))
    }

    /// The same of a command that uses them or not.
    pub(crate) fn takes_numbers(&self, uses_numbers: bool) -> Result<()> {
        if self.uid_only && uses_numbers {
            return Err(Stop::BadCode(
                Code::UidRequired,
                "UIDONLY is enabled: use UIDs",
            ));
        }
        Ok(())
    }
}

fn uses_numbers(body: &CommandBody) -> bool {
    match body {
        CommandBody::Fetch(fetch) => !fetch.uid,
        CommandBody::Store(store) => !store.uid,
        CommandBody::Copy(copy) | CommandBody::Move(copy) => !copy.uid,
        CommandBody::Search(search) => !search.uid || names_numbers(&search.key),
        CommandBody::Sort(sort) => !sort.uid || names_numbers(&sort.key),
        CommandBody::Thread(thread) => !thread.uid || names_numbers(&thread.key),
        CommandBody::MultiSearch(multi) => names_numbers(&multi.search.key),
        CommandBody::Select(select) | CommandBody::Examine(select) => {
            let known = select.qresync.as_ref();
            known.is_some_and(|known| !known.matches.is_empty())
        }
        _ => false,
    }
}

/// Whether a key names messages by sequence numbers, which `$` does not (RFC 5182 section 2.1). At
/// most 100 levels deep, as the parser sees to.
pub(crate) fn names_numbers(key: &SearchKey) -> bool {
    match key {
        SearchKey::Set(set) => !set.is_saved(),
        SearchKey::And(keys) => keys.iter().any(names_numbers),
        SearchKey::Or(one, other) => names_numbers(one) || names_numbers(other),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => names_numbers(key),
        _ => false,
    }
}
