//! Append requests on their way to a peer, packed into frames.

use openraft::raft::AppendEntriesRequest;
use proto::v1;
use proto::v1::peer_append_reply::Result as ReplyResult;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::convert::{self, Route};
use super::limits::{FRAME_BYTES_MAX, FRAME_REQUESTS_MAX, LINK_QUEUE_MAX, MESSAGE_BYTES_MAX};
use super::peer::PeerClient;
use super::types::Types;
use crate::link::Frames;

/// An append request on its way.
pub(super) struct Append {
    pub route: Route,
    /// The last index that every follower has.
    pub spread: u64,
    pub request: AppendEntriesRequest<Types>,
}

/// Append requests in frames.
pub(super) struct Appends {
    /// Where bodies by reference are read, when a frame is packed.
    log: seglog::Log,
    /// Bytes of commands and bodies.
    sent: metrics::Counter,
}

impl Appends {
    /// Reads bodies from `log`.
    pub fn new(log: seglog::Log) -> Self {
        Self {
            log,
            sent: metrics::counter!("rookery_replication_sent_bytes_total"),
        }
    }
}

impl Frames for Appends {
    type Request = Append;
    type Reply = Option<ReplyResult>;
    type Outgoing = v1::AppendFrame;
    type Incoming = v1::AppendReplyFrame;
    type Client = PeerClient;

    const REQUESTS_MAX: usize = FRAME_REQUESTS_MAX;
    const BYTES_MAX: usize = FRAME_BYTES_MAX;
    const QUEUE_MAX: usize = LINK_QUEUE_MAX;

    fn client(channel: Channel) -> PeerClient {
        PeerClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    async fn open(
        mut client: PeerClient,
        frames: ReceiverStream<v1::AppendFrame>,
    ) -> Result<Streaming<v1::AppendReplyFrame>, Status> {
        Ok(client.append(frames).await?.into_inner())
    }

    fn put(&self, id: u64, append: Append, frame: &mut v1::AppendFrame) -> Option<usize> {
        let Append {
            route,
            spread,
            request,
        } = append;
        match convert::append_to_wire(id, route, spread, &request, &self.log) {
            Ok(wire) => {
                let bytes: usize = wire.entries.iter().map(entry_bytes).sum();
                self.sent.increment(bytes as u64);
                frame.requests.push(wire);
                Some(bytes)
            }
            Err(error) => {
                tracing::error!(%error, "an entry for a follower cannot be read");
                None
            }
        }
    }

    fn take(frame: v1::AppendReplyFrame) -> Vec<(u64, Option<ReplyResult>)> {
        frame
            .replies
            .into_iter()
            .map(|reply| (reply.id, reply.result))
            .collect()
    }
}

fn entry_bytes(entry: &v1::PeerEntry) -> usize {
    match &entry.payload {
        Some(v1::peer_entry::Payload::Command(command)) => {
            command.command.len() + command.body.len()
        }
        _ => 64,
    }
}
