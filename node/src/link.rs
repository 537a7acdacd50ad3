//! A connection to another node over which many requests travel in frames.
//!
//! Raft's append requests and the calls of the store go the same way: callers put requests into a
//! queue, one task packs what is there into frames and sends them over one gRPC stream, another
//! matches the replies to whoever waits. The link connects by itself. When it breaks, everything
//! that waits on it fails at once: failover is as fast as that.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long to wait before connecting to a node again.
pub const RECONNECT_WAIT: Duration = Duration::from_millis(100);

/// Frames between the packer and the socket: few, so that what waits is packed together.
const FRAMES_QUEUED: usize = 2;

/// Opens connections to nodes; the server implements it, which knows addresses and certificates.
pub trait Dial: Send + Sync + 'static {
    /// A new connection to `node`.
    ///
    /// # Errors
    ///
    /// When its address is not known or it does not answer.
    fn dial(&self, node: u64)
    -> Pin<Box<dyn Future<Output = anyhow::Result<Channel>> + Send + '_>>;

    /// The node that holds `replica`, if it is known.
    fn node_of(&self, replica: u64) -> Option<u64>;

    /// The other nodes that hold a replica of `group`, as far as they are known.
    fn others(&self, group: u64) -> Vec<u64>;
}

/// What travels over a link.
pub trait Frames: Send + Sync + 'static {
    /// What is queued.
    type Request: Send + 'static;
    /// What comes back for one request.
    type Reply: Send + 'static;
    /// Many requests on the wire.
    type Outgoing: Default + Send + 'static;
    /// Many replies on the wire.
    type Incoming: Send + 'static;
    /// The gRPC client.
    type Client: Clone + Send + Sync + 'static;

    /// Requests in one frame.
    const REQUESTS_MAX: usize;
    /// Bytes in one frame, give or take one request.
    const BYTES_MAX: usize;
    /// Requests that wait for the link.
    const QUEUE_MAX: usize;

    /// The client on a connection.
    fn client(channel: Channel) -> Self::Client;

    /// Opens the stream.
    fn open(
        client: Self::Client,
        frames: ReceiverStream<Self::Outgoing>,
    ) -> impl Future<Output = Result<Streaming<Self::Incoming>, Status>> + Send;

    /// Puts a request into a frame; answers the bytes that it added, or none if it cannot be sent.
    fn put(&self, id: u64, request: Self::Request, frame: &mut Self::Outgoing) -> Option<usize>;

    /// The replies of a frame and the ids of their requests.
    fn take(frame: Self::Incoming) -> Vec<(u64, Self::Reply)>;
}

/// What a request became of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It never left this node.
    #[error("not sent")]
    NotSent,
    /// It may have arrived.
    #[error("connection lost")]
    MaybeArrived,
}

type Answer<F> = oneshot::Sender<Result<<F as Frames>::Reply, Lost>>;

/// A request on its way into a frame.
struct Queued<F: Frames> {
    request: F::Request,
    answer: Answer<F>,
    /// Whether somebody waits for it: then its frame does not wait for others.
    now: bool,
}

/// One connection to one node.
pub struct Link<F: Frames> {
    queue: mpsc::Sender<Queued<F>>,
    shared: Arc<Shared<F>>,
}

struct Shared<F: Frames> {
    client: Mutex<Option<F::Client>>,
    heard: Mutex<Option<Instant>>,
}

impl<F: Frames> Link<F> {
    /// A link to `node` that connects at once and again whenever it breaks. Requests wait up to
    /// `merge` for each other, to share a frame, unless one is pressing.
    #[must_use]
    pub fn open(frames: F, dial: Arc<dyn Dial>, node: u64, merge: Duration) -> Self {
        let (queue, requests) = mpsc::channel(F::QUEUE_MAX);
        let shared = Arc::new(Shared {
            client: Mutex::new(None),
            heard: Mutex::new(None),
        });
        let driver = Driver {
            frames,
            dial,
            node,
            merge,
            ids: AtomicU64::new(1),
            shared: Arc::clone(&shared),
        };
        tokio::spawn(driver.run(requests));
        Self { queue, shared }
    }

    /// Queues a request; whatever becomes of it is received from the answer. With `now` its frame
    /// leaves as soon as it can, without waiting for others.
    ///
    /// # Errors
    ///
    /// When the queue is full.
    pub fn send(
        &self,
        request: F::Request,
        now: bool,
    ) -> Result<oneshot::Receiver<Result<F::Reply, Lost>>, Lost> {
        let (answer, answered) = oneshot::channel();
        let queued = Queued {
            request,
            answer,
            now,
        };
        self.queue.try_send(queued).map_err(|_| Lost::NotSent)?;
        Ok(answered)
    }

