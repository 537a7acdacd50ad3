//! Indexes in sled: one database per data directory, one tree per index.
//!
//! sled 0.34.7 is dormant, and used for what it does well: plain inserts and lookups. Batches and
//! transactions are not used, since a batch loses its order and stops every reader while it runs.
//! Its own flusher is off.
//!
//! Recovery drops what it cannot read without an error, and sometimes panics instead. So every call
//! into it is guarded, and whatever goes wrong leaves a file `index.doubt` beside the database. An
//! open that finds it, or that fails itself, puts the database aside as `index.aside` and begins
//! with an empty one; the replicas are then built again from the log. The file is also there while
//! sled opens, so that an open that took the whole process down is not tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rows::{Fault, Row, Rows, Scan};
use seglog::ReplicaId;

use super::{Change, Index, Indexes, name_of, parse_name};
use crate::replica::machine::LogId;
use crate::replica::panic_text;

/// Where a tree keeps which checkpoint it holds: above all rows, local ones too.
const APPLIED_KEY: &[u8] = &[0xff, 0xff, b'a'];

/// How often a database that somebody has open is tried again: a process that is being started
/// holds what its parent had open, for a moment.
const LOCK_TRIES: u32 = 20;

/// Between two such tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The indexes of a node, in one sled database.
pub struct SledIndexes {
    shared: Arc<Shared>,
    put_aside: Option<String>,
    /// The highest number that was given; none is given twice while the node runs.
    numbers: Mutex<u64>,
}

struct Shared {
    db: sled::Db,
    doubt: PathBuf,
}

impl SledIndexes {
    /// Opens the database `index` in a data directory, making it if there is none. One that cannot
    /// be opened, or about which there is doubt, is put aside first. To be called by the process
    /// that holds the lock of the log in that directory.
    ///
    /// # Errors
    /// [`Fault::Store`] if not even an empty one can be made: the directory cannot be written.
    pub fn open(data: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        let paths = Paths::of(data);
        let mut put_aside = None;
        if paths.doubt.exists() {
            let why = std::fs::read_to_string(&paths.doubt).unwrap_or_default();
            put_aside = Some(paths.put_aside(&format!("it is in doubt: {}", why.trim()))?);
        }
        paths.begin_doubt()?;
        let db = match paths.open(cache_bytes) {
            Ok(db) => db,
            Err(fault) if is_locked(&fault) => {
                drop(std::fs::remove_file(&paths.doubt));
                return Err(fault);
            }
            Err(fault) if put_aside.is_some() => return Err(fault),
            Err(fault) => {
                put_aside = Some(paths.put_aside(&fault.to_string())?);
                paths.begin_doubt()?;
                paths.open(cache_bytes)?
            }
        };
        if let Some(why) = &put_aside {
            tracing::warn!(aside = %paths.aside.display(), why, "index put aside");
            metrics::counter!("rookery_index_put_aside_total").increment(1);
        }
        let shared = Arc::new(Shared {
            db,
            doubt: paths.doubt,
        });
        Ok(Self {
            shared,
            put_aside,
            numbers: Mutex::new(0),
        })
    }

    /// Bytes that the database takes on disk.
    ///
    /// # Errors
    /// [`Fault::Store`].
    pub fn size_on_disk(&self) -> Result<u64, Fault> {
        self.shared.guarded(|| self.shared.db.size_on_disk())
    }

    fn tree(&self, name: String) -> Result<Arc<dyn Index>, Fault> {
        let tree = self.shared.guarded(|| self.shared.db.open_tree(&name))?;
        Ok(Arc::new(SledIndex {
            name,
            tree,
            shared: Arc::clone(&self.shared),
        }))
    }

    /// The names of all indexes, in order.
    fn names(&self) -> Result<Vec<String>, Fault> {
        let names = self.shared.guarded(|| Ok(self.shared.db.tree_names()))?;
        let mut names: Vec<String> = names
            .iter()
            .filter_map(|name| String::from_utf8(name.to_vec()).ok())
            .filter(|name| parse_name(name).is_some())
            .collect();
        names.sort_unstable();
        Ok(names)
    }
}

struct Paths {
    index: PathBuf,
    aside: PathBuf,
    doubt: PathBuf,
}

impl Paths {
    fn of(data: &Path) -> Self {
        Self {
            index: data.join("index"),
            aside: data.join("index.aside"),
            doubt: data.join("index.doubt"),
        }
    }

    /// Says that an open is under way. That it cannot be said is the disk's fault and not the
    /// database's, which is not put aside for it, now or by the next open.
    fn begin_doubt(&self) -> Result<(), Fault> {
        std::fs::write(&self.doubt, "the last open did not return\n").map_err(|error| {
            drop(std::fs::remove_file(&self.doubt));
            store(error)
        })
    }

