//! A client that comes back with what it knew ends with exactly what is there, from any earlier
//! state and over any history.

use std::collections::{BTreeMap, BTreeSet};

use imap::grammar::{IdRange, SequenceMatch};
use imap::view::View;
use mailbox::{Command, Flags, MailboxId, Opened, StoreMode, SystemFlags, Uid, UidRanges};
use proptest::prelude::*;

use super::scripts::Dialogue;

/// What a client keeps when its connection is gone.
#[derive(Clone, Debug, Default)]
struct Memory {
    modseq: u64,
    messages: BTreeMap<u32, BTreeSet<String>>,
}

/// A client that speaks QRESYNC.
struct Client {
    name: String,
    memory: Memory,
    /// HIGHESTMODSEQ as told in this command.
    highest: Option<u64>,
    /// The highest MODSEQ of a message that was shown in this command.
    shown: u64,
    /// EXISTS.
    exists: usize,
    /// Whether it is in the mailbox already, so that what is told later moves EXISTS.
    is_in: bool,
}

impl Client {
    fn connect(dialogue: &mut Dialogue, name: &str, memory: Memory, select: &str) -> Client {
        dialogue.log_in(name, "alice");
        let mut client = Client {
            name: name.to_owned(),
            memory,
            highest: None,
            shown: 0,
            exists: 0,
            is_in: false,
        };
        client.say(dialogue, "ENABLE QRESYNC");
        client.say(dialogue, select);
        client.is_in = true;
        client.learn(dialogue);
        client
    }

    /// Says a command and takes in all that it hears.
    fn say(&mut self, dialogue: &mut Dialogue, command: &str) {
        let said = dialogue.say(&self.name, format!("t {command}\r\n").as_bytes());
        let said = String::from_utf8(said).unwrap();
        (self.highest, self.shown) = (None, 0);
        for line in said.lines() {
            self.hear(line);
        }
        assert!(
            said.contains("\nt OK") || said.starts_with("t OK"),
            "{command}: {said}"
        );
    }

    fn hear(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once("[HIGHESTMODSEQ ") {
            let highest: u64 = rest.split(']').next().unwrap().parse().unwrap();
            assert!(
                self.is_in || highest >= self.memory.modseq,
                "HIGHESTMODSEQ went back"
            );
            self.highest = Some(highest);
        } else if let Some(set) = line.strip_prefix("* VANISHED (EARLIER) ") {
            for uid in numbers(set) {
                self.memory.messages.remove(&uid);
            }
        } else if let Some(set) = line.strip_prefix("* VANISHED ") {
            assert!(self.is_in, "only EARLIER while a mailbox is opened");
            for uid in numbers(set) {
                self.memory.messages.remove(&uid);
                self.exists -= 1;
            }
        } else if let Some(count) = line
            .strip_prefix("* ")
            .and_then(|l| l.strip_suffix(" EXISTS"))
        {
            self.exists = count.parse().unwrap();
        } else if line.contains(" FETCH (") {
            let uid = after(line, "UID ").parse().unwrap();
            let flags = line
                .split_once("FLAGS (")
                .unwrap()
                .1
                .split_once(')')
                .unwrap()
                .0;
            let flags = flags
                .split(' ')
                .filter(|flag| !["", "\\Recent"].contains(flag));
            let flags = flags.map(str::to_owned).collect();
            self.memory.messages.insert(uid, flags);
            self.shown = self.shown.max(after(line, "MODSEQ (").parse().unwrap());
        }
        let is_expunge = line.starts_with("* ") && line.ends_with(" EXPUNGE");
        assert!(!is_expunge, "QRESYNC knows VANISHED only: {line}");
    }

    /// Fetches what arrived, and only then remembers a mod-sequence: the one that was told, or else
    /// the highest that was shown (RFC 7162 section 5).
    fn learn(&mut self, dialogue: &mut Dialogue) {
        let mut modseq = self.highest.unwrap_or(self.shown);
        if self.exists > self.memory.messages.len() {
            let from = self
                .memory
                .messages
                .keys()
                .last()
                .map_or(1, |last| last + 1);
            self.say(dialogue, &format!("UID FETCH {from}:* (FLAGS MODSEQ)"));
            modseq = self.highest.unwrap_or(self.shown.max(modseq));
        }
        self.memory.modseq = self.memory.modseq.max(modseq);
    }
}

