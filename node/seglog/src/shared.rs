//! What log, writer and cleaner share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskLock};
use crate::error::{Error, Poisoned};
use crate::files::Files;
use crate::format::Name;
use crate::limits::{RECORD_SEGMENT_PART_MAX, RECYCLED_SEGMENTS_MAX};
use crate::log::Options;
use crate::record::{Done, Position, Record, Sync, Written};
use crate::spare::Spares;

/// One per log.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub options: Options,
    pub queue: Mutex<Queue>,
    /// Signalled when the queue was empty and is no more.
    pub wake: Condvar,
    pub files: Files,
    pub spares: Spares,
    pub counters: Counters,
    pub _lock: Box<dyn DiskLock>,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub batches: Vec<Batch>,
    pub poisoned: Option<Poisoned>,
}

/// One append on its way.
pub(crate) struct Batch {
    pub records: Vec<Prepared>,
    pub written: Vec<Written>,
    pub bytes: u64,
    pub sync: Sync,
    pub done: Done,
}

/// A record that was found to be in order, with the sums that its header will hold.
pub(crate) struct Prepared {
    pub record: Record,
    /// Of a copy: where the original was first written.
    pub origin: Option<Position>,
    pub length: u32,
    pub checksum: u32,
}

#[derive(Default)]
pub(crate) struct Counters {
    /// The position of the log's end.
    pub end: AtomicU64,
    /// Bytes left in the active segment.
    pub rest: AtomicU64,
    /// The position before which every record is done: its waiter was called.
    pub acknowledged: AtomicU64,
    pub copied_bytes: AtomicU64,
    pub freed_bytes: AtomicU64,
    pub bytes: AtomicU64,
    pub records: AtomicU64,
    pub syncs: AtomicU64,
    pub batches: AtomicU64,
    pub queued_bytes: AtomicU64,
}

impl Shared {
    pub fn prepare(&self) -> Result<bool, Error> {
        self.prepare_up_to(self.options.spare_segments)
    }

    fn prepare_up_to(&self, wanted: usize) -> Result<bool, Error> {
        let segments = self.files.count();
        self.spares.prepare(self.disk.as_ref(), segments, wanted)
    }

    /// Bytes of further segments that can be made.
    pub fn growth(&self) -> Result<u64, Error> {
        let growth = self.spares.growth(self.disk.as_ref(), self.files.count());
        growth.map_err(|source| Error::io("ask for the room of", self.disk.path(""), source))
    }

    /// Gives away the file of a segment of which the log says durably that it is freed; whether
    /// it became a spare.
    pub fn discard(&self, segment: u64) -> Result<bool, Error> {
        let unheld = self.files.forget(segment);
        let wanted = self.options.spare_segments + RECYCLED_SEGMENTS_MAX;
        let disk = self.disk.as_ref();
        if unheld && self.spares.recycle(disk, segment, wanted)? {
            return Ok(true);
        }
        let name = Name::Segment(segment).text();
        disk.remove(&name)
            .map_err(|source| Error::io("remove", self.disk.path(&name), source))?;
        Ok(false)
    }

    /// Whether there is room for `bytes` of records with their index, in the active segment and
    /// in spares, of which some are made if need be; and for `rest` more behind them, if only on
    /// the disk.
    pub fn make_room(&self, bytes: u64, rest: u64) -> Result<bool, Error> {
        if rest > 0 && self.room().saturating_add(self.growth()?) < bytes.saturating_add(rest) {
            return Ok(false);
        }
        while self.room() < bytes {
            match self.prepare_up_to(self.spares.count() + 1) {
                Ok(true) => {}
                Ok(false) | Err(Error::NoSpace { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Bytes of records and index that go into the active segment and the spares for sure.
    pub fn room(&self) -> u64 {
        let segment = u64::from(self.options.segment_bytes);
        let sure = segment - segment / u64::from(RECORD_SEGMENT_PART_MAX);
        self.counters.rest.load(Relaxed) + self.spares.count() as u64 * sure
    }

    /// The number of the segment that is being written.
    pub fn active(&self) -> u64 {
        Position(self.counters.end.load(Relaxed)).segment()
    }
}

/// Locks. A panic elsewhere leaves nothing half done under these locks.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
