//! What a message must be like, ready to be tried on one after the other.

use bytes::Bytes;
use mailbox::{Message, Millis, SystemFlags, Uid, UidRanges};

use super::indexed::Lacking;
use super::{fuzzy, saved};
use crate::grammar::{Date, DateTime, SavedKey, SearchKey};
use crate::limits;
use crate::mime::{Needle, Scope};
use crate::respond::Code;
use crate::state::{Result, Stop};
use crate::view::View;

/// A search key with its sets resolved and its strings folded.
pub(super) enum Test {
    All,
    /// The cheapest first.
    And(Vec<Test>),
    /// The cheapest first.
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Uids(UidRanges),
    Recent,
    System(SystemFlags),
    Keyword(String),
    Arrived(When, Date),
    /// At this second or before it.
    ArrivedUntil(u64),
    /// At this second or after it.
    ArrivedFrom(u64),
    Larger(u64),
    Smaller(u64),
    ModSeq(u64),
    Saved(SavedKey),
    Sent(When, Date),
    Field {
        name: Bytes,
        needle: Needle,
        lacking: Lacking,
    },
    Text {
        scope: Scope,
        needle: Needle,
        lacking: Lacking,
    },
}

/// How a day is to lie to another.
#[derive(Clone, Copy)]
pub(super) enum When {
    Before,
    On,
    Since,
}

impl When {
    pub(super) fn holds(self, day: Date, than: Date) -> bool {
        match self {
            When::Before => day < than,
            When::On => day == than,
            When::Since => day >= than,
        }
    }
}

/// What must be read to try a test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Row,
    Header,
    Text,
}

/// Whether a key asks for mod-sequences. At most 100 levels deep, as the parser sees to.
pub(super) fn names_modseq(key: &SearchKey) -> bool {
    match key {
        SearchKey::ModSeq(_) => true,
        SearchKey::And(keys) => keys.iter().any(names_modseq),
        SearchKey::Or(one, other) => names_modseq(one) || names_modseq(other),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => names_modseq(key),
        _ => false,
    }
}

/// Refuses to search by very many keys, or by very many sets (RFC 3501 section 6.4.4 bounds
/// neither), before anything is made of them. At most 100 levels deep, as the parser sees to.
pub(super) fn check_number(key: &SearchKey) -> Result<()> {
    let (mut keys, mut sets) = (0, 0);
    count(key, &mut keys, &mut sets);
    if keys > limits::SEARCH_KEYS_MAX {
        return Err(Stop::no(Code::Limit, "Too many keys to search by"));
    }
    if sets > limits::SEARCH_SETS_MAX {
        return Err(Stop::no(Code::Limit, "Too many sets to search by"));
    }
    Ok(())
}

fn count(key: &SearchKey, keys: &mut usize, sets: &mut usize) {
    *keys += 1;
    match key {
        SearchKey::Set(_) | SearchKey::Uid(_) => *sets += 1,
        SearchKey::And(several) => several.iter().for_each(|key| count(key, keys, sets)),
        SearchKey::Or(one, other) => {
            count(one, keys, sets);
            count(other, keys, sets);
        }
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => count(key, keys, sets),
        _ => {}
    }
}

impl Test {
    /// The test of a key, as of `now` in Unix seconds.
    ///
    /// # Errors
    /// `Syntax` for a sequence number that no message has.
    pub(super) fn new(key: &SearchKey, view: &View, now: u64) -> crate::Result<Test> {
        let system = |flag| Ok(Test::System(flag));
        let not_system = |flag| Ok(Test::System(flag).negated());
        match key {
            SearchKey::And(keys) => {
                let tests: crate::Result<Vec<Test>> =
                    keys.iter().map(|key| Test::new(key, view, now)).collect();
                let mut tests = tests?;
                tests.sort_by_cached_key(Test::cost);
                Ok(Test::And(tests))
            }
            SearchKey::Or(one, other) => {
                let (one, other) = (Test::new(one, view, now)?, Test::new(other, view, now)?);
                let is_sorted = one.cost() <= other.cost();
                let (one, other) = if is_sorted {
                    (one, other)
                } else {
                    (other, one)
                };
                Ok(Test::Or(Box::new(one), Box::new(other)))
            }
            SearchKey::Not(key) => Ok(Test::new(key, view, now)?.negated()),
            SearchKey::Fuzzy(key) => Test::new(&fuzzy::loosened(key), view, now),
            SearchKey::Set(set) => Ok(Test::Uids(view.among(set))),
            SearchKey::Uid(set) => view.resolve(set, true).map(Test::Uids),
            // RFC 5032 section 3: the second itself is both.
            SearchKey::Older(seconds) => {
                Ok(Test::ArrivedUntil(now.saturating_sub(u64::from(*seconds))))
            }
            SearchKey::Younger(seconds) => {
                Ok(Test::ArrivedFrom(now.saturating_sub(u64::from(*seconds))))
            }
            SearchKey::Answered => system(SystemFlags::ANSWERED),
            SearchKey::Deleted => system(SystemFlags::DELETED),
            SearchKey::Draft => system(SystemFlags::DRAFT),
            SearchKey::Flagged => system(SystemFlags::FLAGGED),
            SearchKey::Seen => system(SystemFlags::SEEN),
            SearchKey::Unanswered => not_system(SystemFlags::ANSWERED),
            SearchKey::Undeleted => not_system(SystemFlags::DELETED),
            SearchKey::Undraft => not_system(SystemFlags::DRAFT),
            SearchKey::Unflagged => not_system(SystemFlags::FLAGGED),
            SearchKey::Unseen => not_system(SystemFlags::SEEN),
            SearchKey::New => Ok(Test::And(vec![
                Test::Recent,
                Test::System(SystemFlags::SEEN).negated(),
            ])),
            _ => Ok(Test::leaf(key)),
        }
    }

