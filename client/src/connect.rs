//! A connection to the admin listener of a node, with certificates on both sides.

use std::error::Error as StdError;
use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use crate::Error;
use crate::limits::CONNECT_WAIT;

/// The name that the certificate of every node holds, and nobody else's.
pub const ANY_NODE: &str = "rookery-admin.internal";

/// Where an operator's certificate and key are, PEM; `rookeryd pki admin` makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The authority of the cluster.
    pub ca: PathBuf,
    /// The operator's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Credentials {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut roots = RootCertStore::empty();
        for authority in chain(&self.ca)? {
            roots
                .add(authority)
                .map_err(|error| unfit(&self.ca, &error))?;
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| unfit(&self.key, &"holds no private key"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain(&self.cert)?, key)
            .map_err(|error| unfit(&self.cert, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn unfit(path: &Path, why: &dyn ToString) -> Error {
    Error::Credentials {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unfit(path, &error))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(path, &format!("not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(unfit(path, &"holds no certificate"));
    }
    Ok(chain)
}

/// Connects to `host:port`; the other side must be a node. The error is one line, with its causes.
pub(crate) async fn connect(address: &str, tls: &Arc<ClientConfig>) -> Result<Channel, String> {
    let connector = Connector {
        tls: Arc::clone(tls),
        address: address.to_owned(),
    };
    // The scheme tells tonic to leave TLS to the connector.
    Endpoint::from_static("http://rookery-admin.internal")
        .connect_timeout(CONNECT_WAIT)
        .connect_with_connector(connector)
        .await
        .map_err(|error| causes(&error))
}

/// tonic says "transport error" and leaves the reason to the sources.
pub(crate) fn causes(error: &dyn StdError) -> String {
    let mut words = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if text != "transport error" && !words.iter().any(|word: &String| word.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    if words.is_empty() {
        error.to_string()
    } else {
        words.join(": ")
    }
}

struct Connector {
    tls: Arc<ClientConfig>,
    address: String,
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
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        let address = self.address.clone();
        Box::pin(async move {
            let name = ServerName::try_from(ANY_NODE).expect("it is a domain name");
            let stream = TcpStream::connect(address.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(tls.connect(name, stream).await?))
        })
    }
}
