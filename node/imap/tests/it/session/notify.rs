//! NOTIFY: what is told of other mailboxes adds up to what is there, and is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use imap::backend::BackendError;
use imap::limits::{NOTIFY_OTHERS_MAX, NOTIFY_STATE_BYTES_MAX};
use mailbox::{Command, Flags, MailboxId, StoreMode, SystemFlags, UidRanges};
use proptest::prelude::*;

use super::scripts::Dialogue;

/// What a client knows of a mailbox: MESSAGES, UIDNEXT, UIDVALIDITY, HIGHESTMODSEQ.
type State = BTreeMap<String, u64>;

/// Mailboxes by their names, as a client keeps them that hears of all.
#[derive(Default)]
struct Client {
    /// What the names begin with, if they are alice's and the client is bob.
    prefix: &'static str,
    mailboxes: BTreeMap<String, State>,
    /// While SELECT is answered.
    selecting: Option<String>,
}

impl Client {
    fn hear(&mut self, said: &[u8]) {
        for line in String::from_utf8(said.to_vec()).unwrap().lines() {
            if let Some(list) = line.strip_prefix("* LIST (") {
                self.list(list);
            } else if let Some(status) = line.strip_prefix("* STATUS ") {
                self.status(status);
            } else {
                self.selected(line);
            }
        }
    }

    fn list(&mut self, line: &str) {
        let (attributes, rest) = line.split_once(") \"/\" ").unwrap();
        let (name, old) = match rest.split_once(" (\"OLDNAME\" (") {
            Some((name, old)) => (name, Some(old.strip_suffix("))").unwrap())),
            None => (rest, None),
        };
        if attributes.contains("\\NonExistent") {
            self.mailboxes.remove(name);
        } else if let Some(old) = old {
            let below = format!("{old}/");
            let moved = |known: &String| *known == old || known.starts_with(&below);
            let known: Vec<String> = self
                .mailboxes
                .keys()
                .filter(|n| moved(n))
                .cloned()
                .collect();
            assert!(known.iter().any(|known| known == old), "{line}");
            for known in known {
                let state = self.mailboxes.remove(&known).unwrap();
                let name = format!("{name}{}", &known[old.len()..]);
                self.mailboxes.insert(name, state);
            }
        } else {
            self.mailboxes.entry(name.to_owned()).or_default();
        }
    }

    /// A line of the answer to SELECT, which ends with the tagged one.
    fn selected(&mut self, line: &str) {
        let Some(name) = self.selecting.clone() else {
            return;
        };
        if line.starts_with("s ") {
            self.selecting = None;
        }
        let mut note = |item: &str, value: &str| {
            let state = self.mailboxes.entry(name.clone()).or_default();
            state.insert(item.to_owned(), value.parse().unwrap());
        };
        if let Some((count, "EXISTS")) = line.trim_start_matches("* ").split_once(' ') {
            note("MESSAGES", count);
        }
        for item in ["UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ"] {
            let code = format!("* OK [{item} ");
            if let Some((value, _)) = line.strip_prefix(&code).and_then(|l| l.split_once(']')) {
                note(item, value);
            }
        }
    }

