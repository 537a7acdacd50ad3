//! How many annotations a mailbox takes.

use std::fmt::Write as _;

use imap::limits::METADATA_ENTRIES_MAX;

use super::scripts::Dialogue;

fn set(dialogue: &mut Dialogue, names: impl Iterator<Item = usize>, value: &str) -> String {
    let mut line = String::from("t SETMETADATA INBOX (");
    for (at, name) in names.enumerate() {
        let space = if at > 0 { " " } else { "" };
        write!(line, "{space}/shared/{name} {value}").unwrap();
    }
    line += ")\r\n";
    String::from_utf8(dialogue.say("c", line.as_bytes())).unwrap()
}

#[test]
fn a_mailbox_takes_so_many_annotations() {
    let mut dialogue = Dialogue::new();
    dialogue.log_in("c", "alice");
    let max = METADATA_ENTRIES_MAX;
    let said = set(&mut dialogue, 0..=max, "\"x\"");
    assert!(said.starts_with("t BAD [TOOBIG]"), "{said}");
    let said = set(&mut dialogue, 0..max, "\"x\"");
    assert!(said.starts_with("t OK"), "{said}");
    let said = set(&mut dialogue, [max].into_iter(), "\"x\"");
    assert!(said.starts_with("t NO [METADATA TOOMANY]"), "{said}");
    // One that is there may change, and one that goes makes room.
    let said = set(&mut dialogue, [0].into_iter(), "\"y\"");
    assert!(said.starts_with("t OK"), "{said}");
    let said = set(&mut dialogue, [1].into_iter(), "NIL");
    assert!(said.starts_with("t OK"), "{said}");
    let said = set(&mut dialogue, [max].into_iter(), "\"x\"");
    assert!(said.starts_with("t OK"), "{said}");
}
