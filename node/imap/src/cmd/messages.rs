//! The rows of many messages, whichever mailbox they are in.

use mailbox::{Answer, MailboxId, Message, Query, Uid, UidRanges};

use crate::backend::{Backend, BackendError};
use crate::limits;
use crate::state::Result;

/// Messages of a mailbox in order, without those that are expunged.
pub(crate) async fn messages<B: Backend>(
    backend: &B,
    mailbox: MailboxId,
    uids: &UidRanges,
) -> Result<Vec<Message>> {
    let mut found = Vec::new();
    let mut left = uids.clone();
    while !left.is_empty() {
        let query = Query::Messages {
            account: backend.account(),
            mailbox,
            uids: left.clone(),
            changed_since: None,
            limit: limits::PAGE_MESSAGES,
            include_expunged: false,
        };
        let Answer::Messages(page) = backend.read(query).await? else {
            return Err(BackendError::Broken.into());
        };
        found.extend(page.messages);
        left = match page.next {
            Some(next) => UidRanges::range(next, Uid::MAX).intersect(&left),
            None => UidRanges::new(),
        };
    }
    Ok(found)
}
