//! Commands and answers that concern what was deleted and is kept for the retention.

use proto::v1::mailbox_command::Kind;
use proto::v1::{self as wire};
use rows::Fault;

use super::{malformed, pack_uids, unpack_uids};
use crate::command::Command;
use crate::query::{Deleted, DeletedFolder, DeletedFolders, DeletedMessage};
use crate::types::{AccountId, MailboxId, Millis, Uid};

/// The message of a command of these kinds.
pub(super) fn kind_out(command: &Command) -> Kind {
    match command {
        Command::SetRetention { account, retention } => {
            Kind::SetRetention(wire::MailboxSetRetention {
                account: account.0,
                retention_ms: retention.map(|retention| retention.0),
            })
        }
        Command::SetDefaultRetention { retention } => {
            Kind::DefaultRetention(wire::MailboxDefaultRetention {
                retention_ms: retention.0,
            })
        }
        Command::Undelete {
            account,
            from,
            to,
            uids,
            since,
        } => Kind::Undelete(wire::MailboxUndelete {
            account: account.0,
            from: from.0,
            to: to.0,
            uids: pack_uids(uids),
            since_ms: since.map(|since| since.0),
        }),
        Command::RestoreMailbox {
            account,
            mailbox,
            name,
        } => Kind::Restore(wire::MailboxRestore {
            account: account.0,
            mailbox: mailbox.0,
            name: name.clone(),
        }),
        Command::Purge {
            account,
            mailbox,
            from,
        } => Kind::Purge(wire::MailboxPurge {
            account: account.0,
            mailbox: mailbox.0,
            from: from.0,
        }),
        _ => unreachable!("called for these kinds alone"),
    }
}

/// The command of a message of these kinds.
pub(super) fn command_in(kind: Kind) -> Result<Command, Fault> {
    Ok(match kind {
        Kind::SetRetention(sent) => Command::SetRetention {
            account: AccountId(sent.account),
            retention: sent.retention_ms.map(Millis),
        },
        Kind::DefaultRetention(sent) => Command::SetDefaultRetention {
            retention: Millis(sent.retention_ms),
        },
        Kind::Undelete(sent) => Command::Undelete {
            account: AccountId(sent.account),
            from: MailboxId(sent.from),
            to: MailboxId(sent.to),
            uids: unpack_uids(&sent.uids)?,
            since: sent.since_ms.map(Millis),
        },
        Kind::Restore(sent) => Command::RestoreMailbox {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            name: sent.name,
        },
        Kind::Purge(sent) => Command::Purge {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            from: Uid(sent.from),
        },
        _ => return Err(malformed("a command")),
    })
}

/// A page of expunged messages.
pub(super) fn deleted_out(page: &Deleted) -> wire::MailboxDeletedMessages {
    let message = |message: &DeletedMessage| wire::MailboxDeletedMessage {
        uid: message.uid.0,
        size: message.size,
        internal_ms: message.internal_date.0,
        expunged_ms: message.expunged.0,
        deadline_ms: message.deadline.0,
    };
    wire::MailboxDeletedMessages {
        messages: page.messages.iter().map(message).collect(),
        next: page.next.map(|uid| uid.0),
    }
}

/// A page of expunged messages.
pub(super) fn deleted_in(sent: &wire::MailboxDeletedMessages) -> Deleted {
    let message = |sent: &wire::MailboxDeletedMessage| DeletedMessage {
        uid: Uid(sent.uid),
        size: sent.size,
        internal_date: Millis(sent.internal_ms),
        expunged: Millis(sent.expunged_ms),
        deadline: Millis(sent.deadline_ms),
    };
    Deleted {
        messages: sent.messages.iter().map(message).collect(),
        next: sent.next.map(Uid),
    }
}

/// A page of deleted mailboxes.
pub(super) fn folders_out(page: &DeletedFolders) -> wire::MailboxDeletedFolders {
    let folder = |folder: &DeletedFolder| wire::MailboxDeletedFolder {
        id: folder.id.0,
        name: folder.name.clone(),
        messages: folder.messages,
        bytes: folder.bytes,
        deleted_ms: folder.deleted.0,
        deadline_ms: folder.deadline.0,
    };
    wire::MailboxDeletedFolders {
        folders: page.folders.iter().map(folder).collect(),
        next: page.next.map(|mailbox| mailbox.0),
    }
}

/// A page of deleted mailboxes.
pub(super) fn folders_in(sent: wire::MailboxDeletedFolders) -> DeletedFolders {
    let folder = |sent: wire::MailboxDeletedFolder| DeletedFolder {
        id: MailboxId(sent.id),
        name: sent.name,
        messages: sent.messages,
        bytes: sent.bytes,
        deleted: Millis(sent.deleted_ms),
        deadline: Millis(sent.deadline_ms),
    };
    DeletedFolders {
        folders: sent.folders.into_iter().map(folder).collect(),
        next: sent.next.map(MailboxId),
    }
}