    /// A key that holds neither others nor a set nor a system flag.
    fn leaf(key: &SearchKey) -> Test {
        let field = |name: &'static str, text: &String| Test::Field {
            name: Bytes::from_static(name.as_bytes()),
            needle: Needle::new(text),
            lacking: Lacking::default(),
        };
        let text = |scope, text: &String| Test::Text {
            scope,
            needle: Needle::new(text),
            lacking: Lacking::default(),
        };
        match key {
            SearchKey::Recent => Test::Recent,
            SearchKey::Old => Test::Recent.negated(),
            SearchKey::Keyword(keyword) => Test::Keyword(keyword.as_str().to_owned()),
            SearchKey::Unkeyword(keyword) => Test::Keyword(keyword.as_str().to_owned()).negated(),
            SearchKey::Before(date) => Test::Arrived(When::Before, *date),
            SearchKey::On(date) => Test::Arrived(When::On, *date),
            SearchKey::Since(date) => Test::Arrived(When::Since, *date),
            SearchKey::SentBefore(date) => Test::Sent(When::Before, *date),
            SearchKey::SentOn(date) => Test::Sent(When::On, *date),
            SearchKey::SentSince(date) => Test::Sent(When::Since, *date),
            SearchKey::Larger(size) => Test::Larger(*size),
            SearchKey::Smaller(size) => Test::Smaller(*size),
            SearchKey::ModSeq(modseq) => Test::ModSeq(*modseq),
            SearchKey::Saved(key) => Test::Saved(key.clone()),
            SearchKey::Bcc(text) => field("Bcc", text),
            SearchKey::Cc(text) => field("Cc", text),
            SearchKey::From(text) => field("From", text),
            SearchKey::Subject(text) => field("Subject", text),
            SearchKey::To(text) => field("To", text),
            SearchKey::Header { name, value } => Test::Field {
                name: name.clone(),
                needle: Needle::new(value),
                lacking: Lacking::default(),
            },
            SearchKey::Body(body) => text(Scope::Body, body),
            SearchKey::Text(all) => text(Scope::Text, all),
            _ => Test::All,
        }
    }

    fn negated(self) -> Test {
        Test::Not(Box::new(self))
    }

    fn cost(&self) -> Cost {
        match self {
            Test::And(tests) => tests.iter().map(Test::cost).max().unwrap_or(Cost::Row),
            Test::Or(one, other) => one.cost().max(other.cost()),
            Test::Not(test) => test.cost(),
            Test::Sent(..) | Test::Field { .. } => Cost::Header,
            Test::Text { .. } => Cost::Text,
            _ => Cost::Row,
        }
    }

    /// Whether more than the header may be read.
    pub(super) fn reads_text(&self) -> bool {
        self.cost() == Cost::Text
    }

    /// How many there are, with those that it is made of.
    pub(super) fn count(&self) -> usize {
        1 + match self {
            Test::And(tests) => tests.iter().map(Test::count).sum(),
            Test::Or(one, other) => one.count() + other.count(),
            Test::Not(test) => test.count(),
            _ => 0,
        }
    }

    /// How many tests read bytes of the message.
    pub(super) fn contents(&self) -> usize {
        match self {
            Test::And(tests) => tests.iter().map(Test::contents).sum(),
            Test::Or(one, other) => one.contents() + other.contents(),
            Test::Not(test) => test.contents(),
            Test::Sent(..) | Test::Field { .. } | Test::Text { .. } => 1,
            _ => 0,
        }
    }

    /// Whether an index has told that the message lacks the text.
    pub(super) fn is_lacking(&self, message: Uid) -> bool {
        match self {
            Test::Field { lacking, .. } | Test::Text { lacking, .. } => lacking.has(message),
            _ => false,
        }
    }

    /// Whether a message matches, if its row tells.
    pub(super) fn by_row(&self, message: &Message, view: &View) -> Option<bool> {
        match self {
            Test::All => Some(true),
            Test::And(tests) => {
                let mut all = Some(true);
                for test in tests {
                    match test.by_row(message, view) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Test::Or(one, other) => {
                match (one.by_row(message, view), other.by_row(message, view)) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                }
            }
            Test::Not(test) => test.by_row(message, view).map(|is_match| !is_match),
            Test::Uids(uids) => Some(uids.contains(message.uid)),
            Test::Recent => Some(view.is_recent(message.uid)),
            Test::System(flags) => Some(message.flags.system.has(*flags)),
            Test::Keyword(keyword) => Some(message.flags.has_keyword(keyword)),
            Test::Arrived(when, date) => Some(when.holds(arrival_day(message), *date)),
            Test::ArrivedUntil(time) => Some(message.internal_date.seconds() <= *time),
            Test::ArrivedFrom(time) => Some(message.internal_date.seconds() >= *time),
            Test::Larger(size) => Some(message.size() > *size),
            Test::Smaller(size) => Some(message.size() < *size),
            Test::ModSeq(modseq) => Some(message.modseq.0 >= *modseq),
            Test::Saved(key) => Some(saved::matches(key, message)),
            Test::Sent(..) => None,
            Test::Field { .. } | Test::Text { .. } => self.is_lacking(message.uid).then_some(false),
        }
    }
}

/// The day of INTERNALDATE as FETCH shows it.
fn arrival_day(message: &Message) -> Date {
    day(message.internal_date)
}

/// The day of a time as FETCH shows it.
pub(super) fn day(time: Millis) -> Date {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    DateTime::new(seconds, 0).date()
}
