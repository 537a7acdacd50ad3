//! The admin service: what an operator asks any node.
//!
//! Default deny: every call needs a certificate that `rookeryd pki admin` made. Each change leaves
//! an audit line in the log, with who did it.

use std::sync::Arc;
use std::time::Duration;

use directory::verifier::{Params, Salts};
use directory::{
    AccountState, Addresses, Command, NodeId, NodeReport, NodeState, Outcome, Verifiers,
};
use proto::v1;
use tonic::{Request, Response, Status};

use super::limits::{ACCOUNTS_PAGE, ADMIN_WAIT, JOIN_WAIT};
use crate::identity::FEATURE_LEVEL;
use crate::node::Node;
use crate::raft::Group;
use crate::replica::{GroupId, SegmentUse};
use crate::service::{Answer, Call, DIRECTORY, Failure, Service};
use crate::tls::{Caller, Identity};

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
        let what = command.kind();
        let outcome = self
            .service()
            .direct(command, ADMIN_WAIT)
            .await
            .map_err(status)?;
        tracing::info!(target: "audit", who, what, ?outcome, "directory changed");
        match outcome {
            Outcome::Rejected(why) => Err(refused(why)),
            outcome => Ok(outcome),
        }
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
                return Err(Status::deadline_exceeded(
                    "it is under way, and goes on by itself",
                ));
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
        Failure::Unknown => Status::deadline_exceeded("it may or may not have been done"),
        Failure::NotFound | Failure::NoAccount | Failure::NoMailbox => {
            Status::not_found(failure.to_string())
        }
        Failure::Invalid(_) => Status::invalid_argument(failure.to_string()),
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
        Rejection::NameInvalid | Rejection::PasswordInvalid | Rejection::AddressInvalid => {
            Status::invalid_argument(why.to_string())
        }
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

impl AdminServer {
    fn nodes(&self) -> Vec<v1::AdminNode> {
        let own = self.service().node();
        let peers = self.service().router().local().groups().peers();
        let view = self.service().view().read();
        view.nodes()
            .map(|node| v1::AdminNode {
                node: node.id.0,
                peer: node.addresses.peer.clone(),
                imap: node.addresses.imap.clone(),
                imaps: node.addresses.imaps.clone(),
                lmtp: node.addresses.lmtp.clone(),
                admin: node.addresses.admin.clone(),
                reachable: node.id.0 == own
                    || peers
                        .heard(node.id.0)
                        .is_some_and(|ago| ago < Duration::from_secs(1)),
                state: match node.state {
                    NodeState::Joining => "joining",
                    NodeState::Active => "active",
                    NodeState::Removed => "removed",
                }
                .into(),
            })
            .collect()
    }

    fn group(&self, group: &Group) -> v1::AdminGroup {
        let status = group.status();
        let view = self.service().view().read();
        let placed = view.group(directory::GroupId(group.id().0));
        let replicas: Vec<v1::AdminReplica> = placed
            .map(|placed| &placed.replicas[..])
            .unwrap_or_default()
            .iter()
            .map(|replica| v1::AdminReplica {
                replica: replica.id.0,
                node: replica.node.0,
                voter: status.voters.contains(&replica.id.0),
                matched: if group.is_leader() && replica.id.0 == group.replica() {
                    Some(status.last_index)
                } else {
                    let found = status.matched.iter().find(|(id, _)| *id == replica.id.0);
                    found.and_then(|(_, matched)| *matched)
                },
            })
            .collect();
        let leader = replicas
            .iter()
            .find(|replica| Some(replica.replica) == status.leader);
        v1::AdminGroup {
            group: group.id().0,
            term: status.term,
            leader: leader.map_or(0, |replica| replica.node),
            last_index: status.last_index,
            applied_index: status.applied_index,
            replicas,
        }
    }

