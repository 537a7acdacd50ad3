//! LIST, LSUB and STATUS (RFC 3501 sections 6.3.8 to 6.3.10, RFC 5258, RFC 5819, RFC 6154).

use bytes::Bytes;

use super::lexer::Cursor;
use super::metadata;
use crate::error::{Error, Result};
use crate::limits;

/// A LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Which mailboxes at all; empty in a basic LIST.
    pub selection: Vec<ListSelection>,
    /// What is put before each pattern, as sent.
    pub reference: Bytes,
    /// Patterns as sent, never none. One empty pattern in a basic LIST asks for the hierarchy
    /// separator.
    pub patterns: Vec<Bytes>,
    /// What to tell of each mailbox beside its name.
    pub returns: Vec<ListReturn>,
    /// Whether any syntax of RFC 5258 was used: then LSUB-like leniencies end, and an empty
    /// pattern matches nothing.
    pub extended: bool,
}

/// A selection option of LIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListSelection {
    /// `SUBSCRIBED`: subscribed names, also of mailboxes that do not exist.
    Subscribed,
    /// `REMOTE`: remote ones as well. We have none.
    Remote,
    /// `RECURSIVEMATCH`: also parents of what the other options select.
    RecursiveMatch,
    /// `SPECIAL-USE`: mailboxes with such an attribute.
    SpecialUse,
}

/// A return option of LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListReturn {
    /// `SUBSCRIBED`
    Subscribed,
    /// `CHILDREN`
    Children,
    /// `SPECIAL-USE`
    SpecialUse,
    /// `STATUS (..)`: a STATUS response for each (RFC 5819).
    Status(Vec<StatusItem>),
    /// `MYRIGHTS`: a MYRIGHTS response for each (RFC 8440).
    MyRights,
    /// `METADATA (..)`: a METADATA response with these entries for each (RFC 9590).
    Metadata(Vec<String>),
}

/// An LSUB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lsub {
    /// What is put before the pattern, as sent.
    pub reference: Bytes,
    /// The pattern as sent.
    pub pattern: Bytes,
}

/// A STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The mailbox's name as sent.
    pub mailbox: Bytes,
    /// What is asked for, never nothing.
    pub items: Vec<StatusItem>,
}

/// One item of STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusItem {
    /// The number of messages.
    Messages,
    /// The number of messages with `\Recent`.
    Recent,
    /// The next UID.
    UidNext,
    /// UIDVALIDITY.
    UidValidity,
    /// The number of messages without `\Seen`.
    Unseen,
    /// The number of messages with `\Deleted` (RFC 9051).
    Deleted,
    /// The bytes of the messages with `\Deleted` (RFC 9208).
    DeletedStorage,
    /// The bytes of all messages (RFC 8438).
    Size,
    /// The highest mod-sequence (RFC 7162); it enables CONDSTORE.
    HighestModSeq,
    /// The mailbox's id, which is no number (RFC 8474 section 4.3).
    MailboxId,
    /// Bytes that a message may have which is appended (RFC 7889 section 3.2).
    AppendLimit,
}

impl StatusItem {
    /// As it is written in commands and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::Deleted => "DELETED",
            StatusItem::DeletedStorage => "DELETED-STORAGE",
            StatusItem::Size => "SIZE",
            StatusItem::HighestModSeq => "HIGHESTMODSEQ",
            StatusItem::MailboxId => "MAILBOXID",
            StatusItem::AppendLimit => "APPENDLIMIT",
        }
    }

    const ALL: [StatusItem; 11] = [
        StatusItem::Messages,
        StatusItem::Recent,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
        StatusItem::Deleted,
        StatusItem::DeletedStorage,
        StatusItem::Size,
        StatusItem::HighestModSeq,
        StatusItem::MailboxId,
        StatusItem::AppendLimit,
    ];
}

/// What a mailbox is for (RFC 6154, RFC 8457).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Important`
    Important,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// As it is written in commands and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            SpecialUse::All => "\\All",
            SpecialUse::Archive => "\\Archive",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Flagged => "\\Flagged",
            SpecialUse::Important => "\\Important",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Trash => "\\Trash",
        }
    }

    /// Whether such a mailbox shows messages that are in others (RFC 6154 section 2). We have none.
    pub fn is_virtual(self) -> bool {
        matches!(self, SpecialUse::All | SpecialUse::Flagged)
    }

    /// The inverse of [`SpecialUse::as_str`], without regard to case.
    pub fn from_text(text: &str) -> Option<SpecialUse> {
        SpecialUse::ALL
            .into_iter()
            .find(|special| special.as_str().eq_ignore_ascii_case(text))
    }

    const ALL: [SpecialUse; 8] = [
        SpecialUse::All,
        SpecialUse::Archive,
        SpecialUse::Drafts,
        SpecialUse::Flagged,
        SpecialUse::Important,
        SpecialUse::Junk,
        SpecialUse::Sent,
        SpecialUse::Trash,
    ];
}

