//! MESSAGELIMIT (RFC 9738): how many messages one command may touch, if the operator limits that.
//!
//! ```text
//!   FETCH STORE MOVE    those with the highest UIDs, from the highest down, and the lowest is told
//!   SEARCH              the same of those that are looked at
//!   UID EXPUNGE         the same of those with \Deleted
//!   COPY SORT THREAD    all or nothing, so NO
//!   EXPUNGE CLOSE STATUS, and ESEARCH of several mailboxes: not limited
//! ```

use mailbox::{SystemFlags, UidRanges};

use crate::backend::{Backend, Transport};
use crate::cmd::places::at_places;
use crate::cmd::store::chunks;
use crate::grammar::PartialRange;
use crate::limits;
use crate::respond::{Code, Condition};
use crate::state::{Done, Result, Session, Stop};

/// Those of some messages that one command may touch, with MESSAGELIMIT if that is not all.
pub(crate) fn limited(limit: Option<u32>, uids: UidRanges) -> (UidRanges, Option<Code>) {
    let Some(limit) = limit.filter(|limit| uids.len() > u64::from(*limit)) else {
        return (uids, None);
    };
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let all = number(uids.len());
    let last = at_places(&uids, all - number(limit.into()).min(all)..all);
    let lowest = last.first().map(|uid| uid.0);
    (last, Some(Code::MessageLimit(limit, lowest)))
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// How many messages one command may touch; `None` for any number.
    pub(crate) fn message_limit(&self) -> Option<u32> {
        let limit = self.conn.config.message_limit;
        limit.map(|limit| limit.clamp(1, limits::SAVED_MESSAGES_MAX))
    }

    /// Those of some messages that this command may touch.
    pub(crate) fn limited(&self, uids: UidRanges) -> (UidRanges, Option<Code>) {
        limited(self.message_limit(), uids)
    }

    /// The same of messages with `\Deleted`, which alone UID EXPUNGE touches.
    pub(crate) async fn limited_deleted(
        &mut self,
        uids: UidRanges,
    ) -> Result<(UidRanges, Option<Code>)> {
        let limit = self.message_limit();
        if limit.is_none_or(|limit| uids.len() <= u64::from(limit)) {
            return Ok((uids, None));
        }
        let mut deleted = UidRanges::new();
        for mut part in chunks(&uids, u64::from(limits::PAGE_MESSAGES)) {
            while !part.is_empty() {
                let rows = self.rows(&mut part, None).await?;
                let is_deleted =
                    |row: &&mailbox::Message| row.flags.system.has(SystemFlags::DELETED);
                deleted.extend(rows.iter().filter(is_deleted).map(|row| row.uid));
            }
        }
        Ok(limited(limit, deleted))
    }

    /// Refuses a page that is larger than what may be touched (RFC 9738 section 3.1).
    pub(crate) fn check_page(&self, page: Option<PartialRange>) -> Result<()> {
        match (self.message_limit(), page) {
            (Some(limit), Some(page)) if page.places() > u64::from(limit) => {
                Err(exceeded(limit, "The page is too large"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to order more messages than may be touched (RFC 9738 section 3.3).
    pub(crate) fn check_ordered(&self, uids: &UidRanges) -> Result<()> {
        match self.message_limit() {
            Some(limit) if uids.len() > u64::from(limit) => {
                Err(exceeded(limit, "Too many messages to be ordered"))
            }
            _ => Ok(()),
        }
    }

    /// Tells that not all was done: with the tagged OK, or before it if that has another code.
    pub(crate) fn partly(&mut self, done: Done, limit: Option<Code>) -> Done {
        if limit.is_none() || done.code.is_none() {
            let code = done.code.or(limit);
            return Done { code, ..done };
        }
        self.tell_partly(limit);
        done
    }

    /// Tells that not all was done before a tagged response that has another code.
    pub(crate) fn tell_partly(&mut self, limit: Option<Code>) {
        if limit.is_some() {
            let text = "Not all messages could be processed";
            self.conn
                .out
                .status(None, Condition::No, limit.as_ref(), text);
        }
    }
}

fn exceeded(limit: u32, text: &'static str) -> Stop {
    Stop::no(Code::MessageLimit(limit, None), text)
}
