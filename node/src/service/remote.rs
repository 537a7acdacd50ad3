//! Calls to other nodes, in frames over one stream per node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::call::{self, Answer, Call, Failure};
use super::limits::{CALL_QUEUE_MAX, FRAME_BYTES_MAX, FRAME_CALLS_MAX, MESSAGE_BYTES_MAX};
use crate::link::{Dial, Frames, Link, Lost};
use crate::replica::GroupId;

/// The client of another node's store service.
pub type StoreClient = v1::store_client::StoreClient<Channel>;

/// The links to all other nodes.
pub struct Remote {
    dial: Arc<dyn Dial>,
    links: Mutex<HashMap<u64, Arc<Link<Calls>>>>,
}

impl Remote {
    /// No connection is made before it is needed.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self {
            dial,
            links: Mutex::default(),
        }
    }

    /// The node that holds `replica`, if it is known.
    #[must_use]
    pub fn node_of(&self, replica: u64) -> Option<u64> {
        self.dial.node_of(replica)
    }

    /// The client for streams of their own, while `node` is connected.
    #[must_use]
    pub fn client(&self, node: u64) -> Option<StoreClient> {
        self.link(node).client()
    }

    /// Asks `node`.
    ///
    /// # Errors
    ///
    /// See [`Failure`]; a broken connection is [`Failure::Unknown`] once the call may have arrived.
    pub async fn ask(&self, node: u64, group: GroupId, call: Call) -> Result<Answer, Failure> {
        let lost = |lost| match lost {
            Lost::NotSent => Failure::Busy("node is not connected".into()),
            Lost::MaybeArrived => Failure::Unknown,
        };
        let answered = self.link(node).send((group, call), true).map_err(lost)?;
        match answered.await {
            Ok(Ok(answer)) => call::answer_from_wire(answer),
            Ok(Err(why)) => Err(lost(why)),
            Err(_) => Err(Failure::Unknown),
        }
    }

    fn link(&self, node: u64) -> Arc<Link<Calls>> {
        let mut links = self.links.lock();
        let open = || {
            Arc::new(Link::open(
                Calls,
                Arc::clone(&self.dial),
                node,
                Duration::ZERO,
            ))
        };
        Arc::clone(links.entry(node).or_insert_with(open))
    }
}

/// Calls in frames.
struct Calls;

impl Frames for Calls {
    type Request = (GroupId, Call);
    type Reply = v1::StoreAnswer;
    type Outgoing = v1::StoreCallFrame;
    type Incoming = v1::StoreAnswerFrame;
    type Client = StoreClient;

    const REQUESTS_MAX: usize = FRAME_CALLS_MAX;
    const BYTES_MAX: usize = FRAME_BYTES_MAX;
    const QUEUE_MAX: usize = CALL_QUEUE_MAX;

    fn client(channel: Channel) -> StoreClient {
        StoreClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    async fn open(
        mut client: StoreClient,
        frames: ReceiverStream<v1::StoreCallFrame>,
    ) -> Result<Streaming<v1::StoreAnswerFrame>, Status> {
        Ok(client.call(frames).await?.into_inner())
    }

    fn put(
        &self,
        id: u64,
        (group, call): Self::Request,
        frame: &mut v1::StoreCallFrame,
    ) -> Option<usize> {
        let bytes = call.bytes();
        frame.calls.push(call.to_wire(id, group.0));
        Some(bytes)
    }

    fn take(frame: v1::StoreAnswerFrame) -> Vec<(u64, v1::StoreAnswer)> {
        frame
            .answers
            .into_iter()
            .map(|answer| (answer.id, answer))
            .collect()
    }
}
