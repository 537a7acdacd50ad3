//! Groups of one member in this process: what a core that stops leaves, and how it is begun again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use node::budget::Share;
use node::link::Dial;
use node::raft::limits::{ENTRY_BYTES_MAX, HEAL_TRIES};
use node::raft::types::{Entry, Membership, Vote, raft_log_id};
use node::raft::{Group, GroupError, Groups, Health, LogStore, OnFatal, Peers, Timing, convert};
use node::replica::index::MemoryIndexes;
use node::replica::{
    Applied, Applying, At, Checkpointer, Due, Layers, Machine, Opening, Progress, Referred,
    Replica, open,
};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use prost::Message;
use rows::{Fault, Staged};
use seglog::Log;
use seglog::sim::SimDisk;
use tonic::transport::Channel;

use super::log_store::at;
use crate::replica::rig::{GROUP, KeyValue, REPLICA, WriterThread, options};

/// So that a test ends.
const WAIT: Duration = Duration::from_secs(120);

/// Nobody is reached.
struct Nobody;

impl Dial for Nobody {
    fn dial(
        &self,
        node: u64,
    ) -> Pin<Box<dyn Future<Output = anyhow::Result<Channel>> + Send + '_>> {
        Box::pin(async move { anyhow::bail!("node {node} is not there") })
    }

    fn node_of(&self, _replica: u64) -> Option<u64> {
        None
    }

    fn others(&self, _group: u64) -> Vec<u64> {
        Vec::new()
    }
}

/// Keys and values; the store fails at the first `put shaky`, and what was asked is counted.
#[derive(Default)]
struct Shaky {
    has_failed: AtomicBool,
    applied: AtomicU64,
}

impl Machine for Shaky {
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault> {
        self.applied.fetch_add(1, Ordering::Relaxed);
        if command.starts_with(b"put shaky") && !self.has_failed.swap(true, Ordering::Relaxed) {
            return Err(Fault::Store("as asked".to_owned()));
        }
        KeyValue.apply(rows, at, command)
    }

    fn referred(&self, key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
        KeyValue.referred(key, value)
    }

    fn next_due(&self, rows: &Layers) -> Option<u64> {
        KeyValue.next_due(rows)
    }
}

/// A node with one replica.
struct Node {
    disk: SimDisk,
    log: Log,
    writing: WriterThread,
    store: LogStore,
    replica: Arc<Replica>,
    machine: Arc<Shaky>,
    groups: Groups,
}

impl Node {
    fn on(disk: SimDisk) -> Self {
        let begun = Instant::now();
        let (log, writer, recovered) = loop {
            match seglog::open(Arc::new(disk.clone()), options()) {
                // The tasks of the life before let go of it soon.
                Err(seglog::Error::Locked { .. }) if begun.elapsed() < WAIT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.unwrap(),
            }
        };
        let found = recovered.replicas.get(&REPLICA);
        let recent = Share::new("recent", 16 << 20);
        let store = LogStore::open(log.clone(), REPLICA, found, &recovered.damage, recent).unwrap();
        assert_eq!(store.holes(None).last(), None);
        let machine = Arc::<Shaky>::default();
        let opening = Opening {
            bell: Checkpointer::new().bell(),
            ..Opening::new(
                GROUP,
                REPLICA,
                log.clone(),
                Arc::new(MemoryIndexes::new()),
                Arc::clone(&machine) as Arc<dyn Machine>,
            )
        };
        let replica = open(&opening, found).unwrap();
        replica.attach(Arc::new(store.clone()));
        let frames = Share::new("frames", 16 << 20);
        let peers = Peers::new(Arc::new(Nobody), log.clone(), frames, 1 << 30);
        let timing = Timing {
            heartbeat_ms: 50,
            election_ms_min: 150,
            election_ms_max: 300,
        };
        let on_fatal: OnFatal = Arc::new(|why| panic!("{why}"));
        let health = Arc::new(Health::new(1, 1 << 20, 0));
        let groups = Groups::new(timing, peers, health, on_fatal).unwrap();
        Self {
            disk,
            log,
            writing: WriterThread::start(writer),
            store,
            replica,
            machine,
            groups,
        }
    }