fn after<'l>(line: &'l str, word: &str) -> &'l str {
    let rest = line
        .split_once(word)
        .unwrap_or_else(|| panic!("no {word} in {line}"))
        .1;
    rest.split([' ', ')']).next().unwrap()
}

fn numbers(set: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        from.parse::<u32>().unwrap()..=to.parse().unwrap()
    };
    set.split(',').flat_map(range).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(u8),
    /// Somebody else flags a message.
    Flag(prop::sample::Index, bool),
    /// Somebody else expunges messages.
    Expunge(prop::sample::Index, u8),
    /// The client does something.
    Own(Own, prop::sample::Index),
    /// Its state is kept, to come back from it in the end.
    Keep,
    /// What was expunged until now is forgotten.
    Forget,
}

#[derive(Clone, Copy, Debug)]
enum Own {
    Noop,
    /// By sequence number: no expunge may be told.
    Fetch,
    Store,
    StoreSilent,
    Expunge,
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let own = prop::sample::select(vec![
        Own::Noop,
        Own::Fetch,
        Own::Fetch,
        Own::Store,
        Own::StoreSilent,
        Own::Expunge,
        Own::Move,
    ]);
    prop_oneof![
        4 => (1u8..4).prop_map(Step::Deliver),
        4 => (index(), any::<bool>()).prop_map(|(at, on)| Step::Flag(at, on)),
        4 => (index(), 1u8..4).prop_map(|(at, count)| Step::Expunge(at, count)),
        8 => (own, index()).prop_map(|(own, at)| Step::Own(own, at)),
        4 => Just(Step::Keep),
        1 => Just(Step::Forget),
    ]
}

struct History {
    dialogue: Dialogue,
    client: Client,
    kept: Vec<Memory>,
}

impl History {
    fn new() -> History {
        let mut dialogue = Dialogue::new();
        dialogue.log_in("truth", "alice");
        dialogue.say("truth", b"t CREATE Work\r\n");
        let client = Client::connect(&mut dialogue, "own", Memory::default(), "SELECT INBOX");
        History {
            dialogue,
            client,
            kept: vec![Memory::default()],
        }
    }

    /// What is there, as a client without any memory sees it.
    fn truth(&mut self) -> BTreeMap<u32, BTreeSet<String>> {
        let memory = Memory::default();
        Client::connect(&mut self.dialogue, "truth", memory, "EXAMINE INBOX")
            .memory
            .messages
    }

    fn pick(&self, at: prop::sample::Index) -> Option<u32> {
        let uids: Vec<u32> = self
            .dialogue
            .partition
            .uids("alice")
            .iter()
            .map(|uid| uid.0)
            .collect();
        (!uids.is_empty()).then(|| *at.get(&uids))
    }

