//! What is known of every mailbox: its UIDVALIDITY and each message that was ever named or seen.

use std::collections::BTreeMap;

use super::register::{Register, Values};
use super::{Kind, Violation};
use crate::history::{Answer, End, Entry, Flags, Op, Place};
use crate::mail::message::Serial;

/// Every mailbox.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) mailboxes: BTreeMap<Place, Mailbox>,
    pub(super) violations: Vec<Violation>,
}

/// One mailbox.
#[derive(Default)]
pub(super) struct Mailbox {
    validity: Option<u32>,
    pub(super) messages: BTreeMap<u32, Message>,
    /// After these events, every UID below was given: each with the greatest so far.
    floors: Vec<(usize, u32)>,
    /// After these events, this UID and so all below were given.
    tops: Vec<(usize, u32)>,
    /// After these events, the mailbox had this mod-sequence.
    modseqs: Vec<(usize, u64)>,
}

/// One message that was in a mailbox.
pub(super) struct Message {
    pub(super) serial: Option<Serial>,
    /// The first event after which it is known to exist.
    pub(super) known: usize,
    /// The operation that was answered with its UID.
    pub(super) named_by: Option<u64>,
    pub(super) removals: Vec<Removal>,
    /// The first event before which it was seen to be gone, if it may have been taken away: a UID
    /// does not return.
    pub(super) missed: Option<usize>,
    pub(super) flags: [Register; Flags::NAMES.len()],
}

/// Something that took a message away, or may have.
pub(super) struct Removal {
    pub(super) begin: usize,
    /// None: it may have been done, or not.
    pub(super) over: Option<usize>,
}

impl Message {
    /// Whether it was gone for certain before this event.
    pub(super) fn gone_before(&self, begin: usize) -> bool {
        let removed = self.removals.iter().filter_map(|removal| removal.over);
        removed.chain(self.missed).any(|over| over < begin)
    }

    /// A read that lasted from `begin` to `at` did not find it. If it had to be there that is a
    /// finding of its own; otherwise something took it away that nobody answered, and it is gone.
    pub(super) fn is_missed(&mut self, begin: usize, at: usize) {
        if self.known < begin && self.missed.is_none() && !self.there(begin, at) {
            self.missed = Some(at);
        }
    }

    /// Whether it was there for certain during all of this.
    pub(super) fn there(&self, begin: usize, end: usize) -> bool {
        self.known < begin && self.removals.iter().all(|removal| removal.begin > end)
    }

    /// What a read may find.
    pub(super) fn readable(&self, begin: usize, end: usize) -> [Values; Flags::NAMES.len()] {
        std::array::from_fn(|bit| self.flags[bit].readable(begin, end))
    }

    /// Every flag is written.
    pub(super) fn write(
        &mut self,
        begin: usize,
        over: Option<usize>,
        values: [Values; Flags::NAMES.len()],
    ) {
        for (register, values) in self.flags.iter_mut().zip(values) {
            register.write(begin, over, values);
        }
    }
}

/// These flags and no others.
pub(super) fn exactly(flags: Flags) -> [Values; Flags::NAMES.len()] {
    std::array::from_fn(|bit| Values::of(flags.has(Flags::NAMES[bit].0)))
}

/// The greatest value that was noted before an event.
pub(super) fn greatest_before<T: Copy>(noted: &[(usize, T)], begin: usize) -> Option<T> {
    let after = noted.partition_point(|(at, _)| *at < begin);
    after.checked_sub(1).map(|last| noted[last].1)
}

pub(super) fn note<T: Copy + Ord>(noted: &mut Vec<(usize, T)>, at: usize, value: T) {
    let value = noted
        .last()
        .map_or(value, |(_, greatest)| value.max(*greatest));
    noted.push((at, value));
}

