//! Whether mod-sequences rise with what is done.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use super::ledger::{Ledger, greatest_before, note};
use crate::history::{Answer, End, Entry, Op, Place, Receipt};

/// What is known of a mailbox.
#[derive(Default)]
struct Known {
    /// After these events, it had this mod-sequence or a greater one.
    told: Vec<(usize, u64)>,
    /// After these events, it had a greater one than this.
    exceeded: Vec<(usize, u64)>,
}

/// M3: of two reads between which something was certainly added or taken away, the second tells a
/// greater mod-sequence (RFC 7162 section 3.1.2.1). That it does not go back is checked elsewhere.
pub(super) fn check(ledger: &mut Ledger, entries: &[Entry<'_>]) {
    let mut known: BTreeMap<Place, Known> = BTreeMap::new();
    let mut sent = BTreeSet::new();
    let mut answered = Vec::new();
    for entry in entries {
        // A retry may have been stored by an attempt before it.
        let is_first = match entry.op {
            Op::Deliver { serial, .. } => sent.insert(*serial),
            _ => true,
        };
        if let End::Ok(at, answer) = entry.end {
            answered.push((at, entry, answer, is_first));
        }
    }
    answered.sort_by_key(|(at, ..)| *at);
    for (at, entry, answer, is_first) in answered {
        if let (Op::List { place, .. }, Answer::Listed { modseq, .. }) = (entry.op, answer) {
            let known = known.entry(*place).or_default();
            let exceeded = greatest_before(&known.exceeded, entry.begin);
            note(&mut known.told, at, *modseq);
            if let Some(exceeded) = exceeded.filter(|exceeded| modseq <= exceeded) {
                let what = format!("{place}: HIGHESTMODSEQ is {modseq}, and was {exceeded} before");
                ledger.accuse(Kind::ModseqBack, at, what);
            }
            continue;
        }
        if !is_first {
            continue;
        }
        for place in changed(ledger, entry, answer, at) {
            let known = known.entry(place).or_default();
            if let Some(told) = greatest_before(&known.told, entry.begin) {
                note(&mut known.exceeded, at, told);
            }
        }
    }
}

/// Mailboxes to which something was certainly added, or from which it was taken, by this.
fn changed(ledger: &Ledger, entry: &Entry<'_>, answer: &Answer, at: usize) -> Vec<Place> {
    match (entry.op, answer) {
        (Op::Deliver { to, .. }, Answer::Delivered(receipts)) => {
            let stored = to.iter().zip(receipts);
            let stored = stored.filter(|(_, receipt)| **receipt == Receipt::Stored);
            stored.map(|(place, _)| *place).collect()
        }
        (Op::Append { to, .. }, Answer::Appended { .. }) => vec![*to],
        (
            Op::Copy {
                moving, from, to, ..
            },
            Answer::Copied { pairs, .. },
        ) if !pairs.is_empty() => match moving {
            true => vec![*from, *to],
            false => vec![*to],
        },
        (Op::Expunge { place, uids }, Answer::Expunged) => {
            let effective = |uid: &u32| {
                let Some(message) = ledger.message(*place, *uid) else {
                    return false;
                };
                let [removal] = &message.removals[..] else {
                    return false;
                };
                removal.begin == entry.begin
                    && removal.over == Some(at)
                    && message.known < entry.begin
            };
            match uids.iter().any(effective) {
                true => vec![*place],
                false => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}
