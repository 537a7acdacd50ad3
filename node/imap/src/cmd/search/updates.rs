//! Searches that are followed by updates (RFC 5267 section 4.3): what comes to match and what does
//! so no more is told for as long as the mailbox is selected.
//!
//! ```text
//!   changes of the mailbox ─► changed ─► each search is tried on these alone ─► ADDTO, REMOVEFROM
//!   expunges that may be told ───────────────────────────────────────────────► REMOVEFROM, EXPUNGE
//! ```

use mailbox::{Changes, UidRanges};

use super::NOT_SELECTED;
use super::found::{Criteria, Searcher};
use crate::backend::{Backend, Transport};
use crate::cmd::progress::Tally;
use crate::cmd::store::ranges;
use crate::grammar::{FetchItem, IdRange, Search, SearchKey, SequenceSet, Tag};
use crate::limits;
use crate::respond::{Code, Condition};
use crate::state::{Done, Result, Session, Stop};
use crate::view::View;

/// The searches of a selected mailbox that are followed.
#[derive(Default)]
pub(crate) struct Updates {
    followed: Vec<Followed>,
    /// Messages that were changed or have arrived, and were not compared yet.
    changed: UidRanges,
}

/// A search that is followed.
struct Followed {
    tag: Tag,
    /// Whether messages are named by UID: as the search did, or all once UIDONLY is enabled.
    uid: bool,
    /// What it searches for, sequence numbers resolved.
    key: SearchKey,
    /// The messages that the client knows to match.
    matching: UidRanges,
    /// What is told of a new message that matches (RFC 5465 section 7).
    items: Vec<FetchItem>,
}

impl Updates {
    fn has(&self, tag: &Tag) -> bool {
        self.followed.iter().any(|followed| followed.tag == *tag)
    }

    /// From now on the client hears UIDs alone (RFC 9586 section 3).
    pub(crate) fn name_by_uid(&mut self) {
        for followed in &mut self.followed {
            followed.uid = true;
        }
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Refuses a tag that updates already carry (RFC 5267 section 4.3).
    pub(super) fn check_tag(&mut self, tag: &Tag, search: &Search) -> Result<()> {
        let is_followed = search
            .returns
            .as_ref()
            .is_some_and(|options| options.update);
        if is_followed && self.selected()?.updates.has(tag) {
            return Err(Stop::Bad("This tag is in use by a search that is followed"));
        }
        Ok(())
    }

    /// Follows a search that has just been done. It may be refused; the search is done all the same
    /// (RFC 5267 section 4.3.1).
    pub(super) fn follow(&mut self, tag: &Tag, search: &Search, found: &UidRanges) -> Result<()> {
        let selected = self.selected.as_mut().ok_or(NOT_SELECTED)?;
        if is_timed(&search.key) {
            self.refuse_updates(tag, "Time alone changes what this search finds");
            return Ok(());
        }
        if selected.updates.followed.len() >= limits::UPDATE_CONTEXTS_MAX {
            self.refuse_updates(tag, "Too many searches are followed");
            return Ok(());
        }
        let key = frozen(&search.key, &selected.view)?;
        if ranges_of(&key) > limits::UPDATE_RANGES_MAX {
            self.refuse_updates(tag, "Its sets are too many to be followed");
            return Ok(());
        }
        selected.updates.followed.push(Followed {
            tag: tag.clone(),
            uid: search.uid,
            key,
            matching: found.clone(),
            items: search
                .returns
                .as_ref()
                .map(|options| options.update_items.clone())
                .unwrap_or_default(),
        });
        Ok(())
    }

    pub(super) fn refuse_updates(&mut self, tag: &Tag, text: &str) {
        let code = Code::NoUpdate(tag.as_str().to_owned());
        self.conn.out.status(None, Condition::No, Some(&code), text);
    }

    /// CANCELUPDATE (RFC 5267 section 4.3.5). A tag that nothing has is passed over.
    pub(crate) fn cancel_update(&mut self, tags: &[Tag]) -> Result<Done> {
        let updates = &mut self.selected()?.updates;
        updates
            .followed
            .retain(|followed| !tags.contains(&followed.tag));
        Ok(Done::text("CANCELUPDATE completed"))
    }

    /// Notes what is to be compared, before the view takes it in.
    pub(crate) fn note_changed(&mut self, changes: &Changes) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        let updates = &mut selected.updates;
        if updates.followed.is_empty() {
            updates.changed = UidRanges::new();
            return;
        }
        let flags: UidRanges = changes.flags.iter().map(|(uid, ..)| *uid).collect();
        updates.changed = updates.changed.union(&flags).union(&changes.arrived);
    }

