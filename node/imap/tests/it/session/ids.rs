//! Object ids outlive what an administrator does (RFC 8474 sections 4 and 5): bringing back
//! messages and mailboxes.

use mailbox::{Command, MailboxId, Outcome, UidRanges};

use super::scripts::Dialogue;

fn say(dialogue: &mut Dialogue, line: &str) -> String {
    let said = dialogue.say("c", format!("t {line}\r\n").as_bytes());
    String::from_utf8(said).unwrap()
}

/// What stands in parentheses after a word.
fn id(said: &str, word: &str) -> String {
    let rest = said.split_once(&format!("{word} (")).unwrap().1;
    rest.split_once(')').unwrap().0.to_owned()
}

#[test]
fn ids_survive_a_restore() {
    let mut dialogue = Dialogue::new();
    let text = b"Subject: one\r\n\r\ntext";
    dialogue.partition.deliver("alice", None, text);
    dialogue.log_in("c", "alice");
    say(&mut dialogue, "SELECT INBOX");
    let before = id(&say(&mut dialogue, "FETCH 1 (EMAILID)"), "EMAILID");
    say(&mut dialogue, "STORE 1 +FLAGS.SILENT (\\Deleted)");
    say(&mut dialogue, "EXPUNGE");
    let account = dialogue.partition.account("alice");
    let outcome = dialogue.partition.apply(Command::Undelete {
        account,
        from: MailboxId::INBOX,
        to: MailboxId::INBOX,
        uids: UidRanges::all(),
        since: None,
    });
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    say(&mut dialogue, "NOOP");
    let said = say(&mut dialogue, "UID FETCH 2 (EMAILID)");
    assert_eq!(id(&said, "EMAILID"), before);

    let made = id(&say(&mut dialogue, "CREATE Work"), "MAILBOXID");
    say(&mut dialogue, "DELETE Work");
    let other = id(&say(&mut dialogue, "CREATE Work"), "MAILBOXID");
    assert_ne!(other, made);
    say(&mut dialogue, "RENAME Work Other");
    let outcome = dialogue.partition.apply(Command::RestoreMailbox {
        account,
        mailbox: MailboxId(2),
        name: None,
    });
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let restored = say(&mut dialogue, "STATUS Work (MAILBOXID)");
    assert_eq!(id(&restored, "MAILBOXID"), made);
    let renamed = say(&mut dialogue, "EXAMINE Other");
    assert_eq!(id(&renamed, "MAILBOXID"), other);
}