    /// The digest of every replica of a group at one index, where that can be had: replicas go on
    /// applying, so they are asked until all say the same index, a few times.
    async fn verify_group(&self, group: u64, nodes: Vec<u64>) -> v1::AdminVerified {
        let mut verified = v1::AdminVerified {
            group,
            replicas: Vec::new(),
            equal: false,
        };
        for attempt in 0..VERIFY_TRIES {
            if attempt > 0 {
                tokio::time::sleep(VERIFY_PAUSE).await;
            }
            let ask = nodes
                .iter()
                .map(|node| digest_of(self.service(), *node, group));
            verified.replicas = futures_util::future::join_all(ask).await;
            let first = verified.replicas.first();
            let same_index = verified.replicas.iter().all(|replica| {
                replica.error.is_empty()
                    && first.is_some_and(|first| first.applied_index == replica.applied_index)
            });
            if same_index {
                verified.equal = verified
                    .replicas
                    .iter()
                    .all(|replica| first.is_some_and(|first| first.digest == replica.digest));
                break;
            }
        }
        verified
    }
}

/// How often the replicas of a group are asked for a digest at the same index.
const VERIFY_TRIES: u32 = 20;

/// Between two such tries.
const VERIFY_PAUSE: Duration = Duration::from_millis(200);

#[tonic::async_trait]
impl v1::admin_server::Admin for AdminServer {
    async fn status(
        &self,
        request: Request<v1::AdminStatusRequest>,
    ) -> Result<Response<v1::AdminStatus>, Status> {
        operator(&request)?;
        let groups = self.service().router().local().groups().all();
        let (cluster, accounts) = {
            let view = self.service().view().read();
            let cluster = view
                .cluster()
                .map(|cluster| cluster.id.to_vec())
                .unwrap_or_default();
            (cluster, view.account_count() as u64)
        };
        Ok(Response::new(v1::AdminStatus {
            cluster: cluster.into(),
            node: self.service().node(),
            nodes: self.nodes(),
            groups: groups.iter().map(|group| self.group(group)).collect(),
            accounts,
            version: env!("CARGO_PKG_VERSION").into(),
        }))
    }

    async fn init_cluster(
        &self,
        request: Request<v1::AdminInitRequest>,
    ) -> Result<Response<v1::AdminInitReply>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let cluster = self.node.found_cluster().await?;
        let command = Command::Init(directory::Init {
            cluster,
            secret: rand::random(),
            replicas: asked.replicas,
            partitions: asked.partitions,
            default_domain: asked.default_domain,
            first: self.node.report(),
        });
        self.change(&who, command).await?;
        Ok(Response::new(v1::AdminInitReply {
            cluster: cluster.to_vec().into(),
        }))
    }

    async fn join_node(
        &self,
        request: Request<v1::AdminJoinRequest>,
    ) -> Result<Response<v1::AdminJoinReply>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let node = NodeId(asked.node);
        let addresses = Addresses {
            peer: asked.peer,
            ..Addresses::default()
        };
        let report = NodeReport {
            node,
            addresses,
            feature_level: FEATURE_LEVEL,
        };
        self.change(&who, Command::JoinNode(report)).await?;
        self.until(JOIN_WAIT, |view| {
            view.node(node)
                .is_some_and(|found| found.state == NodeState::Active)
        })
        .await?;
        Ok(Response::new(v1::AdminJoinReply {}))
    }

    async fn create_account(
        &self,
        request: Request<v1::AdminCreateAccountRequest>,
    ) -> Result<Response<v1::AdminAccount>, Status> {
        let who = operator(&request)?;
        let asked = request.into_inner();
        let verifiers = self.derive(asked.password).await?;
        let command = Command::CreateAccount {
            name: asked.name.clone(),
            verifiers,
            quota_bytes: Some(asked.quota_bytes).filter(|bytes| *bytes > 0),
        };
        self.change(&who, command).await?;
        self.until(ADMIN_WAIT, |view| {
            view.account(&asked.name)
                .is_some_and(|found| found.state == AccountState::Active)
        })
        .await?;
        let view = self.service().view().read();
        let made = view
            .account(&asked.name)
            .ok_or_else(|| Status::not_found("deleted again"))?;
        Ok(Response::new(account(&made)))
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
        self.until(ADMIN_WAIT, |view| view.account(&name).is_none())
            .await?;
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
        transfer(self.service(), asked.group, asked.node).await?;
        tracing::info!(target: "audit", who, group = asked.group, to = asked.node, "transfer");
        Ok(Response::new(v1::AdminDone {}))
    }

    async fn verify(
        &self,
        request: Request<v1::AdminVerifyRequest>,
    ) -> Result<Response<v1::AdminVerifyReply>, Status> {
        operator(&request)?;
        let asked = request.into_inner();
        let groups: Vec<(u64, Vec<u64>)> = {
            let view = self.service().view().read();
            view.groups()
                .filter(|group| asked.groups.is_empty() || asked.groups.contains(&group.id.0))
                .map(|group| {
                    (
                        group.id.0,
                        group
                            .replicas
                            .iter()
                            .map(|replica| replica.node.0)
                            .collect(),
                    )
                })
                .collect()
        };
        let checks = groups
            .into_iter()
            .map(|(group, nodes)| self.verify_group(group, nodes));
        let groups = futures_util::future::join_all(checks).await;
        Ok(Response::new(v1::AdminVerifyReply { groups }))
    }

    async fn storage(
        &self,
        request: Request<v1::AdminStorageRequest>,
    ) -> Result<Response<v1::AdminStorage>, Status> {
        operator(&request)?;
        let cleaning = Arc::clone(self.node.cleaning());
        let internal = |error: &dyn std::error::Error| Status::internal(error.to_string());
        let storage = tokio::task::spawn_blocking(move || cleaning.storage())
            .await
            .map_err(|error| internal(&error))?
            .map_err(|error| internal(&error))?;
        let segment = |used: &SegmentUse| v1::AdminSegment {
            number: used.segment.number,
            file_bytes: used.segment.file_bytes,
            bytes: used.segment.bytes,
            live_bytes: used.live_bytes,
            sealed: used.segment.sealed,
        };
        Ok(Response::new(v1::AdminStorage {
            node: self.service().node(),
            segments: storage.segments.iter().map(segment).collect(),
            spare_segments: storage.log.spare_segments,
            written_bytes: storage.log.bytes,
            copied_bytes: storage.log.copied_bytes,
            freed_bytes: storage.log.freed_bytes,
        }))
    }

    async fn digest(
        &self,
        request: Request<v1::AdminDigestRequest>,
    ) -> Result<Response<v1::AdminDigestReply>, Status> {
        operator(&request)?;
        let group = request.into_inner().group;
        Ok(Response::new(
            digest_of(self.service(), self.service().node(), group).await,
        ))
    }
}

