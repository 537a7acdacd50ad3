//! EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315 section 2.1).
//!
//! What was expunged is told like what others expunge, from the changes that are read afterwards.

use mailbox::{Command, MailboxId, Rejection, Reply, UidRanges};

use crate::backend::{Backend, Transport};
use crate::cmd::store::batches;
use crate::grammar::SequenceSet;
use crate::state::{Done, Result, Session, reply};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Result<Done> {
        let selected = self.writable()?;
        let Some(set) = set else {
            self.expunge_all().await?;
            return Ok(Done::text("EXPUNGE completed"));
        };
        let (mailbox, uids) = (selected.mailbox, selected.view.resolve(set, true)?);
        let (uids, limit) = self.limited_deleted(uids).await?;
        self.expunge_uids(mailbox, &uids).await?;
        Ok(self.partly(Done::text("UID EXPUNGE completed"), limit))
    }

    /// All messages with `\Deleted`: at once if they are not too many, also those that the client
    /// has not seen, else those that the view has.
    pub(crate) async fn expunge_all(&mut self) -> Result<()> {
        let (account, selected) = (self.backend.account(), self.writable()?);
        let mailbox = selected.mailbox;
        let all = Command::Expunge {
            account,
            mailbox,
            uids: None,
        };
        let outcome = self.backend.propose(all).await?;
        if outcome == mailbox::Outcome::Rejected(Rejection::TooMany) {
            let uids = self.selected()?.view.uids().clone();
            return self.expunge_uids(mailbox, &uids).await;
        }
        if let Reply::Expunged { uids, .. } = reply(outcome)? {
            self.note_gone(&uids);
        }
        Ok(())
    }

    async fn expunge_uids(&mut self, mailbox: MailboxId, uids: &UidRanges) -> Result<()> {
        let account = self.backend.account();
        for uids in batches(uids) {
            self.change(Command::Expunge {
                account,
                mailbox,
                uids: Some(uids),
            })
            .await?;
        }
        Ok(())
    }
}
