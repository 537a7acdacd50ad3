//! The Date field (RFC 5322 sections 3.3 and 4.3), for SEARCH SENTBEFORE, SENTON and SENTSINCE.

use super::lexer::{self, Lexer};
use super::limits::DATE_BYTES_MAX;
use crate::grammar::{Date, DateTime};

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// The instant that a Date field names, and the zone it was written in.
///
/// The parts are told by their form and not by their place, so that `Fri Nov 21 09:55:06 1997`
/// can be read as well. A time or a zone that is missing or cannot be read is midnight and UTC;
/// `None` if there is no such day.
pub fn sent_date(value: &[u8]) -> Option<DateTime> {
    let value = value.get(..DATE_BYTES_MAX).unwrap_or(value);
    let mut lexer = Lexer::new(value);
    let mut read = Read::default();
    while !lexer.is_at_end() {
        lexer.skip_space();
        let mut word = lexer.take_while(is_in_word).to_vec();
        if word.is_empty() {
            lexer.next();
        } else if word.first().is_some_and(u8::is_ascii_digit) {
            rest_of_time(&mut lexer, &mut word);
            word.split(|&byte| byte == b'-')
                .for_each(|word| read.word(word));
        } else {
            read.word(&word);
        }
    }
    read.date_time()
}

fn is_in_word(byte: u8) -> bool {
    !lexer::is_space(byte) && !matches!(byte, b',' | b'(')
}

/// White space around a colon is obsolete and allowed.
fn rest_of_time(lexer: &mut Lexer, word: &mut Vec<u8>) {
    loop {
        let mut ahead = *lexer;
        ahead.skip_space();
        let is_time = ahead.peek() == Some(b':') || word.ends_with(b":");
        let rest = ahead.take_while(is_in_word);
        if !is_time || rest.is_empty() {
            return;
        }
        word.extend_from_slice(rest);
        *lexer = ahead;
    }
}

#[derive(Default)]
struct Read {
    day: Option<u8>,
    month: Option<u8>,
    year: Option<u16>,
    seconds: Option<u32>,
    offset_minutes: Option<i16>,
}

impl Read {
    fn word(&mut self, word: &[u8]) {
        match word.first() {
            Some(b'+' | b'-') => self.offset_minutes = self.offset_minutes.or(numeric_zone(word)),
            Some(b'0'..=b'9') if word.contains(&b':') => self.seconds = self.seconds.or(time(word)),
            Some(b'0'..=b'9') => self.number(word),
            _ => self.name(word),
        }
    }

    /// The first number of one or two digits is the day, any other the year.
    fn number(&mut self, word: &[u8]) {
        let Some(number) = number(word) else { return };
        if self.day.is_none() && word.len() <= 2 {
            self.day = u8::try_from(number).ok();
        } else if self.year.is_none() {
            let year = match (word.len(), number) {
                (2, 0..=49) => number + 2000,
                (2 | 3, _) => number + 1900,
                _ => number,
            };
            self.year = u16::try_from(year).ok();
        }
    }

    fn name(&mut self, word: &[u8]) {
        let lower = word.to_ascii_lowercase();
        let month = MONTHS
            .iter()
            .zip(1..)
            .find(|(month, _)| lower.starts_with(month));
        match month {
            Some((_, month)) if self.month.is_none() => self.month = Some(month),
            _ if self.offset_minutes.is_none() => self.offset_minutes = named_zone(&lower),
            _ => {}
        }
    }

    fn date_time(&self) -> Option<DateTime> {
        let date = Date::new(self.year?, self.month?, self.day?)?;
        let offset = self.offset_minutes.unwrap_or(0);
        let local = date.days() * 86_400 + i64::from(self.seconds.unwrap_or(0));
        Some(DateTime::new(local - i64::from(offset) * 60, offset))
    }
}

/// Seconds since midnight of `h:m` or `h:m:s`. A leap second counts as the one before it, since
/// days have 86,400 here.
fn time(word: &[u8]) -> Option<u32> {
    let mut fields = word.split(|&byte| byte == b':').map(number);
    let hour = fields.next()??;
    let minute = fields.next()??;
    let second = fields.next().flatten().unwrap_or(0).min(59);
    (hour <= 23 && minute <= 59).then(|| hour * 3600 + minute * 60 + second)
}

/// Minutes east of UTC of `+hhmm`.
fn numeric_zone(word: &[u8]) -> Option<i16> {
    let (sign, digits) = word.split_first()?;
    if digits.len() != 4 {
        return None;
    }
    let zone = i16::try_from(number(digits)?).ok()?;
    let (hours, minutes) = (zone / 100, zone % 100);
    let offset = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
    Some(if *sign == b'-' { -offset } else { offset })
}

/// The obsolete zones. The military ones were given with the wrong sign and mean nothing (RFC 5322
/// section 4.3).
fn named_zone(lower: &[u8]) -> Option<i16> {
    let hours = match lower {
        b"ut" | b"utc" | b"gmt" => 0,
        b"edt" => -4,
        b"est" | b"cdt" => -5,
        b"cst" | b"mdt" => -6,
        b"mst" | b"pdt" => -7,
        b"pst" => -8,
        [b'a'..=b'z'] => 0,
        _ => return None,
    };
    Some(hours * 60)
}

/// The digits that a word begins with, at most 9 of them.
fn number(word: &[u8]) -> Option<u32> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    let digits: Vec<_> = digits.copied().collect();
    if digits.len() > 9 {
        return None;
    }
    std::str::from_utf8(&digits).ok()?.parse().ok()
}
