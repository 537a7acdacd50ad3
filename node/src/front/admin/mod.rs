//! The admin service: what an operator asks any node.
//!
//! Default deny: every call needs a certificate that `rookeryd pki admin` made. Each change leaves
//! audit lines in the log, with who did it (`audit`).
//!
//! Here are who may ask, and the calls; what takes more than a few lines has a file of its own:
//! `status` for what there is, `members` for nodes and replicas that come and go, `lead` for who
//! leads, `verify` for whether replicas are equal, `storage` for the log of this node, `deleted`
//! for what accounts can get back, `backup` for reading groups out.

mod backup;
mod deleted;
mod lead;
mod members;
mod quota;
mod status;
mod storage;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use directory::verifier::{Params, Salts};
use directory::{AccountState, Command, Outcome, Verifiers};
use proto::v1;
use tonic::{Request, Response, Status};

use crate::front::audit::{Audit, object_of};
use crate::front::limits::{ACCOUNTS_PAGE, ADMIN_WAIT};
use crate::node::Node;
use crate::service::{Failure, Service};
use crate::tls::{Caller, Identity};

/// What was begun and is not seen to be done in time.
const UNDER_WAY: &str = "it is under way, and goes on by itself";

/// The admin service of this node. Clones share it.
#[derive(Clone)]
pub struct AdminServer {
    node: Arc<Node>,
}

