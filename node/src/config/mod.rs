//! What an operator may choose, from one TOML file.
//!
//! ```text
//!   rookeryd.toml --parse--> Config --validate--> Config     everything else takes it by reference
//! ```
//!
//! There is one struct per section and one doc comment per field, with its default and its range.
//! Three fields have no default and must be set: `node.id`, `node.hostname`, and `advertise.peer`,
//! unless the peer listener names an address that others can reach. The certificates' paths have
//! defaults; the files must be made.
//!
//! A key that is not known is an error, never ignored: a misspelt limit is a limit that does not
//! hold. All problems of a file are reported at once, one line each, with the key's full name.
//! `deploy/rookeryd.toml` is the example; a test holds it equal to [`Config::default`].
//!
//! Secrets do not stand here: keys are files of their own, and accounts live in the directory.
//!
//! Read on: [`parse`] for how a file becomes a `Config`, [`validate`] for the ranges,
//! [`clients`] for tokens and proxies, [`network`] for networks in CIDR notation.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::replica::scrub::Pace;

pub mod clients;
pub mod network;
pub mod parse;
pub mod validate;

#[cfg(test)]
mod tests;

pub use clients::{Imap, OAuth, Proxy};
pub use network::Network;
pub use parse::ConfigError;

/// Everything that can be configured; see `deploy/rookeryd.toml`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this node is and where its data lives.
    pub node: Node,
    /// Where this node listens.
    pub listen: Listen,
    /// Under which addresses others find this node.
    pub advertise: Advertise,
    /// Certificates and keys.
    pub tls: TlsFiles,
    /// How mail clients log in.
    pub login: Login,
    /// Who may do more than others by IMAP.
    pub imap: Imap,
    /// Tokens that mail clients log in with.
    pub oauth: OAuth,
    /// Proxies before this node.
    pub proxy: Proxy,
    /// Who may deliver mail.
    pub lmtp: Lmtp,
    /// Timing of replication.
    pub raft: Raft,
    /// Sizes of what is kept on disk.
    pub storage: Storage,
    /// The index that spares SEARCH reading.
    pub search: Search,
    /// What mail on its way may take in memory.
    pub memory: Memory,
    /// Bounds on what clients may use.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
}

/// Who this node is and where its data lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The number of this node, unique in the cluster and never used again, also not for the same
    /// machine after its disk was lost. At least 1; must be set (the default 0 is refused). The
    /// certificate names it.
    pub id: u64,
    /// Where the log and the index live; made with mode 0700 if absent. A data directory is as
    /// secret as the mail and the passwords in it. Default `/var/lib/rookery`.
    pub data_dir: PathBuf,
    /// This host's name in greetings and trace headers, a domain name; must be set.
    pub hostname: String,
}

/// Where this node listens: `address:port`, or `"off"` for the optional doors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The other nodes, over mutual TLS. Default `0.0.0.0:7400`.
    pub peer: SocketAddr,
    /// Operators, over mutual TLS. Default `127.0.0.1:7401`.
    pub admin: SocketAddr,
    /// IMAP with STARTTLS. Default `0.0.0.0:143`.
    #[serde(with = "parse::door")]
    pub imap: Option<SocketAddr>,
    /// IMAP over TLS. Default `0.0.0.0:993`.
    #[serde(with = "parse::door")]
    pub imaps: Option<SocketAddr>,
    /// LMTP. Default `127.0.0.1:24`.
    #[serde(with = "parse::door")]
    pub lmtp: Option<SocketAddr>,
    /// Metrics as text over plain HTTP. Default `127.0.0.1:7402`.
    #[serde(with = "parse::door")]
    pub metrics: Option<SocketAddr>,
}

/// Under which addresses others find this node: `host:port`. Empty means: where it listens, or, if
/// it listens on all addresses, its host name with that port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Advertise {
    /// Where the other nodes connect to. Must be set if `listen.peer` is all addresses.
    pub peer: String,
    /// Shown to operators.
    pub admin: String,
    /// Shown to operators.
    pub imap: String,
    /// Shown to operators.
    pub imaps: String,
    /// Shown to operators.
    pub lmtp: String,
}

