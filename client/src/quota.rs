//! What accounts may have.

use proto::v1::{AdminQuota, AdminQuotaRequest};

use crate::admin::Client;
use crate::limits::CHANGE_WAIT;
use crate::{Admin, Error};

impl Admin {
    /// Sets what an account may have, as far as that is given, 0 for no limit; and tells what it
    /// uses and may.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn quota(
        &self,
        account: String,
        bytes: Option<u64>,
        messages: Option<u64>,
    ) -> Result<AdminQuota, Error> {
        let wanted = AdminQuotaRequest {
            account,
            bytes,
            messages,
        };
        let call = async |mut client: Client, request| client.quota(request).await;
        self.change(CHANGE_WAIT, call, wanted).await
    }
}
