//! Histories told step by step, beside the mailboxes as they should be.

use std::collections::BTreeMap;

use chaos::history::{Answer, Event, Flags, History, Listed, Mode, Op, Place, Receipt, What};
use chaos::mail::message::{Content, Received, Serial};
use chaos::oracle::{Kind, judge};

/// Two mailboxes of one account.
pub const INBOX: Place = Place {
    account: 0,
    mailbox: 0,
};
pub const WORK: Place = Place {
    account: 0,
    mailbox: 1,
};
/// The nodes through which the last lists are read.
pub const NODES: [u64; 2] = [1, 2];

/// The mailboxes as they should be, and the history so far.
#[derive(Clone, Default)]
pub struct Story {
    pub history: History,
    pub last_id: u64,
    pub mailboxes: BTreeMap<Place, BTreeMap<u32, (Serial, Flags)>>,
    pub uid_next: BTreeMap<Place, u32>,
}

/// What was sent under a serial number.
pub fn content(serial: Serial) -> Content {
    Content {
        length: 1000 + serial.0,
        hash: format!("hash of {serial}"),
    }
}

/// The same as it is read: a delivered message has trace headers before it.
pub fn received(serial: Serial, delivered: bool) -> Received {
    Received {
        serial: Some(serial),
        content: content(serial),
        prefix_bytes: if delivered { 300 } else { 0 },
        prefix_fault: None,
    }
}

/// Serial numbers below this are delivered, others appended.
pub const APPENDED: u64 = 100;

impl Story {
    /// An operation begins; answers its number.
    pub fn begin(&mut self, op: Op) -> u64 {
        self.begin_at(1, op)
    }

    pub fn begin_at(&mut self, node: u64, op: Op) -> u64 {
        self.last_id += 1;
        self.event(
            self.last_id,
            What::Invoke {
                client: "c".into(),
                node,
                op,
            },
        );
        self.last_id
    }

    pub fn event(&mut self, id: u64, what: What) {
        let at_us = self.history.events.len() as u64;
        self.history.events.push(Event { at_us, id, what });
    }

    pub fn ok(&mut self, id: u64, answer: Answer) {
        self.event(id, What::Ok(answer));
    }

    pub fn unknown(&mut self, id: u64) {
        self.event(id, What::Unknown("gone".into()));
    }

    /// A message comes into a mailbox.
    pub fn put(&mut self, place: Place, serial: Serial, flags: Flags) -> u32 {
        let next = self.uid_next.entry(place).or_insert(1);
        let uid = *next;
        *next += 1;
        self.mailboxes
            .entry(place)
            .or_default()
            .insert(uid, (serial, flags));
        uid
    }

    /// A message goes.
    pub fn take(&mut self, place: Place, uid: u32) -> (Serial, Flags) {
        self.mailboxes
            .get_mut(&place)
            .unwrap()
            .remove(&uid)
            .unwrap()
    }

    /// An acknowledged delivery; answers the UID.
    pub fn deliver(&mut self, number: u64) -> u32 {
        let serial = Serial(number);
        let id = self.begin(Op::Deliver {
            serial,
            content: content(serial),
            to: vec![INBOX],
        });
        let uid = self.put(INBOX, serial, Flags::default());
        self.ok(id, Answer::Delivered(vec![Receipt::Stored]));
        uid
    }

    pub fn begin_delivery(&mut self, number: u64) -> u64 {
        let serial = Serial(number);
        self.begin(Op::Deliver {
            serial,
            content: content(serial),
            to: vec![INBOX],
        })
    }

    /// An acknowledged APPEND; answers the UID.
    pub fn append(&mut self, place: Place, number: u64, flags: Flags) -> u32 {
        let serial = Serial(APPENDED + number);
        let op = Op::Append {
            to: place,
            serial,
            content: content(serial),
            flags,
        };
        let id = self.begin(op);
        let uid = self.put(place, serial, flags);
        self.ok(id, Answer::Appended { validity: 7, uid });
        uid
    }

    /// An acknowledged COPY or MOVE; answers the UID in the target.
    pub fn copy(&mut self, moving: bool, from: Place, to: Place, uid: u32) -> u32 {
        let id = self.begin(Op::Copy {
            moving,
            from,
            to,
            uids: vec![uid],
        });
        let (serial, flags) = self.mailboxes[&from][&uid];
        let target = self.put(to, serial, flags);
        if moving {
            self.take(from, uid);
        }
        self.ok(
            id,
            Answer::Copied {
                validity: 7,
                pairs: vec![(uid, target)],
            },
        );
        target
    }

    /// An acknowledged STORE.
    pub fn store(&mut self, place: Place, uid: u32, mode: Mode, flags: Flags) {
        let id = self.begin(Op::Store {
            place,
            uids: vec![uid],
            mode,
            flags,
        });
        self.change(place, uid, mode, flags);
        let now = self.mailboxes[&place][&uid].1;
        self.ok(id, Answer::Stored(vec![(uid, now)]));
    }

    /// Flags change.
    pub fn change(&mut self, place: Place, uid: u32, mode: Mode, flags: Flags) {
        let now = &mut self
            .mailboxes
            .get_mut(&place)
            .unwrap()
            .get_mut(&uid)
            .unwrap()
            .1;
        *now = match mode {
            Mode::Add => Flags(now.0 | flags.0),
            Mode::Remove => Flags(now.0 & !flags.0),
            Mode::Replace => flags,
        };
    }

    /// An acknowledged expunge; answers what is gone.
    pub fn expunge(&mut self, place: Place, uid: u32) -> (Serial, Flags) {
        self.store(place, uid, Mode::Add, Flags::DELETED);
        let id = self.begin(Op::Expunge {
            place,
            uids: vec![uid],
        });
        let taken = self.take(place, uid);
        self.ok(id, Answer::Expunged);
        taken
    }

    /// What a list of a mailbox says now.
    pub fn listed(&self, place: Place, whole: bool) -> Answer {
        let messages = self.mailboxes.get(&place).into_iter().flatten();
        let listed = messages.map(|(uid, (serial, flags))| Listed {
            uid: *uid,
            flags: *flags,
            serial: Some(*serial),
            body: whole.then(|| received(*serial, serial.0 < APPENDED)),
        });
        Answer::Listed {
            validity: 7,
            uid_next: self.uid_next.get(&place).copied().unwrap_or(1),
            modseq: 1 + self.history.events.len() as u64,
            messages: listed.collect(),
        }
    }

    /// A mailbox is listed.
    pub fn list(&mut self, place: Place) {
        let id = self.begin(Op::List { place, last: false });
        let answer = self.listed(place, false);
        self.ok(id, answer);
    }

    /// The last lists, which `change` may spoil.
    pub fn end_with(&mut self, change: impl Fn(u64, Place, &mut Answer)) {
        let finals: Vec<(Place, Answer)> = [INBOX, WORK]
            .map(|place| (place, self.listed(place, true)))
            .to_vec();
        for node in NODES {
            for (place, answer) in &finals {
                let id = self.begin_at(
                    node,
                    Op::List {
                        place: *place,
                        last: true,
                    },
                );
                let mut answer = answer.clone();
                change(node, *place, &mut answer);
                self.ok(id, answer);
            }
        }
    }

    /// What the judge finds.
    pub fn kinds(&self) -> Vec<Kind> {
        judge(&self.history, &NODES).by_kind().into_keys().collect()
    }

    /// The story, ended properly.
    pub fn end(&mut self) -> Vec<Kind> {
        self.end_with(|_, _, _| {});
        self.kinds()
    }
}
