//! The names of an account in their order, with those that only others continue.
//!
//! ```text
//!   a/b       a/b/c  d      mailboxes, and names that are subscribed to
//!   a  a/b    a/b/c  d      with their superiors
//! ```
//!
//! What is below a name follows it directly. So nothing is held of superiors, of which there may be
//! 63 to each name: they are met in passing, and what is below one is the difference of two sums.

use mailbox::Folder;

use crate::names;

/// Mailboxes and subscriptions.
pub(super) struct Hierarchy {
    /// By [`place`]; no name twice.
    folders: Vec<Folder>,
    /// How many there are before each, and before the end.
    before: Vec<Counts>,
}

/// How many names are of a kind.
#[derive(Clone, Copy, Default)]
struct Counts {
    existing: usize,
    subscribed: usize,
    selected: usize,
}

/// What is known of a name.
#[derive(Default)]
pub(super) struct Node<'h> {
    /// `None` for a name that only others continue.
    pub(super) folder: Option<&'h Folder>,
    /// A mailbox is below.
    pub(super) has_children: bool,
    /// A name below is subscribed to.
    pub(super) has_subscribed_below: bool,
    /// A name below is selected.
    pub(super) has_selected_below: bool,
}

impl Hierarchy {
    /// Of these names, of which some are selected. Of two that are the same the last one counts.
    pub(super) fn new(mut folders: Vec<Folder>, selects: impl Fn(&Folder) -> bool) -> Hierarchy {
        folders.sort_by_cached_key(|folder| place(&folder.name));
        folders.dedup_by(|next, kept| {
            let is_same = next.name == kept.name;
            if is_same {
                std::mem::swap(next, kept);
            }
            is_same
        });
        let mut sum = Counts::default();
        let mut before = Vec::with_capacity(folders.len() + 1);
        before.push(sum);
        before.extend(folders.iter().map(|folder| {
            sum.existing += usize::from(folder.exists);
            sum.subscribed += usize::from(folder.subscribed);
            sum.selected += usize::from(selects(folder));
            sum
        }));
        Hierarchy { folders, before }
    }

    /// All names and their superiors, each once.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, Node<'_>)> + Send {
        let mut last = "";
        let folders = self.folders.iter().enumerate();
        folders.flat_map(move |(at, folder)| {
            let name = folder.name.as_str();
            let superiors = new_superiors(name, std::mem::replace(&mut last, name));
            let names = superiors.chain([name]);
            names.map(move |name| (name, self.node(name, at)))
        })
    }

    /// A name, of which nothing may be known.
    pub(super) fn find(&self, name: &str) -> Node<'_> {
        let wanted = place(name);
        let at = self
            .folders
            .partition_point(|folder| place(&folder.name) < wanted);
        self.node(name, at)
    }

    /// A name that is at this place itself, or what is below it begins there.
    fn node(&self, name: &str, at: usize) -> Node<'_> {
        let folder = self.folders.get(at).filter(|folder| folder.name == name);
        let start = at + usize::from(folder.is_some());
        let rest = self.folders.get(start..).unwrap_or_default();
        let count = match rest.first() {
            Some(next) if is_below(&next.name, name) => {
                rest.partition_point(|folder| is_below(&folder.name, name))
            }
            _ => 0,
        };
        let before = |at: usize| self.before.get(at).copied().unwrap_or_default();
        let (first, last) = (before(start), before(start + count));
        Node {
            folder,
            has_children: last.existing > first.existing,
            has_subscribed_below: last.subscribed > first.subscribed,
            has_selected_below: last.selected > first.selected,
        }
    }
}

/// What decides where a name stands: no character comes before the separator, so that nothing comes
/// between a name and what is below it.
fn place(name: &str) -> String {
    name.replace(names::SEPARATOR, "\0")
}

fn is_below(name: &str, above: &str) -> bool {
    let rest = name.strip_prefix(above);
    rest.is_some_and(|rest| rest.starts_with(names::SEPARATOR))
}

/// The superiors of a name that neither are the name before it nor are above that one, the highest
/// first.
fn new_superiors<'n>(name: &'n str, before: &'n str) -> impl Iterator<Item = &'n str> + Send {
    let pairs = name.bytes().zip(before.bytes());
    let common = pairs.take_while(|(one, other)| one == other).count();
    let separators = name.match_indices(names::SEPARATOR).map(|(at, _)| at);
    separators
        .filter(move |at| *at > common || *at == common && before.len() > common)
        .map(|at| name.split_at(at).0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Whether a name exists, is subscribed to, and is selected; and the same of what is below it.
    type Known = (Option<[bool; 3]>, [bool; 3]);

    fn folders() -> impl Strategy<Value = Vec<(String, [bool; 3])>> {
        let level = prop::sample::select(vec!["a", "b", "a b", "a-", "\u{e4}", "A"]);
        let name = prop::collection::vec(level, 1..5).prop_map(|levels| levels.join("/"));
        prop::collection::vec((name, any::<[bool; 3]>()), 0..20)
    }

    /// What there is to be known, written down in full.
    fn model(folders: &[(String, [bool; 3])]) -> BTreeMap<String, Known> {
        let last: BTreeMap<_, _> = folders.iter().cloned().collect();
        let mut model: BTreeMap<String, Known> = BTreeMap::new();
        for (name, is) in last {
            for above in names::parents(&name) {
                let below = &mut model.entry(above.to_owned()).or_default().1;
                for (below, is) in below.iter_mut().zip(is) {
                    *below |= is;
                }
            }
            model.entry(name).or_default().0 = Some(is);
        }
        model
    }

    fn known(node: &Node<'_>) -> Known {
        let itself = node.folder.map(|folder| {
            let is_selected = folder.special_use.is_some();
            [folder.exists, folder.subscribed, is_selected]
        });
        let below = [
            node.has_children,
            node.has_subscribed_below,
            node.has_selected_below,
        ];
        (itself, below)
    }

    proptest! {
        #[test]
        fn all_that_is_to_be_known(folders in folders()) {
            let model = model(&folders);
            let made = folders.iter().map(|(name, [exists, subscribed, selected])| Folder {
                name: name.clone(),
                exists: *exists,
                subscribed: *subscribed,
                special_use: selected.then_some(mailbox::SpecialUse::Junk),
                ..Folder::default()
            });
            let is_selected = |folder: &Folder| folder.special_use.is_some();
            let hierarchy = Hierarchy::new(made.collect(), is_selected);
            let mut found = BTreeMap::new();
            for (name, node) in hierarchy.nodes() {
                let before = found.insert(name.to_owned(), known(&node));
                prop_assert!(before.is_none(), "{} is told twice", name);
            }
            prop_assert_eq!(&found, &model);
            for (name, known_of_it) in model {
                prop_assert_eq!(known(&hierarchy.find(&name)), known_of_it);
            }
            prop_assert_eq!(known(&hierarchy.find("x")), Known::default());
        }
    }
}
