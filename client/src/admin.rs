//! The calls of the admin service.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::admin_client::AdminClient;
use proto::v1::{
    AdminAccount, AdminAccounts, AdminCreateAccountRequest, AdminDeleteAccountRequest,
    AdminInitReply, AdminInitRequest, AdminListAccountsRequest, AdminScrubRequest,
    AdminSetPasswordRequest, AdminStatus, AdminStatusRequest, AdminStorage, AdminStorageRequest,
    AdminTransferRequest, AdminVerifyReply, AdminVerifyRequest,
};
use rustls::ClientConfig;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::connect::{Credentials, causes, connect};
use crate::limits::{
    ANSWER_BYTES_MAX, CHANGE_WAIT, CLUSTER_WAIT, DEEP_WAIT, PAGE_ACCOUNTS, PROBE_WAIT, READ_WAIT,
    VERIFY_WAIT,
};
use crate::{Error, demo};

/// Asks a cluster, as an operator.
pub struct Admin {
    endpoints: Vec<String>,
    tls: Arc<ClientConfig>,
    deadline: Option<Duration>,
}

pub(crate) type Client = AdminClient<Channel>;

impl Admin {
    /// `endpoints` are the admin addresses of nodes, `host:port`, in the order in which they are
    /// tried. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] when certificates cannot be used.
    pub fn new(endpoints: Vec<String>, credentials: &Credentials) -> Result<Self, Error> {
        Ok(Self {
            endpoints,
            tls: credentials.load()?,
            deadline: None,
        })
    }

    /// Asks the cluster that `rookeryd demo` has started in that folder.
    ///
    /// # Errors
    ///
    /// [`Error::Demo`] when there is none, [`Error::Credentials`] as [`Admin::new`].
    pub fn of_demo(dir: &std::path::Path) -> Result<Self, Error> {
        let demo = demo::Demo::load(dir)?;
        Self::new(demo.endpoints(), &demo.credentials())
    }

