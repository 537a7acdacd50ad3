//! What a certificate says about its holder, by the names in it.
//!
//! ```text
//!   node-7.rookery.internal     node 7; also rookery-admin.internal, by which operators know
//!                               any node
//!   admin.rookery.internal      an operator, named by the subject's common name
//!   lmtp.rookery.internal       an MTA, likewise
//! ```
//!
//! Names below `rookery.internal` are reserved: a certificate holds exactly one of them, or it says
//! nothing. Nothing is to be believed before the chain was verified; rustls does that.

use rustls::server::ServerConnection;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The name that every node's certificate holds, beside its own: by it an operator recognises a
/// node without knowing which one answers.
pub const ANY_NODE: &str = "rookery-admin.internal";

/// The name in an operator's certificate.
pub const ADMIN: &str = "admin.rookery.internal";

/// The name in an MTA's certificate.
pub const LMTP_CLIENT: &str = "lmtp.rookery.internal";

const RESERVED: &str = ".rookery.internal";

/// Longest common name, bytes (RFC 5280 appendix A.1: `ub-common-name`).
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The node of that number.
    Node(u64),
    /// An operator, by name.
    Admin(String),
    /// An MTA, by name.
    LmtpClient(String),
    /// Nobody that this cluster knows.
    Other,
}

/// The name that the certificate of a node holds.
#[must_use]
pub fn node_name(node: u64) -> String {
    format!("node-{node}{RESERVED}")
}

/// Whether only `rookeryd pki` may put this name into a certificate.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == ANY_NODE || name.ends_with(RESERVED) || name == RESERVED[1..]
}

/// Who holds a certificate (DER, RFC 5280). [`Identity::Other`] if it cannot be read.
#[must_use]
pub fn identity(certificate: &[u8]) -> Identity {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Identity::Other;
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Identity::Other;
    };
    let mut reserved = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) if name.ends_with(RESERVED) => Some(*name),
            _ => None,
        });
    let (Some(name), None) = (reserved.next(), reserved.next()) else {
        return Identity::Other;
    };
    match name {
        ADMIN => common_name(&certificate).map_or(Identity::Other, Identity::Admin),
        LMTP_CLIENT => common_name(&certificate).map_or(Identity::Other, Identity::LmtpClient),
        _ => node_number(name).map_or(Identity::Other, Identity::Node),
    }
}

/// Who is at the other end of a connection whose handshake is done; none without a certificate.
#[must_use]
pub fn caller_of(connection: &ServerConnection) -> Option<Identity> {
    let certificate = connection.peer_certificates()?.first()?;
    Some(identity(certificate))
}

/// The e-mail address that a certificate (DER) names, if it names exactly one (RFC 5280 section
/// 4.2.1.6).
#[must_use]
pub fn email_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut emails = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::RFC822Name(email) => Some(*email),
            _ => None,
        });
    let (Some(email), None) = (emails.next(), emails.next()) else {
        return None;
    };
    let is_plain = email.is_ascii() && email.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && email.contains('@')).then(|| email.to_owned())
}

fn node_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(RESERVED)?.strip_prefix("node-")?;
    let number = digits.parse::<u64>().ok()?;
    (number >= 1 && number.to_string() == digits).then_some(number)
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    let (name, None) = (names.next()?, names.next()) else {
        return None;
    };
    let name = name.as_str().ok()?;
    is_common_name(name).then(|| name.to_owned())
}

/// Whether a name may stand in logs and certificates as it is.
#[must_use]
pub fn is_common_name(name: &str) -> bool {
    (1..=COMMON_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte))
}
