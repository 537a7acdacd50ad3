//! What a client wants to hear of, and whose mail is watched for it.
//!
//! ```text
//!   groups ─► which names ─► whose mail   one's own, which is the first of the accounts
//!                                         others', if a group covers names below user/NAME/
//! ```
//!
//! Others are watched if they may have given the user rights, or are named; so that somebody is
//! watched says nothing of what there is. Each account is compared for itself: ids of mailboxes are
//! its own, and names begin differently in each. What is subscribed to is the user's own matter
//! and stands in his account, but is compared with the mailbox that it may name.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{AccountId, Folder, Millis};

use super::known::{Known, Wanted};
use crate::backend::Backend;
use crate::grammar::{Events, FetchItem, NotifyMailboxes, NotifySet};
use crate::guest::{OTHERS, owner_of};
use crate::limits;
use crate::names;

/// What a client that has used NOTIFY wants to hear of. By default that is nothing.
pub(crate) struct Watch<B> {
    /// Of the selected mailbox; `None` if nothing.
    pub(super) selected: Option<OfSelected>,
    /// Of all others, and of names.
    groups: Vec<Group>,
    /// Whose mail is watched: one's own first.
    pub(super) accounts: Vec<Watched<B>>,
    /// Whether there may be something to be told.
    pub(super) is_due: bool,
    /// Whether something could not be read.
    pub(super) is_stale: bool,
}

/// What is wanted of the selected mailbox: new and expunged messages, and perhaps more.
pub(super) struct OfSelected {
    /// Whether EXPUNGE waits for a command that allows it (RFC 5465 section 6.1.2).
    pub(super) is_delayed: bool,
    /// Whether changes of flags are.
    pub(super) flags: bool,
    /// What is told of new messages.
    pub(super) fetch: Vec<FetchItem>,
}

/// The mail of one account.
pub(super) struct Watched<B> {
    pub(super) backend: B,
    pub(super) known: Known,
    /// Names in it, if it is another's, that the user has subscribed to.
    pub(super) subscribed: BTreeSet<String>,
    /// Whether it is to be compared.
    pub(super) is_due: bool,
    /// Whether reading it came to nothing the last time; then others are compared before it.
    pub(super) is_stale: bool,
    /// When it was read last.
    pub(super) read: Millis,
    /// Whether the client has named it, so that it is watched whoever shares his mail.
    is_named: bool,
    /// Whether it is watched no more once it has been compared.
    is_leaving: bool,
}

struct Group {
    mailboxes: Mailboxes,
    events: Events,
}

/// Names in UTF-8.
enum Mailboxes {
    Own,
    Subscribed,
    Subtree(BTreeSet<String>),
    Named(BTreeSet<String>),
}

impl Mailboxes {
    /// What is no name can be no mailbox's (RFC 5465 section 3.1). Mail may be delivered into any
    /// mailbox, so all of the user's are inboxes (section 6.3).
    fn of(mailboxes: &NotifyMailboxes, utf8: bool) -> Mailboxes {
        let decoded = |raw: &[bytes::Bytes]| {
            let names = raw.iter().filter_map(|raw| names::decode(raw, utf8).ok());
            names.collect()
        };
        match mailboxes {
            NotifyMailboxes::Subscribed => Mailboxes::Subscribed,
            NotifyMailboxes::Subtree(raw) => Mailboxes::Subtree(decoded(raw)),
            NotifyMailboxes::Mailboxes(raw) => Mailboxes::Named(decoded(raw)),
            _ => Mailboxes::Own,
        }
    }

    fn has(&self, name: &str, is_subscribed: bool, is_own: bool) -> bool {
        match self {
            Mailboxes::Own => is_own,
            Mailboxes::Subscribed => is_subscribed,
            Mailboxes::Subtree(roots) => {
                roots.contains(name) || names::parents(name).any(|above| roots.contains(above))
            }
            Mailboxes::Named(names) => names.contains(name),
        }
    }

    /// Whether it may have names that begin so, `user/NAME/`, or the name above them.
    fn covers(&self, prefix: &str, subscribed: &BTreeSet<String>) -> bool {
        let top = prefix.strip_suffix(names::SEPARATOR).unwrap_or(prefix);
        let has_below = |names: &BTreeSet<String>| {
            let next = names.range(prefix.to_owned()..).next();
            next.is_some_and(|name| name.starts_with(prefix))
        };
        match self {
            Mailboxes::Own => false,
            Mailboxes::Subscribed => has_below(subscribed),
            Mailboxes::Subtree(names) => has_below(names) || self.has(top, false, false),
            Mailboxes::Named(names) => has_below(names) || names.contains(top),
        }
    }

