//! A pretended cluster: one admin service that answers by rote.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::{fs, io};

use client::Credentials;
use client::v1::admin_server::{Admin, AdminServer};
use client::v1::*;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

/// An authority and what it signs, in a folder.
pub struct Place {
    pub dir: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        let place = Self { dir, ca };
        let (cert, key) = place.signed("admin.rookery.internal");
        fs::write(place.path("admin.pem"), cert.pem()).unwrap();
        fs::write(place.path("admin.key"), key.serialize_pem()).unwrap();
        place
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub fn credentials(&self) -> Credentials {
        Credentials {
            ca: self.path("ca.pem"),
            cert: self.path("admin.pem"),
            key: self.path("admin.key"),
        }
    }

    /// Writes `demo.json` for those admin addresses.
    pub fn write_demo(&self, endpoints: &[SocketAddr]) -> &Path {
        let nodes: Vec<_> = endpoints
            .iter()
            .zip(1_u64..)
            .map(|(admin, id)| client::demo::DemoNode {
                id,
                pid: 1,
                imap: String::new(),
                imaps: String::new(),
                lmtp: String::new(),
                admin: admin.to_string(),
                data_dir: format!("node-{id}").into(),
            })
            .collect();
        let demo = client::demo::Demo {
            nodes,
            ca: "ca.pem".into(),
            admin_cert: "admin.pem".into(),
            admin_key: "admin.key".into(),
        };
        fs::write(
            self.path("demo.json"),
            serde_json::to_string(&demo).unwrap(),
        )
        .unwrap();
        self.dir.path()
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap(), key)
    }

    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let (cert, key) = self.signed(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// Starts a node that answers by rote.
    pub async fn node(&self, rote: Rote) -> SocketAddr {
        self.node_named("rookery-admin.internal", rote).await
    }

    /// Starts one whose certificate holds that name.
    pub async fn node_named(&self, name: &str, rote: Rote) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(self.server(name));
        let (ready, connections) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = ready.send(Ok::<_, io::Error>(Io(stream))).await;
                }
            }
        });
        let incoming = tokio_stream::wrappers::ReceiverStream::new(connections);
        let serving = Server::builder()
            .add_service(AdminServer::new(rote))
            .serve_with_incoming(incoming);
        tokio::spawn(serving);
        address
    }
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

struct Io(TlsStream<TcpStream>);

impl Connected for Io {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What the pretended node answers, and what it was asked.
#[derive(Clone, Default)]
pub struct Rote {
    /// Its number.
    pub node: u64,
    /// Whether questions get UNAVAILABLE.
    pub unavailable: bool,
    /// Whether changes are never answered.
    pub silent: bool,
    /// Whether replicas differ.
    pub different: bool,
    /// The names of accounts, in order.
    pub accounts: Vec<String>,
    /// How many a page holds.
    pub page: usize,
    /// What was asked, in words.
    pub asked: Arc<Mutex<Vec<String>>>,
    /// How often it was asked what is on its way.
    pub looks: Arc<std::sync::atomic::AtomicUsize>,
}

impl Rote {
    pub fn of(node: u64) -> Self {
        Self {
            node,
            page: 2,
            ..Self::default()
        }
    }

    fn note(&self, words: String) {
        self.asked.lock().unwrap().push(words);
    }

    /// What was asked, without the probes.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn change(&self, words: String) {
        self.note(words);
        if self.silent {
            std::future::pending::<()>().await;
        }
    }
}

#[tonic::async_trait]
impl Admin for Rote {
    async fn status(
        &self,
        _: Request<AdminStatusRequest>,
    ) -> Result<Response<AdminStatus>, Status> {
        if self.unavailable {
            return Err(Status::unavailable("starting"));
        }
        let cluster = vec![1; 16].into();
        Ok(Response::new(AdminStatus {
            node: self.node,
            cluster,
            ..AdminStatus::default()
        }))
    }

    async fn storage(
        &self,
        _: Request<AdminStorageRequest>,
    ) -> Result<Response<AdminStorage>, Status> {
        Ok(Response::new(AdminStorage {
            node: self.node,
            ..AdminStorage::default()
        }))
    }

    async fn scrub(
        &self,
        _: Request<AdminScrubRequest>,
    ) -> Result<Response<AdminScrubReply>, Status> {
        self.note("scrub".to_owned());
        Ok(Response::new(AdminScrubReply { pass: 0 }))
    }

