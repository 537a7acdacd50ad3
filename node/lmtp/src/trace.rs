//! The header fields that are put before a delivered message: Return-Path and Received (RFC 5321
//! section 4.4), and Delivered-To, which tells the reader by which address the mail came.
//!
//! They are at most [`limits::PREFIX_BYTES_MAX`] bytes whatever the names in them are. What is too
//! long loses the `for` clause first, then the ends of the host names. Nothing in them can begin
//! another line: every control character becomes `?`.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::{Address, limits};

/// What the trace headers of one delivery say.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// MAIL FROM; `None` for the null sender.
    pub sender: Option<&'a Address>,
    /// The recipient this copy is for.
    pub recipient: &'a Address,
    /// The name that the client gave in LHLO.
    pub lhlo: &'a str,
    /// The client's address; `None` on a local socket.
    pub peer: Option<IpAddr>,
    /// The server's own name.
    pub host: &'a str,
    /// The connection was encrypted (RFC 3848).
    pub tls: bool,
    /// The transaction was SMTPUTF8 (RFC 6531 section 4.3).
    pub utf8: bool,
    /// The delivery's id.
    pub id: &'a str,
    /// When the message came, in seconds since 1970 UTC; at most the end of the year 9999.
    pub unix_seconds: u64,
}

/// The last second of the year 9999.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

/// Host names are cut to this many bytes when the prefix would be too long.
const SHORT_NAME_BYTES: usize = 48;

/// Builds the header fields, each ended by CRLF; the message follows directly.
#[must_use]
pub fn prefix(trace: &Trace<'_>) -> String {
    let sender = trace
        .sender
        .map(|sender| clean(&sender.raw, limits::ADDRESS_BYTES_MAX));
    let recipient = clean(&trace.recipient.raw, limits::ADDRESS_BYTES_MAX);
    let mut head = format!("Return-Path: <{}>\r\n", sender.unwrap_or_default());
    let _ = write!(head, "Delivered-To: {recipient}\r\n");
    let received = received(trace, Some(&recipient), limits::DOMAIN_BYTES_MAX);
    if head.len() + received.len() <= limits::PREFIX_BYTES_MAX {
        return head + &received;
    }
    let received = self::received(trace, None, limits::DOMAIN_BYTES_MAX);
    if head.len() + received.len() <= limits::PREFIX_BYTES_MAX {
        return head + &received;
    }
    head + &self::received(trace, None, SHORT_NAME_BYTES)
}

/// The Received field, folded before its clauses.
fn received(trace: &Trace<'_>, recipient: Option<&str>, name_bytes_max: usize) -> String {
    let mut text = format!("Received: from {}", atom(trace.lhlo, name_bytes_max));
    match trace.peer {
        Some(IpAddr::V4(peer)) => drop(write!(text, " ([{peer}])")),
        Some(IpAddr::V6(peer)) => drop(write!(text, " ([IPv6:{peer}])")),
        None => {}
    }
    let host = atom(trace.host, name_bytes_max);
    let protocol = match (trace.utf8, trace.tls) {
        (false, false) => "LMTP",
        (false, true) => "LMTPS",
        (true, false) => "UTF8LMTP",
        (true, true) => "UTF8LMTPS",
    };
    let id = atom(trace.id, limits::ID_BYTES_MAX);
    let _ = write!(text, "\r\n\tby {host} with {protocol} id {id}");
    if let Some(recipient) = recipient {
        let _ = write!(text, "\r\n\tfor <{recipient}>");
    }
    let _ = write!(text, ";\r\n\t{}\r\n", date(trace.unix_seconds));
    text
}

/// The date and time of RFC 5322 section 3.3, in UTC.
#[must_use]
pub fn date(unix_seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = unix_seconds.min(UNIX_SECONDS_MAX);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March 0000, so that the leap day is a year's last; 400 years are
    // 146,097 days, and from March on every five months have 153.
    let days_from_march = days + 719_468;
    let (era, day_of_era) = (days_from_march / 146_097, days_from_march % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let name = |names: &[&'static str], index: u64| {
        names
            .iter()
            .zip(0..)
            .find(|(_, at)| *at == index)
            .map_or("", |(name, _)| *name)
    };
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} +0000",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

/// A text that stays on its line, cut to whole characters.
fn clean(text: &str, bytes_max: usize) -> String {
    let text = text
        .get(..text.floor_char_boundary(bytes_max))
        .unwrap_or_default();
    text.chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect()
}

/// A name or id that cannot be taken for another part of the field; never empty.
fn atom(text: &str, bytes_max: usize) -> String {
    let safe = |char: char| {
        if char.is_ascii_alphanumeric() || "._:-[]/+=@".contains(char) {
            char
        } else {
            '?'
        }
    };
    let atom: String = text.chars().take(bytes_max).map(safe).collect();
    if atom.is_empty() {
        "?".to_owned()
    } else {
        atom
    }
}