    fn names(&self) -> Option<&BTreeSet<String>> {
        match self {
            Mailboxes::Subtree(names) | Mailboxes::Named(names) => Some(names),
            Mailboxes::Own | Mailboxes::Subscribed => None,
        }
    }
}

impl<B> Default for Watch<B> {
    fn default() -> Watch<B> {
        Watch {
            selected: None,
            groups: Vec::new(),
            accounts: Vec::new(),
            is_due: false,
            is_stale: false,
        }
    }
}

impl<B: Backend> Watched<B> {
    /// An account of which the client knows nothing.
    pub(super) fn new(backend: B) -> Watched<B> {
        Watched {
            backend,
            known: Known::default(),
            subscribed: BTreeSet::new(),
            is_due: true,
            is_stale: false,
            read: Millis(0),
            is_named: false,
            is_leaving: false,
        }
    }

    /// One that the client has named.
    pub(super) fn named(backend: B) -> Watched<B> {
        Watched {
            is_named: true,
            ..Watched::new(backend)
        }
    }

    /// What the names of all its mailboxes begin with; empty if it is one's own.
    pub(super) fn prefix(&self) -> &str {
        self.backend.guest().map_or("", |guest| guest.prefix())
    }

    /// About how many bytes it takes to remember it.
    fn bytes(&self) -> usize {
        let subscribed = self.subscribed.iter();
        let names = subscribed.map(|name| name.len() + size_of::<String>());
        size_of::<Self>() + self.known.bytes() + names.sum::<usize>()
    }
}

impl<B: Backend> Watch<B> {
    pub(super) fn new(set: &NotifySet, utf8: bool) -> Watch<B> {
        let mut watch = Watch::default();
        for group in &set.groups {
            let events = group.events.clone();
            match &group.mailboxes {
                NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed => {
                    let is_delayed = group.mailboxes == NotifyMailboxes::SelectedDelayed;
                    watch.selected = events.messages.then_some(OfSelected {
                        is_delayed,
                        flags: events.flags,
                        fetch: events.fetch,
                    });
                }
                mailboxes if events != Events::default() => watch.groups.push(Group {
                    mailboxes: Mailboxes::of(mailboxes, utf8),
                    events,
                }),
                _ => {}
            }
        }
        watch
    }

    /// All that there is to hear of the selected mailbox, and nothing else.
    pub(super) fn of_selected(opened: B) -> Watch<B> {
        Watch {
            selected: Some(OfSelected {
                is_delayed: false,
                flags: true,
                fetch: Vec::new(),
            }),
            accounts: vec![Watched::new(opened)],
            ..Watch::default()
        }
    }

    /// What all groups together want of a name, which is one's own or not.
    pub(super) fn wanted(&self, name: &str, is_subscribed: bool, is_own: bool) -> Wanted {
        let mut wanted = Wanted::default();
        let groups = self.groups.iter();
        for group in groups.filter(|group| group.mailboxes.has(name, is_subscribed, is_own)) {
            wanted.messages |= group.events.messages;
            wanted.flags |= group.events.flags;
            wanted.names |= group.events.names;
            wanted.subscriptions |= group.events.subscriptions;
            wanted.metadata |= group.events.metadata;
        }
        wanted
    }

    pub(super) fn wants_server_metadata(&self) -> bool {
        self.groups.iter().any(|group| group.events.server_metadata)
    }

    pub(super) fn wants_annotations(&self) -> bool {
        let wants = |group: &Group| group.events.metadata || group.events.server_metadata;
        self.groups.iter().any(wants)
    }

    pub(super) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn is_listening(&self) -> bool {
        self.selected.is_some() || self.has_groups()
    }

