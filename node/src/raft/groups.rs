//! All groups of this node: started, found by id, and started again should their core stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::{Mutex, RwLock};
use rows::Fault;
use tokio::runtime::Handle;

use super::arrivals::Arrivals;
use super::fetch::Fetcher;
use super::group::{Group, Raft, Ties};
use super::heal::{heal, is_whole};
use super::health::Health;
use super::limits::{FAULT_LOOK, FOLLOWER_LOST, HEAL_PAUSE, PURGE_EVERY};
use super::log_store::LogStore;
use super::machine::{Life, Machine};
use super::peer::Peers;
use super::reading::Reading;
use super::spread::Spread;
use super::tries::Tries;
use crate::replica::{Fetch, GroupId, Replica};

/// Timing of elections. Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two heartbeats of a leader.
    pub heartbeat_ms: u64,
    /// The shortest time without a leader after which a replica stands for election.
    pub election_ms_min: u64,
    /// The longest; also the lease of a leader.
    pub election_ms_max: u64,
}

impl Timing {
    /// How long a node waits after its start before its groups vote or stand: a leader whom it
    /// granted a lease before it stopped may still count on that.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.election_ms_max)
    }

    /// A follower that has answered an append in so many milliseconds is sent no heartbeat: as many
    /// as leave it a margin before it stands for election.
    fn heartbeat_spared_ms(&self) -> u64 {
        let ticks = self.heartbeat_ms / 2;
        let margin = self
            .election_ms_min
            .saturating_sub(self.heartbeat_ms + ticks);
        margin.saturating_sub(1)
    }

    fn config(&self) -> Result<openraft::Config, openraft::ConfigError> {
        openraft::Config {
            cluster_name: "rookery".into(),
            heartbeat_interval: self.heartbeat_ms,
            heartbeat_min_interval: Some(self.heartbeat_spared_ms()),
            election_timeout_min: self.election_ms_min,
            election_timeout_max: self.election_ms_max,
            // A leader that comes back in its old term with a shorter log would give the same
            // position to another entry.
            enable_leader_restore: Some(false),
            enable_pre_vote: Some(true),
            quorum_loss_probe_interval: Some(2 * self.election_ms_max),
            // Checkpoints are the replica's; openraft is told of them when a purge is due.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            ..openraft::Config::default()
        }
        .validate()
    }
}

/// What a supervisor does when storage has failed for good: end the process.
pub type OnFatal = Arc<dyn Fn(String) + Send + Sync>;

/// The groups of this node. Clones share them.
#[derive(Clone)]
pub struct Groups {
    shared: Arc<Shared>,
}

struct Shared {
    config: Arc<openraft::Config>,
    peers: Peers,
    health: Arc<Health>,
    on_fatal: OnFatal,
    running: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    /// Held while a group is being started, so that none is started twice.
    starting: Mutex<BTreeMap<GroupId, u64>>,
    /// Why replicas on this node are out of service.
    ailing: Mutex<BTreeMap<GroupId, String>>,
    /// Held while a replica of the group is mended and launched.
    mending: Mutex<BTreeMap<GroupId, Arc<tokio::sync::Mutex<()>>>>,
    /// Of the machines that were launched last, also of groups that have stopped since.
    lives: Mutex<BTreeMap<GroupId, Life>>,
    fetch: Arc<dyn Fetch>,
    arrivals: Arc<Arrivals>,
}

impl Groups {
    /// None yet. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// When the timing cannot work, for example a heartbeat slower than an election.
    pub fn new(
        timing: Timing,
        peers: Peers,
        health: Arc<Health>,
        on_fatal: OnFatal,
    ) -> anyhow::Result<Self> {
        let arrivals = Arc::<Arrivals>::default();
        let fetch = Arc::new(Fetcher::new(
            peers.clone(),
            Arc::clone(&health),
            Arc::clone(&arrivals),
            Handle::current(),
        ));
        let shared = Shared {
            config: Arc::new(timing.config()?),
            peers,
            health,
            fetch,
            arrivals,
            ailing: Mutex::default(),
            mending: Mutex::default(),
            lives: Mutex::default(),
            on_fatal,
            running: RwLock::default(),
            starting: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The group, if this node holds a replica of it and it runs.
    #[must_use]
    pub fn get(&self, id: GroupId) -> Option<Arc<Group>> {
        self.shared.running.read().get(&id).cloned()
    }

    /// All that run, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Group>> {
        self.shared.running.read().values().cloned().collect()
    }

    /// Connections to the other nodes.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.shared.peers
    }

