//! The folder of a cluster on this machine: certificates, configurations, data.
//!
//! ```text
//!   DIR/pki/         authority, a certificate per node, one for the operator
//!   DIR/node-N.toml  the configuration of node N; its ports were chosen once and stay
//!   DIR/node-N/      its data
//!   DIR/node-N.log   what it says
//!   DIR/demo.json    for programs, see [`super::describe`]
//!   DIR/lock         held while a demo runs
//! ```
//!
//! [`Plan::create`] makes what is not there and takes what is: the same folder gives the same
//! cluster again, with its mail.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::ports::{self, Addresses, Ports};
use crate::config::{self, Config};
use crate::identity::lock_patiently;
use crate::pki::{Authority, Making};

/// What can be chosen when a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the nodes listen.
    pub ports: Ports,
    /// Size of a segment of the log, bytes; the default of [`config::Storage`] if none.
    pub segment_bytes: Option<u32>,
    /// Entries kept beyond a checkpoint, bytes; the default of [`config::Storage`] if none.
    pub log_kept_bytes: Option<u64>,
    /// How fast the log is read to find damage, bytes a second; the default of [`config::Storage`]
    /// if none.
    pub scrub_bytes_per_second: Option<u64>,
    /// What mail leaves of the disk, bytes; the default of [`config::Storage`] if none.
    pub reserve_bytes: Option<u64>,
    /// Whether mail is indexed for searching; the default of [`config::Search`] if none.
    pub search_index: Option<bool>,
    /// What is logged; the default of [`config::Log`] if none.
    pub log_level: Option<String>,
}

/// A cluster in a folder.
#[derive(Debug)]
pub struct Plan {
    /// The folder, absolute.
    pub dir: PathBuf,
    /// The nodes, 1 first.
    pub nodes: Vec<PlannedNode>,
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The operator's certificate.
    pub admin_cert: PathBuf,
    /// The operator's key.
    pub admin_key: PathBuf,
    /// Nobody else uses the folder while this is open.
    _lock: File,
}

/// One node of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNode {
    /// Its number.
    pub id: u64,
    /// Its configuration: what `rookeryd --config` takes.
    pub config: PathBuf,
    /// Its data.
    pub data_dir: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where it listens.
    pub addresses: Addresses,
}

/// The operator's name in its certificate.
const OPERATOR: &str = "demo";

/// Connections of one address that have not logged in yet: here all clients come from one.
const PRE_AUTH_MAX: usize = 10_000;

impl Plan {
    /// Makes a cluster of so many nodes in a folder, or takes the one that is there.
    ///
    /// # Errors
    ///
    /// When files cannot be read or written, no ports are free, the folder holds another number of
    /// nodes or other ports than those asked for, or somebody uses it now.
    pub fn create(dir: &Path, nodes: usize, options: &Options) -> anyhow::Result<Self> {
        ensure!(nodes > 0, "a cluster has at least one node");
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir
            .canonicalize()
            .with_context(|| dir.display().to_string())?;
        let lock = lock(&dir)?;
        let pki = dir.join("pki");
        let authority = authority(&pki)?;
        let (admin_cert, admin_key) = pair(&pki, &format!("admin-{OPERATOR}"), || {
            authority.admin(OPERATOR, Making::default()).map(drop)
        })?;
        let nodes = match existing(&dir)? {
            0 => make(&dir, nodes, options, &authority)?,
            found if found == nodes => take(&dir, nodes, options)?,
            found => bail!(
                "{} holds a cluster of {found} nodes, not of {nodes}",
                dir.display()
            ),
        };
        Ok(Self {
            ca: pki.join("ca.pem"),
            dir,
            nodes,
            admin_cert,
            admin_key,
            _lock: lock,
        })
    }

