//! Envelopes and commands.

use bytes::Bytes;
use proto::v1::mailbox_command::Kind;
use proto::v1::{self as wire};
use rows::Fault;

use super::{
    append, behalf, bytes_of, exact, flags_in, flags_out, granted, hash_of, mode_in, mode_out,
    pack_uids, required, retained, unpack_uids, upload_bytes, upload_of, use_number, use_of,
};
use crate::command::{Command, Confirmed, Deliver, Envelope, NewFolder, Recipient};
use crate::types::{
    AccountId, BodySource, Lane, MailboxId, Millis, ModSeq, NewBody, Stamp, UidRanges, UploadId,
};

/// The bytes of a log entry.
pub fn encode_envelope(envelope: &Envelope) -> Bytes {
    let stamp = &envelope.stamp;
    bytes_of(&wire::MailboxEnvelope {
        stamp: Some(wire::MailboxStamp {
            node: stamp.lane.node,
            boot: stamp.lane.boot,
            lane: stamp.lane.lane,
            sequence: stamp.sequence,
            issued_ms: stamp.issued.0,
        }),
        time_ms: envelope.time.0,
        command: Some(command_out(&envelope.command)),
    })
}

/// The envelope with these bytes. [`Fault::Command`] if it would encode to others.
pub fn decode_envelope(bytes: &Bytes) -> Result<Envelope, Fault> {
    let sent: wire::MailboxEnvelope = exact(bytes, "an envelope")?;
    let stamp = required(sent.stamp, "an envelope's stamp")?;
    Ok(Envelope {
        stamp: Stamp {
            lane: Lane {
                node: stamp.node,
                boot: stamp.boot,
                lane: stamp.lane,
            },
            sequence: stamp.sequence,
            issued: Millis(stamp.issued_ms),
        },
        time: Millis(sent.time_ms),
        command: command_in(required(sent.command, "an envelope's command")?)?,
    })
}

/// The bytes of a command that has no envelope yet.
pub fn encode_command(command: &Command) -> Bytes {
    bytes_of(&command_out(command))
}

/// The command with these bytes. [`Fault::Command`] if it would encode to others.
pub fn decode_command(bytes: &Bytes) -> Result<Command, Fault> {
    command_in(exact(bytes, "a command")?)
}

pub(super) fn command_out(command: &Command) -> wire::MailboxCommand {
    wire::MailboxCommand {
        kind: Some(kind_out(command)),
    }
}

fn kind_out(command: &Command) -> Kind {
    match command {
        Command::CreateAccount {
            account,
            folders,
            quota_bytes,
        } => create_account_out(*account, folders, *quota_bytes),
        Command::DeleteAccount { account } => {
            Kind::DeleteAccount(wire::MailboxDeleteAccount { account: account.0 })
        }
        Command::CreateMailbox {
            account,
            name,
            special_use,
        } => Kind::Create(wire::MailboxCreate {
            account: account.0,
            name: name.clone(),
            special_use: use_number(*special_use),
        }),
        Command::DeleteMailbox { account, name } => Kind::Delete(wire::MailboxDelete {
            account: account.0,
            name: name.clone(),
        }),
        Command::RenameMailbox { account, from, to } => Kind::Rename(wire::MailboxRename {
            account: account.0,
            from: from.clone(),
            to: to.clone(),
        }),
        Command::Subscribe { account, name, on } => Kind::Subscribe(wire::MailboxSubscribe {
            account: account.0,
            name: name.clone(),
            on: *on,
        }),
        Command::Deliver(deliver) => Kind::Deliver(deliver_out(deliver)),
        Command::Chunk {
            upload,
            account,
            number,
            length,
        } => chunk_out(*upload, *account, *number, *length),
        Command::DropUpload { upload } => drop_out(*upload),
        Command::Append { .. } | Command::AppendMany { .. } => append::kind_out(command),
        Command::Store { .. } => store_out(command),
        Command::Copy {
            account,
            from,
            to,
            uids,
        } => Kind::Copy(copy_out(*account, *from, *to, uids)),
        Command::Move {
            account,
            from,
            to,
            uids,
        } => Kind::Move(copy_out(*account, *from, *to, uids)),
        Command::Expunge {
            account,
            mailbox,
            uids,
        } => expunge_out(*account, *mailbox, uids.as_ref()),
        Command::SetRetention { .. }
        | Command::SetDefaultRetention { .. }
        | Command::Undelete { .. }
        | Command::RestoreMailbox { .. }
        | Command::Purge { .. } => retained::kind_out(command),
        Command::SetQuota { .. }
        | Command::SetMetadata { .. }
        | Command::Annotate(_)
        | Command::SetGrant { .. } => granted::kind_out(command),
        Command::OnBehalf { .. }
        | Command::Import(_)
        | Command::Remove { .. }
        | Command::BeginMove(_)
        | Command::EndMove(_) => behalf::kind_out(command),
        Command::Tick => Kind::Tick(wire::MailboxTick {}),
    }
}

