//! Dates and times: `date` of SEARCH and `date-time` of APPEND and INTERNALDATE.
//!
//! The calendar is the proleptic Gregorian one, by the day-number arithmetic of Howard Hinnant's
//! "chrono-compatible low-level date algorithms". There is no clock and no time-zone database here:
//! an offset is whatever the client wrote.

use std::fmt;

use bytes::Bytes;

use super::lexer::Cursor;
use crate::error::{Error, Result};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const SECONDS_PER_DAY: i64 = 86_400;

/// The largest offset that can be written: 23 hours and 59 minutes.
const OFFSET_MINUTES_MAX: i16 = 23 * 60 + 59;

/// A day of the years 1 to 9999, always one that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// `None` if there is no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        let is_real = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day);
        is_real.then_some(Date { year, month, day })
    }

    /// Days since 1 January 1970, negative before it. Dates order as these numbers do.
    pub fn days(self) -> i64 {
        // Years start in March, so that the leap day is a year's last.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The inverse of [`Date::days`]; a day outside the years 1 to 9999 becomes the nearest one
    /// inside.
    pub fn from_days(days: i64) -> Date {
        let first = Date {
            year: 1,
            month: 1,
            day: 1,
        };
        let last = Date {
            year: 9999,
            month: 12,
            day: 31,
        };
        let shifted = days.clamp(first.days(), last.days()) + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let within = "clamped to the years 1 to 9999";
        Date {
            year: u16::try_from(year).expect(within),
            month: u8::try_from(month).expect(within),
            day: u8::try_from(day).expect(within),
        }
    }

    /// Reads `1-Feb-1994`, with or without quotes.
    ///
    /// # Errors
    /// `Syntax` if it is no date or no such day exists.
    pub fn parse(text: &[u8]) -> Result<Date> {
        let mut cursor = Cursor::new(Bytes::copy_from_slice(text));
        let date = date(&mut cursor)?;
        if cursor.at_end() {
            Ok(date)
        } else {
            Err(Error::Syntax("not a date"))
        }
    }

    fn month_name(self) -> &'static str {
        MONTHS
            .get(usize::from(self.month) - 1)
            .copied()
            .expect("a month is 1 to 12")
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:04}", self.day, self.month_name(), self.year)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An instant and the offset it was written in (`date-time`, RFC 3501 section 9).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    unix_seconds: i64,
    offset_minutes: i16,
}

impl DateTime {
    /// Seconds since 1 January 1970 UTC and minutes east of it. Beyond the years 1 to 9999, local,
    /// or an offset of a day, the nearest value that can be written is taken.
    pub fn new(unix_seconds: i64, offset_minutes: i16) -> DateTime {
        let offset_minutes = offset_minutes.clamp(-OFFSET_MINUTES_MAX, OFFSET_MINUTES_MAX);
        let shift = i64::from(offset_minutes) * 60;
        let first = Date {
            year: 1,
            month: 1,
            day: 1,
        }
        .days()
            * SECONDS_PER_DAY;
        let last = (Date {
            year: 9999,
            month: 12,
            day: 31,
        }
        .days()
            + 1)
            * SECONDS_PER_DAY
            - 1;
        DateTime {
            unix_seconds: unix_seconds.clamp(first - shift, last - shift),
            offset_minutes,
        }
    }

    /// Seconds since 1 January 1970 UTC.
    pub fn unix_seconds(self) -> i64 {
        self.unix_seconds
    }

    /// Minutes east of UTC, less than a day in either direction.
    pub fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// The day on the clock that it was written by: SEARCH BEFORE, ON and SINCE disregard time and
    /// zone (RFC 3501 section 6.4.4).
    pub fn date(self) -> Date {
        Date::from_days(self.local_seconds().div_euclid(SECONDS_PER_DAY))
    }

