//! The way in from other nodes: the `Store` service.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::call::{self, Call, Failure};
use super::limits::{CALLS_AT_ONCE_MAX, FRAME_BYTES_MAX, FRAME_CALLS_MAX};
use super::local::Local;
use super::watch::Hub;
use crate::raft::{CallerNode, Gate};
use crate::replica::GroupId;

/// The `Store` service of this node. Clones share it.
#[derive(Clone)]
pub struct StoreServer {
    local: Arc<Local>,
    hub: Hub,
    gate: Arc<dyn Gate>,
}

impl StoreServer {
    /// Answers from this node's replicas whoever the gate lets in.
    #[must_use]
    pub fn new(local: Arc<Local>, hub: Hub, gate: Arc<dyn Gate>) -> Self {
        Self { local, hub, gate }
    }

    /// Only nodes may call: the extension is set from the caller's certificate.
    fn admit<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = request.extensions().get::<CallerNode>();
        let none = || Status::unauthenticated("the caller's certificate names no node");
        let caller = Caller {
            node: caller.ok_or_else(none)?.0,
            gate: Arc::clone(&self.gate),
        };
        caller.may_go_on()?;
        Ok(caller)
    }
}

/// The node at the other end of a stream.
struct Caller {
    node: u64,
    gate: Arc<dyn Gate>,
}

impl Caller {
    /// It may, unless it was removed since the stream began.
    fn may_go_on(&self) -> Result<(), Status> {
        if !self.gate.was_removed(self.node) {
            return Ok(());
        }
        let node = self.node;
        Err(Status::permission_denied(format!(
            "node {node} was removed from the cluster"
        )))
    }
}

async fn answer(local: Arc<Local>, wire: v1::StoreCall) -> v1::StoreAnswer {
    let id = wire.id;
    let answer = match wire.call.map(Call::from_wire) {
        Some(Ok(call)) => local.answer(GroupId(wire.group), call).await,
        Some(Err(failure)) => Err(failure),
        None => Err(Failure::Invalid("empty call".into())),
    };
    call::answer_to_wire(id, answer)
}

fn answer_bytes(answer: &v1::StoreAnswer) -> usize {
    use v1::store_answer::Answer;
    match &answer.answer {
        Some(Answer::Outcome(bytes) | Answer::Result(bytes)) => bytes.len(),
        Some(Answer::Bodies(read)) => read.parts.iter().map(Bytes::len).sum(),
        _ => 32,
    }
}

async fn serve_calls(
    local: Arc<Local>,
    caller: Caller,
    mut frames: Streaming<v1::StoreCallFrame>,
    answers: mpsc::Sender<Result<v1::StoreAnswerFrame, Status>>,
) {
    let mut pending = FuturesUnordered::new();
    loop {
        let mut frame = v1::StoreAnswerFrame::default();
        let mut bytes = 0;
        tokio::select! {
            incoming = frames.message(), if pending.len() < CALLS_AT_ONCE_MAX => match incoming {
                Ok(Some(incoming)) => {
                    if let Err(removed) = caller.may_go_on() {
                        // Who does not even read hears nothing of it.
                        drop(answers.try_send(Err(removed)));
                        return;
                    }
                    for wire in incoming.calls {
                        pending.push(answer(Arc::clone(&local), wire).boxed());
                    }
                }
                Ok(None) | Err(_) => return,
            },
            Some(done) = pending.next(), if !pending.is_empty() => {
                bytes += answer_bytes(&done);
                frame.answers.push(done);
            }
        }
        while frame.answers.len() < FRAME_CALLS_MAX
            && bytes < FRAME_BYTES_MAX
            && let Some(Some(done)) = pending.next().now_or_never()
        {
            bytes += answer_bytes(&done);
            frame.answers.push(done);
        }
        if !frame.answers.is_empty() && answers.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl v1::store_server::Store for StoreServer {
    type CallStream = ReceiverStream<Result<v1::StoreAnswerFrame, Status>>;

    async fn call(
        &self,
        request: Request<Streaming<v1::StoreCallFrame>>,
    ) -> Result<Response<Self::CallStream>, Status> {
        let caller = self.admit(&request)?;
        let (answers, outgoing) = mpsc::channel(2);
        tokio::spawn(serve_calls(
            Arc::clone(&self.local),
            caller,
            request.into_inner(),
            answers,
        ));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    type WatchStream = ReceiverStream<Result<v1::StoreHintFrame, Status>>;

    async fn watch(
        &self,
        request: Request<v1::StoreWatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.admit(&request)?;
        let (hints, outgoing) = mpsc::channel(2);
        let hub = self.hub.clone();
        tokio::spawn(hub.forward(hints, move || caller.may_go_on()));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}
