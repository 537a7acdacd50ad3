//! What a client with NOTIFY knows of its mailboxes, and how that differs from what is.
//!
//! ```text
//!   Known, as of the last time ─┐
//!   folders, annotations now ───┴─► News   names for LIST, items for STATUS, entries for METADATA
//! ```
//!
//! Only states are compared, so no event can be lost: a hint that was lost, a leader that died and
//! a client that was slow cost a delay. What happened and was undone in between is not told.
//!
//! Of the mailboxes of another there are those that the user may look up (`l`), so that giving and
//! taking that right is as making and deleting them. Their messages he hears of if he may read them
//! (`r`); of those that he may not read he knows nothing, and so hears all once he may. The same
//! holds of annotations, for which one of several rights is needed (RFC 5464 section 3.3).

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;

use bytes::Bytes;
use mailbox::{Annotation, Folder, Hash16, MailboxId, ModSeq, SpecialUse, Uid, UidValidity};
use mailbox::{NewMetadata, Rights, metadata};

use super::renames::is_known_as;
use crate::grammar::StatusItem;
use crate::names;

/// The state of all mailboxes of an account that the user may look up.
#[derive(Default)]
pub(super) struct Known {
    pub(super) folders: BTreeMap<MailboxId, State>,
    /// Names that are subscribed, with a mailbox or not.
    subscribed: BTreeSet<String>,
    /// Annotations with the hashes of their values; mailbox 0 is the server. Empty unless they are
    /// watched.
    annotations: BTreeMap<(MailboxId, String), Hash16>,
    /// What the client has heard last of the messages of the mailbox that it has selected.
    selected: Option<(MailboxId, State)>,
    /// The selected mailbox if it has another name by now, of which the client cannot know that it
    /// is the same.
    lost: Option<MailboxId>,
}

/// Whether the user may hear of the messages.
pub(super) fn may_read(folder: &Folder) -> bool {
    folder.guest.is_none_or(|has| has.has(Rights::READ))
}

fn may_see_annotations(folder: &Folder) -> bool {
    let has_one = |has: Rights| Rights::ANNOTATE.iter().any(|right| has.has(*right));
    folder.guest.is_none_or(has_one)
}

/// What is known of a mailbox.
pub(super) struct State {
    pub(super) name: String,
    uid_validity: UidValidity,
    uid_next: Uid,
    messages: u32,
    unseen: u32,
    /// 0 of a mailbox that the client has made.
    modseq: ModSeq,
    special_use: Option<SpecialUse>,
    /// Whether the user may see its annotations.
    is_annotated: bool,
}

impl State {
    fn of(folder: &Folder) -> State {
        if !may_read(folder) {
            // Not like any other, so that all is told once the user may.
            return State {
                uid_validity: UidValidity(0),
                uid_next: Uid(0),
                unseen: u32::MAX,
                ..State::of_new(folder)
            };
        }
        State {
            uid_next: folder.uid_next,
            messages: folder.messages,
            unseen: folder.unseen,
            ..State::of_new(folder)
        }
    }

    /// That of a mailbox of whose messages nothing is known.
    fn of_new(folder: &Folder) -> State {
        State {
            name: folder.name.clone(),
            uid_validity: folder.uid_validity,
            uid_next: Uid(1),
            messages: 0,
            unseen: 0,
            modseq: folder.highest_modseq,
            special_use: folder.special_use,
            is_annotated: may_see_annotations(folder),
        }
    }

    fn take_messages(&mut self, from: &State) {
        self.uid_next = from.uid_next;
        self.messages = from.messages;
        self.unseen = from.unseen;
        self.modseq = from.modseq;
    }
}

/// What is wanted of a mailbox or a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) messages: bool,
    pub(super) flags: bool,
    pub(super) names: bool,
    pub(super) subscriptions: bool,
    pub(super) metadata: bool,
}

/// What is asked of a comparison.
pub(super) struct Terms<'a, F> {
    /// What is wanted of a name, which is subscribed or not.
    pub(super) wanted: F,
    /// Whether the server's annotations are.
    pub(super) server_metadata: bool,
    /// The selected mailbox: its messages are told otherwise.
    pub(super) selected: Option<MailboxId>,
    /// Whether the client knows mod-sequences.
    pub(super) condstore: bool,
    /// All annotations, if any are watched.
    pub(super) annotations: Option<&'a [Annotation]>,
}

