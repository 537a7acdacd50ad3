//! Calls of the admin service that concern what accounts deleted.

use proto::v1::{
    AdminDeleted, AdminListDeletedRequest, AdminPurgeRequest, AdminPurged, AdminRetentionRequest,
    AdminUndeleteRequest, AdminUndeleted,
};

use crate::Error;
use crate::admin::{Admin, Client};
use crate::limits::{CHANGE_WAIT, READ_WAIT, UNDELETE_WAIT};

impl Admin {
    /// One page of what an account deleted and can get back.
    ///
    /// # Errors
    ///
    /// As [`Admin::status`].
    pub async fn deleted_page(
        &self,
        wanted: &AdminListDeletedRequest,
    ) -> Result<AdminDeleted, Error> {
        let call = async |mut client: Client, request| client.list_deleted(request).await;
        self.read(READ_WAIT, call, || wanted.clone()).await
    }

    /// All that an account deleted and can get back; of one mailbox if a name is given.
    ///
    /// # Errors
    ///
    /// As [`Admin::status`].
    pub async fn deleted(&self, account: &str, mailbox: &str) -> Result<AdminDeleted, Error> {
        let mut wanted = AdminListDeletedRequest {
            account: account.to_owned(),
            mailbox: mailbox.to_owned(),
            ..AdminListDeletedRequest::default()
        };
        let mut all = self.deleted_page(&wanted).await?;
        while !all.next.is_empty() {
            wanted.from = std::mem::take(&mut all.next);
            let page = self.deleted_page(&wanted).await?;
            all.mailboxes.extend(page.mailboxes);
            all.messages.extend(page.messages);
            all.next = page.next;
        }
        Ok(all)
    }

    /// Brings back expunged messages, or a deleted mailbox.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`]. Done again it goes on with what is left.
    pub async fn undelete(&self, wanted: AdminUndeleteRequest) -> Result<AdminUndeleted, Error> {
        let call = async |mut client: Client, request| client.undelete(request).await;
        self.change(UNDELETE_WAIT, call, wanted).await
    }

    /// Removes what an account deleted for good; of one mailbox if a name is given. An empty name
    /// is refused.
    ///
    /// # Errors
    ///
    /// As [`Admin::undelete`].
    pub async fn purge_deleted(
        &self,
        account: String,
        mailbox: Option<String>,
    ) -> Result<AdminPurged, Error> {
        let wanted = AdminPurgeRequest { account, mailbox };
        let call = async |mut client: Client, request| client.purge_deleted(request).await;
        self.change(UNDELETE_WAIT, call, wanted).await
    }

    /// Sets for how many days an account keeps what it deletes; `None` for those of the cluster.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn set_retention(&self, account: String, days: Option<u32>) -> Result<(), Error> {
        self.retention(Some(account), days.unwrap_or(0)).await
    }

    /// Sets it for all accounts that have none of their own. Partitions hear of it within a second.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn set_cluster_retention(&self, days: u32) -> Result<(), Error> {
        self.retention(None, days).await
    }

    async fn retention(&self, account: Option<String>, days: u32) -> Result<(), Error> {
        let wanted = AdminRetentionRequest { account, days };
        let call = async |mut client: Client, request| client.set_retention(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }
}
