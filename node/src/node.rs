//! One node: its log, the replicas that it holds, and what keeps them as the directory says.
//!
//! [`Node::open`] reads the data directory, [`Node::run`] starts the groups one lease later and
//! then follows the directory: a replica that it places here is started, and the one that was
//! placed first makes the group.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use directory::{Addresses, Command, NodeId, NodeReport, View};
use parking_lot::{Mutex, RwLock};
use proto::v1;
use rows::Fault;
use seglog::{Damage, RecoveredReplica, ReplicaId};
use tokio::sync::Notify;
use tonic::Status;

use crate::book::Book;
use crate::config::Config;
use crate::identity::{self, FEATURE_LEVEL, Identity, Membership, Peer};
use crate::link::Dial;
use crate::raft::{Ailing, Gate, Groups, LogStore, OnFatal, Peers, Timing};
use crate::replica::directory::Directory;
use crate::replica::index::{Indexes, SledIndexes};
use crate::replica::partition::Partition;
use crate::replica::{
    Checkpointer, Cleaning, GroupId, Hints, Machine, Opening, Replica, Scrubbing,
};
use crate::service::steward::Usher;
use crate::service::{DIRECTORY, Hub, Local, Remote, Service};
use crate::tls::Tls;

/// How often a node looks whether the directory wants something else of it.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// Room that a start needs beside a first segment, bytes: to say who the node is, and for the index
/// to open. A node whose log is full still starts and serves what it has.
const START_BYTES: u64 = 4 << 20;

/// How long a call to a node that joins may take.
const WELCOME_WAIT: Duration = Duration::from_secs(3);

/// One node.
pub struct Node {
    config: Arc<Config>,
    service: Service,
    groups: Groups,
    log: seglog::Log,
    recovered: Mutex<BTreeMap<ReplicaId, RecoveredReplica>>,
    /// What the open of the log found damaged.
    damage: Vec<Damage>,
    indexes: Arc<dyn Indexes>,
    checkpointer: Arc<Checkpointer>,
    cleaning: Arc<Cleaning>,
    scrubbing: Arc<Scrubbing>,
    hints: Hints,
    view: Arc<RwLock<View>>,
    book: Arc<Book>,
    tls: Tls,
    timing: Timing,
    /// A cluster was founded or joined: groups may start.
    founded: Notify,
    /// Held for as long as the node has its data directory open.
    _lock: std::fs::File,
    /// One group is started at a time.
    starting: tokio::sync::Mutex<BTreeSet<GroupId>>,
}

/// The replicas whose life has not ended.
fn alive(
    recovered: &BTreeMap<ReplicaId, RecoveredReplica>,
) -> impl Iterator<Item = ReplicaId> + '_ {
    let alive = recovered.iter().filter(|(_, found)| !found.ended);
    alive.map(|(replica, _)| *replica)
}

/// Opens a replica; one whose rows the log does not give has stopped, and is to be healed.
fn open(opening: Opening, recovered: Option<&RecoveredReplica>) -> Result<Arc<Replica>, Fault> {
    match crate::replica::open(&opening, recovered) {
        Err(fault @ Fault::Store(_)) => crate::replica::open_stopped(&opening, recovered, fault),
        opened => opened,
    }
}

/// What [`Node::open`] found.
pub struct Opened {
    /// The node.
    pub node: Arc<Node>,
    /// Writes the log; to be driven by a thread.
    pub writer: seglog::Writer,
    /// Takes checkpoints; to be driven by a thread.
    pub checkpointer: Arc<Checkpointer>,
    /// Cleans the log; to be driven by a thread.
    pub cleaning: Arc<Cleaning>,
    /// Looks for damage, and mends it; to be driven by a thread.
    pub scrubbing: Arc<Scrubbing>,
}

