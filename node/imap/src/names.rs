//! Mailbox names: modified UTF-7, INBOX, what a valid name is, and LIST patterns.
//!
//! Inside the server a name is UTF-8 with `/` between its levels; on the wire it is modified UTF-7
//! (RFC 3501 section 5.1.3), or UTF-8 once a client has enabled it (RFC 6855). A name is only a
//! key: it never becomes a path, and nothing in it is special but the separator and INBOX.
//!
//! A valid name has 1 to [`limits::NAME_LEVELS_MAX`] levels, none empty, none with a space at
//! either end, and at most [`limits::NAME_BYTES_MAX`] bytes. It holds no control characters, no
//! line or paragraph separators and no wildcards. INBOX, in any case, is `INBOX`, also as the first
//! of several levels. Names are kept in Unicode's form C (RFC 9051 section 5.1), in whatever form a
//! client writes them; beyond that two names that look alike may be two.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use crate::error::{Error, Result};
use crate::limits;

/// What stands between the levels of a name.
pub const SEPARATOR: char = '/';

/// The user's first mailbox, in the one spelling that is used inside the server.
pub const INBOX: &str = "INBOX";

/// Reads a mailbox argument: decodes, checks and spells INBOX as [`INBOX`]. `utf8` says whether the
/// client has enabled UTF-8.
///
/// # Errors
/// `Name` for anything but a valid name: such a mailbox does not exist and cannot be made.
pub fn decode(raw: &[u8], utf8: bool) -> Result<String> {
    let name = composed(canonical(decode_text(raw, utf8)?));
    check(&name)?;
    Ok(name)
}

/// Like [`decode`], in the form that the client has written.
///
/// # Errors
/// As for [`decode`].
pub fn decode_as_sent(raw: &[u8], utf8: bool) -> Result<String> {
    let name = canonical(decode_text(raw, utf8)?);
    check(&name)?;
    Ok(name)
}

/// Like [`decode`], for the names that CREATE and RENAME make: one separator at the end is dropped
/// (RFC 3501 section 6.3.3).
///
/// # Errors
/// As for [`decode`].
pub fn decode_new(raw: &[u8], utf8: bool) -> Result<String> {
    decode(raw.strip_suffix(b"/").unwrap_or(raw), utf8)
}

/// Checks that a name in UTF-8 is valid.
///
/// # Errors
/// `Name` with the reason.
pub fn check(name: &str) -> Result<()> {
    if name.len() > limits::NAME_BYTES_MAX {
        return Err(Error::Name("the mailbox name is too long"));
    }
    if name.split(SEPARATOR).count() > limits::NAME_LEVELS_MAX {
        return Err(Error::Name("the mailbox name has too many levels"));
    }
    if name.split(SEPARATOR).any(str::is_empty) {
        return Err(Error::Name("a level of the mailbox name is empty"));
    }
    if name
        .split(SEPARATOR)
        .any(|level| level.starts_with(' ') || level.ends_with(' '))
    {
        return Err(Error::Name(
            "a level of the mailbox name begins or ends with a space",
        ));
    }
    if name
        .chars()
        .any(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}'))
    {
        return Err(Error::Name("the mailbox name holds a control character"));
    }
    if name.contains(['*', '%']) {
        return Err(Error::Name("the mailbox name holds a wildcard"));
    }
    Ok(())
}

/// Whether a name in UTF-8, in any case, is INBOX.
pub fn is_inbox(name: &str) -> bool {
    name.eq_ignore_ascii_case(INBOX)
}

/// The names above `name`, the nearest first: `a/b`, then `a` for `a/b/c`.
pub fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(name), |name| parent(name))
}

/// The name one level up, `None` at the top.
pub fn parent(name: &str) -> Option<&str> {
    name.rsplit_once(SEPARATOR).map(|(parent, _)| parent)
}

/// Spells INBOX as the first level in upper case.
fn canonical(name: String) -> String {
    match name.split_once(SEPARATOR) {
        None if is_inbox(&name) => INBOX.to_owned(),
        Some((first, rest)) if is_inbox(first) => format!("{INBOX}{SEPARATOR}{rest}"),
        _ => name,
    }
}

/// Unicode's normalisation form C, as Net-Unicode asks for (RFC 5198 section 2).
fn composed(name: String) -> String {
    if is_nfc_quick(name.chars()) == IsNormalized::Yes {
        return name;
    }
    name.nfc().collect()
}

fn decode_text(raw: &[u8], utf8: bool) -> Result<String> {
    if !utf8 {
        return decode_utf7(raw);
    }
    let text = std::str::from_utf8(raw);
    text.map(str::to_owned)
        .map_err(|_| Error::Name("the mailbox name is not UTF-8"))
}

/// Decodes modified UTF-7 into UTF-8. Only what [`encode`] writes is accepted, so that no two
/// spellings name one mailbox.
///
/// # Errors
/// `Name` for anything else.
pub fn decode_utf7(raw: &[u8]) -> Result<String> {
    const MALFORMED: Error = Error::Name("the mailbox name is not in modified UTF-7");
    let mut name = String::new();
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'&' => {
                let end = rest
                    .iter()
                    .position(|&byte| byte == b'-')
                    .ok_or(MALFORMED)?;
                let (shifted, after) = rest.split_at(end);
                rest = after.strip_prefix(b"-").unwrap_or(after);
                if shifted.is_empty() {
                    name.push('&');
                } else {
                    decode_shifted(shifted, &mut name).ok_or(MALFORMED)?;
                }
            }
            b' '..=b'~' => name.push(char::from(byte)),
            _ => return Err(MALFORMED),
        }
    }
    // Shifted ASCII, two shifts in a row and set padding bits are all ways to spell a name twice.
    if encode(&name).as_bytes() == raw {
        Ok(name)
    } else {
        Err(MALFORMED)
    }
}

