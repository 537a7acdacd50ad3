//! Histories by hand: the judge accepts what a good mail store may do, and finds each thing that
//! a bad one does.

use std::collections::BTreeMap;

use chaos::history::{
    Answer, Event, Flags, History, Listed, Mode, Op, Place, Receipt, What,
};
use chaos::mail::message::{Content, Received, Serial};
use chaos::oracle::{Kind, judge};
use proptest::prelude::*;

const INBOX: Place = Place { account: 0, mailbox: 0 };
const WORK: Place = Place { account: 0, mailbox: 1 };
const NODES: [u64; 2] = [1, 2];

/// The mailboxes as they should be, and the history so far.
#[derive(Clone, Default)]
struct Story {
    history: History,
    last_id: u64,
    mailboxes: BTreeMap<Place, BTreeMap<u32, (Serial, Flags)>>,
    uid_next: BTreeMap<Place, u32>,
}

fn content(serial: Serial) -> Content {
    Content { length: 1000 + serial.0, hash: format!("hash of {serial}") }
}

fn received(serial: Serial, delivered: bool) -> Received {
    Received {
        serial: Some(serial),
        content: content(serial),
        prefix_bytes: if delivered { 300 } else { 0 },
        prefix_fault: None,
    }
}

/// Serial numbers below this are delivered, others appended.
const APPENDED: u64 = 100;

impl Story {
    fn begin(&mut self, op: Op) -> u64 {
        self.begin_at(1, op)
    }

    fn begin_at(&mut self, node: u64, op: Op) -> u64 {
        self.last_id += 1;
        self.event(self.last_id, What::Invoke { client: "c".into(), node, op });
        self.last_id
    }

    fn event(&mut self, id: u64, what: What) {
        let at_us = self.history.events.len() as u64;
        self.history.events.push(Event { at_us, id, what });
    }

    fn ok(&mut self, id: u64, answer: Answer) {
        self.event(id, What::Ok(answer));
    }

    fn unknown(&mut self, id: u64) {
        self.event(id, What::Unknown("gone".into()));
    }

    fn put(&mut self, place: Place, serial: Serial, flags: Flags) -> u32 {
        let next = self.uid_next.entry(place).or_insert(1);
        let uid = *next;
        *next += 1;
        self.mailboxes.entry(place).or_default().insert(uid, (serial, flags));
        uid
    }

    fn take(&mut self, place: Place, uid: u32) -> (Serial, Flags) {
        self.mailboxes.get_mut(&place).unwrap().remove(&uid).unwrap()
    }

    fn deliver(&mut self, number: u64) -> u32 {
        let serial = Serial(number);
        let id = self.begin(Op::Deliver { serial, content: content(serial), to: vec![INBOX] });
        let uid = self.put(INBOX, serial, Flags::default());
        self.ok(id, Answer::Delivered(vec![Receipt::Stored]));
        uid
    }

    fn begin_delivery(&mut self, number: u64) -> u64 {
        let serial = Serial(number);
        self.begin(Op::Deliver { serial, content: content(serial), to: vec![INBOX] })
    }

    fn append(&mut self, place: Place, number: u64, flags: Flags) -> u32 {
        let serial = Serial(APPENDED + number);
        let op = Op::Append { to: place, serial, content: content(serial), flags };
        let id = self.begin(op);
        let uid = self.put(place, serial, flags);
        self.ok(id, Answer::Appended { validity: 7, uid });
        uid
    }

    fn copy(&mut self, moving: bool, from: Place, to: Place, uid: u32) -> u32 {
        let id = self.begin(Op::Copy { moving, from, to, uids: vec![uid] });
        let (serial, flags) = self.mailboxes[&from][&uid];
        let target = self.put(to, serial, flags);
        if moving {
            self.take(from, uid);
        }
        self.ok(id, Answer::Copied { validity: 7, pairs: vec![(uid, target)] });
        target
    }

    fn store(&mut self, place: Place, uid: u32, mode: Mode, flags: Flags) {
        let id = self.begin(Op::Store { place, uids: vec![uid], mode, flags });
        self.change(place, uid, mode, flags);
        let now = self.mailboxes[&place][&uid].1;
        self.ok(id, Answer::Stored(vec![(uid, now)]));
    }

