//! Whether everything is there as often as it was sent: exactly once, or at most.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::{Kind, Violation};
use crate::history::{Answer, End, Entry, Op, Place, Receipt};
use crate::mail::message::Serial;

/// How many messages with one serial number may be in one mailbox, beyond those that an answer
/// named; ever, not at once.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    at_least: usize,
    at_most: usize,
}

/// Counts every message in every mailbox.
pub(super) fn check(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    let mut expected = deliveries(entries);
    let last = last_lists(entries);
    unknown_changes(ledger, entries, &last, &mut expected);
    let senders = accounts(entries);

    let mut found: BTreeMap<(Place, Serial), Vec<u32>> = BTreeMap::new();
    for (place, mailbox) in &ledger.mailboxes {
        for (uid, message) in &mailbox.messages {
            if let (None, Some(serial)) = (message.named_by, message.serial) {
                found.entry((*place, serial)).or_default().push(*uid);
            }
        }
    }
    bounced(ledger, entries);
    let keys: BTreeSet<(Place, Serial)> = expected.keys().chain(found.keys()).copied().collect();
    for key in keys {
        let Expected { at_least, at_most } = expected.get(&key).copied().unwrap_or_default();
        let uids = found.get(&key).map_or(&[][..], |uids| uids);
        let (place, serial) = key;
        let kind = match uids.len() {
            count if count < at_least => Kind::Lost,
            count if count <= at_most => continue,
            _ if senders.contains(&(place.account, serial)) => Kind::Doubled,
            _ => Kind::Phantom,
        };
        let what = format!(
            "{place}: message {serial} should be there {at_least} to {at_most} times and was \
             found under UIDs {uids:?}"
        );
        ledger.violations.push(Violation {
            kind,
            event: None,
            what,
        });
    }
}

/// All recipients exist, so none may be refused for good.
fn bounced(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    for entry in entries {
        let (Op::Deliver { serial, to, .. }, End::Ok(at, Answer::Delivered(receipts))) =
            (entry.op, entry.end)
        else {
            continue;
        };
        for (place, receipt) in to
            .iter()
            .zip(receipts)
            .filter(|(_, receipt)| receipt.is_bounce())
        {
            let what = format!("{place}: message {serial}: {receipt:?}");
            ledger.accuse(Kind::Bounced, at, what);
        }
    }
}

/// What LMTP promises: a message once per recipient, however often it was tried.
fn deliveries(entries: &[Entry<'_>]) -> BTreeMap<(Place, Serial), Expected> {
    let mut expected: BTreeMap<(Place, Serial), Expected> = BTreeMap::new();
    for entry in entries {
        let Op::Deliver { serial, to, .. } = entry.op else {
            continue;
        };
        for (at, place) in to.iter().enumerate() {
            let count = expected.entry((*place, *serial)).or_default();
            match entry.end {
                End::Fail(_) => {}
                End::Unknown => count.at_most = 1,
                End::Ok(_, Answer::Delivered(receipts)) => match receipts.get(at) {
                    Some(Receipt::Stored) => {
                        *count = Expected {
                            at_least: 1,
                            at_most: 1,
                        }
                    }
                    Some(Receipt::Refused(_)) => {}
                    Some(Receipt::Unknown(_)) | None => count.at_most = 1,
                },
                End::Ok(..) => {}
            }
        }
    }
    expected
}

/// What appends, copies and moves without an answer may have added.
fn unknown_changes(
    ledger: &Ledger,
    entries: &[Entry<'_>],
    last: &BTreeMap<Place, BTreeSet<u32>>,
    expected: &mut BTreeMap<(Place, Serial), Expected>,
) {
    for entry in entries
        .iter()
        .filter(|entry| matches!(entry.end, End::Unknown))
    {
        match entry.op {
            Op::Append { to, serial, .. } => {
                expected.entry((*to, *serial)).or_default().at_most += 1;
            }
            Op::Copy {
                moving,
                from,
                to,
                uids,
            } => {
                for uid in uids {
                    let Some(message) = ledger.message(*from, *uid) else {
                        continue;
                    };
                    let Some(serial) = message.serial else {
                        continue;
                    };
                    let stayed = last.get(from).map(|uids| uids.contains(uid));
                    let count = expected.entry((*to, serial)).or_default();
                    match (*moving, stayed) {
                        // It is still there, and UIDs are never given twice: it never moved.
                        (true, Some(true)) => {}
                        // It is gone, and nothing else took it: it moved.
                        (true, Some(false)) if message.removals.len() == 1 => {
                            count.at_least += 1;
                            count.at_most += 1;
                        }
                        _ => count.at_most += 1,
                    }
                }
            }
            _ => {}
        }
    }
}

/// What the mailboxes held in the end.
fn last_lists(entries: &[Entry<'_>]) -> BTreeMap<Place, BTreeSet<u32>> {
    let mut last = BTreeMap::new();
    for entry in entries {
        if let (Op::List { place, last: true }, End::Ok(_, Answer::Listed { messages, .. })) =
            (entry.op, entry.end)
        {
            last.insert(*place, messages.iter().map(|message| message.uid).collect());
        }
    }
    last
}

/// Which messages were sent to which accounts at all.
fn accounts(entries: &[Entry<'_>]) -> BTreeSet<(u32, Serial)> {
    let mut sent = BTreeSet::new();
    for entry in entries {
        match entry.op {
            Op::Deliver { serial, to, .. } => {
                sent.extend(to.iter().map(|place| (place.account, *serial)));
            }
            Op::Append { to, serial, .. } => {
                sent.insert((to.account, *serial));
            }
            _ => {}
        }
    }
    sent
}
