//! One command line, read (RFC 5321 section 4.1, RFC 2033 section 4.1, RFC 3030, RFC 3207).
//!
//! What cannot be read comes back as the reply that says why. Whether a command may come now is
//! the session's business.

use crate::limits;
use crate::reply::{self, Reply};

/// A command with its arguments, addresses not yet read: that takes the transaction's SMTPUTF8.
#[derive(Debug)]
pub(crate) enum Command<'a> {
    Lhlo(&'a str),
    Mail(Mail<'a>),
    Rcpt {
        /// What stands between the angle brackets.
        path: &'a str,
    },
    Data,
    Bdat {
        /// Octets that follow the line.
        octets: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Help,
    StartTls,
    Quit,
}

/// MAIL with the parameters that are offered. BODY only says what the content may hold, and any
/// bytes are taken, so it is checked and forgotten.
#[derive(Debug, Default)]
pub(crate) struct Mail<'a> {
    /// What stands between the angle brackets; empty for the null sender.
    pub path: &'a str,
    /// SIZE in octets. Beyond u64 it is the largest u64, which no limit admits.
    pub size: Option<u64>,
    pub utf8: bool,
}

/// Reads a line without its line end.
pub(crate) fn parse(line: &[u8]) -> Result<Command<'_>, Reply> {
    let line = std::str::from_utf8(line).map_err(|_| reply::NOT_UTF8)?;
    if line.chars().any(char::is_control) {
        return Err(reply::CONTROL);
    }
    // RFC 5321 section 4.1.1: trailing white space should be tolerated.
    let line = line.trim_end_matches(' ');
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let argument = argument.trim_start_matches(' ');
    match verb.to_ascii_uppercase().as_str() {
        "LHLO" => lhlo(argument),
        "MAIL" => mail(argument),
        "RCPT" => rcpt(argument),
        "DATA" => bare(argument, Command::Data),
        "BDAT" => bdat(argument),
        "RSET" => bare(argument, Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "VRFY" if argument.is_empty() => Err(reply::NO_ARGUMENT),
        "VRFY" => Ok(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        "STARTTLS" => bare(argument, Command::StartTls),
        "QUIT" => bare(argument, Command::Quit),
        "HELO" | "EHLO" => Err(reply::SAY_LHLO),
        "AUTH" | "EXPN" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" | "BURL" => {
            Err(reply::NOT_HERE)
        }
        _ => Err(reply::UNKNOWN),
    }
}

/// Whether the line is meant as BDAT, however broken it is. Content follows such a line whatever
/// the answer.
pub(crate) fn is_bdat(line: &[u8]) -> bool {
    let Some((verb, rest)) = line.split_at_checked(4) else {
        return false;
    };
    verb.eq_ignore_ascii_case(b"BDAT") && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
}

fn bare<'a>(argument: &str, command: Command<'a>) -> Result<Command<'a>, Reply> {
    if argument.is_empty() {
        Ok(command)
    } else {
        Err(reply::ARGUMENT)
    }
}

fn lhlo(argument: &str) -> Result<Command<'_>, Reply> {
    let fits = (1..=limits::LHLO_BYTES_MAX).contains(&argument.len());
    if !fits || !argument.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(reply::BAD_LHLO);
    }
    Ok(Command::Lhlo(argument))
}

fn mail(argument: &str) -> Result<Command<'_>, Reply> {
    let (path, parameters) = path(argument, "FROM:").ok_or(reply::BAD_MAIL)?;
    let mut mail = Mail {
        path,
        ..Mail::default()
    };
    let mut body = false;
    for (name, value) in split_parameters(parameters) {
        let seen = if name.eq_ignore_ascii_case("SIZE") {
            mail.size.replace(size(value)?).is_some()
        } else if name.eq_ignore_ascii_case("BODY") {
            check_body(value)?;
            std::mem::replace(&mut body, true)
        } else if name.eq_ignore_ascii_case("SMTPUTF8") {
            if value.is_some() {
                return Err(reply::BAD_UTF8);
            }
            std::mem::replace(&mut mail.utf8, true)
        } else {
            return Err(reply::unknown_parameter(name));
        };
        if seen {
            return Err(reply::TWICE);
        }
    }
    Ok(Command::Mail(mail))
}

fn rcpt(argument: &str) -> Result<Command<'_>, Reply> {
    let (path, parameters) = path(argument, "TO:").ok_or(reply::BAD_RCPT)?;
    match split_parameters(parameters).next() {
        Some((name, _)) => Err(reply::unknown_parameter(name)),
        None => Ok(Command::Rcpt { path }),
    }
}

fn bdat(argument: &str) -> Result<Command<'_>, Reply> {
    let (size, last) = argument.split_once(' ').unwrap_or((argument, ""));
    let octets = number(size)
        .and_then(|digits| digits.parse().ok())
        .ok_or(reply::BAD_BDAT)?;
    let last = last.trim_start_matches(' ');
    if !last.is_empty() && !last.eq_ignore_ascii_case("LAST") {
        return Err(reply::BAD_BDAT);
    }
    Ok(Command::Bdat {
        octets,
        last: !last.is_empty(),
    })
}

/// Splits `FROM:<path> parameters`. The bracket that closes is the first outside quotes. Spaces
/// behind the colon are let through: many clients send one.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (given, rest) = argument.split_at_checked(keyword.len())?;
    if !given.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = rest.trim_start_matches(' ').strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let close = rest.bytes().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => escaped = quoted,
            _ => {}
        }
        byte == b'>' && !quoted
    })?;
    let (path, rest) = rest.split_at_checked(close)?;
    let parameters = rest.strip_prefix('>')?;
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((path, parameters))
}

fn split_parameters(parameters: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    parameters
        .split(' ')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| match parameter.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (parameter, None),
        })
}

fn size(value: Option<&str>) -> Result<u64, Reply> {
    let digits = value.and_then(number).filter(|digits| digits.len() <= 20);
    Ok(digits.ok_or(reply::BAD_SIZE)?.parse().unwrap_or(u64::MAX))
}

fn number(value: &str) -> Option<&str> {
    (!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())).then_some(value)
}

fn check_body(value: Option<&str>) -> Result<(), Reply> {
    let known = |value: &str| {
        ["7BIT", "8BITMIME"]
            .iter()
            .any(|b| b.eq_ignore_ascii_case(value))
    };
    if value.is_some_and(known) {
        Ok(())
    } else {
        Err(reply::BAD_BODY)
    }
}
