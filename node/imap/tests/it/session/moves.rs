//! MOVE to another user, failing at each of its three commands: it says "no" only to what was not
//! done and will not be, and leaves to others only what it does not know.

use imap::backend::BackendError;
use mailbox::{Millis, UidRanges};

use super::scripts::Dialogue;

const BEGIN: usize = 0;
const IMPORT: usize = 1;
const END: usize = 2;

/// Bob, who has a message and may move it to alice.
fn dialogue() -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.log_in("a", "alice");
    dialogue.say("a", b"a SETACL INBOX bob lrswi\r\n");
    dialogue
        .partition
        .deliver("bob", None, b"Subject: one\n\none\n");
    dialogue.log_in("b", "bob");
    dialogue.say("b", b"b SELECT INBOX\r\n");
    dialogue
}

/// How many messages alice and bob have, and how many moves have not ended.
fn state(dialogue: &Dialogue) -> (u64, u64, usize) {
    let messages = |user| UidRanges::len(&dialogue.partition.uids(user));
    let rows = dialogue.partition.0.lock().unwrap().rows.memory().clone();
    let open = mailbox::unfinished(&rows, None, Millis(u64::MAX), 9).unwrap();
    (messages("alice"), messages("bob"), open.len())
}

#[test]
fn nothing_fails() {
    let mut dialogue = dialogue();
    let said = dialogue.say("b", b"m MOVE 1 user/alice/INBOX\r\n");
    assert!(said.ends_with(b"m OK MOVE completed\r\n"));
    assert_eq!(state(&dialogue), (1, 0, 0));
}

#[test]
fn each_command_fails_in_each_way() {
    use BackendError::{Broken, NoSpace, Unavailable, Unknown};
    for (error, after, no, state_then) in [
        (Unavailable, BEGIN, true, (0, 1, 0)),
        (Unknown, BEGIN, false, (0, 1, 0)),
        (Unavailable, IMPORT, true, (0, 1, 0)),
        (NoSpace, IMPORT, true, (0, 1, 0)),
        (Unknown, IMPORT, false, (0, 1, 1)),
        (Broken, IMPORT, false, (0, 1, 1)),
        (Unavailable, END, false, (1, 1, 1)),
        (Unknown, END, false, (1, 1, 1)),
    ] {
        let mut dialogue = dialogue();
        dialogue.partition.fail(error.clone(), after);
        let said = dialogue.say("b", b"m MOVE 1 user/alice/INBOX\r\n");
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.starts_with("m NO"), no, "{error} at {after}: {said}");
        let ended = dialogue.ended("b");
        let closed = (!no).then(|| "OutcomeUnknown".to_owned());
        assert_eq!(ended, closed, "{error} at {after}");
        assert_eq!(state(&dialogue), state_then, "{error} at {after}");

        // It is tried again, and is in one of them.
        dialogue.log_in("c", "bob");
        dialogue.say("c", b"c SELECT INBOX\r\n");
        let said = dialogue.say("c", b"m MOVE 1 user/alice/INBOX\r\n");
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("m OK"), "{error} at {after}: {said}");
        assert_eq!(state(&dialogue), (1, 0, state_then.2), "{error} at {after}");
    }
}

/// What is refused where it should go to stays, and is not moved later either.
#[test]
fn what_is_refused_stays() {
    let mut dialogue = dialogue();
    let alice = dialogue.partition.account("alice");
    dialogue.partition.apply(mailbox::Command::SetQuota {
        account: alice,
        bytes: Some(1),
        messages: None,
    });
    let said = dialogue.say("b", b"m MOVE 1 user/alice/INBOX\r\n");
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("m NO [OVERQUOTA]"), "{said}");
    assert_eq!(state(&dialogue), (0, 1, 0));
}

/// Giving it up fails: whether it will be done is not known.
#[test]
fn giving_up_fails() {
    let mut dialogue = dialogue();
    // The one that comes first is told last.
    dialogue.partition.fail(BackendError::Unavailable, 0);
    dialogue.partition.fail(BackendError::Unavailable, IMPORT);
    let said = dialogue.say("b", b"m MOVE 1 user/alice/INBOX\r\n");
    assert!(said.is_empty());
    assert_eq!(dialogue.ended("b").as_deref(), Some("OutcomeUnknown"));
    assert_eq!(state(&dialogue), (0, 1, 1));
}

/// What is there at the moment cannot be read: nothing is moved.
#[test]
fn reading_again_fails() {
    // The mailbox that they go to, the rows, and the rows again.
    for after in 0..4 {
        let mut dialogue = dialogue();
        dialogue
            .partition
            .fail_read(BackendError::Unavailable, after);
        let said = dialogue.say("b", b"m MOVE 1 user/alice/INBOX\r\n");
        let said = String::from_utf8(said).unwrap();
        let is_before = after < 3;
        assert_eq!(said.starts_with("m NO"), is_before, "{after}: {said}");
        let state_then = if is_before { (0, 1, 0) } else { (1, 0, 0) };
        assert_eq!(state(&dialogue), state_then, "{after}");
    }
}

/// What may have arrived there is moved nowhere else, until that is known.
#[test]
fn what_is_left_goes_the_same_way_only() {
    let mut dialogue = dialogue();
    dialogue.partition.fail(BackendError::Unknown, END);
    dialogue.say("b", b"m MOVE 1 user/alice/INBOX\r\n");
    dialogue.log_in("c", "bob");
    dialogue.say("c", b"c SELECT INBOX\r\nd CREATE Box\r\n");
    for refused in [&b"m MOVE 1 Box\r\n"[..], b"m RENAME INBOX Old\r\n"] {
        let said = dialogue.say("c", refused);
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("m NO [INUSE]"), "{said}");
    }
    let said = dialogue.say("c", b"m MOVE 1 user/alice/INBOX\r\n");
    assert!(said.ends_with(b"m OK MOVE completed\r\n"));
    assert_eq!(state(&dialogue), (1, 0, 1));
}