impl Node {
    /// Opens the data directory. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When it cannot be used; nothing is written then.
    pub fn open(config: Arc<Config>, tls: &Tls, on_fatal: OnFatal) -> anyhow::Result<Opened> {
        let directory = config.node.data_dir.as_path();
        let known = Identity::read(directory, config.node.id, FEATURE_LEVEL)?;
        make_room(directory, known.is_some(), config.storage.segment_bytes)?;
        // Before anything is written: a second process ends here.
        let lock = identity::lock(directory)?;
        let mut identity = match Identity::read(directory, config.node.id, FEATURE_LEVEL)? {
            Some(identity) => identity,
            None => {
                let identity = Identity::new(config.node.id, rand::random());
                identity.write(directory)?;
                identity
            }
        };
        let mut options = seglog::Options::new(identity.log_id(directory)?);
        options.segment_bytes = config.storage.segment_bytes;
        let disk: Arc<dyn seglog::disk::Disk> =
            Arc::new(seglog::disk::Directory::new(directory.join("log"))?);
        #[cfg(feature = "faults")]
        let disk = crate::faults::wrap(disk);
        let (log, writer, recovered) = seglog::open(disk, options)?;
        for damage in &recovered.damage {
            tracing::error!(?damage, "the log is damaged");
        }
        identity.boot += 1;
        identity.write(directory)?;
        let indexes = Arc::new(SledIndexes::open(
            directory,
            config.storage.index_cache_bytes,
        )?);
        let view = Arc::new(RwLock::new(View::default()));
        let book = Arc::new(Book {
            node: config.node.id,
            directory: directory.to_owned(),
            identity: Mutex::new(identity.clone()),
            view: Arc::clone(&view),
            tls: tls.clone(),
        });
        let timing = Timing {
            heartbeat_ms: config.raft.heartbeat_ms,
            election_ms_min: config.raft.election_ms_min,
            election_ms_max: config.raft.election_ms_max,
        };
        let dial: Arc<dyn Dial> = Arc::clone(&book) as Arc<dyn Dial>;
        let peers = Peers::new(Arc::clone(&dial), log.clone());
        let groups = Groups::new(timing, peers, on_fatal)?;
        let hub = Hub::default();
        let checkpointer = Arc::new(Checkpointer::new());
        let cleaning = Arc::new(Cleaning::new(
            log.clone(),
            Arc::clone(&checkpointer),
            alive(&recovered.replicas),
        ));
        let scrubbing = Arc::new(Scrubbing::new(
            log.clone(),
            Arc::clone(&checkpointer),
            Arc::clone(&cleaning),
            groups.fetch(),
            config.storage.scrub_pace(directory),
            recovered.damage.clone(),
        ));
        let service = Service::new(
            config.node.id,
            identity.boot,
            Arc::new(Local::new(groups.clone())),
            Remote::new(dial),
            Arc::clone(&view),
            hub.clone(),
        );
        let node = Arc::new(Self {
            config,
            service,
            groups,
            log,
            recovered: Mutex::new(recovered.replicas),
            damage: recovered.damage,
            indexes,
            checkpointer: Arc::clone(&checkpointer),
            cleaning: Arc::clone(&cleaning),
            scrubbing: Arc::clone(&scrubbing),
            hints: Arc::new(move |_, hints| hub.publish(hints)),
            view,
            book,
            tls: tls.clone(),
            timing,
            founded: Notify::new(),
            _lock: lock,
            starting: tokio::sync::Mutex::default(),
        });
        Ok(Opened {
            node,
            writer,
            checkpointer,
            cleaning,
            scrubbing,
        })
    }

    /// What clients are served with.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The groups of this node.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// What of the log is needed.
    #[must_use]
    pub fn cleaning(&self) -> &Arc<Cleaning> {
        &self.cleaning
    }

    /// What was found damaged, and mended.
    #[must_use]
    pub fn scrubbing(&self) -> &Arc<Scrubbing> {
        &self.scrubbing
    }

    /// The log of this node.
    #[must_use]
    pub fn log(&self) -> &seglog::Log {
        &self.log
    }

    /// What this node tells the directory about itself.
    #[must_use]
    pub fn report(&self) -> NodeReport {
        let at = self.config.advertised();
        NodeReport {
            node: NodeId(self.config.node.id),
            addresses: Addresses {
                peer: at.peer,
                imap: at.imap,
                imaps: at.imaps,
                lmtp: at.lmtp,
                admin: at.admin,
            },
            feature_level: FEATURE_LEVEL,
        }
    }

