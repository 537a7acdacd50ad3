//! Good copies from other nodes, for what is damaged here.
//!
//! ```text
//!   entries      as the other's log holds them; compared with the checksum of the damaged record
//!   bodies       of entries that are purged; compared with the hash in the row
//!   checkpoint   rows of a replica that has lost its own, or cannot have an entry any other way
//! ```
//!
//! Any replica will do: entries are asked for by index and term, which name one payload (R5), and a
//! checkpoint holds what is committed. The calls block, for the threads that mend.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use prost::Message as _;
use proto::v1;
use proto::v1::checkpoint_frame::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::arrivals::Arrivals;
use super::convert;
use super::group::Group;
use super::health::Health;
use super::limits::{BODIES_FRAME_BYTES, FETCH_DIAL_WAIT, FETCH_SILENCE_MAX};
use super::peer::Peers;
use super::snapshot;
use super::types::{log_id, raft_log_id};
use crate::replica::{Arrival, Chunks, Fetch, GroupId, LogId, Referred, Replica, Snapshot};

/// Asks the other nodes that hold replicas of a group.
pub struct Fetcher {
    peers: Peers,
    health: Arc<Health>,
    /// Checkpoints that broke off, for the next try.
    arrivals: Arc<Arrivals>,
    runtime: Handle,
}

impl Fetcher {
    /// Asks over `peers`, on this runtime, for a node that is as `health` says; what came of a
    /// checkpoint that broke off is in `arrivals`.
    #[must_use]
    pub fn new(
        peers: Peers,
        health: Arc<Health>,
        arrivals: Arc<Arrivals>,
        runtime: Handle,
    ) -> Self {
        Self {
            peers,
            health,
            arrivals,
            runtime,
        }
    }

    async fn entries_from(
        &self,
        node: u64,
        request: v1::EntriesRequest,
    ) -> anyhow::Result<Vec<(LogId, Vec<Bytes>)>> {
        let mut client = within(FETCH_DIAL_WAIT, self.peers.bulk(node)).await??;
        let mut frames = client.entries(request).await?.into_inner();
        let mut found = Vec::new();
        while let Some(frame) = within(FETCH_SILENCE_MAX, frames.message()).await?? {
            for wire in frame.entries {
                let entry = convert::entry_from_wire(wire)?;
                found.push((log_id(&entry.log_id), convert::entry_to_log(&entry)));
            }
        }
        Ok(found)
    }

    async fn checkpoint_from(
        &self,
        node: u64,
        replica: &Arc<Replica>,
        least: u64,
    ) -> anyhow::Result<Snapshot> {
        snapshot::check_room(&self.health, 0)?;
        let mut client = within(FETCH_DIAL_WAIT, self.peers.bulk(node)).await??;
        let request = v1::CheckpointRequest {
            group: replica.group().0,
            least,
        };
        let mut frames = client.checkpoint(request).await?.into_inner();
        let Frame::Begin(begin) = next(&mut frames).await? else {
            anyhow::bail!("a checkpoint begins with what it is of");
        };
        let at = begin.last.as_ref().map(snapshot::from_wire);
        let at = at.filter(|at| at.index >= least);
        let at = at.context("it does not hold what is needed")?;
        let members = begin.membership;
        let membership = snapshot::members_from_wire(members, begin.membership_id.as_ref());
        let mut arrival = self.arrivals.go_on(replica, at, membership)?;
        if let Err(error) = self.bring(&mut arrival, frames).await {
            self.arrivals.broke_off(arrival, &error);
            return Err(error);
        }
        Ok(Snapshot {
            last: Some(at),
            membership: arrival.membership().cloned(),
            chunks: Chunks::from(arrival),
        })
    }

    /// All rows, then all bodies that are not here.
    async fn bring(&self, arrival: &mut Arrival, mut frames: Frames) -> anyhow::Result<()> {
        let group = arrival.replica().group();
        let room = |bytes| snapshot::check_room(&self.health, bytes);
        // The chunks come from the first on: those that came before are passed over.
        let came = arrival.cursor().chunk;
        let mut number = 0;
        while !arrival.is_whole() {
            let Frame::Chunk(chunk) = next(&mut frames).await? else {
                anyhow::bail!("a checkpoint begins once");
            };
            number += 1;
            if number <= came {
                continue;
            }
            room(arrival.base_bytes())?;
            arrival.push(&chunk)?;
        }
        let nodes = self.peers.others(group);
        arrival.rewind();
        loop {
            let wanted = arrival.wanted()?;
            room(arrival.base_bytes())?;
            if wanted.is_empty() {
                return Ok(());
            }
            // What came is kept, also if nobody has the rest: by the next try there is a newer
            // checkpoint, of which the rows do not refer to that.
            let (bodies, missing) = snapshot::fetch(&self.peers, &nodes, group, wanted).await;
            arrival.put(bodies)?;
            snapshot::check_none_missing(&missing)?;
        }
    }
}