    /// Reads `"17-Jul-1996 02:44:25 -0700"`, quotes included.
    ///
    /// # Errors
    /// `Syntax` if it is no date-time or no such instant exists.
    pub fn parse(text: &[u8]) -> Result<DateTime> {
        let mut cursor = Cursor::new(Bytes::copy_from_slice(text));
        let date_time = date_time(&mut cursor)?;
        if cursor.at_end() {
            Ok(date_time)
        } else {
            Err(Error::Syntax("not a date-time"))
        }
    }

    fn local_seconds(self) -> i64 {
        self.unix_seconds + i64::from(self.offset_minutes) * 60
    }
}

impl fmt::Display for DateTime {
    /// Without quotes: `17-Jul-1996 02:44:25 -0700`, the day padded with a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        let second = self.local_seconds().rem_euclid(SECONDS_PER_DAY);
        write!(f, "{:2}-{}-{:04} ", date.day, date.month_name(), date.year)?;
        write!(
            f,
            "{:02}:{:02}:{:02} ",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.unsigned_abs();
        write!(f, "{sign}{:02}{:02}", offset / 60, offset % 60)
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `date`: one or two digits for the day, with or without quotes.
pub(super) fn date(cursor: &mut Cursor) -> Result<Date> {
    let is_quoted = cursor.eat(b'"');
    let two_digits = cursor
        .peek_second()
        .is_some_and(|byte| byte.is_ascii_digit());
    let day = cursor.fixed_digits(if two_digits { 2 } else { 1 })?;
    let date = month_and_year(cursor, day)?;
    if is_quoted {
        cursor.expect(b'"', "a date's quote does not end")?;
    }
    Ok(date)
}

/// `date-time`, in its quotes.
pub(super) fn date_time(cursor: &mut Cursor) -> Result<DateTime> {
    const MALFORMED: &str = "a date-time is not like \"17-Jul-1996 02:44:25 -0700\"";
    cursor.expect(b'"', MALFORMED)?;
    let is_padded = cursor.eat(b' ');
    let day = cursor.fixed_digits(if is_padded { 1 } else { 2 })?;
    let date = month_and_year(cursor, day)?;
    cursor.expect(b' ', MALFORMED)?;
    let hour = cursor.fixed_digits(2)?;
    cursor.expect(b':', MALFORMED)?;
    let minute = cursor.fixed_digits(2)?;
    cursor.expect(b':', MALFORMED)?;
    let second = cursor.fixed_digits(2)?;
    cursor.expect(b' ', MALFORMED)?;
    let is_west = cursor.eat(b'-');
    if !is_west {
        cursor.expect(b'+', MALFORMED)?;
    }
    let zone_hour = cursor.fixed_digits(2)?;
    let zone_minute = cursor.fixed_digits(2)?;
    cursor.expect(b'"', MALFORMED)?;
    if hour > 23 || minute > 59 || second > 59 || zone_hour > 23 || zone_minute > 59 {
        return Err(Error::Syntax("there is no such time"));
    }
    let offset = i16::try_from(zone_hour * 60 + zone_minute).expect("less than a day");
    let offset = if is_west { -offset } else { offset };
    let local = date.days() * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second);
    Ok(DateTime {
        unix_seconds: local - i64::from(offset) * 60,
        offset_minutes: offset,
    })
}

fn month_and_year(cursor: &mut Cursor, day: u32) -> Result<Date> {
    cursor.expect(b'-', "a date is not like 1-Feb-1994")?;
    let name = cursor.take_while(|byte| byte.is_ascii_alphabetic());
    let month = MONTHS
        .iter()
        .position(|month| name.eq_ignore_ascii_case(month.as_bytes()))
        .ok_or(Error::Syntax("a date names no month"))?;
    cursor.expect(b'-', "a date is not like 1-Feb-1994")?;
    let year = cursor.fixed_digits(4)?;
    let date = u16::try_from(year)
        .ok()
        .and_then(|year| Date::new(year, u8::try_from(month + 1).ok()?, u8::try_from(day).ok()?));
    date.ok_or(Error::Syntax("there is no such day"))
}