/// Certificates and keys, PEM. All are read again on SIGHUP and when the files change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// The authority of this cluster, which signs nodes, operators and MTAs; several certificates
    /// while it is being replaced. Never a public authority. Default `/etc/rookery/ca.pem`.
    pub ca: PathBuf,
    /// This node's certificate, and what the chain needs. Default `/etc/rookery/node.pem`.
    pub cert: PathBuf,
    /// Its key. Default `/etc/rookery/node.key`.
    pub key: PathBuf,
    /// What mail clients are shown; empty for `cert`. Default empty.
    pub mail_cert: PathBuf,
    /// Its key; empty for `key`. Default empty.
    pub mail_key: PathBuf,
    /// Who signs the certificates that mail clients may log in with (AUTH=EXTERNAL): whoever shows
    /// one is the account that its e-mail address names. Never a public authority. Default empty:
    /// nobody is asked for one.
    pub mail_client_ca: PathBuf,
    /// How often the files are looked at, seconds, 1 to 86400. Default 60.
    pub reload_secs: u64,
}

/// How mail clients log in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// Where a password may travel without TLS: `"loopback"`, `"never"` or `"always"`. Default
    /// `"loopback"`.
    pub plain: PlainLogin,
}

/// Where a password may travel without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainLogin {
    /// Only from this machine itself.
    #[default]
    Loopback,
    /// Nowhere.
    Never,
    /// Everywhere; for tests alone.
    Always,
}

impl PlainLogin {
    /// Whether a client at that address may log in without TLS.
    #[must_use]
    pub fn allows(self, client: IpAddr) -> bool {
        match self {
            Self::Loopback => client.to_canonical().is_loopback(),
            Self::Never => false,
            Self::Always => true,
        }
    }
}

/// Who may deliver mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lmtp {
    /// From where mail is taken without a certificate, in CIDR notation. Default loopback.
    pub networks: Vec<Network>,
    /// Whether who shows a certificate that `rookeryd pki lmtp-client` made may deliver from
    /// anywhere, after STARTTLS. Default true.
    pub client_certificates: bool,
}

impl Lmtp {
    /// Whether a client at that address may deliver without a certificate.
    #[must_use]
    pub fn allows(&self, client: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(client))
    }

    /// Whether anyone at that address may connect at all, if only to show a certificate.
    #[must_use]
    pub fn may_connect(&self, client: IpAddr) -> bool {
        self.client_certificates || self.allows(client)
    }
}

/// Timing of replication, equal on all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raft {
    /// How often a leader says that it lives, milliseconds, 10 to 10000. Default 50.
    pub heartbeat_ms: u64,
    /// After how long without it a follower stands for election, at least: milliseconds, at least
    /// twice `heartbeat_ms`. Default 150. Raise it with the round trip of long lines and on disks
    /// whose flush takes longer than a heartbeat.
    pub election_ms_min: u64,
    /// The same, at most: milliseconds, at least a tenth above `election_ms_min`, up to 60000. The
    /// wider the gap, the fewer elections without a winner. Default 300.
    pub election_ms_max: u64,
}

