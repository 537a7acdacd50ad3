//! A disk in memory that fails as told: deterministic, without a clock or randomness.
//!
//! Writes are visible at once and durable only after a sync, in sectors of 512 bytes; names are
//! durable only after a sync of the directory. [`SimDisk::crash`] throws the rest away, and asks
//! for each unsynced sector and each unsynced change of a name whether it happened to survive.
//! A sync that fails loses its writes for good although they stay visible, as Linux does: a
//! second sync would succeed and mean nothing.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, DiskLock};

const SECTOR_BYTES: usize = 512;

/// A simulated directory. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

/// What can be made to fail.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Operation {
    /// Making a file.
    Create,
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing the directory.
    SyncDir,
    /// Reading from a file. Not counted by [`SimDisk::operations`].
    Read,
}

/// How it fails.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    NoSpace,
}

/// Something unsynced of which a crash decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unsynced {
    /// A sector, or the part of it that one write covers.
    Sector {
        /// The file's name, as it was last.
        name: String,
        /// Number of the write among the unsynced ones of this file, from 0.
        write: usize,
        /// Number of the sector in the file.
        sector: u64,
    },
    /// A change of a name: made, renamed or removed. When one did not survive, the later ones
    /// did not either.
    Name,
}

#[derive(Default)]
struct Inner {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// The directory after each change since its last sync.
    name_changes: Vec<BTreeMap<String, usize>>,
    files: Vec<FileData>,
    faults: Vec<(Operation, u64, Fault)>,
    operations: u64,
    counts: BTreeMap<Operation, u64>,
    power_off_at: Option<u64>,
    capacity_bytes: Option<u64>,
    /// Handles and locks of an earlier life do not work any more.
    life: u64,
    locked: bool,
}

#[derive(Default)]
struct FileData {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<UnsyncedWrite>,
}

struct UnsyncedWrite {
    offset: usize,
    bytes: Vec<u8>,
    /// A sync of it failed: no later one will make it durable.
    lost: bool,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changing operations so far; also those that failed.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Operations of one sort so far.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.inner()
            .counts
            .get(&operation)
            .copied()
            .unwrap_or_default()
    }

    /// Power goes off at the changing operation with this number (the first is 1): it and all
    /// later ones fail. A write at that moment may still reach the disk in part.
    pub fn power_off_at(&self, operation: u64) {
        self.inner().power_off_at = Some(operation);
    }

    /// The operation of this sort that comes after `skip` others fails.
    pub fn fail(&self, operation: Operation, skip: u64, fault: Fault) {
        self.inner().faults.push((operation, skip, fault));
    }

    /// Bytes that all files together may take; beyond it a write gives `ENOSPC`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity_bytes = bytes;
    }

    /// Loses power. `choose` says for each unsynced thing, in the order in which it was done,
    /// whether it survived. Faults are forgotten, open files and locks are void.
    pub fn crash(&self, mut choose: impl FnMut(&Unsynced) -> bool) {
        let inner = &mut *self.inner();
        for changed in std::mem::take(&mut inner.name_changes) {
            if !choose(&Unsynced::Name) {
                break;
            }
            inner.durable_names = changed;
        }
        let names: BTreeMap<usize, String> = inner
            .names
            .iter()
            .map(|(name, file)| (*file, name.clone()))
            .collect();
        for (number, file) in inner.files.iter_mut().enumerate() {
            let name = names.get(&number).cloned().unwrap_or_default();
            for (at, write) in std::mem::take(&mut file.unsynced).into_iter().enumerate() {
                for (offset, part) in sectors(&write) {
                    let sector = (offset / SECTOR_BYTES) as u64;
                    let unsynced = Unsynced::Sector {
                        name: name.clone(),
                        write: at,
                        sector,
                    };
                    if choose(&unsynced) {
                        put(&mut file.durable, offset, part);
                    }
                }
            }
            file.current.clone_from(&file.durable);
        }
        inner.names.clone_from(&inner.durable_names);
        inner.end_life();
    }

    /// Ends the process while the machine lives on: what was written stays visible and is no
    /// more durable than before. Faults are forgotten, open files and locks are void.
    pub fn restart(&self) {
        self.inner().end_life();
    }

    /// The contents of a file as a read sees them.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner
            .names
            .get(name)
            .map(|file| inner.files[*file].current.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let inner = &mut *self.inner();
        let file = inner.files.len();
        inner.files.push(FileData {
            durable: bytes.clone(),
            current: bytes,
            unsynced: Vec::new(),
        });
        inner.names.insert(name.to_owned(), file);
        inner.durable_names.insert(name.to_owned(), file);
        for names in &mut inner.name_changes {
            names.insert(name.to_owned(), file);
        }
    }

    /// Changes a byte, durably: `mask` is the bits to flip. `false` if there is no such byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> bool {
        let inner = &mut *self.inner();
        let Some(file) = inner.names.get(name) else {
            return false;
        };
        let file = &mut inner.files[*file];
        let offset = offset as usize;
        let Some(byte) = file.current.get_mut(offset) else {
            return false;
        };
        *byte ^= mask;
        if let Some(byte) = file.durable.get_mut(offset) {
            *byte ^= mask;
        }
        true
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_names(
        &self,
        operation: Operation,
        change: impl FnOnce(&mut BTreeMap<String, usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut inner = self.inner();
        inner.begin(operation)?;
        change(&mut inner.names)?;
        inner.note_names();
        Ok(())
    }

    fn handle(&self, file: usize, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            file,
            life,
        })
    }
}

