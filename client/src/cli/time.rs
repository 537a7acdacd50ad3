//! Times as people write and read them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Unix milliseconds of what [`parse`] takes, at this moment.
pub fn parse_now(text: &str) -> Result<u64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_millis());
    parse(text, u64::try_from(now).unwrap_or(u64::MAX))
}

/// Unix milliseconds of `90m`, `12h` or `2d` before `now`, or of a date with or without a time.
fn parse(text: &str, now: u64) -> Result<u64, String> {
    let bad = || "it is 90m, 12h, 2d, or 2026-11-30[T12:00[:00]]".to_owned();
    if let Some(unit) = text.chars().last().filter(char::is_ascii_lowercase) {
        let unit = match unit {
            'm' => MINUTE_MS,
            'h' => HOUR_MS,
            'd' => DAY_MS,
            _ => return Err(bad()),
        };
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
        return Ok(now.saturating_sub(number.saturating_mul(unit)));
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let numbers = |text: &str, between: char| -> Option<Vec<u64>> {
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        };
        text.split(between).map(number).collect()
    };
    let date = numbers(date, '-').ok_or_else(bad)?;
    let time = time.map_or(Some(vec![0, 0]), |time| numbers(time, ':'));
    let (day, within) = match (&date[..], &time.ok_or_else(bad)?[..]) {
        (&[year, month, day], &[hour, minute]) => ((year, month, day), (hour, minute, 0)),
        (&[year, month, day], &[hour, minute, second]) => {
            ((year, month, day), (hour, minute, second))
        }
        _ => return Err(bad()),
    };
    let days = days_of(day).ok_or_else(bad)?;
    let (hour, minute, second) = within;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(bad());
    }
    Ok(days * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS)
}

/// Days from 1970-01-01 to a date of a year from then to 9999.
fn days_of((year, month, day): (u64, u64, u64)) -> Option<u64> {
    let possible = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    if !possible || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    Some(years + months + day - 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Unix milliseconds as a date and a time, to the minute.
pub fn show(ms: u64) -> String {
    let (mut days, within) = (ms / DAY_MS, ms % DAY_MS);
    let mut year = 1970;
    while year < 9999 && days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute) = (within / HOUR_MS, within % HOUR_MS / MINUTE_MS);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}", days + 1)
}

/// A length of time, to the hour.
pub fn span(ms: u64) -> String {
    match (ms / DAY_MS, ms % DAY_MS / HOUR_MS) {
        (days, 0) => format!("{days} days"),
        (days, hours) => format!("{days} days and {hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood() {
        let now = 1_700_000_000_000;
        assert_eq!(parse("2d", now), Ok(now - 2 * DAY_MS));
        assert_eq!(parse("90m", now), Ok(now - 90 * MINUTE_MS));
        assert_eq!(parse("1970-01-01", now), Ok(0));
        assert_eq!(parse("2023-11-14T22:13:20Z", now), Ok(now));
        assert_eq!(parse("2024-02-29T00:00", now), Ok(1_709_164_800_000));
        for text in [
            "",
            "d",
            "2w",
            "-1d",
            "2023-02-29",
            "2023-1",
            "2023-11-14T24:00",
            "1969-12-31",
            "x",
            "2023-11-14T",
            "\u{e4}d",
        ] {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown() {
        assert_eq!(show(0), "1970-01-01 00:00");
        assert_eq!(show(1_700_000_000_000), "2023-11-14 22:13");
        assert_eq!(show(1_709_164_800_000), "2024-02-29 00:00");
        assert_eq!(span(7 * DAY_MS), "7 days");
    }
}