/// What is to be told, in this order.
#[derive(Default)]
pub(super) struct News {
    /// Names that are no mailboxes any more, for LIST; or that others have now, which are told
    /// again below.
    pub(super) gone: BTreeSet<String>,
    /// New and old names of mailboxes that were renamed; those below others come first.
    pub(super) renamed: Vec<(String, String)>,
    /// All other names for LIST.
    pub(super) names: BTreeSet<String>,
    /// Mailboxes for STATUS.
    pub(super) status: Vec<(Folder, Vec<StatusItem>)>,
    /// Mailboxes, the server as an empty name, with the entries that changed.
    pub(super) metadata: BTreeMap<String, Vec<String>>,
}

impl Known {
    /// The client has found this mailbox under its name. If it knew another one by that name, which
    /// was renamed or deleted since, that is told as if it had never been: a name that moved would
    /// take along what the client has just heard.
    pub(super) fn forget_other(&mut self, found: &Folder) {
        self.lost = None;
        let others = |id: &MailboxId, state: &State| *id != found.id && state.name == found.name;
        self.folders.retain(|id, state| !others(id, state));
    }

    /// The state as it is.
    pub(super) fn of(folders: &[Folder], annotations: Option<&[Annotation]>) -> Known {
        let exist = folders.iter().filter(|folder| folder.exists);
        let subscribed = folders.iter().filter(|folder| folder.subscribed);
        Known {
            folders: exist.map(|folder| (folder.id, State::of(folder))).collect(),
            subscribed: subscribed.map(|folder| folder.name.clone()).collect(),
            annotations: annotations.map(hashes).unwrap_or_default(),
            selected: None,
            lost: None,
        }
    }

    /// About how many bytes it takes to remember it.
    pub(super) fn bytes(&self) -> usize {
        let names = self.folders.values().map(|state| state.name.len());
        let subscribed = self.subscribed.iter().map(String::len);
        let entries = self.annotations.keys().map(|(_, name)| name.len());
        let fixed = self.folders.len() * size_of::<(MailboxId, State)>()
            + self.subscribed.len() * size_of::<String>()
            + self.annotations.len() * size_of::<((MailboxId, String), Hash16)>();
        fixed + names.chain(subscribed).chain(entries).sum::<usize>()
    }

