//! The way in from other nodes: the `Peer` service.
//!
//! Requests of one group are handed to openraft in the order in which they came; replies of
//! different groups do not wait for each other. The caller's certificate says which node it is; it
//! may speak only for replicas that the directory placed there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::raft::{AppendEntriesResponse, TransferLeaderRequest, VoteRequest};
use proto::v1;
use proto::v1::peer_append_reply::Result as ReplyResult;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, Route};
use super::fetch;
use super::group::Group;
use super::groups::Groups;
use super::limits::FRAME_REQUESTS_MAX;
use super::snapshot;
use super::types::{Types, held_bytes};
use crate::replica::GroupId;

/// Who calls, as its certificate proves. Put into a request's extensions by the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerNode(pub u64);

/// What the service asks of the layers above.
pub trait Gate: Send + Sync + 'static {
    /// Whether `node` may speak for `replica` of `group`. A replica that nobody knows yet may be
    /// one that the directory placed a moment ago: then the caller is asked to come again.
    fn speaks_for(&self, node: u64, group: GroupId, replica: u64) -> bool;

    /// Whether the directory has removed that node, which may do nothing any more: it is asked for
    /// each frame of a stream, as streams stay open for long.
    fn was_removed(&self, node: u64) -> bool;

    /// This node's clock, milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Another node says what came of logins there.
    fn heard_logins(&self, logins: &[v1::PeerLogin]);

    /// This node is told which replica of the directory it holds.
    ///
    /// # Errors
    ///
    /// When it belongs to another cluster already.
    fn welcome(
        &self,
        request: v1::WelcomeRequest,
    ) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send + '_>>;
}

/// The `Peer` service of this node.
pub struct PeerService {
    pub(super) groups: Groups,
    gate: Arc<dyn Gate>,
}

impl PeerService {
    /// Serves `groups`.
    #[must_use]
    pub fn new(groups: Groups, gate: Arc<dyn Gate>) -> Self {
        Self { groups, gate }
    }

    /// The group that `route` leads to, if the caller may use it.
    pub(super) fn group(&self, caller: CallerNode, route: Route) -> Result<Arc<Group>, String> {
        if !self.gate.speaks_for(caller.0, route.group, route.from) {
            return Err(format!(
                "node {} does not hold replica {}",
                caller.0, route.from
            ));
        }
        self.groups
            .get(route.group)
            .filter(|group| group.replica() == route.to)
            .ok_or_else(|| format!("no replica {} of group {} here", route.to, route.group.0))
    }
}

fn caller<T>(request: &Request<T>) -> Result<CallerNode, Status> {
    request
        .extensions()
        .get::<CallerNode>()
        .copied()
        .ok_or_else(|| Status::unauthenticated("the caller's certificate names no node"))
}

type Reply = Pin<Box<dyn Future<Output = v1::PeerAppendReply> + Send>>;

/// Starts one request and polls it once, which puts it into the queue of its group's core: so the
/// order of arrival is the order of work. The queue is longer than what links hold, so it has room;
/// and the poll must not be put off to let other tasks run, or the next request would pass it.
async fn begin(mut reply: Reply) -> Result<v1::PeerAppendReply, Reply> {
    let first = std::future::poll_fn(|context| {
        let polled = tokio::task::unconstrained(reply.as_mut());
        Poll::Ready(std::pin::pin!(polled).poll(context))
    });
    match first.await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => Err(reply),
    }
}

fn refused(id: u64, reason: impl Into<String>) -> v1::PeerAppendReply {
    v1::PeerAppendReply {
        id,
        result: Some(ReplyResult::Refused(reason.into())),
    }
}

