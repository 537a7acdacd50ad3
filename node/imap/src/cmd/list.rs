//! LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9; RFC 3348, RFC 5258, RFC 5819, RFC 6154,
//! RFC 9590).
//!
//! All names of the account, and those of others that the user may look up, are read at once and
//! put in their order (`hierarchy`). A name that is only a superior of others has no mailbox: it is
//! listed with `\NonExistent`.

use std::collections::BTreeMap;

use mailbox::{Answer, Folder, Query, Rights};

use crate::backend::{Backend, Transport};
use crate::cmd::hierarchy::{Hierarchy, Node};
use crate::cmd::others::{is_refusal, may_match, permit};
use crate::grammar::{List, ListReturn, ListSelection, Lsub, SpecialUse, StatusItem};
use crate::limits;
use crate::names::Pattern;
use crate::pace::Pace;
use crate::respond::{Code, ListAttribute};
use crate::state::{Done, Result, Session, Stop};

/// About what it costs to come to a name, in bytes that are searched.
const NAME_BYTES: usize = 256;

impl Node<'_> {
    fn exists(&self) -> bool {
        self.folder.is_some_and(|folder| folder.exists)
    }

    fn is_subscribed(&self) -> bool {
        self.folder.is_some_and(|folder| folder.subscribed)
    }

    fn special_use(&self) -> Option<SpecialUse> {
        let folder = self.folder.filter(|folder| folder.exists)?;
        folder.special_use.map(grammar_use)
    }
}

/// The options of a LIST, picked apart.
#[derive(Default)]
struct Wanted<'l> {
    subscribed: bool,
    special: bool,
    recursive: bool,
    tell_subscribed: bool,
    status: Option<&'l [StatusItem]>,
    metadata: Option<&'l [String]>,
    my_rights: bool,
}

impl<'l> Wanted<'l> {
    fn of(list: &'l List) -> Wanted<'l> {
        let has = |selection| list.selection.contains(&selection);
        let mut wanted = Wanted {
            subscribed: has(ListSelection::Subscribed),
            special: has(ListSelection::SpecialUse),
            recursive: has(ListSelection::RecursiveMatch),
            tell_subscribed: has(ListSelection::Subscribed),
            status: None,
            metadata: None,
            my_rights: false,
        };
        for option in &list.returns {
            match option {
                ListReturn::Subscribed => wanted.tell_subscribed = true,
                ListReturn::Status(items) => wanted.status = Some(items),
                ListReturn::MyRights => wanted.my_rights = true,
                ListReturn::Metadata(entries) => wanted.metadata = Some(entries),
                // Told in any case.
                ListReturn::Children | ListReturn::SpecialUse => {}
            }
        }
        wanted
    }

    /// Whether the selection options select a name for its own sake; all of them must.
    fn selects(&self, folder: &Folder) -> bool {
        let is_special = folder.exists && folder.special_use.is_some();
        (!self.subscribed || folder.subscribed) && (!self.special || is_special)
    }

    /// Whether and why a name is listed.
    fn lists(&self, node: &Node<'_>) -> Option<Listed> {
        let is_plain = !self.subscribed && !self.special;
        let itself = match node.folder {
            Some(folder) if !is_plain => self.selects(folder),
            _ => is_plain && (node.exists() || node.has_children),
        };
        let below = self.recursive && node.has_selected_below;
        (itself || below).then_some(Listed { itself, below })
    }

    /// The selection options that CHILDINFO names.
    fn child_info(&self) -> Vec<&'static str> {
        let options = [
            (self.subscribed, "SUBSCRIBED"),
            (self.special, "SPECIAL-USE"),
        ];
        let given = options.into_iter().filter(|(is_given, _)| *is_given);
        given.map(|(_, name)| name).collect()
    }
}

/// Why a name is listed.
struct Listed {
    /// It was selected itself.
    itself: bool,
    /// RECURSIVEMATCH was asked for, and a name below it was selected.
    below: bool,
}