impl Ledger {
    /// Learns from every answer, in the order in which they were given.
    pub(super) fn learn(entries: &[Entry<'_>]) -> Self {
        let mut ledger = Self::default();
        let mut answered: Vec<(usize, &Entry<'_>, &Answer)> = entries
            .iter()
            .filter_map(|entry| match entry.end {
                End::Ok(at, answer) => Some((at, entry, answer)),
                _ => None,
            })
            .collect();
        answered.sort_by_key(|(at, ..)| *at);
        for (at, entry, answer) in answered {
            ledger.learn_answer(at, entry, answer);
        }
        ledger
    }

    fn learn_answer(&mut self, at: usize, entry: &Entry<'_>, answer: &Answer) {
        match (entry.op, answer) {
            (Op::Append { to, serial, .. }, Answer::Appended { validity, uid }) => {
                self.validity(*to, *validity, at);
                self.named(*to, *uid, Some(*serial), entry, at);
            }
            (Op::Copy { from, to, .. }, Answer::Copied { validity, pairs }) => {
                if !pairs.is_empty() {
                    self.validity(*to, *validity, at);
                }
                for (source, target) in pairs {
                    let serial = self
                        .message(*from, *source)
                        .and_then(|message| message.serial);
                    self.named(*to, *target, serial, entry, at);
                }
            }
            (
                Op::List { place, .. },
                Answer::Listed {
                    validity,
                    uid_next,
                    modseq,
                    messages,
                },
            ) => {
                self.validity(*place, *validity, at);
                self.modseq(*place, *modseq, entry.begin, at);
                for message in messages {
                    self.seen(*place, message.uid, message.serial, entry, at);
                }
                self.uid_next(*place, *uid_next, entry.begin, at);
            }
            (Op::Read { place, uid }, Answer::Body { validity, body }) => {
                self.validity(*place, *validity, at);
                if let Some(body) = body {
                    self.seen(*place, *uid, body.serial, entry, at);
                }
            }
            _ => {}
        }
    }

    pub(super) fn accuse(&mut self, kind: Kind, event: usize, what: String) {
        self.violations.push(Violation {
            kind,
            event: Some(event),
            what,
        });
    }

    pub(super) fn message(&self, place: Place, uid: u32) -> Option<&Message> {
        self.mailboxes.get(&place)?.messages.get(&uid)
    }

    pub(super) fn message_mut(&mut self, place: Place, uid: u32) -> Option<&mut Message> {
        self.mailboxes.get_mut(&place)?.messages.get_mut(&uid)
    }

    /// M2: UIDVALIDITY never changes; no mailbox is made anew in a run.
    fn validity(&mut self, place: Place, validity: u32, at: usize) {
        let mailbox = self.mailboxes.entry(place).or_default();
        let first = *mailbox.validity.get_or_insert(validity);
        if validity == 0 || validity != first {
            let what = format!("{place}: UIDVALIDITY was {first} and is {validity}");
            self.accuse(Kind::ValidityChanged, at, what);
        }
    }

    /// M2: UIDNEXT never goes back.
    fn uid_next(&mut self, place: Place, uid_next: u32, begin: usize, at: usize) {
        let mailbox = self.mailboxes.entry(place).or_default();
        let floor = greatest_before(&mailbox.floors, begin).unwrap_or(0);
        let top = greatest_before(&mailbox.tops, begin).unwrap_or(0);
        note(&mut mailbox.floors, at, uid_next);
        if uid_next < floor || uid_next <= top {
            let what = format!("{place}: UIDNEXT is {uid_next} after {floor} and UID {top}");
            self.accuse(Kind::UidBehind, at, what);
        }
    }

    /// M3: a mailbox's mod-sequence never goes back.
    fn modseq(&mut self, place: Place, modseq: u64, begin: usize, at: usize) {
        if modseq == 0 {
            // RFC 7162 section 3.1.2.1: this server keeps mod-sequences of every mailbox.
            let what = format!("{place}: no HIGHESTMODSEQ was told");
            return self.accuse(Kind::ModseqBack, at, what);
        }
        let mailbox = self.mailboxes.entry(place).or_default();
        let before = greatest_before(&mailbox.modseqs, begin).unwrap_or(0);
        note(&mut mailbox.modseqs, at, modseq);
        if modseq < before {
            let what = format!("{place}: HIGHESTMODSEQ is {modseq} after {before}");
            self.accuse(Kind::ModseqBack, at, what);
        }
    }

    /// A server said that it gave a message this UID.
    fn named(&mut self, place: Place, uid: u32, serial: Option<Serial>, by: &Entry<'_>, at: usize) {
        let mailbox = self.mailboxes.entry(place).or_default();
        let top = greatest_before(&mailbox.tops, by.begin).unwrap_or(0);
        if uid <= top {
            let what = format!("{place}: a new message got UID {uid} after {top}");
            self.accuse(Kind::UidBehind, at, what);
        }
        self.evidence(place, uid, serial, by, at);
        let Some(message) = self.message_mut(place, uid) else {
            return;
        };
        match message.named_by.replace(by.id) {
            Some(other) if other != by.id => {
                let what = format!("{place}: UID {uid} was given to two new messages");
                self.accuse(Kind::UidReused, at, what);
            }
            _ => {}
        }
    }

    /// A message was found under this UID.
    fn seen(&mut self, place: Place, uid: u32, serial: Option<Serial>, by: &Entry<'_>, at: usize) {
        if serial.is_none() {
            let what = format!("{place}: UID {uid} is a message that nobody sent");
            self.accuse(Kind::Phantom, at, what);
        }
        self.evidence(place, uid, serial, by, at);
    }

    fn evidence(
        &mut self,
        place: Place,
        uid: u32,
        serial: Option<Serial>,
        by: &Entry<'_>,
        at: usize,
    ) {
        let mailbox = self.mailboxes.entry(place).or_default();
        note(&mut mailbox.tops, at, uid);
        if let Some(message) = mailbox.messages.get_mut(&uid) {
            let known = message.serial;
            if let (Some(known), Some(serial)) = (known, serial)
                && known != serial
            {
                let what = format!("{place}: UID {uid} was message {known} and is {serial}");
                self.accuse(Kind::UidReused, at, what);
            }
            return;
        }
        let floor = greatest_before(&mailbox.floors, by.begin).unwrap_or(0);
        let message = Message {
            serial,
            known: at,
            named_by: None,
            removals: Vec::new(),
            missed: None,
            flags: Default::default(),
        };
        mailbox.messages.insert(uid, message);
        if uid < floor {
            let what = format!("{place}: UID {uid} appeared after UIDNEXT {floor} without it");
            self.accuse(Kind::UidBehind, at, what);
        }
    }
}
