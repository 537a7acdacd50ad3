//! The way out to other nodes.
//!
//! Per peer there are separate connections, so that bulk never delays a heartbeat: one for append
//! requests that carry entries, one for heartbeats and votes, and one for each snapshot. All groups
//! that two nodes share use the same two [`Link`]s.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{Stream, StreamExt, future};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use proto::v1;
use proto::v1::peer_append_reply::Result as ReplyResult;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::appends::{Append, Appends};
use super::commits::Commits;
use super::convert::{self, Route};
use super::hold::Hold;
use super::limits::{HEARTBEAT_MERGE, PIPELINE_MAX, REPLY_WAIT};
use super::reading::Reading;
use super::snapshot;
use super::spread::Spread;
use super::throttle::Throttle;
use super::transfers::{Transfer, Transfers};
use super::types::{self, RaftLogId, Types, Vote};
use crate::budget::{Permit, Share};
use crate::link::{Dial, Frames as _, Link, RECONNECT_WAIT};
use crate::replica::{GroupId, Snapshot};

pub(super) type PeerClient = v1::peer_client::PeerClient<Channel>;

/// All connections of this node to its peers. Clones share them.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<PeersShared>,
}

struct PeersShared {
    dial: Arc<dyn Dial>,
    log: seglog::Log,
    /// What entries on their way to followers may take.
    frames: Arc<Share>,
    snapshots: Bulk,
    links: Mutex<HashMap<u64, Arc<PeerLinks>>>,
}

/// What all snapshots of this node have in common.
pub(super) struct Bulk {
    /// What this node sends.
    pub sending: Throttle,
    /// What it takes in.
    pub taking: Throttle,
    /// What both give way to.
    pub commits: Arc<Commits>,
    pub transfers: Transfers,
}

/// The connections to one peer.
struct PeerLinks {
    appends: Link<Appends>,
    heartbeats: Link<Appends>,
}

impl Peers {
    /// No connection is made before it is needed. `log` is where bodies by reference are read,
    /// `frames` what entries on their way may take in memory, `snapshot_rate` how many bytes of
    /// snapshots may be sent a second, and taken in, unless mail is slow.
    #[must_use]
    pub fn new(
        dial: Arc<dyn Dial>,
        log: seglog::Log,
        frames: Arc<Share>,
        snapshot_rate: u64,
    ) -> Self {
        let commits = Arc::<Commits>::default();
        let throttle = || Throttle::new(snapshot_rate, Arc::clone(&commits));
        let snapshots = Bulk {
            sending: throttle(),
            taking: throttle(),
            commits,
            transfers: Transfers::default(),
        };
        Self {
            shared: Arc::new(PeersShared {
                dial,
                log,
                frames,
                snapshots,
                links: Mutex::default(),
            }),
        }
    }

    /// The factory of connections for one group's replica.
    #[must_use]
    pub fn factory(
        &self,
        group: GroupId,
        replica: u64,
        reading: Reading,
        spread: Spread,
    ) -> Factory {
        Factory {
            peers: self.clone(),
            group,
            replica,
            reading,
            spread,
        }
    }

    /// How long commands take that groups of this node lead through; for this folder.
    pub(super) fn commits(&self) -> Arc<Commits> {
        Arc::clone(&self.shared.snapshots.commits)
    }

    /// The node that holds a replica, if it is known.
    #[must_use]
    pub fn node_of(&self, replica: u64) -> Option<u64> {
        self.shared.dial.node_of(replica)
    }

    /// The other nodes that hold a replica of a group, as far as they are known.
    #[must_use]
    pub fn others(&self, group: GroupId) -> Vec<u64> {
        self.shared.dial.others(group.0)
    }

    /// The snapshots that this node is sending.
    #[must_use]
    pub fn transfers(&self) -> Vec<Transfer> {
        self.shared.snapshots.transfers.all()
    }

    pub(super) fn snapshots(&self) -> &Bulk {
        &self.shared.snapshots
    }

    /// A connection of its own for bulk, which shall not delay anything else.
    ///
    /// # Errors
    ///
    /// When the node does not answer.
    pub(super) async fn bulk(&self, node: u64) -> anyhow::Result<PeerClient> {
        Ok(Appends::client(self.shared.dial.dial(node).await?))
    }

    /// Tells another node how this one is, and answers how that one is; none if it does not answer
    /// within `wait`.
    pub async fn exchange(
        &self,
        node: u64,
        own: v1::PeerCondition,
        wait: Duration,
    ) -> Option<v1::PeerCondition> {
        let mut client = self.links(node).heartbeats.client()?;
        let told = tokio::time::timeout(wait, client.condition(own)).await;
        Some(told.ok()?.ok()?.into_inner())
    }

    /// How long ago the peer answered anything last, if it ever did.
    #[must_use]
    pub fn heard(&self, node: u64) -> Option<Duration> {
        let links = self.shared.links.lock();
        links.get(&node)?.heartbeats.heard()
    }

