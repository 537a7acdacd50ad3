//! Histories by hand: the judge accepts what a good mail store may do, and finds each thing that
//! a bad one does.

use chaos::history::{Answer, Fault, Flags, Listed, Met, Mode, Op, Receipt, What};
use chaos::mail::message::{Received, Serial};
use chaos::oracle::{Kind, judge};

use crate::story::{APPENDED, INBOX, NODES, Story, WORK, received};

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
    assert!(
        kinds.contains(&Kind::UidReused) && kinds.contains(&Kind::UidBehind),
        "{kinds:?}"
    );
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
    let id = story.begin(Op::Read {
        place: WORK,
        uid: work,
    });
    let body = Some(received(Serial(APPENDED + 1), true));
    story.ok(id, Answer::Body { validity: 7, body });
    assert_eq!(story.end(), [Kind::WrongBytes]);
}

#[test]
fn a_resurrected_message_is_found() {
    let (mut story, inbox, work) = good();
    let taken = story.expunge(INBOX, inbox);
    story
        .mailboxes
        .get_mut(&INBOX)
        .unwrap()
        .insert(inbox, taken);
    assert_eq!(story.end(), [Kind::Resurrected]);
    let (mut story, ..) = good();
    let moved = story.mailboxes[&WORK][&work];
    story.copy(true, WORK, INBOX, work);
    story.mailboxes.get_mut(&WORK).unwrap().insert(work, moved);
    assert_eq!(story.end(), [Kind::Resurrected]);
}

/// M2: an expunge or a move without an answer may be done at any later time, but once a message was
/// not found any more it does not come back.
#[test]
fn a_message_that_comes_back_after_an_unknown_removal_is_found() {
    let expunge = |uid| Op::Expunge {
        place: INBOX,
        uids: vec![uid],
    };
    let moves = |uid| Op::Copy {
        moving: true,
        from: INBOX,
        to: WORK,
        uids: vec![uid],
    };
    for op in [expunge as fn(u32) -> Op, moves] {
        let (mut story, inbox, _) = good();
        story.store(INBOX, inbox, Mode::Add, Flags::DELETED);
        let id = story.begin(op(inbox));
        story.unknown(id);
        // Still there for a while: that is nothing strange.
        story.list(INBOX);
        let gone = story.take(INBOX, inbox);
        let moved = matches!(op(inbox), Op::Copy { .. });
        if moved {
            story.put(WORK, gone.0, gone.1);
        }
        story.list(INBOX);
        assert_eq!(story.clone().end(), []);
        let mut seen = story.clone();
        story.mailboxes.get_mut(&INBOX).unwrap().insert(inbox, gone);
        let kinds = story.end();
        assert!(kinds.contains(&Kind::Resurrected), "{kinds:?}");
        // A single message that was not found, and then is.
        for found in [false, true] {
            let id = seen.begin(Op::Read {
                place: INBOX,
                uid: inbox,
            });
            let body = found.then(|| received(gone.0, true));
            seen.ok(id, Answer::Body { validity: 7, body });
        }
        assert_eq!(seen.end(), [Kind::Resurrected]);
    }
    // A list that began before the other was answered may have been made before it.
    let (mut story, inbox, _) = good();
    story.store(INBOX, inbox, Mode::Add, Flags::DELETED);
    let id = story.begin(expunge(inbox));
    story.unknown(id);
    let before = story.listed(INBOX, false);
    let late = story.begin(Op::List {
        place: INBOX,
        last: false,
    });
    story.take(INBOX, inbox);
    story.list(INBOX);
    story.ok(late, before);
    assert_eq!(story.end(), []);
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
        let id = story.begin(Op::Store {
            place,
            uids,
            mode,
            flags,
        });
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
        let op = Op::Copy {
            moving: true,
            from: INBOX,
            to: WORK,
            uids: vec![inbox],
        };
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
        let id = story.begin(Op::Expunge {
            place: INBOX,
            uids: vec![inbox],
        });
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
    let op = Op::Copy {
        moving: false,
        from: INBOX,
        to: WORK,
        uids: vec![1, inbox],
    };
    let id = story.begin(op);
    let target = story.put(WORK, Serial(1), Flags::default());
    story.ok(
        id,
        Answer::Copied {
            validity: 7,
            pairs: vec![(1, target)],
        },
    );
    assert_eq!(story.end(), [Kind::WrongCopy]);
}

