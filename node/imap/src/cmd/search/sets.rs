//! What can be told of a search from sets of messages alone, before a row is read.
//!
//! There may be many keys, and as many ranges in a set as there are messages. So each key only
//! works with what the ones before it have left, and others have their turn in between.

use std::pin::Pin;

use mailbox::{Uid, UidRanges};

use super::test::Test;
use crate::grammar::SavedKey;
use crate::pace::Pace;
use crate::view::View;

/// About what a range costs that is gone through, in bytes that are searched.
const RANGE_BYTES: usize = 16;

/// What comes of a set. Recurses as deep as the parser allows.
type Work<'t> = Pin<Box<dyn Future<Output = Option<UidRanges>> + Send + 't>>;

/// Works with sets of messages.
pub(super) struct Sets<'v> {
    view: &'v View,
    pace: Pace,
}

impl<'v> Sets<'v> {
    /// Of the messages that a client knows.
    pub(super) fn new(view: &'v View) -> Sets<'v> {
        Sets {
            view,
            pace: Pace::default(),
        }
    }

    /// The messages among `all` that match, if that can be told without their rows.
    pub(super) fn exact<'t>(&'t mut self, test: &'t Test, all: &'t UidRanges) -> Work<'t> {
        Box::pin(async move {
            self.spend(all).await;
            Some(match test {
                Test::All => all.clone(),
                Test::And(tests) => {
                    let mut left = all.clone();
                    for test in tests.iter().filter(|test| !matches!(test, Test::All)) {
                        left = self.exact(test, &left).await?;
                    }
                    left
                }
                Test::Or(one, other) => {
                    let one = self.exact(one, all).await?;
                    one.union(&self.exact(other, all).await?)
                }
                Test::Not(test) => all.subtract(&self.exact(test, all).await?),
                Test::Uids(uids) => {
                    self.spend(uids).await;
                    uids.intersect(all)
                }
                Test::Recent => self.view.recent_uids().intersect(all),
                _ => return None,
            })
        })
    }

    /// Messages among `all` among which all that match are.
    pub(super) async fn bound(&mut self, test: &Test, all: &UidRanges) -> UidRanges {
        let fewer = self.fewer(test, all).await;
        fewer.unwrap_or_else(|| all.clone())
    }

    /// The same, `None` for all.
    fn fewer<'t>(&'t mut self, test: &'t Test, all: &'t UidRanges) -> Work<'t> {
        Box::pin(async move {
            let set = match test {
                Test::And(tests) => {
                    let mut left: Option<UidRanges> = None;
                    for test in tests {
                        let fewer = self.fewer(test, left.as_ref().unwrap_or(all)).await;
                        left = fewer.or(left);
                    }
                    return left;
                }
                Test::Or(one, other) => {
                    let one = self.fewer(one, all).await?;
                    one.union(&self.fewer(other, all).await?)
                }
                Test::Uids(uids) => {
                    self.spend(uids).await;
                    uids.intersect(all)
                }
                // RFC 9738 section 3.2: they are ranges of UIDs.
                Test::Saved(SavedKey::UidAfter(uid)) => {
                    all.subtract(&UidRanges::range(Uid(1), Uid(*uid)))
                }
                Test::Saved(SavedKey::UidBefore(uid)) => {
                    all.subtract(&UidRanges::range(Uid(*uid), Uid::MAX))
                }
                Test::Field { lacking, .. } | Test::Text { lacking, .. } => lacking.others(all)?,
                _ => return None,
            };
            self.spend(all).await;
            Some(set)
        })
    }

    async fn spend(&mut self, ranges: &UidRanges) {
        let count = ranges.ranges().len();
        self.pace.spend((count + 1) * RANGE_BYTES).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mailbox::Opened;
    use proptest::prelude::*;

    use super::*;
    use crate::grammar::{IdRange, SearchKey, SequenceSet};

    fn run<F: Future>(future: F) -> F::Output {
        let mut future = Box::pin(future);
        loop {
            if let Some(output) = future.as_mut().now_or_never() {
                return output;
            }
        }
    }

    fn uids() -> impl Strategy<Value = UidRanges> {
        prop::collection::btree_set(1u32..30, 1..20)
            .prop_map(|uids| uids.into_iter().map(Uid).collect())
    }

    fn key() -> impl Strategy<Value = SearchKey> {
        let set = uids().prop_map(|uids| {
            let single = |uid: Uid| IdRange::single(uid.0);
            let singles: Vec<IdRange> = uids.iter().map(single).collect();
            SearchKey::Uid(SequenceSet::of(&singles).unwrap())
        });
        let leaf = prop_oneof![
            4 => set,
            2 => Just(SearchKey::All),
            1 => Just(SearchKey::Recent),
            1 => (1u32..30).prop_map(|uid| SearchKey::Saved(SavedKey::UidAfter(uid))),
            1 => (1u32..30).prop_map(|uid| SearchKey::Saved(SavedKey::UidBefore(uid))),
        ];
        leaf.prop_recursive(4, 24, 4, |key| {
            prop_oneof![
                prop::collection::vec(key.clone(), 1..5).prop_map(SearchKey::And),
                (key.clone(), key.clone())
                    .prop_map(|(one, other)| SearchKey::Or(Box::new(one), Box::new(other))),
                key.prop_map(|key| SearchKey::Not(Box::new(key))),
            ]
        })
    }

    fn matches(key: &SearchKey, view: &View, uid: Uid) -> bool {
        match key {
            SearchKey::And(keys) => keys.iter().all(|key| matches(key, view, uid)),
            SearchKey::Or(one, other) => matches(one, view, uid) || matches(other, view, uid),
            SearchKey::Not(key) => !matches(key, view, uid),
            SearchKey::Uid(set) => view.resolve(set, true).unwrap().contains(uid),
            SearchKey::Recent => view.is_recent(uid),
            SearchKey::Saved(SavedKey::UidAfter(after)) => uid.0 > *after,
            SearchKey::Saved(SavedKey::UidBefore(before)) => uid.0 < *before,
            _ => true,
        }
    }

    fn is_saved(key: &SearchKey) -> bool {
        match key {
            SearchKey::And(keys) => keys.iter().any(is_saved),
            SearchKey::Or(one, other) => is_saved(one) || is_saved(other),
            SearchKey::Not(key) => is_saved(key),
            key => matches!(key, SearchKey::Saved(_)),
        }
    }

    proptest! {
        #[test]
        fn sets_are_those_of_the_keys(
            key in key(),
            known in uids(),
            recent in 1u32..30,
            among in uids(),
        ) {
            let mut view = View::open(&Opened {
                uids: known.clone(),
                ..Opened::default()
            });
            view.mark_recent(&known, Uid(recent));
            let all = known.intersect(&among);
            let expected = all.iter().filter(|uid| matches(&key, &view, *uid)).collect();
            let test = Test::new(&key, &view, 0).unwrap();
            let mut sets = Sets::new(&view);
            match run(sets.exact(&test, &all)) {
                Some(found) => prop_assert_eq!(&found, &expected),
                None => prop_assert!(is_saved(&key)),
            }
            let bound = run(sets.bound(&test, &all));
            prop_assert!(expected.subtract(&bound).is_empty(), "{:?}", bound);
            prop_assert!(bound.subtract(&all).is_empty(), "{:?}", bound);
        }
    }
}
