//! Names of accounts.

use std::fmt;

use crate::limits;

/// The name of an account: `user@domain`, ASCII, in lower case.
///
/// The local part is a dot-atom (RFC 5322 section 3.2.3), the domain consists of labels of letters,
/// digits and hyphens. Two addresses that differ in case name the same account, which RFC 5321
/// section 2.4 leaves to the host that owns the domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Reads an address; a bare local part gets `default_domain`, unless that is empty.
    ///
    /// None if it is not a name.
    #[must_use]
    pub fn parse(address: &str, default_domain: &str) -> Option<Self> {
        let (local, domain) = match address.rsplit_once('@') {
            Some((local, domain)) => (local, domain),
            None => (address, default_domain),
        };
        if !is_local_part(local) || !is_domain(domain) {
            return None;
        }
        let mut name = String::with_capacity(local.len() + 1 + domain.len());
        name.push_str(local);
        name.push('@');
        name.push_str(domain);
        name.make_ascii_lowercase();
        Some(Self(name))
    }

    /// Both parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before and after the `@`.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').expect("a name has two parts")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_local_part(local: &str) -> bool {
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.len() <= limits::LOCAL_PART_BYTES_MAX
        && local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// Whether it is a domain of letters, digits and hyphens, without a final dot.
pub(crate) fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=limits::LABEL_BYTES_MAX).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= limits::DOMAIN_BYTES_MAX && domain.split('.').all(label)
}
