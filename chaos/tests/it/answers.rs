//! Histories in which something is refused, answered with what is no answer, or with a mod-sequence
//! that is wrong.

use chaos::history::{Answer, Fault, Flags, Met, Mode, Op, Receipt, What};
use chaos::mail::message::Serial;
use chaos::oracle::{Kind, judge};

use crate::story::{APPENDED, INBOX, NODES, Story, WORK, content};

/// One message in INBOX, under UID 1.
fn story() -> Story {
    let mut story = Story::default();
    story.deliver(1);
    story.list(INBOX);
    story
}

fn store() -> Op {
    Op::Store {
        place: INBOX,
        uids: vec![1],
        mode: Mode::Add,
        flags: Flags::SEEN,
    }
}

fn append() -> Op {
    let serial = Serial(APPENDED + 7);
    Op::Append {
        to: WORK,
        serial,
        content: content(serial),
        flags: Flags::default(),
    }
}

fn refuse(story: &mut Story, op: Op, why: &str) {
    let id = story.begin(op);
    story.event(id, What::Fail(why.to_owned()));
}

fn full(story: &mut Story, nodes: &[u64]) {
    let nodes = nodes.to_vec();
    story.event(0, What::Fault(Fault::Full { nodes }));
}

fn room(story: &mut Story, nodes: &[u64]) {
    let nodes = nodes.to_vec();
    story.event(0, What::Fault(Fault::Room { nodes }));
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    for why in [
        "No [SERVERBUG] Internal error, please report it",
        "No [NONEXISTENT] There is no such mailbox",
        "Bad Unknown command",
        "No [OVERQUOTA] Quota exceeded",
        "No [EXPUNGEISSUED] The message is gone",
        "No [UNAVAILABLE] The server's disk is nearly full, nothing can be added now",
    ] {
        let mut story = story();
        refuse(&mut story, store(), why);
        assert_eq!(story.end(), [Kind::Refused], "{why}");
    }
    for why in [
        "No [UNAVAILABLE] Not now, try again later",
        // The connection broke before the literal was sent.
        "Connection reset by peer (os error 104)",
    ] {
        let mut story = story();
        refuse(&mut story, append(), why);
        assert_eq!(story.end(), [], "{why}");
    }
}

#[test]
fn a_message_that_may_be_gone_may_be_said_to_be_gone() {
    let mut story = story();
    story.store(INBOX, 1, Mode::Add, Flags::DELETED);
    let id = story.begin(Op::Expunge {
        place: INBOX,
        uids: vec![1],
    });
    story.unknown(id);
    refuse(
        &mut story,
        store(),
        "No [EXPUNGEISSUED] The message is gone",
    );
    assert_eq!(story.end(), []);
}

#[test]
fn there_is_no_room_only_while_disks_are_full() {
    let why = "No [UNAVAILABLE] The server's disk is nearly full, nothing can be added now";
    let no_room = || Answer::Delivered(vec![Receipt::Refused("452 4.3.1 No room".into())]);
    let mut before = story();
    let id = before.begin_delivery(2);
    before.ok(id, no_room());
    assert_eq!(before.end(), [Kind::Refused]);

    let mut story = story();
    full(&mut story, &[1, 2, 3]);
    refuse(&mut story, append(), why);
    let id = story.begin_delivery(2);
    story.ok(id, no_room());
    let late = story.begin(append());
    room(&mut story, &[1, 2]);
    story.event(late, What::Fail(why.to_owned()));
    assert_eq!(story.clone().end(), []);
    let mut again = story.clone();
    refuse(&mut again, append(), why);
    assert_eq!(again.end(), [Kind::Refused]);
    let id = story.begin_delivery(2);
    story.event(id, What::Fail("452 4.3.1 No room".into()));
    assert_eq!(story.end(), [Kind::Refused]);
}

#[test]
fn a_sender_that_is_refused_for_good_is_found() {
    let mut story = story();
    let id = story.begin_delivery(2);
    story.event(id, What::Fail("451 4.3.0 Not now".into()));
    assert_eq!(story.clone().end(), []);
    let id = story.begin_delivery(2);
    story.event(id, What::Fail("550 5.1.0 Not you".into()));
    assert_eq!(story.end(), [Kind::Bounced]);
}