/// Decodes base64 of UTF-16, both as modified UTF-7 has them.
fn decode_shifted(shifted: &[u8], name: &mut String) -> Option<()> {
    let mut units = Vec::new();
    let (mut bits, mut count) = (0u32, 0u32);
    for &byte in shifted {
        let value = BASE64.iter().position(|&char| char == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count & 0xFFFF).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    for char in char::decode_utf16(units) {
        name.push(char.ok()?);
    }
    Some(())
}

/// The base64 alphabet of modified UTF-7: `,` instead of `/`.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Encodes UTF-8 as modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = Vec::new();
    for char in name.chars() {
        if !matches!(char, ' '..='~') {
            shifted.extend_from_slice(char.encode_utf16(&mut [0; 2]));
            continue;
        }
        encode_shifted(&mut shifted, &mut encoded);
        encoded.push(char);
        if char == '&' {
            encoded.push('-');
        }
    }
    encode_shifted(&mut shifted, &mut encoded);
    encoded
}

/// Writes what is waiting to be shifted, if anything is.
fn encode_shifted(shifted: &mut Vec<u16>, encoded: &mut String) {
    if shifted.is_empty() {
        return;
    }
    encoded.push('&');
    let (mut bits, mut count) = (0u32, 0u32);
    for unit in shifted.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            encoded.push(base64_char(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        encoded.push(base64_char(bits << (6 - count)));
    }
    encoded.push('-');
}

fn base64_char(bits: u32) -> char {
    let [_, _, _, low] = (bits & 0x3F).to_be_bytes();
    BASE64
        .get(usize::from(low))
        .map_or('A', |&byte| char::from(byte))
}

/// A LIST pattern: `*` matches anything, `%` anything within one level (RFC 3501 section 6.3.8).
///
/// It is matched as a nondeterministic automaton that takes 64 states in one word, so a name costs
/// its length times the pattern's length / 64, whatever the two are made of; nothing backtracks.
///
/// State i means: the first i plain characters of the pattern were matched. `any` and `within` hold
/// the states at which `*` or `%` stands, so that characters may pass without leaving the state.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// For each character, the states that it leads out of.
    steps: BTreeMap<char, Vec<u64>>,
    any: Vec<u64>,
    within: Vec<u64>,
    /// The last state, the number of plain characters.
    accept: usize,
}

impl Pattern {
    /// Reads reference and pattern of a LIST or LSUB, as sent.
    ///
    /// # Errors
    /// `Name` if it is not in the client's encoding or too long; then it matches no mailbox.
    pub fn new(reference: &[u8], pattern: &[u8], utf8: bool) -> Result<Pattern> {
        if reference.len() + pattern.len() > limits::PATTERN_BYTES_MAX {
            return Err(Error::Name("the pattern is too long"));
        }
        let whole = composed(decode_text(&[reference, pattern].concat(), utf8)?);
        let accept = whole
            .chars()
            .filter(|char| !matches!(char, '*' | '%'))
            .count();
        let none = vec![0u64; accept / 64 + 1];
        let mut compiled = Pattern {
            steps: BTreeMap::new(),
            any: none.clone(),
            within: none.clone(),
            accept,
        };
        let mut state = 0;
        for char in whole.chars() {
            let states = match char {
                '*' => &mut compiled.any,
                '%' => &mut compiled.within,
                _ => compiled.steps.entry(char).or_insert_with(|| none.clone()),
            };
            set_bit(states, state);
            state += usize::from(!matches!(char, '*' | '%'));
        }
        Ok(compiled)
    }

    /// Whether a name in UTF-8 matches. INBOX matches without regard to case.
    pub fn matches(&self, name: &str) -> bool {
        let (first, _) = name.split_once(SEPARATOR).unwrap_or((name, ""));
        let folded = if is_inbox(first) { first.len() } else { 0 };
        let mut states = vec![0u64; self.any.len()];
        set_bit(&mut states, 0);
        for (at, char) in name.char_indices() {
            self.step(&mut states, char, at < folded);
            if states.iter().all(|&word| word == 0) {
                return false;
            }
        }
        has_bit(&states, self.accept)
    }

    /// How many words are looked at, at most, to tell whether a name matches; a few more for each
    /// character, which is looked up.
    pub fn steps_max(&self, name: &str) -> usize {
        name.len() * (self.any.len() + 8)
    }

    /// Moves all states over one character.
    fn step(&self, states: &mut [u64], char: char, fold: bool) {
        let of = |char: char| self.steps.get(&char).map_or(&[][..], Vec::as_slice);
        let same = of(char);
        let folded = if fold { of(swap_case(char)) } else { &[] };
        let word = |words: &[u64], at: usize| words.get(at).copied().unwrap_or(0);
        let mut carry = 0;
        for (at, states) in states.iter_mut().enumerate() {
            let leaving = *states & (word(same, at) | word(folded, at));
            let within = if char == SEPARATOR {
                0
            } else {
                word(&self.within, at)
            };
            let staying = *states & (word(&self.any, at) | within);
            *states = staying | leaving << 1 | carry;
            carry = leaving >> 63;
        }
    }
}

fn swap_case(char: char) -> char {
    if char.is_ascii_lowercase() {
        char.to_ascii_uppercase()
    } else {
        char.to_ascii_lowercase()
    }
}

fn set_bit(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}

fn has_bit(words: &[u64], bit: usize) -> bool {
    words
        .get(bit / 64)
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}