type Frames = Streaming<v1::CheckpointFrame>;

async fn next(frames: &mut Frames) -> anyhow::Result<Frame> {
    let frame = within(FETCH_SILENCE_MAX, frames.message()).await??;
    let frame = frame.and_then(|frame| frame.frame);
    frame.context("the stream ended before the last chunk")
}

async fn within<T>(wait: Duration, what: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::time::timeout(wait, what).await?)
}

impl Fetch for Fetcher {
    fn entries(&self, group: GroupId, wanted: &[LogId]) -> Vec<(LogId, Vec<Bytes>)> {
        let mut missing = wanted.to_vec();
        let mut found = Vec::new();
        for node in self.peers.others(group) {
            if missing.is_empty() {
                break;
            }
            let ids = missing.iter();
            let request = v1::EntriesRequest {
                group: group.0,
                ids: ids
                    .map(|id| convert::id_to_wire(&raft_log_id(*id)))
                    .collect(),
            };
            match self.runtime.block_on(self.entries_from(node, request)) {
                Ok(entries) => {
                    missing.retain(|id| entries.iter().all(|(found, _)| found != id));
                    found.extend(entries);
                }
                Err(error) => {
                    tracing::info!(node, error = format!("{error:#}"), "entries not fetched");
                }
            }
        }
        found
    }

    fn bodies(&self, group: GroupId, wanted: Vec<Referred>) -> Vec<(Referred, Bytes)> {
        let nodes = self.peers.others(group);
        let fetched = snapshot::fetch(&self.peers, &nodes, group, wanted);
        self.runtime.block_on(fetched).0
    }

    fn checkpoint(&self, replica: &Arc<Replica>, least: u64) -> Option<Snapshot> {
        let mut nodes = self.peers.others(replica.group()).into_iter();
        nodes.find_map(|node| {
            let fetched = self.checkpoint_from(node, replica, least);
            match self.runtime.block_on(fetched) {
                Ok(snapshot) => Some(snapshot),
                Err(error) => {
                    let (group, error) = (replica.group().0, format!("{error:#}"));
                    tracing::info!(group, node, error, "checkpoint not fetched");
                    None
                }
            }
        })
    }
}

/// Sends the entries that this replica's log lists and can read. Blocks on the disk.
pub(super) fn send_entries(
    group: &Group,
    ids: &[v1::PeerLogId],
    frames: &mpsc::Sender<Result<v1::EntriesFrame, Status>>,
) {
    let mut frame = v1::EntriesFrame::default();
    let mut bytes = 0;
    for wire in ids {
        let id = log_id(&convert::id_from_wire(wire));
        match group.store().whole_entry(id) {
            Ok(Some(entry)) => {
                bytes += entry.encoded_len();
                frame.entries.push(entry);
            }
            Ok(None) => {}
            Err(error) => tracing::info!(%error, "an entry that another replica asks for"),
        }
        if bytes >= BODIES_FRAME_BYTES {
            bytes = 0;
            let full = std::mem::take(&mut frame);
            if frames.blocking_send(Ok(full)).is_err() {
                return;
            }
        }
    }
    if !frame.entries.is_empty() {
        drop(frames.blocking_send(Ok(frame)));
    }
}

/// Sends a checkpoint that holds at least the entries up to `least`, as fast as the rate for
/// snapshots allows. Blocks on the disk.
pub(super) fn send_checkpoint(
    peers: &Peers,
    replica: &Replica,
    least: u64,
    frames: &mpsc::Sender<Result<v1::CheckpointFrame, Status>>,
) {
    let send = || -> anyhow::Result<()> {
        let mut snapshot = replica.last_checkpoint()?;
        if snapshot.last.is_none_or(|at| at.index < least) {
            snapshot = replica.snapshot()?;
        }
        ensure!(
            snapshot.last.is_some_and(|at| at.index >= least),
            "entry {least} is not applied here"
        );
        let members = snapshot.membership.as_ref();
        let (membership, membership_id) = snapshot::members_to_wire(members)?;
        let begin = v1::CheckpointBegin {
            last: snapshot.last.map(snapshot::to_wire),
            membership,
            membership_id,
        };
        let frame = |frame| v1::CheckpointFrame { frame: Some(frame) };
        frames.blocking_send(Ok(frame(Frame::Begin(begin))))?;
        for chunk in snapshot.chunks.iter() {
            let chunk = chunk?;
            std::thread::sleep(peers.snapshots().sending.count(chunk.len()));
            frames.blocking_send(Ok(frame(Frame::Chunk(chunk))))?;
        }
        Ok(())
    };
    if let Err(error) = send() {
        drop(frames.blocking_send(Err(Status::unavailable(format!("{error:#}")))));
    }
}