/// Sizes of what is kept on disk and of its caches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Size of a new segment of the log, bytes, a multiple of 4096, 16 MiB to 1 GiB.
    /// Default 64 MiB.
    pub segment_bytes: u32,
    /// Cache of the index, bytes, 1 MiB to 64 GiB. Default 32 MiB.
    pub index_cache_bytes: u64,
    /// Entries that each partition keeps beyond its checkpoint for a follower that has not got
    /// them, bytes, 64 KiB to 1 GiB: one that missed no more than that is served from them, another
    /// one gets a checkpoint. What all followers have is not kept. Default 32 MiB.
    pub log_kept_bytes: u64,
    /// How often the whole log is read to find damage, days, 1 to 365. Default 14: bits rot slowly,
    /// but what rots on two of three disks in that time is lost.
    pub scrub_days: u64,
    /// How fast it is read then, bytes a second, 64 KiB to 16 GiB. Default 16 MiB: a terabyte takes
    /// 18 hours, and a plain disk hardly notices.
    pub scrub_bytes_per_second: u64,
    /// Bytes a second that this node sends of checkpoints to followers that were away, all of them
    /// together, and that it takes in, 1 MiB to 16 GiB. Default 160 MiB: more than a network of
    /// 1 Gbit/s carries, less than a disk beside which mail is to be written.
    pub snapshot_bytes_per_second: u64,
    /// Room of the log that mail does not take, bytes, 2 segments to 1 TiB: expunges, changes of
    /// flags, checkpoints and cleaning go on in it while new mail is refused. A quarter as much
    /// again of the disk is left to the index. Default 256 MiB, 4 segments.
    pub reserve_bytes: u64,
    /// Most that the log takes of the disk, bytes: at least 4 segments and the reserve, or 0 for as
    /// much as there is. Default 0.
    pub log_bytes_max: u64,
}

impl Storage {
    /// Bytes of the disk that the log leaves to the index and to what else is in the data
    /// directory.
    #[must_use]
    pub fn disk_kept_bytes(&self) -> u64 {
        self.reserve_bytes / 4
    }

    /// How the log in a data directory is searched for damage.
    #[must_use]
    pub fn scrub_pace(&self, data_dir: &Path) -> Pace {
        Pace {
            bytes_per_second: self.scrub_bytes_per_second,
            period: Duration::from_secs(self.scrub_days * 24 * 60 * 60),
            file: Some(data_dir.join("scrub")),
        }
    }
}

/// The index that spares SEARCH reading the messages that cannot match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Whether this node keeps one of the mailboxes that were searched on it, in up to half as many
    /// bytes as their text. Without it a search reads every message, and finds the same. Default
    /// true.
    pub index: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self { index: true }
    }
}

/// What mail on its way through this node may take in memory. Caches of the index and buffers of
/// connections come on top.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes, 64 MiB to 64 GiB: half of it for rows that no checkpoint holds yet, the rest for
    /// bodies that arrive, entries on their way to followers, and bodies that were read. Default
    /// 256 MiB.
    pub budget_bytes: u64,
}

/// Bounds on what clients may use. Beyond one, that client gets a clear answer and nobody else is
/// disturbed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message, bytes, 64 KiB to 256 MiB. Default 50 MiB.
    pub message_bytes_max: u64,
    /// Messages that one IMAP command may touch (MESSAGELIMIT, RFC 9738): 0 for no limit, or 1000
    /// to 10000. Clients that do not know of it see no more of a mailbox than its last messages.
    /// Default 0.
    pub imap_messages_per_command_max: u32,
    /// IMAP connections with STARTTLS and over TLS together, 1 to 1000000. Default 20000.
    pub imap_connections_max: usize,
    /// LMTP connections, 1 to 100000. Default 1000.
    pub lmtp_connections_max: usize,
    /// Operators' connections, 1 to 10000. Default 64.
    pub admin_connections_max: usize,
    /// Connections of one address that have not logged in yet, 1 to 100000; for one more the oldest
    /// of them is closed. Of all addresses together it may be half of the connections. Default 50.
    pub pre_auth_per_address_max: usize,
    /// How long a connection may take to log in, whatever it says meanwhile: seconds, 5 to 3600.
    /// Default 180.
    pub pre_auth_secs_max: u64,
    /// How long an IMAP command waits while a partition has no leader, seconds, 1 to 600.
    /// Default 30.
    pub imap_leader_wait_secs: u64,
    /// How long a delivery waits for it, before 451: seconds, 1 to 600. Default 60.
    pub lmtp_leader_wait_secs: u64,
}

/// What is logged, to standard error. Never mail, never passwords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `"error"`, `"warn"`, `"info"`, `"debug"`, `"trace"`, or several filters such as
    /// `"info,node::raft=debug"`. The environment variable RUST_LOG takes precedence. Default
    /// `"info"`.
    pub level: String,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: 0,
            data_dir: "/var/lib/rookery".into(),
            hostname: String::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let all = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            peer: all(7400),
            admin: local(7401),
            imap: Some(all(143)),
            imaps: Some(all(993)),
            lmtp: Some(local(24)),
            metrics: Some(local(7402)),
        }
    }
}

