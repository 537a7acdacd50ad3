//! Whether every read found what it had to find.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use super::ledger::Ledger;
use crate::history::{Answer, End, Entry, Flags, Listed, Op, Place};
use crate::mail::message::{Content, PREFIX_BYTES_MAX, Received, Serial};

/// What was sent under a serial number.
pub(super) struct Sent<'a> {
    content: &'a Content,
    /// By LMTP: the server puts trace headers before it.
    delivered: bool,
}

/// Everything that clients sent.
pub(super) fn sent<'a>(entries: &[Entry<'a>]) -> BTreeMap<Serial, Sent<'a>> {
    let mut sent = BTreeMap::new();
    for entry in entries {
        match entry.op {
            Op::Deliver {
                serial, content, ..
            } => {
                sent.insert(
                    *serial,
                    Sent {
                        content,
                        delivered: true,
                    },
                );
            }
            Op::Append {
                serial, content, ..
            } => {
                sent.insert(
                    *serial,
                    Sent {
                        content,
                        delivered: false,
                    },
                );
            }
            _ => {}
        }
    }
    sent
}

/// Goes through all reads in the order in which they were answered, and takes down which messages
/// they did not find.
fn miss(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    let answered = entries.iter().filter_map(|entry| match entry.end {
        End::Ok(at, answer) => Some((at, entry, answer)),
        _ => None,
    });
    let mut answered: Vec<(usize, &Entry<'_>, &Answer)> = answered.collect();
    answered.sort_by_key(|(at, ..)| *at);
    for (at, entry, answer) in answered {
        match (entry.op, answer) {
            (Op::List { place, .. }, Answer::Listed { messages, .. }) => {
                let listed: BTreeSet<u32> = messages.iter().map(|message| message.uid).collect();
                let known = ledger.mailboxes.get_mut(place).into_iter();
                for (uid, message) in known.flat_map(|mailbox| &mut mailbox.messages) {
                    if !listed.contains(uid) {
                        message.is_missed(entry.begin, at);
                    }
                }
            }
            (Op::Read { place, uid }, Answer::Body { body: None, .. }) => {
                if let Some(message) = ledger.message_mut(*place, *uid) {
                    message.is_missed(entry.begin, at);
                }
            }
            _ => {}
        }
    }
}

/// Goes through all answers that tell of messages.
pub(super) fn check(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    miss(ledger, entries);
    let sent = sent(entries);
    for entry in entries {
        let End::Ok(at, answer) = entry.end else {
            continue;
        };
        match (entry.op, answer) {
            (Op::List { place, last }, Answer::Listed { messages, .. }) => {
                list(ledger, (entry, at), *place, messages, *last);
                for message in messages {
                    if let Some(body) = &message.body {
                        bytes(ledger, at, (*place, message.uid), body, &sent);
                    }
                }
            }
            (Op::Read { place, uid }, Answer::Body { body, .. }) => {
                present(ledger, (entry, at), *place, *uid, body.is_some());
                if let Some(body) = body {
                    bytes(ledger, at, (*place, *uid), body, &sent);
                }
            }
            (Op::Store { place, .. }, Answer::Stored(told)) => {
                for (uid, found) in told {
                    flags(ledger, (entry, at), *place, *uid, *found);
                }
            }
            _ => {}
        }
    }
}

fn list(
    ledger: &mut Ledger,
    read: (&Entry<'_>, usize),
    place: Place,
    messages: &[Listed],
    last: bool,
) {
    let (entry, at) = read;
    let mut listed: BTreeMap<u32, &Listed> = BTreeMap::new();
    for message in messages {
        if listed.insert(message.uid, message).is_some() {
            let what = format!("{place}: UID {} stands twice in one list", message.uid);
            ledger.accuse(Kind::UidReused, at, what);
        }
        flags(ledger, read, place, message.uid, message.flags);
    }
    let Some(mailbox) = ledger.mailboxes.get(&place) else {
        return;
    };
    let mut wrong = Vec::new();
    for (uid, message) in &mailbox.messages {
        let told = message
            .serial
            .map_or_else(|| "unknown".to_owned(), |it| it.to_string());
        let what = format!("{place}: UID {uid}, message {told}");
        if listed.contains_key(uid) {
            if message.gone_before(entry.begin) {
                wrong.push((Kind::Resurrected, format!("{what}, is there again")));
            }
        } else if message.there(entry.begin, at) {
            let kind = if last { Kind::Lost } else { Kind::Missing };
            wrong.push((kind, format!("{what}, is not there")));
        }
    }
    for (kind, what) in wrong {
        ledger.accuse(kind, at, what);
    }
}

fn present(ledger: &mut Ledger, read: (&Entry<'_>, usize), place: Place, uid: u32, found: bool) {
    let (entry, at) = read;
    let Some(message) = ledger.message(place, uid) else {
        return;
    };
    if found && message.gone_before(entry.begin) {
        let what = format!("{place}: UID {uid} is there again");
        ledger.accuse(Kind::Resurrected, at, what);
    } else if !found && message.there(entry.begin, at) {
        let what = format!("{place}: UID {uid} is not there");
        ledger.accuse(Kind::Missing, at, what);
    }
}

fn flags(ledger: &mut Ledger, read: (&Entry<'_>, usize), place: Place, uid: u32, found: Flags) {
    let (entry, at) = read;
    let Some(message) = ledger.message(place, uid) else {
        return;
    };
    let values = message.readable(entry.begin, at);
    let wrong: Vec<&str> = Flags::NAMES
        .iter()
        .zip(values)
        .zip(&message.flags)
        .filter(|(((flag, _), values), register)| {
            register.is_written() && !values.allow(found.has(*flag))
        })
        .map(|(((_, name), _), _)| *name)
        .collect();
    if !wrong.is_empty() {
        let wrong = wrong.join(" ");
        let what = format!("{place}: UID {uid} has {found}, which is wrong in {wrong}");
        ledger.accuse(Kind::WrongFlags, at, what);
    }
}

fn bytes(
    ledger: &mut Ledger,
    at: usize,
    (place, uid): (Place, u32),
    body: &Received,
    sent: &BTreeMap<Serial, Sent<'_>>,
) {
    let Some(sent) = body.serial.and_then(|serial| sent.get(&serial)) else {
        // That nobody sent it is told elsewhere.
        return;
    };
    if body.content != *sent.content {
        let (is, was) = (&body.content, sent.content);
        let what = format!(
            "{place}: UID {uid} has {} bytes {} instead of {} bytes {}",
            is.length, is.hash, was.length, was.hash
        );
        ledger.accuse(Kind::WrongBytes, at, what);
    }
    let strange = body.prefix_fault.clone().or_else(|| {
        let none = sent.delivered == (body.prefix_bytes == 0);
        let fault = none || body.prefix_bytes > PREFIX_BYTES_MAX;
        fault.then(|| format!("{} bytes stand before it", body.prefix_bytes))
    });
    if let Some(strange) = strange {
        ledger.accuse(
            Kind::WrongBytes,
            at,
            format!("{place}: UID {uid}: {strange}"),
        );
    }
}
