//! Every command in every state: what is not valid is refused, and nothing else happens.

use imap::grammar::{COMMANDS, ValidIn};

use super::scripts::Dialogue;
use super::transport::Client;

/// A command line for every name in the table.
fn line(name: &str) -> &'static str {
    match name {
        "CAPABILITY" => "CAPABILITY",
        "ID" => "ID NIL",
        "LOGOUT" => "LOGOUT",
        "NOOP" => "NOOP",
        "AUTHENTICATE" => "AUTHENTICATE PLAIN AGFsaWNlAHdyb25n",
        "LOGIN" => "LOGIN alice wrong",
        "STARTTLS" => "STARTTLS",
        "APPEND" => "APPEND INBOX {2+}\r\nhi",
        "CREATE" => "CREATE Work",
        "DELETE" => "DELETE Nowhere",
        "ESEARCH" => "ESEARCH IN (PERSONAL) ALL",
        "CANCELUPDATE" => "CANCELUPDATE \"x\"",
        "ENABLE" => "ENABLE CONDSTORE",
        "DELETEACL" => "DELETEACL INBOX bob",
        "EXAMINE" => "EXAMINE INBOX",
        "GETACL" => "GETACL INBOX",
        "LISTRIGHTS" => "LISTRIGHTS INBOX bob",
        "MYRIGHTS" => "MYRIGHTS INBOX",
        "SETACL" => "SETACL INBOX bob lr",
        "GETMETADATA" => "GETMETADATA INBOX /shared/comment",
        "GETQUOTA" => "GETQUOTA \"\"",
        "GETQUOTAROOT" => "GETQUOTAROOT INBOX",
        "IDLE" => "IDLE",
        "LIST" => "LIST \"\" *",
        "LSUB" => "LSUB \"\" *",
        "NAMESPACE" => "NAMESPACE",
        "NOTIFY" => "NOTIFY SET (personal (MailboxName))",
        "RENAME" => "RENAME Nowhere Elsewhere",
        "SELECT" => "SELECT INBOX",
        "SETMETADATA" => "SETMETADATA INBOX (/shared/comment NIL)",
        "SETQUOTA" => "SETQUOTA \"\" (STORAGE 512)",
        "STATUS" => "STATUS INBOX (MESSAGES)",
        "SUBSCRIBE" => "SUBSCRIBE Work",
        "UNSUBSCRIBE" => "UNSUBSCRIBE Work",
        "CHECK" => "CHECK",
        "CLOSE" => "CLOSE",
        "COMPRESS" => "COMPRESS DEFLATE",
        "UNAUTHENTICATE" => "UNAUTHENTICATE",
        "COPY" => "COPY 1 INBOX",
        "EXPUNGE" => "EXPUNGE",
        "FETCH" => "FETCH 1 FLAGS",
        "MOVE" => "MOVE 1 INBOX",
        "REPLACE" => "REPLACE 1 INBOX {2+}\r\nhi",
        "SEARCH" => "SEARCH ALL",
        "SORT" => "SORT (DATE) UTF-8 ALL",
        "THREAD" => "THREAD REFERENCES UTF-8 ALL",
        "UID SORT" => "UID SORT (DATE) UTF-8 ALL",
        "UID THREAD" => "UID THREAD REFERENCES UTF-8 ALL",
        "STORE" => "STORE 1 +FLAGS (\\Seen)",
        "UID COPY" => "UID COPY 1 INBOX",
        "UID EXPUNGE" => "UID EXPUNGE 1",
        "UID FETCH" => "UID FETCH 1 FLAGS",
        "UID MOVE" => "UID MOVE 1 INBOX",
        "UID REPLACE" => "UID REPLACE 1 INBOX {2+}\r\nhi",
        "UID SEARCH" => "UID SEARCH ALL",
        "UID STORE" => "UID STORE 1 +FLAGS (\\Seen)",
        "UIDBATCHES" => "UIDBATCHES 500",
        "UNSELECT" => "UNSELECT",
        name => panic!("{name} has no line"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    NotAuthenticated,
    Authenticated,
    Selected,
    Examined,
}

fn reach(state: State) -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue
        .partition
        .deliver("alice", None, b"Subject: one\r\n\r\ntext\r\n");
    match state {
        State::NotAuthenticated => dialogue.connect("c", Client::plain()),
        _ => dialogue.log_in("c", "alice"),
    }
    match state {
        State::Selected => drop(dialogue.say("c", b"s SELECT INBOX\r\n")),
        State::Examined => drop(dialogue.say("c", b"s EXAMINE INBOX\r\n")),
        _ => {}
    }
    dialogue.client("c").take();
    dialogue
}

