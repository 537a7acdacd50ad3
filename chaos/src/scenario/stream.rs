//! What one gRPC stream with TLS carries on this machine, without a disk at either end: the bound
//! of what a node that catches up can get from another one, and so what its rate is compared with.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use node::tls::{Tls, grpc_server};
use proto::v1;
use proto::v1::store_answer::Answer;
use proto::v1::store_client::StoreClient;
use proto::v1::store_server::{Store, StoreServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Bytes of a frame, as snapshots have them.
const FRAME_BYTES: usize = 1 << 20;

/// A frame is a little more than its bytes.
const MESSAGE_BYTES_MAX: usize = 2 * FRAME_BYTES;

/// Frames of the stream.
const FRAMES: usize = 1024;

/// Frames between who makes them and the socket.
const FRAMES_QUEUED: usize = 4;

/// Bytes a second of one stream between two ends of this process, with the certificates of this
/// node.
///
/// # Errors
///
/// When the stream breaks.
pub async fn bytes_per_second(tls: &Tls, node: u64) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let service = StoreServer::new(Source).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let serving = grpc_server()
        .add_service(service)
        .serve_with_incoming(tls.incoming_peers(listener));
    let serving = tokio::spawn(serving);
    let channel = tls.dial(&address, node).await?;
    let mut client = StoreClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (_calls, calls) = mpsc::channel(1);
    let answers = client.call(ReceiverStream::new(calls)).await?;
    let mut answers = answers.into_inner();
    let (began, mut bytes) = (Instant::now(), 0);
    for _ in 0..FRAMES {
        let frame = answers.message().await?.context("the stream ended")?;
        bytes += FRAME_BYTES * frame.answers.len();
    }
    let took = began.elapsed().max(Duration::from_millis(1));
    serving.abort();
    Ok(bytes as f64 / took.as_secs_f64())
}

/// Sends frames for as long as somebody takes them.
struct Source;

#[tonic::async_trait]
impl Store for Source {
    type CallStream = ReceiverStream<Result<v1::StoreAnswerFrame, Status>>;
    type WatchStream = ReceiverStream<Result<v1::StoreHintFrame, Status>>;

    async fn call(
        &self,
        _: Request<Streaming<v1::StoreCallFrame>>,
    ) -> Result<Response<Self::CallStream>, Status> {
        let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED);
        let body = Bytes::from(vec![b'x'; FRAME_BYTES]);
        tokio::spawn(async move {
            loop {
                let answer = v1::StoreAnswer {
                    id: 0,
                    answer: Some(Answer::Result(body.clone())),
                };
                let frame = v1::StoreAnswerFrame {
                    answers: vec![answer],
                };
                if frames.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn watch(
        &self,
        _: Request<v1::StoreWatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only calls are answered"))
    }
}