/// The attributes of names, with `\Subscribed`; of one that nothing is known of as well.
pub(crate) fn described(
    folders: Vec<Folder>,
    told: impl IntoIterator<Item = String>,
) -> Vec<(String, Vec<ListAttribute>)> {
    let wanted = Wanted {
        tell_subscribed: true,
        ..Wanted::default()
    };
    let names = Hierarchy::new(folders, |folder| wanted.selects(folder));
    told.into_iter()
        .map(|name| {
            let attributes = attributes(&names.find(&name), &wanted);
            (name, attributes)
        })
        .collect()
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn list(&mut self, list: &List) -> Result<Done> {
        let done = Done::text("LIST completed");
        let is_question = list.patterns.iter().all(|pattern| pattern.is_empty());
        if is_question {
            if !list.extended {
                self.conn.out.list_separator();
            }
            return Ok(done);
        }
        check_length(list)?;
        let wanted = Wanted::of(list);
        if wanted
            .status
            .is_some_and(|items| items.contains(&StatusItem::HighestModSeq))
        {
            self.enable_condstore();
        }
        // A pattern that is in no encoding matches nothing.
        let utf8 = self.conn.out.is_utf8();
        let patterns: Vec<Pattern> = list
            .patterns
            .iter()
            .filter(|pattern| !pattern.is_empty())
            .filter_map(|pattern| Pattern::new(&list.reference, pattern, utf8).ok())
            .collect();
        let mut annotations = match wanted.metadata {
            Some(_) => self.all_annotations().await?,
            None => BTreeMap::new(),
        };
        let asked = |prefix: &str| {
            let mut all = list.patterns.iter();
            all.any(|pattern| may_match(&list.reference, pattern, prefix))
        };
        let folders = self.all_folders(asked).await?;
        let folders = folders.into_iter().map(|place| place.folder).collect();
        let names = Hierarchy::new(folders, |folder| wanted.selects(folder));
        let mut pace = Pace::default();
        for (name, node) in names.nodes() {
            pace.spend(NAME_BYTES).await;
            let Some(listed) = wanted.lists(&node) else {
                continue;
            };
            if !matches(&patterns, name, &mut pace).await {
                continue;
            }
            let child_info = match listed.below {
                true => wanted.child_info(),
                false => Vec::new(),
            };
            let attributes = attributes(&node, &wanted);
            self.conn.out.list(&attributes, name, &child_info);
            let folder = node.folder;
            let folder = folder.filter(|folder| folder.exists && listed.itself);
            if folder.is_some() {
                self.enter(name).await?;
            }
            if let (Some(items), Some(folder)) = (wanted.status, folder) {
                self.list_status(folder, items).await?;
            }
            if let (true, Some(folder)) = (wanted.my_rights, folder) {
                self.tell_my_rights(folder);
            }
            if let (Some(entries), Some(folder)) = (wanted.metadata, folder) {
                let found = match folder.guest {
                    None => Ok(annotations.remove(&folder.id).unwrap_or_default()),
                    Some(_) => self.annotations(Some(folder.id)).await,
                };
                match found {
                    Ok(found) => self.tell_metadata(folder, found, entries),
                    Err(stop) if is_refusal(&stop) => {}
                    Err(stop) => return Err(stop),
                }
            }
            self.conn.relieve().await?;
        }
        Ok(done)
    }

    /// STATUS along with LIST. One that cannot be had is left out (RFC 5819 section 2): the mailbox
    /// may be gone by now.
    async fn list_status(&mut self, folder: &Folder, items: &[StatusItem]) -> Result<()> {
        if permit(folder, Rights::READ).is_err() {
            return Ok(());
        }
        match self.tell_status(folder, items).await {
            Err(Stop::No(..)) => Ok(()),
            told => told,
        }
    }

    /// A superior of subscribed names that matches where they do not is told as `\Noselect`
    /// (RFC 3501 section 6.3.9).
    pub(crate) async fn lsub(&mut self, lsub: &Lsub) -> Result<Done> {
        let done = Done::text("LSUB completed");
        if lsub.pattern.is_empty() {
            self.conn.out.lsub(&[ListAttribute::NoSelect], "");
            return Ok(done);
        }
        let utf8 = self.conn.out.is_utf8();
        let Ok(pattern) = Pattern::new(&lsub.reference, &lsub.pattern, utf8) else {
            return Ok(done);
        };
        let is_level = lsub.pattern.ends_with(b"%");
        let names = Hierarchy::new(self.folders().await?, |folder| folder.subscribed);
        let (pattern, mut pace) = ([pattern], Pace::default());
        for (name, node) in names.nodes() {
            pace.spend(NAME_BYTES).await;
            if !matches(&pattern, name, &mut pace).await {
                continue;
            }
            if node.is_subscribed() {
                self.conn.out.lsub(&[], name);
            } else if is_level && node.has_subscribed_below {
                self.conn.out.lsub(&[ListAttribute::NoSelect], name);
            }
            self.conn.relieve().await?;
        }
        Ok(done)
    }

    pub(crate) async fn folders(&mut self) -> Result<Vec<Folder>> {
        let query = Query::Folders {
            account: self.backend.account(),
        };
        let folders = self.ask(query, |answer| match answer {
            Answer::Folders(folders) => Some(folders),
            _ => None,
        });
        folders.await
    }
}

