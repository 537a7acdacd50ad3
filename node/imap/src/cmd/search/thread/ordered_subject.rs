//! ORDEREDSUBJECT (RFC 5256 section 3): messages with one base subject are a thread, whose first
//! message is the parent of all others.

use std::collections::BTreeMap;

use mailbox::Hash16;

use super::{Node, Row, Tree};
use crate::cmd::search::paced;

pub(super) async fn tree(rows: Vec<Row>) -> Tree {
    // Ordered by date first, so that the first of each subject comes up first.
    let rows = paced::sorted(rows, &|one, other| one.when().cmp(&other.when())).await;
    let mut tree = Tree::default();
    let mut firsts: BTreeMap<Option<Hash16>, usize> = BTreeMap::new();
    for (at, row) in rows.into_iter().enumerate() {
        tree.nodes.push(Node {
            message: Some(row),
            children: Vec::new(),
        });
        let first = *firsts.entry(row.subject).or_insert(at);
        if first == at {
            tree.roots.push(at);
        } else {
            tree.nodes[first].children.push(at);
        }
    }
    tree
}
