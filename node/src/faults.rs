//! Faults that a test asks for; only in a build with the feature `faults`.
//!
//! `ROOKERY_FAULT_SYNC_DELAY_MS` delays every sync of the log by so many milliseconds, as a slow
//! disk would: what was written is on its way, and nobody may say yet that it is durable.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seglog::disk::{Disk, DiskFile, DiskLock};

/// Milliseconds by which each sync is delayed.
pub const SYNC_DELAY_VARIABLE: &str = "ROOKERY_FAULT_SYNC_DELAY_MS";

/// `disk`, with the faults that the environment asks for.
#[must_use]
pub fn wrap(disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
    let delay = std::env::var(SYNC_DELAY_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok());
    match delay {
        Some(delay_ms) => {
            tracing::warn!("every sync of the log is delayed: {SYNC_DELAY_VARIABLE}={delay_ms}");
            Arc::new(SlowDisk {
                disk,
                delay: Duration::from_millis(delay_ms),
            })
        }
        None => disk,
    }
}

struct SlowDisk {
    disk: Arc<dyn Disk>,
    delay: Duration,
}

struct SlowFile {
    file: Arc<dyn DiskFile>,
    delay: Duration,
}

impl SlowDisk {
    fn slow(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SlowFile {
            file,
            delay: self.delay,
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
        std::thread::sleep(self.delay);
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
