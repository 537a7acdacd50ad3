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
use crate::raft::CallerNode;
use crate::replica::GroupId;

/// The `Store` service of this node. Clones share it.
#[derive(Clone)]
pub struct StoreServer {
    local: Arc<Local>,
    hub: Hub,
}

impl StoreServer {
    /// Answers from this node's replicas.
    #[must_use]
    pub fn new(local: Arc<Local>, hub: Hub) -> Self {
        Self { local, hub }
    }
}

/// Only nodes may call: the extension is set from the caller's certificate.
fn admit<T>(request: &Request<T>) -> Result<(), Status> {
    match request.extensions().get::<CallerNode>() {
        Some(_) => Ok(()),
        None => Err(Status::unauthenticated(
            "the caller's certificate names no node",
        )),
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
        admit(&request)?;
        let (answers, outgoing) = mpsc::channel(2);
        tokio::spawn(serve_calls(
            Arc::clone(&self.local),
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
        admit(&request)?;
        let (hints, outgoing) = mpsc::channel(2);
        tokio::spawn(self.hub.clone().forward(hints));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}
