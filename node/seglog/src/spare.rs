//! Spare segments: files that are filled and synced before they are needed.
//!
//! Overwriting blocks that exist needs no change of the file's metadata, so syncing them is
//! faster than syncing a growing file, and a full disk is met here and never inside a write. A
//! spare is filled under a temporary name and takes part once it is renamed.
//!
//! When one is needed before it was filled, since more is written than is filled meanwhile, it is
//! only reserved: the disk has room for it, and reads it as zeros. So a burst waits for no zeros;
//! its syncs change metadata, which shows little where each of them makes much durable.
//!
//! A spare that an earlier life left may have been begun: the block was written, wholly or in
//! part, and the name did not follow. If the next block is shorter, what it does not cover would
//! look like a torn tail. So such a spare is read, and cleared where it is not zero, before it is
//! used. That is done late, since it reads a whole segment: when it is needed or in `prepare`.
//!
//! The file of a freed segment may become a spare as it is, under a name of its own: what it
//! holds was made for another segment, and its next block does not promise zeros.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::disk::{Disk, DiskFile, read_exact, write_all};
use crate::error::Error;
use crate::format::Name;
use crate::limits::FILL_SYNC_BYTES;
use crate::log::Options;
use crate::shared::held;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

pub(crate) struct Spare {
    pub name: Name,
    pub file: Arc<dyn DiskFile>,
}

pub(crate) struct Spares {
    segment_bytes: u32,
    /// See [`Options`].
    bytes_max: u64,
    disk_kept_bytes: u64,
    ready: Mutex<Vec<Spare>>,
    /// Left by an earlier life and called zeroed, but not yet checked.
    left: Mutex<Vec<Spare>>,
    /// Held while a spare is filled; the number of the next one.
    filling: Mutex<u64>,
    /// The disk was full when the last one should have been filled.
    full: AtomicBool,
    filled_bytes: AtomicU64,
}

impl Spares {
    /// Takes over the spares that an earlier life left and removes what is of no use.
    pub fn open(disk: &dyn Disk, names: &[String], options: &Options) -> Result<Self, Error> {
        let segment_bytes = options.segment_bytes;
        let (mut ready, mut left, mut next) = (Vec::new(), Vec::new(), 0);
        for text in names {
            let Some(name) = Name::parse(text) else {
                continue;
            };
            match name {
                Name::Segment(_) => continue,
                Name::Filling => {}
                Name::Spare { number, zeroed } => {
                    next = next.max(number + 1);
                    let file = disk
                        .open(text)
                        .map_err(|e| io_error(disk, "open", name, e))?;
                    let size = file.len().map_err(|e| io_error(disk, "open", name, e))?;
                    if size == u64::from(segment_bytes) {
                        let list = if zeroed { &mut left } else { &mut ready };
                        list.push(Spare { name, file });
                        continue;
                    }
                }
            }
            disk.remove(text)
                .map_err(|e| io_error(disk, "remove", name, e))?;
        }
        Ok(Self {
            segment_bytes,
            bytes_max: options.bytes_max,
            disk_kept_bytes: options.disk_kept_bytes,
            ready: Mutex::new(ready),
            left: Mutex::new(left),
            filling: Mutex::new(next),
            full: AtomicBool::new(false),
            filled_bytes: AtomicU64::new(0),
        })
    }

    /// Whether there is a spare, or there will be as far as is known.
    pub fn expected(&self) -> bool {
        !self.full.load(Relaxed) || self.count() > 0
    }

    /// Bytes of zeros written to fill spares.
    pub fn filled_bytes(&self) -> u64 {
        self.filled_bytes.load(Relaxed)
    }

    pub fn count(&self) -> usize {
        held(&self.ready).len() + held(&self.left).len()
    }

    /// Bytes of further segments that can be made where there are so many.
    pub fn growth(&self, disk: &dyn Disk, segments: u64) -> io::Result<u64> {
        let segment = u64::from(self.segment_bytes);
        let free = disk.free_bytes()?.saturating_sub(self.disk_kept_bytes);
        let taken = (segments + self.count() as u64).saturating_mul(segment);
        let growth = free.min(self.bytes_max.saturating_sub(taken));
        Ok(growth / segment * segment)
    }

