//! Messages on their way from one account to another, which may be in another partition.

use crate::command::NewMessage;
use crate::types::{AccountId, Hash16, MailboxId};

/// Messages that are moved here from another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Whose.
    pub account: AccountId,
    /// Into which mailbox.
    pub mailbox: MailboxId,
    /// What, in order; 1 to [`crate::limits::APPEND_MESSAGES_MAX`].
    pub messages: Vec<NewMessage>,
    /// What each is recognised by, if it comes again while it is there.
    pub origins: Vec<Hash16>,
}