    fn change(&mut self, place: Place, uid: u32, mode: Mode, flags: Flags) {
        let now = &mut self.mailboxes.get_mut(&place).unwrap().get_mut(&uid).unwrap().1;
        *now = match mode {
            Mode::Add => Flags(now.0 | flags.0),
            Mode::Remove => Flags(now.0 & !flags.0),
            Mode::Replace => flags,
        };
    }

    fn expunge(&mut self, place: Place, uid: u32) -> (Serial, Flags) {
        self.store(place, uid, Mode::Add, Flags::DELETED);
        let id = self.begin(Op::Expunge { place, uids: vec![uid] });
        let taken = self.take(place, uid);
        self.ok(id, Answer::Expunged);
        taken
    }

    fn listed(&self, place: Place, whole: bool) -> Answer {
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
            modseq: self.history.events.len() as u64,
            messages: listed.collect(),
        }
    }

    fn list(&mut self, place: Place) {
        let id = self.begin(Op::List { place, last: false });
        let answer = self.listed(place, false);
        self.ok(id, answer);
    }

    /// The last lists, which `change` may spoil.
    fn end_with(&mut self, change: impl Fn(u64, Place, &mut Answer)) {
        let finals: Vec<(Place, Answer)> =
            [INBOX, WORK].map(|place| (place, self.listed(place, true))).to_vec();
        for node in NODES {
            for (place, answer) in &finals {
                let id = self.begin_at(node, Op::List { place: *place, last: true });
                let mut answer = answer.clone();
                change(node, *place, &mut answer);
                self.ok(id, answer);
            }
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        judge(&self.history, &NODES).by_kind().into_keys().collect()
    }

    /// The story, ended properly.
    fn end(&mut self) -> Vec<Kind> {
        self.end_with(|_, _, _| {});
        self.kinds()
    }
}

/// A run in which nothing goes wrong, and a UID of each mailbox.
fn good() -> (Story, u32, u32) {
    let mut story = Story::default();
    story.deliver(1);
    let inbox = story.deliver(2);
    story.list(INBOX);
    let work = story.append(WORK, 1, Flags::SEEN.with(Flags::FIRST));
    story.store(INBOX, inbox, Mode::Add, Flags::FLAGGED);
    story.copy(false, INBOX, WORK, inbox);
    story.list(INBOX);
    story.list(WORK);
    (story, inbox, work)
}

fn messages(answer: &mut Answer) -> &mut Vec<Listed> {
    match answer {
        Answer::Listed { messages, .. } => messages,
        other => panic!("no list: {other:?}"),
    }
}

#[test]
fn a_good_run_is_clean() {
    let (mut story, inbox, work) = good();
    story.store(INBOX, inbox, Mode::Replace, Flags::ANSWERED);
    story.copy(true, WORK, INBOX, work);
    story.expunge(INBOX, 1);
    assert_eq!(story.end(), []);
    let verdict = judge(&story.history, &NODES);
    assert_eq!((verdict.counts.unknown, verdict.counts.messages), (0, 5));
}

#[test]
fn a_lost_mail_is_found() {
    let (mut story, ..) = good();
    story.deliver(3);
    let mut never_seen = story.clone();
    story.list(INBOX);
    story.take(INBOX, 3);
    assert_eq!(story.end(), [Kind::Lost]);
    never_seen.take(INBOX, 3);
    assert_eq!(never_seen.end(), [Kind::Lost]);
}

#[test]
fn a_doubled_mail_is_found() {
    let (mut story, ..) = good();
    story.put(INBOX, Serial(2), Flags::default());
    assert_eq!(story.end(), [Kind::Doubled]);
    // So is an appended one, and one whose retry was stored again.
    let (mut story, ..) = good();
    story.put(WORK, Serial(APPENDED + 1), Flags::default());
    assert_eq!(story.end(), [Kind::Doubled]);
    let (mut story, ..) = good();
    let first = story.begin_delivery(3);
    story.put(INBOX, Serial(3), Flags::default());
    story.unknown(first);
    story.deliver(3);
    assert_eq!(story.end(), [Kind::Doubled]);
}