/// The digest of the replica of `group` on `node`, asked over the store service.
async fn digest_of(service: &Service, node: u64, group: u64) -> v1::AdminDigestReply {
    let mut reply = v1::AdminDigestReply {
        node,
        ..v1::AdminDigestReply::default()
    };
    let call = Call::Digest;
    let asked = async {
        if node == service.node() {
            service.router().local().answer(GroupId(group), call).await
        } else {
            service
                .router()
                .remote()
                .ask(node, GroupId(group), call)
                .await
        }
    };
    match tokio::time::timeout(ADMIN_WAIT, asked).await {
        Ok(Ok(Answer::Digest {
            replica,
            index,
            digest,
        })) => {
            reply.replica = replica;
            reply.applied_index = index;
            reply.digest = digest.to_vec().into();
        }
        Ok(Ok(_)) => reply.error = "unexpected answer".into(),
        Ok(Err(failure)) => reply.error = failure.to_string(),
        Err(_) => reply.error = "no answer in time".into(),
    }
    reply
}

/// The leader of `group` gives the lead to `to`'s replica; returns once it leads.
async fn transfer(service: &Service, group: u64, to: u64) -> Result<(), Status> {
    let replica = {
        let view = service.view().read();
        let placed = view
            .group(directory::GroupId(group))
            .ok_or_else(|| Status::not_found("no such group"))?;
        placed
            .replica_on(NodeId(to))
            .map(|replica| replica.id.0)
            .ok_or_else(|| Status::not_found("that node holds no replica of the group"))?
    };
    let deadline = tokio::time::Instant::now() + ADMIN_WAIT;
    while tokio::time::Instant::now() < deadline {
        match service
            .ask(GroupId(group), Call::Transfer(replica), ADMIN_WAIT)
            .await
        {
            Ok(Answer::Index(leader)) if leader == replica => return Ok(()),
            Ok(_) | Err(Failure::Busy(_)) => {}
            Err(failure) => return Err(status(failure)),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Status::deadline_exceeded(if group == DIRECTORY.0 {
        "the directory kept its leader"
    } else {
        "the partition kept its leader"
    }))
}