#[test]
fn a_login_that_is_refused_is_found() {
    let met = |met| What::Met {
        client: "reader1".into(),
        node: 2,
        met,
    };
    for (why, kinds) in [
        (
            "No [AUTHENTICATIONFAILED] Authentication failed",
            &[Kind::Refused][..],
        ),
        (
            "No [LIMIT] Too many failed logins, try again later",
            &[Kind::Refused],
        ),
        ("No [UNAVAILABLE] Not now, try again later", &[]),
    ] {
        let mut story = story();
        story.event(0, met(Met::Refused(why.into())));
        assert_eq!(story.end(), kinds, "{why}");
    }
    let mut story = story();
    story.event(0, met(Met::BadAnswer("deadline has elapsed".into())));
    assert_eq!(story.end(), [Kind::BadAnswer]);
}

/// What is no answer leaves it open whether something was done, and is a finding by itself.
#[test]
fn what_is_no_answer_is_found() {
    for done in [false, true] {
        let mut story = story();
        let id = story.begin(store());
        if done {
            story.change(INBOX, 1, Mode::Add, Flags::SEEN);
        }
        story.event(id, What::Broken("a response to a9, not a4".into()));
        assert_eq!(story.end(), [Kind::BadAnswer]);
    }
}

/// INBOX is listed, and this mod-sequence is told.
fn list_with(story: &mut Story, told: u64) {
    let id = story.begin(Op::List {
        place: INBOX,
        last: false,
    });
    let mut answer = story.listed(INBOX, false);
    if let Answer::Listed { modseq, .. } = &mut answer {
        *modseq = told;
    }
    story.ok(id, answer);
}

/// M3: what was added or taken away between two lists raises the mod-sequence.
#[test]
fn a_mod_sequence_that_stays_is_found() {
    let changes: [fn(&mut Story); 5] = [
        |story| {
            story.deliver(3);
        },
        |story| {
            story.append(INBOX, 2, Flags::SEEN);
        },
        |story| {
            story.copy(false, WORK, INBOX, 1);
        },
        |story| {
            story.copy(true, INBOX, WORK, 1);
        },
        |story| {
            story.expunge(INBOX, 1);
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        for (told, kinds) in [(5, &[Kind::ModseqBack][..]), (6, &[])] {
            let mut story = story();
            story.append(WORK, 1, Flags::SEEN);
            list_with(&mut story, 5);
            change(&mut story);
            list_with(&mut story, told);
            assert_eq!(story.end(), kinds, "change {number}, {told}");
        }
    }
    // A change that overlaps the first list may be in it, and one that overlaps the second not.
    let mut good = story();
    let id = good.begin_delivery(3);
    list_with(&mut good, 6);
    good.put(INBOX, Serial(3), Flags::default());
    good.ok(id, Answer::Delivered(vec![Receipt::Stored]));
    list_with(&mut good, 6);
    assert_eq!(good.end(), []);
    // What was stored by an attempt before is not stored again.
    let mut good = story();
    let id = good.begin_delivery(3);
    good.put(INBOX, Serial(3), Flags::default());
    good.unknown(id);
    list_with(&mut good, 5);
    let id = good.begin_delivery(3);
    good.ok(id, Answer::Delivered(vec![Receipt::Stored]));
    list_with(&mut good, 5);
    assert_eq!(good.end(), []);
}

#[test]
fn a_mod_sequence_that_is_not_told_is_found() {
    let mut story = story();
    list_with(&mut story, 0);
    assert_eq!(story.end(), [Kind::ModseqBack]);
}

/// Outcomes that nobody knows are counted apart where nothing was done to the node meanwhile.
#[test]
fn unknown_outcomes_through_nodes_that_were_not_touched() {
    let mut story = story();
    let kill = |story: &mut Story, node| {
        let fault = Fault::Kill { node, led: vec![] };
        story.event(0, What::Fault(fault));
    };
    let start = |story: &mut Story, node| {
        story.event(0, What::Fault(Fault::Start { node }));
    };
    kill(&mut story, 1);
    start(&mut story, 1);
    kill(&mut story, 3);
    // It still took the connection, and is dying.
    let dying = story.begin_at(3, store());
    story.unknown(dying);
    let one = story.begin_at(1, store());
    let two = story.begin_at(2, append());
    kill(&mut story, 2);
    story.unknown(one);
    story.unknown(two);
    kill(&mut story, 1);
    story.begin_at(3, store());
    story.end();
    let counts = judge(&story.history, &NODES).counts;
    assert_eq!((counts.unknown, counts.unknown_apart), (4, 1));
}