    async fn init_cluster(
        &self,
        request: Request<AdminInitRequest>,
    ) -> Result<Response<AdminInitReply>, Status> {
        let wanted = request.into_inner();
        let domain = &wanted.default_domain;
        self.change(format!(
            "init {} {} {domain}",
            wanted.replicas, wanted.partitions
        ))
        .await;
        Ok(Response::new(AdminInitReply {
            cluster: vec![0xcd; 16].into(),
        }))
    }

    async fn add_node(
        &self,
        request: Request<AdminAddNodeRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let wanted = request.into_inner();
        self.change(format!("add {} {}", wanted.node, wanted.peer))
            .await;
        Ok(Response::new(AdminDone {}))
    }

    async fn replace_node(
        &self,
        request: Request<AdminReplaceNodeRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let AdminReplaceNodeRequest { old, new, peer } = request.into_inner();
        self.change(format!("replace {old} {new} {peer}")).await;
        Ok(Response::new(AdminDone {}))
    }

    async fn remove_node(
        &self,
        request: Request<AdminRemoveNodeRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let AdminRemoveNodeRequest { node, shrink } = request.into_inner();
        self.change(format!("remove {node} {shrink}")).await;
        Ok(Response::new(AdminDone {}))
    }

    async fn move_replica(
        &self,
        request: Request<AdminMoveReplicaRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let AdminMoveReplicaRequest { group, from, to } = request.into_inner();
        self.change(format!("move {group} {from} {to}")).await;
        Ok(Response::new(AdminDone {}))
    }

