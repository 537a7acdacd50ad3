//! Queries.

use bytes::Bytes;
use proto::v1::mailbox_query::Kind;
use proto::v1::{self as wire};
use rows::Fault;

use super::{
    bytes_of, exact, hash_bytes, hash_of, malformed, pack_uids, required, unpack_uids,
    upload_bytes, upload_of,
};
use crate::query::Query;
use crate::types::{AccountId, MailboxId, ModSeq, Uid};

/// The bytes of a query.
pub fn encode_query(query: &Query) -> Bytes {
    bytes_of(&query_out(query))
}

fn query_out(query: &Query) -> wire::MailboxQuery {
    let kind = match query {
        Query::Folders { account } => {
            Kind::Folders(wire::MailboxQueryAccount { account: account.0 })
        }
        Query::Folder { account, name } => Kind::Folder(wire::MailboxQueryName {
            account: account.0,
            name: name.clone(),
        }),
        Query::Open { account, mailbox } => Kind::Open(wire::MailboxQueryMailbox {
            account: account.0,
            mailbox: mailbox.0,
        }),
        Query::Changes {
            account,
            mailbox,
            since,
        } => Kind::Changes(wire::MailboxQueryChanges {
            account: account.0,
            mailbox: mailbox.0,
            since: since.0,
        }),
        Query::Remembered {
            account,
            mailbox,
            since,
        } => Kind::Remembered(wire::MailboxQueryChanges {
            account: account.0,
            mailbox: mailbox.0,
            since: since.0,
        }),
        Query::Messages {
            account,
            mailbox,
            uids,
            changed_since,
            limit,
            include_expunged,
        } => Kind::Messages(wire::MailboxQueryMessages {
            account: account.0,
            mailbox: mailbox.0,
            uids: pack_uids(uids),
            changed_since: changed_since.map(|modseq| modseq.0),
            limit: *limit,
            include_expunged: *include_expunged,
        }),
        Query::Locate { upload, length } => Kind::Locate(wire::MailboxQueryUpload {
            upload: upload_bytes(*upload),
            length: *length,
        }),
        Query::Usage { account } => Kind::Usage(wire::MailboxQueryAccount { account: account.0 }),
        Query::Deleted {
            account,
            mailbox,
            from,
            limit,
        } => Kind::Deleted(wire::MailboxQueryDeleted {
            account: account.0,
            mailbox: mailbox.0,
            from: from.0,
            limit: *limit,
        }),
        Query::DeletedFolders { account, from } => {
            Kind::DeletedFolders(wire::MailboxQueryDeletedFolders {
                account: account.0,
                from: from.0,
            })
        }
        Query::Quota { .. }
        | Query::Marked { .. }
        | Query::Reclaimable { .. }
        | Query::Metadata { .. }
        | Query::Grants { .. } => granted_out(query),
        Query::Arrived {
            account,
            mailbox,
            origins,
        } => Kind::Arrived(wire::MailboxQueryArrived {
            account: account.0,
            mailbox: mailbox.0,
            origins: origins.iter().map(hash_bytes).collect(),
        }),
        Query::OnBehalf { actor, query } => {
            let query = Box::new(query_out(query));
            Kind::OnBehalf(Box::new(wire::MailboxQueryOnBehalf {
                actor: actor.0,
                query: Some(query),
            }))
        }
        Query::Digest => Kind::Digest(wire::MailboxQueryDigest {}),
    };
    wire::MailboxQuery { kind: Some(kind) }
}

/// What concerns `\Deleted`, quota, annotations and rights.
fn granted_out(query: &Query) -> Kind {
    match query {
        Query::Quota { account } => Kind::Quota(wire::MailboxQueryAccount { account: account.0 }),
        Query::Marked { account, mailbox } => Kind::Marked(wire::MailboxQueryMailbox {
            account: account.0,
            mailbox: mailbox.0,
        }),
        Query::Reclaimable { account, mailbox } => Kind::Reclaimable(wire::MailboxQueryMailbox {
            account: account.0,
            mailbox: mailbox.0,
        }),
        Query::Metadata {
            account,
            mailbox,
            user,
        } => Kind::Metadata(wire::MailboxQueryMetadata {
            account: account.0,
            mailbox: mailbox.map(|mailbox| mailbox.0),
            user: user.0,
        }),
        Query::Grants { account, mailbox } => Kind::Grants(wire::MailboxQueryMailbox {
            account: account.0,
            mailbox: mailbox.0,
        }),
        _ => unreachable!("called for these alone"),
    }
}

/// The query with these bytes. [`Fault::Command`] if it is none that this version knows: the asker
/// is at fault, not the rows.
pub fn decode_query(bytes: &Bytes) -> Result<Query, Fault> {
    let sent: wire::MailboxQuery = exact(bytes, "a query")?;
    match required(sent.kind, "a query's kind")? {
        Kind::OnBehalf(sent) => {
            let query = required(sent.query, "what is asked")?;
            Ok(Query::OnBehalf {
                actor: AccountId(sent.actor),
                query: Box::new(query_in(required(query.kind, "a query's kind")?)?),
            })
        }
        kind => query_in(kind),
    }
}

/// A query that is nobody's but the owner's.
fn query_in(kind: Kind) -> Result<Query, Fault> {
    Ok(match kind {
        Kind::Folders(sent) => Query::Folders {
            account: AccountId(sent.account),
        },
        Kind::Folder(sent) => Query::Folder {
            account: AccountId(sent.account),
            name: sent.name,
        },
        Kind::Open(sent) => Query::Open {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
        },
        Kind::Changes(sent) => Query::Changes {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            since: ModSeq(sent.since),
        },
        Kind::Remembered(sent) => Query::Remembered {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            since: ModSeq(sent.since),
        },
        Kind::Messages(sent) => Query::Messages {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            uids: unpack_uids(&sent.uids)?,
            changed_since: sent.changed_since.map(ModSeq),
            limit: sent.limit,
            include_expunged: sent.include_expunged,
        },
        Kind::Locate(sent) => Query::Locate {
            upload: upload_of(&sent.upload)?,
            length: sent.length,
        },
        Kind::Usage(sent) => Query::Usage {
            account: AccountId(sent.account),
        },
        Kind::Deleted(sent) => Query::Deleted {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            from: Uid(sent.from),
            limit: sent.limit,
        },
        Kind::DeletedFolders(sent) => Query::DeletedFolders {
            account: AccountId(sent.account),
            from: MailboxId(sent.from),
        },
        Kind::Quota(sent) => Query::Quota {
            account: AccountId(sent.account),
        },
        Kind::Marked(sent) => Query::Marked {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
        },
        Kind::Reclaimable(sent) => Query::Reclaimable {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
        },
        Kind::Metadata(sent) => Query::Metadata {
            account: AccountId(sent.account),
            mailbox: sent.mailbox.map(MailboxId),
            user: AccountId(sent.user),
        },
        Kind::Grants(sent) => Query::Grants {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
        },
        Kind::Arrived(sent) => Query::Arrived {
            account: AccountId(sent.account),
            mailbox: MailboxId(sent.mailbox),
            origins: sent
                .origins
                .iter()
                .map(|origin| hash_of(origin))
                .collect::<Result<_, _>>()?,
        },
        Kind::OnBehalf(_) => return Err(malformed("a query")),
        Kind::Digest(_) => Query::Digest,
    })
}
