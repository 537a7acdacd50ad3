//! What was asked, what was answered, and in which order.
//!
//! ```text
//!   client   invoke ------------------> ok | fail | unknown
//!   nemesis          kill 2      start 2
//!   file     one line each, in the order in which they happened
//! ```
//!
//! An operation is recorded before its first byte is sent, and again after its last reply was read.
//! If one ends before another begins, the first line of the other therefore stands behind the last
//! line of the one, and a judge may say that the server knew of the one while it did the other. Of
//! operations that overlap, nothing is said.
//!
//! There are three ends. `ok`: the server said so. `fail`: it was not done, and never will be.
//! `unknown`: the connection broke or the reply did not come; it may have been done, or be done at
//! any later time, but once at most.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::mail::message::{Content, Received, Serial};

mod met;
mod recorder;

pub use met::Met;
pub use recorder::{Open, Recorder};

/// Flags of a message, of those that clients here use.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flags(pub u8);

impl Flags {
    /// Read.
    pub const SEEN: Self = Self(1);
    /// Answered.
    pub const ANSWERED: Self = Self(2);
    /// Marked.
    pub const FLAGGED: Self = Self(4);
    /// A draft.
    pub const DRAFT: Self = Self(8);
    /// A keyword.
    pub const FIRST: Self = Self(16);
    /// Another keyword.
    pub const SECOND: Self = Self(32);
    /// To be expunged.
    pub const DELETED: Self = Self(64);

    /// Every flag and its name, lowest bit first.
    pub const NAMES: [(Self, &str); 7] = [
        (Self::SEEN, "\\Seen"),
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DRAFT, "\\Draft"),
        (Self::FIRST, "$Chaos1"),
        (Self::SECOND, "$Chaos2"),
        (Self::DELETED, "\\Deleted"),
    ];

    /// These and those.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// From flags between spaces; others are left out.
    #[must_use]
    pub fn parse(words: &str) -> Self {
        let known = |word: &str| {
            Self::NAMES
                .iter()
                .find(|(_, name)| name.eq_ignore_ascii_case(word))
        };
        let found = words.split(' ').filter_map(known);
        found.fold(Self::default(), |all, (flag, _)| all.with(*flag))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(flag, _)| self.has(*flag));
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        write!(f, "({})", names.join(" "))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A mailbox of an account: 0 is its INBOX.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The number of the account in this run.
    pub account: u32,
    /// An index into [`MAILBOXES`].
    pub mailbox: u8,
}

/// The mailboxes that every account of a run has.
pub const MAILBOXES: [&str; 3] = ["INBOX", "Work", "Archive"];

impl Place {
    /// The name of the mailbox.
    #[must_use]
    pub fn mailbox_name(self) -> &'static str {
        MAILBOXES
            .get(usize::from(self.mailbox))
            .copied()
            .unwrap_or("INBOX")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.mailbox_name())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a STORE changes flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// One LMTP transaction; a message may take several, each for the recipients that are left.
    Deliver {
        /// Which message.
        serial: Serial,
        /// Its bytes.
        content: Content,
        /// Where to.
        to: Vec<Place>,
    },
    /// APPEND.
    Append {
        /// Where to.
        to: Place,
        /// Which message.
        serial: Serial,
        /// Its bytes.
        content: Content,
        /// With these flags.
        flags: Flags,
    },
    /// UID COPY, or UID MOVE.
    Copy {
        /// Whether the source goes.
        moving: bool,
        /// From there.
        from: Place,
        /// To there, in the same account.
        to: Place,
        /// These.
        uids: Vec<u32>,
    },
    /// UID STORE.
    Store {
        /// There.
        place: Place,
        /// Of these.
        uids: Vec<u32>,
        /// Whether they come or go.
        mode: Mode,
        /// These flags.
        flags: Flags,
    },
    /// UID EXPUNGE.
    Expunge {
        /// There.
        place: Place,
        /// These, if they have `\Deleted`.
        uids: Vec<u32>,
    },
    /// SELECT and FETCH of everything.
    List {
        /// There.
        place: Place,
        /// With all bodies, after the run, when nothing changes any more.
        last: bool,
    },
    /// SELECT and FETCH of one message whole.
    Read {
        /// There.
        place: Place,
        /// This one.
        uid: u32,
    },
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// 250.
    Stored,
    /// It may be stored or not: 4yz after the data.
    Unknown(String),
    /// It is not stored: refused before the data, or 5yz.
    Refused(String),
}

