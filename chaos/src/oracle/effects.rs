//! What operations did, or may have done, to messages that are known.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use super::ledger::{Ledger, Removal, exactly};
use super::register::Values;
use crate::history::{Answer, End, Entry, Flags, Mode, Op, Place};
use crate::mail::message::Serial;

/// Writes flags and removals into the ledger, in the order in which operations began.
pub(super) fn apply(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    first_flags(ledger, entries);
    for entry in entries.iter().filter(|entry| entry.possible()) {
        match entry.op {
            Op::Append { to, flags, .. } => {
                if let End::Ok(at, Answer::Appended { uid, .. }) = entry.end
                    && let Some(message) = ledger.message_mut(*to, *uid)
                {
                    message.write(entry.begin, Some(at), exactly(*flags));
                }
            }
            Op::Copy { .. } => copy(ledger, entry),
            Op::Store {
                place,
                uids,
                mode,
                flags,
            } => {
                store(ledger, entry, *place, uids, *mode, *flags);
            }
            Op::Expunge { place, uids } => expunge(ledger, entry, *place, uids),
            Op::Deliver { .. } | Op::List { .. } | Op::Read { .. } => {}
        }
    }
}

/// Flags of messages that no answer named: delivered ones have none; those of operations whose
/// outcome is unknown have what these gave them, or anything if several come into question.
fn first_flags(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    let mut copied: BTreeSet<(Place, Serial)> = BTreeSet::new();
    let mut appended: BTreeMap<(Place, Serial), (usize, Flags)> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| matches!(entry.end, End::Unknown))
    {
        match entry.op {
            Op::Append {
                to, serial, flags, ..
            } => {
                appended.insert((*to, *serial), (entry.begin, *flags));
            }
            Op::Copy { from, to, uids, .. } => {
                let serials = uids
                    .iter()
                    .filter_map(|uid| ledger.message(*from, *uid)?.serial);
                copied.extend(serials.map(|serial| (*to, serial)));
            }
            _ => {}
        }
    }
    for (place, mailbox) in &mut ledger.mailboxes {
        let unnamed = mailbox
            .messages
            .values_mut()
            .filter(|message| message.named_by.is_none());
        for message in unnamed {
            let key = message.serial.map(|serial| (*place, serial));
            let known = Some(message.known);
            match key.map(|key| (copied.contains(&key), appended.get(&key))) {
                Some((true, _)) => message.write(0, known, [Values::EITHER; Flags::NAMES.len()]),
                Some((false, Some((begin, flags)))) => {
                    message.write(*begin, known, exactly(*flags));
                }
                _ => message.write(0, known, exactly(Flags::default())),
            }
        }
    }
}

fn copy(ledger: &mut Ledger, entry: &Entry<'_>) {
    let Op::Copy {
        moving,
        from,
        to,
        uids,
    } = entry.op
    else {
        return;
    };
    let End::Ok(at, Answer::Copied { pairs, .. }) = entry.end else {
        // A move that may have been done: the sources may be gone.
        if *moving {
            remove(ledger, *from, uids, entry.begin, None);
        }
        return;
    };
    for uid in uids {
        let targets = pairs.iter().filter(|(source, _)| source == uid).count();
        let there = ledger
            .message(*from, *uid)
            .is_some_and(|it| it.there(entry.begin, at));
        if targets > 1 || (targets == 0 && there) {
            let what = format!("{from}: UID {uid} was copied to {to} {targets} times");
            ledger.accuse(Kind::WrongCopy, at, what);
        }
    }
    for (source, target) in pairs {
        if !uids.contains(source) {
            let what = format!("{from}: UID {source} was copied to {to} without being asked for");
            ledger.accuse(Kind::WrongCopy, at, what);
        }
        let values = ledger
            .message(*from, *source)
            .map(|it| it.readable(entry.begin, at));
        let values = values.unwrap_or([Values::EITHER; Flags::NAMES.len()]);
        if let Some(message) = ledger.message_mut(*to, *target) {
            message.write(entry.begin, Some(at), values);
        }
    }
    if *moving {
        let moved: Vec<u32> = pairs.iter().map(|(source, _)| *source).collect();
        remove(ledger, *from, &moved, entry.begin, Some(at));
    }
}

fn store(
    ledger: &mut Ledger,
    entry: &Entry<'_>,
    place: Place,
    uids: &[u32],
    mode: Mode,
    flags: Flags,
) {
    for uid in uids {
        let Some(message) = ledger.message_mut(place, *uid) else {
            continue;
        };
        for (bit, (flag, _)) in Flags::NAMES.iter().enumerate() {
            let value = match (mode, flags.has(*flag)) {
                (Mode::Replace, value) => value,
                (Mode::Add, true) => true,
                (Mode::Remove, true) => false,
                (Mode::Add | Mode::Remove, false) => continue,
            };
            message.flags[bit].write(entry.begin, entry.over(), Values::of(value));
        }
    }
}

fn expunge(ledger: &mut Ledger, entry: &Entry<'_>, place: Place, uids: &[u32]) {
    for uid in uids {
        let Some(message) = ledger.message(place, *uid) else {
            continue;
        };
        // Without \Deleted it stays; if that is not certain, nor is this.
        let deleted = Flags::NAMES
            .iter()
            .position(|(flag, _)| *flag == Flags::DELETED);
        let certain = entry.over().filter(|at| {
            let values = message.readable(entry.begin, *at);
            deleted.is_some_and(|bit| !values[bit].allow(false))
        });
        remove(ledger, place, &[*uid], entry.begin, certain);
    }
}

fn remove(ledger: &mut Ledger, place: Place, uids: &[u32], begin: usize, over: Option<usize>) {
    for uid in uids {
        if let Some(message) = ledger.message_mut(place, *uid) {
            message.removals.push(Removal { begin, over });
        }
    }
}