    /// Each look finds one step more done.
    async fn moves(&self, _: Request<AdminMovesRequest>) -> Result<Response<AdminMoves>, Status> {
        let look = self
            .looks
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Response::new(moves_at(look)))
    }

    async fn create_account(
        &self,
        request: Request<AdminCreateAccountRequest>,
    ) -> Result<Response<AdminAccount>, Status> {
        let AdminCreateAccountRequest {
            name,
            password,
            quota_bytes,
            without_password,
        } = request.into_inner();
        let password = match without_password {
            true => "without a password".to_owned(),
            false => password,
        };
        self.change(format!("create {name} {password} {quota_bytes}"))
            .await;
        if self.accounts.contains(&name) {
            return Err(Status::already_exists(format!("{name} exists\r\n")));
        }
        let state = "active".into();
        Ok(Response::new(AdminAccount {
            account: 9,
            name,
            partition: 4,
            state,
        }))
    }

    async fn set_password(
        &self,
        request: Request<AdminSetPasswordRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let AdminSetPasswordRequest { name, password } = request.into_inner();
        self.change(format!("password {name} {password}")).await;
        Ok(Response::new(AdminDone {}))
    }

    async fn delete_account(
        &self,
        request: Request<AdminDeleteAccountRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        self.change(format!("delete {}", request.into_inner().name))
            .await;
        Ok(Response::new(AdminDone {}))
    }

    async fn list_accounts(
        &self,
        request: Request<AdminListAccountsRequest>,
    ) -> Result<Response<AdminAccounts>, Status> {
        let after = request.into_inner().after;
        self.note(format!("list after {after}"));
        let left: Vec<&String> = self.accounts.iter().filter(|name| **name > after).collect();
        let accounts = left
            .iter()
            .take(self.page)
            .map(|name| AdminAccount {
                name: (*name).clone(),
                ..AdminAccount::default()
            })
            .collect();
        Ok(Response::new(AdminAccounts {
            accounts,
            more: left.len() > self.page,
        }))
    }

    async fn transfer_partition(
        &self,
        request: Request<AdminTransferRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let AdminTransferRequest { group, node } = request.into_inner();
        self.change(format!("transfer {group} {node}")).await;
        Ok(Response::new(AdminDone {}))
    }

    async fn verify(
        &self,
        request: Request<AdminVerifyRequest>,
    ) -> Result<Response<AdminVerifyReply>, Status> {
        let asked = request.into_inner();
        let deep = if asked.deep { " deep" } else { "" };
        self.note(format!("verify{deep} {:?}", asked.groups));
        let digest = |node: u64| AdminDigestReply {
            node,
            replica: node,
            applied_index: 8,
            digest: vec![u8::from(self.different && node == 2); 16].into(),
            ..AdminDigestReply::default()
        };
        let replicas = vec![digest(1), digest(2)];
        let group = AdminVerified {
            group: 1,
            replicas,
            equal: !self.different,
        };
        Ok(Response::new(AdminVerifyReply {
            groups: vec![group],
        }))
    }

    async fn list_deleted(
        &self,
        request: Request<AdminListDeletedRequest>,
    ) -> Result<Response<AdminDeleted>, Status> {
        let AdminListDeletedRequest {
            account,
            mailbox,
            from,
        } = request.into_inner();
        self.note(format!("deleted {account} {mailbox} {from:?}"));
        // Three pages with a message each.
        let page = from.first().copied().unwrap_or_default();
        let message = AdminDeletedMessage {
            mailbox: "INBOX".into(),
            uid: u32::from(page) + 1,
            ..AdminDeletedMessage::default()
        };
        Ok(Response::new(AdminDeleted {
            messages: vec![message],
            held_messages: 3,
            next: if page < 2 { vec![page + 1] } else { Vec::new() }.into(),
            ..AdminDeleted::default()
        }))
    }

    async fn undelete(
        &self,
        request: Request<AdminUndeleteRequest>,
    ) -> Result<Response<AdminUndeleted>, Status> {
        let wanted = request.into_inner();
        let AdminUndeleteRequest { account, uids, .. } = &wanted;
        self.change(format!(
            "undelete {account} {} {uids} {} {}",
            wanted.mailbox(),
            wanted.into,
            wanted.deleted_mailbox
        ))
        .await;
        Ok(Response::new(AdminUndeleted {
            messages: 2,
            mailboxes: wanted.mailbox.into_iter().collect(),
        }))
    }

    async fn purge_deleted(
        &self,
        request: Request<AdminPurgeRequest>,
    ) -> Result<Response<AdminPurged>, Status> {
        let AdminPurgeRequest { account, mailbox } = request.into_inner();
        self.change(format!("purge {account} {mailbox:?}")).await;
        Ok(Response::new(AdminPurged {
            messages: 2,
            bytes: 99,
        }))
    }

    async fn set_retention(
        &self,
        request: Request<AdminRetentionRequest>,
    ) -> Result<Response<AdminDone>, Status> {
        let AdminRetentionRequest { account, days } = request.into_inner();
        self.change(format!("retention {account:?} {days}")).await;
        Ok(Response::new(AdminDone {}))
    }

    async fn quota(
        &self,
        request: Request<AdminQuotaRequest>,
    ) -> Result<Response<AdminQuota>, Status> {
        let AdminQuotaRequest {
            account,
            bytes,
            messages,
        } = request.into_inner();
        self.change(format!("quota {account} {bytes:?} {messages:?}"))
            .await;
        Ok(Response::new(AdminQuota {
            bytes: 2048,
            messages: 7,
            mailboxes: 6,
            bytes_max: bytes,
            messages_max: messages,
        }))
    }

    type BackupStream = tokio_stream::Iter<std::vec::IntoIter<Result<BackupFrame, Status>>>;

    async fn backup(
        &self,
        _: Request<AdminBackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        Err(Status::unimplemented("nothing is kept here"))
    }

    async fn digest(
        &self,
        _: Request<AdminDigestRequest>,
    ) -> Result<Response<AdminDigestReply>, Status> {
        Err(Status::unimplemented("nodes ask each other"))
    }
}

/// What the cluster says about node 4, which takes the place of node 3, at each look.
fn moves_at(look: usize) -> AdminMoves {
    let node = |state: &str| AdminNodeMove {
        node: 3,
        state: state.into(),
        successor: 4,
    };
    if look > 3 {
        return AdminMoves {
            nodes: vec![node("removed")],
            replicas: Vec::new(),
        };
    }
    let replica = |node, voter, leaving| AdminReplicaMove {
        group: 5,
        replica: 10 * node,
        node,
        voter,
        leaving,
        last_index: 900,
        ..AdminReplicaMove::default()
    };
    let coming = AdminReplicaMove {
        matched: (look > 1).then_some(700),
        snapshot: (look == 1).then_some(AdminSnapshot {
            group: 5,
            replica: 40,
            node: 4,
            row_bytes: 65_536,
            rows: 1000,
            bodies: 3,
            body_bytes: 2048,
            seconds: 2,
        }),
        voter: look > 2,
        ..replica(4, false, false)
    };
    AdminMoves {
        nodes: vec![node("leaving")],
        replicas: vec![replica(1, true, false), replica(3, true, true), coming],
    }
}
