//! ESEARCH: a search of several mailboxes (RFC 7377).

use std::collections::BTreeSet;

use bytes::Bytes;
use mailbox::{AccountId, Answer, Folder, MailboxId, Query, Rights, Uid};

use super::NOT_SELECTED;
use super::answer::{Named, Results};
use super::found::{Criteria, Searcher, check_charset};
use super::test::check_number;
use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::others::Place;
use crate::cmd::progress::Tally;
use crate::grammar::{MultiSearch, SearchReturn, SearchSource, Tag};
use crate::guest::is_reserved;
use crate::names;
use crate::respond::SearchScope;
use crate::state::{Done, Result, Session, Stop};
use crate::view::View;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn multi_search(&mut self, tag: &Tag, multi: &MultiSearch) -> Result<Done> {
        let all = SearchReturn {
            all: true,
            ..SearchReturn::default()
        };
        let options = multi.search.returns.as_ref().unwrap_or(&all);
        let is_selected = |source: &SearchSource| *source == SearchSource::Selected;
        if multi.sources.iter().any(is_selected) && self.selected.is_none() {
            return Err(NOT_SELECTED);
        }
        // RFC 7377 section 2.2.
        if options.save && !multi.sources.iter().all(is_selected) {
            return Err(Stop::Bad(
                "Only what is found in the selected mailbox can be saved",
            ));
        }
        if options.update && self.selected.is_none() {
            return Err(NOT_SELECTED);
        }
        if options.update {
            self.refuse_updates(tag, "Only SEARCH is followed by updates");
        }
        self.search_folders(tag, multi, options).await
    }

    async fn search_folders(
        &mut self,
        tag: &Tag,
        multi: &MultiSearch,
        options: &SearchReturn,
    ) -> Result<Done> {
        let search = &multi.search;
        self.check_utf8(search)?;
        check_charset(search.charset)?;
        check_number(&search.key)?;
        let now = self.conn.transport.now().seconds();
        let tally = Tally::default();
        for Place { backend, folder } in self.sources(&multi.sources).await? {
            self.backend = backend;
            let is_selected = self.is_selected(self.backend.account(), &folder);
            let peeked = if is_selected {
                None
            } else {
                let Some(view) = self.peek(folder.id).await? else {
                    continue;
                };
                Some(view)
            };
            let selected = self.selected.as_ref().map(|selected| &selected.view);
            let view = peeked.as_ref().or(selected).ok_or(NOT_SELECTED)?;
            let criteria = Criteria::new(search.charset, &search.key, view, now)?
                .with_relevancy(options.relevancy, &search.key);
            let searcher = Searcher {
                backend: &self.backend,
                mailbox: folder.id,
                view,
                tally: &tally,
            };
            let matching = searcher.matching(&criteria);
            let waiting = &self.progress;
            let found = waiting.while_waiting(&mut self.conn, &tally, matching);
            let found = found.await??;
            if criteria.names_modseq {
                self.enable_condstore();
            }
            let results = Results::in_mailbox_order(&found, criteria.names_modseq);
            self.tell_folder(tag, &folder, &results, options)?;
            self.conn.relieve().await?;
        }
        Ok(Done::text("ESEARCH completed"))
    }

    /// One response for a mailbox in which something was found, and none for others (RFC 7377
    /// section 2.1). It tells UIDs.
    fn tell_folder(
        &mut self,
        tag: &Tag,
        folder: &Folder,
        results: &Results<'_>,
        options: &SearchReturn,
    ) -> Result<()> {
        if options.save {
            // Only the selected mailbox is searched then.
            self.selected()?.view.save(results.returned(options));
        }
        if !results.is_empty() && !options.is_silent() {
            let scope = SearchScope {
                mailbox: &folder.name,
                uid_validity: folder.uid_validity.0,
            };
            let data = results.data(options, Named::Uid);
            self.conn.out.esearch(tag, Some(scope), true, &data);
        }
        Ok(())
    }

    /// A mailbox as a session sees it that selects it now; `None` if it is gone meanwhile. Nothing
    /// changes by it, no message ceases to be recent.
    async fn peek(&mut self, mailbox: MailboxId) -> Result<Option<View>> {
        let account = self.backend.account();
        let opened = match self.backend.read(Query::Open { account, mailbox }).await {
            Ok(Answer::Opened(opened)) => opened,
            Ok(_) => return Err(BackendError::Broken.into()),
            Err(BackendError::NoMailbox | BackendError::NoRight) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let from = self.backend.recent_from(mailbox, Uid(0)).await?;
        let mut view = View::open(&opened);
        view.mark_recent(&opened.uids, from);
        Ok(Some(view))
    }

    /// The mailboxes to search, each once. What does not exist is passed over (RFC 7377 section
    /// 2.2).
    async fn sources(&mut self, sources: &[SearchSource]) -> Result<Vec<Place<B>>> {
        let utf8 = self.conn.out.is_utf8();
        let is_others = |source: &SearchSource| match source {
            SearchSource::Inboxes | SearchSource::Personal => false,
            SearchSource::Selected => self.is_guest(),
            SearchSource::Subscribed => true,
            source => Names::of(source, utf8).may_be_of_others(),
        };
        let asks_others = sources.iter().any(is_others);
        let mut known = BTreeSet::new();
        let mut found = Vec::new();
        let folders = self.all_folders(|_| asks_others).await?;
        for source in sources {
            let names = Names::of(source, utf8);
            for place in folders.iter().filter(|place| place.folder.exists) {
                let folder = &place.folder;
                let account = place.backend.account();
                let is_own = folder.guest.is_none();
                let is_wanted = match source {
                    SearchSource::Selected => self.is_selected(account, folder),
                    // Mail may be delivered into any mailbox, so these are the same (RFC 5465
                    // section 6.3).
                    SearchSource::Inboxes | SearchSource::Personal => is_own,
                    SearchSource::Subscribed => folder.subscribed,
                    _ => names.has(&folder.name),
                };
                if is_wanted && known.insert((account, folder.id)) {
                    found.push(Place {
                        backend: place.backend.clone(),
                        folder: folder.clone(),
                    });
                }
            }
        }
        let wants_selected = sources.contains(&SearchSource::Selected);
        if let Some(place) = self.hidden_selected().await?.filter(|_| wants_selected)
            && known.insert((place.backend.account(), place.folder.id))
        {
            found.push(place);
        }
        Ok(found)
    }

    /// The selected mailbox, if it is one of another which is not looked up.
    async fn hidden_selected(&mut self) -> Result<Option<Place<B>>> {
        let Some(selected) = self.selected.as_ref() else {
            return Ok(None);
        };
        if selected.guest.is_none_or(|has| has.has(Rights::LOOKUP)) {
            return Ok(None);
        }
        let mailbox = selected.mailbox;
        self.backend = self.opened.clone();
        let account = self.backend.account();
        let opened = self.ask(Query::Open { account, mailbox }, |answer| match answer {
            Answer::Opened(opened) => Some(opened),
            _ => None,
        });
        let folder = opened.await?.folder;
        Ok(Some(Place {
            backend: self.opened.clone(),
            folder,
        }))
    }

    fn is_selected(&self, account: AccountId, folder: &Folder) -> bool {
        let selected = self.selected.as_ref();
        let is_it = selected.is_some_and(|selected| selected.mailbox == folder.id);
        is_it && self.opened.account() == account
    }
}

/// Names that a source gives, and how much below them belongs to it.
struct Names {
    names: Vec<String>,
    levels_below: usize,
}

impl Names {
    /// What is no name is the name of no mailbox.
    fn of(source: &SearchSource, utf8: bool) -> Names {
        let (names, levels_below): (&[Bytes], usize) = match source {
            SearchSource::Subtree(names) => (names, usize::MAX),
            SearchSource::SubtreeOne(names) => (names, 1),
            SearchSource::Mailboxes(names) => (names, 0),
            _ => (&[], 0),
        };
        let names = names
            .iter()
            .filter_map(|name| names::decode(name, utf8).ok());
        Names {
            names: names.collect(),
            levels_below,
        }
    }

    /// Whether mailboxes of others are at these names, or below.
    fn may_be_of_others(&self) -> bool {
        self.names.iter().any(|name| is_reserved(name))
    }

    fn has(&self, folder: &str) -> bool {
        self.names.iter().any(|name| {
            let below = folder.strip_prefix(name.as_str());
            below.is_some_and(|below| {
                let is_whole = below.is_empty() || below.starts_with('/');
                is_whole && below.matches('/').count() <= self.levels_below
            })
        })
    }
}
