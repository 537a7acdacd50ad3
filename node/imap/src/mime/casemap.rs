//! The collation `i;unicode-casemap` (RFC 5051), by which SEARCH, SORT and THREAD compare (RFC 5255
//! section 4.2).
//!
//! Each character becomes its titlecase and is then decomposed, so that neither case nor the way in
//! which an accent is written matters, and a letter is found without its accent. What comes out is
//! UTF-8 that is compared byte by byte.

use unicode_normalization::char::decompose_compatible;

/// The text as it is compared, at most `bytes_max` bytes of it.
pub fn collate(text: &str, bytes_max: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(text.len().min(bytes_max));
    for char in text.chars() {
        fold(char, |byte| key.push(byte));
        if key.len() >= bytes_max {
            break;
        }
    }
    key.truncate(bytes_max);
    key
}

/// The bytes that a character becomes.
pub(super) fn fold(char: char, mut push: impl FnMut(u8)) {
    if let Ok(byte) = u8::try_from(char)
        && byte.is_ascii()
    {
        return push(byte.to_ascii_uppercase());
    }
    let mut buffer = [0; 4];
    decompose_compatible(titlecase(char), |part| {
        part.encode_utf8(&mut buffer).bytes().for_each(&mut push);
    });
}

/// The simple titlecase mapping of UnicodeData.txt. It is the upper case, where that is a single
/// character, but for a few letters.
fn titlecase(char: char) -> char {
    match char {
        // Digraphs, of which only the first letter becomes large.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian has no titlecase.
        '\u{10d0}'..='\u{10ff}' => char,
        _ => {
            let mut upper = char.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(upper), None) => upper,
                _ => with_iota(char),
            }
        }
    }
}

/// Greek letters with an iota below keep it as one letter; others whose upper case is several
/// letters have no simple one.
fn with_iota(char: char) -> char {
    match char {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(u32::from(char) + 8).unwrap_or(char)
        }
        '\u{1fb3}' => '\u{1fbc}',
        '\u{1fc3}' => '\u{1fcc}',
        '\u{1ff3}' => '\u{1ffc}',
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn folded(text: &str) -> String {
        String::from_utf8(collate(text, usize::MAX)).unwrap()
    }

    /// Forms of one text, all equal.
    #[track_caller]
    fn equal(forms: &[&str]) {
        let folded: BTreeSet<String> = forms.iter().map(|form| folded(form)).collect();
        assert_eq!(folded.len(), 1, "{forms:?} {folded:?}");
    }

    #[test]
    fn case_and_form_do_not_matter() {
        equal(&["abc", "ABC", "aBc"]);
        equal(&["gr\u{fc}n", "GR\u{dc}N", "gru\u{308}n"]);
        equal(&["\u{3c3}", "\u{3a3}", "\u{3c2}"]);
        equal(&["\u{fb01}n", "\u{fb01}N"]);
        equal(&["\u{212b}", "\u{c5}", "\u{e5}", "a\u{30a}"]);
        equal(&["\u{1c4}", "\u{1c5}", "\u{1c6}"]);
        equal(&["\u{1f80}", "\u{1f88}"]);
        equal(&["\u{d55c}", "\u{1112}\u{1161}\u{11ab}"]);
        equal(&["\u{ff21}", "A"]);
        equal(&["\u{436}", "\u{416}"]);
    }

    #[test]
    fn simple_mappings_alone() {
        assert_eq!(folded("stra\u{df}e"), "STRA\u{df}E");
        assert_eq!(folded("\u{1c6}"), "Dz\u{30c}");
        assert_eq!(folded("\u{10d0}"), "\u{10d0}");
        assert_eq!(folded("\u{e9}"), "E\u{301}");
    }

    #[test]
    fn cut_where_it_must_be() {
        assert_eq!(collate("\u{e9}\u{e9}", 4), "E\u{301}E".as_bytes());
        assert_eq!(collate("abc", 2), b"AB");
    }
}
