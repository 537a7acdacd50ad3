//! Sequence sets: the messages that a command names, by sequence number or by UID.

use std::fmt;

use super::lexer::Cursor;
use crate::error::{Error, Result};
use crate::limits;

/// Message numbers `first..=last`, never empty: `1 <= first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRange {
    /// The lowest number.
    pub first: u32,
    /// The highest number, also in the range.
    pub last: u32,
}

impl IdRange {
    /// The range between two numbers in either order.
    pub fn between(one: u32, other: u32) -> IdRange {
        IdRange {
            first: one.min(other),
            last: one.max(other),
        }
    }

    /// The range of one number.
    pub fn single(id: u32) -> IdRange {
        IdRange {
            first: id,
            last: id,
        }
    }

    /// Whether `id` lies in the range.
    pub fn contains(&self, id: u32) -> bool {
        (self.first..=self.last).contains(&id)
    }

    /// How many numbers it holds.
    pub fn count(&self) -> u64 {
        u64::from(self.last) - u64::from(self.first) + 1
    }
}

/// Sorts ranges and merges those that overlap or touch.
pub fn merge(mut ranges: Vec<IdRange>) -> Vec<IdRange> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = next.first <= kept.last.saturating_add(1);
        if touches {
            kept.last = kept.last.max(next.last);
        }
        touches
    });
    ranges
}

/// One end of a range as written: a number, or `*` for the largest one in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Number(u32),
    Star,
}

impl End {
    fn resolve(self, max: u32) -> u32 {
        match self {
            End::Number(number) => number,
            End::Star => max,
        }
    }
}

/// `sequence-set` (RFC 3501 section 9) as the client wrote it: not sorted, `*` not resolved.
/// At most [`limits::SET_RANGES_MAX`] ranges, and none only for `$`, the saved result (RFC 5182):
/// then the ranges name nothing, and the view knows what it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct SequenceSet(Vec<(End, End)>);

impl SequenceSet {
    /// Reads `1:3,5,7:*`.
    ///
    /// # Errors
    /// `Syntax` for anything but a whole set, a zero and numbers beyond 32 bits; `TooBig` for too
    /// many ranges.
    pub fn parse(text: &[u8]) -> Result<SequenceSet> {
        let mut cursor = Cursor::new(bytes::Bytes::copy_from_slice(text));
        let set = set(&mut cursor)?;
        if cursor.at_end() {
            Ok(set)
        } else {
            Err(Error::Syntax("not a sequence set"))
        }
    }

    /// A set of the given ranges.
    ///
    /// # Errors
    /// `Syntax` if there are none or one holds a zero.
    pub fn of(ranges: &[IdRange]) -> Result<SequenceSet> {
        if ranges.is_empty()
            || ranges
                .iter()
                .any(|range| range.first == 0 || range.last == 0)
        {
            return Err(Error::Syntax("a sequence set names messages from 1 on"));
        }
        let ends = |range: &IdRange| (End::Number(range.first), End::Number(range.last));
        Ok(SequenceSet(ranges.iter().map(ends).collect()))
    }

    /// Whether it is `$`.
    pub fn is_saved(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges were written, a number alone being one.
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// The set as sorted, disjoint ranges that do not touch, with `*` as `max`, the largest number
    /// in use (0 if there is no message: then `*` alone names nothing, and `5:*` names 1 to 5).
    ///
    /// Numbers beyond `max` stay: with sequence numbers they are an error, with UIDs they are
    /// ignored (RFC 3501 section 6.4.8), and the caller knows which it is. `9:*` in a mailbox of
    /// three is 3 to 9, by the rule that the order of a range does not matter.
    pub fn normalise(&self, max: u32) -> Vec<IdRange> {
        let resolved = self
            .0
            .iter()
            .map(|(from, to)| (from.resolve(max), to.resolve(max)));
        let named = resolved.filter(|&(from, to)| from.max(to) > 0);
        merge(
            named
                .map(|(from, to)| IdRange::between(from.max(1), to.max(1)))
                .collect(),
        )
    }

    /// The largest number that is written out, 0 if only `*` is. A command by sequence number is
    /// BAD if it is beyond the number of messages.
    pub fn largest(&self) -> u32 {
        self.0
            .iter()
            .map(|(from, to)| from.resolve(0).max(to.resolve(0)))
            .max()
            .unwrap_or(0)
    }

    /// Whether `*` occurs: then the set names at least one message in a mailbox that has any.
    pub fn has_star(&self) -> bool {
        self.0
            .iter()
            .any(|&(from, to)| from == End::Star || to == End::Star)
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write_end = |f: &mut fmt::Formatter<'_>, end: End| match end {
            End::Number(number) => write!(f, "{number}"),
            End::Star => f.write_str("*"),
        };
        if self.is_saved() {
            f.write_str("$")?;
        }
        for (at, &(from, to)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write_end(f, from)?;
            if from != to {
                f.write_str(":")?;
                write_end(f, to)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// Whether a sequence set is next.
pub(super) fn is_next(cursor: &Cursor) -> bool {
    matches!(cursor.peek(), Some(b'0'..=b'9' | b'*' | b'$'))
}

/// `sequence-set`, with `seq-last-command` (RFC 5182 section 3).
pub(super) fn set(cursor: &mut Cursor) -> Result<SequenceSet> {
    let mut ranges = Vec::new();
    if cursor.eat(b'$') {
        return Ok(SequenceSet(ranges));
    }
    loop {
        if ranges.len() == limits::SET_RANGES_MAX {
            return Err(Error::TooBig("too many ranges in a sequence set"));
        }
        let from = end(cursor)?;
        let to = if cursor.eat(b':') { end(cursor)? } else { from };
        ranges.push((from, to));
        if !cursor.eat(b',') {
            return Ok(SequenceSet(ranges));
        }
    }
}

/// `seq-number`: one number, or `*`.
pub(super) fn single(cursor: &mut Cursor) -> Result<SequenceSet> {
    let number = end(cursor)?;
    Ok(SequenceSet(vec![(number, number)]))
}

fn end(cursor: &mut Cursor) -> Result<End> {
    match cursor.peek() {
        Some(b'*') => {
            cursor.eat(b'*');
            Ok(End::Star)
        }
        _ => cursor.nz_number().map(End::Number),
    }
}