    /// The node with this number.
    #[must_use]
    pub fn node(&self, id: u64) -> Option<&PlannedNode> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Fails when somebody listens where the nodes shall.
    ///
    /// # Errors
    ///
    /// With the first address that is taken.
    pub fn check_ports(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            if let Some(address) = node.addresses.taken() {
                bail!(
                    "somebody listens on {address}, which node {} shall use: end that program, or \
                     choose another folder with --dir",
                    node.id
                );
            }
        }
        Ok(())
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    let lock = File::create(&path).with_context(|| path.display().to_string())?;
    match lock_patiently(&lock) {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => bail!("{} is in use by another demo", dir.display()),
        Err(fs::TryLockError::Error(error)) => Err(error).context(path.display().to_string()),
    }
}

fn authority(pki: &Path) -> anyhow::Result<Authority> {
    if pki.join("ca.pem").exists() {
        return Ok(Authority::open(pki)?);
    }
    let (authority, _) = Authority::init(pki, Making::default())?;
    Ok(authority)
}

/// The files of a certificate and its key, which are made unless both are there.
fn pair(
    pki: &Path,
    name: &str,
    make: impl FnOnce() -> Result<(), crate::pki::PkiError>,
) -> anyhow::Result<(PathBuf, PathBuf)> {
    let files = (
        pki.join(format!("{name}.pem")),
        pki.join(format!("{name}.key")),
    );
    if !(files.0.exists() && files.1.exists()) {
        for half in [&files.0, &files.1]
            .into_iter()
            .filter(|file| file.exists())
        {
            fs::remove_file(half).with_context(|| half.display().to_string())?;
        }
        make()?;
    }
    Ok(files)
}

/// How many nodes the folder has.
fn existing(dir: &Path) -> anyhow::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let id = name
            .strip_prefix("node-")
            .and_then(|rest| rest.strip_suffix(".toml"));
        found += usize::from(id.is_some_and(|id| id.parse::<u64>().is_ok()));
    }
    Ok(found)
}

fn place(dir: &Path, id: u64, addresses: Addresses) -> PlannedNode {
    PlannedNode {
        id,
        config: dir.join(format!("node-{id}.toml")),
        data_dir: dir.join(format!("node-{id}")),
        log: dir.join(format!("node-{id}.log")),
        addresses,
    }
}

fn make(
    dir: &Path,
    nodes: usize,
    options: &Options,
    authority: &Authority,
) -> anyhow::Result<Vec<PlannedNode>> {
    let chosen = ports::choose(nodes, options.ports).context("there are no free ports")?;
    let planned: Vec<PlannedNode> = (1..)
        .zip(chosen)
        .map(|(id, addresses)| place(dir, id, addresses))
        .collect();
    let pki = dir.join("pki");
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    for node in &planned {
        let (cert, key) = pair(&pki, &format!("node-{}", node.id), || {
            authority.node(node.id, &hosts, Making::default()).map(drop)
        })?;
        make_private(&node.data_dir).with_context(|| node.data_dir.display().to_string())?;
        let config = configuration(node, &pki.join("ca.pem"), (cert, key), options);
        let problems = config.validate();
        ensure!(problems.is_empty(), "{}", problems.join("; "));
        // Under another name first: a folder with half a configuration would be no cluster.
        let beside = node.config.with_extension("new");
        fs::write(&beside, config.to_toml()).with_context(|| beside.display().to_string())?;
    }
    for node in &planned {
        fs::rename(node.config.with_extension("new"), &node.config)
            .with_context(|| node.config.display().to_string())?;
    }
    Ok(planned)
}

