//! Every command in every state: what is not valid is refused, and nothing else happens.

use std::fmt::Write as _;
use std::path::Path;

use imap::grammar::{COMMANDS, ValidIn};

use super::scripts::Dialogue;
use super::transport::Client;

/// A command line for every name in the table. `@` stands for what comes before the names of
/// mailboxes.
fn line(name: &str) -> &'static str {
    match name {
        "CAPABILITY" => "CAPABILITY",
        "ID" => "ID NIL",
        "LOGOUT" => "LOGOUT",
        "NOOP" => "NOOP",
        "AUTHENTICATE" => "AUTHENTICATE PLAIN AGFsaWNlAHdyb25n",
        "LOGIN" => "LOGIN alice wrong",
        "STARTTLS" => "STARTTLS",
        "APPEND" => "APPEND @INBOX {2+}\r\nhi",
        "CREATE" => "CREATE @INBOX/new",
        "DELETE" => "DELETE @INBOX/one",
        "ESEARCH" => "ESEARCH IN (PERSONAL) ALL",
        "CANCELUPDATE" => "CANCELUPDATE \"x\"",
        "ENABLE" => "ENABLE CONDSTORE",
        "DELETEACL" => "DELETEACL @INBOX carol",
        "EXAMINE" => "EXAMINE @INBOX",
        "GETACL" => "GETACL @INBOX",
        "LISTRIGHTS" => "LISTRIGHTS @INBOX carol",
        "MYRIGHTS" => "MYRIGHTS @INBOX",
        "SETACL" => "SETACL @INBOX carol lr",
        "GETMETADATA" => "GETMETADATA @INBOX /shared/comment",
        "GETQUOTA" => "GETQUOTA \"\"",
        "GETQUOTAROOT" => "GETQUOTAROOT @INBOX",
        "IDLE" => "IDLE",
        "LIST" => "LIST \"\" *",
        "LSUB" => "LSUB \"\" *",
        "NAMESPACE" => "NAMESPACE",
        "NOTIFY" => "NOTIFY SET (personal (MailboxName))",
        "RENAME" => "RENAME @INBOX/one @INBOX/two",
        "SELECT" => "SELECT @INBOX",
        "SETMETADATA" => "SETMETADATA @INBOX (/shared/comment NIL)",
        "SETQUOTA" => "SETQUOTA \"\" (STORAGE 512)",
        "STATUS" => "STATUS @INBOX (MESSAGES)",
        "SUBSCRIBE" => "SUBSCRIBE @INBOX",
        "UNSUBSCRIBE" => "UNSUBSCRIBE @INBOX",
        "CHECK" => "CHECK",
        "CLOSE" => "CLOSE",
        "COMPRESS" => "COMPRESS DEFLATE",
        "UNAUTHENTICATE" => "UNAUTHENTICATE",
        "COPY" => "COPY 1 @INBOX",
        "EXPUNGE" => "EXPUNGE",
        "FETCH" => "FETCH 1 FLAGS",
        "MOVE" => "MOVE 1 @INBOX",
        "REPLACE" => "REPLACE 1 @INBOX {2+}\r\nhi",
        "SEARCH" => "SEARCH ALL",
        "SORT" => "SORT (DATE) UTF-8 ALL",
        "THREAD" => "THREAD REFERENCES UTF-8 ALL",
        "UID SORT" => "UID SORT (DATE) UTF-8 ALL",
        "UID THREAD" => "UID THREAD REFERENCES UTF-8 ALL",
        "STORE" => "STORE 1 +FLAGS (\\Seen)",
        "UID COPY" => "UID COPY 1 @INBOX",
        "UID EXPUNGE" => "UID EXPUNGE 1",
        "UID FETCH" => "UID FETCH 1 FLAGS",
        "UID MOVE" => "UID MOVE 1 @INBOX",
        "UID REPLACE" => "UID REPLACE 1 @INBOX {2+}\r\nhi",
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
    WithoutTls,
    Authenticated,
    Selected,
    Examined,
    /// Another's mailbox is selected, which may only be read.
    OthersToRead,
    /// Another's mailbox is selected, with all rights but that to give rights.
    Others,
    UidOnly,
    LoggedOut,
}

const STATES: [State; 9] = [
    State::NotAuthenticated,
    State::WithoutTls,
    State::Authenticated,
    State::Selected,
    State::Examined,
    State::OthersToRead,
    State::Others,
    State::UidOnly,
    State::LoggedOut,
];

impl State {
    /// What the client says after the greeting or after login.
    fn lines(self) -> &'static [&'static str] {
        match self {
            State::NotAuthenticated | State::WithoutTls | State::Authenticated => &[],
            State::Selected => &["SELECT INBOX"],
            State::Examined => &["EXAMINE INBOX"],
            State::OthersToRead | State::Others => &["SELECT user/alice/INBOX"],
            State::UidOnly => &["ENABLE UIDONLY", "SELECT INBOX"],
            State::LoggedOut => &["LOGOUT"],
        }
    }

    /// What bob may do in alice's mailboxes.
    fn rights(self) -> Option<&'static str> {
        match self {
            State::OthersToRead => Some("lr"),
            State::Others => Some("lrswipkxte"),
            _ => None,
        }
    }

    fn allows(self, valid_in: ValidIn) -> bool {
        let is_logged_in = !matches!(self, State::NotAuthenticated | State::WithoutTls);
        match valid_in {
            ValidIn::Any => true,
            ValidIn::NotAuthenticated => !is_logged_in,
            ValidIn::Authenticated => is_logged_in,
            ValidIn::Selected => is_logged_in && self != State::Authenticated,
        }
    }

    fn is_read_only(self) -> bool {
        matches!(self, State::Examined | State::OthersToRead)
    }
}

