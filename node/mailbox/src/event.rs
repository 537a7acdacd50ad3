//! What apply says beside the outcome: hints for watchers, and which bodies are referred to.

use crate::types::{AccountId, MailboxId, ModSeq};

/// A hint that something changed. Never truth: whoever hears it asks for the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// In which account.
    pub account: AccountId,
    /// In which mailbox; 0 when it concerns the account as a whole.
    pub mailbox: MailboxId,
    /// The change is visible at or above this.
    pub modseq: ModSeq,
    /// What kind of change.
    pub kind: EventKind,
}

/// What kind of change an [`Event`] hints at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A message arrived.
    Arrived,
    /// Flags changed.
    Flags,
    /// Messages went away.
    Expunged,
    /// A mailbox was made, renamed, deleted or subscribed to.
    Folders,
    /// The account was made or deleted.
    Account,
}

/// How the number of rows that refer to the body in a log entry changed.
///
/// Summed up over all entries ever applied this is the number of references there are; a body with
/// none may be freed (invariant R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyChange {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// Bytes of the body.
    pub length: u64,
    /// References gained or lost.
    pub change: i64,
}