fn create_account_out(account: AccountId, folders: &[NewFolder], quota_bytes: Option<u64>) -> Kind {
    Kind::CreateAccount(wire::MailboxCreateAccount {
        account: account.0,
        folders: folders.iter().map(folder_out).collect(),
        quota_bytes,
    })
}

fn chunk_out(upload: UploadId, account: AccountId, number: u32, length: u32) -> Kind {
    Kind::Chunk(wire::MailboxChunk {
        upload: upload_bytes(upload),
        account: account.0,
        number,
        length,
    })
}

fn drop_out(upload: UploadId) -> Kind {
    let upload = upload_bytes(upload);
    Kind::DropUpload(wire::MailboxDropUpload { upload })
}

fn expunge_out(account: AccountId, mailbox: MailboxId, uids: Option<&UidRanges>) -> Kind {
    let uids = uids.map(pack_uids).map(|uids| wire::MailboxUids { uids });
    Kind::Expunge(wire::MailboxExpunge {
        account: account.0,
        mailbox: mailbox.0,
        uids,
    })
}

fn store_out(command: &Command) -> Kind {
    let Command::Store {
        account,
        mailbox,
        uids,
        mode,
        flags,
        unchanged_since,
    } = command
    else {
        unreachable!("called for STORE alone");
    };
    Kind::Store(wire::MailboxStore {
        account: account.0,
        mailbox: mailbox.0,
        uids: pack_uids(uids),
        mode: mode_out(*mode),
        flags: Some(flags_out(flags)),
        unchanged_since: unchanged_since.map(|modseq| modseq.0),
    })
}

fn copy_out(
    account: AccountId,
    from: MailboxId,
    to: MailboxId,
    uids: &UidRanges,
) -> wire::MailboxCopy {
    wire::MailboxCopy {
        account: account.0,
        from: from.0,
        to: to.0,
        uids: pack_uids(uids),
    }
}

fn deliver_out(deliver: &Deliver) -> wire::MailboxDeliver {
    let recipient = |to: &Recipient| wire::MailboxRecipient {
        account: to.account.0,
        address: to.address.clone(),
        folder: to.folder.clone(),
        prefix: to.prefix.clone(),
    };
    let confirmed = |seen: &Confirmed| wire::MailboxConfirmed {
        lane: seen.lane,
        sequence: seen.sequence,
    };
    wire::MailboxDeliver {
        sender: deliver.sender.clone(),
        recipients: deliver.recipients.iter().map(recipient).collect(),
        body: Some(body_out(&deliver.body)),
        received_ms: deliver.received.0,
        suppress_duplicates: deliver.suppress_duplicates,
        confirmed: deliver.confirmed.iter().map(confirmed).collect(),
    }
}

fn folder_out(folder: &NewFolder) -> wire::MailboxNewFolder {
    wire::MailboxNewFolder {
        name: folder.name.clone(),
        special_use: use_number(folder.special_use),
    }
}

pub(super) fn body_out(body: &NewBody) -> wire::MailboxNewBody {
    wire::MailboxNewBody {
        hash: Bytes::copy_from_slice(&body.hash.0),
        length: body.length,
        upload: match body.source {
            BodySource::Inline => Bytes::new(),
            BodySource::Upload(upload) => upload_bytes(upload),
        },
    }
}