impl AdminServer {
    /// Serves for `node`.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn service(&self) -> &Service {
        self.node.service()
    }

    async fn change(&self, who: &str, command: Command) -> Result<Outcome, Status> {
        let audit = Audit::begin(who, command.kind(), &object_of(&command));
        let outcome = self.service().direct(command, ADMIN_WAIT).await;
        audit.end(&outcome);
        match outcome.map_err(status)? {
            Outcome::Rejected(why) => Err(refused(why)),
            outcome => Ok(outcome),
        }
    }

    /// Waits until this node's view holds what was changed just now.
    async fn catch_up(&self) -> Result<(), Status> {
        let caught_up = self.service().refresh(ADMIN_WAIT).await;
        caught_up.map_err(|_| Status::deadline_exceeded(UNDER_WAY))
    }

    /// Waits until this node's view says what `done` looks for.
    async fn until(
        &self,
        wait: Duration,
        mut done: impl FnMut(&directory::View) -> bool,
    ) -> Result<(), Status> {
        let deadline = tokio::time::Instant::now() + wait;
        while !done(&self.service().view().read()) {
            if tokio::time::Instant::now() >= deadline {
                return Err(Status::deadline_exceeded(UNDER_WAY));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn derive(&self, password: String) -> Result<Verifiers, Status> {
        let salts = Salts {
            scram: rand::random(),
            argon2id: rand::random(),
        };
        let derive = move || Verifiers::derive(&password, &salts, &Params::default());
        tokio::task::spawn_blocking(derive)
            .await
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(refused)
    }
}

/// Who calls, if it is an operator.
fn operator<T>(request: &Request<T>) -> Result<String, Status> {
    match request
        .extensions()
        .get::<Caller>()
        .map(|caller| &caller.identity)
    {
        Some(Identity::Admin(name)) => Ok(name.clone()),
        _ => Err(Status::permission_denied(
            "an operator's certificate is needed",
        )),
    }
}

fn status(failure: Failure) -> Status {
    match failure {
        Failure::Busy(_) | Failure::NotLeader(_) => Status::unavailable(failure.to_string()),
        Failure::NoSpace => Status::resource_exhausted(failure.to_string()),
        Failure::Unknown => Status::deadline_exceeded("it may or may not have been done"),
        Failure::NotFound | Failure::NoAccount | Failure::NoMailbox => {
            Status::not_found(failure.to_string())
        }
        Failure::NoRight => Status::permission_denied(failure.to_string()),
        Failure::Rejected(_) | Failure::Invalid(_) | Failure::TooLarge => {
            Status::invalid_argument(failure.to_string())
        }
        Failure::Broken(_) | Failure::Moved => Status::internal(failure.to_string()),
    }
}

fn refused(why: directory::Rejection) -> Status {
    use directory::Rejection;
    match why {
        Rejection::NameTaken | Rejection::AddressTaken | Rejection::ClusterExists => {
            Status::already_exists(why.to_string())
        }
        Rejection::NoAccount | Rejection::NoNode | Rejection::NoGroup | Rejection::NoReplica => {
            Status::not_found(why.to_string())
        }
        Rejection::NameInvalid
        | Rejection::PasswordInvalid
        | Rejection::AddressInvalid
        | Rejection::NodeInvalid => Status::invalid_argument(why.to_string()),
        _ => Status::failed_precondition(why.to_string()),
    }
}

fn account_state(state: AccountState) -> &'static str {
    match state {
        AccountState::Creating => "creating",
        AccountState::Active => "active",
        AccountState::Locked => "locked",
        AccountState::Deleting => "deleting",
    }
}

fn account(found: &directory::Account) -> v1::AdminAccount {
    v1::AdminAccount {
        account: found.id.0,
        name: found.name.as_str().to_owned(),
        partition: found.partition.0,
        state: account_state(found.state).into(),
    }
}

#[tonic::async_trait]
impl v1::admin_server::Admin for AdminServer {
    async fn status(
        &self,
        request: Request<v1::AdminStatusRequest>,
    ) -> Result<Response<v1::AdminStatus>, Status> {
        operator(&request)?;
        let groups = self.service().router().local().groups().all();
        let (cluster, accounts, cluster_groups) = {
            let view = self.service().view().read();
            let cluster = view
                .cluster()
                .map(|cluster| cluster.id.to_vec())
                .unwrap_or_default();
            let (accounts, groups) = (view.account_count(), view.groups().count());
            (cluster, accounts as u64, groups as u64)
        };
        Ok(Response::new(v1::AdminStatus {
            cluster: cluster.into(),
            node: self.service().node(),
            nodes: self.nodes(),
            groups: self.groups_here(&groups),
            accounts,
            version: env!("CARGO_PKG_VERSION").into(),
            snapshots: self.snapshots(),
            cluster_groups,
        }))
    }

    async fn init_cluster(
        &self,
        request: Request<v1::AdminInitRequest>,
    ) -> Result<Response<v1::AdminInitReply>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let mut init = directory::Init {
            cluster: [0; 16],
            secret: rand::random(),
            replicas: asked.replicas,
            partitions: asked.partitions,
            default_domain: asked.default_domain,
            first: self.node.report(),
        };
        // Before anything is written: a node belongs to a cluster for good.
        let judged =
            directory::judge(&init).map_err(|fault| Status::internal(fault.to_string()))?;
        if let Outcome::Rejected(why) = judged {
            return Err(refused(why));
        }
        let cluster = self.node.found_cluster().await?;
        init.cluster = cluster;
        self.change(&who, Command::Init(init)).await?;
        Ok(Response::new(v1::AdminInitReply {
            cluster: cluster.to_vec().into(),
        }))
    }

    async fn add_node(
        &self,
        request: Request<v1::AdminAddNodeRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        self.add(&who, request.into_inner()).await
    }

    async fn replace_node(
        &self,
        request: Request<v1::AdminReplaceNodeRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        self.replace(&who, request.into_inner()).await
    }

    async fn remove_node(
        &self,
        request: Request<v1::AdminRemoveNodeRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        self.remove(&who, request.into_inner()).await
    }

    async fn move_replica(
        &self,
        request: Request<v1::AdminMoveReplicaRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        self.move_one(&who, request.into_inner()).await
    }

    async fn moves(
        &self,
        request: Request<v1::AdminMovesRequest>,
    ) -> Result<Response<v1::AdminMoves>, Status> {
        operator(&request)?;
        self.under_way().await.map(Response::new)
    }

    async fn create_account(
        &self,
        request: Request<v1::AdminCreateAccountRequest>,
    ) -> Result<Response<v1::AdminAccount>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let verifiers = match (asked.without_password, asked.password.is_empty()) {
            (false, _) => self.derive(asked.password).await?,
            // As of somebody who is not known: no password fits.
            (true, true) => Verifiers::fake(&rand::random(), &asked.name),
            (true, false) => {
                return Err(Status::invalid_argument("with a password, or without one"));
            }
        };
        let command = Command::CreateAccount {
            name: asked.name.clone(),
            verifiers,
            quota_bytes: Some(asked.quota_bytes).filter(|bytes| *bytes > 0),
        };
        let Outcome::AccountMade { account: id, .. } = self.change(&who, command).await? else {
            return Err(Status::internal("unexpected outcome"));
        };
        self.catch_up().await?;
        self.until(ADMIN_WAIT, |view| {
            let made = view.account_by_id(id);
            made.is_none_or(|made| made.state != AccountState::Creating)
        })
        .await?;
        let view = self.service().view().read();
        let made = view
            .account_by_id(id)
            .ok_or_else(|| Status::not_found("deleted again"))?;
        Ok(Response::new(account(made)))
    }

    async fn set_password(
        &self,
        request: Request<v1::AdminSetPasswordRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let verifiers = self.derive(asked.password).await?;
        self.change(
            &who,
            Command::SetPassword {
                name: asked.name,
                verifiers,
            },
        )
        .await?;
        // The old password is refused everywhere once this is answered.
        self.service().spread(ADMIN_WAIT).await;
        Ok(Response::new(v1::AdminDone {}))
    }

    async fn delete_account(
        &self,
        request: Request<v1::AdminDeleteAccountRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        let name = request.into_inner().name;
        self.change(&who, Command::DeleteAccount { name: name.clone() })
            .await?;
        self.catch_up().await?;
        // By its id: another one may be made under the name as soon as this one is gone.
        let going = {
            let view = self.service().view().read();
            let going = view.account(&name);
            let going = going.filter(|going| going.state == AccountState::Deleting);
            going.map(|going| going.id)
        };
        if let Some(id) = going {
            self.until(ADMIN_WAIT, |view| view.account_by_id(id).is_none())
                .await?;
        }
        self.service().spread(ADMIN_WAIT).await;
        Ok(Response::new(v1::AdminDone {}))
    }

    async fn list_accounts(
        &self,
        request: Request<v1::AdminListAccountsRequest>,
    ) -> Result<Response<v1::AdminAccounts>, Status> {
        operator(&request)?;
        let asked = request.into_inner();
        self.service().refresh(ADMIN_WAIT).await.map_err(status)?;
        let limit = match asked.limit as usize {
            0 => ACCOUNTS_PAGE,
            limit => limit.min(ACCOUNTS_PAGE),
        };
        let view = self.service().view().read();
        let mut page: Vec<v1::AdminAccount> = view
            .accounts_after(&asked.after)
            .take(limit + 1)
            .map(|found| account(found))
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        Ok(Response::new(v1::AdminAccounts {
            accounts: page,
            more,
        }))
    }

    async fn transfer_partition(
        &self,
        request: Request<v1::AdminTransferRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let of = format!("group {} to node {}", asked.group, asked.node);
        let audit = Audit::begin(&who, "transfer", &of);
        let done = lead::transfer(self.service(), asked.group, asked.node).await;
        audit.end(&done);
        done.map(|()| Response::new(v1::AdminDone {}))
    }

    async fn verify(
        &self,
        request: Request<v1::AdminVerifyRequest>,
    ) -> Result<Response<v1::AdminVerifyReply>, Status> {
        operator(&request)?;
        let asked = request.into_inner();
        let groups = self.verify_groups(&asked.groups, asked.deep).await?;
        Ok(Response::new(v1::AdminVerifyReply { groups }))
    }

    async fn scrub(
        &self,
        request: Request<v1::AdminScrubRequest>,
    ) -> Result<Response<v1::AdminScrubReply>, Status> {
        let who = operator(&request)?;
        tracing::info!(target: "audit", who, "scrub");
        let pass = self.node.scrubbing().begin();
        Ok(Response::new(v1::AdminScrubReply { pass }))
    }

    async fn storage(
        &self,
        request: Request<v1::AdminStorageRequest>,
    ) -> Result<Response<v1::AdminStorage>, Status> {
        operator(&request)?;
        self.log_usage().await.map(Response::new)
    }

    async fn list_deleted(
        &self,
        request: Request<v1::AdminListDeletedRequest>,
    ) -> Result<Response<v1::AdminDeleted>, Status> {
        operator(&request)?;
        let page = self.deleted_page(request.into_inner()).await?;
        Ok(Response::new(page))
    }

    async fn undelete(
        &self,
        request: Request<v1::AdminUndeleteRequest>,
    ) -> Result<Response<v1::AdminUndeleted>, Status> {
        let who = operator(&request)?;
        let back = self.bring_back(&who, request.into_inner()).await?;
        Ok(Response::new(back))
    }

    async fn purge_deleted(
        &self,
        request: Request<v1::AdminPurgeRequest>,
    ) -> Result<Response<v1::AdminPurged>, Status> {
        let who = operator(&request)?;
        let purged = self.purge(&who, request.into_inner()).await?;
        Ok(Response::new(purged))
    }

    async fn set_retention(
        &self,
        request: Request<v1::AdminRetentionRequest>,
    ) -> Result<Response<v1::AdminDone>, Status> {
        let who = operator(&request)?;
        self.keep_for(&who, request.into_inner()).await?;
        Ok(Response::new(v1::AdminDone {}))
    }

    async fn quota(
        &self,
        request: Request<v1::AdminQuotaRequest>,
    ) -> Result<Response<v1::AdminQuota>, Status> {
        let who = operator(&request)?;
        let quota = self.quota_of(&who, request.into_inner()).await?;
        Ok(Response::new(quota))
    }

    type BackupStream = backup::Frames;

    async fn backup(
        &self,
        request: Request<v1::AdminBackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let who = operator(&request)?;
        let group = request.into_inner().group;
        tracing::info!(target: "audit", who, group, "backup");
        self.read_out(group).await.map(Response::new)
    }

    async fn digest(
        &self,
        request: Request<v1::AdminDigestRequest>,
    ) -> Result<Response<v1::AdminDigestReply>, Status> {
        operator(&request)?;
        let group = request.into_inner().group;
        Ok(Response::new(
            verify::digest_of(self.service(), self.service().node(), group).await,
        ))
    }
}
