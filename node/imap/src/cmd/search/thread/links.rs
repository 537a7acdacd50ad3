//! Which message follows which (RFC 5256 section 3, REFERENCES, step 1).

use std::collections::BTreeMap;

use mailbox::Hash16;

use super::Row;
use super::forest::Forest;
use crate::limits;
use crate::respond::Code;
use crate::state::{Result, Stop};

/// Messages and those that they refer to, linked. No node is above itself.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// The messages; `None` for one that is only referred to.
    pub(super) messages: Vec<Option<Row>>,
    /// The parent of each.
    pub(super) parents: Vec<Option<u32>>,
    by_id: BTreeMap<Hash16, u32>,
    /// The same links, for finding roots.
    forest: Forest,
}

impl Links {
    /// Adds the next message of the mailbox with the messages that it refers to, the oldest first.
    ///
    /// # Errors
    /// NO if there are too many.
    pub(super) fn add(
        &mut self,
        row: Row,
        id: Option<Hash16>,
        references: impl IntoIterator<Item = Hash16>,
    ) -> Result<()> {
        let node = self.node_of(row, id)?;
        // Step 1.A: each is the parent of the next. A link that is there stays.
        let mut last = None;
        for id in references {
            let next = self.node_with(id)?;
            if let Some(last) = last
                && self.parent(next).is_none()
            {
                self.link(next, last);
            }
            last = Some(next);
        }
        // Step 1.B: the last one is the message's parent, whatever others said before.
        if self.parent(node).is_some() {
            self.parents[node as usize] = None;
            self.forest.cut(node);
        }
        if let Some(parent) = last {
            self.link(node, parent);
        }
        Ok(())
    }

    /// The node of a message. Of several with one id the first one has it; the others, and those
    /// that have none, have an id that nobody refers to.
    fn node_of(&mut self, row: Row, id: Option<Hash16>) -> Result<u32> {
        let named = match id {
            Some(id) => Some(self.node_with(id)?),
            None => None,
        };
        let free = named.filter(|node| self.messages[*node as usize].is_none());
        let node = match free {
            Some(node) => node,
            None => self.new_node()?,
        };
        self.messages[node as usize] = Some(row);
        Ok(node)
    }

    fn node_with(&mut self, id: Hash16) -> Result<u32> {
        if let Some(node) = self.by_id.get(&id) {
            return Ok(*node);
        }
        let node = self.new_node()?;
        self.by_id.insert(id, node);
        Ok(node)
    }

    fn new_node(&mut self) -> Result<u32> {
        let node = self.messages.len();
        if node >= limits::THREAD_IDS_MAX {
            return Err(Stop::no(Code::Limit, "Too many messages to be threaded"));
        }
        self.messages.push(None);
        self.parents.push(None);
        self.forest.add();
        Ok(u32::try_from(node).expect("bounded"))
    }

    fn parent(&self, node: u32) -> Option<u32> {
        self.parents[node as usize]
    }

    /// Links a node that has no parent, unless that would be a loop.
    fn link(&mut self, child: u32, parent: u32) {
        if self.forest.root(parent) != child {
            self.parents[child as usize] = Some(parent);
            self.forest.link(child, parent);
        }
    }
}