/// Refuses patterns that are too long together. One alone that is too long matches nothing.
fn check_length(list: &List) -> Result<()> {
    let lengths = list.patterns.iter();
    let lengths = lengths.map(|pattern| list.reference.len() + pattern.len());
    if list.patterns.len() > 1 && lengths.sum::<usize>() > limits::PATTERN_BYTES_MAX {
        return Err(Stop::no(Code::Limit, "The patterns are too long"));
    }
    Ok(())
}

/// Whether a name matches one of these. Others have their turn, whatever comes of it.
async fn matches(patterns: &[Pattern], name: &str, pace: &mut Pace) -> bool {
    let steps = patterns.iter().map(|pattern| pattern.steps_max(name));
    pace.spend(steps.sum()).await;
    patterns.iter().any(|pattern| pattern.matches(name))
}

fn attributes(node: &Node<'_>, wanted: &Wanted<'_>) -> Vec<ListAttribute> {
    let mut attributes = Vec::new();
    if !node.exists() {
        attributes.push(ListAttribute::NonExistent);
        attributes.push(ListAttribute::NoSelect);
    }
    if wanted.tell_subscribed && node.is_subscribed() {
        attributes.push(ListAttribute::Subscribed);
    }
    attributes.push(if node.has_children {
        ListAttribute::HasChildren
    } else {
        ListAttribute::HasNoChildren
    });
    attributes.extend(node.special_use().map(ListAttribute::SpecialUse));
    attributes
}

/// A special use as the grammar has it.
pub(crate) fn grammar_use(special: mailbox::SpecialUse) -> SpecialUse {
    match special {
        mailbox::SpecialUse::All => SpecialUse::All,
        mailbox::SpecialUse::Archive => SpecialUse::Archive,
        mailbox::SpecialUse::Drafts => SpecialUse::Drafts,
        mailbox::SpecialUse::Flagged => SpecialUse::Flagged,
        mailbox::SpecialUse::Junk => SpecialUse::Junk,
        mailbox::SpecialUse::Sent => SpecialUse::Sent,
        mailbox::SpecialUse::Trash => SpecialUse::Trash,
        mailbox::SpecialUse::Important => SpecialUse::Important,
    }
}

/// A special use as the machine has it.
pub(crate) fn machine_use(special: SpecialUse) -> mailbox::SpecialUse {
    match special {
        SpecialUse::All => mailbox::SpecialUse::All,
        SpecialUse::Archive => mailbox::SpecialUse::Archive,
        SpecialUse::Drafts => mailbox::SpecialUse::Drafts,
        SpecialUse::Flagged => mailbox::SpecialUse::Flagged,
        SpecialUse::Junk => mailbox::SpecialUse::Junk,
        SpecialUse::Sent => mailbox::SpecialUse::Sent,
        SpecialUse::Trash => mailbox::SpecialUse::Trash,
        SpecialUse::Important => mailbox::SpecialUse::Important,
    }
}
