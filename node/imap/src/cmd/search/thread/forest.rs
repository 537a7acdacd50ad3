//! Trees that are linked and cut, with the root of any node in logarithmic time: the link-cut trees
//! of Sleator and Tarjan ("A data structure for dynamic trees", 1983), with splay trees.
//!
//! Whoever links messages must see loops. Walking up a thread each time would take quadratic time
//! for a mailbox that is one long thread.
//!
//! Each tree is cut into paths downwards. A path is a splay tree ordered by depth, so what is left
//! of a node lies above it; the parent of a splay tree's root is the node above the path.

/// No node.
const NONE: u32 = u32::MAX;

/// Trees over nodes 0, 1, 2 ..
#[derive(Debug, Default)]
pub(super) struct Forest {
    nodes: Vec<Splay>,
}

#[derive(Clone, Copy, Debug)]
struct Splay {
    /// In the splay tree, or the node above the path.
    parent: u32,
    /// Nearer to the tree's root.
    above: u32,
    below: u32,
}

impl Forest {
    /// A new node, a tree of its own.
    pub(super) fn add(&mut self) {
        self.nodes.push(Splay {
            parent: NONE,
            above: NONE,
            below: NONE,
        });
    }

    /// Makes a node, which is a root, the child of one that is in another tree.
    pub(super) fn link(&mut self, root: u32, parent: u32) {
        self.expose(root);
        self.node(root).parent = parent;
    }

    /// Makes a node, which has a parent, a root.
    pub(super) fn cut(&mut self, child: u32) {
        self.expose(child);
        let above = std::mem::replace(&mut self.node(child).above, NONE);
        if above != NONE {
            self.node(above).parent = NONE;
        }
    }

    /// The root of the tree in which a node is.
    pub(super) fn root(&mut self, node: u32) -> u32 {
        self.expose(node);
        let mut root = node;
        while self.node(root).above != NONE {
            root = self.node(root).above;
        }
        self.splay(root);
        root
    }

    fn node(&mut self, at: u32) -> &mut Splay {
        &mut self.nodes[at as usize]
    }

    /// Makes the way from the root to a node one path, and the node the root of its splay tree.
    fn expose(&mut self, node: u32) {
        let (mut at, mut below) = (node, NONE);
        while at != NONE {
            self.splay(at);
            self.node(at).below = below;
            below = at;
            at = self.node(at).parent;
        }
        self.splay(node);
    }

    /// The parent within the splay tree.
    fn splay_parent(&mut self, at: u32) -> Option<u32> {
        let parent = self.node(at).parent;
        if parent == NONE {
            return None;
        }
        let Splay { above, below, .. } = *self.node(parent);
        (above == at || below == at).then_some(parent)
    }

    fn splay(&mut self, at: u32) {
        while let Some(parent) = self.splay_parent(at) {
            if let Some(grandparent) = self.splay_parent(parent) {
                let is_straight =
                    (self.node(parent).above == at) == (self.node(grandparent).above == parent);
                self.rotate(if is_straight { parent } else { at });
            }
            self.rotate(at);
        }
    }

    /// Lets a node change places with its parent in the splay tree.
    fn rotate(&mut self, at: u32) {
        let parent = self.node(at).parent;
        let grandparent = self.node(parent).parent;
        let is_in_tree = self.splay_parent(parent).is_some();
        let is_above = self.node(parent).above == at;
        let moved = if is_above {
            std::mem::replace(&mut self.node(at).below, parent)
        } else {
            std::mem::replace(&mut self.node(at).above, parent)
        };
        if is_above {
            self.node(parent).above = moved;
        } else {
            self.node(parent).below = moved;
        }
        if moved != NONE {
            self.node(moved).parent = parent;
        }
        self.node(parent).parent = at;
        self.node(at).parent = grandparent;
        if is_in_tree {
            let grandparent = self.node(grandparent);
            if grandparent.above == parent {
                grandparent.above = at;
            } else {
                grandparent.below = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODES: u32 = 24;

    /// The same, walking.
    fn root(parents: &[Option<u32>], mut at: u32) -> u32 {
        while let Some(parent) = parents[at as usize] {
            at = parent;
        }
        at
    }

    proptest! {
        #[test]
        fn agrees_with_walking(steps in proptest::collection::vec((0..NODES, 0..NODES), 0..400)) {
            let mut forest = Forest::default();
            let mut parents = vec![None; NODES as usize];
            (0..NODES).for_each(|_| forest.add());
            for (child, parent) in steps {
                prop_assert_eq!(forest.root(child), root(&parents, child));
                if parents[child as usize].take().is_some() {
                    forest.cut(child);
                } else if root(&parents, parent) != child {
                    forest.link(child, parent);
                    parents[child as usize] = Some(parent);
                }
            }
            for node in 0..NODES {
                prop_assert_eq!(forest.root(node), root(&parents, node));
            }
        }
    }
}
