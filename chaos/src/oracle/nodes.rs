//! Whether all nodes say the same in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::{Kind, Violation};
use crate::history::{Answer, End, Entry, Op, Place};

/// Compares the last lists of each mailbox, one through each node.
pub(super) fn check(ledger: &mut Ledger, entries: &[Entry<'_>], nodes: &[u64]) {
    let mut lists: BTreeMap<(Place, u64), &Answer> = BTreeMap::new();
    for entry in entries {
        if let (Op::List { place, last: true }, End::Ok(_, answer)) = (entry.op, entry.end) {
            lists.insert((*place, entry.node), answer);
        }
    }
    for place in places(entries) {
        let missing = nodes
            .iter()
            .filter(|node| !lists.contains_key(&(place, **node)));
        for node in missing {
            let what = format!("{place} was not read through node {node}");
            ledger.violations.push(Violation {
                kind: Kind::NotRead,
                event: None,
                what,
            });
        }
        let mut read = nodes
            .iter()
            .filter_map(|node| Some((node, lists.get(&(place, *node))?)));
        let Some((first, expected)) = read.next() else {
            continue;
        };
        for (node, answer) in read.filter(|(_, answer)| answer != &expected) {
            let what = format!(
                "{place} through node {first} and through node {node}: {}",
                difference(expected, answer)
            );
            ledger.violations.push(Violation {
                kind: Kind::NodesDiffer,
                event: None,
                what,
            });
        }
    }
}

/// Every mailbox that anyone asked for anything.
fn places(entries: &[Entry<'_>]) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for entry in entries {
        match entry.op {
            Op::Deliver { to, .. } => places.extend(to),
            Op::Append { to, .. } => drop(places.insert(*to)),
            Op::Copy { from, to, .. } => places.extend([*from, *to]),
            Op::Store { place, .. }
            | Op::Expunge { place, .. }
            | Op::List { place, .. }
            | Op::Read { place, .. } => drop(places.insert(*place)),
        }
    }
    places
}

fn difference(one: &Answer, other: &Answer) -> String {
    let (
        Answer::Listed {
            messages: one_messages,
            ..
        },
        Answer::Listed {
            messages: other_messages,
            ..
        },
    ) = (one, other)
    else {
        return "no lists".into();
    };
    let differs = one_messages
        .iter()
        .zip(other_messages)
        .find(|(one, other)| one != other);
    match differs {
        Some((one, other)) => format!("{one:?} is {other:?}"),
        None if one_messages.len() != other_messages.len() => {
            format!(
                "{} messages are {}",
                one_messages.len(),
                other_messages.len()
            )
        }
        None => "UIDVALIDITY, UIDNEXT or HIGHESTMODSEQ differ".into(),
    }
}
