//! Answers.

use bytes::Bytes;
use proto::v1::mailbox_answer::Kind;
use proto::v1::mailbox_refusal::Reason;
use proto::v1::{self as wire};
use rows::Fault;

use super::{
    bytes_of, exact, flags_in, flags_out, granted, hash_of, malformed, pack_uids, required,
    retained, unpack_uids, upload_bytes, upload_of, use_number, use_of,
};
use crate::query::{Answer, Changes, Digest, Folder, Message, Messages, Opened, QueryError, Usage};
use crate::types::{Body, BodyAt, MailboxId, Millis, ModSeq, Piece, Uid, UidValidity};

/// The bytes of an answer or a refusal. A [`QueryError::Fault`] never answers (invariant R3), so it
/// is handed back.
pub fn encode_answer(result: &Result<Answer, QueryError>) -> Result<Bytes, Fault> {
    let refused = |reason: Reason| {
        Kind::Refused(wire::MailboxRefusal {
            reason: reason.into(),
        })
    };
    let kind = match result {
        Ok(answer) => kind_out(answer),
        Err(QueryError::NoAccount) => refused(Reason::NoAccount),
        Err(QueryError::NoMailbox) => refused(Reason::NoMailbox),
        Err(QueryError::NoRight) => refused(Reason::NoRight),
        Err(QueryError::Moved) => refused(Reason::Elsewhere),
        Err(QueryError::Fault(fault)) => return Err(fault.clone()),
    };
    Ok(bytes_of(&wire::MailboxAnswer { kind: Some(kind) }))
}

/// The answer or refusal with these bytes; [`QueryError::Fault`] if they are neither.
pub fn decode_answer(bytes: &Bytes) -> Result<Answer, QueryError> {
    let sent: wire::MailboxAnswer = exact(bytes, "an answer")?;
    Ok(match required(sent.kind, "an answer's kind")? {
        Kind::Folders(sent) => Answer::Folders(folders_in(sent)?),
        Kind::Folder(sent) => {
            let mut folders = folders_in(sent)?;
            let folder = folders.pop();
            if !folders.is_empty() {
                return Err(malformed("one folder").into());
            }
            Answer::Folder(folder)
        }
        Kind::Opened(sent) => Answer::Opened(Opened {
            folder: folder_in(required(sent.folder, "an opened folder")?)?,
            uids: unpack_uids(&sent.uids)?,
            first_unseen: sent.first_unseen.map(Uid),
            keywords: sent.keywords,
            modseq: ModSeq(sent.modseq),
        }),
        Kind::Changes(sent) => Answer::Changes(changes_in(sent)?),
        Kind::Messages(sent) => Answer::Messages(Messages {
            messages: sent
                .messages
                .into_iter()
                .map(message_in)
                .collect::<Result<_, _>>()?,
            next: sent.next.map(Uid),
            modseq: ModSeq(sent.modseq),
        }),
        Kind::Chunks(sent) => Answer::Chunks(sent.pieces.iter().map(piece_in).collect()),
        Kind::Usage(sent) => Answer::Usage(Usage {
            bytes: sent.bytes,
            messages: sent.messages,
            quota_bytes: sent.quota_bytes,
            held_bytes: sent.held_bytes,
            held_messages: sent.held_messages,
            retention: Millis(sent.retention_ms),
            own_retention: sent.own_retention,
        }),
        Kind::Deleted(sent) => Answer::Deleted(retained::deleted_in(&sent)),
        Kind::DeletedFolders(sent) => Answer::DeletedFolders(retained::folders_in(sent)),
        Kind::Quota(sent) => Answer::Quota(granted::quota_in(&sent)),
        Kind::Reclaimable(bytes) => Answer::Reclaimable(bytes),
        Kind::Metadata(sent) => Answer::Metadata(granted::metadata_in(sent)),
        Kind::Grants(sent) => Answer::Grants(granted::grants_in(sent)?),
        Kind::Marked(sent) => Answer::Marked(unpack_uids(&sent.uids)?),
        Kind::Arrived(sent) => Answer::Arrived(sent.has_arrived),
        Kind::Digest(sent) => Answer::Digest(Digest {
            applied_index: sent.applied_index,
            digest: hash_of(&sent.digest)?.0,
        }),
        Kind::Refused(sent) => {
            return Err(match Reason::try_from(sent.reason) {
                Ok(Reason::NoAccount) => QueryError::NoAccount,
                Ok(Reason::NoMailbox) => QueryError::NoMailbox,
                Ok(Reason::NoRight) => QueryError::NoRight,
                Ok(Reason::Elsewhere) => QueryError::Moved,
                Ok(Reason::Unspecified) | Err(_) => malformed("a refusal").into(),
            });
        }
    })
}

