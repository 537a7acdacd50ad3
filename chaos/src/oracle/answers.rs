//! Whether there was a reason for what was not done.

use std::collections::BTreeSet;

use super::Kind;
use super::ledger::Ledger;
use crate::cluster::NODES;
use crate::history::{Fault, History, Met, What};

/// What a server says that has no room for mail, by LMTP.
const NO_ROOM: &str = "452 4.3.1";

/// The disks that were filled so far.
#[derive(Default)]
struct Disks {
    full: BTreeSet<u64>,
    /// A majority had no room at some time: mail may be refused, and given up.
    were_full: bool,
}

impl Disks {
    fn note(&mut self, fault: &Fault) {
        match fault {
            Fault::Full { nodes } => self.full.extend(nodes),
            Fault::Room { nodes } => self.full.retain(|node| !nodes.contains(node)),
            _ => {}
        }
        self.were_full |= self.full.len() * 2 > NODES as usize;
    }
}

/// Goes through everything that clients met with.
pub(super) fn check(ledger: &mut Ledger, history: &History) {
    let mut disks = Disks::default();
    for (at, event) in history.events.iter().enumerate() {
        match &event.what {
            What::Fault(fault) => disks.note(fault),
            What::Met { client, node, met } => {
                let (kind, what) = match met {
                    Met::GaveUp { last, .. } if last.contains(NO_ROOM) && disks.were_full => {
                        continue;
                    }
                    Met::GaveUp { serial, left, last } => {
                        let what = format!("gave up message {serial} to {left:?}: {last}");
                        (Kind::Stuck, what)
                    }
                    Met::NotServed(what) => (Kind::Stuck, format!("through node {node}: {what}")),
                };
                ledger.accuse(kind, at, format!("{client} {what}"));
            }
            _ => {}
        }
    }
}