    /// The client for single calls over the same connection, while there is one.
    #[must_use]
    pub fn client(&self) -> Option<F::Client> {
        self.shared.client.lock().clone()
    }

    /// How long ago the node answered last, if it ever did.
    #[must_use]
    pub fn heard(&self) -> Option<Duration> {
        self.shared.heard.lock().map(|at| at.elapsed())
    }
}

/// Keeps the connection and moves the frames.
struct Driver<F: Frames> {
    frames: F,
    dial: Arc<dyn Dial>,
    node: u64,
    merge: Duration,
    ids: AtomicU64,
    shared: Arc<Shared<F>>,
}

type Queue<F> = mpsc::Receiver<Queued<F>>;
type Waiting<F> = Mutex<HashMap<u64, Answer<F>>>;

impl<F: Frames> Driver<F> {
    async fn run(self, mut queue: Queue<F>) {
        while !queue.is_closed() {
            match self.dial.dial(self.node).await {
                Ok(channel) => {
                    let client = F::client(channel);
                    *self.shared.client.lock() = Some(client.clone());
                    self.pump(client, &mut queue).await;
                    *self.shared.client.lock() = None;
                }
                Err(error) => tracing::debug!(node = self.node, %error, "node does not answer"),
            }
            let again = Instant::now() + RECONNECT_WAIT;
            // Whoever waits learns at once, and so does who comes before the next try.
            while let Ok(Some(queued)) = tokio::time::timeout_at(again, queue.recv()).await {
                drop(queued.answer.send(Err(Lost::NotSent)));
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// Moves frames until the connection breaks, then fails all that wait.
    async fn pump(&self, client: F::Client, queue: &mut Queue<F>) {
        let waiting: Waiting<F> = Mutex::default();
        let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED);
        tokio::select! {
            () = self.send_frames(queue, &waiting, frames) => {}
            () = self.receive_frames(client, outgoing, &waiting) => {}
        }
        for (_, answer) in waiting.lock().drain() {
            drop(answer.send(Err(Lost::MaybeArrived)));
        }
    }

    async fn send_frames(
        &self,
        queue: &mut Queue<F>,
        waiting: &Waiting<F>,
        frames: mpsc::Sender<F::Outgoing>,
    ) {
        let mut batch = Vec::with_capacity(F::REQUESTS_MAX);
        loop {
            // A slot first: what comes while the socket is busy travels together.
            let Ok(slot) = frames.reserve().await else {
                return;
            };
            if queue.recv_many(&mut batch, F::REQUESTS_MAX).await == 0 {
                return;
            }
            if !self.merge.is_zero() {
                self.wait_for_more(queue, &mut batch).await;
            }
            let mut slot = Some(slot);
            let mut frame = F::Outgoing::default();
            let mut bytes = 0;
            for Queued {
                request, answer, ..
            } in batch.drain(..)
            {
                let id = self.ids.fetch_add(1, Ordering::Relaxed);
                match self.frames.put(id, request, &mut frame) {
                    Some(added) => {
                        bytes += added.max(1);
                        waiting.lock().insert(id, answer);
                    }
                    None => drop(answer.send(Err(Lost::NotSent))),
                }
                if bytes >= F::BYTES_MAX {
                    let full = std::mem::take(&mut frame);
                    bytes = 0;
                    match slot.take() {
                        Some(slot) => slot.send(full),
                        None if frames.send(full).await.is_err() => return,
                        None => {}
                    }
                }
            }
            if bytes > 0 {
                match slot.take() {
                    Some(slot) => slot.send(frame),
                    None if frames.send(frame).await.is_err() => return,
                    None => {}
                }
            }
        }
    }

    /// Lets requests that are not pressing wait for each other.
    async fn wait_for_more(&self, queue: &mut Queue<F>, batch: &mut Vec<Queued<F>>) {
        let until = Instant::now() + self.merge;
        while batch.len() < F::REQUESTS_MAX && !batch.iter().any(|queued| queued.now) {
            match tokio::time::timeout_at(until, queue.recv()).await {
                Ok(Some(queued)) => batch.push(queued),
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn receive_frames(
        &self,
        client: F::Client,
        outgoing: mpsc::Receiver<F::Outgoing>,
        waiting: &Waiting<F>,
    ) {
        let mut replies = match F::open(client, ReceiverStream::new(outgoing)).await {
            Ok(replies) => replies,
            Err(status) => {
                tracing::debug!(node = self.node, %status, "stream refused");
                return;
            }
        };
        while let Ok(Some(frame)) = replies.message().await {
            *self.shared.heard.lock() = Some(Instant::now());
            let mut waiting = waiting.lock();
            for (id, reply) in F::take(frame) {
                if let Some(answer) = waiting.remove(&id) {
                    drop(answer.send(Ok(reply)));
                }
            }
        }
    }
}