    fn status(&mut self, line: &str) {
        let (name, items) = line.split_once(" (").unwrap();
        let items: Vec<&str> = items.trim_end_matches(')').split(' ').collect();
        let state = self.mailboxes.entry(name.to_owned()).or_default();
        for item in items.chunks(2) {
            state.insert(item[0].to_owned(), item[1].parse().unwrap());
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(usize),
    Flag(usize),
    Expunge(usize),
    Create(usize),
    Delete(usize),
    Rename(usize, usize),
    Subscribe(usize),
    /// Alice gives bob rights.
    Give(usize, &'static str),
    /// The client selects a mailbox, or none.
    Select(Option<usize>),
    /// The next read fails.
    Fail,
    /// The client is told what is there to be told: several steps may come before.
    Tell,
}

const NAMES: [&str; 8] = ["a", "b", "c", "a/x", "b/x", "a/x/y", "b/x/y", "c/x"];

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        3 => name().prop_map(Step::Deliver),
        1 => name().prop_map(Step::Flag),
        1 => name().prop_map(Step::Expunge),
        3 => name().prop_map(Step::Create),
        2 => name().prop_map(Step::Delete),
        4 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name().prop_map(Step::Subscribe),
        2 => (name(), prop::sample::select(vec!["", "l", "r", "lr", "lrs"]))
            .prop_map(|(at, rights)| Step::Give(at, rights)),
        1 => prop::option::of(name()).prop_map(Step::Select),
        1 => Just(Step::Fail),
        5 => Just(Step::Tell),
    ]
}

/// The mailbox of a name, as the other client sees it.
fn id(dialogue: &mut Dialogue, name: &str) -> Option<MailboxId> {
    let said = dialogue.say("c2", format!("i STATUS {name} (MAILBOXID)\r\n").as_bytes());
    let said = String::from_utf8(said).unwrap();
    let (_, id) = said.split_once("(F1-")?;
    let (id, _) = id.split_once(')')?;
    Some(MailboxId(id.parse().unwrap()))
}

fn take(dialogue: &mut Dialogue, client: &mut Client, step: &Step) {
    let account = dialogue.partition.account("alice");
    let name = |at: &usize| NAMES[*at].to_owned();
    match step {
        Step::Deliver(at) => {
            let folder = Some(NAMES[*at]);
            dialogue
                .partition
                .deliver("alice", folder, b"Subject: x\r\n\r\ntext");
        }
        Step::Flag(at) | Step::Expunge(at) => {
            let Some(mailbox) = id(dialogue, NAMES[*at]) else {
                return;
            };
            let uids = UidRanges::all();
            dialogue.partition.apply(match step {
                Step::Flag(_) => Command::Store {
                    account,
                    mailbox,
                    uids,
                    mode: StoreMode::Add,
                    flags: Flags::system(SystemFlags::SEEN.with(SystemFlags::DELETED)),
                    unchanged_since: None,
                },
                _ => Command::Expunge {
                    account,
                    mailbox,
                    uids: None,
                },
            });
        }
        Step::Create(at) => {
            dialogue.partition.apply(Command::CreateMailbox {
                account,
                name: name(at),
                special_use: None,
            });
            if !client.prefix.is_empty() {
                take(dialogue, client, &Step::Give(*at, "lr"));
            }
        }
        Step::Give(at, rights) => {
            let line = format!("g SETACL {} bob \"{rights}\"\r\n", NAMES[*at]);
            dialogue.say("c2", line.as_bytes());
        }
        Step::Delete(at) => drop(dialogue.partition.apply(Command::DeleteMailbox {
            account,
            name: name(at),
        })),
        Step::Rename(from, to) => drop(dialogue.partition.apply(Command::RenameMailbox {
            account,
            from: name(from),
            to: name(to),
        })),
        Step::Subscribe(at) => drop(dialogue.partition.apply(Command::Subscribe {
            account,
            name: name(at),
            on: true,
        })),
        Step::Select(Some(at)) => {
            take(dialogue, client, &Step::Tell);
            let name = format!("{}{}", client.prefix, NAMES[*at]);
            if !client.mailboxes.contains_key(&name) {
                return;
            }
            let line = format!("s EXAMINE {name}\r\n");
            client.selecting = Some(name);
            client.hear(&dialogue.say("c1", line.as_bytes()));
        }
        Step::Select(None) => client.hear(&dialogue.say("c1", b"s UNSELECT\r\n")),
        Step::Fail => dialogue.partition.fail_read(BackendError::Unavailable, 0),
        Step::Tell => {
            dialogue.run();
            let said = dialogue.client("c1").take();
            client.hear(&said);
        }
    }
}

/// What a client has heard in the end, whose mailboxes these are or who is let in, is what there
/// is.
fn add_up(steps: &[Step], is_guest: bool) -> Result<(), TestCaseError> {
    let mut dialogue = Dialogue::new();
    let (user, prefix, which) = match is_guest {
        true => ("bob", "user/alice/", "subtree user/alice"),
        false => ("alice", "", "personal"),
    };
    dialogue.log_in("c1", user);
    dialogue.log_in("c2", "alice");
    dialogue.log_in("c3", user);
    dialogue.say("c1", b"e ENABLE CONDSTORE\r\n");
    let mut client = Client {
        prefix,
        ..Client::default()
    };
    let list = format!("l LIST \"\" {prefix}*");
    client.hear(&dialogue.say("c1", format!("{list}\r\n").as_bytes()));
    let events = "MessageNew MessageExpunge FlagChange MailboxName";
    let set = format!("n NOTIFY SET STATUS ({which} ({events}))\r\n");
    client.hear(&dialogue.say("c1", set.as_bytes()));
    for step in steps {
        take(&mut dialogue, &mut client, step);
        if dialogue.ended("c1").is_some() {
            // The mailbox that it had selected was deleted.
            return Ok(());
        }
    }
    // Each time one read may still fail.
    let failures = steps.iter().filter(|step| matches!(step, Step::Fail));
    for _ in 0..failures.count() + 2 {
        dialogue.client("c1").advance(Duration::from_secs(5));
        client.hear(&dialogue.say("c1", b"u UNSELECT\r\n"));
        take(&mut dialogue, &mut client, &Step::Deliver(0));
        take(&mut dialogue, &mut client, &Step::Tell);
    }
    prop_assume!(dialogue.ended("c1").is_none());
    let mut actual = Client::default();
    let status = "(STATUS (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ))";
    let line = format!("{list} RETURN {status}\r\n");
    actual.hear(&dialogue.say("c3", line.as_bytes()));
    let names = |client: &Client| client.mailboxes.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(names(&client), names(&actual));
    for (name, state) in &actual.mailboxes {
        let known = &client.mailboxes[name];
        for (item, value) in state {
            let empty = match item.as_str() {
                "MESSAGES" => Some(0),
                "UIDNEXT" => Some(1),
                _ => None,
            };
            if let Some(known) = known.get(item).copied().or(empty) {
                prop_assert_eq!(known, *value, "{} {}", name, item);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn events_add_up(steps in prop::collection::vec(step(), 0..60)) {
        add_up(&steps, false)?;
    }

    #[test]
    fn events_of_another_add_up(steps in prop::collection::vec(step(), 0..60)) {
        add_up(&steps, true)?;
    }
}

/// Renames that once were told so that a client came to know something else.
#[test]
fn entangled_renames_add_up() {
    use Step::{Create, Delete, Deliver, Rename, Select, Tell};
    let steps = [Create(6), Tell, Rename(4, 3), Rename(5, 6)];
    add_up(&steps, false).unwrap();
    let steps = [
        Create(3),
        Deliver(3),
        Select(Some(3)),
        Rename(0, 4),
        Rename(4, 3),
        Tell,
    ];
    add_up(&steps, true).unwrap();
    let steps = [
        Create(7),
        Deliver(2),
        Select(Some(2)),
        Rename(2, 5),
        Rename(0, 2),
        Tell,
    ];
    add_up(&steps, false).unwrap();
    let made = [
        Create(6),
        Deliver(0),
        Tell,
        Deliver(6),
        Create(7),
        Select(Some(2)),
    ];
    let renamed = [Delete(6), Rename(2, 6), Tell];
    add_up(&[&made[..], &renamed[..]].concat(), false).unwrap();
}

/// Makes mailboxes with long names.
fn make(dialogue: &Dialogue, numbers: std::ops::Range<usize>) {
    let account = dialogue.partition.account("alice");
    for number in numbers {
        let name = format!("{number:04}{}", "x".repeat(980));
        dialogue.partition.apply(Command::CreateMailbox {
            account,
            name,
            special_use: None,
        });
    }
}

#[test]
fn too_many_mailboxes_are_not_watched() {
    let fit = NOTIFY_STATE_BYTES_MAX / 1200;
    let mut dialogue = Dialogue::new();
    dialogue.log_in("c1", "alice");
    make(&dialogue, 0..fit);
    let set = b"a NOTIFY SET (personal (MailboxName))\r\n";
    let said = String::from_utf8(dialogue.say("c1", set)).unwrap();
    assert_eq!(said, "a OK NOTIFY completed\r\n");

    // They become too many: it is said once, and nothing is told from then on.
    make(&dialogue, fit..2 * fit);
    dialogue.run();
    let said = String::from_utf8(dialogue.client("c1").take()).unwrap();
    assert!(said.starts_with("* OK [NOTIFICATIONOVERFLOW] "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    make(&dialogue, 2 * fit..2 * fit + 1);
    dialogue.run();
    assert_eq!(
        dialogue.say("c1", b"b NOOP\r\n"),
        b"b OK NOOP completed\r\n"
    );

    // They are too many from the start.
    let said = String::from_utf8(dialogue.say("c1", set)).unwrap();
    assert!(said.starts_with("a NO [NOTIFICATIONOVERFLOW] "), "{said}");
}

/// So many users are watched and no more, whether or not there are such: nobody learns who is one.
#[test]
fn so_many_others_are_watched() {
    let mut dialogue = Dialogue::new();
    dialogue.log_in("c1", "alice");
    for number in 0..NOTIFY_OTHERS_MAX + 1 {
        let name = format!("u{number}");
        dialogue.partition.user(&name);
        dialogue.log_in(&name, &name);
        let share = match number % 2 {
            0 => &b"s SETACL INBOX anyone lr\r\n"[..],
            _ => &b"s SETACL INBOX alice lr\r\n"[..],
        };
        dialogue.say(&name, share);
    }
    let ask = |dialogue: &mut Dialogue, which: &str| {
        let line = format!("a NOTIFY SET ({which} (MessageNew MessageExpunge))\r\n");
        String::from_utf8(dialogue.say("c1", line.as_bytes())).unwrap()
    };
    let overflow = "a NO [NOTIFICATIONOVERFLOW] ";
    let said = ask(&mut dialogue, "subtree user");
    assert!(said.starts_with(overflow), "{said}");
    assert_eq!(ask(&mut dialogue, "personal"), "a OK NOTIFY completed\r\n");
    for names in ["u", "nobody"] {
        let named = |count: usize| {
            let names = (0..count).map(|number| format!("user/{names}{number}/INBOX"));
            format!("mailboxes ({})", names.collect::<Vec<_>>().join(" "))
        };
        let said = ask(&mut dialogue, &named(NOTIFY_OTHERS_MAX));
        assert_eq!(said, "a OK NOTIFY completed\r\n");
        let said = ask(&mut dialogue, &named(NOTIFY_OTHERS_MAX + 1));
        assert!(said.starts_with(overflow), "{said}");
    }
}

/// Those who share their mail become too many.
#[test]
fn others_become_too_many() {
    let mut dialogue = Dialogue::new();
    dialogue.log_in("c1", "alice");
    let said = dialogue.say("c1", b"a NOTIFY SET (subtree user (MailboxName))\r\n");
    assert_eq!(said, b"a OK NOTIFY completed\r\n");
    for number in 0..NOTIFY_OTHERS_MAX + 1 {
        let name = format!("u{number}");
        dialogue.partition.user(&name);
        dialogue.log_in(&name, &name);
        dialogue.say(&name, b"s SETACL INBOX alice lr\r\n");
        dialogue.run();
        let said = String::from_utf8(dialogue.client("c1").take()).unwrap();
        let told = match number < NOTIFY_OTHERS_MAX {
            true => format!("\"/\" user/{name}/INBOX\r\n"),
            false => "* OK [NOTIFICATIONOVERFLOW] ".to_owned(),
        };
        assert!(said.contains(&told), "{said}");
    }
}