impl Receipt {
    /// Whether an MTA would send the mail back to its author.
    #[must_use]
    pub fn is_bounce(&self) -> bool {
        matches!(self, Self::Refused(why) if why.starts_with('5'))
    }
}

/// A message in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: Flags,
    /// Its serial number, if it has one.
    pub serial: Option<Serial>,
    /// All of it, if it was read.
    pub body: Option<Received>,
}

/// What a client was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To a delivery, in the order of its recipients.
    Delivered(Vec<Receipt>),
    /// To APPEND.
    Appended {
        /// UIDVALIDITY.
        validity: u32,
        /// UID.
        uid: u32,
    },
    /// To COPY and MOVE.
    Copied {
        /// UIDVALIDITY of the target; 0 if nothing was copied.
        validity: u32,
        /// UIDs in the source and in the target.
        pairs: Vec<(u32, u32)>,
    },
    /// To STORE: flags that were told with it.
    Stored(Vec<(u32, Flags)>),
    /// To EXPUNGE.
    Expunged,
    /// To a list.
    Listed {
        /// UIDVALIDITY.
        validity: u32,
        /// UIDNEXT when it was selected.
        uid_next: u32,
        /// HIGHESTMODSEQ when it was selected; 0 if not told.
        modseq: u64,
        /// Everything in it, by UID.
        messages: Vec<Listed>,
    },
    /// To a read.
    Body {
        /// UIDVALIDITY.
        validity: u32,
        /// The message; none if it is not there.
        body: Option<Received>,
    },
}

/// What was done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// A node was killed with -9; it led these groups.
    Kill {
        /// The node.
        node: u64,
        /// The groups.
        led: Vec<u64>,
    },
    /// A node was started.
    Start {
        /// The node.
        node: u64,
    },
    /// A node sleeps from now on; it led these groups.
    Pause {
        /// The node.
        node: u64,
        /// The groups.
        led: Vec<u64>,
    },
    /// A node that slept goes on.
    Resume {
        /// The node.
        node: u64,
    },
    /// The disks of these nodes are filled from now on, so that they take no more mail.
    Full {
        /// The nodes.
        nodes: Vec<u64>,
    },
    /// These nodes have room again, and take mail.
    Room {
        /// The nodes.
        nodes: Vec<u64>,
    },
    /// All nodes serve again.
    Healed,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// An operation begins.
    Invoke {
        /// Who asks.
        client: String,
        /// Which node.
        node: u64,
        /// What for.
        op: Op,
    },
    /// It was done.
    Ok(Answer),
    /// It was not done.
    Fail(String),
    /// Nobody knows.
    Unknown(String),
    /// Nobody knows, and what the server said is no answer, or it said nothing for very long.
    Broken(String),
    /// Something was done to the cluster.
    Fault(Fault),
    /// Through each of these nodes everything is read in the end.
    Readers(Vec<u64>),
    /// A client met with something outside of its operations.
    Met {
        /// Who.
        client: String,
        /// Through which node; 0 if through several.
        node: u64,
        /// With what.
        met: Met,
    },
}

/// A line with its number and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the run began.
    pub at_us: u64,
    /// The operation's number; 0 for what belongs to none.
    pub id: u64,
    /// What happened.
    pub what: What,
}

/// All that happened, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// One after the other.
    pub events: Vec<Event>,
}

