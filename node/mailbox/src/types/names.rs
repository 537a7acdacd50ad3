//! Mailbox names: UTF-8, levels separated by `/` (RFC 9051 section 5.1).

use std::borrow::Cow;

use crate::limits;

/// What separates the levels of a name.
pub const SEPARATOR: char = '/';

/// The name of the mailbox that every account has.
pub const INBOX: &str = "INBOX";

/// The name as it is kept: the first level is `INBOX` in any spelling of it.
pub fn canonical(name: &str) -> Cow<'_, str> {
    let first = name.split(SEPARATOR).next().unwrap_or(name);
    if first != INBOX && first.eq_ignore_ascii_case(INBOX) {
        let rest = name.get(first.len()..).unwrap_or_default();
        return Cow::Owned(format!("{INBOX}{rest}"));
    }
    Cow::Borrowed(name)
}

/// Whether a mailbox may have this name: bounded, no empty level, nothing that LIST takes for a
/// pattern, no control character.
pub fn is_valid(name: &str) -> bool {
    let refused = |c: char| c.is_control() || matches!(c, '*' | '%' | '\u{2028}' | '\u{2029}');
    name.len() <= limits::NAME_BYTES_MAX
        && name.split(SEPARATOR).count() <= limits::NAME_DEPTH_MAX
        && name.split(SEPARATOR).all(|level| !level.is_empty())
        && !name.chars().any(refused)
}

/// The names above `name`, the highest first: of `a/b/c`, `a` and `a/b`.
pub fn superiors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR)
        .filter_map(|(at, _)| name.get(..at))
}

/// Whether `name` is somewhere below `above`.
pub fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with(SEPARATOR))
}
