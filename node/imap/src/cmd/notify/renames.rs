//! What LIST tells of names: mailboxes that were made, deleted and renamed (RFC 5465 section 5.4).
//!
//! Few words tell most renames, since a client takes along all that is below. Whether it comes to
//! know what there is is tried out before they are said ([`Imagined`]); if not, mailboxes are told
//! as if they were made and deleted.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::MailboxId;

use super::known::{Known, News, Terms, Wanted};
use crate::names;

impl Known {
    /// New and old names of mailboxes that are told to be renamed, with all below them. Others that
    /// were are told as if they were made and deleted: where somebody else had the new name, and
    /// where the client could take it to be renamed along with another.
    pub(super) fn renamed<'k, F>(
        &'k self,
        now: &'k Known,
        terms: &Terms<'_, F>,
    ) -> BTreeMap<&'k str, &'k str>
    where
        F: Fn(&str, bool) -> Wanted,
    {
        let mut all: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, state) in &now.folders {
            if let Some(old) = self.folders.get(id).filter(|old| old.name != state.name) {
                all.insert(&state.name, &old.name);
            }
        }
        if all.is_empty() {
            return all;
        }
        let had: BTreeSet<&str> = self.folders.values().map(|old| old.name.as_str()).collect();
        let left: BTreeSet<&str> = all.values().copied().collect();
        let wants = |name: &str| self.wanted(now, terms, name).names;
        all.retain(|name, old| {
            let is_free = !had.contains(name) && !names::parents(name).any(|up| left.contains(up));
            is_free && (wants(name) || wants(old))
        });
        let above = all.clone();
        all.retain(|name, old| !follows(name, old, &above));
        all
    }

    /// Whether a client that is told this takes each name for the mailbox that it is, and knows no
    /// other one.
    pub(super) fn are_understood<F>(
        &self,
        now: &Known,
        renamed: &BTreeMap<&str, &str>,
        news: &News,
        terms: &Terms<'_, F>,
    ) -> bool
    where
        F: Fn(&str, bool) -> Wanted,
    {
        let known = self.folders.iter();
        let had: BTreeMap<&str, &MailboxId> =
            known.map(|(id, old)| (old.name.as_str(), id)).collect();
        let mut client = Imagined::new(had.iter().map(|(name, id)| (*name, *id)));
        news.gone.iter().for_each(|name| client.hears_gone(name));
        for (name, old) in &news.renamed {
            client.hears_renamed(name, old);
        }
        news.names.iter().for_each(|name| client.hears(name));
        let mut left: BTreeSet<&str> = client.names().collect();
        let are_right = now.folders.iter().all(|(id, new)| {
            let name = new.name.as_str();
            left.remove(name);
            let old = self.folders.get(id);
            let same = old.filter(|old| is_known_as(name, &old.name, renamed));
            let expected = same.map(|_| id).or(had.get(name).copied());
            let is_told = self.wanted(now, terms, name).names;
            client.at(name).map_or(!is_told, |taken| taken == expected)
        });
        are_right && !left.iter().any(|name| self.wanted(now, terms, name).names)
    }

    /// What LIST tells (RFC 5465 section 5.4).
    pub(super) fn news_of_names<F>(
        &self,
        now: &Known,
        renamed: &BTreeMap<&str, &str>,
        terms: &Terms<'_, F>,
    ) -> News
    where
        F: Fn(&str, bool) -> Wanted,
    {
        let mut news = News {
            renamed: told_in_order(renamed),
            ..News::default()
        };
        self.compare_names(now, renamed, terms, &mut news);
        news
    }

    /// MailboxName (RFC 5465 section 5.4).
    fn compare_names<F>(
        &self,
        now: &Known,
        renamed: &BTreeMap<&str, &str>,
        terms: &Terms<'_, F>,
        news: &mut News,
    ) where
        F: Fn(&str, bool) -> Wanted,
    {
        let is_told =
            |name: &str, old: &str| renamed.get(name) == Some(&old) || follows(name, old, renamed);
        let left: BTreeSet<&str> = renamed.values().copied().collect();
        // Old names of mailboxes that are told to be renamed, or are taken to be.
        let mut moved = BTreeSet::new();
        // Names with whether their parents are affected as well.
        let mut affected: Vec<(&str, bool)> = Vec::new();
        // Names that the client would take to be renamed along with others.
        let mut stays = |old: &str| {
            let is_below = names::parents(old).any(|up| left.contains(up));
            if is_below && self.wanted(now, terms, old).names {
                news.gone.insert(old.to_owned());
            }
        };
        for (id, state) in &now.folders {
            match self.folders.get(id) {
                None => affected.push((&state.name, true)),
                Some(old) if old.name != state.name && !is_told(&state.name, &old.name) => {
                    affected.extend([(state.name.as_str(), false), (old.name.as_str(), false)]);
                    stays(&old.name);
                }
                Some(old) if old.name != state.name => drop(moved.insert(old.name.as_str())),
                Some(_) => {}
            }
        }
        for (id, old) in &self.folders {
            if !now.folders.contains_key(id) {
                affected.push((&old.name, true));
                stays(&old.name);
            }
        }
        if affected.is_empty() {
            return;
        }
        let exist: BTreeSet<&str> = now.folders.values().map(|now| now.name.as_str()).collect();
        for (name, with_parent) in affected {
            let parent = names::parent(name).filter(|_| with_parent);
            for name in [name].into_iter().chain(parent) {
                if !self.wanted(now, terms, name).names || renamed.contains_key(name) {
                    continue;
                }
                if exist.contains(name) {
                    news.names.insert(name.to_owned());
                } else if !moved.contains(name) {
                    news.gone.insert(name.to_owned());
                }
            }
        }
    }
}

