//! The table of rights, command by command: what each needs on the mailboxes of another (RFC 4314
//! section 4), no more and no less.

use imap::grammar::{COMMANDS, Needs, On, RIGHTS, rights_of};

use super::scripts::Dialogue;

/// All rights.
const ALL: &str = "lrswipkxtea";

/// A command line for every command that needs rights. What is selected and named is `a`, what is
/// above and what messages go to is `t`.
fn line(name: &str) -> &'static str {
    match name {
        "APPEND" => "APPEND user/alice/t {2+}\r\nhi",
        "COPY" => "COPY 1 user/alice/t",
        "CREATE" => "CREATE user/alice/t/new",
        "DELETE" => "DELETE user/alice/a",
        "DELETEACL" => "DELETEACL user/alice/a carol",
        "ESEARCH" => "ESEARCH IN (mailboxes user/alice/a) ALL",
        "EXAMINE" => "EXAMINE user/alice/a",
        "EXPUNGE" => "EXPUNGE",
        "FETCH" => "FETCH 1 (FLAGS)",
        "GETACL" => "GETACL user/alice/a",
        "GETMETADATA" => "GETMETADATA user/alice/a /private/comment",
        "GETQUOTA" => "GETQUOTA user/alice",
        "GETQUOTAROOT" => "GETQUOTAROOT user/alice/a",
        "LIST" => "LIST \"\" user/alice/a",
        "LISTRIGHTS" => "LISTRIGHTS user/alice/a carol",
        "MOVE" => "MOVE 1 user/alice/t",
        "MYRIGHTS" => "MYRIGHTS user/alice/a",
        "RENAME" => "RENAME user/alice/a user/alice/t/a",
        "REPLACE" => "REPLACE 1 user/alice/t {2+}\r\nhi",
        "SEARCH" => "SEARCH SUBJECT x",
        "SELECT" => "SELECT user/alice/a",
        "SETACL" => "SETACL user/alice/a carol l",
        "SETMETADATA" => "SETMETADATA user/alice/a (/private/comment \"x\")",
        "SORT" => "SORT (DATE) UTF-8 ALL",
        "STATUS" => "STATUS user/alice/a (MESSAGES)",
        "STORE" => "STORE 1 +FLAGS (\\Seen \\Deleted \\Flagged word)",
        "THREAD" => "THREAD REFERENCES UTF-8 ALL",
        "UID COPY" => "UID COPY 1 user/alice/t",
        "UID EXPUNGE" => "UID EXPUNGE 1",
        "UID FETCH" => "UID FETCH 1 (FLAGS)",
        "UID MOVE" => "UID MOVE 1 user/alice/t",
        "UID REPLACE" => "UID REPLACE 1 user/alice/t {2+}\r\nhi",
        "UID SEARCH" => "UID SEARCH SUBJECT x",
        "UID SORT" => "UID SORT (DATE) UTF-8 ALL",
        "UID STORE" => "UID STORE 1 +FLAGS (\\Seen \\Deleted \\Flagged word)",
        "UID THREAD" => "UID THREAD REFERENCES UTF-8 ALL",
        "UIDBATCHES" => "UIDBATCHES 500",
        name => panic!("{name} needs rights and has no line"),
    }
}

fn mailbox(needs: &Needs) -> &'static str {
    match needs.on {
        On::Selected | On::Named => "a",
        On::Target | On::Above => "t",
    }
}

/// Alice and bob; she has a message in `a`, which is `\Deleted`, and nothing in `t`.
fn dialogue() -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.partition.user("carol");
    dialogue.log_in("alice", "alice");
    dialogue.log_in("bob", "bob");
    for line in [
        "x CREATE a",
        "x CREATE t",
        "x APPEND a (\\Deleted) {14+}\r\nSubject: x\r\n\r\n",
    ] {
        assert!(say(&mut dialogue, "alice", line).contains("x OK"));
    }
    dialogue
}

fn say(dialogue: &mut Dialogue, who: &str, line: &str) -> String {
    let said = dialogue.say(who, format!("{line}\r\n").as_bytes());
    String::from_utf8_lossy(&said).into_owned()
}