impl Inner {
    fn end_life(&mut self) {
        self.faults.clear();
        self.power_off_at = None;
        self.locked = false;
        self.life += 1;
    }

    /// The names were changed.
    fn note_names(&mut self) {
        let names = self.names.clone();
        self.name_changes.push(names);
    }

    /// Counts an operation and lets it fail if it is its turn.
    fn begin(&mut self, operation: Operation) -> io::Result<()> {
        *self.counts.entry(operation).or_default() += 1;
        if operation != Operation::Read {
            self.operations += 1;
        }
        if self.power_off_at.is_some_and(|at| self.operations >= at) {
            return Err(io::Error::other("the power is off"));
        }
        let mut due = None;
        for (at, (which, skip, fault)) in self.faults.iter_mut().enumerate() {
            if *which == operation {
                match skip.checked_sub(1) {
                    Some(left) => *skip = left,
                    None => due = due.or(Some((at, *fault))),
                }
            }
        }
        let Some((at, fault)) = due else {
            return Ok(());
        };
        self.faults.remove(at);
        Err(match fault {
            Fault::Io => io::Error::other("simulated I/O error"),
            Fault::NoSpace => io::ErrorKind::StorageFull.into(),
        })
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.files[*file].current.len() as u64)
            .sum()
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = &mut *self.inner();
        inner.begin(Operation::Create)?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let made = inner.files.len();
        inner.files.push(FileData::default());
        inner.names.insert(name.to_owned(), made);
        inner.note_names();
        Ok(self.handle(made, inner.life))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner();
        let file = inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(*file, inner.life))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(Operation::Rename, |names| {
            let file = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(Operation::Remove, |names| {
            names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let inner = &mut *self.inner();
        inner.begin(Operation::SyncDir)?;
        inner.durable_names.clone_from(&inner.names);
        inner.name_changes.clear();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        let mut inner = self.inner();
        if std::mem::replace(&mut inner.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            life: inner.life,
        }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = self.inner();
        let capacity = inner.capacity_bytes.unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(inner.used_bytes()))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("sim").join(name)
    }
}

struct SimLock {
    disk: SimDisk,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if inner.life == self.life {
            inner.locked = false;
        }
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
    life: u64,
}

impl SimFile {
    fn inner(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.inner();
        if inner.life != self.life {
            return Err(io::Error::other("opened before the crash"));
        }
        Ok(inner)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.inner()?;
        inner.begin(Operation::Read)?;
        let bytes = &inner.files[self.file].current;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let inner = &mut *self.inner()?;
        // A write during which the power goes may reach the disk in part.
        let dying = inner.power_off_at == Some(inner.operations + 1);
        let result = inner.begin(Operation::Write);
        if result.is_err() && !dying {
            return result.map(|()| 0);
        }
        let length = inner.files[self.file].current.len();
        let grown = (offset as usize + bytes.len()).saturating_sub(length) as u64;
        if inner
            .capacity_bytes
            .is_some_and(|max| grown > 0 && inner.used_bytes() + grown > max)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len();
        let file = &mut inner.files[self.file];
        put(&mut file.current, offset as usize, &bytes);
        file.unsynced.push(UnsyncedWrite {
            offset: offset as usize,
            bytes,
            lost: false,
        });
        result.map(|()| count)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let zeros = vec![0; bytes as usize];
        self.write_vectored_at(&[IoSlice::new(&zeros)], 0)
            .map(|_| ())
    }

    fn sync_data(&self) -> io::Result<()> {
        let inner = &mut *self.inner()?;
        let result = inner.begin(Operation::Sync);
        let file = &mut inner.files[self.file];
        if result.is_err() {
            file.unsynced.iter_mut().for_each(|write| write.lost = true);
            return result;
        }
        let FileData {
            durable, unsynced, ..
        } = file;
        let (mut lost, kept): (Vec<_>, Vec<_>) = unsynced.drain(..).partition(|write| write.lost);
        for write in kept {
            put(durable, write.offset, &write.bytes);
            let end = write.offset + write.bytes.len();
            lost.retain(|old| old.offset + old.bytes.len() <= write.offset || end <= old.offset);
        }
        *unsynced = lost;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inner()?.files[self.file].current.len() as u64)
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// The parts of a write by sector, with their offsets.
fn sectors(write: &UnsyncedWrite) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::new();
    let (mut offset, mut rest) = (write.offset, &write.bytes[..]);
    while !rest.is_empty() {
        let length = (SECTOR_BYTES - offset % SECTOR_BYTES).min(rest.len());
        let (part, behind) = rest.split_at(length);
        parts.push((offset, part));
        (offset, rest) = (offset + length, behind);
    }
    parts
}
