//! Looking at all rows at once: digests, references, and whether everything adds up.
//!
//! Nothing here is needed to apply commands. Tests run [`check`] after every step, an operator's
//! `verify` compares digests, and a replica that opens an index it does not trust holds its rows
//! against [`verify_digest`].

use bytes::Bytes;
use prost::Message as _;
use proto::v1::{MailChunkRow, MailMetaRow};

use crate::event::Fault;
use crate::keys::{self, AccountKey, Key};
use crate::query::Digest;
use crate::recount::Recount;
use crate::rows::{Rows, StoredMessage, decode, read};
use crate::staged::{RowHasher, digest_of};
use crate::types::{BodyAt, Piece};

/// Recounts everything and compares it with what the rows say of themselves (invariants M2, M3, M5,
/// R4 as far as rows can tell). [`Fault::Broken`] names what does not add up.
pub fn check(rows: &impl Rows) -> Result<(), Fault> {
    verify_digest(rows)?;
    let mut recount = Recount::default();
    let (from, to) = keys::everything();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        recount.row(&key, value)?;
    }
    recount.finish()
}

/// The digest of the machine, after it was held against the rows. [`Fault::Broken`] if a row is
/// missing, is one too many, or is not as it was written.
pub fn verify_digest(rows: &impl Rows) -> Result<Digest, Fault> {
    let own = Key::Meta.encode();
    let meta: MailMetaRow = read(rows, &own)?.unwrap_or_default();
    let (from, to) = keys::everything();
    let mut hasher = RowHasher::default();
    let mut sum: u128 = 0;
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        if key != own {
            sum = sum.wrapping_add(hasher.hash(&key, &value));
        }
    }
    if digest_of(&meta)? != sum {
        return Err(Fault::Broken("rows do not add up to the digest".into()));
    }
    digest(&meta)
}

/// The digest of the machine whose own row this is: that of the other rows and that of this one.
pub(crate) fn digest(meta: &MailMetaRow) -> Result<Digest, Fault> {
    let rest = MailMetaRow {
        digest: Bytes::new(),
        ..meta.clone()
    };
    let own = RowHasher::default().hash(&Key::Meta.encode(), &rest.encode_to_vec());
    let all = digest_of(meta)?.wrapping_add(own);
    Ok(Digest {
        applied_index: meta.index,
        digest: all.to_be_bytes(),
    })
}

/// Tells of every reference to the body of a log entry: of messages, expunged ones included, and of
/// uploads. The sum of all [`crate::BodyChange`]s, counted anew.
pub fn references(rows: &impl Rows, mut visit: impl FnMut(Piece)) -> Result<(), Fault> {
    let (from, to) = keys::everything();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        match Key::decode(&key)? {
            Key::Chunk(..) => {
                let MailChunkRow {
                    index,
                    term,
                    length,
                } = decode(&key, value)?;
                visit(Piece {
                    index,
                    term,
                    length: length.into(),
                });
            }
            Key::Of(_, AccountKey::Message(..)) => {
                let body = StoredMessage::decode(&key, value)?.body()?;
                if let BodyAt::Entry { index, term } = body.at {
                    visit(Piece {
                        index,
                        term,
                        length: body.length,
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}
