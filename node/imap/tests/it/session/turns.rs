//! What takes long lets others have their turn, however many keys, names and messages there are.

use imap::limits::{PATTERN_BYTES_MAX, SEARCH_SETS_MAX, UPDATE_RANGES_MAX};
use mailbox::{Command, MailboxId, Uid, UidRanges};

use super::scripts::Dialogue;

/// What a client hears, and how many turns its session took.
fn say(dialogue: &mut Dialogue, line: &str) -> (String, u64) {
    let before = dialogue.turns("c");
    let said = dialogue.say("c", format!("{line}\r\n").as_bytes());
    let said = String::from_utf8(said).unwrap();
    (said, dialogue.turns("c") - before)
}

/// INBOX of every second of so many messages.
fn with_gaps(messages: u32) -> Dialogue {
    let mut dialogue = Dialogue::new();
    for _ in 0..messages {
        dialogue.partition.deliver("alice", None, b"a: b\r\n\r\n");
    }
    let mut expunged = UidRanges::new();
    expunged.extend((1..=messages).step_by(2).map(Uid));
    dialogue.partition.apply(Command::Remove {
        account: dialogue.partition.account("alice"),
        mailbox: MailboxId::INBOX,
        uids: expunged,
    });
    dialogue.log_in("c", "alice");
    dialogue.say("c", b"s SELECT INBOX\r\n");
    dialogue
}

#[test]
fn many_keys_of_many_ranges() {
    let mut dialogue = with_gaps(4_000);
    let (all, few) = say(&mut dialogue, "a SEARCH RETURN (COUNT) ALL");
    assert!(all.contains(" COUNT 2000\r\n"), "{all}");
    let keys = " OR ALL ALL".repeat(300);
    let (said, turns) = say(&mut dialogue, &format!("a SEARCH RETURN (COUNT){keys}"));
    assert_eq!(said, all);
    // Each OR and each ALL goes through all ranges, of 16 bytes each.
    let most = (300 * 3 * 2_000 * 16 / imap::limits::TURN_BYTES) as u64;
    assert!(turns > few + most / 2, "{turns}");
}

/// Rows are tried by many keys.
#[test]
fn many_keys_of_many_rows() {
    let mut dialogue = with_gaps(4_000);
    let keys = " UNSEEN".repeat(900);
    let (said, turns) = say(&mut dialogue, &format!("a SEARCH RETURN (COUNT){keys}"));
    assert!(said.contains(" COUNT 2000\r\n"), "{said}");
    assert!(turns > 25, "{turns}");
}

/// What is held of a search that is followed is bounded, whatever its sets are.
#[test]
fn sets_that_are_followed() {
    let ranges = UPDATE_RANGES_MAX / (SEARCH_SETS_MAX - 1) - 1;
    let mut dialogue = with_gaps(2 * ranges as u32);
    let mut follow = |tag: &str, sets: usize| {
        let sets = " 1:*".repeat(sets);
        let line = format!("{tag} SEARCH RETURN (UPDATE COUNT){sets}");
        say(&mut dialogue, &line).0
    };
    let said = follow("a", SEARCH_SETS_MAX - 1);
    assert!(!said.contains("NOUPDATE"), "{said}");
    let said = follow("b", SEARCH_SETS_MAX);
    assert!(said.contains("* NO [NOUPDATE \"b\"]"), "{said}");
    let count = format!("COUNT {ranges}\r\nb OK");
    assert!(said.contains(&count), "{said}");
}

#[test]
fn long_names_and_long_patterns() {
    const NAMES: usize = 300;
    let mut dialogue = Dialogue::new();
    let account = dialogue.partition.account("alice");
    for number in 0..NAMES {
        let name = format!("{number:04}{}", "x".repeat(900));
        dialogue.partition.apply(Command::CreateMailbox {
            account,
            name,
            special_use: None,
        });
    }
    dialogue.log_in("c", "alice");
    let pattern = format!("*{}", "x".repeat(PATTERN_BYTES_MAX - 1));
    for command in ["LIST", "LSUB"] {
        let (said, turns) = say(&mut dialogue, &format!("a {command} \"\" {pattern}"));
        assert_eq!(said, format!("a OK {command} completed\r\n"));
        // Each character of a name moves the states of all 64 words.
        let most = (NAMES * 900 * 64 / imap::limits::TURN_BYTES) as u64;
        assert!(turns > most / 2, "{command}: {turns}");
    }
}
