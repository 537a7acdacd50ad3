//! Which bodies rows refer to: for whoever brings rows to a node, and bodies that it lacks (R4).

use bytes::Bytes;
use proto::v1::MailChunkRow;
use rows::Fault;

use crate::keys::{AccountKey, Key};
use crate::stored::{MessageState, StoredMessage, decode};
use crate::types::{BodyAt, Hash16, Piece};

/// The body of a log entry that a row refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Referred {
    /// The entry, and how many bytes of a body it has.
    pub piece: Piece,
    /// The hash of these bytes, where the row tells it: not for a chunk of an upload.
    pub hash: Option<Hash16>,
    /// Equal for bodies that are read together: the mail of a mailbox, the chunks of an upload.
    /// Not of messages that are kept for the retention alone.
    pub home: Option<u128>,
}

/// What a row refers to; `None` for rows of other kinds.
///
/// # Errors
/// [`Fault`] if this is no row of this version.
pub fn referred(key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
    match Key::decode(key)? {
        Key::Chunk(upload, _) => {
            let chunk: MailChunkRow = decode(key, value.clone())?;
            Ok(Some(Referred {
                piece: Piece {
                    index: chunk.index,
                    term: chunk.term,
                    length: u64::from(chunk.length),
                },
                hash: None,
                home: Some(upload.0),
            }))
        }
        Key::Of(account, AccountKey::Message(mailbox, _)) => {
            let message = StoredMessage::decode(key, value.clone())?;
            let Some(body) = message.referred()? else {
                return Ok(None);
            };
            let home = (u128::from(account.0) << u64::BITS) | u128::from(mailbox.0);
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
                home: (message.state == MessageState::Live).then_some(home),
            }))
        }
        _ => Ok(None),
    }
}