/// A folder that holds mail and passwords is for this user alone.
fn make_private(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

fn configuration(
    node: &PlannedNode,
    ca: &Path,
    (cert, key): (PathBuf, PathBuf),
    options: &Options,
) -> Config {
    let mut config = Config::default();
    config.node = config::Node {
        id: node.id,
        data_dir: node.data_dir.clone(),
        hostname: "localhost".into(),
    };
    let at = &node.addresses;
    config.listen = config::Listen {
        peer: at.peer,
        admin: at.admin,
        imap: Some(at.imap),
        imaps: Some(at.imaps),
        lmtp: Some(at.lmtp),
        metrics: Some(at.metrics),
    };
    config.tls.ca = ca.to_owned();
    config.tls.cert = cert;
    config.tls.key = key;
    config.limits.pre_auth_per_address_max = PRE_AUTH_MAX;
    if let Some(bytes) = options.segment_bytes {
        config.storage.segment_bytes = bytes;
    }
    if let Some(bytes) = options.log_kept_bytes {
        config.storage.log_kept_bytes = bytes;
    }
    if let Some(bytes) = options.scrub_bytes_per_second {
        config.storage.scrub_bytes_per_second = bytes;
    }
    if let Some(bytes) = options.reserve_bytes {
        config.storage.reserve_bytes = bytes;
    }
    if let Some(index) = options.search_index {
        config.search.index = index;
    }
    if let Some(level) = &options.log_level {
        config.log.level.clone_from(level);
    }
    config
}

fn take(dir: &Path, nodes: usize, options: &Options) -> anyhow::Result<Vec<PlannedNode>> {
    let ids = 1..=u64::try_from(nodes)?;
    let taken: Vec<PlannedNode> = ids
        .map(|id| {
            let path = dir.join(format!("node-{id}.toml"));
            let config = Config::load(&path).with_context(|| path.display().to_string())?;
            let listen = config.listen;
            let off = || {
                format!(
                    "{}: the demo needs imap, imaps, lmtp and metrics",
                    path.display()
                )
            };
            let addresses = Addresses {
                imap: listen.imap.with_context(off)?,
                imaps: listen.imaps.with_context(off)?,
                lmtp: listen.lmtp.with_context(off)?,
                metrics: listen.metrics.with_context(off)?,
                admin: listen.admin,
                peer: listen.peer,
            };
            Ok(place(dir, id, addresses))
        })
        .collect::<anyhow::Result<_>>()?;
    if let Ports::From(base) = options.ports
        && taken
            .first()
            .is_some_and(|node| node.addresses.imap.port() != base)
    {
        bail!(
            "{} has other ports already; --base-port is for a new folder",
            dir.display()
        );
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Options {
        Options {
            ports: Ports::Any,
            segment_bytes: Some(16 << 20),
            ..Options::default()
        }
    }

    #[test]
    fn the_same_folder_gives_the_same_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let first = Plan::create(&dir, 3, &any()).unwrap();
        let nodes = first.nodes.clone();
        let ca = fs::read(&first.ca).unwrap();
        drop(first);
        let again = Plan::create(&dir, 3, &any()).unwrap();
        assert_eq!(again.nodes, nodes);
        assert_eq!(fs::read(&again.ca).unwrap(), ca);
        again.check_ports().unwrap();

        let config = Config::load(&again.nodes[2].config).unwrap();
        assert_eq!(
            (config.node.id, config.storage.segment_bytes),
            (3, 16 << 20)
        );
        assert_eq!(config.listen.lmtp, Some(nodes[2].addresses.lmtp));
        assert!(config.login.plain.allows(nodes[0].addresses.imap.ip()));
        assert!(config.tls.key.exists() && again.admin_key.exists());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::create(dir.path(), 2, &any()).unwrap();
        let error = Plan::create(dir.path(), 2, &any()).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        let imap = plan.nodes[0].addresses.imap;
        drop(plan);
        let error = Plan::create(dir.path(), 3, &any()).unwrap_err();
        assert!(error.to_string().contains("2 nodes"), "{error}");
        let other = Options {
            ports: Ports::From(5000),
            ..any()
        };
        let error = Plan::create(dir.path(), 2, &other).unwrap_err();
        assert!(error.to_string().contains("other ports"), "{error}");

        let plan = Plan::create(dir.path(), 2, &any()).unwrap();
        let _guest = std::net::TcpListener::bind(imap).unwrap();
        let error = plan.check_ports().unwrap_err();
        assert!(error.to_string().contains(&imap.to_string()), "{error}");
    }
}