#[test]
fn a_copyuid_that_points_at_other_bytes_is_found() {
    let (mut story, inbox, _) = good();
    let op = Op::Copy {
        moving: false,
        from: INBOX,
        to: WORK,
        uids: vec![inbox],
    };
    let id = story.begin(op);
    let target = story.put(WORK, Serial(1), Flags::FLAGGED);
    story.ok(
        id,
        Answer::Copied {
            validity: 7,
            pairs: vec![(inbox, target)],
        },
    );
    assert!(story.end().contains(&Kind::UidReused));
}

#[test]
fn a_stale_read_is_found() {
    let (mut story, ..) = good();
    let old = story.listed(INBOX, false);
    story.deliver(3);
    story.list(INBOX);
    let id = story.begin(Op::List {
        place: INBOX,
        last: false,
    });
    story.ok(id, old);
    let kinds = story.end();
    assert!(
        kinds.contains(&Kind::Missing) && kinds.contains(&Kind::UidBehind),
        "{kinds:?}"
    );
    assert!(kinds.contains(&Kind::ModseqBack), "{kinds:?}");
    // A read that overlaps the change may see either.
    let (mut story, ..) = good();
    let old = story.listed(WORK, false);
    let id = story.begin(Op::List {
        place: WORK,
        last: false,
    });
    story.append(WORK, 2, Flags::default());
    story.ok(id, old);
    assert_eq!(story.end(), []);
    // A single message that is not found although it is there.
    let (mut story, inbox, _) = good();
    let id = story.begin(Op::Read {
        place: INBOX,
        uid: inbox,
    });
    story.ok(
        id,
        Answer::Body {
            validity: 7,
            body: None,
        },
    );
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
    assert_eq!(
        judge(&story.history, &[1, 2, 3])
            .by_kind()
            .into_keys()
            .next(),
        Some(Kind::NotRead)
    );
}

/// A partition that takes nothing any more is not missed among others, so clients tell of it.
#[test]
fn mail_that_was_given_up_is_found() {
    let gave_up = |story: &mut Story, last: &str| {
        let met = Met::GaveUp {
            serial: Serial(3),
            left: vec![INBOX],
            last: last.to_owned(),
        };
        let client = "mta1".to_owned();
        let node = 0;
        story.event(0, What::Met { client, node, met });
    };
    let (mut story, ..) = good();
    gave_up(&mut story, "unknown: the server hung up");
    assert_eq!(story.end(), [Kind::Stuck]);
    // Disks of a majority were full: it was refused rightly, but for no other reason.
    let full = |story: &mut Story, nodes: &[u64]| {
        let nodes = nodes.to_vec();
        story.event(0, What::Fault(Fault::Full { nodes }));
    };
    let no_room = "[Unknown(\"452 4.3.1 Not enough room\")]";
    let (mut story, ..) = good();
    gave_up(&mut story, no_room);
    assert_eq!(story.end(), [Kind::Stuck]);
    let (mut story, ..) = good();
    full(&mut story, &[2]);
    gave_up(&mut story, no_room);
    assert_eq!(story.clone().end(), [Kind::Stuck]);
    let (mut story, ..) = good();
    full(&mut story, &[1, 2]);
    gave_up(&mut story, no_room);
    assert_eq!(story.clone().end(), []);
    gave_up(&mut story, "[Unknown(\"451 4.3.0 Not now\")]");
    assert_eq!(story.end(), [Kind::Stuck]);
}

/// A node through which nobody read at the end is missed, since the history says that it had to be.
#[test]
fn a_node_that_nobody_read_is_found() {
    let (mut story, ..) = good();
    story.event(0, What::Readers(vec![1, 2, 3]));
    story.end();
    let readers = story.history.readers();
    assert_eq!(readers, [1, 2, 3]);
    let kinds = judge(&story.history, &readers).by_kind();
    assert_eq!(kinds.into_keys().collect::<Vec<_>>(), [Kind::NotRead]);
}

#[test]
fn what_is_not_served_when_nothing_is_broken_is_found() {
    let (mut story, ..) = good();
    let (client, node) = ("last3".to_owned(), 2);
    let met = Met::NotServed("group 3: a delivery within 30s".to_owned());
    story.event(0, What::Met { client, node, met });
    assert_eq!(story.end(), [Kind::Stuck]);
}