fn kind_out(answer: &Answer) -> Kind {
    match answer {
        Answer::Folders(folders) => Kind::Folders(wire::MailboxFolders {
            folders: folders.iter().map(folder_out).collect(),
        }),
        Answer::Folder(folder) => Kind::Folder(wire::MailboxFolders {
            folders: folder.iter().map(folder_out).collect(),
        }),
        Answer::Opened(opened) => Kind::Opened(wire::MailboxOpened {
            folder: Some(folder_out(&opened.folder)),
            uids: pack_uids(&opened.uids),
            first_unseen: opened.first_unseen.map(|uid| uid.0),
            keywords: opened.keywords.clone(),
            modseq: opened.modseq.0,
        }),
        Answer::Changes(changes) => Kind::Changes(changes_out(changes)),
        Answer::Messages(page) => Kind::Messages(wire::MailboxMessages {
            messages: page.messages.iter().map(message_out).collect(),
            next: page.next.map(|uid| uid.0),
            modseq: page.modseq.0,
        }),
        Answer::Chunks(pieces) => Kind::Chunks(wire::MailboxPieces {
            pieces: pieces.iter().map(piece_out).collect(),
        }),
        Answer::Usage(usage) => Kind::Usage(wire::MailboxUsage {
            bytes: usage.bytes,
            messages: usage.messages,
            quota_bytes: usage.quota_bytes,
            held_bytes: usage.held_bytes,
            held_messages: usage.held_messages,
            retention_ms: usage.retention.0,
            own_retention: usage.own_retention,
        }),
        Answer::Deleted(page) => Kind::Deleted(retained::deleted_out(page)),
        Answer::DeletedFolders(page) => Kind::DeletedFolders(retained::folders_out(page)),
        Answer::Quota(quota) => Kind::Quota(granted::quota_out(quota)),
        Answer::Reclaimable(bytes) => Kind::Reclaimable(*bytes),
        Answer::Metadata(found) => Kind::Metadata(granted::metadata_out(found)),
        Answer::Grants(grants) => Kind::Grants(granted::grants_out(grants)),
        Answer::Marked(uids) => Kind::Marked(wire::MailboxMarked {
            uids: pack_uids(uids),
        }),
        Answer::Arrived(has_arrived) => Kind::Arrived(wire::MailboxArrived {
            has_arrived: has_arrived.clone(),
        }),
        Answer::Digest(digest) => Kind::Digest(wire::MailboxDigest {
            applied_index: digest.applied_index,
            digest: Bytes::copy_from_slice(&digest.digest),
        }),
    }
}

fn folder_out(folder: &Folder) -> wire::MailboxFolder {
    wire::MailboxFolder {
        id: folder.id.0,
        name: folder.name.clone(),
        uid_validity: folder.uid_validity.0,
        uid_next: folder.uid_next.0,
        highest_modseq: folder.highest_modseq.0,
        messages: folder.messages,
        unseen: folder.unseen,
        deleted: folder.deleted,
        bytes: folder.bytes,
        special_use: use_number(folder.special_use),
        subscribed: folder.subscribed,
        vanished_floor: folder.vanished_floor.0,
        exists: folder.exists,
        guest: folder.guest.map(|rights| rights.bits().into()),
    }
}

fn folder_in(sent: wire::MailboxFolder) -> Result<Folder, Fault> {
    Ok(Folder {
        id: MailboxId(sent.id),
        name: sent.name,
        uid_validity: UidValidity(sent.uid_validity),
        uid_next: Uid(sent.uid_next),
        highest_modseq: ModSeq(sent.highest_modseq),
        messages: sent.messages,
        unseen: sent.unseen,
        deleted: sent.deleted,
        bytes: sent.bytes,
        special_use: use_of(sent.special_use)?,
        subscribed: sent.subscribed,
        vanished_floor: ModSeq(sent.vanished_floor),
        exists: sent.exists,
        guest: sent.guest.map(granted::rights_in).transpose()?,
    })
}

