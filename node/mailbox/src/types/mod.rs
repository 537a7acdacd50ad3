//! The words of a mailbox: ids, numbers, flags, sets of UIDs, bodies, names.
//!
//! Every id and number of the domain has a type of its own, so that a UID never passes for a
//! MODSEQ. All of them are plain values: they are compared, copied and printed, and know nothing of
//! rows or commands.
//!
//! ```text
//!   ids     accounts, mailboxes, UIDs, MODSEQs, lanes, stamps, hashes
//!   uids    sets of UIDs as sorted ranges
//!   flags   system flags and keywords
//!   body    where the bytes of a message are
//!   rights  what somebody may do with a mailbox
//!   names   which mailbox names are allowed, and how they nest
//! ```

mod body;
mod flags;
mod ids;
pub mod names;
mod rights;
mod uids;

pub use body::{Body, BodyAt, BodySource, NewBody, Piece};
pub(crate) use flags::is_keyword;
pub use flags::{Flags, SystemFlags};
pub use ids::{
    AccountId, EmailId, Hash16, Lane, MailboxId, Millis, ModSeq, MoveId, SpecialUse, Stamp, Uid,
    UidValidity, UploadId,
};
pub use rights::Rights;
pub use uids::UidRanges;