    /// How this node and the others are.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.shared.health
    }

    /// Snapshots whose stream broke.
    #[must_use]
    pub fn arrivals(&self) -> &Arrivals {
        &self.shared.arrivals
    }

    /// Good copies from other nodes.
    #[must_use]
    pub fn fetch(&self) -> Arc<dyn Fetch> {
        Arc::clone(&self.shared.fetch)
    }

    /// Why replicas on this node are out of service, by group.
    #[must_use]
    pub fn ailing(&self) -> BTreeMap<GroupId, String> {
        self.shared.ailing.lock().clone()
    }

    /// Notes why the replica of a group on this node is out of service.
    pub fn note_ailing(&self, id: GroupId, why: &impl ToString) {
        let why = why.to_string();
        let mut ailing = self.shared.ailing.lock();
        if ailing.get(&id) != Some(&why) {
            tracing::error!(group = id.0, why, "replica is out of service");
            ailing.insert(id, why);
        }
    }

    /// Starts the replica `replica_id` of a group, and keeps it running. Does nothing when it runs
    /// already. If something of it is damaged it starts later, when that is mended; if it does not
    /// start it is tried again, with what was opened: by then that has written more than whoever
    /// opened it knows.
    pub async fn start(
        &self,
        id: GroupId,
        replica_id: u64,
        replica: Arc<Replica>,
        store: LogStore,
    ) {
        if self.shared.starting.lock().insert(id, replica_id).is_some() {
            return;
        }
        let (looking, log) = (Arc::clone(&replica), store.clone());
        let looked = tokio::task::spawn_blocking(move || is_whole(&looking, &log)).await;
        if looked.unwrap_or(false) {
            match self.mend_and_launch(id, replica_id, &replica, &store).await {
                Ok(group) => return drop(tokio::spawn(self.clone().supervise(group))),
                Err(_) if !self.wants(id, replica_id) => return,
                Err(error) if self.has_stopped(id, &replica, &error) => return,
                Err(_) => {}
            }
        } else {
            self.note_ailing(id, &"damaged: it is being mended");
        }
        tokio::spawn(
            self.clone()
                .start_when_whole(id, replica_id, replica, store),
        );
    }

    /// Notes why a replica did not start; whether it never will, in this process (R3).
    fn has_stopped(&self, id: GroupId, replica: &Replica, error: &anyhow::Error) -> bool {
        match replica.fault() {
            None | Some(Fault::Store(_)) => {
                self.note_ailing(id, &format!("{error:#}"));
                false
            }
            Some(fault) => {
                self.note_ailing(id, &fault);
                metrics::counter!("rookery_group_faults_total").increment(1);
                true
            }
        }
    }

    /// Starts a replica that is damaged once other replicas have given what it lacks.
    async fn start_when_whole(
        self,
        id: GroupId,
        replica_id: u64,
        replica: Arc<Replica>,
        store: LogStore,
    ) {
        while self.wants(id, replica_id) {
            match self.mend_and_launch(id, replica_id, &replica, &store).await {
                Ok(group) => {
                    tracing::info!(group = id.0, "a replica that did not start runs now");
                    return self.supervise(group).await;
                }
                Err(error) if self.wants(id, replica_id) => {
                    if self.has_stopped(id, &replica, &error) {
                        return;
                    }
                }
                Err(_) => return,
            }
            tokio::time::sleep(HEAL_PAUSE).await;
        }
    }

    async fn mend_and_launch(
        &self,
        id: GroupId,
        replica_id: u64,
        replica: &Arc<Replica>,
        store: &LogStore,
    ) -> anyhow::Result<Arc<Group>> {
        let mending = self.mending(id);
        let _mending = mending.lock().await;
        anyhow::ensure!(self.wants(id, replica_id), "it was stopped meanwhile");
        self.end_life(id).await;
        store.settle().await?;
        let (healing, log, fetch) = (Arc::clone(replica), store.clone(), self.fetch());
        let healed = move || heal(&healing, &log, fetch.as_ref());
        tokio::task::spawn_blocking(healed).await??;
        store.bind_lost_vote().await?;
        let group = self.launch(id, replica_id, replica, store).await?;
        self.shared.ailing.lock().remove(&id);
        Ok(group)
    }

    /// What was launched before of the group changes its replica no more.
    async fn end_life(&self, id: GroupId) {
        let life = self.shared.lives.lock().remove(&id);
        if let Some(life) = life {
            life.end().await;
        }
    }

    /// Held while a replica of the group is mended and launched.
    fn mending(&self, id: GroupId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.shared.mending.lock().entry(id).or_default())
    }

    /// Ends the replica of a group on this node for as long as the process runs; another one may
    /// be started then. Does nothing if it does not run.
    pub async fn stop(&self, id: GroupId) {
        // First, so that neither the supervisor nor whoever mends it starts it again.
        self.shared.starting.lock().remove(&id);
        // What is mended now is written to the log: that has to end first.
        let mending = self.mending(id);
        let _mending = mending.lock().await;
        let running = self.shared.running.write().remove(&id);
        if let Some(group) = running {
            group.shutdown().await;
        }
        self.end_life(id).await;
        self.shared.ailing.lock().remove(&id);
    }

    /// Whether that replica of the group shall run.
    fn wants(&self, id: GroupId, replica: u64) -> bool {
        self.shared.starting.lock().get(&id) == Some(&replica)
    }

    async fn launch(
        &self,
        id: GroupId,
        replica_id: u64,
        replica: &Arc<Replica>,
        store: &LogStore,
    ) -> anyhow::Result<Arc<Group>> {
        let (reading, spread) = (Reading::default(), Spread::default());
        let machine = Machine::new(Arc::clone(replica));
        let life = machine.life().clone();
        self.shared.lives.lock().insert(id, life);
        let raft = Raft::new(
            replica_id,
            Arc::clone(&self.shared.config),
            self.shared
                .peers
                .factory(id, replica_id, reading.clone(), spread.clone()),
            store.clone(),
            machine.clone(),
        )
        .await?;
        let group = Arc::new(Group::new(
            id,
            replica_id,
            raft,
            machine,
            store.clone(),
            Ties {
                reading,
                spread,
                health: Arc::clone(&self.shared.health),
                commits: self.peers().commits(),
            },
        ));
        {
            let starting = self.shared.starting.lock();
            if starting.get(&id) == Some(&replica_id) {
                self.shared.running.write().insert(id, Arc::clone(&group));
                return Ok(group);
            }
        }
        group.shutdown().await;
        anyhow::bail!("it was stopped meanwhile")
    }

    /// Purges the logs of all groups from time to time, for as long as the node runs; of each at
    /// most `kept_bytes` stay for followers that do not have them.
    pub async fn purge_logs(self, kept_bytes: u64) {
        let began = Instant::now();
        let is_lost = |replica| {
            let peers = self.peers();
            let heard = peers.node_of(replica).and_then(|node| peers.heard(node));
            heard.unwrap_or_else(|| began.elapsed()) > FOLLOWER_LOST
        };
        loop {
            tokio::time::sleep(PURGE_EVERY).await;
            let (mut entries, mut bytes) = (0, 0);
            for group in self.all() {
                let kept = group.store().kept();
                (entries, bytes) = (entries + kept.0, bytes + kept.1);
                if let Err(error) = group.purge(kept_bytes, is_lost).await {
                    tracing::debug!(group = group.id().0, %error, "log not purged");
                }
            }
            self.sweep_arrivals().await;
            metrics::gauge!("rookery_log_kept_entries").set(entries as f64);
            metrics::gauge!("rookery_log_kept_bytes").set(bytes as f64);
        }
    }

    /// Lets go of snapshots that nobody goes on with: until then nothing of the log is freed.
    async fn sweep_arrivals(&self) {
        let runs = |group, replica| self.wants(group, replica);
        let has_room = self.health().takes_entries();
        let gone = self.arrivals().sweep(Instant::now(), has_room, runs);
        if !gone.is_empty() {
            tracing::info!(count = gone.len(), "snapshots that broke off are given up");
            // Their indexes are removed.
            drop(tokio::task::spawn_blocking(move || drop(gone)).await);
        }
    }

    /// Watches one group's core. A core that stopped is started again from what is durable; a
    /// replica that has met a fault stays down (R3), and a log that is poisoned ends the process.
    async fn supervise(self, mut group: Arc<Group>) {
        let mut tries = Tries::new(Instant::now());
        loop {
            let reason = tokio::select! {
                reason = stopped(group.raft()) => reason,
                reason = faulted(group.rows()) => reason,
            };
            if !self.wants(group.id(), group.replica()) {
                return;
            }
            self.shared.running.write().remove(&group.id());
            let (id, replica_id) = (group.id(), group.replica());
            if group.store().log().is_poisoned() {
                (self.shared.on_fatal)(format!("the log cannot be written: {reason}"));
                return;
            }
            if let Some(fault) = group.rows().fault() {
                self.note_ailing(id, &fault);
                metrics::counter!("rookery_group_faults_total").increment(1);
                // What the store lost comes back; a machine that stopped does not.
                if !matches!(fault, Fault::Store(_)) {
                    drop(group.raft().shutdown().await);
                    return;
                }
            }
            tries.stopped(Instant::now(), group.rows().fault().is_some());
            if tries.are_spent() {
                // A new process puts the index aside and builds it anew.
                (self.shared.on_fatal)(format!("the index cannot be used: {reason}"));
                return;
            }
            tracing::error!(
                group = id.0,
                reason,
                restarts = tries.restarts(),
                "group stopped; starting it again"
            );
            metrics::counter!("rookery_group_restarts_total").increment(1);
            drop(group.raft().shutdown().await);
            group = loop {
                tokio::time::sleep(tries.pause()).await;
                if !self.wants(id, replica_id) {
                    return;
                }
                match self
                    .mend_and_launch(id, replica_id, group.rows(), group.store())
                    .await
                {
                    Ok(started) => break started,
                    Err(error) => {
                        if self.wants(id, replica_id) && self.has_stopped(id, group.rows(), &error)
                        {
                            return;
                        }
                    }
                }
                tries.failed();
            };
            tries.launched(Instant::now());
        }
    }
}

/// Returns the reason once the replica has met a fault, which a core without work does not notice.
async fn faulted(replica: &Replica) -> String {
    loop {
        if let Some(fault) = replica.fault() {
            return fault.to_string();
        }
        tokio::time::sleep(FAULT_LOOK).await;
    }
}

/// Returns the reason once the core has stopped.
async fn stopped(raft: &Raft) -> String {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state {
            return fatal.to_string();
        }
        if metrics.changed().await.is_err() {
            return "its task is gone".into();
        }
    }
}
