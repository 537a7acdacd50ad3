//! Who this node is, as its data directory says: the file `NODE`, written whole or not at all.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// The format of data directories that this binary writes and reads.
pub const FORMAT: u32 = 1;

/// The feature level of this binary: what it may be asked to apply.
pub const FEATURE_LEVEL: u32 = 1;

const FILE: &str = "NODE";

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The format of the data directory; a newer one is refused.
    pub format: u32,
    /// The highest feature level that the cluster has reached; a binary that knows less is refused.
    pub feature_level: u32,
    /// The node's id.
    pub node: u64,
    /// The log's id: files of another log are refused. Hexadecimal.
    pub log: String,
    /// How often the node was started: commands of an earlier start are told apart by it.
    pub boot: u64,
    /// The cluster, once the node belongs to one.
    pub cluster: Option<Membership>,
}

/// The cluster that a node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Its id, hexadecimal.
    pub id: String,
    /// The replica of the directory on this node.
    pub directory_replica: u64,
    /// Where peers were when this node joined: for as long as it does not know better.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// A peer as it was when this node joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its node id.
    pub node: u64,
    /// Its replica of the directory.
    pub replica: u64,
    /// Its address, `host:port`.
    pub address: String,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read or written.
    #[error("data directory {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its file does not say what it should.
    #[error("{path} is not understood: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A newer binary wrote it.
    #[error("data directory {path} has format {found}; this binary knows {FORMAT} and older")]
    NewerFormat {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The cluster uses what this binary does not know.
    #[error("the cluster has feature level {found}; this binary knows {known}")]
    NewerFeatures {
        /// The cluster's.
        found: u32,
        /// This binary's.
        known: u32,
    },
    /// Another process has it open.
    #[error("data directory {path} is in use by another process")]
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// The disk is full, or files may not be as large as they must be.
    #[error("data directory {path} has no room for {bytes} bytes: {source}")]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// How much is needed.
        bytes: u64,
        /// Why there is less.
        source: std::io::Error,
    },
    /// It belongs to another node.
    #[error("data directory {path} belongs to node {found}, not to node {expected}")]
    OtherNode {
        /// Where.
        path: PathBuf,
        /// Whose.
        found: u64,
        /// Who asks.
        expected: u64,
    },
}

/// How often something that another process has locked is tried again: a process that is ending may
/// have it, and one that is being started holds what its parent had open, for a moment.
const LOCK_TRIES: u32 = 20;

/// Between two such tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Locks a file, and waits a moment for whoever has it.
///
/// # Errors
///
/// As [`fs::File::try_lock`].
pub fn lock_patiently(file: &fs::File) -> Result<(), fs::TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            ended => return ended,
        }
    }
    file.try_lock()
}

/// Takes the data directory for this process, until the file is dropped.
///
/// # Errors
///
/// [`IdentityError::Locked`] when another process has it.
pub fn lock(directory: &Path) -> Result<fs::File, IdentityError> {
    let path = directory.join("LOCK");
    let open = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = open.map_err(|source| IdentityError::Io {
        path: path.clone(),
        source,
    })?;
    match lock_patiently(&file) {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(IdentityError::Locked {
            path: directory.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(IdentityError::Io { path, source }),
    }
}

/// Makes sure that there is room for `bytes`, and that files may be as large as `file_bytes`.
/// Leaves nothing behind: the room is taken by a file without a name, where the file system can do
/// that, and is not asked for where it cannot.
///
/// # Errors
///
/// [`IdentityError::NoRoom`], and [`IdentityError::Io`] when the directory cannot be written.
pub fn check_room(directory: &Path, bytes: u64, file_bytes: u64) -> Result<(), IdentityError> {
    let path = || directory.to_owned();
    // Asked first: going beyond this limit ends the process without a word.
    if let Some(limit) = getrlimit(Resource::Fsize).current
        && limit < file_bytes
    {
        let why = format!("files may have {limit} bytes at most (ulimit -f)");
        return Err(IdentityError::NoRoom {
            path: path(),
            bytes: file_bytes,
            source: std::io::Error::other(why),
        });
    }
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file,
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(()),
        Err(error) => {
            return Err(IdentityError::Io {
                path: path(),
                source: error.into(),
            });
        }
    };
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(IdentityError::NoRoom {
            path: path(),
            bytes,
            source: error.into(),
        }),
    }
}

#[derive(Deserialize)]
struct JustFormat {
    format: u32,
}

impl Identity {
    /// A node without a cluster.
    #[must_use]
    pub fn new(node: u64, log: u64) -> Self {
        let log = format!("{log:016x}");
        Self {
            format: FORMAT,
            feature_level: 0,
            node,
            log,
            boot: 0,
            cluster: None,
        }
    }

    /// Reads who the node is; none in an empty or absent directory.
    ///
    /// # Errors
    ///
    /// See [`IdentityError`]; nothing is written.
    pub fn read(directory: &Path, node: u64, known: u32) -> Result<Option<Self>, IdentityError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        let unreadable = |error: toml::de::Error| IdentityError::Unreadable {
            path: path.clone(),
            reason: error.message().replace('\n', " "),
        };
        let just: JustFormat = toml::from_str(&text).map_err(unreadable)?;
        let directory = directory.to_owned();
        if just.format > FORMAT {
            return Err(IdentityError::NewerFormat {
                path: directory,
                found: just.format,
            });
        }
        let identity: Self = toml::from_str(&text).map_err(unreadable)?;
        if identity.node != node {
            return Err(IdentityError::OtherNode {
                path: directory,
                found: identity.node,
                expected: node,
            });
        }
        if identity.feature_level > known {
            return Err(IdentityError::NewerFeatures {
                found: identity.feature_level,
                known,
            });
        }
        Ok(Some(identity))
    }

    /// Writes who the node is, durably.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        let path = directory.join(FILE);
        let fail = |source| IdentityError::Io {
            path: path.clone(),
            source,
        };
        let text = toml::to_string(self).map_err(|error| fail(std::io::Error::other(error)))?;
        let fresh = directory.join("NODE.new");
        let write = || {
            let mut file = fs::File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            fs::File::open(directory)?.sync_all()
        };
        write().map_err(|source| {
            // What was written before still holds; half a file beside it is of no use.
            drop(fs::remove_file(&fresh));
            fail(source)
        })
    }

    /// The log's id.
    ///
    /// # Errors
    ///
    /// When it is not a number.
    pub fn log_id(&self, directory: &Path) -> Result<u64, IdentityError> {
        u64::from_str_radix(&self.log, 16).map_err(|error| IdentityError::Unreadable {
            path: directory.join(FILE),
            reason: error.to_string(),
        })
    }
}