fn folders_in(sent: wire::MailboxFolders) -> Result<Vec<Folder>, Fault> {
    sent.folders.into_iter().map(folder_in).collect()
}

fn changes_out(changes: &Changes) -> wire::MailboxChanges {
    let flag_change = |(uid, modseq, flags): &(Uid, ModSeq, _)| wire::MailboxFlagChange {
        uid: uid.0,
        modseq: modseq.0,
        flags: Some(flags_out(flags)),
    };
    wire::MailboxChanges {
        folder: changes.folder.as_ref().map(folder_out),
        vanished: pack_uids(&changes.vanished),
        arrived: pack_uids(&changes.arrived),
        flags: changes.flags.iter().map(flag_change).collect(),
        modseq: changes.modseq.0,
        more: changes.more,
        floor: changes.floor.0,
    }
}

fn changes_in(sent: wire::MailboxChanges) -> Result<Changes, Fault> {
    let flag_change = |change: wire::MailboxFlagChange| {
        let flags = flags_in(required(change.flags, "changed flags")?)?;
        Ok((Uid(change.uid), ModSeq(change.modseq), flags))
    };
    Ok(Changes {
        folder: sent.folder.map(folder_in).transpose()?,
        vanished: unpack_uids(&sent.vanished)?,
        arrived: unpack_uids(&sent.arrived)?,
        flags: sent
            .flags
            .into_iter()
            .map(flag_change)
            .collect::<Result<_, Fault>>()?,
        modseq: ModSeq(sent.modseq),
        more: sent.more,
        floor: ModSeq(sent.floor),
    })
}

/// Where a body is, on the wire.
pub fn body_out(body: &Body) -> wire::MailboxBody {
    let mut sent = wire::MailboxBody {
        hash: Bytes::copy_from_slice(&body.hash.0),
        length: body.length,
        ..Default::default()
    };
    match body.at {
        BodyAt::Entry { index, term } => (sent.index, sent.term) = (index, term),
        BodyAt::Upload(upload) => sent.upload = upload_bytes(upload),
    }
    sent
}

/// The same, read.
///
/// # Errors
///
/// A [`Fault`] for what is not of this version.
pub fn body_in(sent: &wire::MailboxBody) -> Result<Body, Fault> {
    let at = if sent.upload.is_empty() {
        BodyAt::Entry {
            index: sent.index,
            term: sent.term,
        }
    } else {
        BodyAt::Upload(upload_of(&sent.upload)?)
    };
    Ok(Body {
        hash: hash_of(&sent.hash)?,
        length: sent.length,
        at,
    })
}

fn message_out(message: &Message) -> wire::MailboxMessage {
    wire::MailboxMessage {
        uid: message.uid.0,
        modseq: message.modseq.0,
        flags: Some(flags_out(&message.flags)),
        internal_ms: message.internal_date.0,
        saved_ms: message.save_date.0,
        prefix: message.prefix.clone(),
        body: Some(body_out(&message.body)),
        expunged: message.expunged,
    }
}

fn message_in(sent: wire::MailboxMessage) -> Result<Message, Fault> {
    Ok(Message {
        uid: Uid(sent.uid),
        modseq: ModSeq(sent.modseq),
        flags: flags_in(required(sent.flags, "a message's flags")?)?,
        internal_date: Millis(sent.internal_ms),
        save_date: Millis(sent.saved_ms),
        prefix: sent.prefix,
        body: body_in(&required(sent.body, "a message's body")?)?,
        expunged: sent.expunged,
    })
}

fn piece_out(piece: &Piece) -> wire::MailboxPiece {
    wire::MailboxPiece {
        index: piece.index,
        term: piece.term,
        length: piece.length,
    }
}

fn piece_in(sent: &wire::MailboxPiece) -> Piece {
    Piece {
        index: sent.index,
        term: sent.term,
        length: sent.length,
    }
}
