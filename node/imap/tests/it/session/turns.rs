//! What takes long lets others have their turn, however many keys, names and messages there are.

use imap::limits::{PATTERN_BYTES_MAX, SEARCH_SETS_MAX, SEARCHED_HEADER_BYTES, UPDATE_RANGES_MAX};
use mailbox::{Command, MailboxId, Uid, UidRanges};

use super::scripts::Dialogue;

/// A client that has selected INBOX with these messages, which no index knows.
fn selected<'m>(messages: impl IntoIterator<Item = &'m [u8]>) -> Dialogue {
    let mut dialogue = Dialogue::new();
    for message in messages {
        dialogue.partition.deliver("alice", None, message);
    }
    dialogue.partition.drop_index();
    dialogue.log_in("c", "alice");
    dialogue.say("c", b"s SELECT INBOX\r\n");
    dialogue
}

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

/// Keys that look for fields which are not there.
fn lacking(keys: usize) -> String {
    let keys = (0..keys).map(|number| format!(" NOT HEADER X-{number} y"));
    keys.collect()
}

#[test]
fn a_long_header_that_many_keys_look_at() {
    let header = format!("a: {}\r\n\r\n", "b".repeat(SEARCHED_HEADER_BYTES));
    let mut dialogue = selected([header.as_bytes()]);
    let (said, turns) = say(&mut dialogue, &format!("a SEARCH{}", lacking(100)));
    assert_eq!(said, "* SEARCH 1\r\na OK SEARCH completed\r\n");
    assert!(turns >= 100, "{turns}");
}

#[test]
fn many_short_headers() {
    const MESSAGES: usize = 50;
    const BYTES: usize = 8 * 1024;
    const KEYS: usize = 20;
    let header = format!("a: {}\r\n\r\n", "b".repeat(BYTES));
    let mut dialogue = selected([header.as_bytes(); MESSAGES]);
    let (said, turns) = say(&mut dialogue, &format!("a SEARCH{}", lacking(KEYS)));
    assert!(said.ends_with(" 50\r\na OK SEARCH completed\r\n"), "{said}");
    // Each key looks at each header.
    let most = (MESSAGES * BYTES * KEYS / imap::limits::TURN_BYTES) as u64;
    assert!(turns > most / 2, "{turns}");
    let (said, turns) = say(&mut dialogue, "a SORT (SUBJECT) UTF-8 ALL");
    assert!(said.ends_with(" 50\r\na OK SORT completed\r\n"), "{said}");
    assert!(turns > most / KEYS as u64, "{turns}");
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
