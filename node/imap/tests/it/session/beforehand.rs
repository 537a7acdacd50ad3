//! What a client asks for of new messages is worked out while it says nothing.

use imap::backend::BackendError;
use imap::limits::{FRESH_BYTES_MAX, FRESH_MESSAGES_MAX};

use super::scripts::Dialogue;

const MESSAGE: &[u8] = b"From: a@b.example\r\nSubject: s\r\n\r\ntext\r\n";
const USUAL: &str = "(UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From)])";

/// A client that has selected INBOX, which has one message, and has asked for something of it.
fn asked(items: &str) -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.partition.deliver("alice", None, MESSAGE);
    dialogue.log_in("c", "alice");
    say(&mut dialogue, "s SELECT INBOX");
    say(&mut dialogue, &format!("f FETCH 1 {items}"));
    dialogue.partition.take_read();
    dialogue
}

fn say(dialogue: &mut Dialogue, line: &str) -> String {
    String::from_utf8(dialogue.say("c", format!("{line}\r\n").as_bytes())).unwrap()
}

/// Delivers a message that is not like any other, and returns what the client hears.
fn deliver(dialogue: &mut Dialogue, number: usize) -> String {
    let message = format!("From: a@b.example\r\nSubject: {number}\r\n\r\ntext\r\n");
    dialogue
        .partition
        .deliver("alice", None, message.as_bytes());
    heard(dialogue)
}

fn heard(dialogue: &mut Dialogue) -> String {
    dialogue.run();
    String::from_utf8(dialogue.client("c").take()).unwrap()
}

/// Whether nothing has to be read for a FETCH of these messages, which is answered.
fn is_worked_out(dialogue: &mut Dialogue, set: &str) -> bool {
    dialogue.partition.take_read();
    let said = say(dialogue, &format!("w FETCH {set} {USUAL}"));
    assert!(said.contains("w OK FETCH completed"), "{said}");
    dialogue.partition.take_read().is_empty()
}

#[test]
fn in_idle() {
    let mut dialogue = asked(USUAL);
    say(&mut dialogue, "i IDLE");
    for number in 2..5 {
        assert!(deliver(&mut dialogue, number).contains(&format!("* {number} EXISTS")));
        // Once, and all of it.
        assert_eq!(dialogue.partition.take_read().len(), 1);
    }
    say(&mut dialogue, "DONE");
    assert!(is_worked_out(&mut dialogue, "2:4"));
    let said = say(&mut dialogue, "g FETCH 4 ENVELOPE");
    assert!(said.contains("ENVELOPE (NIL \"4\" "), "{said}");
}

#[test]
fn with_notify_and_after_noop() {
    let mut dialogue = asked(USUAL);
    say(
        &mut dialogue,
        "n NOTIFY SET (selected (MessageNew MessageExpunge))",
    );
    assert!(deliver(&mut dialogue, 2).contains("* 2 EXISTS"));
    assert!(is_worked_out(&mut dialogue, "2"));
    say(&mut dialogue, "n NOTIFY NONE");
    say(
        &mut dialogue,
        "n NOTIFY SET (selected (MessageNew (UID) MessageExpunge))",
    );
    assert!(deliver(&mut dialogue, 3).contains("* 3 FETCH (UID 3)"));
    assert!(is_worked_out(&mut dialogue, "3"));

    let mut dialogue = asked(USUAL);
    assert_eq!(deliver(&mut dialogue, 2), "");
    assert!(dialogue.partition.take_read().is_empty());
    assert!(say(&mut dialogue, "n NOOP").contains("* 2 EXISTS"));
    assert!(is_worked_out(&mut dialogue, "2"));
}

