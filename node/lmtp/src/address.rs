//! Mailbox addresses (RFC 5321 section 4.1.2, RFC 6531 section 3.3), read strictly.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{Error, limits};

/// An address from a MAIL or RCPT command.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// The local part without quotes and escapes, up to the first `+`. Its case is as given; what
    /// case means is the receiver's decision.
    pub local: String,
    /// The domain in lower ASCII letters, or an address literal with its brackets. `None` for
    /// `postmaster` (RFC 5321 section 4.5.1), and for a recipient in the server's own domain.
    pub domain: Option<String>,
    /// What stands behind the first `+` of the local part (`user+folder@domain`, RFC 5233), if it
    /// is not empty.
    pub detail: Option<String>,
    /// The whole address as the client gave it, without angle brackets and source route. This is
    /// what replies, trace headers and deduplication use.
    pub raw: String,
}

/// Where an address stands. Recipients are held to the length of local parts, senders are not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// In MAIL FROM.
    Sender,
    /// In RCPT TO.
    Recipient,
}

impl Address {
    /// Reads what stands between the angle brackets, not empty. `utf8`: the transaction is
    /// SMTPUTF8. A source route before the address is checked for its colon only, and dropped
    /// (RFC 5321 appendix C).
    ///
    /// # Errors
    /// [`Error::AddressSyntax`], [`Error::AddressLength`] or [`Error::AddressUtf8`].
    pub fn parse(path: &str, side: Side, utf8: bool) -> Result<Self, Error> {
        let raw = strip_route(path)?;
        if raw.len() > limits::ADDRESS_BYTES_MAX {
            return Err(Error::AddressLength("more than 320 octets"));
        }
        if raw.chars().any(char::is_control) {
            return Err(Error::AddressSyntax("control character"));
        }
        if !utf8 && !raw.is_ascii() {
            return Err(Error::AddressUtf8);
        }
        let (given, rest) = split_local(raw)?;
        if side == Side::Recipient && given.len() > limits::LOCAL_BYTES_MAX {
            return Err(Error::AddressLength("local part of more than 64 octets"));
        }
        let name = match given.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => dot_string(given)?,
        };
        if name.is_empty() {
            return Err(Error::AddressSyntax("empty local part"));
        }
        let domain = rest.map(parse_domain).transpose()?;
        let bare = domain.is_none() && !name.eq_ignore_ascii_case("postmaster");
        if bare && side == Side::Sender {
            return Err(Error::AddressSyntax("no domain"));
        }
        let (local, detail) = split_detail(name);
        Ok(Self {
            local,
            domain,
            detail,
            raw: raw.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    /// The address as given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// `@relay.example,@other.example:user@domain` becomes `user@domain`.
fn strip_route(path: &str) -> Result<&str, Error> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let mut literal = false;
    let colon = path.bytes().position(|byte| {
        match byte {
            b'[' => literal = true,
            b']' => literal = false,
            _ => {}
        }
        byte == b':' && !literal
    });
    colon
        .and_then(|at| path.split_at_checked(at))
        .and_then(|(_, tail)| tail.strip_prefix(':'))
        .ok_or(Error::AddressSyntax("source route without an address"))
}

/// Splits at the `@`: the local part with its quotes, and the domain if there is one.
fn split_local(raw: &str) -> Result<(&str, Option<&str>), Error> {
    let end = match raw.strip_prefix('"') {
        Some(quoted) => {
            let mut escaped = false;
            let close = quoted.bytes().position(|byte| {
                let closes = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                closes
            });
            // Behind both quotes.
            close.ok_or(Error::AddressSyntax("quote is not closed"))? + 2
        }
        None => raw.find('@').unwrap_or(raw.len()),
    };
    let (local, rest) = raw.split_at_checked(end).unwrap_or((raw, ""));
    match rest.strip_prefix('@') {
        Some(domain) => Ok((local, Some(domain))),
        None if rest.is_empty() => Ok((local, None)),
        None => Err(Error::AddressSyntax("something between local part and @")),
    }
}

/// The text of a quoted local part; `quoted` is what follows the opening quote, up to and with the
/// closing one.
fn unquote(quoted: &str) -> Result<String, Error> {
    let inner = quoted.strip_suffix('"').unwrap_or(quoted);
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(escaped) if escaped.is_ascii() => text.push(escaped),
                _ => return Err(Error::AddressSyntax("bad escape in a quoted local part")),
            },
            '"' => return Err(Error::AddressSyntax("quote inside a quoted local part")),
            _ => text.push(char),
        }
    }
    Ok(text)
}

fn dot_string(given: &str) -> Result<String, Error> {
    // An empty local part gets a message of its own.
    if !given.is_empty() && given.split('.').any(str::is_empty) {
        return Err(Error::AddressSyntax(
            "dot at an end of the local part, or two in a row",
        ));
    }
    let is_atom = |char: char| {
        !char.is_ascii() || char.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(char)
    };
    if !given.chars().all(is_atom) {
        return Err(Error::AddressSyntax("this local part must be quoted"));
    }
    Ok(given.to_owned())
}

fn parse_domain(domain: &str) -> Result<String, Error> {
    if domain.len() > limits::DOMAIN_BYTES_MAX {
        return Err(Error::AddressLength("domain of more than 255 octets"));
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let inner = literal.strip_suffix(']');
        if !inner.is_some_and(is_address_literal) {
            return Err(Error::AddressSyntax("bad address literal"));
        }
    } else {
        domain.split('.').try_for_each(check_label)?;
    }
    Ok(domain.to_ascii_lowercase())
}

fn is_address_literal(inner: &str) -> bool {
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().is_ok()
        }
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Letters, digits, hyphens inside, and non-ASCII letters of an SMTPUTF8 transaction. An
/// underscore is let through: hosts have them, and nothing is looked up here.
fn check_label(label: &str) -> Result<(), Error> {
    if label.len() > limits::LABEL_BYTES_MAX {
        return Err(Error::AddressLength("domain label of more than 63 octets"));
    }
    let is_let_dig =
        |char: char| !char.is_ascii() || char.is_ascii_alphanumeric() || "-_".contains(char);
    let hyphen_at_end = label.starts_with('-') || label.ends_with('-');
    if label.is_empty() || hyphen_at_end || !label.chars().all(is_let_dig) {
        return Err(Error::AddressSyntax("bad domain"));
    }
    Ok(())
}

/// `user+folder` is `user` with the detail `folder`; `+folder` is a user of that odd name.
fn split_detail(name: String) -> (String, Option<String>) {
    match name.split_once('+') {
        Some((local, detail)) if !local.is_empty() => (
            local.to_owned(),
            (!detail.is_empty()).then(|| detail.to_owned()),
        ),
        _ => (name, None),
    }
}
