//! Outcomes.

use bytes::Bytes;
use proto::v1::mailbox_delivered::Result as Code;
use proto::v1::mailbox_outcome::Kind;
use proto::v1::mailbox_rejection::Reason;
use proto::v1::{self as wire};
use rows::Fault;

use super::{bytes_of, exact, malformed, pack_uids, required, unpack_uids};
use crate::command::{Delivered, Outcome, Rejection, Reply};
use crate::limits;
use crate::types::{MailboxId, ModSeq, Uid, UidRanges, UidValidity};

fn bad() -> Fault {
    malformed("an outcome")
}

/// The bytes of an outcome.
pub fn encode_outcome(outcome: &Outcome) -> Bytes {
    bytes_of(&wire::MailboxOutcome {
        kind: Some(kind_out(outcome)),
    })
}

/// The outcome with these bytes. [`Fault::Command`] if it would encode to others.
pub fn decode_outcome(bytes: &Bytes) -> Result<Outcome, Fault> {
    let sent: wire::MailboxOutcome = exact(bytes, "an outcome")?;
    outcome_in(required(sent.kind, "an outcome's kind")?)
}

/// The bytes that a lane keeps of an outcome, at most [`limits::OUTCOME_BYTES_MAX`].
///
/// What is longer loses its UIDs; what cannot be told without them becomes `Forgotten`.
pub(crate) fn kept(outcome: &Outcome) -> Bytes {
    let whole = encode_outcome(outcome);
    if whole.len() <= limits::OUTCOME_BYTES_MAX {
        return whole;
    }
    encode_outcome(&match outcome {
        Outcome::Done(Reply::Copied { uid_validity, .. }) => Outcome::Done(Reply::Copied {
            uid_validity: *uid_validity,
            from: UidRanges::new(),
            to: UidRanges::new(),
        }),
        Outcome::Done(Reply::Moved {
            uid_validity,
            modseq,
            ..
        }) => Outcome::Done(Reply::Moved {
            uid_validity: *uid_validity,
            from: UidRanges::new(),
            to: UidRanges::new(),
            modseq: *modseq,
        }),
        Outcome::Done(Reply::Expunged { modseq, .. }) => Outcome::Done(Reply::Expunged {
            uids: UidRanges::new(),
            modseq: *modseq,
        }),
        Outcome::Done(Reply::Restored {
            uid_validity,
            modseq,
            messages,
            next,
            ..
        }) => Outcome::Done(Reply::Restored {
            uid_validity: *uid_validity,
            from: UidRanges::new(),
            to: UidRanges::new(),
            modseq: *modseq,
            messages: *messages,
            next: *next,
        }),
        _ => Outcome::Forgotten,
    })
}

fn kind_out(outcome: &Outcome) -> Kind {
    match outcome {
        Outcome::Done(reply) => reply_out(reply),
        Outcome::Rejected(rejection) => Kind::Rejected(wire::MailboxRejection {
            reason: reason_out(*rejection).into(),
        }),
        Outcome::Forgotten => Kind::Forgotten(wire::MailboxNothing {}),
        Outcome::Moved => Kind::Elsewhere(wire::MailboxNothing {}),
    }
}

fn reply_out(reply: &Reply) -> Kind {
    match reply {
        Reply::Nothing => Kind::Nothing(wire::MailboxNothing {}),
        Reply::Created {
            mailbox,
            uid_validity,
        } => Kind::Created(wire::MailboxCreated {
            mailbox: mailbox.0,
            uid_validity: uid_validity.0,
        }),
        Reply::Delivered(results) => Kind::Delivered(delivered_out(results)),
        Reply::Appended {
            uid_validity,
            uid,
            modseq,
        } => Kind::Appended(wire::MailboxAppended {
            uid_validity: uid_validity.0,
            uid: uid.0,
            modseq: modseq.0,
        }),
        Reply::Stored { modseq, modified } => Kind::Stored(wire::MailboxStored {
            modseq: modseq.0,
            modified: pack_uids(modified),
        }),
        Reply::Copied {
            uid_validity,
            from,
            to,
        } => Kind::Copied(copied_out(*uid_validity, from, to, ModSeq(0))),
        Reply::Moved {
            uid_validity,
            from,
            to,
            modseq,
        } => Kind::Moved(copied_out(*uid_validity, from, to, *modseq)),
        Reply::Expunged { uids, modseq } => Kind::Expunged(wire::MailboxExpunged {
            uids: pack_uids(uids),
            modseq: modseq.0,
        }),
        Reply::Restored {
            uid_validity,
            from,
            to,
            modseq,
            messages,
            next,
        } => Kind::Restored(wire::MailboxRestored {
            uid_validity: uid_validity.0,
            from: pack_uids(from),
            to: pack_uids(to),
            modseq: modseq.0,
            messages: *messages,
            next: next.map(|uid| uid.0),
        }),
        Reply::Purged {
            messages,
            bytes,
            next,
        } => Kind::Purged(wire::MailboxPurged {
            messages: *messages,
            bytes: *bytes,
            next: next.map(|uid| uid.0),
        }),
    }
}

