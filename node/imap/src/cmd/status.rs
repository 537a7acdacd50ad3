//! STATUS (RFC 3501 section 6.3.10, RFC 7162 section 3.1.7, RFC 7889, RFC 8438, RFC 9208).

use mailbox::{Answer, Folder, Query, Rights, Uid, UidRanges};

use crate::backend::{Backend, Transport};
use crate::grammar::{Status, StatusItem};
use crate::state::{Done, Result, Session};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn status(&mut self, status: &Status) -> Result<Done> {
        if status.items.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        let folder = self.folder_with(&status.mailbox, Rights::READ).await?;
        self.tell_status(&folder, &status.items).await?;
        Ok(Done::text("STATUS completed"))
    }

    /// Writes STATUS of a mailbox that exists.
    pub(crate) async fn tell_status(
        &mut self,
        folder: &Folder,
        items: &[StatusItem],
    ) -> Result<()> {
        let mut values = Vec::with_capacity(items.len());
        let mut id = None;
        for &item in items {
            let value = match item {
                StatusItem::Messages => u64::from(folder.messages),
                StatusItem::Recent => self.count_recent(folder).await?,
                StatusItem::UidNext => u64::from(folder.uid_next.0),
                StatusItem::UidValidity => u64::from(folder.uid_validity.0),
                StatusItem::Unseen => u64::from(folder.unseen),
                StatusItem::Deleted => u64::from(folder.deleted),
                StatusItem::DeletedStorage => self.reclaimable(folder).await?,
                StatusItem::Size => folder.bytes,
                StatusItem::HighestModSeq => folder.highest_modseq.0,
                StatusItem::MailboxId => {
                    id = Some(folder.id.object_id(self.backend.account()));
                    continue;
                }
                StatusItem::AppendLimit => self.conn.config.append_limit,
            };
            values.push((item, value));
        }
        self.conn
            .out
            .mailbox_status_with_id(&folder.name, &values, id.as_deref());
        Ok(())
    }

    /// What EXPUNGE would free, in bytes (RFC 9208 section 4.1.4).
    async fn reclaimable(&mut self, folder: &Folder) -> Result<u64> {
        if folder.deleted == 0 {
            return Ok(0);
        }
        let query = Query::Reclaimable {
            account: self.backend.account(),
            mailbox: folder.id,
        };
        let bytes = self.ask(query, |answer| match answer {
            Answer::Reclaimable(bytes) => Some(bytes),
            _ => None,
        });
        bytes.await
    }

    /// How many messages would be recent for a session that opened the mailbox now.
    async fn count_recent(&mut self, folder: &Folder) -> Result<u64> {
        let from = self.backend.recent_from(folder.id, Uid(0)).await?;
        if from >= folder.uid_next || folder.messages == 0 {
            return Ok(0);
        }
        let query = Query::Open {
            account: self.backend.account(),
            mailbox: folder.id,
        };
        let opened = self.ask(query, |answer| match answer {
            Answer::Opened(opened) => Some(opened),
            _ => None,
        });
        let uids = opened.await?.uids;
        Ok(UidRanges::range(from, Uid::MAX).intersect(&uids).len())
    }
}
