//! From criteria to the messages that match: one way for SEARCH, SORT and THREAD.

use mailbox::{MailboxId, Message, ModSeq, Uid, UidRanges};

use super::NOT_SELECTED;
use super::content::Content;
use super::fuzzy::Relevancy;
use super::sets::Sets;
use super::test::{self, Test};
use crate::backend::Backend;
use crate::cmd::messages::messages;
use crate::cmd::progress::Tally;
use crate::cmd::store::chunks;
use crate::grammar::{Charset, SearchKey};
use crate::limits;
use crate::pace::Pace;
use crate::respond::Code;
use crate::source::read_ahead;
use crate::state::{Result, Selected, Stop};
use crate::view::View;

/// Messages whose rows are read at once.
const PAGE: u64 = mailbox::limits::PAGE_MESSAGES_MAX as u64;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) uids: UidRanges,
    /// The mod-sequences of `uids`, in their order. Empty unless they were asked for.
    modseqs: Vec<ModSeq>,
    /// How well they match, 1 to 100 each, in their order. Empty unless it was asked for.
    pub(super) scores: Vec<u8>,
}

impl Found {
    /// Each with how well it matches, if that was asked for.
    pub(super) fn scored(&self) -> impl Iterator<Item = (Uid, u8)> {
        self.uids.iter().zip(self.scores.iter().copied())
    }

    /// The highest mod-sequence among some of what was found, 0 for none.
    pub(super) fn highest_of(&self, some: &UidRanges) -> u64 {
        let found = self.uids.iter().zip(&self.modseqs);
        let told = found.filter(|(uid, _)| some.contains(*uid));
        told.map(|(_, modseq)| modseq.0).max().unwrap_or(0)
    }
}

/// One mailbox to search, as a client sees it.
pub(super) struct Searcher<'s, B> {
    pub(super) backend: &'s B,
    pub(super) mailbox: MailboxId,
    pub(super) view: &'s View,
    /// Told how far it is.
    pub(super) tally: &'s Tally,
}

/// What a message must be like.
pub(super) struct Criteria {
    pub(super) test: Test,
    /// Whether mod-sequences are asked for.
    pub(super) names_modseq: bool,
    /// How well a message matches, if that is asked for.
    relevancy: Option<Relevancy>,
}

impl Criteria {
    /// Reads a search key as of now, in Unix seconds.
    pub(super) fn new(
        charset: Option<Charset>,
        key: &SearchKey,
        view: &View,
        now: u64,
    ) -> Result<Criteria> {
        check_charset(charset)?;
        let test = Test::new(key, view, now)?;
        if test.contents() > limits::SEARCH_CONTENTS_MAX {
            return Err(Stop::no(Code::Limit, "Too many texts to search for"));
        }
        Ok(Criteria {
            test,
            names_modseq: test::names_modseq(key),
            relevancy: None,
        })
    }

    /// The same, with how well each message matches (RFC 6203 section 4).
    pub(super) fn with_relevancy(mut self, is_wanted: bool, key: &SearchKey) -> Criteria {
        self.relevancy = is_wanted.then(|| Relevancy::of(key));
        self
    }
}

/// Refuses strings that cannot be read.
pub(super) fn check_charset(charset: Option<Charset>) -> Result<()> {
    if charset == Some(Charset::Unknown) {
        return Err(Stop::no(Code::BadCharset, "This charset is not known"));
    }
    Ok(())
}

impl<'s, B> Searcher<'s, B> {
    /// Of the selected mailbox.
    pub(super) fn of(
        backend: &'s B,
        selected: Option<&'s Selected>,
        tally: &'s Tally,
    ) -> Result<Self> {
        let selected = selected.ok_or(NOT_SELECTED)?;
        Ok(Self {
            backend,
            mailbox: selected.mailbox,
            view: &selected.view,
            tally,
        })
    }
}

