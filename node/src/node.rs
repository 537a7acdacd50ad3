//! One node: its log, the replicas that it holds, and what keeps them as the directory says.
//!
//! [`Node::open`] reads the data directory, [`Node::run`] starts the groups one lease later and
//! then follows the directory: a replica that it places here is started, and the one that was
//! placed first makes the group; one that was moved away is stopped for good (`follow`). The first
//! node makes the cluster (`found`).

mod follow;
mod found;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use directory::{Addresses, Command, NodeId, NodeReport, View};
use parking_lot::{Mutex, RwLock};
use proto::v1;
use seglog::{Damage, RecoveredReplica, ReplicaId};
use tokio::sync::Notify;
use tonic::Status;

use crate::book::Book;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::config::Config;
use crate::derived::Derived;
use crate::identity::{self, FEATURE_LEVEL, Identity, Membership, Peer};
use crate::link::Dial;
use crate::raft::{Gate, Groups, Health, OnFatal, Peers, Timing};
use crate::replica::index::{Indexes, SledIndexes};
use crate::replica::{BodyCache, Checkpointer, Cleaning, GroupId, Hints, Scrubbing};
use crate::search::{Pace, Room, Search};
use crate::service::steward::Usher;
use crate::service::{DIRECTORY, Hub, Local, Remote, Service};
use crate::tls::Tls;

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
    /// What the log held of replicas when it was opened; they are taken out as they start.
    recovered: Mutex<BTreeMap<ReplicaId, Arc<RecoveredReplica>>>,
    /// What the open of the log found damaged.
    damage: Vec<Damage>,
    indexes: Arc<dyn Indexes>,
    budget: Budget,
    read_bodies: Arc<BodyCache>,
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
    /// The replica of each group that runs. One is started or ended at a time.
    started: tokio::sync::Mutex<BTreeMap<GroupId, u64>>,
    on_fatal: OnFatal,
}

/// The replicas whose life has ended, or has not.
fn ids(
    recovered: &BTreeMap<ReplicaId, RecoveredReplica>,
    ended: bool,
) -> impl Iterator<Item = ReplicaId> + '_ {
    let found = recovered
        .iter()
        .filter(move |(_, found)| found.ended == ended);
    found.map(|(replica, _)| *replica)
}