fn give(dialogue: &mut Dialogue, mailbox: &str, rights: &str) {
    let line = format!("x SETACL {mailbox} bob \"{rights}\"");
    assert!(say(dialogue, "alice", &line).contains("x OK"));
}

/// Runs the command as bob, after he has selected the mailbox if the command needs that.
fn run(name: &str, selects: bool, before: &[(&str, String)], then: &[(&str, String)]) -> String {
    let mut dialogue = dialogue();
    for (mailbox, rights) in before {
        give(&mut dialogue, mailbox, rights);
    }
    if selects {
        let said = say(&mut dialogue, "bob", "s SELECT user/alice/a");
        assert!(said.contains("s OK"), "{said}");
    }
    for (mailbox, rights) in then {
        give(&mut dialogue, mailbox, rights);
    }
    say(&mut dialogue, "bob", &format!("c {}", line(name)))
}

fn was_done(name: &str, said: &str) -> bool {
    match name {
        // What may not be seen is left out.
        "LIST" | "ESEARCH" => said.contains("user/alice/a") && said.contains("c OK"),
        _ => said.contains("c OK"),
    }
}

fn without(rights: &str, missing: &str) -> String {
    rights
        .chars()
        .filter(|right| !missing.contains(*right))
        .collect()
}

#[test]
fn every_command_has_a_row() {
    for info in COMMANDS {
        assert!(rights_of(info.name).is_some(), "{} has no row", info.name);
    }
    let names: Vec<_> = RIGHTS.iter().map(|(name, _)| *name).collect();
    assert!(names.is_sorted(), "in the order of names");
    assert_eq!(names.len(), COMMANDS.len());
}

#[test]
fn the_rights_in_the_table_are_enough() {
    for (name, needs) in RIGHTS.iter().filter(|(_, needs)| !needs.is_empty()) {
        let selects = needs.iter().any(|needs| needs.on == On::Selected);
        let of = |needs: &Needs| {
            let one = needs.one_of.chars().next();
            let rights: String = needs.all.chars().chain(one).collect();
            (mailbox(needs), rights)
        };
        let given: Vec<_> = needs.iter().map(of).collect();
        let said = run(name, selects, &given, &[]);
        assert!(was_done(name, &said), "{name} with {given:?}: {said}");
    }
}

/// Also when the right is taken away from a mailbox that is selected.
#[test]
fn each_right_in_the_table_is_needed() {
    for (name, needs) in RIGHTS.iter().filter(|(_, needs)| !needs.is_empty()) {
        let selects = needs.iter().any(|needs| needs.on == On::Selected);
        let full: Vec<_> = needs
            .iter()
            .map(|it| (mailbox(it), ALL.to_owned()))
            .collect();
        for it in *needs {
            let letters = it.all.chars().map(|letter| letter.to_string());
            let one_of = (!it.one_of.is_empty()).then(|| it.one_of.to_owned());
            for missing in letters.chain(one_of) {
                let left = without(ALL, &missing);
                let said = run(name, selects, &full, &[(mailbox(it), left)]);
                assert!(!was_done(name, &said), "{name} without {missing}: {said}");
                let is_answered = said.contains("c NO") || said.contains("c OK");
                assert!(is_answered, "{name} without {missing}: {said}");
            }
        }
    }
}

/// Who may not look up a mailbox hears nothing of it that he would not hear of one that is not
/// there (RFC 4314 section 6).
#[test]
fn without_lookup_there_is_no_mailbox() {
    for (name, needs) in RIGHTS {
        for it in needs.iter().filter(|needs| needs.on != On::Selected) {
            let selects = needs.iter().any(|needs| needs.on == On::Selected);
            let full: Vec<_> = needs
                .iter()
                .map(|it| (mailbox(it), ALL.to_owned()))
                .collect();
            let missing = format!("l{}{}", it.all, it.one_of);
            let hidden = without(ALL, &missing);
            let said = run(name, selects, &full, &[(mailbox(it), hidden)]);
            let none = run(name, selects, &full, &[(mailbox(it), String::new())]);
            assert_eq!(said, none, "{name} without {missing}");
            assert!(!was_done(name, &said), "{name} without {missing}: {said}");
        }
    }
}
