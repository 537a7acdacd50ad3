//! The files of the index, of which every block has a checksum.
//!
//! ```text
//!   | block of BLOCK_BYTES | its CRC-32C || block | its CRC-32C || .. | last block | its CRC-32C |
//! ```
//!
//! What is not as it was written is an error to whoever reads it, at that moment: an index that is
//! damaged must not tell that a message lacks what it has. Files are read and not mapped, so that a
//! file that was cut, or a sector that cannot be read, is an error as well and not the end of the
//! process.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

use super::limits::BLOCK_BYTES;

const SUM_BYTES: usize = 4;

/// Bytes of a block with its checksum.
const STRIDE: usize = BLOCK_BYTES + SUM_BYTES;

/// How often, and how long, a lock that another thread has for a moment is waited for.
const LOCK_TRIES: usize = 1000;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// The folder of an index. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Files {
    folder: Arc<Path>,
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Files {
    /// The index in a folder, which is made if it is not there. Nobody else has it open: the data
    /// directory is locked.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.into(),
            locked: Arc::default(),
        })
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return 0;
        };
        let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
        sizes.map(|metadata| metadata.len()).sum()
    }

    fn path(&self, name: &Path) -> PathBuf {
        self.folder.join(name)
    }
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let failed = |error| read_error(error, path);
        let file = File::open(self.path(path)).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let bytes = usize::try_from(bytes).map_err(|_| failed(damaged("too long")))?;
        let last = bytes % STRIDE;
        if last != 0 && last <= SUM_BYTES {
            return Err(failed(damaged("cut")));
        }
        let len = bytes - bytes.div_ceil(STRIDE) * SUM_BYTES;
        Ok(Arc::new(Blocks { file, bytes, len }))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        fs::remove_file(self.path(path)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
            _ => DeleteError::IoError {
                io_error: Arc::new(error),
                filepath: path.to_owned(),
            },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        let exists = self.path(path).try_exists();
        exists.map_err(|error| read_error(error, path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = File::create_new(self.path(path)).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.to_owned()),
            _ => OpenWriteError::wrap_io_error(error, path.to_owned()),
        })?;
        Ok(BufWriter::new(Box::new(BlockWriter {
            file,
            number: 0,
            block: Vec::new(),
        })))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let mut bytes = Vec::new();
        let read = File::open(self.path(path)).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| read_error(error, path))?;
        match bytes.split_last_chunk::<SUM_BYTES>() {
            Some((data, kept)) if sum(0, data) == u32::from_le_bytes(*kept) => Ok(data.to_vec()),
            _ => Err(read_error(damaged("changed"), path)),
        }
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let path = self.path(path);
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(data)?;
        file.write_all(&sum(0, data).to_le_bytes())?;
        file.sync_all()?;
        fs::rename(new, path)?;
        self.sync_directory()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        let tries = if lock.is_blocking { LOCK_TRIES } else { 1 };
        for _ in 0..tries {
            if self.locked.lock().insert(lock.filepath.clone()) {
                return Ok(DirectoryLock::from(Box::new(Held {
                    locked: Arc::clone(&self.locked),
                    path: lock.filepath.clone(),
                })));
            }
            std::thread::sleep(LOCK_WAIT);
        }
        Err(LockError::LockBusy)
    }

    /// Nobody is told: whoever commits loads what is new.
    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// A lock, until it is dropped.
struct Held {
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locked.lock().remove(&self.path);
    }
}

/// A file that is read.
#[derive(Debug)]
struct Blocks {
    file: File,
    /// Bytes of the file.
    bytes: usize,
    /// Bytes of it that are no checksums.
    len: usize,
}

impl HasLen for Blocks {
    fn len(&self) -> usize {
        self.len
    }
}

impl FileHandle for Blocks {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.end > self.len {
            return Err(damaged("shorter than it should be"));
        }
        if range.is_empty() {
            return Ok(OwnedBytes::empty());
        }
        let first = range.start / BLOCK_BYTES;
        let from = first * STRIDE;
        let end = (range.end.div_ceil(BLOCK_BYTES) * STRIDE).min(self.bytes);
        let mut read = vec![0; end - from];
        self.file.read_exact_at(&mut read, from as u64)?;
        let mut data = Vec::with_capacity(read.len());
        for (number, block) in (first as u64..).zip(read.chunks(STRIDE)) {
            match block.split_last_chunk::<SUM_BYTES>() {
                Some((block, kept)) if sum(number, block) == u32::from_le_bytes(*kept) => {
                    data.extend_from_slice(block);
                }
                _ => return Err(damaged("changed")),
            }
        }
        let skipped = range.start - first * BLOCK_BYTES;
        Ok(OwnedBytes::new(data).slice(skipped..skipped + range.len()))
    }
}

/// A file that is written. It is read only once it is whole.
struct BlockWriter {
    file: File,
    number: u64,
    block: Vec<u8>,
}

impl BlockWriter {
    fn end_block(&mut self) -> io::Result<()> {
        let sum = sum(self.number, &self.block);
        self.block.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all(&self.block)?;
        self.number += 1;
        self.block.clear();
        Ok(())
    }
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (fits, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(fits);
            rest = after;
            if self.block.len() == BLOCK_BYTES {
                self.end_block()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for BlockWriter {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.file.sync_all()
    }
}

/// The checksum of a block, which is that of no other block with these bytes.
fn sum(number: u64, block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), block)
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("the file is damaged: {how}"),
    )
}

fn read_error(error: io::Error, path: &Path) -> OpenReadError {
    match error.kind() {
        ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path.to_owned()),
        _ => OpenReadError::wrap_io_error(error, path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &Files, name: &str, data: &[u8]) {
        let mut writer = files.open_write(Path::new(name)).unwrap();
        writer.write_all(data).unwrap();
        writer.terminate().unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_what_is_changed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        for len in [
            0,
            1,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            3 * BLOCK_BYTES,
        ] {
            let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let name = format!("f{len}");
            write(&files, &name, &data);
            let handle = files.get_file_handle(Path::new(&name)).unwrap();
            assert_eq!(handle.len(), len);
            for range in [0..len, len / 3..len, len / 2..len / 2, 0..len.min(1)] {
                let read = handle.read_bytes(range.clone()).unwrap();
                assert_eq!(read.as_slice(), &data[range]);
            }
            assert!(handle.read_bytes(0..len + 1).is_err());
            if len == 0 {
                continue;
            }
            let path = folder.path().join(&name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[len / 2] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let handle = files.get_file_handle(Path::new(&name)).unwrap();
            assert!(handle.read_bytes(0..len).is_err());
            bytes[len / 2] ^= 1;
            bytes.pop();
            fs::write(&path, &bytes).unwrap();
            let cut = files.get_file_handle(Path::new(&name));
            let read = cut.map(|cut| cut.read_bytes(0..cut.len()));
            assert!(!matches!(read, Ok(Ok(_))), "{len}");
        }
    }

    #[test]
    fn small_files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let path = Path::new("meta.json");
        assert!(matches!(
            files.atomic_read(path),
            Err(OpenReadError::FileDoesNotExist(_))
        ));
        for data in [&b"one"[..], b"another", b""] {
            files.atomic_write(path, data).unwrap();
            assert_eq!(files.atomic_read(path).unwrap(), data);
        }
        fs::write(folder.path().join(path), b"changed").unwrap();
        assert!(files.atomic_read(path).is_err());
    }
}
