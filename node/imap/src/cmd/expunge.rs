//! EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315 section 2.1).
//!
//! What was expunged is told like what others expunge, from the changes that are read afterwards.

use mailbox::{Answer, Command, MailboxId, Query, Rejection, Reply, UidRanges};

use crate::backend::{Backend, BackendError, Transport};
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

    /// All messages with `\Deleted`, also those that the client has not seen. They are looked up
    /// before, so that the command names them: every replica would look at all messages otherwise.
    /// What gets `\Deleted` meanwhile stays.
    pub(crate) async fn expunge_all(&mut self) -> Result<()> {
        let (account, mailbox) = (self.backend.account(), self.writable()?.mailbox);
        match self.backend.read(Query::Marked { account, mailbox }).await {
            Ok(Answer::Marked(uids)) => self.expunge_uids(mailbox, &uids).await,
            // An earlier version does not know what it is asked, and may answer while nodes are
            // replaced one by one.
            Ok(_) | Err(BackendError::Broken) => self.expunge_unasked(mailbox).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The same at once if they are not too many, else of those that the view has.
    async fn expunge_unasked(&mut self, mailbox: MailboxId) -> Result<()> {
        let all = Command::Expunge {
            account: self.backend.account(),
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