#[test]
fn every_command_in_every_state() {
    let states = [
        State::NotAuthenticated,
        State::Authenticated,
        State::Selected,
        State::Examined,
    ];
    for info in COMMANDS {
        for state in states {
            let mut dialogue = reach(state);
            let before = dialogue.partition.proposals();
            let mut said = dialogue.say("c", format!("t {}\r\n", line(info.name)).as_bytes());
            if said.starts_with(b"+ Idling") {
                said = dialogue.say("c", b"DONE\r\n");
            }
            let said = String::from_utf8(said).unwrap();
            let is_valid = match info.valid_in {
                ValidIn::Any => true,
                ValidIn::NotAuthenticated => state == State::NotAuthenticated,
                ValidIn::Authenticated => state != State::NotAuthenticated,
                ValidIn::Selected => matches!(state, State::Selected | State::Examined),
            };
            let context = format!("{} {state:?}: {said}", info.name);
            let tagged = said
                .lines()
                .find(|line| line.starts_with("t "))
                .expect(&context);
            assert_eq!(tagged.starts_with("t BAD"), !is_valid, "{context}");
            if !is_valid {
                assert_eq!(dialogue.partition.proposals(), before, "{context}");
                assert_eq!(said.lines().count(), 1, "{context}");
            }
            let writes = [
                "EXPUNGE",
                "MOVE",
                "REPLACE",
                "STORE",
                "UID EXPUNGE",
                "UID MOVE",
                "UID REPLACE",
                "UID STORE",
            ];
            if state == State::Examined && writes.contains(&info.name) {
                assert!(tagged.starts_with("t NO [READ-ONLY]"), "{context}");
                assert_eq!(dialogue.partition.proposals(), before, "{context}");
            }
            let is_over = info.name == "LOGOUT";
            assert_eq!(dialogue.ended("c").is_some(), is_over, "{context}");
        }
    }
}

#[test]
fn capabilities_are_those_of_the_state() {
    let capabilities = |said: &[u8]| -> Vec<String> {
        let said = String::from_utf8_lossy(said).into_owned();
        let line = said
            .lines()
            .find(|line| line.starts_with("* CAPABILITY "))
            .unwrap();
        line.split(' ').skip(2).map(str::to_owned).collect()
    };
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);

    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::default());
    let list = capabilities(&dialogue.say("c", b"a CAPABILITY\r\n"));
    assert!(has(&list, "STARTTLS") && has(&list, "LOGINDISABLED") && has(&list, "IMAP4rev1"));
    assert!(!list.iter().any(|one| one.starts_with("AUTH=")));

    dialogue.say("c", b"b STARTTLS\r\n");
    let list = capabilities(&dialogue.say("c", b"c CAPABILITY\r\n"));
    assert!(!has(&list, "STARTTLS") && !has(&list, "LOGINDISABLED"));
    assert!(has(&list, "AUTH=PLAIN") && has(&list, "AUTH=SCRAM-SHA-256"));

    dialogue.say("c", b"d LOGIN alice secret\r\n");
    let list = capabilities(&dialogue.say("c", b"e CAPABILITY\r\n"));
    assert!(has(&list, "CONDSTORE") && has(&list, "IDLE") && !has(&list, "AUTH=PLAIN"));
}