/// A client that has asked for nothing of the kind is not known to, and what is read is what it
/// asked for.
#[test]
fn nothing_else_is_worked_out() {
    let mut dialogue = asked("(UID FLAGS BODY.PEEK[])");
    say(&mut dialogue, "i IDLE");
    assert!(deliver(&mut dialogue, 2).contains("* 2 EXISTS"));
    assert!(dialogue.partition.take_read().is_empty());
    say(&mut dialogue, "DONE");
    assert!(!is_worked_out(&mut dialogue, "2"));

    // Of a large message no more than the header, for items that need no more.
    let mut dialogue = asked(USUAL);
    say(&mut dialogue, "i IDLE");
    let large = "text\r\n".repeat(usize::try_from(FRESH_BYTES_MAX).unwrap() / 6 + 1);
    let large = format!("Subject: large\r\n\r\n{large}");
    dialogue.partition.deliver("alice", None, large.as_bytes());
    assert!(heard(&mut dialogue).contains("* 2 EXISTS"));
    let read = dialogue.partition.take_read();
    assert_eq!(read.len(), 1);
    assert!(read[0].end <= imap::limits::HEADER_PIECE_BYTES);
    say(&mut dialogue, "DONE");
    say(&mut dialogue, "g FETCH 2 ENVELOPE");
    assert!(dialogue.partition.take_read().is_empty());
    assert!(!is_worked_out(&mut dialogue, "2"));
}

/// What cannot be read now keeps nobody: neither what others do nor what the client says.
#[test]
fn nobody_waits_for_it() {
    let mut dialogue = asked(USUAL);
    say(&mut dialogue, "i IDLE");
    dialogue.partition.stall(true);
    assert!(deliver(&mut dialogue, 2).contains("* 2 EXISTS"));
    assert!(deliver(&mut dialogue, 3).contains("* 3 EXISTS"));
    assert_eq!(say(&mut dialogue, "DONE"), "i OK IDLE completed\r\n");
    assert!(dialogue.partition.take_read().is_empty());
    // Also where it says nothing after a command that is no IDLE.
    assert_eq!(say(&mut dialogue, "n NOOP"), "n OK NOOP completed\r\n");
    assert_eq!(say(&mut dialogue, "n NOOP"), "n OK NOOP completed\r\n");
    dialogue.partition.stall(false);
    dialogue.run();
    assert!(is_worked_out(&mut dialogue, "2:3"));

    // What fails is worked out when it is asked for.
    say(&mut dialogue, "i IDLE");
    dialogue.partition.fail_read(BackendError::Unavailable, 1);
    assert!(deliver(&mut dialogue, 4).contains("* 4 EXISTS"));
    say(&mut dialogue, "DONE");
    assert!(!is_worked_out(&mut dialogue, "4"));
}

/// Of very many only the newest, and of what the client asks for at once nothing twice.
#[test]
fn the_newest_of_many() {
    let mut dialogue = asked(USUAL);
    let many = usize::try_from(FRESH_MESSAGES_MAX).unwrap() + 10;
    for number in 0..many {
        deliver(&mut dialogue, number);
    }
    say(&mut dialogue, "n NOOP");
    assert_eq!(dialogue.partition.take_read().len(), many - 10);
    assert!(is_worked_out(&mut dialogue, "12:*"));
    assert!(!is_worked_out(&mut dialogue, "11"));

    let mut dialogue = asked(USUAL);
    deliver(&mut dialogue, 2);
    let both = format!("n NOOP\r\nf FETCH 2 {USUAL}");
    assert!(say(&mut dialogue, &both).contains("f OK FETCH completed"));
    assert_eq!(dialogue.partition.take_read().len(), 1);
}

/// In the mailbox of another as in one's own, as long as he lets one.
#[test]
fn of_another() {
    let mut dialogue = Dialogue::new();
    dialogue.partition.deliver("alice", None, MESSAGE);
    dialogue.log_in("a", "alice");
    dialogue.log_in("c", "bob");
    dialogue.say("a", b"s SETACL INBOX bob lr\r\n");
    say(&mut dialogue, "s SELECT user/alice/INBOX");
    say(&mut dialogue, &format!("f FETCH 1 {USUAL}"));
    say(&mut dialogue, "i IDLE");
    assert!(deliver(&mut dialogue, 2).contains("* 2 EXISTS"));
    say(&mut dialogue, "DONE");
    assert!(is_worked_out(&mut dialogue, "2"));
}
