//! Faults that a test asks for; only in a build with the feature `faults`.
//!
//! `ROOKERY_FAULT_SYNC_DELAY_FILE` names a file; while it is there and holds a number, every sync
//! of the log is delayed by so many milliseconds, as a slow disk would: what was written is on its
//! way, and nobody may say yet that it is durable.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seglog::disk::{Disk, DiskFile, DiskLock};

/// The file that says how slow the disk is.
pub const SYNC_DELAY_VARIABLE: &str = "ROOKERY_FAULT_SYNC_DELAY_FILE";

/// `disk`, with the faults that the environment asks for.
#[must_use]
pub fn wrap(disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
    match std::env::var_os(SYNC_DELAY_VARIABLE) {
        Some(file) => {
            tracing::warn!("syncs of the log are delayed as {SYNC_DELAY_VARIABLE} says");
            Arc::new(SlowDisk {
                disk,
                delay: Arc::from(PathBuf::from(file)),
            })
        }
        None => disk,
    }
}

/// What the file says now; it is read at each sync.
fn delay(file: &Path) -> Duration {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    Duration::from_millis(text.trim().parse().unwrap_or(0))
}

struct SlowDisk {
    disk: Arc<dyn Disk>,
    delay: Arc<Path>,
}

struct SlowFile {
    file: Arc<dyn DiskFile>,
    delay: Arc<Path>,
}

impl SlowDisk {
    fn slow(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SlowFile {
            file,
            delay: Arc::clone(&self.delay),
        })
    }
}

impl Disk for SlowDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.slow(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.slow(file))
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

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

impl DiskFile for SlowFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.file.write_vectored_at(slices, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(delay(&self.delay));
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
