//! REFERENCES (RFC 5256 section 3, steps 2 to 6), and REFS (draft-ietf-morg-inthread section 4),
//! which does not look at subjects and lets the thread come last to which the newest message came.

use std::collections::BTreeMap;

use mailbox::{Hash16, Uid};

use super::links::Links;
use super::{Node, Tree};
use crate::cmd::search::paced;
use crate::limits::TURN_ORDERED;
use crate::pace::turn;

pub(super) async fn tree(links: Links, is_refs: bool) -> Tree {
    let mut tree = pruned(links).await;
    tree.order_children().await;
    if is_refs {
        let newest = tree.newest();
        tree.order_roots(|_, root| newest[root]).await;
        return tree;
    }
    // Step 4.
    tree.order_roots(Tree::when).await;
    // Step 5.
    turn().await;
    tree.merge_subjects();
    // Step 6.
    turn().await;
    tree.order_children().await;
    tree.order_roots(Tree::when).await;
    tree
}

/// Steps 2 and 3: the tree without messages that are not there, except those that have no parent
/// and hold several others together.
async fn pruned(links: Links) -> Tree {
    let Links {
        messages, parents, ..
    } = links;
    let parents: Vec<Option<usize>> = parents
        .into_iter()
        .map(|parent| parent.map(|parent| parent as usize))
        .collect();
    let mut tree = Tree::default();
    tree.nodes.extend(messages.into_iter().map(|message| Node {
        message,
        children: Vec::new(),
    }));
    turn().await;
    let downwards = downwards(&parents);
    turn().await;
    // Above each node: the nearest message, or the one without a parent.
    let mut above: Vec<Option<usize>> = parents;
    for &node in &downwards {
        if let Some(parent) = above[node]
            && tree.nodes[parent].message.is_none()
        {
            above[node] = above[parent].or(Some(parent));
        }
    }
    turn().await;
    for &node in &downwards {
        if let Some(parent) = above[node]
            && tree.nodes[node].message.is_some()
        {
            tree.nodes[parent].children.push(node);
        }
    }
    turn().await;
    for &node in downwards.iter().filter(|node| above[**node].is_none()) {
        match (tree.nodes[node].message, &tree.nodes[node].children[..]) {
            (None, []) => {}
            (None, [child]) => tree.roots.push(*child),
            _ => tree.roots.push(node),
        }
    }
    tree
}

/// All nodes, each after its parent.
fn downwards(parents: &[Option<usize>]) -> Vec<usize> {
    let mut children = vec![0usize; parents.len()];
    for parent in parents.iter().flatten() {
        children[*parent] += 1;
    }
    let is_leaf = |node: &usize| children[*node] == 0;
    let mut upwards: Vec<usize> = (0..parents.len()).filter(is_leaf).collect();
    let mut at = 0;
    while let Some(&node) = upwards.get(at) {
        at += 1;
        if let Some(parent) = parents[node] {
            children[parent] -= 1;
            if children[parent] == 0 {
                upwards.push(parent);
            }
        }
    }
    upwards.reverse();
    upwards
}

impl Tree {
    /// The date by which a node is ordered: its own, or its first child's if it is not there.
    fn when(&self, node: usize) -> (i64, Uid) {
        self.first(node).map(|row| row.when()).unwrap_or_default()
    }

    fn first(&self, node: usize) -> Option<super::Row> {
        let first = |child: &usize| self.nodes[*child].message;
        let node = &self.nodes[node];
        node.message
            .or_else(|| node.children.first().and_then(first))
    }

    /// Orders all that have one parent by date.
    async fn order_children(&mut self) {
        let mut passed = 0;
        for node in 0..self.nodes.len() {
            let children = std::mem::take(&mut self.nodes[node].children);
            passed += 1 + children.len();
            if children.len() > 1 {
                let by_date = |one: &usize, other: &usize| self.when(*one).cmp(&self.when(*other));
                self.nodes[node].children = paced::sorted(children, &by_date).await;
            } else {
                self.nodes[node].children = children;
            }
            if passed > TURN_ORDERED {
                passed = 0;
                turn().await;
            }
        }
    }

    async fn order_roots(&mut self, when: impl Fn(&Tree, usize) -> (i64, Uid) + Sync) {
        let roots = std::mem::take(&mut self.roots);
        let by_date = |one: &usize, other: &usize| when(self, *one).cmp(&when(self, *other));
        self.roots = paced::sorted(roots, &by_date).await;
    }

    /// For each root, when the newest message of its thread arrived.
    fn newest(&self) -> Vec<(i64, Uid)> {
        let mut newest = vec![(i64::MIN, Uid(0)); self.nodes.len()];
        let mut to_do: Vec<(usize, usize)> = self.roots.iter().map(|root| (*root, *root)).collect();
        while let Some((root, node)) = to_do.pop() {
            let node = &self.nodes[node];
            if let Some(row) = &node.message {
                newest[root] = newest[root].max((row.arrived, row.uid));
            }
            to_do.extend(node.children.iter().map(|child| (root, *child)));
        }
        newest
    }

    /// Step 5: puts threads with one subject together.
    fn merge_subjects(&mut self) {
        let table = self.subjects();
        let mut merge = Merge {
            table,
            is_moved: vec![false; self.nodes.len()],
            added: Vec::new(),
        };
        for root in self.roots.clone() {
            self.merge(root, &mut merge);
        }
        self.roots.extend(&merge.added);
        self.roots.retain(|root| !merge.is_moved[*root]);
    }

    /// Step 5.B: for each subject the root that stands for it: one that is not there before one
    /// that is, what is no reply before a reply, the first before others.
    fn subjects(&self) -> BTreeMap<Hash16, usize> {
        let mut table = BTreeMap::new();
        for &root in &self.roots {
            let Some(subject) = self.first(root).and_then(|row| row.subject) else {
                continue;
            };
            let known = *table.entry(subject).or_insert(root);
            let is_better = match (self.nodes[known].message, self.nodes[root].message) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(known), Some(row)) => known.is_reply && !row.is_reply,
            };
            if is_better {
                table.insert(subject, root);
            }
        }
        table
    }

    /// Step 5.C.
    fn merge(&mut self, root: usize, merge: &mut Merge) {
        let Some(subject) = self.first(root).and_then(|row| row.subject) else {
            return;
        };
        let Some(&known) = merge.table.get(&subject) else {
            return;
        };
        if known == root || merge.is_moved[root] {
            return;
        }
        match (self.nodes[known].message, self.nodes[root].message) {
            (None, None) => {
                let children = std::mem::take(&mut self.nodes[root].children);
                self.nodes[known].children.extend(children);
                merge.is_moved[root] = true;
            }
            (None, Some(_)) => self.move_below(known, root, merge),
            (Some(known_row), Some(row)) if row.is_reply && !known_row.is_reply => {
                self.move_below(known, root, merge);
            }
            _ => {
                let both = self.nodes.len();
                self.nodes.push(Node::default());
                merge.is_moved.push(false);
                merge.added.push(both);
                self.move_below(both, known, merge);
                self.move_below(both, root, merge);
                merge.table.insert(subject, both);
            }
        }
    }

    fn move_below(&mut self, parent: usize, root: usize, merge: &mut Merge) {
        self.nodes[parent].children.push(root);
        merge.is_moved[root] = true;
    }
}

/// What step 5.C works with.
struct Merge {
    table: BTreeMap<Hash16, usize>,
    /// Which nodes are roots no more.
    is_moved: Vec<bool>,
    /// New roots that hold others together.
    added: Vec<usize>,
}