    /// Takes in the state as it is now, and returns what of it is news.
    pub(super) fn update<F>(&mut self, folders: &[Folder], terms: &Terms<'_, F>) -> News
    where
        F: Fn(&str, bool) -> Wanted,
    {
        let mut now = Known::of(folders, terms.annotations);
        let mut renamed = self.renamed(&now, terms);
        let mut news = self.news_of_names(&now, &renamed, terms);
        if !renamed.is_empty() && !self.are_understood(&now, &renamed, &news, terms) {
            // Then all are told as if they were made and deleted.
            renamed.clear();
            news = self.news_of_names(&now, &renamed, terms);
        }
        self.compare_subscriptions(&now, terms, &mut news);
        self.compare_messages(&now, folders, &renamed, terms, &mut news);
        if terms.annotations.is_some() {
            self.compare_annotations(&now, terms, &mut news);
        }
        // What the client hears of the selected mailbox is noted where it is told.
        let is_lost = terms.selected.is_some_and(|id| {
            let (old, new) = (self.folders.get(&id), now.folders.get(&id));
            old.zip(new)
                .is_some_and(|(old, new)| !is_known_as(&new.name, &old.name, &renamed))
        });
        let heard = self
            .selected
            .take()
            .filter(|(id, _)| Some(*id) == terms.selected);
        now.lost = self.lost.filter(|id| Some(*id) == terms.selected);
        if let Some(id) = terms.selected
            && let Some(new) = now.folders.get_mut(&id)
            && let Some(old) = heard.as_ref().map(|(_, old)| old).or(self.folders.get(&id))
        {
            new.take_messages(old);
            if is_lost || now.lost.is_some() {
                // What the client has heard it has heard of another name.
                new.uid_next = Uid(0);
                new.uid_validity = UidValidity(0);
                now.lost = Some(id);
            }
        }
        now.selected = heard.filter(|_| now.lost.is_none());
        *self = now;
        news
    }

    pub(super) fn wanted<F>(&self, now: &Known, terms: &Terms<'_, F>, name: &str) -> Wanted
    where
        F: Fn(&str, bool) -> Wanted,
    {
        let is_subscribed = self.subscribed.contains(name) || now.subscribed.contains(name);
        (terms.wanted)(name, is_subscribed)
    }

    /// SubscriptionChange (RFC 5465 section 5.5).
    fn compare_subscriptions<F>(&self, now: &Known, terms: &Terms<'_, F>, news: &mut News)
    where
        F: Fn(&str, bool) -> Wanted,
    {
        for name in self.subscribed.symmetric_difference(&now.subscribed) {
            if (terms.wanted)(name, true).subscriptions {
                news.names.insert(name.clone());
            }
        }
    }

    /// MessageNew, MessageExpunge and FlagChange (RFC 5465 sections 5.1 to 5.3). A client knows
    /// mailboxes by their names, unless it is told that they are renamed.
    fn compare_messages<F>(
        &self,
        now: &Known,
        folders: &[Folder],
        renamed: &BTreeMap<&str, &str>,
        terms: &Terms<'_, F>,
        news: &mut News,
    ) where
        F: Fn(&str, bool) -> Wanted,
    {
        let is_same = |(id, state): (&MailboxId, &State)| {
            let old = self.folders.get(id);
            old.is_some_and(|old| old.name == state.name)
        };
        let mut had: BTreeMap<&str, &State> = BTreeMap::new();
        if !now.folders.iter().all(is_same) {
            let states = self.folders.values();
            had = states.map(|state| (state.name.as_str(), state)).collect();
        }
        let is_other = |folder: &&Folder| folder.exists && Some(folder.id) != terms.selected;
        let folders = folders.iter().filter(|folder| may_read(folder));
        for folder in folders.filter(is_other) {
            let wanted = (terms.wanted)(&folder.name, folder.subscribed);
            let Some(state) = now.folders.get(&folder.id).filter(|_| wanted.messages) else {
                continue;
            };
            let name = folder.name.as_str();
            let old = self.folders.get(&folder.id);
            let same = old.filter(|old| is_known_as(name, &old.name, renamed));
            let old = same.or_else(|| had.get(name).copied());
            let new = State::of_new(folder);
            let items = changed_items(old.unwrap_or(&new), state, wanted.flags, terms.condstore);
            if !items.is_empty() {
                news.status.push((folder.clone(), items));
            }
        }
    }

    /// MailboxMetadataChange and ServerMetadataChange (RFC 5465 sections 5.6 and 5.7).
    fn compare_annotations<F>(&self, now: &Known, terms: &Terms<'_, F>, news: &mut News)
    where
        F: Fn(&str, bool) -> Wanted,
    {
        let mut tell = |id: MailboxId, entry: &str| {
            if id == MailboxId(0) {
                let entries = news.metadata.entry(String::new()).or_default();
                entries.extend(terms.server_metadata.then(|| entry.to_owned()));
            } else if let Some(state) = now.folders.get(&id)
                && state.is_annotated
                && self.wanted(now, terms, &state.name).metadata
            {
                let entries = news.metadata.entry(state.name.clone()).or_default();
                entries.push(entry.to_owned());
            }
        };
        for (key, hash) in &now.annotations {
            if self.annotations.get(key) != Some(hash) {
                tell(key.0, &key.1);
            }
        }
        for key in self.annotations.keys() {
            if !now.annotations.contains_key(key) {
                tell(key.0, &key.1);
            }
        }
        for (id, state) in &now.folders {
            let old = self.folders.get(id).and_then(|old| old.special_use);
            if old != state.special_use {
                tell(*id, metadata::SPECIAL_USE);
            }
        }
        news.metadata.retain(|_, entries| !entries.is_empty());
    }

    /// The client has heard of the messages of the mailbox that it has selected.
    pub(super) fn note_messages(&mut self, folder: &Folder) {
        if self.lost == Some(folder.id) {
            return;
        }
        let heard = State::of(folder);
        if let Some(state) = self.folders.get_mut(&folder.id) {
            state.take_messages(&heard);
        }
        self.selected = Some((folder.id, heard));
    }

    /// The client has heard of them while another state was kept.
    pub(super) fn hear(&mut self, other: Known) {
        if let Some((id, heard)) = other.selected {
            if let Some(state) = self.folders.get_mut(&id) {
                state.take_messages(&heard);
            }
            self.selected = Some((id, heard));
        }
    }

    /// The client does not know how many messages a mailbox has.
    pub(super) fn forget_messages(&mut self, mailbox: MailboxId) {
        if let Some(state) = self.folders.get_mut(&mailbox) {
            state.uid_next = Uid(0);
        }
    }

    /// The client has added messages itself: if nobody else did, it need not hear of them.
    pub(super) fn note_added(&mut self, mailbox: MailboxId, first: Uid, count: u32) {
        let state = self.folders.get_mut(&mailbox);
        if let Some(state) = state.filter(|state| state.uid_next == first) {
            state.uid_next = Uid(first.0.saturating_add(count));
            state.messages = state.messages.saturating_add(count);
        }
    }

    /// The client has made a mailbox.
    pub(super) fn note_created(
        &mut self,
        id: MailboxId,
        name: &str,
        uid_validity: UidValidity,
        special_use: Option<SpecialUse>,
    ) {
        let folder = Folder {
            id,
            name: name.to_owned(),
            uid_validity,
            special_use,
            ..Folder::default()
        };
        self.folders.insert(id, State::of_new(&folder));
    }

    /// The client has deleted a mailbox.
    pub(super) fn note_deleted(&mut self, name: &str) {
        self.folders.retain(|_, state| state.name != name);
    }

    /// The client has renamed a mailbox with all below it.
    pub(super) fn note_renamed(&mut self, from: &str, to: &str) {
        for state in self.folders.values_mut() {
            let below = state.name.strip_prefix(from);
            let is_below = |below: &&str| below.is_empty() || below.starts_with(names::SEPARATOR);
            if let Some(below) = below.filter(is_below) {
                state.name = format!("{to}{below}");
            }
        }
    }

    /// The client has subscribed to a name, or does so no more.
    pub(super) fn note_subscribed(&mut self, name: &str, on: bool) {
        if on {
            self.subscribed.insert(name.to_owned());
        } else {
            self.subscribed.remove(name);
        }
    }

    /// Takes out the names that begin so of those that are subscribed.
    pub(super) fn take_subscribed(&mut self, prefix: &str) -> BTreeSet<String> {
        let mut names = self.subscribed.split_off(prefix);
        let is_after = |name: &&String| !name.starts_with(prefix);
        if let Some(after) = names.iter().find(is_after).cloned() {
            self.subscribed.append(&mut names.split_off(&after));
        }
        names
    }

    /// The client knows that these names are subscribed.
    pub(super) fn add_subscribed(&mut self, mut names: BTreeSet<String>) {
        self.subscribed.append(&mut names);
    }

    /// Names of mailboxes.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.folders.values().map(|state| state.name.as_str())
    }

    /// The client has set annotations.
    pub(super) fn note_annotated(
        &mut self,
        mailbox: Option<MailboxId>,
        entries: &[NewMetadata],
        special_use: Option<Option<SpecialUse>>,
    ) {
        let id = mailbox.unwrap_or(MailboxId(0));
        for entry in entries {
            let key = (id, entry.name.clone());
            match &entry.value {
                Some(value) => drop(self.annotations.insert(key, hash(value))),
                None => drop(self.annotations.remove(&key)),
            }
        }
        if let (Some(special_use), Some(state)) = (special_use, self.folders.get_mut(&id)) {
            state.special_use = special_use;
        }
    }
}

/// What STATUS tells of a mailbox whose state has changed.
fn changed_items(old: &State, new: &State, flags: bool, condstore: bool) -> Vec<StatusItem> {
    let counts = (old.uid_next, old.messages) != (new.uid_next, new.messages);
    let validity = old.uid_validity != new.uid_validity;
    let is_changed = old.modseq != new.modseq && old.modseq != ModSeq(0);
    let modseq = flags && condstore && is_changed;
    let items = [
        (counts || validity, StatusItem::Messages),
        (counts || validity, StatusItem::UidNext),
        (validity || modseq, StatusItem::UidValidity),
        (flags && old.unseen != new.unseen, StatusItem::Unseen),
        (condstore && counts || modseq, StatusItem::HighestModSeq),
    ];
    let told = items.into_iter().filter(|(is_told, _)| *is_told);
    told.map(|(_, item)| item).collect()
}

/// What STATUS tells when NOTIFY asks for it (RFC 5465 section 3.1).
pub(super) fn first_items(flags: bool, condstore: bool) -> Vec<StatusItem> {
    let mut items = vec![
        StatusItem::Messages,
        StatusItem::UidNext,
        StatusItem::UidValidity,
    ];
    items.extend((flags || condstore).then_some(StatusItem::HighestModSeq));
    items
}

fn hashes(annotations: &[Annotation]) -> BTreeMap<(MailboxId, String), Hash16> {
    let pairs = annotations
        .iter()
        .map(|one| ((one.mailbox, one.name.clone()), hash(&one.value)));
    pairs.collect()
}

fn hash(value: &Bytes) -> Hash16 {
    Hash16::of(value)
}