    fn links(&self, node: u64) -> Arc<PeerLinks> {
        let mut links = self.shared.links.lock();
        let open = |merge| {
            let appends = Appends::new(self.shared.log.clone());
            Link::open(appends, Arc::clone(&self.shared.dial), node, merge)
        };
        Arc::clone(links.entry(node).or_insert_with(|| {
            Arc::new(PeerLinks {
                appends: open(Duration::ZERO),
                heartbeats: open(HEARTBEAT_MERGE),
            })
        }))
    }
}

/// Makes the connections of one group's replica, for openraft.
pub struct Factory {
    peers: Peers,
    group: GroupId,
    replica: u64,
    reading: Reading,
    spread: Spread,
}

impl Factory {
    fn network(&self, target: u64, heartbeats: bool) -> Network {
        Network {
            peers: self.peers.clone(),
            way: Way {
                route: Route {
                    group: self.group,
                    from: self.replica,
                    to: target,
                },
                spread: self.spread.clone(),
                reading: self.reading.clone(),
                heartbeats,
            },
        }
    }
}

impl RaftNetworkFactory<Types> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, _: &openraft::impls::EmptyNode) -> Network {
        self.network(target, false)
    }

    async fn new_heartbeat_client(
        &mut self,
        target: u64,
        _: &openraft::impls::EmptyNode,
    ) -> Network {
        self.network(target, true)
    }
}

/// The way to one replica of one group.
pub struct Network {
    peers: Peers,
    way: Way,
}

/// What all requests on the way to a replica have in common.
#[derive(Clone)]
struct Way {
    route: Route,
    spread: Spread,
    reading: Reading,
    /// Whether it is one for heartbeats.
    heartbeats: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct PeerError(String);

fn unreachable_peer(reason: impl Into<String>) -> Unreachable<Types> {
    Unreachable::new(&PeerError(reason.into()))
}

impl Network {
    fn links(&self) -> Result<Arc<PeerLinks>, Unreachable<Types>> {
        let node = self
            .peers
            .node_of(self.way.route.to)
            .ok_or_else(|| unreachable_peer("no node is known to hold the replica"))?;
        Ok(self.peers.links(node))
    }

    fn control(&self) -> Result<PeerClient, Unreachable<Types>> {
        self.links()?
            .heartbeats
            .client()
            .ok_or_else(|| unreachable_peer("not connected"))
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let wire = v1::PeerVoteRequest {
            route: Some(self.way.route.to_wire()),
            vote: Some(convert::vote_to_wire(&request.vote)),
            last: request.last_log_id.as_ref().map(convert::id_to_wire),
            pre_vote,
            leadership_transfer: request.leadership_transfer,
        };
        let mut client = self.control()?;
        let reply = answer(client.vote(wire), option.hard_ttl()).await?;
        let vote = reply
            .vote
            .ok_or_else(|| unreachable_peer("vote reply without a vote"))?;
        Ok(VoteResponse {
            vote: convert::vote_from_wire(&vote),
            vote_granted: reply.granted,
            last_log_id: reply.last.as_ref().map(convert::id_from_wire),
        })
    }
}

/// The answer to a call, or why there is none within `wait`.
async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    wait: Duration,
) -> Result<T, RPCError<Types>> {
    match tokio::time::timeout(wait, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(unreachable_peer(status.message()).into()),
        Err(_) => Err(unreachable_peer("no answer in time").into()),
    }
}

impl NetBackoff<Types> for Network {
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RECONNECT_WAIT)))
    }
}

type ReplyFuture =
    Pin<Box<dyn Future<Output = Result<StreamAppendResult<Types>, RPCError<Types>>> + Send>>;

/// Sends one request and waits for its reply.
fn send(
    links: &PeerLinks,
    way: &Way,
    request: AppendEntriesRequest<Types>,
    held: Option<Permit>,
) -> ReplyFuture {
    let (prev, term) = (request.prev_log_id, request.vote.leader_id.term);
    let last = request.entries.last().map(|entry| entry.log_id).or(prev);
    let append = Append {
        route: way.route,
        spread: way.spread.index(),
        request,
    };
    let (link, now) = match way.heartbeats {
        true => (&links.heartbeats, way.reading.is_waiting()),
        false => (&links.appends, true),
    };
    let (reading, replica, sent) = (way.reading.clone(), way.route.to, Instant::now());
    let Ok(reply) = link.send(append, now) else {
        return Box::pin(future::ready(Err(unreachable_peer("queue is full").into())));
    };
    Box::pin(async move {
        let _held = held;
        match tokio::time::timeout(REPLY_WAIT, reply).await {
            Ok(Ok(Ok(Some(result)))) => {
                if matches!(result, ReplyResult::Matched(_) | ReplyResult::Conflict(_)) {
                    reading.followed(replica, term, sent);
                }
                result_from_wire(result, prev, last)
            }
            Ok(_) => Err(unreachable_peer("connection lost").into()),
            Err(_) => Err(unreachable_peer("no reply in time").into()),
        }
    })
}

