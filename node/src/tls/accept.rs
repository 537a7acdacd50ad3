//! TLS connections that come in, for tonic.
//!
//! One task accepts; each handshake is a task of its own, so that a slow client holds up nobody.
//! They are bounded in time, in number, and in number per address. Whatever accepting reports,
//! it goes on: an error there is about one connection, or about descriptors that come free again.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::dial::{
    CONNECTION_WINDOW_BYTES, KEEP_ALIVE_EVERY, KEEP_ALIVE_WAIT, STREAM_WINDOW_BYTES,
};
use super::identity::{Identity, caller_of};

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Handshakes under way; at the bound no more connections are accepted.
    pub pending_max: usize,
    /// Handshakes under way with one address; beyond it, a connection is closed at once.
    pub pending_per_address_max: usize,
    /// How long a handshake may take.
    pub handshake_wait: Duration,
    /// Connections that are open; at the bound no more are accepted.
    pub open_max: usize,
}

impl Bounds {
    /// For nodes: a few connections each, and a restart of all of them at once.
    pub const PEERS: Self = Self {
        pending_max: 256,
        pending_per_address_max: 64,
        handshake_wait: Duration::from_secs(10),
        open_max: 1024,
    };
}

/// Connections that stand ready for the server to take; each holds its place in `open_max`.
const READY_MAX: usize = 16;

/// Pause after accepting failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that one connection may have open: far above what nodes use, far below what hurts.
const STREAMS_MAX: u32 = 1024;

/// Bytes of headers that a request may have.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Who makes a request; in the extensions of every request that came through [`Incoming`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// By its certificate.
    pub identity: Identity,
    /// From where.
    pub address: SocketAddr,
}

/// A server with the windows and keep-alives that fit [`super::Tls::dial`].
#[must_use]
pub fn grpc_server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_WAIT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
}

/// Accepts connections and makes handshakes until the stream is dropped. `config` is asked anew
/// for each connection. Whoever is not among those that it `admits` is sent away at the end of the
/// handshake: others have certificates of the authority too, and shall take no places.
#[must_use]
pub fn incoming_tls(
    listener: TcpListener,
    config: impl Fn() -> Arc<ServerConfig> + Send + 'static,
    bounds: Bounds,
    admits: fn(&Identity) -> bool,
) -> Incoming {
    let (ready, connections) = mpsc::channel(READY_MAX);
    tokio::spawn(accept(listener, config, bounds, admits, ready));
    Incoming { connections }
}

/// Connections whose handshake is done. Never ends and never yields an error.
pub struct Incoming {
    connections: mpsc::Receiver<TlsIo>,
}

impl Stream for Incoming {
    type Item = io::Result<TlsIo>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections
            .poll_recv(cx)
            .map(|connection| connection.map(Ok))
    }
}

async fn accept(
    listener: TcpListener,
    config: impl Fn() -> Arc<ServerConfig>,
    bounds: Bounds,
    admits: fn(&Identity) -> bool,
    ready: mpsc::Sender<TlsIo>,
) {
    let open = Arc::new(Semaphore::new(bounds.open_max));
    let pending = Arc::new(Semaphore::new(bounds.pending_max));
    let per_address = PerAddress::default();
    loop {
        let next = async {
            let open = Arc::clone(&open).acquire_owned().await;
            let pending = Arc::clone(&pending).acquire_owned().await;
            (open, pending, listener.accept().await)
        };
        let (open, pending, accepted) = tokio::select! {
            () = ready.closed() => return,
            next = next => next,
        };
        let (Ok(open), Ok(pending)) = (open, pending) else {
            return;
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = per_address.take(address.ip(), bounds.pending_per_address_max) else {
            metrics::counter!("rookery_tls_refused_total", "why" => "too many").increment(1);
            continue;
        };
        let acceptor = TlsAcceptor::from(config());
        let ready = ready.clone();
        tokio::spawn(async move {
            let handshake = shake_hands(acceptor, stream, address, open);
            let outcome = tokio::time::timeout(bounds.handshake_wait, handshake).await;
            drop((pending, place));
            match outcome {
                Ok(Ok(connection)) if !admits(&connection.caller.identity) => {
                    refused(address, "its certificate is for something else");
                }
                // A server that is gone takes no connections, and needs none.
                Ok(Ok(connection)) => drop(ready.send(connection).await),
                Ok(Err(error)) => refused(address, &error.to_string()),
                Err(_) => refused(address, "it takes too long"),
            }
        });
    }
}

fn refused(address: SocketAddr, why: &str) {
    metrics::counter!("rookery_tls_refused_total", "why" => "handshake").increment(1);
    tracing::debug!(%address, why, "no TLS connection");
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    open: OwnedSemaphorePermit,
) -> io::Result<TlsIo> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let identity = caller_of(stream.get_ref().1).unwrap_or(Identity::Other);
    Ok(TlsIo {
        stream,
        caller: Caller { identity, address },
        _open: open,
    })
}

/// How many handshakes are under way with each address.
#[derive(Default, Clone)]
struct PerAddress {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them; given back when dropped.
struct Place {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl PerAddress {
    fn take(&self, address: IpAddr, max: usize) -> Option<Place> {
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place {
            counts: Arc::clone(&self.counts),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// A connection whose handshake is done; requests on it carry its [`Caller`].
pub struct TlsIo {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    _open: OwnedSemaphorePermit,
}

impl TlsIo {
    /// Who is at the other end.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl Connected for TlsIo {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for TlsIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
