//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4, RFC 7162 section 3.1.5).
//!
//! ```text
//!   SearchKey ─► Test, its sets resolved ─► only sets: answered from the view
//!                                       └─► pages of rows ─► flags, sizes, dates
//!                                                       └─► header ─► text, piece by piece
//! ```
//!
//! Keys are tried from the cheapest to the dearest, so that a message's bytes are read only if its
//! row does not decide. Messages are read in order, each at most once for its header and once for
//! each text that is looked for in it.

mod content;
mod test;

use mailbox::{Answer, Message, Messages, Query, Uid, UidRanges};

use crate::backend::{Backend, Transport};
use crate::grammar::{Charset, Search};
use crate::limits;
use crate::pace::Pace;
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

use content::Content;
use test::Test;

/// What was found.
#[derive(Default)]
struct Found {
    uids: UidRanges,
    /// The highest mod-sequence among them.
    modseq: u64,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn search(&mut self, search: &Search) -> Result<Done> {
        if search.charset == Some(Charset::Unknown) {
            return Err(Stop::no(Code::BadCharset, "This charset is not known"));
        }
        if test::names_modseq(&search.key) {
            self.enable_condstore();
        }
        let view = &self.selected()?.view;
        let test = Test::new(&search.key, view)?;
        if test.contents() > limits::SEARCH_CONTENTS_MAX {
            return Err(Stop::no(Code::Limit, "Too many texts to search for"));
        }
        let all = view.uids().subtract(view.gone());
        let found = match test.as_set(&all, view) {
            Some(uids) => Found { uids, modseq: 0 },
            None => self.search_rows(&test, test.bound(&all)).await?,
        };
        let modseq = test::names_modseq(&search.key).then_some(found.modseq);
        if search.uid {
            self.conn
                .out
                .search(found.uids.iter().map(|uid| uid.0), modseq);
        } else {
            let numbers = self.selected()?.view.sequences(&found.uids);
            let numbers = numbers.iter().flat_map(|range| range.first..=range.last);
            self.conn.out.search(numbers, modseq);
        }
        Ok(Done::text(if search.uid {
            "UID SEARCH completed"
        } else {
            "SEARCH completed"
        }))
    }

    async fn search_rows(&mut self, test: &Test, mut uids: UidRanges) -> Result<Found> {
        let mut found = Found::default();
        let mut pace = Pace::default();
        while !uids.is_empty() {
            let page = self.searched(&uids).await?;
            for message in &page.messages {
                pace.spend(limits::TURN_BYTES / limits::TURN_MESSAGES).await;
                if self.matches(test, message).await? {
                    found.uids.insert(message.uid);
                    found.modseq = found.modseq.max(message.modseq.0);
                }
            }
            uids = match page.next {
                Some(next) => UidRanges::range(next, Uid::MAX).intersect(&uids),
                None => UidRanges::new(),
            };
        }
        Ok(found)
    }

    async fn matches(&mut self, test: &Test, message: &Message) -> Result<bool> {
        let view = &self
            .selected
            .as_ref()
            .ok_or(Stop::Bad("Select a mailbox first"))?
            .view;
        if let Some(is_match) = test.by_row(message, view) {
            return Ok(is_match);
        }
        let mut content = Content::new(&self.backend, message, view, !test.reads_text());
        Ok(content.matches(test).await?)
    }

    async fn searched(&mut self, uids: &UidRanges) -> Result<Messages> {
        let query = Query::Messages {
            account: self.backend.account(),
            mailbox: self.selected()?.mailbox,
            uids: uids.clone(),
            changed_since: None,
            limit: u32::try_from(mailbox::limits::PAGE_MESSAGES_MAX).unwrap_or(u32::MAX),
            include_expunged: false,
        };
        let page = self.ask(query, |answer| match answer {
            Answer::Messages(page) => Some(page),
            _ => None,
        });
        page.await
    }
}