fn copied_out(
    uid_validity: UidValidity,
    from: &UidRanges,
    to: &UidRanges,
    modseq: ModSeq,
) -> wire::MailboxCopied {
    wire::MailboxCopied {
        uid_validity: uid_validity.0,
        from: pack_uids(from),
        to: pack_uids(to),
        modseq: modseq.0,
    }
}

fn delivered_out(results: &[Delivered]) -> wire::MailboxDelivered {
    let mut sent = wire::MailboxDelivered::default();
    for result in results {
        let (code, mailbox, uid) = match *result {
            Delivered::Stored { mailbox, uid } => (Code::Stored, mailbox.0, uid.0),
            Delivered::Duplicate => (Code::Duplicate, 0, 0),
            Delivered::NoAccount => (Code::NoAccount, 0, 0),
            Delivered::Moved => (Code::Elsewhere, 0, 0),
            Delivered::OverQuota => (Code::OverQuota, 0, 0),
            Delivered::NoUpload => (Code::NoUpload, 0, 0),
            Delivered::MailboxFull => (Code::MailboxFull, 0, 0),
        };
        sent.results.push(code.into());
        sent.mailboxes.push(mailbox);
        sent.uids.push(uid);
    }
    sent
}

fn reason_out(rejection: Rejection) -> Reason {
    match rejection {
        Rejection::NoAccount => Reason::NoAccount,
        Rejection::NoMailbox => Reason::NoMailbox,
        Rejection::Exists => Reason::Exists,
        Rejection::NotPermitted => Reason::NotPermitted,
        Rejection::NameInvalid => Reason::NameInvalid,
        Rejection::OverQuota => Reason::OverQuota,
        Rejection::TooMany => Reason::TooMany,
        Rejection::NoUpload => Reason::NoUpload,
        Rejection::UploadLimit => Reason::UploadLimit,
        Rejection::KeywordLimit => Reason::KeywordLimit,
        Rejection::MailboxLimit => Reason::MailboxLimit,
        Rejection::MailboxFull => Reason::MailboxFull,
        Rejection::SequenceUsed => Reason::SequenceUsed,
        Rejection::Invalid => Reason::Invalid,
        Rejection::MetadataLimit => Reason::MetadataLimit,
        Rejection::GrantLimit => Reason::GrantLimit,
        Rejection::BeingMoved => Reason::BeingMoved,
        Rejection::MoveLimit => Reason::MoveLimit,
        Rejection::NoRight => Reason::NoRight,
        Rejection::NoMessage => Reason::NoMessage,
    }
}

