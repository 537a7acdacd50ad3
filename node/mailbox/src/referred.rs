//! Which bodies rows refer to: for whoever brings rows to a node, and bodies that it lacks (R4).

use bytes::Bytes;
use proto::v1::MailChunkRow;
use rows::Fault;

use crate::keys::{AccountKey, Key};
use crate::stored::{StoredMessage, decode};
use crate::types::{BodyAt, Hash16, Piece};

/// The body of a log entry that a row refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Referred {
    /// The entry, and how many bytes of a body it has.
    pub piece: Piece,
    /// The hash of these bytes, where the row tells it: not for a chunk of an upload.
    pub hash: Option<Hash16>,
}

/// What a row refers to; `None` for rows of other kinds.
///
/// # Errors
/// [`Fault`] if this is no row of this version.
pub fn referred(key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
    match Key::decode(key)? {
        Key::Chunk(..) => {
            let chunk: MailChunkRow = decode(key, value.clone())?;
            Ok(Some(Referred {
                piece: Piece {
                    index: chunk.index,
                    term: chunk.term,
                    length: u64::from(chunk.length),
                },
                hash: None,
            }))
        }
        Key::Of(_, AccountKey::Message(..)) => {
            let Some(body) = StoredMessage::decode(key, value.clone())?.referred()? else {
                return Ok(None);
            };
            let BodyAt::Entry { index, term } = body.at else {
                return Ok(None);
            };
            Ok(Some(Referred {
                piece: Piece {
                    index,
                    term,
                    length: body.length,
                },
                hash: Some(body.hash),
            }))
        }
        _ => Ok(None),
    }
}
