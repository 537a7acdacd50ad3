//! The parameters of SELECT and EXAMINE (RFC 7162 sections 3.1.8 and 3.2.5).

use super::IdRange;
use super::command::Select;
use super::lexer::Cursor;
use super::sequence::{self, SequenceSet};
use crate::error::{Error, Result};
use crate::limits;

/// What a client remembers of a mailbox that it selects (RFC 7162 section 3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QResync {
    /// The UIDVALIDITY that the rest is about.
    pub uid_validity: u32,
    /// The mod-sequence up to which it knows all changes. 0 is not in the RFC, and says that it
    /// knows none.
    pub modseq: u64,
    /// The UIDs that it asks about; `None` for all that were ever given. Without `*`.
    pub known: Option<SequenceSet>,
    /// Sequence numbers with the UIDs that they meant; possibly none.
    pub matches: Vec<SequenceMatch>,
}

/// Sequence numbers that follow each other, and as many UIDs that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceMatch {
    /// The sequence numbers.
    pub sequences: IdRange,
    /// The UID of the first one.
    pub uid: u32,
}

/// The parameters in parentheses, from the space before them on; possibly none.
pub(super) fn select_parameters(cursor: &mut Cursor, select: &mut Select) -> Result<()> {
    if cursor.peek() != Some(b' ') || cursor.peek_second() != Some(b'(') {
        return Ok(());
    }
    cursor.space()?;
    cursor.list(limits::SELECT_PARAMETERS_MAX, |cursor| {
        match cursor.word().as_str() {
            "CONDSTORE" => select.condstore = true,
            "QRESYNC" => {
                cursor.space()?;
                select.qresync = Some(qresync(cursor)?);
            }
            _ => return Err(Error::Syntax("unknown parameter of SELECT")),
        }
        Ok(())
    })?;
    Ok(())
}

fn qresync(cursor: &mut Cursor) -> Result<QResync> {
    cursor.expect(b'(', "UIDVALIDITY and a mod-sequence expected")?;
    let uid_validity = cursor.nz_number()?;
    cursor.space()?;
    let modseq = cursor.number64()?;
    let mut known = None;
    if cursor.peek() == Some(b' ') && cursor.peek_second() != Some(b'(') {
        cursor.space()?;
        known = Some(plain_set(cursor)?);
    }
    let mut matches = Vec::new();
    if cursor.eat(b' ') {
        matches = sequence_matches(cursor)?;
    }
    cursor.expect(b')', "the parameters of QRESYNC do not end")?;
    Ok(QResync {
        uid_validity,
        modseq,
        known,
        matches,
    })
}

/// A set of numbers: `*` is not allowed, the client is to know what it knows.
fn plain_set(cursor: &mut Cursor) -> Result<SequenceSet> {
    let set = sequence::set(cursor)?;
    if set.has_star() {
        return Err(Error::Syntax("a set of what is known holds no *"));
    }
    Ok(set)
}

/// `seq-match-data`: two sets in ascending order that count the same (RFC 7162 section 3.2.5.2).
/// The cost is that of their ranges, however many numbers they hold.
fn sequence_matches(cursor: &mut Cursor) -> Result<Vec<SequenceMatch>> {
    cursor.expect(b'(', "sequence numbers and their UIDs expected")?;
    let sequences = plain_set(cursor)?.normalise(0);
    cursor.space()?;
    let uids = plain_set(cursor)?.normalise(0);
    cursor.expect(b')', "sequence numbers and their UIDs do not end")?;
    let count = |ranges: &[IdRange]| ranges.iter().map(IdRange::count).sum::<u64>();
    if count(&sequences) != count(&uids) {
        return Err(Error::Syntax("as many sequence numbers as UIDs expected"));
    }
    Ok(zip(&sequences, &uids))
}

/// Pairs the numbers of two lists of ranges that count the same.
fn zip(sequences: &[IdRange], uids: &[IdRange]) -> Vec<SequenceMatch> {
    let mut matches = Vec::new();
    let mut uids = uids.iter().copied();
    let mut rest: Option<IdRange> = None;
    for range in sequences {
        let mut first = range.first;
        while let Some(uid) = rest.take().or_else(|| uids.next()) {
            // One less than how many fit, so that it is a number also for the largest ranges.
            let steps = (range.last - first).min(uid.last - uid.first);
            matches.push(SequenceMatch {
                sequences: IdRange {
                    first,
                    last: first + steps,
                },
                uid: uid.first,
            });
            if steps < uid.last - uid.first {
                rest = Some(IdRange {
                    first: uid.first + steps + 1,
                    last: uid.last,
                });
            }
            if first + steps == range.last {
                break;
            }
            first += steps + 1;
        }
    }
    matches
}
