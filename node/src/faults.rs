//! Faults that a test asks for; only in a build for development, or with the feature `faults`.
//!
//! Both variables name a file that says what goes wrong for as long as it is there:
//!
//! - [`SYNC_DELAY_VARIABLE`]: a number; every sync of the log is delayed by so many milliseconds,
//!   as a slow disk would: what was written is on its way, and nobody may say yet that it is
//!   durable.
//! - [`ERROR_VARIABLE`]: `sync`, `write` or `read`; every such operation on the log's files fails
//!   with an I/O error, as on a disk that is breaking.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seglog::disk::{Disk, DiskFile, DiskLock};

/// The file that says how slow the disk is.
pub const SYNC_DELAY_VARIABLE: &str = "ROOKERY_FAULT_SYNC_DELAY_FILE";

/// The file that says which operations fail.
pub const ERROR_VARIABLE: &str = "ROOKERY_FAULT_ERROR_FILE";

/// `disk`, with the faults that the environment asks for.
#[must_use]
pub fn wrap(disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
    let file = |variable| {
        let file = std::env::var_os(variable).map(PathBuf::from)?;
        tracing::warn!("the log's disk does as the file of {variable} says");
        Some(file)
    };
    let faults = Faults {
        delay: file(SYNC_DELAY_VARIABLE),
        error: file(ERROR_VARIABLE),
    };
    if faults.delay.is_none() && faults.error.is_none() {
        return disk;
    }
    Arc::new(FaultyDisk {
        disk,
        faults: Arc::new(faults),
    })
}

/// The files that say what goes wrong; they are read at each operation.
struct Faults {
    delay: Option<PathBuf>,
    error: Option<PathBuf>,
}

fn text(file: Option<&Path>) -> String {
    let text = file.map(std::fs::read_to_string);
    text.and_then(Result::ok).unwrap_or_default()
}

impl Faults {
    fn delay(&self) -> Duration {
        let text = text(self.delay.as_deref());
        Duration::from_millis(text.trim().parse().unwrap_or(0))
    }

    fn check(&self, operation: &str) -> io::Result<()> {
        if text(self.error.as_deref()).trim() == operation {
            return Err(io::Error::from_raw_os_error(
                rustix::io::Errno::IO.raw_os_error(),
            ));
        }
        Ok(())
    }
}

struct FaultyDisk {
    disk: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    fn faulty(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile {
            file,
            faults: Arc::clone(&self.faults),
        })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.faulty(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.faulty(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.check("read")?;
        self.file.read_at(buffer, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.faults.check("write")?;
        self.file.write_vectored_at(slices, offset)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.faults.check("write")?;
        self.file.reserve(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.faults.delay());
        self.faults.check("sync")?;
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