/// The arguments of LIST, from the space after its name on.
pub(super) fn list(cursor: &mut Cursor) -> Result<List> {
    cursor.space()?;
    let has_selection = cursor.peek() == Some(b'(');
    let selection = if has_selection {
        selection_options(cursor)?
    } else {
        Vec::new()
    };
    let reference = cursor.astring()?;
    cursor.space()?;
    let has_many = cursor.peek() == Some(b'(');
    let patterns = if has_many {
        cursor.list(limits::LIST_PATTERNS_MAX, Cursor::list_mailbox)?
    } else {
        vec![cursor.list_mailbox()?]
    };
    let mut returns = Vec::new();
    let has_returns = cursor.has_argument();
    if has_returns {
        cursor.space()?;
        returns = return_options(cursor)?;
    }
    cursor.end()?;
    let extended = has_selection || has_many || has_returns;
    Ok(List {
        selection,
        reference,
        patterns,
        returns,
        extended,
    })
}

fn selection_options(cursor: &mut Cursor) -> Result<Vec<ListSelection>> {
    let options = cursor.list_or_empty(limits::LIST_PATTERNS_MAX, |cursor| {
        match cursor.word().as_str() {
            "SUBSCRIBED" => Ok(ListSelection::Subscribed),
            "REMOTE" => Ok(ListSelection::Remote),
            "RECURSIVEMATCH" => Ok(ListSelection::RecursiveMatch),
            "SPECIAL-USE" => Ok(ListSelection::SpecialUse),
            _ => Err(Error::Syntax("unknown selection option")),
        }
    })?;
    let is_base = |option: &ListSelection| {
        matches!(
            option,
            ListSelection::Subscribed | ListSelection::SpecialUse
        )
    };
    if options.contains(&ListSelection::RecursiveMatch) && !options.iter().any(is_base) {
        return Err(Error::Syntax(
            "RECURSIVEMATCH needs another selection option",
        ));
    }
    cursor.space()?;
    Ok(options)
}

fn return_options(cursor: &mut Cursor) -> Result<Vec<ListReturn>> {
    if !cursor.eat_word("RETURN") {
        return Err(Error::Syntax("RETURN expected"));
    }
    cursor.space()?;
    cursor.list_or_empty(limits::LIST_PATTERNS_MAX, |cursor| {
        match cursor.word().as_str() {
            "SUBSCRIBED" => Ok(ListReturn::Subscribed),
            "CHILDREN" => Ok(ListReturn::Children),
            "SPECIAL-USE" => Ok(ListReturn::SpecialUse),
            "STATUS" => {
                cursor.space()?;
                status_items(cursor).map(ListReturn::Status)
            }
            "MYRIGHTS" => Ok(ListReturn::MyRights),
            "METADATA" => {
                cursor.space()?;
                metadata::entries(cursor).map(ListReturn::Metadata)
            }
            _ => Err(Error::Syntax("unknown return option")),
        }
    })
}

/// The arguments of LSUB, from the space after its name on.
pub(super) fn lsub(cursor: &mut Cursor) -> Result<Lsub> {
    cursor.space()?;
    let reference = cursor.astring()?;
    cursor.space()?;
    let pattern = cursor.list_mailbox()?;
    cursor.end()?;
    Ok(Lsub { reference, pattern })
}

/// The arguments of STATUS, from the space after its name on.
pub(super) fn status(cursor: &mut Cursor) -> Result<Status> {
    cursor.space()?;
    let mailbox = cursor.astring()?;
    cursor.space()?;
    let items = status_items(cursor)?;
    cursor.end()?;
    Ok(Status { mailbox, items })
}

fn status_items(cursor: &mut Cursor) -> Result<Vec<StatusItem>> {
    let mut items = cursor.list(limits::LIST_PATTERNS_MAX, |cursor| {
        let word = cursor.word();
        let known = StatusItem::ALL
            .into_iter()
            .find(|item| item.as_str() == word);
        known.ok_or(Error::Syntax("unknown status item"))
    })?;
    // Asked for twice is answered once.
    let mut seen = Vec::new();
    items.retain(|item| {
        let is_new = !seen.contains(item);
        seen.push(*item);
        is_new
    });
    Ok(items)
}

/// The attribute list of `USE (..)` in CREATE: `None` for one that we do not know.
pub(super) fn special_uses(cursor: &mut Cursor) -> Result<Vec<Option<SpecialUse>>> {
    cursor.list_or_empty(limits::LIST_PATTERNS_MAX, |cursor| {
        cursor.expect(b'\\', "a special-use attribute expected")?;
        let name = cursor.atom("a special-use attribute expected")?;
        let known = |special: &SpecialUse| {
            let (_, known) = special.as_str().split_at(1);
            name.eq_ignore_ascii_case(known.as_bytes())
        };
        Ok(SpecialUse::ALL.into_iter().find(known))
    })
}
