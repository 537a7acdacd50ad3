//! What SEARCH and SORT are to return: `RETURN (..)` (RFC 4466 section 2.6.1, RFC 4731, RFC 5182,
//! RFC 5267 section 4, RFC 6203, RFC 9394).

use std::fmt;

use super::fetch::{self, FetchItem};
use super::lexer::Cursor;
use crate::error::{Error, Result};
use crate::limits;

/// The options of `RETURN`. Without any, ALL is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchReturn {
    /// `MIN`: the first message.
    pub min: bool,
    /// `MAX`: the last message.
    pub max: bool,
    /// `ALL`: every message. Also if nothing else was asked for.
    pub all: bool,
    /// `COUNT`: how many there are.
    pub count: bool,
    /// `RELEVANCY`: how well each message matches that is told (RFC 6203 section 4).
    pub relevancy: bool,
    /// `SAVE`: the result is to be known as `$`.
    pub save: bool,
    /// `PARTIAL`: a page of the messages. Never together with `all`.
    pub partial: Option<PartialRange>,
    /// `CONTEXT`: the client is likely to search for the same again. Nothing follows from it.
    pub context: bool,
    /// `UPDATE`: what comes to match, and what does so no more, is to be told.
    pub update: bool,
    /// What is to be told of a new message that comes to match (RFC 5465 section 7); only with
    /// `update`.
    pub update_items: Vec<FetchItem>,
}

impl SearchReturn {
    /// Whether nothing but SAVE was asked for, so that there is no answer.
    pub fn is_silent(&self) -> bool {
        let tells_some = self.min || self.max || self.all || self.partial.is_some();
        self.save && !(tells_some || self.count || self.relevancy)
    }
}

/// `partial-range` (RFC 9394 section 4): places in a list of results, both ends included, as the
/// client wrote them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PartialRange {
    /// One end, above zero.
    from: u32,
    /// The other end, above zero, perhaps before the first.
    to: u32,
    /// Whether places are counted from the last result backwards: `-1` is the last.
    is_from_end: bool,
}

impl PartialRange {
    /// How many places it has.
    pub fn places(&self) -> u64 {
        u64::from(self.from.abs_diff(self.to)) + 1
    }

    /// The places in a list of `len` results, as offsets: `start..end`. Empty if the list has no
    /// such place.
    pub fn of(&self, len: usize) -> std::ops::Range<usize> {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let (near, far) = (
            place(self.from.min(self.to)) - 1,
            place(self.from.max(self.to)),
        );
        let (near, far) = (near.min(len), far.min(len));
        if self.is_from_end {
            len - far..len - near
        } else {
            near..far
        }
    }
}

impl fmt::Display for PartialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.from, self.to)
    }
}

impl fmt::Debug for PartialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `RETURN (..)` and the space after it, if it is next. Only a search that is not sorted can be
/// followed by updates.
pub(super) fn optional(cursor: &mut Cursor, is_sort: bool) -> Result<Option<SearchReturn>> {
    if !cursor.eat_word("RETURN") {
        return Ok(None);
    }
    cursor.space()?;
    let mut options = SearchReturn::default();
    cursor.list_or_empty(limits::RETURN_OPTIONS_MAX, |cursor| {
        option(cursor, is_sort, &mut options)
    })?;
    cursor.space()?;
    if options == SearchReturn::default() {
        options.all = true;
    }
    Ok(Some(options))
}

fn option(cursor: &mut Cursor, is_sort: bool, options: &mut SearchReturn) -> Result<()> {
    // RFC 9394 section 3.1: one ALL or one PARTIAL, or none of them.
    let has_list = options.all || options.partial.is_some();
    match cursor.word().as_str() {
        "MIN" => options.min = true,
        "MAX" => options.max = true,
        "COUNT" => options.count = true,
        "RELEVANCY" => options.relevancy = true,
        "SAVE" => options.save = true,
        "CONTEXT" if !is_sort => options.context = true,
        "UPDATE" if !is_sort => {
            options.update = true;
            // The example has a space there, the grammar none.
            if cursor.peek() == Some(b' ') && cursor.peek_second() == Some(b'(') {
                cursor.space()?;
            }
            if cursor.peek() == Some(b'(') {
                options.update_items = fetch::items(cursor)?;
            }
        }
        "ALL" | "PARTIAL" if has_list => {
            return Err(Error::Syntax("only one ALL or PARTIAL may be returned"));
        }
        "ALL" => options.all = true,
        "PARTIAL" => {
            cursor.space()?;
            options.partial = Some(partial_range(cursor)?);
        }
        _ => return Err(Error::Syntax("unknown return option")),
    }
    Ok(())
}

/// `partial-range`: two numbers above zero, both with a minus or none.
pub(super) fn partial_range(cursor: &mut Cursor) -> Result<PartialRange> {
    let is_from_end = cursor.eat(b'-');
    let from = cursor.nz_number()?;
    cursor.expect(b':', "a partial range is like 1:100 or -1:-100")?;
    if is_from_end {
        cursor.expect(b'-', "both ends of a partial range have a minus or none")?;
    }
    let to = cursor.nz_number()?;
    Ok(PartialRange {
        from,
        to,
        is_from_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str, len: usize) -> std::ops::Range<usize> {
        let mut cursor = Cursor::new(bytes::Bytes::copy_from_slice(text.as_bytes()));
        partial_range(&mut cursor).unwrap().of(len)
    }

    #[test]
    fn places_in_a_list() {
        assert_eq!(places("1:3", 10), 0..3);
        assert_eq!(places("3:1", 10), 0..3);
        assert_eq!(places("9:12", 10), 8..10);
        assert!(places("11:12", 10).is_empty());
        assert_eq!(places("-1:-3", 10), 7..10);
        assert_eq!(places("-3:-2", 10), 7..9);
        assert_eq!(places("-9:-12", 10), 0..2);
        assert!(places("-11:-12", 10).is_empty());
        assert!(places("1:4294967295", 0).is_empty());
        assert_eq!(places("-4294967295:-1", 4), 0..4);
    }
}
