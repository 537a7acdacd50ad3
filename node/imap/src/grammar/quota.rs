//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 section 4.1).

use bytes::Bytes;

use super::lexer::{Cursor, ascii};
use crate::error::Result;
use crate::limits;

/// A SETQUOTA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetQuota {
    /// The quota root.
    pub root: Bytes,
    /// Resources, in upper case, and how much there may be of them.
    pub limits: Vec<(String, u64)>,
}

/// The arguments of SETQUOTA, from the space after its name on.
pub(super) fn set_quota(cursor: &mut Cursor) -> Result<SetQuota> {
    cursor.space()?;
    let root = cursor.astring()?;
    cursor.space()?;
    let limits = cursor.list_or_empty(limits::QUOTA_RESOURCES_MAX, |cursor| {
        let name = cursor.atom("a resource expected")?;
        cursor.space()?;
        Ok((ascii(&name).to_ascii_uppercase(), cursor.number64()?))
    })?;
    cursor.end()?;
    Ok(SetQuota { root, limits })
}