#[test]
fn unknown_is_at_most_once_and_a_retry_exactly_once() {
    for stored in [false, true] {
        let (mut story, ..) = good();
        let id = story.begin_delivery(3);
        story.unknown(id);
        if stored {
            story.put(INBOX, Serial(3), Flags::default());
        }
        assert_eq!(story.clone().end(), []);
        let retry = story.begin_delivery(3);
        if !stored {
            story.put(INBOX, Serial(3), Flags::default());
        }
        story.ok(retry, Answer::Delivered(vec![Receipt::Stored]));
        assert_eq!(story.end(), []);
    }
    // Acknowledged by the retry, and not there.
    let (mut story, ..) = good();
    let id = story.begin_delivery(3);
    story.unknown(id);
    let retry = story.begin_delivery(3);
    story.ok(retry, Answer::Delivered(vec![Receipt::Stored]));
    assert_eq!(story.end(), [Kind::Lost]);
}

#[test]
fn what_was_refused_must_not_be_there() {
    let (mut story, ..) = good();
    let id = story.begin_delivery(3);
    story.put(INBOX, Serial(3), Flags::default());
    story.event(id, What::Fail("connection refused".into()));
    assert_eq!(story.end(), [Kind::Doubled]);
    let (mut story, ..) = good();
    let id = story.begin_delivery(3);
    let receipt = Receipt::Refused("550 5.1.1 no such user".into());
    story.ok(id, Answer::Delivered(vec![receipt]));
    assert_eq!(story.end(), [Kind::Bounced]);
}

#[test]
fn a_mail_that_nobody_sent_is_found() {
    let (mut story, ..) = good();
    story.put(INBOX, Serial(99), Flags::default());
    assert_eq!(story.end(), [Kind::Phantom]);
    let (mut story, ..) = good();
    story.end_with(|_, place, answer| {
        if place == WORK {
            messages(answer)[0].serial = None;
        }
    });
    assert_eq!(story.kinds(), [Kind::Phantom]);
}

#[test]
fn a_reused_uid_is_found() {
    // An expunged message's UID is given again.
    let (mut story, ..) = good();
    let last = story.append(WORK, 2, Flags::default());
    story.expunge(WORK, last);
    *story.uid_next.get_mut(&WORK).unwrap() = last;
    story.append(WORK, 3, Flags::default());
    let kinds = story.end();
    assert!(kinds.contains(&Kind::UidReused) && kinds.contains(&Kind::UidBehind), "{kinds:?}");
    // Two messages change places.
    let (mut story, ..) = good();
    let inbox = story.mailboxes.get_mut(&INBOX).unwrap();
    let (one, two) = (inbox[&1], inbox[&2]);
    inbox.insert(1, (two.0, one.1));
    inbox.insert(2, (one.0, two.1));
    assert!(story.end().contains(&Kind::UidReused));
}

#[test]
fn a_uid_behind_others_is_found() {
    // A message comes in below UIDNEXT: a client that keeps its own list never sees it.
    let (mut story, ..) = good();
    *story.uid_next.get_mut(&INBOX).unwrap() = 10;
    story.deliver(3);
    story.list(INBOX);
    *story.uid_next.get_mut(&INBOX).unwrap() = 5;
    story.deliver(4);
    *story.uid_next.get_mut(&INBOX).unwrap() = 11;
    assert_eq!(story.end(), [Kind::UidBehind]);
    // UIDNEXT goes back.
    let (mut story, ..) = good();
    story.end_with(|_, _, answer| {
        if let Answer::Listed { uid_next, .. } = answer {
            *uid_next -= 1;
        }
    });
    assert_eq!(story.kinds(), [Kind::UidBehind]);
}

#[test]
fn a_changed_uidvalidity_is_found() {
    let (mut story, ..) = good();
    story.end_with(|_, place, answer| {
        if let (WORK, Answer::Listed { validity, .. }) = (place, answer) {
            *validity = 8;
        }
    });
    assert_eq!(story.kinds(), [Kind::ValidityChanged]);
}