impl History {
    /// The nodes through which everything had to be read in the end, or was; none if the run did
    /// not come so far.
    #[must_use]
    pub fn readers(&self) -> Vec<u64> {
        let mut readers = BTreeSet::new();
        for event in &self.events {
            match &event.what {
                What::Readers(nodes) => readers.extend(nodes),
                What::Invoke {
                    node,
                    op: Op::List { last: true, .. },
                    ..
                } => drop(readers.insert(*node)),
                _ => {}
            }
        }
        readers.into_iter().collect()
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End<'a> {
    /// Done, with the number of the event.
    Ok(usize, &'a Answer),
    /// Not done.
    Fail(&'a str),
    /// Unknown, or still under way.
    Unknown,
}

/// An operation as a whole.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its number.
    pub id: u64,
    /// Which node was asked.
    pub node: u64,
    /// What for.
    pub op: &'a Op,
    /// The number of the event with which it begins.
    pub begin: usize,
    /// How it ended.
    pub end: End<'a>,
    /// With which event it did; none if it was still under way.
    pub ended: Option<usize>,
}

impl Entry<'_> {
    /// The event with which it was over for certain; none if it may still happen.
    #[must_use]
    pub fn over(&self) -> Option<usize> {
        match self.end {
            End::Ok(at, _) => Some(at),
            End::Fail(_) | End::Unknown => None,
        }
    }

    /// Whether it may have been done.
    #[must_use]
    pub fn possible(&self) -> bool {
        !matches!(self.end, End::Fail(_))
    }
}

impl History {
    /// Every operation, in the order in which they began.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut place_of: BTreeMap<u64, usize> = BTreeMap::new();
        for (at, event) in self.events.iter().enumerate() {
            let end = match &event.what {
                What::Invoke { node, op, .. } => {
                    place_of.insert(event.id, entries.len());
                    let end = End::Unknown;
                    entries.push(Entry {
                        id: event.id,
                        node: *node,
                        op,
                        begin: at,
                        end,
                        ended: None,
                    });
                    continue;
                }
                What::Ok(answer) => End::Ok(at, answer),
                What::Fail(why) => End::Fail(why),
                What::Unknown(_) | What::Broken(_) => End::Unknown,
                What::Fault(_) | What::Readers(_) | What::Met { .. } => continue,
            };
            if let Some(place) = place_of.get(&event.id) {
                entries[*place].end = end;
                entries[*place].ended = Some(at);
            }
        }
        entries
    }

    /// Reads a history that a run has written.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds something else. A last line that is cut off counts as
    /// not there.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let mut events = Vec::new();
        let mut lines = BufReader::new(file).lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            match serde_json::from_str(&line?) {
                Ok(event) => events.push(event),
                Err(_) if lines.peek().is_none() => break,
                Err(error) => anyhow::bail!("{}:{}: {error}", path.display(), number + 1),
            }
        }
        Ok(Self { events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_written() {
        let flags = Flags::parse("\\seen \\Recent $Chaos2 other");
        assert_eq!(flags, Flags::SEEN.with(Flags::SECOND));
        assert_eq!(flags.to_string(), "(\\Seen $Chaos2)");
    }

    #[test]
    fn those_through_whom_it_must_be_read() {
        let recorder = Recorder::in_memory();
        assert!(recorder.history().readers().is_empty());
        let place = Place {
            account: 0,
            mailbox: 0,
        };
        let list = |node, last| {
            let op = Op::List { place, last };
            drop(recorder.invoke("judge", node, op));
        };
        list(4, false);
        assert!(recorder.history().readers().is_empty());
        // Histories of older versions say no more than this.
        list(2, true);
        assert_eq!(recorder.history().readers(), [2]);
        recorder.readers(vec![1, 2, 3]);
        assert_eq!(recorder.history().readers(), [1, 2, 3]);
    }

    #[test]
    fn a_history_comes_back_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let recorder = Recorder::create(&path).unwrap();
        let place = Place {
            account: 3,
            mailbox: 1,
        };
        let op = recorder.invoke("reader1", 2, Op::Read { place, uid: 9 });
        let lost = recorder.invoke("reader2", 1, Op::List { place, last: false });
        recorder.fault(Fault::Kill {
            node: 1,
            led: vec![0, 4],
        });
        op.ok(Answer::Body {
            validity: 5,
            body: None,
        });
        lost.unknown("gone");
        recorder.readers(vec![1, 2]);
        let last = "451 4.3.0 not now".to_owned();
        let (serial, left) = (Serial(3), vec![place]);
        recorder.met("mta1", 0, Met::GaveUp { serial, left, last });
        let history = recorder.history();
        let loaded = History::load(&path).unwrap();
        assert_eq!(loaded.events, history.events);
        assert_eq!(recorder.acknowledged(), 1);

        let entries = loaded.entries();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].begin, entries[0].over()), (0, Some(3)));
        assert_eq!((entries[1].over(), entries[1].possible()), (None, true));
    }
}
