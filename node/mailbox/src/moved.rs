//! Messages on their way from one account to another, which may be in another partition.
//!
//! ```text
//!   source                                  target
//!   BeginMove: a row says what goes where
//!                                           Import: appended under their origins, all at once
//!   EndMove: removed, and the row with them
//! ```
//!
//! At every moment each message is in one of the two mailboxes at least. The row tells whoever
//! comes after one who died on the way what is left to do ([`crate::unfinished`]).

use crate::command::NewMessage;
use crate::types::{AccountId, Hash16, MailboxId, Millis, MoveId, Uid, UidRanges, UidValidity};

/// Messages that are moved here from another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Whose.
    pub account: AccountId,
    /// Into which mailbox.
    pub mailbox: MailboxId,
    /// What, in order; 1 to [`crate::limits::APPEND_MESSAGES_MAX`].
    pub messages: Vec<NewMessage>,
    /// What each is recognised by, if it comes again while it is there: [`Home::origin`].
    pub origins: Vec<Hash16>,
}

/// Messages that are about to be moved into another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMove {
    /// Nobody has had it before.
    pub id: MoveId,
    /// Where they come from.
    pub from: Home,
    /// Which; 1 to [`crate::limits::APPEND_MESSAGES_MAX`].
    pub uids: UidRanges,
    /// Whose they will be.
    pub to_account: AccountId,
    /// Into which mailbox.
    pub to_mailbox: MailboxId,
}

/// Such a move is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedMove {
    /// Which. That it has ended before is no fault: what has arrived goes all the same.
    pub id: MoveId,
    /// Whose the messages were.
    pub account: AccountId,
    /// From which mailbox.
    pub mailbox: MailboxId,
    /// What has arrived, and goes here whatever its flags; none of it if the move was given up.
    /// What is not there is passed over.
    pub uids: UidRanges,
}

/// A move that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMove {
    /// What was to be moved, and where to.
    pub new: NewMove,
    /// Who moves them.
    pub actor: AccountId,
    /// When it began, in log time.
    pub begun: Millis,
}

/// The life of a mailbox that messages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
}

impl Home {
    /// What a message that comes from here is recognised by.
    #[must_use]
    pub fn origin(&self, uid: Uid) -> Hash16 {
        let mut told = Vec::with_capacity(24);
        told.extend_from_slice(&self.account.0.to_be_bytes());
        told.extend_from_slice(&self.mailbox.0.to_be_bytes());
        told.extend_from_slice(&self.uid_validity.0.to_be_bytes());
        told.extend_from_slice(&uid.0.to_be_bytes());
        Hash16::of(&told)
    }
}

/// The key of the row by which a message that was moved into a mailbox is recognised.
pub(crate) fn arrival(account: AccountId, mailbox: MailboxId, origin: &Hash16) -> [u8; 16] {
    let mut hashed = Vec::with_capacity(48);
    hashed.extend_from_slice(b"moved");
    hashed.extend_from_slice(&origin.0);
    hashed.extend_from_slice(&account.0.to_be_bytes());
    hashed.extend_from_slice(&mailbox.0.to_be_bytes());
    Hash16::of(&hashed).0
}