fn outcome_in(kind: Kind) -> Result<Outcome, Fault> {
    let reply = match kind {
        Kind::Nothing(_) => Reply::Nothing,
        Kind::Created(sent) => Reply::Created {
            mailbox: MailboxId(sent.mailbox),
            uid_validity: UidValidity(sent.uid_validity),
        },
        Kind::Delivered(sent) => Reply::Delivered(delivered_in(&sent)?),
        Kind::Appended(sent) => Reply::Appended {
            uid_validity: UidValidity(sent.uid_validity),
            uid: Uid(sent.uid),
            modseq: ModSeq(sent.modseq),
        },
        Kind::Stored(sent) => Reply::Stored {
            modseq: ModSeq(sent.modseq),
            modified: unpack_uids(&sent.modified)?,
        },
        Kind::Copied(sent) if sent.modseq != 0 => return Err(bad()),
        Kind::Copied(sent) => Reply::Copied {
            uid_validity: UidValidity(sent.uid_validity),
            from: unpack_uids(&sent.from)?,
            to: unpack_uids(&sent.to)?,
        },
        Kind::Moved(sent) => Reply::Moved {
            uid_validity: UidValidity(sent.uid_validity),
            from: unpack_uids(&sent.from)?,
            to: unpack_uids(&sent.to)?,
            modseq: ModSeq(sent.modseq),
        },
        Kind::Expunged(sent) => Reply::Expunged {
            uids: unpack_uids(&sent.uids)?,
            modseq: ModSeq(sent.modseq),
        },
        Kind::Restored(sent) => Reply::Restored {
            uid_validity: UidValidity(sent.uid_validity),
            from: unpack_uids(&sent.from)?,
            to: unpack_uids(&sent.to)?,
            modseq: ModSeq(sent.modseq),
            messages: sent.messages,
            next: sent.next.map(Uid),
        },
        Kind::Purged(sent) => Reply::Purged {
            messages: sent.messages,
            bytes: sent.bytes,
            next: sent.next.map(Uid),
        },
        Kind::Rejected(sent) => return Ok(Outcome::Rejected(rejection_in(sent.reason)?)),
        Kind::Forgotten(_) => return Ok(Outcome::Forgotten),
        Kind::Elsewhere(_) => return Ok(Outcome::Moved),
    };
    Ok(Outcome::Done(reply))
}

fn delivered_in(sent: &wire::MailboxDelivered) -> Result<Vec<Delivered>, Fault> {
    if sent.mailboxes.len() != sent.results.len() || sent.uids.len() != sent.results.len() {
        return Err(bad());
    }
    let columns = sent.results.iter().zip(&sent.mailboxes).zip(&sent.uids);
    columns
        .map(|((&code, &mailbox), &uid)| {
            Ok(match Code::try_from(code).map_err(|_| bad())? {
                Code::Stored => Delivered::Stored {
                    mailbox: MailboxId(mailbox),
                    uid: Uid(uid),
                },
                _ if (mailbox, uid) != (0, 0) => return Err(bad()),
                Code::Duplicate => Delivered::Duplicate,
                Code::NoAccount => Delivered::NoAccount,
                Code::Elsewhere => Delivered::Moved,
                Code::OverQuota => Delivered::OverQuota,
                Code::NoUpload => Delivered::NoUpload,
                Code::MailboxFull => Delivered::MailboxFull,
            })
        })
        .collect()
}

fn rejection_in(reason: i32) -> Result<Rejection, Fault> {
    Ok(match Reason::try_from(reason).map_err(|_| bad())? {
        Reason::Unspecified => return Err(bad()),
        Reason::NoAccount => Rejection::NoAccount,
        Reason::NoMailbox => Rejection::NoMailbox,
        Reason::Exists => Rejection::Exists,
        Reason::NotPermitted => Rejection::NotPermitted,
        Reason::NameInvalid => Rejection::NameInvalid,
        Reason::OverQuota => Rejection::OverQuota,
        Reason::TooMany => Rejection::TooMany,
        Reason::NoUpload => Rejection::NoUpload,
        Reason::UploadLimit => Rejection::UploadLimit,
        Reason::KeywordLimit => Rejection::KeywordLimit,
        Reason::MailboxLimit => Rejection::MailboxLimit,
        Reason::MailboxFull => Rejection::MailboxFull,
        Reason::SequenceUsed => Rejection::SequenceUsed,
        Reason::Invalid => Rejection::Invalid,
        Reason::MetadataLimit => Rejection::MetadataLimit,
        Reason::GrantLimit => Rejection::GrantLimit,
        Reason::BeingMoved => Rejection::BeingMoved,
        Reason::MoveLimit => Rejection::MoveLimit,
        Reason::NoRight => Rejection::NoRight,
        Reason::NoMessage => Rejection::NoMessage,
    })
}
