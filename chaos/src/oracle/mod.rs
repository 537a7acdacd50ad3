//! The judge: whether a history could be that of a mail store that loses nothing.
//!
//! ```text
//!   History --entries--> what was asked, from when to when, and how it ended
//!      |
//!      | ledger    each UID that was ever named or seen, and what it is
//!      | effects   what changed flags and took messages away, or may have
//!      | modseqs   mod-sequences rise with what is done
//!      | reads     each list and each body: what must be there, and what must not
//!      | once      each message: as often as it was sent, or at most so often
//!      | nodes     the last lists: the same through every node
//!      | answers   refusals and silence: whether there was a reason
//!      v
//!   Verdict
//! ```
//!
//! It is pure: a history goes in, violations come out, and the same history is judged the same for
//! ever. It takes clients at their word. What was answered with OK was done before the answer came;
//! what was refused was never done; anything else was done at some time after it began, once, or
//! not at all. An operation that was over before another began came before it; of others nothing is
//! presumed. Each account has one client that changes it, which makes "the last acknowledged
//! STORE" a plain thing; deliveries and reads come from everywhere.
//!
//! A mailbox grows by deliveries, appends and copies. Appends and copies are answered with UIDs
//! (RFC 4315), so they are accounted for one by one. Deliveries are not, so what remains is
//! counted: of a message that was acknowledged exactly one must ever have been found, of one whose
//! outcome is unknown one at most.
//!
//! What it does not judge: the order of messages, dates, and the order of answers within a session.
//!
//! A judge that finds nothing may be a bad judge: the tests give it histories with one thing wrong,
//! and it must find each.

mod answers;
mod effects;
mod ledger;
mod modseqs;
mod nodes;
mod once;
mod reads;
mod register;

use std::collections::BTreeMap;
use std::fmt;

use ledger::Ledger;

use crate::history::{End, Entry, Fault, History, Op, What};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A message that was acknowledged is gone.
    Lost,
    /// A message is there more often than it was sent.
    Doubled,
    /// A message that nobody sent, or not to this account.
    Phantom,
    /// A mail to somebody who exists was refused for good: an MTA sends it back.
    Bounced,
    /// A mail that was given up after many attempts, or something that was not done in time though
    /// nothing was broken any more.
    Stuck,
    /// The server said no without a reason that it may have.
    Refused,
    /// The server said what is no answer, or nothing for very long.
    BadAnswer,
    /// Bytes other than those that were sent.
    WrongBytes,
    /// A UID stood for two messages.
    UidReused,
    /// A UID or UIDNEXT below one that was given before.
    UidBehind,
    /// UIDVALIDITY changed, or is 0.
    ValidityChanged,
    /// HIGHESTMODSEQ went back, or stayed though something was added or taken away, or is not told.
    ModseqBack,
    /// A read did not find what was there before it began.
    Missing,
    /// A message that was expunged or moved away is there again.
    Resurrected,
    /// Flags other than those of the last acknowledged STORE.
    WrongFlags,
    /// COPYUID names what was not asked for, or leaves out what was.
    WrongCopy,
    /// Two nodes answer differently when nothing changes.
    NodesDiffer,
    /// A mailbox was not read through every node at the end.
    NotRead,
    /// Replicas of a group hold different rows.
    DigestsDiffer,
    /// A replica lacks a body, or has another one than its row says.
    BadBody,
    /// After a clean stop a node found its index wrong.
    IndexNotUsed,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which kind of thing.
    pub kind: Kind,
    /// The event of the history that shows it, counted from 0: its line less one.
    pub event: Option<usize>,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)?;
        match self.event {
            Some(event) => write!(f, " (line {})", event + 1),
            None => Ok(()),
        }
    }
}

/// What a history amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Everything that went wrong.
    pub violations: Vec<Violation>,
    /// What was judged.
    pub counts: Counts,
}

/// How much there was to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations.
    pub operations: u64,
    /// Of them, done.
    pub ok: u64,
    /// Of them, not done.
    pub failed: u64,
    /// Of them, unknown.
    pub unknown: u64,
    /// Of those, through a node that was not touched meanwhile: a session there should outlive the
    /// death of a leader elsewhere, but for a command of which that leader took the outcome with
    /// it.
    pub unknown_apart: u64,
    /// Messages that were ever seen in a mailbox.
    pub messages: u64,
    /// Lists and single messages that were read.
    pub reads: u64,
}

impl Verdict {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How often each kind of thing went wrong.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for violation in &self.violations {
            *kinds.entry(violation.kind).or_default() += 1;
        }
        kinds
    }
}

/// What was done to a node: the events, and whether it cannot answer from then on.
type Touched = BTreeMap<usize, bool>;

/// What was done to each node.
fn touched(history: &History) -> BTreeMap<u64, Touched> {
    let mut touched: BTreeMap<u64, Touched> = BTreeMap::new();
    for (at, event) in history.events.iter().enumerate() {
        let (node, is_down) = match &event.what {
            What::Fault(Fault::Kill { node, .. } | Fault::Pause { node, .. }) => (*node, true),
            What::Fault(Fault::Start { node } | Fault::Resume { node }) => (*node, false),
            _ => continue,
        };
        touched.entry(node).or_default().insert(at, is_down);
    }
    touched
}

/// Whether the node of an operation ran all the time from its beginning to its end.
fn is_apart(touched: &BTreeMap<u64, Touched>, entry: &Entry<'_>) -> bool {
    let (Some(ended), Some(faults)) = (entry.ended, touched.get(&entry.node)) else {
        return entry.ended.is_some();
    };
    let before = faults.range(..entry.begin).next_back();
    let ran = before.is_none_or(|(_, is_down)| !is_down);
    ran && faults.range(entry.begin..ended).next().is_none()
}

/// Judges a history that ends with lists through each of `nodes`.
#[must_use]
pub fn judge(history: &History, nodes: &[u64]) -> Verdict {
    let entries = history.entries();
    let mut ledger = Ledger::learn(&entries);
    effects::apply(&mut ledger, &entries);
    modseqs::check(&mut ledger, &entries);
    reads::check(&mut ledger, &entries);
    once::check(&mut ledger, &entries);
    nodes::check(&mut ledger, &entries, nodes);
    answers::check(&mut ledger, history);

    let mut counts = Counts::default();
    let touched = touched(history);
    for entry in &entries {
        counts.operations += 1;
        match entry.end {
            End::Ok(..) => counts.ok += 1,
            End::Fail(_) => counts.failed += 1,
            End::Unknown => {
                counts.unknown += 1;
                counts.unknown_apart += u64::from(is_apart(&touched, entry));
            }
        }
        let read = matches!(entry.op, Op::List { .. } | Op::Read { .. });
        counts.reads += u64::from(read && matches!(entry.end, End::Ok(..)));
    }
    counts.messages = ledger
        .mailboxes
        .values()
        .map(|mailbox| mailbox.messages.len() as u64)
        .sum();
    let mut violations = ledger.violations;
    violations.sort_by_key(|violation| (violation.kind, violation.event));
    Verdict { violations, counts }
}