pub(super) fn command_in(command: wire::MailboxCommand) -> Result<Command, Fault> {
    let kind = required(command.kind, "a command's kind")?;
    Ok(match kind {
        Kind::CreateAccount(sent) => Command::CreateAccount {
            account: AccountId(sent.account),
            folders: sent
                .folders
                .into_iter()
                .map(folder_in)
                .collect::<Result<_, _>>()?,
            quota_bytes: sent.quota_bytes,
        },
        Kind::DeleteAccount(sent) => Command::DeleteAccount {
            account: AccountId(sent.account),
        },
        Kind::Create(sent) => Command::CreateMailbox {
            account: AccountId(sent.account),
            name: sent.name,
            special_use: use_of(sent.special_use)?,
        },
        Kind::Delete(sent) => Command::DeleteMailbox {
            account: AccountId(sent.account),
            name: sent.name,
        },
        Kind::Rename(sent) => Command::RenameMailbox {
            account: AccountId(sent.account),
            from: sent.from,
            to: sent.to,
        },
        Kind::Subscribe(sent) => Command::Subscribe {
            account: AccountId(sent.account),
            name: sent.name,
            on: sent.on,
        },
        Kind::Deliver(sent) => Command::Deliver(deliver_in(sent)?),
        Kind::Chunk(sent) => Command::Chunk {
            upload: upload_of(&sent.upload)?,
            account: AccountId(sent.account),
            number: sent.number,
            length: sent.length,
        },
        Kind::DropUpload(sent) => Command::DropUpload {
            upload: upload_of(&sent.upload)?,
        },
        Kind::Append(_) | Kind::AppendMany(_) => append::command_in(kind)?,
        Kind::Store(sent) => store_in(sent)?,
        Kind::Copy(sent) => Command::Copy {
            account: AccountId(sent.account),
            from: MailboxId(sent.from),
            to: MailboxId(sent.to),
            uids: unpack_uids(&sent.uids)?,
        },
        Kind::Move(sent) => Command::Move {
            account: AccountId(sent.account),
            from: MailboxId(sent.from),
            to: MailboxId(sent.to),
            uids: unpack_uids(&sent.uids)?,
        },
        Kind::Expunge(sent) => Command::Expunge {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            uids: sent.uids.map(|uids| unpack_uids(&uids.uids)).transpose()?,
        },
        Kind::SetRetention(_)
        | Kind::DefaultRetention(_)
        | Kind::Undelete(_)
        | Kind::Restore(_)
        | Kind::Purge(_) => retained::command_in(kind)?,
        Kind::SetQuota(_) | Kind::SetMetadata(_) | Kind::Annotate(_) | Kind::SetGrant(_) => {
            granted::command_in(kind)?
        }
        Kind::OnBehalf(_)
        | Kind::Import(_)
        | Kind::Remove(_)
        | Kind::BeginMove(_)
        | Kind::EndMove(_) => behalf::command_in(kind)?,
        Kind::Tick(wire::MailboxTick {}) => Command::Tick,
    })
}

fn store_in(sent: wire::MailboxStore) -> Result<Command, Fault> {
    Ok(Command::Store {
        account: AccountId(sent.account),
        mailbox: MailboxId(sent.mailbox),
        uids: unpack_uids(&sent.uids)?,
        mode: mode_in(sent.mode)?,
        flags: flags_in(required(sent.flags, "the flags of STORE")?)?,
        unchanged_since: sent.unchanged_since.map(ModSeq),
    })
}

fn deliver_in(sent: wire::MailboxDeliver) -> Result<Deliver, Fault> {
    let recipient = |to: wire::MailboxRecipient| Recipient {
        account: AccountId(to.account),
        address: to.address,
        folder: to.folder,
        prefix: to.prefix,
    };
    let confirmed = |seen: &wire::MailboxConfirmed| Confirmed {
        lane: seen.lane,
        sequence: seen.sequence,
    };
    Ok(Deliver {
        sender: sent.sender,
        recipients: sent.recipients.into_iter().map(recipient).collect(),
        body: body_in(sent.body)?,
        received: Millis(sent.received_ms),
        suppress_duplicates: sent.suppress_duplicates,
        confirmed: sent.confirmed.iter().map(confirmed).collect(),
    })
}

fn folder_in(sent: wire::MailboxNewFolder) -> Result<NewFolder, Fault> {
    Ok(NewFolder {
        name: sent.name,
        special_use: use_of(sent.special_use)?,
    })
}

pub(super) fn body_in(sent: Option<wire::MailboxNewBody>) -> Result<NewBody, Fault> {
    let sent = required(sent, "a body")?;
    Ok(NewBody {
        hash: hash_of(&sent.hash)?,
        length: sent.length,
        source: if sent.upload.is_empty() {
            BodySource::Inline
        } else {
            BodySource::Upload(upload_of(&sent.upload)?)
        },
    })
}