#[test]
fn wrong_bytes_are_found() {
    let spoil: [fn(&mut Received); 4] = [
        |body| body.content.hash = "other".into(),
        |body| body.content.length += 1,
        |body| body.prefix_bytes = 4000,
        |body| body.prefix_fault = Some("a strange line".into()),
    ];
    for spoil in spoil {
        let (mut story, ..) = good();
        story.end_with(|_, _, answer| {
            if let Some(body) = messages(answer).first_mut().and_then(|it| it.body.as_mut()) {
                spoil(body);
            }
        });
        assert_eq!(story.kinds(), [Kind::WrongBytes]);
    }
    // Bytes before an appended message: nobody may put them there.
    let (mut story, _, work) = good();
    let id = story.begin(Op::Read { place: WORK, uid: work });
    let body = Some(received(Serial(APPENDED + 1), true));
    story.ok(id, Answer::Body { validity: 7, body });
    assert_eq!(story.end(), [Kind::WrongBytes]);
}

#[test]
fn a_resurrected_message_is_found() {
    let (mut story, inbox, work) = good();
    let taken = story.expunge(INBOX, inbox);
    story.mailboxes.get_mut(&INBOX).unwrap().insert(inbox, taken);
    assert_eq!(story.end(), [Kind::Resurrected]);
    let (mut story, ..) = good();
    let moved = story.mailboxes[&WORK][&work];
    story.copy(true, WORK, INBOX, work);
    story.mailboxes.get_mut(&WORK).unwrap().insert(work, moved);
    assert_eq!(story.end(), [Kind::Resurrected]);
}

#[test]
fn wrong_flags_are_found() {
    let (mut story, inbox, _) = good();
    story.store(INBOX, inbox, Mode::Replace, Flags::SEEN);
    story.change(INBOX, inbox, Mode::Replace, Flags::FLAGGED);
    assert_eq!(story.end(), [Kind::WrongFlags]);
    // A new mail has none, a copy has those of its source.
    let (mut story, ..) = good();
    story.change(INBOX, 1, Mode::Add, Flags::SEEN);
    assert_eq!(story.end(), [Kind::WrongFlags]);
    let (mut story, inbox, _) = good();
    let copy = story.copy(false, INBOX, WORK, inbox);
    story.change(WORK, copy, Mode::Remove, Flags::FLAGGED);
    assert_eq!(story.end(), [Kind::WrongFlags]);
}

#[test]
fn a_store_without_an_answer_may_be_done_or_not() {
    for done in [false, true] {
        let (mut story, inbox, _) = good();
        let (place, uids) = (INBOX, vec![inbox]);
        let (mode, flags) = (Mode::Remove, Flags::FLAGGED);
        let id = story.begin(Op::Store { place, uids, mode, flags });
        story.unknown(id);
        if done {
            story.change(INBOX, inbox, mode, flags);
        }
        assert_eq!(story.clone().end(), []);
        // But it has nothing to do with other flags.
        story.change(INBOX, inbox, Mode::Add, Flags::DRAFT);
        assert_eq!(story.end(), [Kind::WrongFlags]);
    }
}

#[test]
fn a_move_without_an_answer_is_whole_or_nothing() {
    let unanswered = || {
        let (mut story, inbox, _) = good();
        let op = Op::Copy { moving: true, from: INBOX, to: WORK, uids: vec![inbox] };
        let id = story.begin(op);
        story.unknown(id);
        (story, inbox)
    };
    let (mut story, _) = unanswered();
    assert_eq!(story.end(), []);
    let (mut story, inbox) = unanswered();
    let (serial, flags) = story.take(INBOX, inbox);
    story.put(WORK, serial, flags);
    assert_eq!(story.end(), []);
    let (mut story, inbox) = unanswered();
    story.take(INBOX, inbox);
    assert_eq!(story.end(), [Kind::Lost]);
    let (mut story, inbox) = unanswered();
    let (serial, flags) = story.mailboxes[&INBOX][&inbox];
    story.put(WORK, serial, flags);
    assert_eq!(story.end(), [Kind::Doubled]);
}

#[test]
fn an_expunge_without_an_answer_may_be_done_or_not() {
    for done in [false, true] {
        let (mut story, inbox, _) = good();
        story.store(INBOX, inbox, Mode::Add, Flags::DELETED);
        let id = story.begin(Op::Expunge { place: INBOX, uids: vec![inbox] });
        story.unknown(id);
        if done {
            story.take(INBOX, inbox);
        }
        assert_eq!(story.end(), []);
    }
}

