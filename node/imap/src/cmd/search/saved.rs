//! The tests of OBJECTID, SAVEDATE and SAVELIMIT (RFC 8474 section 6, RFC 8514 section 4.3, RFC
//! 9738 section 3).

use mailbox::Message;

use super::test::{When, day};
use crate::grammar::SavedKey;

/// Whether a message is as a key says. No message has a thread (RFC 8474 section 5.2), and every
/// one has a save date.
pub(super) fn matches(key: &SavedKey, message: &Message) -> bool {
    let saved = || day(message.save_date);
    match key {
        SavedKey::EmailId(id) => message.email_id().to_string() == *id,
        SavedKey::ThreadId(_) => false,
        SavedKey::Before(date) => When::Before.holds(saved(), *date),
        SavedKey::On(date) => When::On.holds(saved(), *date),
        SavedKey::Since(date) => When::Since.holds(saved(), *date),
        SavedKey::Supported => true,
        SavedKey::UidAfter(uid) => message.uid.0 > *uid,
        SavedKey::UidBefore(uid) => message.uid.0 < *uid,
    }
}
