//! SORT and THREAD of many messages and of hostile ones, against what one can work out otherwise.

use super::scripts::Dialogue;

fn selected(messages: impl IntoIterator<Item = String>) -> Dialogue {
    let mut dialogue = Dialogue::new();
    for message in messages {
        dialogue
            .partition
            .deliver("alice", None, message.as_bytes());
    }
    dialogue.log_in("c", "alice");
    dialogue.say("c", b"s SELECT INBOX\r\n");
    dialogue
}

fn say(dialogue: &mut Dialogue, line: &str) -> String {
    let said = dialogue.say("c", format!("{line}\r\n").as_bytes());
    String::from_utf8(said).unwrap()
}

/// More than are ordered in one turn: the order is that of a stable sort.
#[test]
fn many_messages_are_sorted() {
    let number = |at: u64| at.wrapping_mul(6_364_136_223_846_793_005) >> 54;
    let count = 5_000;
    let subject = |at: u64| format!("Subject: {:04}\r\n\r\n", number(at));
    let mut dialogue = selected((0..count).map(subject));
    let mut expected: Vec<u64> = (0..count).collect();
    expected.sort_by_key(|at| number(*at));
    let expected: Vec<String> = expected.iter().map(|at| (at + 1).to_string()).collect();
    let said = say(&mut dialogue, "a SORT (SUBJECT) UTF-8 ALL");
    assert_eq!(
        said,
        format!("* SORT {}\r\na OK SORT completed\r\n", expected.join(" "))
    );
}

/// One thread as deep as the mailbox is large: nothing recurses, and nothing walks up it again and
/// again.
#[test]
fn a_deep_thread() {
    let count = 20_000;
    let message = |at: usize| {
        let before: Vec<String> = (at.saturating_sub(3)..at)
            .map(|at| format!("<{at}@x>"))
            .collect();
        format!(
            "Message-ID: <{at}@x>\r\nReferences: {}\r\n\r\n",
            before.join(" ")
        )
    };
    // The last one first, so that links are made from below.
    let mut dialogue = selected((0..count).rev().map(message));
    let said = say(&mut dialogue, "a THREAD REFERENCES UTF-8 ALL");
    let chain: Vec<String> = (1..=count).rev().map(|at| at.to_string()).collect();
    assert_eq!(
        said,
        format!(
            "* THREAD ({})\r\na OK THREAD completed\r\n",
            chain.join(" ")
        )
    );
}

/// Branches all the way down: every level has a message more.
#[test]
fn a_deep_thread_with_branches() {
    let count = 3_000;
    let spine = (0..count).map(|at| match at {
        0 => "Message-ID: <0@x>\r\n\r\n".to_owned(),
        _ => format!("Message-ID: <{at}@x>\r\nReferences: <{}@x>\r\n\r\n", at - 1),
    });
    let leaves = (0..count).map(|at| format!("References: <{at}@x>\r\n\r\n"));
    let mut dialogue = selected(spine.chain(leaves));
    for algorithm in ["REFERENCES", "REFS"] {
        let said = say(&mut dialogue, &format!("a THREAD {algorithm} UTF-8 ALL"));
        let line = said.lines().next().unwrap();
        let opened = line.matches('(').count();
        assert_eq!(opened, line.matches(')').count());
        assert_eq!(opened, 2 * count - 1);
        let numbers = line.split(|char: char| !char.is_ascii_digit());
        let mut numbers: Vec<usize> = numbers.filter_map(|text| text.parse().ok()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=2 * count));
    }
}

/// A References field that names very many, and long texts everywhere.
#[test]
fn long_fields() {
    let references: String = (0..20_000).map(|at| format!("<{at}@x>\r\n ")).collect();
    let long = "[x] Re: ".repeat(20_000);
    let message = |id: usize| {
        format!(
            "Message-ID: <m{id}@x>\r\nReferences: {references}\r\nSubject: {long}{id}\r\n\
             From: {long} <a@x>\r\n\r\n"
        )
    };
    let mut dialogue = selected((0..4).map(message));
    let threads = say(&mut dialogue, "a THREAD REFERENCES UTF-8 ALL");
    assert_eq!(
        threads,
        "* THREAD ((1)(2)(3)(4))\r\na OK THREAD completed\r\n"
    );
    let sorted = say(
        &mut dialogue,
        "b SORT (REVERSE SUBJECT DISPLAYFROM FROM) UTF-8 ALL",
    );
    assert_eq!(sorted, "* SORT 4 3 2 1\r\nb OK SORT completed\r\n");
}

/// More message ids than are held: the answer is NO, and the session goes on.
#[test]
fn very_many_ids() {
    let each = imap::limits::REFERENCES_MAX;
    let message = |number: usize| {
        let ids: String = (0..each)
            .map(|at| format!("<{number}.{at}@x>\r\n "))
            .collect();
        format!("References: {ids}\r\n\r\n")
    };
    let count = imap::limits::THREAD_IDS_MAX / each;
    let mut dialogue = selected((0..count).map(message));
    let refused = "a NO [LIMIT] Too many messages to be threaded\r\n";
    assert_eq!(say(&mut dialogue, "a THREAD REFS UTF-8 ALL"), refused);
    assert_eq!(
        say(&mut dialogue, "b THREAD REFS UTF-8 2"),
        "* THREAD (2)\r\nb OK THREAD completed\r\n"
    );
}

/// No more than the header is read of a large message, and nothing if rows tell.
#[test]
fn what_is_read() {
    let large = format!("Subject: x\r\n\r\n{}", "text\r\n".repeat(100_000));
    let mut dialogue = selected([large]);
    dialogue.partition.take_read();
    say(&mut dialogue, "a SORT (ARRIVAL SIZE) UTF-8 ALL");
    assert!(dialogue.partition.take_read().is_empty());
    say(&mut dialogue, "b SORT (SUBJECT) UTF-8 ALL");
    say(&mut dialogue, "c THREAD REFS UTF-8 ALL");
    let read = dialogue.partition.take_read();
    assert_eq!(read.len(), 2);
    let most = imap::limits::HEADER_PIECE_BYTES;
    assert!(read.iter().all(|range| range.end - range.start <= most));
}

/// What cannot be ordered is refused and leaves nothing behind.
#[test]
fn failures() {
    let mut dialogue = selected(["Subject: a\r\n\r\n".to_owned()]);
    dialogue
        .partition
        .fail_read(imap::backend::BackendError::Unavailable, 0);
    assert!(say(&mut dialogue, "a THREAD REFS UTF-8 ALL").starts_with("a NO [UNAVAILABLE]"));
    assert_eq!(
        say(&mut dialogue, "b THREAD REFS UTF-8 ALL"),
        "* THREAD (1)\r\nb OK THREAD completed\r\n"
    );
}