    fn open(&self, cache_bytes: u64) -> Result<sled::Db, Fault> {
        let config = sled::Config::default()
            .path(&self.index)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None);
        let mut tries = 0;
        let db = loop {
            match guarded(|| config.open()) {
                Err(fault) if is_locked(&fault) && tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => break opened?,
            }
        };
        std::fs::remove_file(&self.doubt).map_err(store)?;
        Ok(db)
    }

    /// Renames the database, so that it can be looked at; the one before is removed.
    fn put_aside(&self, why: &str) -> Result<String, Fault> {
        if self.index.exists() {
            if self.aside.exists() {
                std::fs::remove_dir_all(&self.aside).map_err(store)?;
            }
            std::fs::rename(&self.index, &self.aside).map_err(store)?;
        }
        match std::fs::remove_file(&self.doubt) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(store(error)),
            _ => Ok(why.to_owned()),
        }
    }
}

impl Indexes for SledIndexes {
    fn of(&self, replica: ReplicaId) -> Result<Vec<Arc<dyn Index>>, Fault> {
        let names = self.names()?.into_iter().rev();
        names
            .filter(|name| parse_name(name).is_some_and(|(owner, _)| owner == replica))
            .map(|name| self.tree(name))
            .collect()
    }

    fn fresh(&self, replica: ReplicaId) -> Result<Arc<dyn Index>, Fault> {
        let mut given = self.numbers.lock();
        let names = self.names()?;
        let numbers = names
            .iter()
            .filter_map(|name| parse_name(name))
            .map(|(_, number)| number);
        *given = numbers.max().unwrap_or(0).max(*given) + 1;
        self.tree(name_of(replica, *given))
    }

    fn discard(&self, index: &dyn Index) -> Result<(), Fault> {
        self.shared
            .guarded(|| self.shared.db.drop_tree(index.name()))
            .map(|_| ())
    }

    fn put_aside(&self) -> Option<&str> {
        self.put_aside.as_deref()
    }
}

/// An index in a tree of sled.
pub struct SledIndex {
    name: String,
    tree: sled::Tree,
    shared: Arc<Shared>,
}

impl Rows for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let value = self.shared.guarded(|| self.tree.get(key))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        if from >= to {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut range = self.shared.guarded(|| Ok(self.tree.range(from..to)))?;
        let mut failed = false;
        Ok(Box::new(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = self.shared.guarded(|| range.next().transpose());
            failed = next.is_err();
            next.map(|row| row.map(|(key, value)| copied(&key, &value)))
                .transpose()
        })))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        if from >= to {
            return Ok(None);
        }
        let last = self
            .shared
            .guarded(|| self.tree.range(from..to).next_back().transpose())?;
        Ok(last.map(|(key, value)| copied(&key, &value)))
    }
}

impl Index for SledIndex {
    fn put_sorted(
        &self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), Fault> {
        for change in changes {
            let (key, value) = change?;
            self.shared.guarded(|| match &value {
                Some(value) => self.tree.insert(&key, value.as_ref()),
                None => self.tree.remove(&key),
            })?;
        }
        Ok(())
    }

    fn applied(&self) -> Result<Option<LogId>, Fault> {
        let value = self.shared.guarded(|| self.tree.get(APPLIED_KEY))?;
        Ok(value.and_then(|value| {
            let (term, index) = value.split_first_chunk::<8>()?;
            Some(LogId {
                term: u64::from_be_bytes(*term),
                index: u64::from_be_bytes(index.try_into().ok()?),
            })
        }))
    }

    fn set_applied(&self, applied: LogId) -> Result<(), Fault> {
        let value = [applied.term.to_be_bytes(), applied.index.to_be_bytes()].concat();
        self.shared
            .guarded(|| self.tree.insert(APPLIED_KEY, value.as_slice()))
            .map(|_| ())
    }

    fn flush(&self) -> Result<(), Fault> {
        self.shared.guarded(|| self.tree.flush()).map(|_| ())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Shared {
    /// Calls sled; whatever goes wrong puts the database in doubt for the next open.
    fn guarded<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
        guarded(call).inspect_err(|fault| {
            // Without the file the digest still tells, if later.
            let _ = std::fs::write(&self.doubt, format!("{fault}\n"));
        })
    }
}

fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| Fault::Store(format!("index: {error}"))),
        Err(panic) => Err(Fault::Store(format!(
            "index: panic: {}",
            panic_text(panic.as_ref())
        ))),
    }
}

/// Whether somebody has the database open, which says nothing against it. sled has no error of its
/// own for that.
fn is_locked(fault: &Fault) -> bool {
    matches!(fault, Fault::Store(why) if why.contains("could not acquire lock"))
}

fn store(error: std::io::Error) -> Fault {
    Fault::Store(format!("index: {error}"))
}

fn copied(key: &[u8], value: &[u8]) -> Row {
    (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
}