    /// Gives every call this long instead of its own deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Nodes, groups, leaders and lag, as the node sees them that answers.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub async fn status(&self) -> Result<AdminStatus, Error> {
        self.read(
            READ_WAIT,
            async |mut client, request| client.status(request).await,
            || AdminStatusRequest {},
        )
        .await
    }

    /// How the log of the node that answers uses its disk; give one endpoint alone.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub async fn storage(&self) -> Result<AdminStorage, Error> {
        self.read(
            READ_WAIT,
            async |mut client, request| client.storage(request).await,
            || AdminStorageRequest {},
        )
        .await
    }

    /// Has the node that answers read its whole log to find damage; give one endpoint alone. It is
    /// over when `passes` of what [`Admin::storage`] says was scrubbed has reached the answer.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub async fn scrub(&self) -> Result<u64, Error> {
        let call = async |mut client: Client, request| client.scrub(request).await;
        let reply = self.read(READ_WAIT, call, || AdminScrubRequest {});
        Ok(reply.await?.pass)
    }

    /// Makes a new cluster of the node that answers first; give one endpoint alone.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`], [`Error::Unknown`].
    pub async fn init_cluster(&self, wanted: AdminInitRequest) -> Result<AdminInitReply, Error> {
        self.change(
            CLUSTER_WAIT,
            async |mut client, request| client.init_cluster(request).await,
            wanted,
        )
        .await
    }

    /// Makes an account; without a password nobody can log in before one is set. `quota_bytes` 0 is
    /// no limit.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn create_account(
        &self,
        name: String,
        password: Option<String>,
        quota_bytes: u64,
    ) -> Result<AdminAccount, Error> {
        let wanted = AdminCreateAccountRequest {
            name,
            without_password: password.is_none(),
            password: password.unwrap_or_default(),
            quota_bytes,
        };
        let call = async |mut client: Client, request| client.create_account(request).await;
        self.change(CHANGE_WAIT, call, wanted).await
    }

    /// Gives an account another password. Sessions that are logged in stay.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn set_password(&self, name: String, password: String) -> Result<(), Error> {
        let wanted = AdminSetPasswordRequest { name, password };
        let call = async |mut client: Client, request| client.set_password(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }

    /// Deletes an account with its mail.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn delete_account(&self, name: String) -> Result<(), Error> {
        let wanted = AdminDeleteAccountRequest { name };
        let call = async |mut client: Client, request| client.delete_account(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }

    /// One page of accounts by name, after `after`; empty for the first page.
    ///
    /// # Errors
    ///
    /// As [`Admin::status`].
    pub async fn accounts_after(&self, after: &str) -> Result<AdminAccounts, Error> {
        let call = async |mut client: Client, request| client.list_accounts(request).await;
        self.read(READ_WAIT, call, || AdminListAccountsRequest {
            after: after.to_owned(),
            limit: PAGE_ACCOUNTS,
        })
        .await
    }

    /// All accounts by name.
    ///
    /// # Errors
    ///
    /// As [`Admin::status`].
    pub async fn accounts(&self) -> Result<Vec<AdminAccount>, Error> {
        let mut all: Vec<AdminAccount> = Vec::new();
        loop {
            let after = all.last().map_or("", |account| account.name.as_str());
            let page = self.accounts_after(after).await?;
            let (more, found) = (page.more, page.accounts.len());
            all.extend(page.accounts);
            if !more || found == 0 {
                return Ok(all);
            }
        }
    }

    /// Hands the leadership of a group to the replica on another node.
    ///
    /// # Errors
    ///
    /// As [`Admin::init_cluster`].
    pub async fn transfer(&self, group: u64, node: u64) -> Result<(), Error> {
        let wanted = AdminTransferRequest { group, node };
        let call = async |mut client: Client, request| client.transfer_partition(request).await;
        self.change(CHANGE_WAIT, call, wanted).await.map(drop)
    }

    /// The digest of every replica of these groups at the same log index; of all groups if empty.
    ///
    /// # Errors
    ///
    /// As [`Admin::status`]. A difference is no error but part of the reply.
    pub async fn verify(&self, groups: &[u64]) -> Result<AdminVerifyReply, Error> {
        self.verify_as(groups, false, VERIFY_WAIT).await
    }

    /// The same, and every replica reads all of its bodies and compares them with its rows.
    ///
    /// # Errors
    ///
    /// As [`Admin::verify`].
    pub async fn verify_deep(&self, groups: &[u64]) -> Result<AdminVerifyReply, Error> {
        self.verify_as(groups, true, DEEP_WAIT).await
    }

    async fn verify_as(
        &self,
        groups: &[u64],
        deep: bool,
        wait: Duration,
    ) -> Result<AdminVerifyReply, Error> {
        let call = async |mut client: Client, request| client.verify(request).await;
        self.read(wait, call, || AdminVerifyRequest {
            groups: groups.to_vec(),
            deep,
        })
        .await
    }

    /// Asks one endpoint after the other until one answers.
    pub(crate) async fn read<Q, A>(
        &self,
        wait: Duration,
        call: impl AsyncFn(Client, Request<Q>) -> Result<Response<A>, Status>,
        question: impl Fn() -> Q,
    ) -> Result<A, Error> {
        let wait = self.deadline.unwrap_or(wait);
        let mut failed = Vec::new();
        for endpoint in &self.endpoints {
            let asked = async {
                let client = self.client(endpoint).await?;
                Ok(call(client, Request::new(question())).await)
            };
            match tokio::time::timeout(wait, asked).await {
                Ok(Ok(Ok(answer))) => return Ok(answer.into_inner()),
                Ok(Ok(Err(status))) if is_answer(&status) => return Err(refused(status)),
                Ok(Ok(Err(status))) => failed.push(format!("{endpoint}: {}", words(&status))),
                Ok(Err(why)) => failed.push(why),
                Err(_) => failed.push(format!("{endpoint}: no answer in time")),
            }
        }
        Err(Error::Unreachable(failed))
    }

    /// Sends a change once, to the first endpoint that answers a question.
    pub(crate) async fn change<Q, A>(
        &self,
        wait: Duration,
        call: impl AsyncFn(Client, Request<Q>) -> Result<Response<A>, Status>,
        wanted: Q,
    ) -> Result<A, Error> {
        let (endpoint, client) = self.answering().await?;
        let unknown = |why| Error::Unknown {
            endpoint: endpoint.to_owned(),
            why,
        };
        let wait = self.deadline.unwrap_or(wait);
        match tokio::time::timeout(wait, call(client, Request::new(wanted))).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if is_answer(&status) || !is_broken(&status) => Err(refused(status)),
            Ok(Err(status)) => Err(unknown(words(&status))),
            Err(_) => Err(unknown("no answer in time".to_owned())),
        }
    }

    async fn answering(&self) -> Result<(&str, Client), Error> {
        let wait = self.deadline.unwrap_or(PROBE_WAIT);
        let mut failed = Vec::new();
        for endpoint in &self.endpoints {
            let probe = async {
                let mut client = self.client(endpoint).await?;
                match client.status(AdminStatusRequest {}).await {
                    Err(status) if !is_answer(&status) => {
                        Err(format!("{endpoint}: {}", words(&status)))
                    }
                    answered => Ok((client, answered)),
                }
            };
            match tokio::time::timeout(wait, probe).await {
                Ok(Ok((client, Ok(_)))) => return Ok((endpoint, client)),
                Ok(Ok((_, Err(status)))) => return Err(refused(status)),
                Ok(Err(why)) => failed.push(why),
                Err(_) => failed.push(format!("{endpoint}: no answer in time")),
            }
        }
        Err(Error::Unreachable(failed))
    }

    /// Where nodes are asked, in the order in which they are tried.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    pub(crate) async fn client(&self, endpoint: &str) -> Result<Client, String> {
        let channel = connect(endpoint, &self.tls)
            .await
            .map_err(|why| format!("{endpoint}: {why}"))?;
        Ok(AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
    }
}

/// Whether a node has decided, so that asking another one would give the same.
fn is_answer(status: &Status) -> bool {
    let undecided = [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::Unknown,
    ];
    !is_broken(status) && !undecided.contains(&status.code())
}

/// Whether the status was made here because the connection broke, and not sent by a node.
fn is_broken(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

pub(crate) fn refused(status: Status) -> Error {
    Error::Refused {
        code: status.code(),
        message: words(&status),
    }
}

pub(crate) fn words(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => causes(source),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}
