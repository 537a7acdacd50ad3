//! What an operator asks a cluster, typed; and the command line `rookery` on top of it.
//!
//! ```text
//!   rookery (cli) --args--> Admin --mutual TLS--> the admin listener of any node
//!        |                    |
//!        v                    +-- several endpoints, tried in turn
//!   tables, JSON, exit code   +-- a deadline on each call
//! ```
//!
//! Any node answers for the whole cluster: what only a leader can do, the node asks of the leader.
//! So an [`Admin`] needs no more than one endpoint that works, and takes the first that does.
//!
//! What holds:
//!
//! - The other side proves to be a node of the cluster: a certificate of the cluster's authority
//!   with the name that only nodes have. Which node is not asked.
//! - What only reads goes on to the next endpoint when one fails. What changes something is sent
//!   once, to an endpoint that has just answered: if its answer is lost, whether it was done is
//!   not known, and the error says so.
//! - Every call ends by its deadline.
//!
//! What this does not do: it keeps no state between runs, and it reads no mail.
//!
//! Use it as a library:
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! let credentials = client::Credentials {
//!     ca: "ca.pem".into(),
//!     cert: "admin-ruth.pem".into(),
//!     key: "admin-ruth.key".into(),
//! };
//! let admin = client::Admin::new(vec!["192.0.2.1:7401".into()], &credentials)?;
//! let status = admin.status().await?;
//! println!("{} nodes", status.nodes.len());
//! # Ok(())
//! # }
//! ```
//!
//! Read on: [`Admin`] for the calls, [`members`] for those that take long, [`mod@backup`] for
//! saving a cluster, [`connect`] for the connection, [`demo`] for clusters that `rookeryd demo` has
//! started, [`cli`] for the command line.

pub mod admin;
pub mod backup;
pub mod cli;
pub mod connect;
mod deleted;
pub mod demo;
pub mod limits;
pub mod members;
mod quota;

pub use admin::Admin;
pub use connect::Credentials;
/// The messages of the admin service.
pub use proto::v1;

use std::path::PathBuf;

use tonic::Code;

/// Why there is no answer. Each is one line for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or a key cannot be used.
    #[error("{}: {why}", path.display())]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The folder does not hold a demo cluster.
    #[error("{}: {why}", path.display())]
    Demo {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file or folder of this machine cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No endpoint can be connected to, or none answers.
    #[error("cannot reach any node: {}", .0.join("; "))]
    Unreachable(Vec<String>),
    /// A node answered that it will not or cannot.
    #[error("{message}")]
    Refused {
        /// What kind of refusal.
        code: Code,
        /// Why, in the node's words.
        message: String,
    },
    /// The connection broke, or the deadline passed, while a change was on its way.
    #[error("no answer from {endpoint}, so whether it was done is not known: {why}")]
    Unknown {
        /// The node that was asked.
        endpoint: String,
        /// What happened.
        why: String,
    },
}

impl Error {
    /// Whether the same may be answered in a moment: nobody answered, or there was no leader.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Credentials { .. } | Self::Demo { .. } | Self::File { .. } => false,
            Self::Unreachable(_) | Self::Unknown { .. } => true,
            Self::Refused { code, .. } => {
                matches!(code, Code::Unavailable | Code::DeadlineExceeded)
            }
        }
    }
}

/// Identifiers and digests as people and programs are shown them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
