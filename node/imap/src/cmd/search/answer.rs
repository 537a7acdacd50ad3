//! What a command tells of the messages that it found.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use mailbox::{Uid, UidRanges};

use super::found::Found;
use crate::cmd::places::at_places;
use crate::cmd::store;
use crate::grammar::{IdRange, SearchReturn};
use crate::respond::SearchData;
use crate::view::View;

/// What was found, in the order in which it is told.
pub(super) struct Results<'f> {
    found: &'f Found,
    names_modseq: bool,
    /// `None` for the order of the mailbox.
    order: Option<&'f [Uid]>,
    /// All of it.
    uids: Cow<'f, UidRanges>,
}

impl<'f> Results<'f> {
    /// What SEARCH tells.
    pub(super) fn in_mailbox_order(found: &'f Found, names_modseq: bool) -> Results<'f> {
        Results {
            found,
            names_modseq,
            order: None,
            uids: Cow::Borrowed(&found.uids),
        }
    }

    /// What SORT tells: those of `found` that are in `order`, each once.
    pub(super) fn sorted(found: &'f Found, names_modseq: bool, order: &'f [Uid]) -> Results<'f> {
        let is_all = order.len() as u64 == found.uids.len();
        Results {
            found,
            names_modseq,
            order: Some(order),
            uids: match is_all {
                true => Cow::Borrowed(&found.uids),
                false => Cow::Owned(set_of(order.to_vec())),
            },
        }
    }

    /// Whether the order is not that of the mailbox.
    pub(super) fn is_sorted(&self) -> bool {
        self.order.is_some()
    }

    /// The highest mod-sequence, if it is asked for and something was found.
    pub(super) fn modseq(&self) -> Option<u64> {
        self.modseq_of(&self.uids)
    }

    fn modseq_of(&self, some: &UidRanges) -> Option<u64> {
        let is_told = self.names_modseq && !some.is_empty();
        is_told.then(|| self.found.highest_of(some))
    }

    /// All, as numbers or UIDs.
    pub(super) fn ids(&self, names: Named<'_>) -> Vec<IdRange> {
        match (self.order, names) {
            (Some(order), _) => runs(order, names),
            (None, Named::Uid) => store::ranges(&self.uids),
            (None, Named::Number(view)) => view.sequences(&self.uids),
        }
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    /// What RETURN asks for. The mod-sequence is that of what is told: with MIN and MAX alone it is
    /// of these (RFC 4731 section 3.2).
    pub(super) fn data(&self, options: &SearchReturn, names: Named<'_>) -> SearchData {
        let id = |message: Uid| names.id(message);
        let ends = self.ends();
        SearchData {
            min: ends.filter(|_| options.min).and_then(|(min, _)| id(min)),
            max: ends.filter(|_| options.max).and_then(|(_, max)| id(max)),
            all: if options.all {
                self.ids(names)
            } else {
                Vec::new()
            },
            partial: options.partial.map(|range| {
                let page = self.page(range.of(self.len()));
                (range, runs(&page, names))
            }),
            count: options.count.then_some(self.uids.len()),
            modseq: self.modseq_of(&self.returned(options)),
            relevancy: options.relevancy.then(|| self.relevancy(options)),
        }
    }

    /// How well those match that the list tells, in its order; all of them if there is no list.
    fn relevancy(&self, options: &SearchReturn) -> Vec<u8> {
        let range = options.partial.map(|range| range.of(self.len()));
        match (range, self.order) {
            (None, None) => self.found.scores.clone(),
            (Some(range), _) => self.scores_of(&self.page(range)),
            (None, Some(order)) => self.scores_of(order),
        }
    }

    fn scores_of(&self, messages: &[Uid]) -> Vec<u8> {
        let scores: BTreeMap<Uid, u8> = self.found.scored().collect();
        let score = |uid: &Uid| scores.get(uid).copied();
        messages.iter().filter_map(score).collect()
    }

    /// What `$` is to stand for (RFC 5182 section 2.4, RFC 9394 section 3.2): with MIN, MAX and
    /// PARTIAL alone what they tell, else everything.
    pub(super) fn returned(&self, options: &SearchReturn) -> UidRanges {
        let ranks_all = options.relevancy && options.partial.is_none();
        if options.all || options.count || ranks_all || options.is_silent() {
            return self.uids.clone().into_owned();
        }
        let page = options.partial.map(|range| self.page(range.of(self.len())));
        let mut some = set_of(page.unwrap_or_default());
        if let Some((min, max)) = self.ends() {
            some.extend(options.min.then_some(min));
            some.extend(options.max.then_some(max));
        }
        some
    }

    fn len(&self) -> usize {
        usize::try_from(self.uids.len()).unwrap_or(usize::MAX)
    }

    /// The first and the last.
    fn ends(&self) -> Option<(Uid, Uid)> {
        match self.order {
            Some(order) => order.first().copied().zip(order.last().copied()),
            None => self.uids.first().zip(self.uids.last()),
        }
    }

    /// Those at some places.
    fn page(&self, places: Range<usize>) -> Vec<Uid> {
        match self.order {
            Some(order) => order.get(places).unwrap_or_default().to_vec(),
            None => at_places(&self.uids, places).iter().collect(),
        }
    }
}

/// Messages in any order as a set, which is made quickly only from the lowest up.
fn set_of(mut messages: Vec<Uid>) -> UidRanges {
    messages.sort_unstable();
    messages.into_iter().collect()
}

/// How messages are named.
#[derive(Clone, Copy)]
pub(super) enum Named<'v> {
    /// By UID.
    Uid,
    /// By their numbers in this view.
    Number(&'v View),
}

impl<'v> Named<'v> {
    pub(super) fn by(uid: bool, view: &'v View) -> Named<'v> {
        if uid { Named::Uid } else { Named::Number(view) }
    }

    fn id(self, message: Uid) -> Option<u32> {
        match self {
            Named::Uid => Some(message.0),
            Named::Number(view) => view.sequence(message),
        }
    }
}

/// Messages in this order, ranges only where numbers follow each other upwards (RFC 5267 section
/// 3.2).
fn runs(order: &[Uid], names: Named<'_>) -> Vec<IdRange> {
    let mut runs: Vec<IdRange> = Vec::new();
    for id in order.iter().filter_map(|message| names.id(*message)) {
        match runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(id) => run.last = id,
            _ => runs.push(IdRange::single(id)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sorted_is_a_set() {
        let mut found = Found::default();
        found.uids.extend([1, 3, 5, 7].map(Uid));
        let all = [7, 1, 5, 3].map(Uid);
        let all = Results::sorted(&found, false, &all);
        assert!(
            matches!(all.uids, Cow::Borrowed(_)),
            "nothing is to be made"
        );
        // One was expunged before it could be compared.
        let some = [7, 1, 5].map(Uid);
        let some = Results::sorted(&found, false, &some);
        assert_eq!(some.uids.to_string(), "1,5,7");
        let set = set_of([9, 2, 1, 8].map(Uid).to_vec());
        assert_eq!(set.to_string(), "1:2,8:9");
    }
}