    /// Whether mailboxes with names that begin so may be wanted. `subscribed` are names of others'
    /// mailboxes that are subscribed to.
    pub(super) fn covers(&self, prefix: &str, subscribed: &BTreeSet<String>) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| group.mailboxes.covers(prefix, subscribed))
    }

    /// Whether any mailbox of another may be wanted.
    pub(super) fn may_cover_others(&self, subscribed: &BTreeSet<String>) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| match &group.mailboxes {
            Mailboxes::Subscribed => !subscribed.is_empty(),
            mailboxes => mailboxes
                .names()
                .is_some_and(|names| names.iter().any(|name| crate::guest::is_reserved(name))),
        })
    }

    /// The users of whom something is named.
    pub(super) fn named_owners(&self) -> BTreeSet<String> {
        let names = self
            .groups
            .iter()
            .filter_map(|group| group.mailboxes.names());
        let below = names.flatten().filter_map(|name| name.strip_prefix(OTHERS));
        let owners = below.filter_map(|below| below.split(names::SEPARATOR).next());
        owners.map(str::to_owned).collect()
    }

    /// The mail of an account, if it is watched.
    pub(super) fn account(&mut self, id: AccountId) -> Option<&mut Watched<B>> {
        let mut accounts = self.accounts.iter_mut();
        accounts.find(|account| account.backend.account() == id)
    }

    /// The mail of others.
    pub(super) fn others(&self) -> &[Watched<B>] {
        self.accounts.get(1..).unwrap_or_default()
    }

    /// How many of them are watched further.
    pub(super) fn others_kept(&self) -> usize {
        let others = self.others().iter();
        others.filter(|account| !account.is_leaving).count()
    }

    /// About how many bytes it takes to remember all of it.
    pub(super) fn bytes(&self) -> usize {
        self.accounts.iter().map(Watched::bytes).sum()
    }

    /// Something in these accounts may have changed.
    pub(super) fn hint(&mut self, ids: &[AccountId]) {
        self.is_due = true;
        for account in &mut self.accounts {
            account.is_due |= ids.contains(&account.backend.account());
        }
    }

    /// Accounts that were not read for long are to be compared: a hint may have been lost.
    pub(super) fn age(&mut self, now: Millis) {
        let long = limits::NOTIFY_READ_AGAIN_SECONDS * 1000;
        for account in &mut self.accounts {
            account.is_due |= now.0.saturating_sub(account.read.0) >= long;
        }
    }

    /// Whose mail to wait for: that of the selected mailbox, and what is watched.
    pub(super) fn waited_for<'a>(&'a self, opened: &'a B) -> Vec<&'a B> {
        let watched: &[Watched<B>] = match self.groups.is_empty() {
            true => &[],
            false => self.accounts.as_slice(),
        };
        let backends = watched.iter().map(|account| &account.backend);
        let is_other = |backend: &&B| backend.account() != opened.account();
        [opened]
            .into_iter()
            .chain(backends.filter(is_other))
            .collect()
    }

    /// From now on those are watched whose mail is wanted, and those who are named. `shares` says
    /// whether somebody may have given the user rights.
    pub(super) fn keep_those(&mut self, shares: impl Fn(AccountId) -> bool) {
        for account in self.accounts.iter_mut().skip(1) {
            let is_wanted = account.is_named || shares(account.backend.account());
            account.is_due |= !is_wanted;
            account.is_leaving = !is_wanted;
        }
    }

    /// Watches another's mail as well, of which the client knows nothing.
    pub(super) fn add(&mut self, mut other: Watched<B>) {
        if let Some(home) = self.accounts.first_mut() {
            let prefix = other.prefix().to_owned();
            let names = home.known.take_subscribed(&prefix);
            other.known.add_subscribed(names);
        }
        self.accounts.push(other);
    }

    /// Those that were to be compared once more, and were, are watched no more.
    pub(super) fn let_go(&mut self) {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.accounts)
            .into_iter()
            .partition(|account| account.is_leaving && !account.is_due);
        self.accounts = kept;
        if let Some(home) = self.accounts.first_mut() {
            for mut account in gone {
                home.known.add_subscribed(account.known.take_subscribed(""));
            }
        }
    }

    /// Gives names of others' mailboxes to those whose they are, out of one's own names, where
    /// they are subscribed to. Others are to be compared if theirs are not the same any more.
    pub(super) fn hand_out(&mut self, own: &mut Vec<Folder>) {
        let others = self.accounts.iter().skip(1);
        let owners = others.filter_map(|account| account.backend.guest());
        let mut names: BTreeMap<String, BTreeSet<String>> = owners
            .map(|guest| (guest.owner().to_owned(), BTreeSet::new()))
            .collect();
        if names.is_empty() {
            return;
        }
        own.retain_mut(|folder| {
            let owner = owner_of(&folder.name).filter(|_| !folder.exists);
            let Some(names) = owner.and_then(|owner| names.get_mut(owner)) else {
                return true;
            };
            names.insert(std::mem::take(&mut folder.name));
            false
        });
        for account in self.accounts.iter_mut().skip(1) {
            let owner = account.backend.guest().map_or("", |guest| guest.owner());
            let now = names.remove(owner).unwrap_or_default();
            account.is_due |= account.subscribed != now;
            account.subscribed = now;
        }
    }
}
