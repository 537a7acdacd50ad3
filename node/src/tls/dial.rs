//! Connections to other nodes.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::Tls;
use super::identity::node_name;

/// What one stream may have on its way unread, bytes: a round trip of 10 ms at 400 MB/s.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// What one connection may have on its way unread, bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How often a connection is asked whether it is still there.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// How long it may take to say so.
pub const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(5);

/// How long connecting may take, with name lookup and handshake.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// Why there is no connection to a node, with all causes in one line.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to node {node} at {address}: {why}")]
pub struct DialError {
    /// To which node.
    pub node: u64,
    /// Where it was looked for.
    pub address: String,
    /// Why.
    pub why: String,
}

impl Tls {
    /// Connects to a node at `host:port`, which must prove that it is this node. Every call makes
    /// a connection of its own; when it breaks, the channel makes a new one at the next request,
    /// with the newest certificates.
    ///
    /// # Errors
    ///
    /// When nobody answers there within 3 s, or somebody else does.
    pub async fn dial(&self, address: &str, node: u64) -> Result<Channel, DialError> {
        let failed = |why: String| DialError {
            node,
            address: address.to_owned(),
            why,
        };
        let name = node_name(node);
        let connector = Connector {
            tls: self.clone(),
            address: address.to_owned(),
            name: ServerName::try_from(name.clone()).map_err(|error| failed(error.to_string()))?,
        };
        // The scheme is what tonic looks at to see whether it should bring TLS: it should not.
        Endpoint::from_shared(format!("http://{name}"))
            .map_err(|error| failed(causes(&error)))?
            .connect_timeout(CONNECT_WAIT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_WAIT)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
            .map_err(|error| failed(causes(&error)))
    }
}

/// tonic says "transport error" and leaves the reason to the sources.
fn causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        next = error.source();
    }
    words
}

/// Makes the connections of one channel.
struct Connector {
    tls: Tls,
    address: String,
    name: ServerName<'static>,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<TlsStream<TcpStream>>>> + Send>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Connecting {
        let connector = TlsConnector::from(self.tls.peer_client());
        let (address, name) = (self.address.clone(), self.name.clone());
        Box::pin(async move {
            let stream = TcpStream::connect(address.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(connector.connect(name, stream).await?))
        })
    }
}