impl<B: Backend> Searcher<'_, B> {
    /// The messages that match, of those that the client knows and that are not expunged.
    pub(super) async fn matching(&self, criteria: &Criteria) -> Result<Found> {
        let all = self.view.uids().subtract(self.view.gone());
        self.matching_among(criteria, &all).await
    }

    /// The messages that are looked at for that: those of the sets that must match.
    pub(super) async fn searched(&self, criteria: &Criteria) -> UidRanges {
        let all = self.view.uids().subtract(self.view.gone());
        Sets::new(self.view).bound(&criteria.test, &all).await
    }

    /// The messages that match, of these.
    pub(super) async fn matching_among(
        &self,
        criteria: &Criteria,
        all: &UidRanges,
    ) -> Result<Found> {
        let test = &criteria.test;
        let mut sets = Sets::new(self.view);
        if let Some(uids) = sets.exact(test, all).await {
            let scores = match criteria.relevancy {
                Some(_) => uids.iter().map(|_| Relevancy::EXACT).collect(),
                None => Vec::new(),
            };
            return Ok(Found {
                uids,
                scores,
                ..Found::default()
            });
        }
        let bound = sets.bound(test, all).await;
        self.ask_index(test, bound.len()).await;
        let bound = sets.bound(test, &bound).await;
        let mut found = Found::default();
        let read = |message: &Message| test.by_row(message, self.view).is_none();
        let mut walk = self.walk(&bound, !test.reads_text(), read);
        walk.try_each(test.count());
        while let Some(message) = walk.next().await? {
            if self.matches(test, &message, &mut walk.pace).await? {
                found.uids.insert(message.uid);
                if criteria.names_modseq {
                    found.modseqs.push(message.modseq);
                }
                if let Some(relevancy) = &criteria.relevancy {
                    let is_header = !relevancy.reads_text();
                    let mut content = Content::new(self.backend, &message, self.view, is_header);
                    found.scores.push(relevancy.score(&mut content).await?);
                    walk.pace.spend(content.unspent()).await;
                }
            }
        }
        Ok(found)
    }

    /// Goes over messages in order, of which it is told how far it is.
    /// Of those that are `read`, the bytes are wanted: of the header or all.
    pub(super) fn walk<R: Fn(&Message) -> bool>(
        &self,
        uids: &UidRanges,
        only_header: bool,
        read: R,
    ) -> Walk<'_, B, impl Iterator<Item = UidRanges>, R> {
        self.tally.begin(uids.len());
        Walk {
            searcher: self,
            pages: chunks(uids, PAGE),
            page: Vec::new().into_iter(),
            only_header,
            read,
            ahead: 0,
            turn: PAGE as usize,
            pace: Pace::default(),
        }
    }

    async fn matches(&self, test: &Test, message: &Message, pace: &mut Pace) -> Result<bool> {
        if let Some(is_match) = test.by_row(message, self.view) {
            return Ok(is_match);
        }
        let mut content = Content::new(self.backend, message, self.view, !test.reads_text());
        let is_match = content.matches(test).await?;
        pace.spend(content.unspent()).await;
        Ok(is_match)
    }
}

/// Messages in order, a page of rows at a time; others have their turn meanwhile.
pub(super) struct Walk<'w, B, P, R> {
    searcher: &'w Searcher<'w, B>,
    pages: P,
    page: std::vec::IntoIter<Message>,
    only_header: bool,
    read: R,
    /// For so many messages it was read ahead.
    ahead: usize,
    /// Messages that are looked at before others have their turn, at most.
    turn: usize,
    /// Counts what is done with the messages as well.
    pub(super) pace: Pace,
}

impl<B, P, R> Walk<'_, B, P, R>
where
    B: Backend,
    P: Iterator<Item = UidRanges>,
    R: Fn(&Message) -> bool,
{
    /// So many tests are tried on the row of each.
    fn try_each(&mut self, tests: usize) {
        self.turn = (limits::TURN_TESTS / tests.max(1)).clamp(1, PAGE as usize);
    }

    /// The next one that is not expunged.
    pub(super) async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if self.ahead == 0 {
                let (backend, page) = (self.searcher.backend, self.page.as_slice());
                let next = page.get(..self.turn).unwrap_or(page);
                let read = |_: usize, message: &Message| (self.read)(message);
                let ahead = read_ahead(backend, next, self.only_header, read).await;
                self.ahead = ahead.min(next.len());
            }
            if let Some(message) = self.page.next() {
                self.ahead -= 1;
                self.searcher.tally.count();
                let cost = limits::TURN_BYTES / limits::TURN_MESSAGES.min(self.turn);
                self.pace.spend(cost).await;
                return Ok(Some(message));
            }
            let Some(uids) = self.pages.next() else {
                return Ok(None);
            };
            let Searcher {
                backend, mailbox, ..
            } = self.searcher;
            self.page = messages(*backend, *mailbox, &uids).await?.into_iter();
            self.ahead = 0;
        }
    }
}