#[test]
fn a_copy_that_leaves_something_out_is_found() {
    let (mut story, inbox, _) = good();
    let op = Op::Copy { moving: false, from: INBOX, to: WORK, uids: vec![1, inbox] };
    let id = story.begin(op);
    let target = story.put(WORK, Serial(1), Flags::default());
    story.ok(id, Answer::Copied { validity: 7, pairs: vec![(1, target)] });
    assert_eq!(story.end(), [Kind::WrongCopy]);
}

#[test]
fn a_copyuid_that_points_at_other_bytes_is_found() {
    let (mut story, inbox, _) = good();
    let op = Op::Copy { moving: false, from: INBOX, to: WORK, uids: vec![inbox] };
    let id = story.begin(op);
    let target = story.put(WORK, Serial(1), Flags::FLAGGED);
    story.ok(id, Answer::Copied { validity: 7, pairs: vec![(inbox, target)] });
    assert!(story.end().contains(&Kind::UidReused));
}

#[test]
fn a_stale_read_is_found() {
    let (mut story, ..) = good();
    let old = story.listed(INBOX, false);
    story.deliver(3);
    story.list(INBOX);
    let id = story.begin(Op::List { place: INBOX, last: false });
    story.ok(id, old);
    let kinds = story.end();
    assert!(kinds.contains(&Kind::Missing) && kinds.contains(&Kind::UidBehind), "{kinds:?}");
    assert!(kinds.contains(&Kind::ModseqBack), "{kinds:?}");
    // A read that overlaps the change may see either.
    let (mut story, ..) = good();
    let old = story.listed(WORK, false);
    let id = story.begin(Op::List { place: WORK, last: false });
    story.append(WORK, 2, Flags::default());
    story.ok(id, old);
    assert_eq!(story.end(), []);
    // A single message that is not found although it is there.
    let (mut story, inbox, _) = good();
    let id = story.begin(Op::Read { place: INBOX, uid: inbox });
    story.ok(id, Answer::Body { validity: 7, body: None });
    assert_eq!(story.end(), [Kind::Missing]);
}

#[test]
fn nodes_that_differ_are_found() {
    let (mut story, inbox, _) = good();
    let op = Op::Store {
        place: INBOX,
        uids: vec![inbox],
        mode: Mode::Add,
        flags: Flags::DRAFT,
    };
    let id = story.begin(op);
    story.unknown(id);
    story.end_with(|node, place, answer| {
        if (node, place) == (2, INBOX) {
            let message = &mut messages(answer)[1];
            message.flags = message.flags.with(Flags::DRAFT);
        }
    });
    assert_eq!(story.kinds(), [Kind::NodesDiffer]);
    let (mut story, ..) = good();
    story.end();
    assert_eq!(judge(&story.history, &[1, 2, 3]).by_kind().into_keys().next(), Some(Kind::NotRead));
}

/// What a client of a good store may do.
#[derive(Clone, Debug)]
enum Act {
    Deliver { answered: bool, done: bool },
    Append { answered: bool, done: bool },
    Copy { moving: bool, pick: usize, answered: bool, done: bool },
    Store { pick: usize, flags: u8, mode: u8, answered: bool, done: bool },
    Expunge { pick: usize, answered: bool, done: bool },
    List,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        any::<(bool, bool)>().prop_map(|(answered, done)| Act::Deliver { answered, done }),
        any::<(bool, bool)>().prop_map(|(answered, done)| Act::Append { answered, done }),
        any::<(bool, usize, bool, bool)>().prop_map(|(moving, pick, answered, done)| {
            Act::Copy { moving, pick, answered, done }
        }),
        any::<(usize, u8, u8, bool, bool)>().prop_map(|(pick, flags, mode, answered, done)| {
            Act::Store { pick, flags: flags & 63, mode, answered, done }
        }),
        any::<(usize, bool, bool)>()
            .prop_map(|(pick, answered, done)| Act::Expunge { pick, answered, done }),
        Just(Act::List),
    ];
    prop::collection::vec(act, 0..40)
}

