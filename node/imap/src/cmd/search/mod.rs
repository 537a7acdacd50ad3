//! SEARCH, SORT and THREAD, and with UID (RFC 3501 section 6.4.4, RFC 7162 section 3.1.5, RFC 4731,
//! RFC 5256); ESEARCH of several mailboxes (RFC 7377); updates of a search (RFC 5267); FUZZY (RFC
//! 6203).
//!
//! ```text
//!   SearchKey ─► Test, its sets resolved ─► only sets: answered from the view
//!                                       └─► pages of rows ─► flags, sizes, dates
//!                        └─► texts ─► index: who lacks them is not read
//!                                                       └─► header ─► text, piece by piece
//!            ─► Found ─► answer   SEARCH, or what RETURN asks for
//!                    └─► header of each ─► sort, thread: keys alone are held ─► answer
//! ```
//!
//! Keys are tried from the cheapest to the dearest, so that a message's bytes are read only if its
//! row does not decide. Messages are read in order, each at most once for its header and once for
//! each text that is looked for in it. Texts are compared by `i;unicode-casemap` (RFC 5255).
//!
//! SORT and THREAD read the header of every message that was found, through `header` alone, and
//! hold of it no more than what they compare, within [`limits::SORT_BYTES_MAX`]. Ordering lets
//! others have their turn.
//!
//! [`limits::SORT_BYTES_MAX`]: crate::limits::SORT_BYTES_MAX

mod content;
mod fuzzy;
mod indexed;
mod saved;
mod sets;
mod test;

mod found;

mod answer;

mod multi;
mod updates;

mod header;
mod paced;
mod sort;
mod thread;

use mailbox::UidRanges;

use crate::backend::{Backend, Transport};
use crate::cmd::message_limit::limited;
use crate::cmd::progress::Tally;
use crate::grammar::{Charset, CommandBody, Search, SearchKey, SearchReturn, Tag};
use crate::state::{Done, Result, Session, Stop};

use answer::{Named, Results};
use found::{Criteria, Searcher};

pub(crate) use updates::Updates;

const NOT_SELECTED: Stop = Stop::Bad("Select a mailbox first");

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn search(&mut self, tag: &Tag, search: &Search) -> Result<Done> {
        self.check_utf8(search)?;
        self.check_tag(tag, search)?;
        let criteria = self.criteria(search.charset, &search.key)?;
        let options = search.returns.as_ref();
        let wants_relevancy = options.is_some_and(|options| options.relevancy);
        let criteria = criteria.with_relevancy(wants_relevancy, &search.key);
        let tally = Tally::default();
        let searcher = Searcher::of(&self.backend, self.selected.as_ref(), &tally)?;
        let searched = searcher.searched(&criteria).await;
        let (searched, limit) = limited(self.message_limit(), searched);
        let matching = searcher.matching_among(&criteria, &searched);
        let found = self
            .progress
            .while_waiting(&mut self.conn, &tally, matching)
            .await??;
        let results = Results::in_mailbox_order(&found, criteria.names_modseq);
        if options.is_some_and(|options| options.update) {
            self.follow(tag, search, &found.uids)?;
        }
        self.answer(tag, search.uid, options, &results)?;
        let done = Done::text(if search.uid {
            "UID SEARCH completed"
        } else {
            "SEARCH completed"
        });
        Ok(self.partly(done, limit))
    }

    /// Tells what was found as RETURN asks for it, and saves it if it does.
    fn answer(
        &mut self,
        tag: &Tag,
        uid: bool,
        options: Option<&SearchReturn>,
        results: &Results<'_>,
    ) -> Result<()> {
        let selected = self.selected.as_mut().ok_or(NOT_SELECTED)?;
        let (view, out) = (&mut selected.view, &mut self.conn.out);
        // RFC 9051 section 6.4.4.
        let all = SearchReturn {
            all: true,
            ..SearchReturn::default()
        };
        let is_extended = self.rev2 && !results.is_sorted();
        let Some(options) = options.or(is_extended.then_some(&all)) else {
            let ids = results.ids(Named::by(uid, view));
            let ids = ids.iter().flat_map(|range| range.first..=range.last);
            if results.is_sorted() {
                out.sort(ids, results.modseq());
            } else {
                out.search(ids, results.modseq());
            }
            return Ok(());
        };
        if !options.is_silent() {
            let data = results.data(options, Named::by(uid, view));
            out.esearch(tag, None, uid, &data);
        }
        if options.save {
            view.save(results.returned(options));
        }
        Ok(())
    }

    /// A result that was to be saved and is refused leaves an empty one (RFC 5182 section 2.1);
    /// what is BAD leaves the old one.
    pub(crate) fn settle(&mut self, body: &CommandBody, result: &Result<Done>) {
        let options = match body {
            CommandBody::Search(search) => search.returns.as_ref(),
            CommandBody::Sort(sort) => sort.returns.as_ref(),
            CommandBody::MultiSearch(multi) => multi.search.returns.as_ref(),
            _ => None,
        };
        let is_refused = matches!(result, Err(Stop::No(..)));
        if is_refused
            && options.is_some_and(|options| options.save)
            && let Some(selected) = &mut self.selected
        {
            selected.view.save(UidRanges::new());
        }
    }

    /// Refuses a charset where all strings are UTF-8 (RFC 6855 section 3). SORT and THREAD have to
    /// name one (RFC 5256).
    fn check_utf8(&self, search: &Search) -> Result<()> {
        if search.charset.is_some() && self.utf8_accept {
            return Err(Stop::Bad(
                "No charset may be given once UTF8=ACCEPT is enabled",
            ));
        }
        Ok(())
    }

    /// Reads what a command looks for in the selected mailbox.
    fn criteria(&mut self, charset: Option<Charset>, key: &SearchKey) -> Result<Criteria> {
        test::check_number(key)?;
        let now = self.conn.transport.now().seconds();
        let criteria = Criteria::new(charset, key, &self.selected()?.view, now)?;
        if criteria.names_modseq {
            self.enable_condstore();
        }
        Ok(criteria)
    }
}
