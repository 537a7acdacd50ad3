//! Who is who on the wire: certificates, and connections that prove them.
//!
//! ```text
//!   files --read, checked--> Loaded --swapped in whole--> Tls --> every new handshake, both ways
//!                              ^                            |
//!             SIGHUP, or changed files                      +-- Incoming: a node or an operator
//!                                                           +-- dial: a channel to node N
//! ```
//!
//! TLS is terminated here and not by tonic, whose configuration is fixed at start. All that is read
//! from the files becomes one value that is replaced whole, so a certificate never meets another
//! one's key. Connections that are open stay; a new handshake, also of a channel that connects
//! again by itself, takes the newest. Bad files are refused, and what was there before stays.
//!
//! What holds:
//!
//! - Nodes and operators show a certificate of the cluster's own authority, or there is no
//!   connection: nodes where nodes are expected, operators where operators are. What they may do is
//!   decided by their [`Identity`], which the names in the certificate give, and which travels in
//!   each request's extensions as a [`Caller`].
//! - A connection to node 7 succeeds only if the other side proves to be node 7.
//! - Between nodes it is TLS 1.3, and no session is resumed: each connection shows its certificate.
//! - Handshakes are bounded in time and in number, also per address, and never wait for each other.
//!
//! What this does not do: it does not know which nodes are members. A certificate proves the node;
//! whether that node may still speak is the directory's matter.
//!
//! Read on: [`certificates`] for files and their checks, [`identity`](mod@identity) for names,
//! [`accept`] for connections that come in, [`dial`] for those that go out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::TlsFiles;

pub mod accept;
pub mod certificates;
pub mod dial;
pub mod identity;

#[cfg(test)]
mod tests;

pub use accept::{Bounds, Caller, Incoming, TlsIo, grpc_server};
pub use dial::DialError;
pub use identity::{Identity, caller_of, email_of, identity};

use certificates::Loaded;

/// Why certificates cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds nothing that fits, or does not fit another file.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The certificates of this node, always the newest. Clones share them.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    node: u64,
    files: TlsFiles,
    current: ArcSwap<Loaded>,
}

/// The one source of cryptography of this process.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Tls {
    /// Reads and checks all files. `node` is the number that this node's certificate must name.
    ///
    /// # Errors
    ///
    /// When a file is absent or does not hold what it should: a certificate of this authority that
    /// is valid now and names this node, and keys that fit.
    pub fn load(files: &TlsFiles, node: u64) -> Result<Self, TlsError> {
        let loaded = Loaded::read(files, node)?;
        let shared = Shared {
            node,
            files: files.clone(),
            current: ArcSwap::from_pointee(loaded),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Reads the files again. True if they have changed; new handshakes then use them. Blocks on
    /// the disk.
    ///
    /// # Errors
    ///
    /// As [`Tls::load`]; what was loaded before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let shared = &self.shared;
        let contents = certificates::Contents::read(&shared.files)?;
        if contents.digest() == shared.current.load().digest {
            return Ok(false);
        }
        let loaded = Loaded::check(&shared.files, shared.node, &contents)?;
        shared.current.store(Arc::new(loaded));
        Ok(true)
    }

    /// Reads the files again on every SIGHUP, and at least as often as configured; never returns.
    /// Same bad files are reported once, not each time.
    pub async fn watch(self) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        if hangup.is_none() {
            tracing::warn!("SIGHUP cannot be watched; certificates are read again by time alone");
        }
        let mut refused = String::new();
        self.report_expiry();
        loop {
            let asked = async {
                match hangup.as_mut() {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = asked => refused.clear(),
                () = tokio::time::sleep(self.shared.files.reload_every()) => {}
            }
            let tls = self.clone();
            let Ok(outcome) = tokio::task::spawn_blocking(move || tls.reload()).await else {
                continue;
            };
            match outcome {
                Ok(changed) => {
                    refused.clear();
                    if changed {
                        tracing::info!("new certificates are in use");
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != refused {
                        tracing::error!(%error, "certificates refused; the old ones stay in use");
                        refused = error;
                    }
                }
            }
            self.report_expiry();
        }
    }

    /// For nodes that connect: a certificate of the cluster's authority is a must.
    #[must_use]
    pub fn peer_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.current.load().peer_server)
    }

    /// For operators that connect: likewise.
    #[must_use]
    pub fn admin_server(&self) -> Arc<ServerConfig> {
        self.peer_server()
    }

    /// For mail clients: they may show a certificate if there is an authority for them; a wrong one
    /// ends the handshake. [`email_of`] tells whose.
    #[must_use]
    pub fn mail_server(&self) -> Arc<ServerConfig> {
        self.mail().0
    }

    /// The same, and the hash of the certificate that it shows (RFC 5929 section 4).
    #[must_use]
    pub fn mail(&self) -> (Arc<ServerConfig>, Option<bytes::Bytes>) {
        let current = self.shared.current.load();
        let end_point = current.mail_end_point.clone();
        (Arc::clone(&current.mail_server), end_point)
    }

    /// For MTAs that deliver: they may show a certificate of the cluster's authority; a wrong one
    /// ends the handshake. [`caller_of`] tells which.
    #[must_use]
    pub fn lmtp_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.current.load().lmtp_server)
    }

    /// For connections to other nodes; whom to expect is said by [`identity::node_name`].
    #[must_use]
    pub fn peer_client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.shared.current.load().peer_client)
    }

    /// Connections of nodes, and of nobody else, for tonic.
    #[must_use]
    pub fn incoming_peers(&self, listener: tokio::net::TcpListener) -> Incoming {
        let tls = self.clone();
        let admits = |caller: &Identity| matches!(caller, Identity::Node(_));
        accept::incoming_tls(listener, move || tls.peer_server(), Bounds::PEERS, admits)
    }

    /// Connections of operators, and of nobody else, at most so many at a time, for tonic.
    #[must_use]
    pub fn incoming_admins(
        &self,
        listener: tokio::net::TcpListener,
        connections_max: usize,
    ) -> Incoming {
        let tls = self.clone();
        let bounds = Bounds {
            open_max: connections_max,
            ..Bounds::PEERS
        };
        let admits = |caller: &Identity| matches!(caller, Identity::Admin(_));
        accept::incoming_tls(listener, move || tls.admin_server(), bounds, admits)
    }

    /// When the certificates of the node and for mail expire, as time since 1970.
    #[must_use]
    pub fn expires(&self) -> [Duration; 2] {
        self.shared.current.load().expires
    }

    /// Publishes when the certificates expire, for alarms.
    pub fn report_expiry(&self) {
        let [node, mail] = self.expires();
        for (which, expires) in [("node", node), ("mail", mail)] {
            metrics::gauge!("rookery_certificate_expires_seconds", "which" => which)
                .set(expires.as_secs_f64());
        }
    }
}
