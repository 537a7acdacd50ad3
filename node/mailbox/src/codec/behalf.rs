//! What is done in the account of another, and what is moved between accounts.

use proto::v1::mailbox_command::Kind;
use proto::v1::{self as wire};
use rows::Fault;

use super::append::{message_in, message_out};
use super::command::command_out;
use super::{
    hash_bytes, hash_of, malformed, move_bytes, move_of, pack_uids, required, unpack_uids,
};
use crate::command::{Command, EndedMove, Home, Import, NewMove};
use crate::types::{AccountId, MailboxId, UidValidity};

/// A command of these.
pub(super) fn kind_out(command: &Command) -> Kind {
    match command {
        Command::OnBehalf { actor, command } => Kind::OnBehalf(Box::new(wire::MailboxOnBehalf {
            actor: actor.0,
            command: Some(Box::new(command_out(command))),
        })),
        Command::Import(import) => Kind::Import(import_out(import)),
        Command::Remove {
            account,
            mailbox,
            uids,
        } => Kind::Remove(wire::MailboxRemove {
            account: account.0,
            mailbox: mailbox.0,
            uids: pack_uids(uids),
        }),
        Command::BeginMove(new) => Kind::BeginMove(wire::MailboxBeginMove {
            id: move_bytes(new.id),
            account: new.from.account.0,
            mailbox: new.from.mailbox.0,
            uid_validity: new.from.uid_validity.0,
            uids: pack_uids(&new.uids),
            to_account: new.to_account.0,
            to_mailbox: new.to_mailbox.0,
        }),
        Command::EndMove(ended) => Kind::EndMove(wire::MailboxEndMove {
            id: move_bytes(ended.id),
            account: ended.account.0,
            mailbox: ended.mailbox.0,
            uids: pack_uids(&ended.uids),
        }),
        _ => unreachable!("called for these alone"),
    }
}

fn import_out(import: &Import) -> wire::MailboxImport {
    wire::MailboxImport {
        account: import.account.0,
        mailbox: import.mailbox.0,
        messages: import.messages.iter().map(message_out).collect(),
        origins: import.origins.iter().map(hash_bytes).collect(),
    }
}

/// A command of these. What is done on behalf of somebody is nothing that is done so itself.
pub(super) fn command_in(kind: Kind) -> Result<Command, Fault> {
    Ok(match kind {
        Kind::OnBehalf(sent) => {
            let command = required(sent.command, "what is done")?;
            if matches!(command.kind, Some(Kind::OnBehalf(_))) {
                return Err(malformed("a command"));
            }
            Command::OnBehalf {
                actor: AccountId(sent.actor),
                command: Box::new(super::command::command_in(*command)?),
            }
        }
        Kind::Import(sent) => Command::Import(Import {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            messages: sent
                .messages
                .into_iter()
                .map(message_in)
                .collect::<Result<_, _>>()?,
            origins: sent
                .origins
                .iter()
                .map(|origin| hash_of(origin))
                .collect::<Result<_, _>>()?,
        }),
        Kind::Remove(sent) => Command::Remove {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            uids: unpack_uids(&sent.uids)?,
        },
        Kind::BeginMove(sent) => Command::BeginMove(NewMove {
            id: move_of(&sent.id)?,
            from: Home {
                account: AccountId(sent.account),
                mailbox: MailboxId(sent.mailbox),
                uid_validity: UidValidity(sent.uid_validity),
            },
            uids: unpack_uids(&sent.uids)?,
            to_account: AccountId(sent.to_account),
            to_mailbox: MailboxId(sent.to_mailbox),
        }),
        Kind::EndMove(sent) => Command::EndMove(EndedMove {
            id: move_of(&sent.id)?,
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            uids: unpack_uids(&sent.uids)?,
        }),
        _ => return Err(malformed("a command")),
    })
}