    /// The process ends.
    async fn end(self) -> SimDisk {
        self.groups.stop(GROUP).await;
        drop(self.writing.stop());
        self.disk
    }

    /// Puts into the log what Raft would have put there: a member, and commands, all of them
    /// committed; a checkpoint holds the first.
    async fn fill(&mut self, commands: &[&str]) {
        let members = Membership::new_with_defaults(vec![[REPLICA.0].into()], []);
        let wire = Bytes::from(convert::membership_to_wire(&members).encode_to_vec());
        let mut entries = vec![entry(0, EntryPayload::Membership(members))];
        let commands = commands.iter().map(|text| command(text));
        entries.extend((1..).zip(commands).map(|(index, it)| entry(index, it)));
        let last = entries.len() as u64 - 1;
        self.store
            .save_vote(&Vote::new_committed(1, REPLICA.0))
            .await
            .unwrap();
        self.store
            .append(entries.clone(), IOFlushed::noop())
            .await
            .unwrap();
        self.store
            .save_committed(Some(raft_log_id(at(1, last))))
            .await
            .unwrap();
        let blank = entry(last + 1, EntryPayload::Blank);
        self.store.append([blank], IOFlushed::noop()).await.unwrap();
        self.store.settle().await.unwrap();
        self.replica
            .apply(at(1, 0), Applying::Membership(&wire))
            .unwrap();
        let EntryPayload::Normal(first) = &entries[1].payload else {
            panic!("it is a command")
        };
        let first = Applying::Command {
            time_ms: first.time_ms,
            command: &first.command,
            body_length: 0,
        };
        self.replica.apply(at(1, 1), first).unwrap();
        while self.replica.step(Due::Now) != Progress::Idle {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.replica.checkpointed(), Some(at(1, 1)));
    }

    async fn start(&self) {
        let (replica, store) = (Arc::clone(&self.replica), self.store.clone());
        self.groups.start(GROUP, REPLICA.0, replica, store).await;
    }

