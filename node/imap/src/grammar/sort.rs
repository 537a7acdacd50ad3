//! SORT and THREAD (RFC 5256) with RETURN (RFC 5267 section 3), DISPLAYFROM, DISPLAYTO (RFC 5957)
//! and RELEVANCY (RFC 6203).

use super::lexer::Cursor;
use super::returns::{self, SearchReturn};
use super::search::{self, Charset, SearchKey};
use crate::error::{Error, Result};
use crate::limits;

/// A SORT or UID SORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Whether the answer names UIDs.
    pub uid: bool,
    /// What to return; `None` for the SORT response.
    pub returns: Option<SearchReturn>,
    /// What to sort by, the most important first. Never empty, none twice.
    pub criteria: Vec<SortCriterion>,
    /// The charset of the strings.
    pub charset: Charset,
    /// What a message must match.
    pub key: SearchKey,
}

impl Sort {
    /// Whether it matters how well a message matches.
    pub fn wants_relevancy(&self) -> bool {
        let is_relevancy = |criterion: &SortCriterion| criterion.key == SortKey::Relevancy;
        self.criteria.iter().any(is_relevancy)
            || self
                .returns
                .as_ref()
                .is_some_and(|returns| returns.relevancy)
    }
}

/// One criterion of SORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortCriterion {
    /// What is compared.
    pub key: SortKey,
    /// Whether the largest comes first.
    pub reverse: bool,
}

/// What SORT compares (RFC 5256 section 3, RFC 5957 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// The internal date.
    Arrival,
    /// The mailbox of the first address of Cc.
    Cc,
    /// The date on which it was sent.
    Date,
    /// The display name of the first address of From, or the address.
    DisplayFrom,
    /// The display name of the first address of To, or the address.
    DisplayTo,
    /// The mailbox of the first address of From.
    From,
    /// How well it matches; the best comes first (RFC 6203 section 6).
    Relevancy,
    /// The size.
    Size,
    /// The base subject.
    Subject,
    /// The mailbox of the first address of To.
    To,
}

/// A THREAD or UID THREAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Whether the answer names UIDs.
    pub uid: bool,
    /// How messages belong together.
    pub algorithm: ThreadAlgorithm,
    /// The charset of the strings.
    pub charset: Charset,
    /// What a message must match.
    pub key: SearchKey,
}

/// How THREAD finds out which messages belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// By subject alone (RFC 5256 section 3).
    OrderedSubject,
    /// By References and subject (RFC 5256 section 3).
    References,
    /// By References, the newest thread last (draft-ietf-morg-inthread section 4).
    Refs,
}

/// The arguments of SORT, from the space after its name on.
pub(super) fn sort(cursor: &mut Cursor, uid: bool) -> Result<Sort> {
    cursor.space()?;
    let returns = returns::optional(cursor, true)?;
    let mut criteria: Vec<SortCriterion> = Vec::new();
    for criterion in cursor.list(limits::SORT_CRITERIA_MAX, criterion)? {
        // What was compared before decides nothing any more.
        if criteria.iter().all(|known| known.key != criterion.key) {
            criteria.push(criterion);
        }
    }
    let (charset, key) = search::charset_and_keys(cursor)?;
    let sort = Sort {
        uid,
        returns,
        criteria,
        charset,
        key,
    };
    search::check_relevancy(sort.wants_relevancy(), &sort.key)?;
    Ok(sort)
}

fn criterion(cursor: &mut Cursor) -> Result<SortCriterion> {
    let reverse = cursor.eat_word("REVERSE");
    if reverse {
        cursor.space()?;
    }
    let key = match cursor.word().as_str() {
        "ARRIVAL" => SortKey::Arrival,
        "CC" => SortKey::Cc,
        "DATE" => SortKey::Date,
        "DISPLAYFROM" => SortKey::DisplayFrom,
        "DISPLAYTO" => SortKey::DisplayTo,
        "FROM" => SortKey::From,
        "RELEVANCY" => SortKey::Relevancy,
        "SIZE" => SortKey::Size,
        "SUBJECT" => SortKey::Subject,
        "TO" => SortKey::To,
        _ => return Err(Error::Syntax("unknown sort criterion")),
    };
    Ok(SortCriterion { key, reverse })
}

/// The arguments of THREAD, from the space after its name on.
pub(super) fn thread(cursor: &mut Cursor, uid: bool) -> Result<Thread> {
    cursor.space()?;
    let algorithm = match cursor.word().as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        "REFS" => ThreadAlgorithm::Refs,
        _ => return Err(Error::Syntax("unknown threading algorithm")),
    };
    let (charset, key) = search::charset_and_keys(cursor)?;
    Ok(Thread {
        uid,
        algorithm,
        charset,
        key,
    })
}
