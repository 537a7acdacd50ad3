//! Looking at all rows at once: references, and whether everything adds up.
//!
//! Nothing here is needed to apply commands. Tests run [`check`] after every step, and a replica
//! learns from [`references`] which bodies it must keep.

use proto::v1::MailChunkRow;
use rows::{Fault, Rows};

use crate::keys::{self, AccountKey, Key};
use crate::recount::Recount;
use crate::stored::{StoredMessage, decode};
use crate::types::{BodyAt, Piece};

/// Recounts everything and compares it with what the rows say of themselves (invariants M2, M3, M5,
/// R4 as far as rows can tell). [`Fault::Invariant`] names what does not add up.
pub fn check(rows: &impl Rows) -> Result<(), Fault> {
    if rows::Digest::kept(rows)? != rows::Digest::counted(rows)? {
        return Err(Fault::invariant("the rows do not add up to their digest"));
    }
    let mut recount = Recount::default();
    let (from, to) = keys::everything();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        recount.row(&key, value)?;
    }
    recount.finish()
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
                if let Some(body) = StoredMessage::decode(&key, value)?.referred()?
                    && let BodyAt::Entry { index, term } = body.at
                {
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