    /// The group, once it leads.
    async fn leads(&self) -> Arc<Group> {
        let begun = Instant::now();
        loop {
            if let Some(group) = self.groups.get(GROUP).filter(|group| group.is_leader()) {
                return group;
            }
            assert!(begun.elapsed() < WAIT, "{:?}", self.groups.ailing());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Puts a key through Raft, however often the core is started again meanwhile.
    async fn put(&self, key: &str) {
        let begun = Instant::now();
        while begun.elapsed() < WAIT {
            let command = Bytes::from(format!("put {key} 1"));
            match self.leads().await.propose(1, command, Bytes::new()).await {
                Ok(_) => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("{key} is not put");
    }
}

fn entry(index: u64, payload: node::raft::types::Payload) -> Entry {
    Entry {
        log_id: raft_log_id(at(1, index)),
        payload,
    }
}

fn command(text: &str) -> node::raft::types::Payload {
    EntryPayload::Normal(node::raft::types::Proposal {
        time_ms: 1,
        command: Bytes::copy_from_slice(text.as_bytes()),
        body: node::raft::types::Body::Held(Bytes::new()),
    })
}

/// A command that no log takes is refused before it is appended, and the group goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let node = Node::on(SimDisk::new());
    node.start().await;
    let group = node.groups.get(GROUP).unwrap();
    group.initialize([REPLICA.0].into()).await.unwrap();
    node.put("before").await;
    let (term, last) = (group.status().term, group.status().last_index);
    let large = Bytes::from(vec![7; 5 << 20]);
    let refused = group
        .propose(1, Bytes::from("put large 1"), large.clone())
        .await;
    assert_eq!(refused, Err(GroupError::TooLarge));
    let refused = group
        .propose(1, large.slice(..ENTRY_BYTES_MAX), Bytes::new())
        .await;
    assert_eq!(refused, Err(GroupError::TooLarge));
    assert_eq!(
        (group.status().term, group.status().last_index),
        (term, last)
    );
    node.put("after").await;
    assert!(
        Arc::ptr_eq(&group, &node.leads().await),
        "it was not started again"
    );
    node.end().await;
}

/// R1: an entry that the log refused stops the core, and the next one does not count it.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_disk_has_is_not_counted() {
    let node = Node::on(SimDisk::new());
    node.start().await;
    let members = [REPLICA.0].into();
    node.groups
        .get(GROUP)
        .unwrap()
        .initialize(members)
        .await
        .unwrap();
    node.put("before").await;
    // An entry may be as large, but the records of this log may not.
    let body = Bytes::from(vec![7; 300 << 10]);
    let lost = node
        .leads()
        .await
        .propose(1, Bytes::from("put large 1"), body)
        .await;
    assert_eq!(lost, Err(GroupError::Unknown));
    node.put("after").await;
    let digest = node.replica.digest();

    // All that was counted is on the disk.
    let mut node = Node::on(node.end().await);
    let found = node.store.try_get_log_entries(..).await.unwrap();
    let commands = found.iter().filter_map(|entry| match &entry.payload {
        EntryPayload::Normal(proposal) => Some(proposal.command.clone()),
        _ => None,
    });
    assert_eq!(
        commands.collect::<Vec<_>>(),
        ["put before 1", "put after 1"]
    );
    node.start().await;
    node.put("again").await;
    assert!(node.replica.digest().0 > digest.0);
    node.end().await;
}

/// What stopped the core now and then does not count against a fault of the store, which comes
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_after_many_restarts() {
    let node = Node::on(SimDisk::new());
    node.start().await;
    let group = node.groups.get(GROUP).unwrap();
    group.initialize([REPLICA.0].into()).await.unwrap();
    for number in 0..=HEAL_TRIES {
        let group = node.leads().await;
        // The log does not take it.
        let body = Bytes::from(vec![7; 300 << 10]);
        let lost = group.propose(1, Bytes::from("put large 1"), body).await;
        assert_eq!(lost, Err(GroupError::Unknown));
        node.put(&format!("k{number}")).await;
        assert!(!Arc::ptr_eq(&group, &node.leads().await));
    }
    node.put("shaky").await;
    assert!(node.machine.has_failed.load(Ordering::Relaxed));
    assert_eq!(node.replica.fault(), None);
    node.end().await;
}

/// A replica that meets a fault of its machine while Raft starts is not opened and begun again: it
/// has stopped (R3).
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_stops_at_the_start() {
    let mut node = Node::on(SimDisk::new());
    node.fill(&["put a 1", "put b 1", "fault", "put c 1"]).await;
    let node = Node::on(node.end().await);
    node.start().await;
    assert!(matches!(node.replica.fault(), Some(Fault::Invariant(_))));
    assert!(node.groups.get(GROUP).is_none());
    let why = node.groups.ailing().remove(&GROUP).unwrap();
    assert!(why.contains("as asked"), "{why}");
    // Whoever follows the directory asks again, and it stays as it is.
    let records = node.log.stats().records;
    node.start().await;
    assert_eq!(
        node.machine.applied.load(Ordering::Relaxed),
        2,
        "b, and the fault"
    );
    assert_eq!(node.log.stats().records, records);
    node.end().await;
}

/// A start that fails for another reason is tried again with what was opened: that has written, and
/// whoever opens it from what was found before does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_goes_on() {
    let mut node = Node::on(SimDisk::new());
    node.fill(&["put a 1", "put b 1", "put shaky 1", "put c 1"])
        .await;
    let mut node = Node::on(node.end().await);
    node.start().await;
    node.put("d").await;
    assert!(node.machine.has_failed.load(Ordering::Relaxed));
    let group = node.leads().await;
    assert!(
        Arc::ptr_eq(group.rows(), &node.replica),
        "it was opened once"
    );
    drop(group);
    assert!(node.groups.ailing().is_empty());
    let found = node.store.try_get_log_entries(..).await.unwrap();
    assert!(found.len() > 6, "{}", found.len());
    node.end().await;
}