/// A client in a state; there are INBOX and INBOX/one, and a message in the first.
fn reach(state: State) -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.partition.user("carol");
    dialogue
        .partition
        .deliver("alice", None, b"Subject: one\r\n\r\ntext\r\n");
    dialogue.log_in("owner", "alice");
    dialogue.say("owner", b"o CREATE INBOX/one\r\n");
    if let Some(rights) = state.rights() {
        for name in ["INBOX", "INBOX/one"] {
            let line = format!("o SETACL {name} bob {rights}\r\n");
            let said = dialogue.say("owner", line.as_bytes());
            assert!(said.starts_with(b"o OK"));
        }
    }
    match (state, state.rights()) {
        (State::NotAuthenticated, _) => dialogue.connect("c", Client::plain()),
        (State::WithoutTls, _) => dialogue.connect("c", Client::default()),
        (_, None) => dialogue.log_in("c", "alice"),
        (_, Some(_)) => dialogue.log_in("c", "bob"),
    }
    for line in state.lines() {
        let said = dialogue.say("c", format!("s {line}\r\n").as_bytes());
        assert!(String::from_utf8(said).unwrap().contains("s OK"));
    }
    dialogue.client("c").take();
    dialogue
}

/// Sends the line of a command, and returns all that is answered.
fn try_command(dialogue: &mut Dialogue, name: &str, state: State) -> String {
    let place = match state.rights() {
        Some(_) => "user/alice/",
        None => "",
    };
    let text = format!("t {}\r\n", line(name).replace('@', place));
    let mut said = dialogue.say("c", text.as_bytes());
    if said.starts_with(b"+ Idling") {
        said = dialogue.say("c", b"DONE\r\n");
    }
    String::from_utf8(said).unwrap()
}

/// What a tagged response comes to: OK or not, the name of its code, and the text of a refusal.
fn outcome(tagged: &str) -> String {
    let rest = tagged.strip_prefix("t ").unwrap();
    let (condition, text) = rest.split_once(' ').unwrap();
    let (code, text) = match text
        .strip_prefix('[')
        .and_then(|text| text.split_once("] "))
    {
        Some((code, text)) => (code.split(' ').next(), text),
        None => (None, text),
    };
    let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
    match condition {
        "OK" => format!("OK{code}"),
        _ => format!("{condition}{code} {text}"),
    }
}

/// The answers to all commands in all states are those of `tests/golden/states`, so that a new
/// command, and an old one that is answered otherwise, is looked at: `UPDATE_GOLDENFILES=1` writes
/// it anew.
#[test]
fn every_command_in_every_state() {
    let mut found = String::new();
    for info in COMMANDS {
        writeln!(found, "{}", line(info.name).replace("\r\n", "\\r\\n")).unwrap();
        for state in STATES {
            let mut dialogue = reach(state);
            let before = dialogue.partition.proposals();
            let said = try_command(&mut dialogue, info.name, state);
            let context = format!("{} {state:?}: {said}", info.name);
            if state == State::LoggedOut {
                assert!(said.is_empty(), "{context}");
                continue;
            }
            let tagged = said.lines().find(|line| line.starts_with("t "));
            let outcome = outcome(tagged.expect(&context));
            writeln!(found, "  {:<17} {outcome}", format!("{state:?}")).unwrap();
            let is_refused = !state.allows(info.valid_in) || outcome.contains("[UIDREQUIRED]");
            assert_eq!(outcome.starts_with("BAD"), is_refused, "{context}");
            if is_refused {
                assert_eq!(said.lines().count(), 1, "{context}");
            }
            let writes = WRITES.contains(&info.name);
            if state.is_read_only() && writes {
                assert!(outcome.starts_with("NO [READ-ONLY]"), "{context}");
            }
            if is_refused || state.is_read_only() && writes {
                assert_eq!(dialogue.partition.proposals(), before, "{context}");
            }
            let is_over = info.name == "LOGOUT";
            assert_eq!(dialogue.ended("c").is_some(), is_over, "{context}");
        }
    }
    assert_golden("states", &found);
}

/// Commands that change the selected mailbox.
const WRITES: [&str; 8] = [
    "EXPUNGE",
    "MOVE",
    "REPLACE",
    "STORE",
    "UID EXPUNGE",
    "UID MOVE",
    "UID REPLACE",
    "UID STORE",
];

fn assert_golden(name: &str, found: &str) {
    let path = Path::new("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (number, (golden, found)) in golden.lines().zip(found.lines()).enumerate() {
        assert_eq!(golden, found, "line {} of {name}", number + 1);
    }
    assert_eq!(golden.len(), found.len(), "{name}");
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