    fn store(&mut self, uids: &UidRanges, flags: SystemFlags, on: bool) {
        let partition = &self.dialogue.partition;
        partition.apply(Command::Store {
            account: partition.account("alice"),
            mailbox: MailboxId::INBOX,
            uids: uids.clone(),
            mode: if on {
                StoreMode::Add
            } else {
                StoreMode::Remove
            },
            flags: Flags::system(flags),
            unchanged_since: None,
        });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Deliver(count) => {
                for _ in 0..count {
                    let message = b"Subject: one\r\n\r\ntext";
                    self.dialogue.partition.deliver("alice", None, message);
                }
            }
            Step::Flag(at, on) => {
                if let Some(uid) = self.pick(at) {
                    let uids = UidRanges::range(Uid(uid), Uid(uid));
                    self.store(&uids, SystemFlags::FLAGGED, on);
                }
            }
            Step::Expunge(at, count) => {
                if let Some(uid) = self.pick(at) {
                    let uids = UidRanges::range(Uid(uid), Uid(uid + u32::from(count)));
                    self.store(&uids, SystemFlags::DELETED, true);
                    let partition = &self.dialogue.partition;
                    partition.apply(Command::Expunge {
                        account: partition.account("alice"),
                        mailbox: MailboxId::INBOX,
                        uids: Some(uids),
                    });
                }
            }
            Step::Own(own, at) => self.own(own, at),
            Step::Keep => self.kept.push(self.client.memory.clone()),
            Step::Forget => self.dialogue.partition.forget_expunged(),
        }
    }

    fn own(&mut self, own: Own, at: prop::sample::Index) {
        let known: Vec<u32> = self.client.memory.messages.keys().copied().collect();
        let uid = if known.is_empty() { 1 } else { *at.get(&known) };
        let number = self.client.exists;
        let command = match own {
            Own::Noop => "NOOP".to_owned(),
            Own::Fetch if number == 0 => return,
            Own::Fetch => format!("FETCH {} (UID FLAGS MODSEQ)", at.index(number) + 1),
            Own::Store => format!("UID STORE {uid} +FLAGS (\\Answered)"),
            Own::StoreSilent => {
                self.client.memory.messages.entry(uid).and_modify(|flags| {
                    flags.insert("\\Deleted".to_owned());
                });
                format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
            }
            Own::Expunge => "EXPUNGE".to_owned(),
            Own::Move => format!("UID MOVE {uid} Work"),
        };
        // A silent STORE shows a mod-sequence without flags, which the client knows.
        if matches!(own, Own::StoreSilent) {
            let said = self
                .dialogue
                .say("own", format!("t {command}\r\n").as_bytes());
            let said = String::from_utf8(said).unwrap();
            (self.client.highest, self.client.shown) = (None, 0);
            for line in said.lines() {
                if line.contains(" FETCH (") && !line.contains("FLAGS (") {
                    let modseq = after(line, "MODSEQ (").parse().unwrap();
                    self.client.shown = self.client.shown.max(modseq);
                } else {
                    self.client.hear(line);
                }
            }
        } else {
            self.client.say(&mut self.dialogue, &command);
        }
        self.client.learn(&mut self.dialogue);
    }

    /// Comes back from every state that was kept, in every way to ask.
    fn come_back(&mut self) {
        self.client.say(&mut self.dialogue, "NOOP");
        self.client.learn(&mut self.dialogue);
        let truth = self.truth();
        assert_eq!(
            self.client.memory.messages, truth,
            "the session that stayed"
        );
        self.kept.push(self.client.memory.clone());
        for memory in std::mem::take(&mut self.kept) {
            let modseq = memory.modseq;
            let known: UidRanges = memory.messages.keys().copied().map(Uid).collect();
            let mut ways = vec![String::new()];
            if !known.is_empty() {
                let numbers = format!("(1:{} {known})", known.len());
                ways = vec![
                    String::new(),
                    format!(" {known}"),
                    format!(" {known} {numbers}"),
                ];
                ways.push(format!(" {numbers}"));
            }
            for way in ways {
                let select = format!("SELECT INBOX (QRESYNC (1704164645 {modseq}{way}))");
                let client = Client::connect(&mut self.dialogue, "back", memory.clone(), &select);
                assert_eq!(client.memory.messages, truth, "{select} from {memory:?}");
                assert!(client.memory.modseq >= modseq);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn who_comes_back_misses_nothing(steps in prop::collection::vec(step(), 0..40)) {
        let mut history = History::new();
        for step in steps {
            history.step(step);
        }
        history.come_back();
    }

    /// The shortcut over ranges finds what looking at every number does.
    #[test]
    fn numbers_that_still_mean_their_uids(
        before in prop::collection::btree_set(1u32..60, 1..40),
        gone in prop::collection::btree_set(1u32..60, 0..8),
        told in prop::collection::btree_set(1u32..40, 1..20),
    ) {
        let before: Vec<u32> = before.into_iter().collect();
        let now: Vec<u32> = before.iter().copied().filter(|uid| !gone.contains(uid)).collect();
        let view = View::open(&Opened {
            uids: now.iter().copied().map(Uid).collect(),
            ..Opened::default()
        });
        let told = told.into_iter().filter(|number| *number as usize <= before.len());
        let pairs: Vec<(u32, u32)> =
            told.map(|number| (number, before[number as usize - 1])).collect();
        let mut matches: Vec<SequenceMatch> = Vec::new();
        for &(number, uid) in &pairs {
            match matches.last_mut() {
                Some(last) if last.sequences.last + 1 == number
                    && last.uid + (number - last.sequences.first) == uid =>
                {
                    last.sequences.last = number;
                }
                _ => matches.push(SequenceMatch { sequences: IdRange::single(number), uid }),
            }
        }
        let fits = |(number, uid): &&(u32, u32)| now.get(*number as usize - 1) == Some(uid);
        let highest = pairs.iter().rev().find(fits).map_or(0, |(_, uid)| *uid);
        prop_assert_eq!(view.unchanged_up_to(&matches), Uid(highest));
        prop_assert!(gone.iter().all(|uid| *uid > highest || !before.contains(uid)));
    }
}
