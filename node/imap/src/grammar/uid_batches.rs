//! UIDBATCHES (RFC 10022).

use super::lexer::Cursor;
use crate::error::Result;

/// The arguments of UIDBATCHES.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidBatches {
    /// Messages of a batch, above zero.
    pub size: u32,
    /// The first and the last batch that are wanted, from 1, in the client's order; `None` for all.
    pub batches: Option<(u32, u32)>,
}

/// The arguments, from the space after the name on.
pub(super) fn uid_batches(cursor: &mut Cursor) -> Result<UidBatches> {
    cursor.space()?;
    let size = cursor.nz_number()?;
    let mut batches = None;
    if cursor.has_argument() {
        cursor.space()?;
        let first = cursor.nz_number()?;
        cursor.expect(b':', "a range of batches is like 1:10")?;
        batches = Some((first, cursor.nz_number()?));
    }
    cursor.end()?;
    Ok(UidBatches { size, batches })
}
