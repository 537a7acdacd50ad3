//! Commands that append messages.

use proto::v1 as wire;
use proto::v1::mailbox_command::Kind;
use rows::Fault;

use super::command::{body_in, body_out};
use super::{flags_in, flags_out, malformed, required};
use crate::command::{Command, NewMessage, Replaced};
use crate::types::{AccountId, MailboxId, Millis, Uid};

pub(super) fn kind_out(command: &Command) -> Kind {
    match command {
        Command::Append {
            account,
            mailbox,
            flags,
            date,
            body,
        } => Kind::Append(wire::MailboxAppend {
            account: account.0,
            mailbox: mailbox.0,
            flags: Some(flags_out(flags)),
            date_ms: date.0,
            body: Some(body_out(body)),
        }),
        Command::AppendMany {
            account,
            mailbox,
            messages,
            replaced,
        } => Kind::AppendMany(wire::MailboxAppendMany {
            account: account.0,
            mailbox: mailbox.0,
            messages: messages.iter().map(message_out).collect(),
            replaced: replaced.map(|replaced| wire::MailboxReplaced {
                mailbox: replaced.mailbox.0,
                uid: replaced.uid.0,
            }),
        }),
        _ => unreachable!("called for those that append"),
    }
}

pub(super) fn message_out(message: &NewMessage) -> wire::MailboxNewMessage {
    wire::MailboxNewMessage {
        flags: Some(flags_out(&message.flags)),
        date_ms: message.date.0,
        body: Some(body_out(&message.body)),
    }
}

pub(super) fn command_in(kind: Kind) -> Result<Command, Fault> {
    Ok(match kind {
        Kind::Append(sent) => Command::Append {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            flags: flags_in(required(sent.flags, "the flags of APPEND")?)?,
            date: Millis(sent.date_ms),
            body: body_in(sent.body)?,
        },
        Kind::AppendMany(sent) => Command::AppendMany {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            messages: sent
                .messages
                .into_iter()
                .map(message_in)
                .collect::<Result<_, _>>()?,
            replaced: sent.replaced.map(|replaced| Replaced {
                mailbox: MailboxId(replaced.mailbox),
                uid: Uid(replaced.uid),
            }),
        },
        _ => return Err(malformed("a command")),
    })
}

pub(super) fn message_in(sent: wire::MailboxNewMessage) -> Result<NewMessage, Fault> {
    Ok(NewMessage {
        flags: flags_in(required(sent.flags, "the flags of APPEND")?)?,
        date: Millis(sent.date_ms),
        body: body_in(sent.body)?,
    })
}