fn result_from_wire(
    result: ReplyResult,
    prev: Option<RaftLogId>,
    last: Option<RaftLogId>,
) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
    match result {
        ReplyResult::Matched(matched) => Ok(Ok(matched
            .last
            .as_ref()
            .map(convert::id_from_wire)
            .or(last))),
        ReplyResult::Conflict(_) => match prev {
            Some(prev) => Ok(Err(StreamAppendError::Conflict(prev))),
            None => {
                Err(NetworkError::new(&PeerError("conflict before the first entry".into())).into())
            }
        },
        ReplyResult::HigherVote(vote) => Ok(Err(StreamAppendError::HigherVote(
            convert::vote_from_wire(&vote),
        ))),
        ReplyResult::Refused(reason) => Err(unreachable_peer(reason).into()),
    }
}

impl NetStreamAppend<Types> for Network {
    // Polls `input` only from within the returned stream: a task of its own would keep openraft's
    // lock on it. The stream ends when `input` has ended and all is answered, or after an error.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        let way = self.way.clone();
        let frames = Arc::clone(&self.peers.shared.frames);
        let links = self.links();
        Box::pin(async move {
            let links = links?;
            let pipeline = Pipeline {
                input,
                frames,
                waiting: None,
                held: Hold::default(),
                replies: FuturesOrdered::new(),
                open: true,
            };
            let stream: BoxStream<'s, _> = Box::pin(futures_util::stream::unfold(
                pipeline,
                move |mut pipeline| {
                    let (links, way) = (Arc::clone(&links), way.clone());
                    async move {
                        let reply = pipeline.next(&links, &way).await?;
                        Some((reply, pipeline))
                    }
                },
            ));
            Ok(stream)
        })
    }
}

/// Requests of one group that are on their way to one follower.
struct Pipeline<S> {
    input: S,
    /// What all entries on their way from this node may take.
    frames: Arc<Share>,
    /// A request for which there is no room in memory yet.
    waiting: Option<AppendEntriesRequest<Types>>,
    held: Hold,
    replies: FuturesOrdered<ReplyFuture>,
    /// More requests may come and no reply was an error.
    open: bool,
}

impl<S: Stream<Item = AppendEntriesRequest<Types>> + Unpin> Pipeline<S> {
    async fn next(
        &mut self,
        links: &PeerLinks,
        way: &Way,
    ) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        loop {
            if !self.open {
                self.waiting = None;
                self.held = Hold::default();
            }
            let has_room = self.open && self.replies.len() < PIPELINE_MAX;
            if !has_room && self.replies.is_empty() {
                return None;
            }
            let wanted = self.waiting.as_ref().map(held_bytes);
            tokio::select! {
                biased;
                Some(reply) = self.replies.next(), if !self.replies.is_empty() => {
                    if !matches!(reply, Ok(Ok(_))) {
                        self.open = false;
                        self.replies = FuturesOrdered::new();
                    }
                    return Some(reply);
                }
                permit = self.frames.take(wanted.unwrap_or(0)), if wanted.is_some() => {
                    if let Some(request) = self.waiting.take() {
                        self.replies.push_back(send(links, way, request, Some(permit)));
                    }
                }
                request = self.held.overdue() => {
                    self.replies.push_back(send(links, way, request, None));
                }
                request = self.input.next(), if has_room && wanted.is_none() => match request {
                    Some(request) => match self.held.pass(request, Instant::now()) {
                        Some(request) if held_bytes(&request) == 0 => {
                            self.replies.push_back(send(links, way, request, None));
                        }
                        request => self.waiting = request,
                    },
                    None => {
                        let held = self.held.take();
                        let sent = held.map(|request| send(links, way, request, None));
                        self.replies.extend(sent);
                        self.open = false;
                    }
                },
            }
        }
    }
}

/// Bytes of a request that are in memory before a frame is packed.
fn held_bytes(request: &AppendEntriesRequest<Types>) -> u64 {
    request.entries.iter().map(types::held_bytes).sum()
}

impl NetVote<Types> for Network {
    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_vote(request, false, option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_vote(request, true, option).await
    }
}

impl NetTransferLeader<Types> for Network {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let wire = v1::PeerTransferRequest {
            route: Some(self.way.route.to_wire()),
            from_leader: Some(convert::vote_to_wire(request.from_leader())),
            to: *request.to_node_id(),
            last: request.last_log_id().map(convert::id_to_wire),
        };
        let mut client = self.control()?;
        let reply = answer(client.transfer_leader(wire), option.hard_ttl()).await?;
        if reply.refused.is_empty() {
            return Ok(Ok(()));
        }
        Ok(Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: *request.from_leader(),
        }))
    }
}

impl NetSnapshot<Types> for Network {
    type SnapshotData = Snapshot;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<Types, Snapshot>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let node = self
            .peers
            .node_of(self.way.route.to)
            .ok_or_else(|| unreachable_peer("no node is known to hold the replica"))?;
        let sent = snapshot::send(&self.peers, node, self.way.route, vote, snapshot.snapshot);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = sent => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(error) => Err(unreachable_peer(format!("{error:#}")).into()),
            },
        }
    }
}
