//! What concerns quota, annotations and rights.

use proto::v1::mailbox_command::Kind;
use proto::v1::{self as wire};
use rows::Fault;

use super::{malformed, mode_in, mode_out, use_number, use_of};
use crate::command::{Annotate, Command, NewGrant, NewMetadata};
use crate::query::{Annotation, Grant, Quota};
use crate::types::{AccountId, MailboxId, Rights};

/// A command of these.
pub(super) fn kind_out(command: &Command) -> Kind {
    match command {
        Command::SetQuota {
            account,
            bytes,
            messages,
        } => Kind::SetQuota(wire::MailboxSetQuota {
            account: account.0,
            bytes: *bytes,
            messages: *messages,
        }),
        Command::SetMetadata {
            account,
            mailbox,
            user,
            entries,
            special_use,
        } => Kind::SetMetadata(wire::MailboxSetMetadata {
            account: account.0,
            mailbox: mailbox.map_or(0, |mailbox| mailbox.0),
            user: user.0,
            entries: entries.iter().map(entry_out).collect(),
            special_use: special_use.map(use_number),
        }),
        Command::Annotate(annotate) => Kind::Annotate(wire::MailboxSetMetadata {
            account: annotate.account.0,
            mailbox: annotate.mailbox.0,
            user: annotate.user.0,
            entries: annotate.entries.iter().map(entry_out).collect(),
            special_use: annotate.special_use.map(use_number),
        }),
        Command::SetGrant {
            account,
            mailbox,
            grant,
        } => Kind::SetGrant(wire::MailboxSetGrant {
            account: account.0,
            mailbox: mailbox.0,
            user: grant.user.0,
            name: grant.name.clone(),
            denies: grant.denies,
            mode: mode_out(grant.mode),
            rights: grant.rights.bits().into(),
        }),
        _ => unreachable!("called for these alone"),
    }
}

/// A command of these.
pub(super) fn command_in(kind: Kind) -> Result<Command, Fault> {
    Ok(match kind {
        Kind::SetQuota(sent) => Command::SetQuota {
            account: AccountId(sent.account),
            bytes: sent.bytes,
            messages: sent.messages,
        },
        Kind::SetMetadata(sent) => Command::SetMetadata {
            account: AccountId(sent.account),
            mailbox: (sent.mailbox != 0).then_some(MailboxId(sent.mailbox)),
            user: AccountId(sent.user),
            entries: sent.entries.into_iter().map(entry_in).collect(),
            special_use: sent.special_use.map(use_of).transpose()?,
        },
        Kind::Annotate(sent) => Command::Annotate(Annotate {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            user: AccountId(sent.user),
            entries: sent.entries.into_iter().map(entry_in).collect(),
            special_use: sent.special_use.map(use_of).transpose()?,
        }),
        Kind::SetGrant(sent) => Command::SetGrant {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            grant: NewGrant {
                user: AccountId(sent.user),
                name: sent.name,
                denies: sent.denies,
                mode: mode_in(sent.mode)?,
                rights: rights_in(sent.rights)?,
            },
        },
        _ => return Err(malformed("a command")),
    })
}

fn entry_out(entry: &NewMetadata) -> wire::MailboxMetadataEntry {
    wire::MailboxMetadataEntry {
        name: entry.name.clone(),
        value: entry.value.clone(),
    }
}

fn entry_in(sent: wire::MailboxMetadataEntry) -> NewMetadata {
    NewMetadata {
        name: sent.name,
        value: sent.value,
    }
}

/// What an account uses and may.
pub(super) fn quota_out(quota: &Quota) -> wire::MailboxQuota {
    wire::MailboxQuota {
        bytes: quota.bytes,
        messages: quota.messages,
        mailboxes: quota.mailboxes,
        bytes_max: quota.bytes_max,
        messages_max: quota.messages_max,
    }
}

/// What an account uses and may.
pub(super) fn quota_in(sent: &wire::MailboxQuota) -> Quota {
    Quota {
        bytes: sent.bytes,
        messages: sent.messages,
        mailboxes: sent.mailboxes,
        bytes_max: sent.bytes_max,
        messages_max: sent.messages_max,
    }
}

/// Annotations.
pub(super) fn metadata_out(found: &[Annotation]) -> wire::MailboxMetadata {
    let annotation = |one: &Annotation| wire::MailboxAnnotation {
        mailbox: one.mailbox.0,
        name: one.name.clone(),
        value: one.value.clone(),
    };
    wire::MailboxMetadata {
        annotations: found.iter().map(annotation).collect(),
    }
}

/// Annotations.
pub(super) fn metadata_in(sent: wire::MailboxMetadata) -> Vec<Annotation> {
    let annotation = |sent: wire::MailboxAnnotation| Annotation {
        mailbox: MailboxId(sent.mailbox),
        name: sent.name,
        value: sent.value,
    };
    sent.annotations.into_iter().map(annotation).collect()
}

pub(super) fn rights_in(bits: u32) -> Result<Rights, Fault> {
    let rights = u16::try_from(bits).ok().and_then(Rights::from_bits);
    rights.ok_or_else(|| malformed("rights"))
}

/// Who has which rights.
pub(super) fn grants_out(grants: &[Grant]) -> wire::MailboxGrants {
    let grant = |grant: &Grant| wire::MailboxGrant {
        user: grant.user.0,
        name: grant.name.clone(),
        given: grant.given.bits().into(),
        denied: grant.denied.bits().into(),
    };
    wire::MailboxGrants {
        grants: grants.iter().map(grant).collect(),
    }
}

/// Who has which rights.
pub(super) fn grants_in(sent: wire::MailboxGrants) -> Result<Vec<Grant>, Fault> {
    let grant = |sent: wire::MailboxGrant| {
        Ok(Grant {
            user: AccountId(sent.user),
            name: sent.name,
            given: rights_in(sent.given)?,
            denied: rights_in(sent.denied)?,
        })
    };
    sent.grants.into_iter().map(grant).collect()
}
