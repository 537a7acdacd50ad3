//! The disk as the log sees it: one flat directory of files.
//!
//! The log never touches `std::fs` itself, so that tests and the whole-node simulation can hand
//! it a [`SimDisk`](crate::sim::SimDisk) that crashes, tears writes and flips bits. [`Directory`]
//! is the real one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::limits::IOVECS_MAX;

/// Keeps the directory locked until it is dropped.
pub trait DiskLock: Send + Sync {}

/// A flat directory. File names are plain ASCII without separators.
///
/// Implementers owe: a name that was created, renamed or removed is durable after
/// [`sync_dir`](Disk::sync_dir) and in doubt until then; renaming is atomic.
pub trait Disk: Send + Sync {
    /// Makes an empty file; fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name; open files stay readable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// All names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes names durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Locks the directory against other processes, without waiting: `WouldBlock` if it is
    /// locked already, also by this process.
    fn lock(&self) -> io::Result<Box<dyn DiskLock>>;

    /// Bytes that new files may still take together, as far as the disk knows.
    fn free_bytes(&self) -> io::Result<u64>;

    /// What to call a file in messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file. All operations may be called from several threads at once.
pub trait DiskFile: Send + Sync {
    /// Reads at an offset; fewer bytes than asked for only at the end of the file or after a
    /// signal, 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the slices one after the other at an offset, of which at most
    /// [`IOVECS_MAX`] are given. Returns the bytes written, which may be fewer.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Makes an empty file so long, of zeros, for which there is room on the disk from then on: no
    /// write within it meets a full one. `Unsupported` where that takes as long as writing them.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Makes the contents durable (`fdatasync`). An error is final: the contents are in doubt.
    fn sync_data(&self) -> io::Result<()>;

    /// The length, bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Writes all of the slices, splitting at [`IOVECS_MAX`] and going on after short writes.
pub(crate) fn write_all(
    file: &dyn DiskFile,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let count = slices.len().min(IOVECS_MAX);
        match file.write_vectored_at(&slices[..count], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills the buffer from an offset; `UnexpectedEof` if the file ends before.
pub(crate) fn read_exact(file: &dyn DiskFile, mut buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut offset = at;
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                offset += read as u64;
                buffer = &mut buffer[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A directory of the local file system. Locked by `flock` on a file `LOCK` in it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Takes a directory, making it and those above it if they are not there. Its name is
    /// durable then.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|at| *at != Path::new("") && !at.is_dir())
            .collect();
        for directory in missing.iter().rev() {
            std::fs::create_dir_all(directory)?;
            sync_parent(directory)?;
        }
        if missing.is_empty() {
            // Whoever made it may have ended before the sync. That was not us if the parent is
            // one that we may not read or that cannot be synced.
            use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
            sync_parent(&path).or_else(|error| match error.kind() {
                InvalidInput | PermissionDenied | ReadOnlyFilesystem => Ok(()),
                _ => Err(error),
            })?;
        }
        Ok(Self { path })
    }
}

/// Makes the name of a directory durable. A root has none.
fn sync_parent(directory: &Path) -> io::Result<()> {
    match directory.parent() {
        Some(parent) if parent == Path::new("") => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

impl Disk for Directory {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Ok(Arc::new(RealFile(options.open(self.path(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        Ok(Arc::new(RealFile(options.open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is no UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(self.path("LOCK"))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealFile(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

struct RealFile(File);

/// The lock lives as long as the descriptor.
impl DiskLock for RealFile {}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, slices, offset)?)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        fallocate(&self.0, FallocateFlags::empty(), 0, bytes).map_err(|errno| match errno {
            Errno::OPNOTSUPP => io::ErrorKind::Unsupported.into(),
            errno => errno.into(),
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