    /// Checks a spare of an earlier life, or fills one more unless there are `wanted`. Does
    /// nothing while someone else is at it.
    pub fn prepare(&self, disk: &dyn Disk, segments: u64, wanted: usize) -> Result<bool, Error> {
        let mut next = match self.filling.try_lock() {
            Ok(next) => next,
            Err(TryLockError::Poisoned(next)) => next.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        if held(&self.left).is_empty() && self.count() >= wanted {
            return Ok(false);
        }
        let spare = self.make(disk, Some(segments), &mut next, Making::Filled)?;
        held(&self.ready).push(spare);
        Ok(true)
    }

    /// Makes a spare of the file of a freed segment that nobody reads, unless there are `wanted`.
    /// What it holds is never taken for records, since they were made for another segment.
    pub fn recycle(&self, disk: &dyn Disk, segment: u64, wanted: usize) -> Result<bool, Error> {
        if self.count() >= wanted {
            return Ok(false);
        }
        let old = Name::Segment(segment);
        let name = Name::Spare {
            number: segment,
            zeroed: false,
        };
        let failed = |source| io_error(disk, "recycle", old, source);
        let file = disk.open(&old.text()).map_err(failed)?;
        if file.len().map_err(failed)? != u64::from(self.segment_bytes) {
            return Ok(false);
        }
        // It is not written to before the old name is gone for good.
        disk.rename(&old.text(), &name.text()).map_err(failed)?;
        disk.sync_dir().map_err(failed)?;
        held(&self.ready).push(Spare { name, file });
        Ok(true)
    }

    /// Takes a spare, making one now if there is none: where there are so many `segments`, or
    /// without regard to what is kept of the disk.
    pub fn take(&self, disk: &dyn Disk, segments: Option<u64>) -> Result<Spare, Error> {
        if let Some(spare) = held(&self.ready).pop() {
            return Ok(spare);
        }
        let mut next = held(&self.filling);
        // Another thread may have been filling one.
        let ready = held(&self.ready).pop();
        match ready {
            Some(spare) => Ok(spare),
            None => self.make(disk, segments, &mut next, Making::Reserved),
        }
    }

    /// A spare of an earlier life if there is one: it needs no room.
    fn make(
        &self,
        disk: &dyn Disk,
        segments: Option<u64>,
        next: &mut MutexGuard<'_, u64>,
        making: Making,
    ) -> Result<Spare, Error> {
        let left = held(&self.left).pop();
        let Some(spare) = left else {
            return self.grow(disk, segments, next, making);
        };
        if let Err(source) = clear(spare.file.as_ref(), self.segment_bytes) {
            // What it holds is unknown, so it goes; the next one is filled anew.
            let _ = disk.remove(&spare.name.text());
            return Err(io_error(disk, "check", spare.name, source));
        }
        Ok(spare)
    }

    /// Makes one that takes room.
    fn grow(
        &self,
        disk: &dyn Disk,
        segments: Option<u64>,
        next: &mut MutexGuard<'_, u64>,
        making: Making,
    ) -> Result<Spare, Error> {
        let name = Name::Spare {
            number: **next,
            zeroed: true,
        };
        let filling = Name::Filling.text();
        let growth = segments.map_or(Ok(u64::MAX), |segments| self.growth(disk, segments));
        let made = growth.and_then(|growth| match growth {
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => self.try_grow(disk, &filling, &name.text(), making),
        });
        if made.is_err() {
            // The space is given back; what this says does not matter beside the error.
            let _ = disk.remove(&filling);
        }
        let made = made.map_err(|e| io_error(disk, "fill", name, e));
        self.full
            .store(matches!(made, Err(Error::NoSpace { .. })), Relaxed);
        let file = made?;
        **next += 1;
        Ok(Spare { name, file })
    }

    fn try_grow(
        &self,
        disk: &dyn Disk,
        filling: &str,
        name: &str,
        making: Making,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let file = disk.create(filling)?;
        match making {
            Making::Filled => self.fill(file.as_ref())?,
            Making::Reserved => match file.reserve(u64::from(self.segment_bytes)) {
                Ok(()) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.fill(file.as_ref())?;
                }
                Err(error) => return Err(error),
            },
        }
        disk.rename(filling, name)?;
        disk.sync_dir()?;
        Ok(file)
    }

    fn fill(&self, file: &dyn DiskFile) -> io::Result<()> {
        let mut offset = 0;
        while offset < self.segment_bytes {
            let until = (offset + FILL_SYNC_BYTES).min(self.segment_bytes);
            fill_zeros(file, offset, until)?;
            file.sync_data()?;
            self.filled_bytes
                .fetch_add(u64::from(until - offset), Relaxed);
            offset = until;
        }
        Ok(())
    }
}

/// How a spare is made.
#[derive(Copy, Clone)]
enum Making {
    /// With zeros, so that it is fast to write later.
    Filled,
    /// At once.
    Reserved,
}

/// Makes sure that a file holds zeros only. Writes, and syncs, only where it does not.
fn clear(file: &dyn DiskFile, bytes: u32) -> io::Result<()> {
    let (mut offset, mut cleared) = (0, false);
    let mut buffer = vec![0; ZEROS.len()];
    while offset < bytes {
        let until = (offset + ZEROS.len() as u32).min(bytes);
        let part = &mut buffer[..(until - offset) as usize];
        read_exact(file, part, u64::from(offset))?;
        if *part != ZEROS[..part.len()] {
            fill_zeros(file, offset, until)?;
            cleared = true;
        }
        offset = until;
    }
    if cleared { file.sync_data() } else { Ok(()) }
}

fn fill_zeros(file: &dyn DiskFile, from: u32, until: u32) -> io::Result<()> {
    let mut left = (until - from) as usize;
    let mut slices = Vec::new();
    while left > 0 {
        let part = left.min(ZEROS.len());
        slices.push(IoSlice::new(&ZEROS[..part]));
        left -= part;
    }
    write_all(file, &mut slices, u64::from(from))
}

fn io_error(disk: &dyn Disk, op: &'static str, name: Name, source: io::Error) -> Error {
    Error::io(op, disk.path(&name.text()), source)
}