/// The future answer to one append request.
fn append(service: &PeerService, caller: CallerNode, wire: v1::PeerAppendRequest) -> Reply {
    let (id, spread) = (wire.id, wire.spread);
    let found = Route::from_wire(wire.route.as_ref())
        .map_err(|error| error.to_string())
        .and_then(|route| service.group(caller, route));
    let request = convert::append_from_wire(wire).map_err(|error| error.to_string());
    let (group, request) = match (found, request) {
        (Ok(group), Ok(request)) => (group, request),
        (Err(reason), _) | (_, Err(reason)) => {
            return Box::pin(std::future::ready(refused(id, reason)));
        }
    };
    if !request.entries.is_empty() {
        let bytes = request.entries.iter().map(held_bytes).sum();
        metrics::counter!("rookery_replication_taken_bytes_total").increment(bytes);
    }
    // Refused here, where it is only a delay: an error inside openraft's append is final.
    if !request.entries.is_empty() && !group.has_room() {
        metrics::counter!("rookery_appends_without_room_total").increment(1);
        return Box::pin(std::future::ready(refused(id, "the log has no room")));
    }
    let prev = request.prev_log_id;
    let last = request.entries.last().map(|entry| entry.log_id).or(prev);
    Box::pin(async move {
        let result = match group.raft().append_entries(request).await {
            Ok(AppendEntriesResponse::Success) => {
                group.spread().set(spread);
                ReplyResult::Matched(v1::PeerMatched {
                    last: last.as_ref().map(convert::id_to_wire),
                })
            }
            Ok(AppendEntriesResponse::PartialSuccess(upto)) => {
                ReplyResult::Matched(v1::PeerMatched {
                    last: upto.as_ref().map(convert::id_to_wire),
                })
            }
            Ok(AppendEntriesResponse::Conflict) => match prev {
                Some(prev) => ReplyResult::Conflict(convert::id_to_wire(&prev)),
                None => ReplyResult::Refused("conflict before the first entry".into()),
            },
            Ok(AppendEntriesResponse::HigherVote(vote)) => {
                ReplyResult::HigherVote(convert::vote_to_wire(&vote))
            }
            Err(error) => ReplyResult::Refused(error.to_string()),
        };
        v1::PeerAppendReply {
            id,
            result: Some(result),
        }
    })
}