    /// Starts the groups, and keeps them as the directory says, for as long as the node runs.
    pub async fn run(self: Arc<Self>) {
        tokio::time::sleep(self.timing.lease()).await;
        while self.book.directory_replica().is_none() {
            self.founded.notified().await;
        }
        let kept_bytes = self.config.storage.log_kept_bytes;
        tokio::spawn(self.groups.clone().purge_logs(kept_bytes));
        let mut reported = false;
        loop {
            if let Err(error) = self.follow().await {
                tracing::error!(error = format!("{error:#}"), "a replica cannot be started");
            }
            if !reported {
                reported = self.report_addresses().await;
            }
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }

    /// Starts what the directory places here and does not run yet.
    async fn follow(&self) -> anyhow::Result<()> {
        if let Some(replica) = self.book.directory_replica() {
            self.start(DIRECTORY, replica).await?;
        }
        let mut failed = None;
        let placed: Vec<directory::Group> = {
            let view = self.view.read();
            let own = NodeId(self.config.node.id);
            view.replicas_on(own)
                .map(|(group, _)| group.clone())
                .collect()
        };
        for group in placed.iter().filter(|group| group.id.0 != 0) {
            let Some(here) = group.replica_on(NodeId(self.config.node.id)) else {
                continue;
            };
            let id = GroupId(group.id.0);
            // One that cannot start holds up no other.
            if let Err(error) = self.start(id, here.id.0).await {
                failed = Some(error.context(format!("group {}", id.0)));
                continue;
            }
            if here.id == group.first
                && let Some(running) = self.groups.get(id)
                && running.status().voters.is_empty()
            {
                let members = group.voters().map(|replica| replica.id.0).collect();
                running.initialize(members).await?;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Opens a replica and starts its group; does nothing if it runs.
    async fn start(&self, id: GroupId, replica: u64) -> anyhow::Result<()> {
        let mut started = self.starting.lock().await;
        if started.contains(&id) {
            return Ok(());
        }
        let machine: Arc<dyn Machine> = if id == DIRECTORY {
            Arc::new(Directory::new(Arc::clone(&self.view)))
        } else {
            Arc::new(Partition)
        };
        let opening = Opening {
            hints: Arc::clone(&self.hints),
            bell: self.checkpointer.bell(),
            ..Opening::new(
                id,
                ReplicaId(replica),
                self.log.clone(),
                Arc::clone(&self.indexes),
                machine,
            )
        };
        let recovered = self.recovered.lock().get(&ReplicaId(replica)).cloned();
        if recovered.as_ref().is_some_and(|found| found.doubted) {
            self.groups.note_ailing(id, &Ailing::Doubted);
            started.insert(id);
            return Ok(());
        }
        let found = recovered.as_ref();
        let store = LogStore::open(self.log.clone(), ReplicaId(replica), found, &self.damage)?;
        let opened =
            tokio::task::spawn_blocking(move || open(opening, recovered.as_ref())).await??;
        opened.attach(Arc::new(store.clone()));
        self.checkpointer.add(Arc::clone(&opened));
        self.groups.start(id, replica, opened, store).await?;
        self.recovered.lock().remove(&ReplicaId(replica));
        started.insert(id);
        Ok(())
    }

    /// Tells the directory where this node listens, if it does not know; `true` once it does.
    async fn report_addresses(&self) -> bool {
        let report = self.report();
        let known = {
            let view = self.view.read();
            match view.node(report.node) {
                None => return false,
                Some(known) if known.state == directory::NodeState::Joining => return false,
                Some(known) => known.addresses.clone(),
            }
        };
        if known == report.addresses {
            return true;
        }
        let update = Command::UpdateNode(report);
        match self.service.direct(update, Duration::from_secs(5)).await {
            Ok(directory::Outcome::Rejected(why)) => {
                tracing::error!(%why, "the directory refuses this node's addresses");
                true
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// Makes this node the first of a new cluster, and answers the cluster's id.
    ///
    /// # Errors
    ///
    /// When it belongs to one, or the directory's group does not start.
    pub async fn found_cluster(&self) -> Result<[u8; 16], Status> {
        const FIRST_REPLICA: u64 = directory::ReplicaId::FIRST.0;
        if self.book.directory_replica().is_some() {
            return Err(Status::already_exists("this node belongs to a cluster"));
        }
        let cluster: [u8; 16] = rand::random();
        let membership = Membership {
            id: hex(&cluster),
            directory_replica: FIRST_REPLICA,
            peers: Vec::new(),
        };
        self.book.join(membership).map_err(internal)?;
        self.start(DIRECTORY, FIRST_REPLICA)
            .await
            .map_err(internal)?;
        let group = self
            .groups
            .get(DIRECTORY)
            .ok_or_else(|| Status::internal("not started"))?;
        group
            .initialize(BTreeSet::from([FIRST_REPLICA]))
            .await
            .map_err(internal)?;
        self.founded.notify_waiters();
        self.founded.notify_one();
        Ok(cluster)
    }

    /// Before the process ends in peace: hands every lead to a follower that has kept up.
    pub async fn resign(&self) {
        let leads: Vec<_> = self
            .groups
            .all()
            .into_iter()
            .filter(|group| group.is_leader())
            .collect();
        for group in &leads {
            let status = group.status();
            let heir = status
                .matched
                .iter()
                .filter(|(replica, _)| {
                    *replica != group.replica() && status.voters.contains(replica)
                })
                .max_by_key(|(_, matched)| *matched);
            if let Some((heir, Some(_))) = heir {
                drop(group.transfer(*heir).await);
            }
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        while leads
            .iter()
            .any(|group| group.is_leader() && group.status().voters.len() > 1)
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Gate for Node {
    fn speaks_for(&self, node: u64, group: GroupId, replica: u64) -> bool {
        let view = self.view.read();
        if view
            .node(NodeId(node))
            .is_some_and(|found| found.state == directory::NodeState::Removed)
        {
            return false;
        }
        match view.replica(directory::ReplicaId(replica)) {
            Some((placed, found)) => placed.0 == group.0 && found.node.0 == node,
            // Of the directory this node may know less than what it is about to be sent.
            None => group == DIRECTORY && self.book.directory_replica().is_some(),
        }
    }

    fn welcome(
        &self,
        request: v1::WelcomeRequest,
    ) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send + '_>> {
        Box::pin(async move {
            if request.node != self.config.node.id {
                return Err(Status::invalid_argument(format!(
                    "this is node {}, not node {}",
                    self.config.node.id, request.node
                )));
            }
            let id = hex(&request.cluster);
            let known = self.book.identity.lock().cluster.clone();
            if let Some(known) = known {
                return if known.id == id && known.directory_replica == request.replica {
                    Ok(())
                } else {
                    Err(Status::failed_precondition(
                        "this node belongs to another cluster",
                    ))
                };
            }
            let peers = request
                .peers
                .into_iter()
                .map(|peer| Peer {
                    node: peer.node,
                    replica: peer.replica,
                    address: peer.address,
                })
                .collect();
            let membership = Membership {
                id,
                directory_replica: request.replica,
                peers,
            };
            self.book.join(membership).map_err(internal)?;
            self.founded.notify_one();
            tracing::info!(cluster = hex(&request.cluster), "joined a cluster");
            Ok(())
        })
    }
}

impl Usher for Node {
    fn welcome(
        &self,
        node: u64,
        peer: String,
        replica: u64,
    ) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + '_>> {
        Box::pin(async move {
            let request = {
                let view = self.view.read();
                let cluster = view
                    .cluster()
                    .ok_or_else(|| anyhow::anyhow!("there is no cluster"))?;
                let placed = view
                    .group(directory::GroupId(0))
                    .ok_or_else(|| anyhow::anyhow!("the directory is not placed"))?;
                let peers = placed
                    .replicas
                    .iter()
                    .filter_map(|replica| {
                        let found = view.node(replica.node)?;
                        Some(v1::PeerAddress {
                            node: replica.node.0,
                            replica: replica.id.0,
                            address: found.addresses.peer.clone(),
                        })
                    })
                    .collect();
                v1::WelcomeRequest {
                    cluster: cluster.id.to_vec().into(),
                    node,
                    replica,
                    peers,
                }
            };
            let welcome = async {
                let channel = self.tls.dial(&peer, node).await?;
                let mut client = v1::peer_client::PeerClient::new(channel);
                client.welcome(request).await?;
                anyhow::Ok(())
            };
            tokio::time::timeout(WELCOME_WAIT, welcome).await??;
            Ok(())
        })
    }
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("{error:#}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the data directory if it is not there, and meets a full disk before anything is written.
fn make_room(directory: &Path, in_use: bool, segment_bytes: u32) -> anyhow::Result<()> {
    let is_new = !directory.exists();
    make_private(directory)?;
    let segment = u64::from(segment_bytes);
    let first = if in_use { 0 } else { segment };
    identity::check_room(directory, START_BYTES + first, segment).inspect_err(|_| {
        if is_new {
            drop(std::fs::remove_dir(directory));
        }
    })?;
    Ok(())
}

/// Makes the data directory, for this user alone.
fn make_private(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| anyhow::anyhow!("data directory {}: {error}", directory.display()))
}