impl Story {
    /// A good store does it: what is answered is done, the rest is done or not.
    fn act(&mut self, number: u64, act: &Act) {
        let place = if number % 2 == 0 { INBOX } else { WORK };
        let other = if place == INBOX { WORK } else { INBOX };
        let pick = |story: &Self, pick: usize| -> Option<u32> {
            let uids: Vec<u32> = story.mailboxes.get(&place)?.keys().copied().collect();
            (!uids.is_empty()).then(|| uids[pick % uids.len()])
        };
        match *act {
            Act::Deliver { answered: true, .. } => drop(self.deliver(number)),
            Act::Deliver { done, .. } => {
                let id = self.begin_delivery(number);
                if done {
                    self.put(INBOX, Serial(number), Flags::default());
                }
                self.unknown(id);
            }
            Act::Append { answered: true, .. } => drop(self.append(place, number, Flags::SEEN)),
            Act::Append { done, .. } => {
                let serial = Serial(APPENDED + number);
                let (content, flags) = (content(serial), Flags::SEEN);
                let id = self.begin(Op::Append { to: place, serial, content, flags });
                if done {
                    self.put(place, serial, flags);
                }
                self.unknown(id);
            }
            Act::Copy { moving, pick: at, answered, done } => {
                self.list(place);
                let Some(uid) = pick(self, at) else { return };
                if answered {
                    self.copy(moving, place, other, uid);
                    return;
                }
                let op = Op::Copy { moving, from: place, to: other, uids: vec![uid] };
                let id = self.begin(op);
                if done {
                    let (serial, flags) = self.mailboxes[&place][&uid];
                    self.put(other, serial, flags);
                    if moving {
                        self.take(place, uid);
                    }
                }
                self.unknown(id);
            }
            Act::Store { pick: at, flags, mode, answered, done } => {
                self.list(place);
                let Some(uid) = pick(self, at) else { return };
                let mode = [Mode::Add, Mode::Remove, Mode::Replace][usize::from(mode % 3)];
                if answered {
                    self.store(place, uid, mode, Flags(flags));
                    return;
                }
                let (uids, flags) = (vec![uid], Flags(flags));
                let id = self.begin(Op::Store { place, uids, mode, flags });
                if done {
                    self.change(place, uid, mode, flags);
                }
                self.unknown(id);
            }
            Act::Expunge { pick: at, answered, done } => {
                self.list(place);
                let Some(uid) = pick(self, at) else { return };
                if answered {
                    self.expunge(place, uid);
                    return;
                }
                self.store(place, uid, Mode::Add, Flags::DELETED);
                let id = self.begin(Op::Expunge { place, uids: vec![uid] });
                if done {
                    self.take(place, uid);
                }
                self.unknown(id);
            }
            Act::List => self.list(place),
        }
    }
}

proptest! {
    /// The judge accuses nobody who is innocent, whatever remains unknown.
    #[test]
    fn good_stores_are_never_accused(acts in acts()) {
        let mut story = Story::default();
        for (number, act) in (1..).zip(&acts) {
            story.act(number, act);
        }
        story.end_with(|_, _, _| {});
        let verdict = judge(&story.history, &NODES);
        prop_assert!(verdict.is_clean(), "{:#?}", verdict.violations);
    }

    /// A message that was acknowledged and is silently gone is always missed.
    #[test]
    fn a_loss_is_always_found(acts in acts(), pick in any::<usize>()) {
        let mut story = Story::default();
        story.deliver(0);
        for (number, act) in (1..).zip(&acts) {
            story.act(number, act);
        }
        story.list(INBOX);
        story.list(WORK);
        let all: Vec<(Place, u32)> = story
            .mailboxes
            .iter()
            .flat_map(|(place, uids)| uids.keys().map(|uid| (*place, *uid)))
            .collect();
        prop_assume!(!all.is_empty());
        let (place, uid) = all[pick % all.len()];
        let unsure = story.history.entries().iter().any(|entry| match entry.op {
            Op::Copy { moving: true, from, uids, .. } => {
                entry.over().is_none() && *from == place && uids.contains(&uid)
            }
            Op::Expunge { place: at, uids } => {
                entry.over().is_none() && *at == place && uids.contains(&uid)
            }
            _ => false,
        });
        prop_assume!(!unsure);
        story.take(place, uid);
        story.end_with(|_, _, _| {});
        prop_assert!(judge(&story.history, &NODES).by_kind().contains_key(&Kind::Lost));
    }
}