/// Answers the frames of one stream until it ends.
async fn serve_appends(
    service: Arc<PeerService>,
    caller: CallerNode,
    mut frames: Streaming<v1::AppendFrame>,
    replies: mpsc::Sender<Result<v1::AppendReplyFrame, Status>>,
) {
    let mut pending: FuturesUnordered<Reply> = FuturesUnordered::new();
    loop {
        let mut frame = v1::AppendReplyFrame::default();
        tokio::select! {
            incoming = frames.message() => match incoming {
                Ok(Some(incoming)) => {
                    for wire in incoming.requests {
                        match begin(append(&service, caller, wire)).await {
                            Ok(done) => frame.replies.push(done),
                            Err(reply) => pending.push(reply),
                        }
                    }
                }
                Ok(None) | Err(_) => return,
            },
            Some(done) = pending.next(), if !pending.is_empty() => frame.replies.push(done),
        }
        while frame.replies.len() < FRAME_REQUESTS_MAX
            && let Poll::Ready(Some(done)) = futures_util::poll!(pending.next())
        {
            frame.replies.push(done);
        }
        if !frame.replies.is_empty() && replies.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}

/// The service as tonic wants it. Clones share it.
#[derive(Clone)]
pub struct PeerServer(pub Arc<PeerService>);

#[tonic::async_trait]
impl v1::peer_server::Peer for PeerServer {
    type AppendStream = ReceiverStream<Result<v1::AppendReplyFrame, Status>>;
    type SnapshotStream = ReceiverStream<Result<v1::SnapshotReply, Status>>;
    type EntriesStream = ReceiverStream<Result<v1::EntriesFrame, Status>>;
    type CheckpointStream = ReceiverStream<Result<v1::CheckpointFrame, Status>>;
    type BodiesStream = ReceiverStream<Result<v1::BodiesFrame, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendFrame>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let caller = caller(&request)?;
        let (replies, outgoing) = mpsc::channel(2);
        tokio::spawn(serve_appends(
            Arc::clone(&self.0),
            caller,
            request.into_inner(),
            replies,
        ));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn vote(
        &self,
        request: Request<v1::PeerVoteRequest>,
    ) -> Result<Response<v1::PeerVoteReply>, Status> {
        let caller = caller(&request)?;
        let wire = request.into_inner();
        let group = self.routed(caller, wire.route.as_ref())?;
        let vote = wire
            .vote
            .as_ref()
            .ok_or_else(|| Status::invalid_argument("no vote"))?;
        let ask = VoteRequest::<Types> {
            vote: convert::vote_from_wire(vote),
            last_log_id: wire.last.as_ref().map(convert::id_from_wire),
            leadership_transfer: wire.leadership_transfer,
        };
        let answer = if wire.pre_vote {
            group.raft().pre_vote(ask).await
        } else {
            group.raft().vote(ask).await
        }
        .map_err(stopped)?;
        Ok(Response::new(v1::PeerVoteReply {
            vote: Some(convert::vote_to_wire(&answer.vote)),
            granted: answer.vote_granted,
            last: answer.last_log_id.as_ref().map(convert::id_to_wire),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::PeerTransferRequest>,
    ) -> Result<Response<v1::PeerTransferReply>, Status> {
        let caller = caller(&request)?;
        let wire = request.into_inner();
        let group = self.routed(caller, wire.route.as_ref())?;
        let from = wire
            .from_leader
            .as_ref()
            .ok_or_else(|| Status::invalid_argument("no vote"))?;
        let ask = TransferLeaderRequest::<Types>::new(
            convert::vote_from_wire(from),
            wire.to,
            wire.last.as_ref().map(convert::id_from_wire),
        );
        let answer = group
            .raft()
            .handle_transfer_leader(ask)
            .await
            .map_err(stopped)?;
        let refused = answer
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        Ok(Response::new(v1::PeerTransferReply { refused }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let caller = caller(&request)?;
        let (replies, outgoing) = mpsc::channel(2);
        let service = Arc::clone(&self.0);
        tokio::spawn(async move {
            snapshot::receive(service, caller, request.into_inner(), replies).await;
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn bodies(
        &self,
        request: Request<v1::BodiesRequest>,
    ) -> Result<Response<Self::BodiesStream>, Status> {
        caller(&request)?;
        let wire = request.into_inner();
        let (frames, outgoing) = mpsc::channel(2);
        let replica = Arc::clone(self.held(wire.group)?.rows());
        let peers = self.0.groups.peers().clone();
        tokio::task::spawn_blocking(move || {
            snapshot::send_bodies(&peers, &replica, &wire.ids, &frames);
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn condition(
        &self,
        request: Request<v1::PeerCondition>,
    ) -> Result<Response<v1::PeerCondition>, Status> {
        let caller = caller(&request)?;
        let health = self.0.groups.health();
        let now_ms = self.0.gate.now_ms();
        health.heard(caller.0, request.get_ref(), now_ms);
        self.0.gate.heard_logins(&request.get_ref().logins);
        Ok(Response::new(health.to_wire(now_ms)))
    }

    async fn entries(
        &self,
        request: Request<v1::EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        caller(&request)?;
        let wire = request.into_inner();
        let group = self.held(wire.group)?;
        let (frames, outgoing) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || fetch::send_entries(&group, &wire.ids, &frames));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn checkpoint(
        &self,
        request: Request<v1::CheckpointRequest>,
    ) -> Result<Response<Self::CheckpointStream>, Status> {
        caller(&request)?;
        let wire = request.into_inner();
        let replica = Arc::clone(self.held(wire.group)?.rows());
        let (frames, outgoing) = mpsc::channel(2);
        let peers = self.0.groups.peers().clone();
        tokio::task::spawn_blocking(move || {
            fetch::send_checkpoint(&peers, &replica, wire.least, &frames);
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn welcome(
        &self,
        request: Request<v1::WelcomeRequest>,
    ) -> Result<Response<v1::WelcomeReply>, Status> {
        caller(&request)?;
        self.0.gate.welcome(request.into_inner()).await?;
        Ok(Response::new(v1::WelcomeReply {}))
    }
}

impl PeerServer {
    fn held(&self, group: u64) -> Result<Arc<Group>, Status> {
        let group = self.0.groups.get(GroupId(group));
        group.ok_or_else(|| Status::not_found("no such group here"))
    }

    fn routed(
        &self,
        caller: CallerNode,
        route: Option<&v1::PeerRoute>,
    ) -> Result<Arc<Group>, Status> {
        let route =
            Route::from_wire(route).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.0.group(caller, route).map_err(Status::unavailable)
    }
}

fn stopped(error: impl std::error::Error) -> Status {
    Status::unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::{Reply, begin, refused};

    #[tokio::test]
    async fn requests_are_begun_in_order() {
        let (queue, mut queued) = mpsc::channel(4096);
        let mut waiting = Vec::new();
        for id in 0..1000 {
            let queue = queue.clone();
            let reply: Reply = Box::pin(async move {
                queue.send(id).await.unwrap();
                std::future::pending::<()>().await;
                refused(id, "never")
            });
            waiting.push(begin(reply).await.unwrap_err());
        }
        let begun: Vec<u64> = std::iter::from_fn(|| queued.try_recv().ok()).collect();
        assert_eq!(begun, (0..1000).collect::<Vec<u64>>());
        drop(waiting);
    }
}