fn unended(
    recovered: BTreeMap<ReplicaId, RecoveredReplica>,
) -> BTreeMap<ReplicaId, Arc<RecoveredReplica>> {
    let unended = recovered.into_iter().filter(|(_, found)| !found.ended);
    unended.map(|(id, found)| (id, Arc::new(found))).collect()
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
    /// Indexes mail, unless that is switched off; to be driven by a thread.
    pub search: Option<Arc<Search>>,
    /// What FETCH told of messages; works out beforehand what it will tell of new ones.
    pub derived: Arc<Derived>,
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
        let storage = &config.storage;
        options.segment_bytes = storage.segment_bytes;
        options.reserve_bytes = storage.reserve_bytes;
        options.disk_kept_bytes = storage.disk_kept_bytes();
        if storage.log_bytes_max > 0 {
            options.bytes_max = storage.log_bytes_max;
        }
        let disk: Arc<dyn seglog::disk::Disk> =
            Arc::new(seglog::disk::Directory::new(directory.join("log"))?);
        #[cfg(any(feature = "faults", debug_assertions))]
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
        let budget = Budget::new(config.memory.budget_bytes);
        let frames = Arc::clone(&budget.frames);
        let peers = Peers::new(
            Arc::clone(&dial),
            log.clone(),
            frames,
            config.storage.snapshot_bytes_per_second,
        );
        let segment_bytes = u64::from(config.storage.segment_bytes);
        let reserve_bytes = config.storage.reserve_bytes;
        let health = Health::new(config.node.id, segment_bytes, reserve_bytes);
        health.set_room(log.room()?.bytes());
        let groups = Groups::new(timing, peers, Arc::new(health), Arc::clone(&on_fatal))?;
        let hub = Hub::default();
        let checkpointer = Arc::new(Checkpointer::new());
        let cleaning = Arc::new(Cleaning::new(
            log.clone(),
            Arc::clone(&checkpointer),
            ids(&recovered.replicas, false),
            ids(&recovered.replicas, true),
        ));
        let scrubbing = Arc::new(Scrubbing::new(
            log.clone(),
            Arc::clone(&checkpointer),
            Arc::clone(&cleaning),
            groups.fetch(),
            config.storage.scrub_pace(directory),
            recovered.damage.clone(),
        ));
        let search = open_search(&config, &identity, &log, &checkpointer)?;
        let service = Service::new(
            config.node.id,
            identity.boot,
            Arc::new(Local::new(
                groups.clone(),
                Arc::clone(&view),
                Arc::clone(&budget.rosters),
                search.clone(),
            )),
            Remote::new(dial),
            Arc::clone(&view),
            hub.clone(),
            Arc::clone(&budget.uploads),
        );
        let derived = Arc::clone(&budget.derived);
        let derived = Arc::new(Derived::new(derived, Arc::clone(&checkpointer)));
        let noting = (search.clone(), Arc::clone(&derived));
        let node = Arc::new(Self {
            config,
            service,
            groups,
            log,
            recovered: Mutex::new(unended(recovered.replicas)),
            damage: recovered.damage,
            indexes,
            read_bodies: Arc::new(Cache::new(Arc::clone(&budget.bodies))),
            budget,
            checkpointer: Arc::clone(&checkpointer),
            cleaning: Arc::clone(&cleaning),
            scrubbing: Arc::clone(&scrubbing),
            hints: Arc::new(move |group, hints| {
                hub.publish(hints);
                if let Some(search) = &noting.0 {
                    search.note(group, hints);
                }
                noting.1.note(group, hints);
            }),
            view,
            book,
            tls: tls.clone(),
            timing,
            founded: Notify::new(),
            _lock: lock,
            started: tokio::sync::Mutex::default(),
            on_fatal,
        });
        Ok(Opened {
            node,
            writer,
            checkpointer,
            cleaning,
            scrubbing,
            search,
            derived,
        })
    }

    /// The memory for mail on its way.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
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

    /// The cluster knows this node, which knows nothing: it may have voted what it forgot.
    fn refuse_to_begin_anew(&self) {
        let id = self.config.node.id;
        (self.on_fatal)(format!(
            "the data directory is empty, but the cluster knows node {id}: a node that lost its \
             data comes back under another number (rookery node replace {id} NEW --peer ..)"
        ));
    }

    /// What this node tells the directory about itself.
    #[must_use]
    pub fn report(&self) -> NodeReport {
        report(&self.config)
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
        if self.was_removed(node) {
            return false;
        }
        let view = self.view.read();
        if self.book.directory_replica().is_none() {
            // A node is welcomed before any replica speaks to it: this one has voted before.
            self.refuse_to_begin_anew();
            return false;
        }
        match view.replica(directory::ReplicaId(replica)) {
            Some((placed, found)) => placed.0 == group.0 && found.node.0 == node,
            // Of the directory this node may know less than what it is about to be sent.
            None => group == DIRECTORY,
        }
    }

    fn was_removed(&self, node: u64) -> bool {
        let view = self.view.read();
        let found = view.node(NodeId(node));
        found.is_some_and(|found| found.state == directory::NodeState::Removed)
    }

    fn now_ms(&self) -> u64 {
        crate::service::now_ms()
    }

    fn heard_logins(&self, logins: &[v1::PeerLogin]) {
        self.service.penalties().hear(logins, Instant::now());
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
                if known.id != id {
                    let why = "this node belongs to another cluster";
                    return Err(Status::failed_precondition(why));
                }
                let old = known.directory_replica;
                if request.replica == old {
                    return Ok(());
                }
                // Only what is lost makes room, and for one that came after it.
                let is_lost = self.groups.health().is_lost(request.node, old);
                if !(request.renews && is_lost && request.replica > old) {
                    let why = "this node has a replica of the directory";
                    return Err(Status::failed_precondition(why));
                }
            } else if request.renews {
                self.refuse_to_begin_anew();
                return Err(Status::failed_precondition("this node has no data"));
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
            let (cluster, replica) = (hex(&request.cluster), request.replica);
            tracing::info!(cluster, replica, "welcomed by a cluster");
            Ok(())
        })
    }
}

impl Usher for Node {
    fn welcome(
        &self,
        node: directory::Node,
        replica: u64,
    ) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + '_>> {
        Box::pin(async move {
            let (id, peer) = (node.id.0, node.addresses.peer);
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
                    node: id,
                    replica,
                    peers,
                    renews: node.state != directory::NodeState::Joining,
                }
            };
            let welcome = async {
                let channel = self.tls.dial(&peer, id).await?;
                let mut client = v1::peer_client::PeerClient::new(channel);
                client.welcome(request).await?;
                anyhow::Ok(())
            };
            tokio::time::timeout(WELCOME_WAIT, welcome).await??;
            Ok(())
        })
    }
}

/// What a node that is so configured tells about itself.
pub(crate) fn report(config: &Config) -> NodeReport {
    let at = config.advertised();
    NodeReport {
        node: NodeId(config.node.id),
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

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("{error:#}"))
}

/// Bytes as the data directory and the log lines show them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The search index of a node, which grows only while the disk has room for the reserve twice, and
/// goes before mail is refused for it. One
/// that is switched off is removed, and so is one that another life of the data directory left.
fn open_search(
    config: &Config,
    identity: &Identity,
    log: &seglog::Log,
    replicas: &Arc<Checkpointer>,
) -> anyhow::Result<Option<Arc<Search>>> {
    let folder = config.node.data_dir.join("search");
    if !config.search.index || identity.boot == 1 {
        crate::search::remove(&folder)?;
    }
    if !config.search.index {
        return Ok(None);
    }
    let (log, reserve) = (log.clone(), config.storage.reserve_bytes);
    let room = move || match log.room().map(|room| room.bytes()) {
        Ok(bytes) if bytes >= reserve.saturating_mul(2) => Room::Enough,
        Ok(bytes) if bytes < reserve.saturating_add(reserve / 2) => Room::None,
        _ => Room::Little,
    };
    let replicas = Arc::clone(replicas);
    let search = Search::new(&folder, replicas, Box::new(room), Pace::default());
    Ok(Some(Arc::new(search)))
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
pub(crate) fn make_private(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| anyhow::anyhow!("data directory {}: {error}", directory.display()))
}