/// Whether a client knows a mailbox by its name that it knew by an old one.
pub(super) fn is_known_as(name: &str, old: &str, renamed: &BTreeMap<&str, &str>) -> bool {
    old == name || renamed.get(name) == Some(&old) || follows(name, old, renamed)
}

/// Whether a mailbox got its name because one above it did. At most 64 levels deep, as all names.
fn follows(name: &str, old: &str, renamed: &BTreeMap<&str, &str>) -> bool {
    let (mut name, mut old) = (name, old);
    while let (Some((above, last)), Some((old_above, old_last))) = (
        name.rsplit_once(names::SEPARATOR),
        old.rsplit_once(names::SEPARATOR),
    ) {
        if last != old_last {
            return false;
        }
        if renamed.get(above) == Some(&old_above) {
            return true;
        }
        (name, old) = (above, old_above);
    }
    false
}

/// A client renames what is below as well: what was taken from there comes before that.
fn told_in_order(renamed: &BTreeMap<&str, &str>) -> Vec<(String, String)> {
    let pairs = renamed.iter();
    let mut pairs: Vec<_> = pairs
        .map(|(name, old)| ((*name).to_owned(), (*old).to_owned()))
        .collect();
    pairs.sort_by_cached_key(|(_, old)| std::cmp::Reverse(names::parents(old).count()));
    pairs
}

/// A client that knows mailboxes by their names: which one it takes each name for.
struct Imagined<'a, Id>(BTreeMap<String, Option<&'a Id>>);

impl<'a, Id: PartialEq> Imagined<'a, Id> {
    /// One that knows these.
    fn new(known: impl Iterator<Item = (&'a str, &'a Id)>) -> Self {
        Imagined(
            known
                .map(|(name, id)| (name.to_owned(), Some(id)))
                .collect(),
        )
    }

    /// It is told that there is no such mailbox.
    fn hears_gone(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// It is told that a mailbox was renamed, and takes all below it along.
    fn hears_renamed(&mut self, name: &str, old: &str) {
        let is_below = |it: &str| it == old || names::parents(it).any(|up| up == old);
        let moved: Vec<_> = self.0.extract_if(.., |it, _| is_below(it)).collect();
        for (it, id) in moved {
            self.0.insert(format!("{name}{}", &it[old.len()..]), id);
        }
    }

    /// It is told that there is such a mailbox.
    fn hears(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    /// Which mailbox it takes the name for, if it knows the name and knew the mailbox.
    fn at(&self, name: &str) -> Option<Option<&'a Id>> {
        self.0.get(name).copied()
    }

    /// All names that it knows.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
