//! Whether there was a reason for what was not done.
//!
//! Clients ask for nothing that is wrong, and have the right passwords. So a server may say that it
//! cannot do it now (`[UNAVAILABLE]`, 4yz), that a message is gone if that may be so, and that
//! there is no room while the disks of a majority are full. What else it refuses it refuses
//! wrongly.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use super::ledger::Ledger;
use crate::cluster::NODES;
use crate::history::{Answer, Fault, History, Met, Op, Place, Receipt, What};

/// What a server says that has no room for mail, by LMTP.
const NO_ROOM: &str = "452 4.3.1";

/// The same by IMAP.
const NEARLY_FULL: &str = "nearly full";

/// How refusals of an IMAP server begin in a history.
const IMAP_REFUSALS: [&str; 3] = ["No ", "Bad ", "Bye "];

/// The disks that were filled so far.
#[derive(Default)]
struct Disks {
    full: BTreeSet<u64>,
    /// The last event before which a majority had no room.
    full_until: Option<usize>,
}

impl Disks {
    fn note(&mut self, fault: &Fault, at: usize) {
        if self.are_full() {
            self.full_until = Some(at);
        }
        match fault {
            Fault::Full { nodes } => self.full.extend(nodes),
            Fault::Room { nodes } => self.full.retain(|node| !nodes.contains(node)),
            _ => {}
        }
    }

    fn are_full(&self) -> bool {
        self.full.len() * 2 > NODES as usize
    }

    /// Whether a majority had no room at some time since this event.
    fn were_full(&self, since: usize) -> bool {
        self.are_full() || self.full_until.is_some_and(|until| until > since)
    }
}

/// Goes through everything that clients were answered or met with.
pub(super) fn check(ledger: &mut Ledger, history: &History) {
    let mut disks = Disks::default();
    let mut open: BTreeMap<u64, (usize, &Op)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (at, event) in history.events.iter().enumerate() {
        let asked = open.get(&event.id).copied();
        let found = match &event.what {
            What::Invoke { op, .. } => {
                open.insert(event.id, (at, op));
                continue;
            }
            What::Fault(fault) => {
                disks.note(fault, at);
                continue;
            }
            What::Ok(answer) => receipts(answer, &disks, asked),
            What::Fail(why) => refused(ledger, why, asked, at, &disks),
            What::Broken(why) => Some((Kind::BadAnswer, why.clone())),
            What::Met { client, node, met } => met_with(ledger, met, at, &disks)
                .map(|(kind, what)| (kind, format!("{client} through node {node}: {what}"))),
            What::Unknown(_) | What::Readers(_) => None,
        };
        open.remove(&event.id);
        if let Some((kind, what)) = found {
            let asked = asked.map_or_else(String::new, |(_, op)| format!(" to {op:?}"));
            wrong.push((kind, at, format!("{what}{asked}")));
        }
    }
    for (kind, at, what) in wrong {
        ledger.accuse(kind, at, what);
    }
}

fn met_with(ledger: &Ledger, met: &Met, at: usize, disks: &Disks) -> Option<(Kind, String)> {
    match met {
        Met::GaveUp { last, .. } if last.contains(NO_ROOM) && disks.were_full(0) => None,
        Met::GaveUp { serial, left, last } => {
            let what = format!("gave up message {serial} to {left:?}: {last}");
            Some((Kind::Stuck, what))
        }
        Met::NotServed(what) => Some((Kind::Stuck, what.clone())),
        Met::Refused(why) => refused(ledger, why, None, at, disks),
        Met::BadAnswer(why) => Some((Kind::BadAnswer, why.clone())),
    }
}

/// A refusal, if it is one and without a reason: a connection that broke is none.
fn refused(
    ledger: &Ledger,
    why: &str,
    asked: Option<(usize, &Op)>,
    at: usize,
    disks: &Disks,
) -> Option<(Kind, String)> {
    let begin = asked.map_or(at, |(begin, _)| begin);
    let op = asked.map(|(_, op)| op);
    let may_say = if let Some(Op::Deliver { .. }) = op {
        if why.starts_with('5') {
            return Some((Kind::Bounced, why.to_owned()));
        }
        !why.starts_with(NO_ROOM) || disks.were_full(begin)
    } else if !IMAP_REFUSALS.iter().any(|start| why.starts_with(start)) {
        true
    } else if why.contains(NEARLY_FULL) {
        disks.were_full(begin)
    } else if why.contains("[EXPUNGEISSUED]") {
        op.is_some_and(|op| may_be_gone(ledger, op, begin, at))
    } else {
        why.starts_with("No [UNAVAILABLE]")
    };
    (!may_say).then(|| (Kind::Refused, why.to_owned()))
}

/// Recipients that were refused since there is no room, though there is.
fn receipts(answer: &Answer, disks: &Disks, asked: Option<(usize, &Op)>) -> Option<(Kind, String)> {
    let Answer::Delivered(receipts) = answer else {
        return None;
    };
    let (begin, _) = asked?;
    let no_room = |receipt: &&Receipt| match receipt {
        Receipt::Stored => false,
        Receipt::Unknown(why) | Receipt::Refused(why) => why.starts_with(NO_ROOM),
    };
    let found = receipts.iter().find(no_room)?;
    (!disks.were_full(begin)).then(|| (Kind::Refused, format!("{found:?}")))
}

/// Whether something that is asked for may have been taken away.
fn may_be_gone(ledger: &Ledger, op: &Op, begin: usize, at: usize) -> bool {
    let gone = |place: &Place, uid: &u32| {
        let message = ledger.message(*place, *uid);
        !message.is_some_and(|message| message.there(begin, at))
    };
    match op {
        Op::Copy { from, uids, .. } => uids.iter().any(|uid| gone(from, uid)),
        Op::Store { place, uids, .. } | Op::Expunge { place, uids } => {
            uids.iter().any(|uid| gone(place, uid))
        }
        Op::Read { place, uid } => gone(place, uid),
        Op::List { place, .. } => {
            let known = ledger.mailboxes.get(place).into_iter();
            let mut messages = known.flat_map(|mailbox| &mailbox.messages);
            messages.any(|(_, message)| !message.there(begin, at))
        }
        Op::Deliver { .. } | Op::Append { .. } => false,
    }
}