    /// Tells what matches no more because it is expunged, before the EXPUNGE (RFC 5267 section
    /// 4.3.4).
    pub(crate) fn tell_removed(&mut self) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        for followed in &mut selected.updates.followed {
            let removed = followed.matching.intersect(selected.view.gone());
            if !removed.is_empty() {
                followed.matching = followed.matching.subtract(&removed);
                let ids = named(&removed, &selected.view, followed.uid);
                let out = &mut self.conn.out;
                out.esearch_update(&followed.tag, followed.uid, false, &ids);
            }
        }
    }

    /// Compares what was changed, and tells what matches now and what does so no more. To be called
    /// after EXISTS (RFC 5267 section 4.3.3). After a failure it is tried again the next time.
    pub(crate) async fn tell_changed(&mut self) -> Result<()> {
        let now = self.conn.transport.now().seconds();
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        if selected.updates.changed.is_empty() {
            return Ok(());
        }
        let present = selected.view.uids().subtract(selected.view.gone());
        let changed = selected.updates.changed.intersect(&present);
        for followed in &mut selected.updates.followed {
            let criteria = Criteria::new(None, &followed.key, &selected.view, now)?;
            let searcher = Searcher {
                backend: &self.backend,
                mailbox: selected.mailbox,
                view: &selected.view,
                tally: &Tally::default(),
            };
            let found = searcher.matching_among(&criteria, &changed).await?.uids;
            let removed = followed.matching.intersect(&changed).subtract(&found);
            let added = found.subtract(&followed.matching);
            followed.matching = followed.matching.subtract(&removed).union(&added);
            selected.arrivals.ask(&added, &followed.items);
            for (is_added, uids) in [(false, removed), (true, added)] {
                if !uids.is_empty() {
                    let ids = named(&uids, &selected.view, followed.uid);
                    let out = &mut self.conn.out;
                    out.esearch_update(&followed.tag, followed.uid, is_added, &ids);
                }
            }
        }
        selected.updates.changed = UidRanges::new();
        Ok(())
    }
}

/// Messages as the search named them.
fn named(uids: &UidRanges, view: &View, by_uid: bool) -> Vec<IdRange> {
    if by_uid {
        ranges(uids)
    } else {
        view.sequences(uids)
    }
}

/// Whether a key matches other messages as time passes. At most 100 levels deep, as the parser
/// sees to.
fn is_timed(key: &SearchKey) -> bool {
    match key {
        SearchKey::Older(_) | SearchKey::Younger(_) => true,
        SearchKey::And(keys) => keys.iter().any(is_timed),
        SearchKey::Or(one, other) => is_timed(one) || is_timed(other),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => is_timed(key),
        _ => false,
    }
}

/// A key that goes on naming the same messages when numbers move and other results are saved.
fn frozen(key: &SearchKey, view: &View) -> crate::Result<SearchKey> {
    Ok(match key {
        SearchKey::And(keys) => {
            let keys: crate::Result<Vec<SearchKey>> =
                keys.iter().map(|key| frozen(key, view)).collect();
            SearchKey::And(keys?)
        }
        SearchKey::Or(one, other) => {
            SearchKey::Or(Box::new(frozen(one, view)?), Box::new(frozen(other, view)?))
        }
        SearchKey::Not(key) => SearchKey::Not(Box::new(frozen(key, view)?)),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(frozen(key, view)?)),
        SearchKey::Set(set) => these(&view.among(set)),
        SearchKey::Uid(set) if set.is_saved() => these(&view.resolve(set, true)?),
        key => key.clone(),
    })
}

/// Ranges of the sets in a key.
fn ranges_of(key: &SearchKey) -> usize {
    match key {
        SearchKey::Set(set) | SearchKey::Uid(set) => set.ranges(),
        SearchKey::And(keys) => keys.iter().map(ranges_of).sum(),
        SearchKey::Or(one, other) => ranges_of(one) + ranges_of(other),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => ranges_of(key),
        _ => 0,
    }
}

fn these(uids: &UidRanges) -> SearchKey {
    match SequenceSet::of(&ranges(uids)) {
        Ok(set) => SearchKey::Uid(set),
        Err(_) => SearchKey::Not(Box::new(SearchKey::All)),
    }
}