impl Default for TlsFiles {
    fn default() -> Self {
        Self {
            ca: "/etc/rookery/ca.pem".into(),
            cert: "/etc/rookery/node.pem".into(),
            key: "/etc/rookery/node.key".into(),
            mail_cert: PathBuf::new(),
            mail_key: PathBuf::new(),
            mail_client_ca: PathBuf::new(),
            reload_secs: 60,
        }
    }
}

impl Default for Lmtp {
    fn default() -> Self {
        Self {
            networks: Network::loopback().to_vec(),
            client_certificates: true,
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_ms_min: 150,
            election_ms_max: 300,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            index_cache_bytes: 32 << 20,
            log_kept_bytes: 32 << 20,
            scrub_days: 14,
            scrub_bytes_per_second: 16 << 20,
            snapshot_bytes_per_second: 160 << 20,
            reserve_bytes: 256 << 20,
            log_bytes_max: 0,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            budget_bytes: crate::budget::BUDGET_BYTES_DEFAULT,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 50 << 20,
            imap_messages_per_command_max: 0,
            imap_connections_max: 20_000,
            lmtp_connections_max: 1000,
            admin_connections_max: 64,
            pre_auth_per_address_max: 50,
            pre_auth_secs_max: 180,
            imap_leader_wait_secs: 30,
            lmtp_leader_wait_secs: 60,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no TOML, or has problems: then all of them.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text)
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    ///
    /// When it is no TOML, or has problems: then all of them.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config = parse::parse(text)?;
        match config.validate() {
            problems if problems.is_empty() => Ok(config),
            problems => Err(ConfigError::Problems(problems)),
        }
    }

    /// The configuration as a file that [`Config::load`] reads.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every section is a table of plain values")
    }

    /// The addresses that others are told, `host:port`; empty for a door that is off.
    #[must_use]
    pub fn advertised(&self) -> Advertise {
        let shown = |told: &str, listen: Option<SocketAddr>| match listen {
            None => String::new(),
            Some(_) if !told.is_empty() => told.to_owned(),
            Some(at) if at.ip().is_unspecified() => {
                format!("{}:{}", self.node.hostname, at.port())
            }
            Some(at) => at.to_string(),
        };
        Advertise {
            peer: shown(&self.advertise.peer, Some(self.listen.peer)),
            admin: shown(&self.advertise.admin, Some(self.listen.admin)),
            imap: shown(&self.advertise.imap, self.listen.imap),
            imaps: shown(&self.advertise.imaps, self.listen.imaps),
            lmtp: shown(&self.advertise.lmtp, self.listen.lmtp),
        }
    }
}

impl TlsFiles {
    /// The certificate and key that mail clients are shown.
    #[must_use]
    pub fn mail(&self) -> (&Path, &Path) {
        if self.mail_cert.as_os_str().is_empty() {
            (&self.cert, &self.key)
        } else {
            (&self.mail_cert, &self.mail_key)
        }
    }

    /// How often the files are looked at.
    #[must_use]
    pub fn reload_every(&self) -> Duration {
        Duration::from_secs(self.reload_secs)
    }
}

impl Raft {
    /// How often a leader says that it lives.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }
}

impl Limits {
    /// How long a connection may take to log in.
    #[must_use]
    pub fn pre_auth_time(&self) -> Duration {
        Duration::from_secs(self.pre_auth_secs_max)
    }

    /// How long an IMAP command waits while a partition has no leader.
    #[must_use]
    pub fn imap_leader_wait(&self) -> Duration {
        Duration::from_secs(self.imap_leader_wait_secs)
    }

    /// How long a delivery waits for it.
    #[must_use]
    pub fn lmtp_leader_wait(&self) -> Duration {
        Duration::from_secs(self.lmtp_leader_wait_secs)
    }
}
