//! Annotations of mailboxes and accounts: their names, and what they weigh (RFC 5464 section 3).
//!
//! ```text
//!   /shared/comment                 for everybody who may read the mailbox
//!   /private/vendor/v/color         of each user his own
//! ```

use bytes::Bytes;

use crate::limits;
use crate::types::{AccountId, MailboxId, SpecialUse};

/// What the name of an entry of one user begins with.
pub const PRIVATE: &str = "/private/";

/// What the name of an entry for all users begins with.
pub const SHARED: &str = "/shared/";

/// The entry that a mailbox's special use is shown as (RFC 6154 section 4). It is no row: what a
/// mailbox is for stands in its own.
pub const SPECIAL_USE: &str = "/private/specialuse";

/// SETMETADATA of a mailbox: all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotate {
    /// Whose.
    pub account: AccountId,
    /// Of which mailbox.
    pub mailbox: MailboxId,
    /// Whose private entries are meant.
    pub user: AccountId,
    /// What to set, in this order.
    pub entries: Vec<NewMetadata>,
    /// What the mailbox shall be for (RFC 6154 section 4); `None` leaves that as it is.
    pub special_use: Option<Option<SpecialUse>>,
}

/// An annotation that is set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMetadata {
    /// Its name as [`is_valid`] wants it.
    pub name: String,
    /// Its value, which may be empty; `None` removes it.
    pub value: Option<Bytes>,
}

/// Whether an annotation may have this name (RFC 5464 section 3.2). Names do not regard case, so
/// there is one spelling: lower case.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    let parts = name.strip_prefix(PRIVATE).or(name.strip_prefix(SHARED));
    let is_plain = |byte: u8| {
        matches!(byte, b' '..=b'~') && !byte.is_ascii_uppercase() && byte != b'*' && byte != b'%'
    };
    name.len() <= limits::METADATA_NAME_BYTES_MAX
        && parts.is_some_and(|parts| parts.split('/').all(|part| !part.is_empty()))
        && name.bytes().all(is_plain)
}

/// Whose the entry is that a user calls so: shared ones are nobody's.
pub(crate) fn owner(name: &str, user: AccountId) -> AccountId {
    if name.starts_with(PRIVATE) {
        user
    } else {
        AccountId(0)
    }
}

/// What an annotation costs.
pub(crate) fn weight(name: &str, value: &[u8]) -> u64 {
    (name.len() + value.len()) as u64 + limits::METADATA_ROW_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_annotations() {
        for name in [
            "/shared/comment",
            "/private/vendor/v/x y",
            SPECIAL_USE,
            "/private/private",
        ] {
            assert!(is_valid(name), "{name}");
        }
        let long = format!("/shared/{}", "x".repeat(limits::METADATA_NAME_BYTES_MAX));
        for name in [
            "",
            "/",
            "/shared",
            "/shared/",
            "/private//x",
            "/private/x/",
            "/other/x",
            "private/x",
            "/shared/X",
            "/shared/*",
            "/shared/a%b",
            "/shared/\u{e4}",
            "/shared/\u{7f}",
            &long,
        ] {
            assert!(!is_valid(name), "{name}");
        }
    }
}
