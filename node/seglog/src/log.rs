//! The log as its users hold it: appending to the queue, and reading.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;

use crate::disk::{Disk, read_exact};
use crate::error::Error;
use crate::files::Files;
use crate::format::{HEADER_BYTES, Header, Name, Seed};
use crate::limits::{
    CLEAN_WIN_PART, MARK_BYTES_MAX, QUEUE_BYTES_MAX_DEFAULT, RECORD_BYTES_MAX_DEFAULT,
    RECORD_SEGMENT_PART_MAX, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
    SPARE_SEGMENTS_DEFAULT, SPARE_SEGMENTS_MAX,
};
use crate::record::{Done, Kind, Place, Position, Record, RecordAt, Sync, checksum};
use crate::recover::{self, Damage, Records, Recovered};
use crate::shared::{Batch, Counters, Prepared, Queue, Shared, held};
use crate::spare::Spares;
use crate::writer::Writer;

/// How a log is kept. May change from one open to the next, except for `log_id`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Chosen at random when the log is made, and the same ever after: files of another log are
    /// refused.
    pub log_id: u64,
    /// Size of new segments, bytes, a multiple of 8. Default 64 MiB.
    pub segment_bytes: u32,
    /// Spare segments that [`Log::prepare`] keeps ready. Default 1.
    pub spare_segments: usize,
    /// Largest payload of a record, bytes, at most a quarter of a segment. Default 4 MiB.
    pub record_bytes_max: u32,
    /// Most bytes of payload that wait to be written. Default 128 MiB.
    pub queue_bytes_max: u64,
    /// Most bytes that segments and spares take, counted as if all were of the present size.
    /// Default no limit but the disk's.
    pub bytes_max: u64,
    /// Bytes of the disk that no segment is made of: they are for others that share it. Default 0.
    pub disk_kept_bytes: u64,
    /// Room that the caller keeps for what wins room. While one segment waits for its checkpoint,
    /// the cleaner copies another only if half of this stays. Default 0.
    pub reserve_bytes: u64,
    /// A segment is cleaned if this part of its file would be won (one over this number), while
    /// there is room; see [`crate::Cleaner`]. Default
    /// 2.
    pub clean_win_part: u64,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new(log_id: u64) -> Self {
        Self {
            log_id,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            spare_segments: SPARE_SEGMENTS_DEFAULT,
            record_bytes_max: RECORD_BYTES_MAX_DEFAULT,
            queue_bytes_max: QUEUE_BYTES_MAX_DEFAULT,
            bytes_max: u64::MAX,
            disk_kept_bytes: 0,
            reserve_bytes: 0,
            clean_win_part: CLEAN_WIN_PART,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(8) {
            return Err(Error::Misuse(
                "segment_bytes is out of range or no multiple of 8",
            ));
        }
        if self.record_bytes_max > self.segment_bytes / RECORD_SEGMENT_PART_MAX {
            return Err(Error::Misuse(
                "record_bytes_max is more than a quarter of a segment",
            ));
        }
        if self.spare_segments > SPARE_SEGMENTS_MAX {
            return Err(Error::Misuse("spare_segments is out of range"));
        }
        Ok(())
    }
}

/// Opens the log in a directory, or makes one if there is none.
///
/// The directory stays locked until the writer and every clone of the log are gone. Read
/// [`Recovered::damage`] before anything of it is used.
///
/// # Errors
/// [`Error::Locked`], [`Error::NewerFormat`], [`Error::NotALog`], [`Error::NoSpace`],
/// [`Error::Io`], and [`Error::Misuse`] for options that contradict each other.
pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Log, Writer, Recovered), Error> {
    options.check()?;
    let directory = disk.path("");
    let lock = disk.lock().map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked {
            path: directory.clone(),
        },
        _ => Error::io("lock", directory.clone(), source),
    })?;
    let names = disk
        .list()
        .map_err(|source| Error::io("list", directory.clone(), source))?;
    // An earlier life may have ended between naming its last segment and syncing the name. What
    // goes into that segment now would be lost with the name (L1).
    disk.sync_dir()
        .map_err(|source| Error::io("sync", directory, source))?;
    let mut segments: Vec<u64> = names
        .iter()
        .filter_map(|name| match Name::parse(name) {
            Some(Name::Segment(number)) => Some(number),
            _ => None,
        })
        .collect();
    segments.sort_unstable();
    let recovery = match segments.is_empty() {
        true => None,
        false => Some(recover::recover(disk.as_ref(), options.log_id, &segments)?),
    };
    let spares = Spares::open(disk.as_ref(), &names, &options)?;
    let freed = recovery
        .as_ref()
        .map(|recovery| recovery.state.freed.clone());
    let files = Files::new(
        disk.clone(),
        options.log_id,
        &segments,
        freed.unwrap_or_default(),
    );
    let shared = Arc::new(Shared {
        disk,
        options,
        queue: Mutex::new(Queue::default()),
        wake: Condvar::new(),
        files,
        spares,
        counters: Counters::default(),
        _lock: lock,
    });
    let (writer, recovered) = Writer::open(shared.clone(), recovery)?;
    Ok((Log { shared }, writer, recovered))
}

/// A handle of the log, for any thread. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

/// Counters since the open, and gauges.
#[derive(Copy, Clone, Default, Debug, Eq, PartialEq)]
pub struct Stats {
    /// Segments, with the active one.
    pub segments: u64,
    /// Bytes of records written, headers and payloads.
    pub bytes: u64,
    /// Records written.
    pub records: u64,
    /// Syncs of the active segment.
    pub syncs: u64,
    /// Batches (appends) completed.
    pub batches: u64,
    /// Spare segments that are ready, or left by an earlier life and to be checked.
    pub spare_segments: u64,
    /// Bytes of payload that wait to be written or synced.
    pub queued_bytes: u64,
    /// Bytes of records that a cleaner copied; they are in `bytes` too.
    pub copied_bytes: u64,
    /// Bytes of the files of segments that a cleaner freed.
    pub freed_bytes: u64,
    /// Bytes of zeros with which spare segments were filled; they are not in `bytes`.
    pub filled_bytes: u64,
}

/// How much more the log can take before something of it is freed.
#[derive(Copy, Clone, Default, Debug, Eq, PartialEq)]
pub struct Room {
    /// Bytes of records that fit into the active segment and the spares for sure.
    pub ready_bytes: u64,
    /// Bytes of further segments that can be made.
    pub disk_bytes: u64,
}

impl Room {
    /// All of it.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.ready_bytes.saturating_add(self.disk_bytes)
    }
}

/// A segment of the log.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Bytes of records in it, headers and payloads, whether or not anybody needs them.
    pub bytes: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// It is written no more.
    pub sealed: bool,
}

impl Log {
    /// Queues records; the order of the calls is the order in the log. Nothing is copied; the
    /// checksums are made here, by the calling thread. An empty batch completes in its turn.
    ///
    /// # Errors
    /// `done` is dropped without a call on [`Error::Poisoned`], [`Error::TooLarge`],
    /// [`Error::Overloaded`] (ask [`Log::has_room`] before what must not fail), and
    /// [`Error::Misuse`] for kinds that only the log writes.
    pub fn append(&self, records: Vec<Record>, sync: Sync, done: Done) -> Result<(), Error> {
        let records = records
            .into_iter()
            .map(|record| self.prepare_record(record, None));
        self.enqueue(records.collect::<Result<_, _>>()?, sync, done)
    }

    /// Queues good copies of entries, rows or base records, of damaged ones or to free the
    /// segment that they are in. A copy keeps position, term, index and its part in a run; after
    /// the next open it stands for the original. What hid the original hides the copy.
    ///
    /// # Errors
    /// As [`Log::append`]; [`Error::Misuse`] also for other kinds and for positions that were not
    /// written yet, [`Error::Damaged`] if a payload does not have its record's checksum.
    pub fn append_moved(
        &self,
        copies: Vec<(RecordAt, Vec<Bytes>)>,
        sync: Sync,
        done: Done,
    ) -> Result<(), Error> {
        let copies = copies.into_iter();
        let prepared = copies.map(|(original, payload)| self.prepare_copy(&original, payload));
        self.enqueue(prepared.collect::<Result<_, _>>()?, sync, done)
    }

    /// Queues the note that a segment is freed, behind all that was appended before.
    pub(crate) fn append_freed(&self, segment: u64, done: Done) -> Result<(), Error> {
        let note = Prepared {
            record: Record::freed(segment),
            origin: None,
            length: 0,
            checksum: 0,
        };
        self.enqueue(vec![note], Sync::Required, done)
    }

    /// Whether the queue would take this many bytes of payload, and there is a next segment as
    /// far as is known. Ask before accepting work of which the append must not fail.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let queued = self.shared.counters.queued_bytes.load(Relaxed);
        let fits = queued.saturating_add(bytes) <= self.shared.options.queue_bytes_max;
        fits && self.shared.spares.expected()
    }

    /// How much more the log can take. Asks the disk.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk does not tell.
    pub fn room(&self) -> Result<Room, Error> {
        Ok(Room {
            ready_bytes: self.shared.room(),
            disk_bytes: self.shared.growth()?,
        })
    }

    /// Reads a whole payload, checked against the header before it, and against `checksum` if
    /// the caller knows it.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::OutOfRange`] for places that were never given out, and
    /// [`Error::Io`].
    pub fn read(&self, place: Place, checksum: Option<u32>) -> Result<Bytes, Error> {
        let out_of_range = || Error::OutOfRange {
            segment: place.segment,
            offset: place.offset,
            length: place.length,
        };
        let offset = place
            .offset
            .checked_sub(HEADER_BYTES)
            .ok_or_else(out_of_range)?;
        let length = place
            .length
            .checked_add(HEADER_BYTES)
            .ok_or_else(out_of_range)?;
        let bytes = self.read_bytes(place, offset, length)?;
        let damaged = |what| Error::Damaged {
            segment: place.segment,
            offset,
            what,
        };
        let seed = Seed::new(self.shared.options.log_id, place.segment);
        let header = Header::decode(&bytes, seed, offset).ok_or(damaged("no header"))?;
        if header.length != place.length || checksum.is_some_and(|sum| sum != header.checksum) {
            return Err(damaged("another record"));
        }
        let payload = bytes.slice(HEADER_BYTES as usize..);
        if crc32c::crc32c(&payload) != header.checksum {
            return Err(damaged("the payload does not match its checksum"));
        }
        Ok(payload)
    }

    /// Reads a part of a payload, `range` being within it. Not checked against the checksum,
    /// which covers the whole: the caller has a hash, or has read the whole before.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Io`], and [`Error::Damaged`] if the file is missing.
    pub fn read_range(&self, place: Place, range: Range<u32>) -> Result<Bytes, Error> {
        let within = range.start <= range.end && range.end <= place.length;
        match place.offset.checked_add(range.start).filter(|_| within) {
            Some(offset) => self.read_bytes(place, offset, range.end - range.start),
            None => Err(Error::OutOfRange {
                segment: place.segment,
                offset: place.offset,
                length: range.end,
            }),
        }
    }

    /// Checks a spare segment that an earlier life left, or fills one if fewer than wanted are
    /// ready; `false` if there was nothing to do. Reads or writes a whole segment: call it from a
    /// thread of its own, or when the writer is idle.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and [`Error::Io`]; neither does harm to the log.
    pub fn prepare(&self) -> Result<bool, Error> {
        self.shared.prepare()
    }

    /// Reads a sealed segment whole and checks every record, the block and the index. Reports
    /// damage whether or not it was mended; nothing for the active segment and freed ones.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotALog`], [`Error::NewerFormat`], and [`Error::Damaged`] if the
    /// file is missing.
    pub fn scrub(&self, segment: u64) -> Result<Vec<Damage>, Error> {
        if segment >= self.active_segment() {
            return Ok(Vec::new());
        }
        match self.while_held(segment, recover::scrub) {
            Err(Error::Freed { .. }) => Ok(Vec::new()),
            scrubbed => scrubbed,
        }
    }

    /// What a sealed segment holds, by its index; payloads are not read. In memory about 100 bytes
    /// a record.
    ///
    /// # Errors
    /// [`Error::Freed`], [`Error::OutOfRange`] if it is not sealed, and those of [`Log::scrub`].
    pub fn records(&self, segment: u64) -> Result<Records, Error> {
        if segment >= self.active_segment() {
            return Err(Error::OutOfRange {
                segment,
                offset: 0,
                length: 0,
            });
        }
        self.while_held(segment, recover::records)
    }

    /// The segments that are not freed, in order. Reads a little of each the first time.
    ///
    /// # Errors
    /// Those of [`Log::scrub`].
    pub fn segments(&self) -> Result<Vec<Segment>, Error> {
        let mut segments = Vec::new();
        for number in self.shared.files.numbers() {
            // Where the log ends now; what is before that is sealed since.
            let end = Position(self.shared.counters.end.load(Relaxed));
            let sealed = number < end.segment();
            if number > end.segment() {
                break;
            }
            let (bytes, file_bytes) = if sealed {
                match self.while_held(number, |_, _, _| self.shared.files.extent(number)) {
                    Err(Error::Freed { .. }) => continue,
                    // There is nothing left of it.
                    Err(Error::Damaged { .. }) => (0, 0),
                    extent => extent.map(|extent| (extent.records, extent.file))?,
                }
            } else {
                let start = self.shared.files.source().records_start(number)?;
                let bytes = u64::from(end.offset().saturating_sub(start));
                (bytes, u64::from(self.shared.options.segment_bytes))
            };
            segments.push(Segment {
                number,
                bytes,
                file_bytes,
                sealed,
            });
        }
        Ok(segments)
    }

    /// The number of the segment that is being written; those below it are sealed.
    #[must_use]
    pub fn active_segment(&self) -> u64 {
        self.shared.active()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            segments: self.shared.files.count(),
            bytes: counters.bytes.load(Relaxed),
            records: counters.records.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            batches: counters.batches.load(Relaxed),
            spare_segments: self.shared.spares.count() as u64,
            queued_bytes: counters.queued_bytes.load(Relaxed),
            copied_bytes: counters.copied_bytes.load(Relaxed),
            freed_bytes: counters.freed_bytes.load(Relaxed),
            filled_bytes: self.shared.spares.filled_bytes(),
        }
    }

    /// Whether the log has stopped for good (L4).
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        held(&self.shared.queue).poisoned.is_some()
    }

    fn prepare_copy(&self, original: &RecordAt, payload: Vec<Bytes>) -> Result<Prepared, Error> {
        let RecordAt {
            replica,
            kind,
            term,
            index,
            first,
            last,
            position,
            ..
        } = *original;
        let movable = matches!(kind, Kind::Entry | Kind::Rows | Kind::Base | Kind::Body);
        if !movable || position.0 >= self.shared.counters.end.load(Relaxed) {
            return Err(Error::Misuse(
                "only entries, rows, base records and bodies that were written before are moved",
            ));
        }
        let record = Record {
            replica,
            kind,
            term,
            index,
            first,
            last,
            payload,
        };
        let prepared = self.prepare_record(record, Some(position))?;
        if prepared.checksum != original.checksum {
            return Err(Error::Damaged {
                segment: position.segment(),
                offset: position.offset(),
                what: "the copy is not what was written",
            });
        }
        Ok(prepared)
    }

    fn prepare_record(&self, record: Record, origin: Option<Position>) -> Result<Prepared, Error> {
        let bytes: u64 = record.payload.iter().map(|part| part.len() as u64).sum();
        let max = match record.kind {
            Kind::Moved | Kind::Freed => {
                return Err(Error::Misuse(
                    "this kind of record is made by the log itself",
                ));
            }
            Kind::Vote | Kind::Commit => MARK_BYTES_MAX.min(self.shared.options.record_bytes_max),
            _ => self.shared.options.record_bytes_max,
        };
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        if length > max {
            return Err(Error::TooLarge {
                bytes,
                max: u64::from(max),
            });
        }
        let checksum = checksum(&record.payload);
        Ok(Prepared {
            record,
            origin,
            length,
            checksum,
        })
    }

    fn enqueue(&self, records: Vec<Prepared>, sync: Sync, done: Done) -> Result<(), Error> {
        let bytes = records.iter().map(|record| u64::from(record.length)).sum();
        let batch = Batch {
            written: Vec::with_capacity(records.len()),
            records,
            bytes,
            sync,
            done,
        };
        let counters = &self.shared.counters;
        let mut queue = held(&self.shared.queue);
        if let Some(poisoned) = &queue.poisoned {
            return Err(poisoned.clone().into());
        }
        let (queued, max) = (
            counters.queued_bytes.load(Relaxed),
            self.shared.options.queue_bytes_max,
        );
        // One batch alone always passes, whatever its size.
        if queued > 0 && queued.saturating_add(bytes) > max {
            return Err(Error::Overloaded { queued, max });
        }
        counters.queued_bytes.fetch_add(bytes, Relaxed);
        queue.batches.push(batch);
        let first = queue.batches.len() == 1;
        drop(queue);
        if first {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Reads a segment's file by its name while it is held open, so that it is not recycled.
    fn while_held<T>(
        &self,
        segment: u64,
        read: impl FnOnce(&dyn Disk, u64, u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = Place {
            segment,
            offset: 0,
            length: 0,
        };
        let files = &self.shared.files;
        let _held = files.reader(place, self.shared.active())?;
        let result = read(
            self.shared.disk.as_ref(),
            self.shared.options.log_id,
            segment,
        );
        match result {
            // Its name went meanwhile.
            Err(_) if files.is_freed(segment) => Err(Error::Freed { segment }),
            result => result,
        }
    }

    fn read_bytes(&self, place: Place, offset: u32, length: u32) -> Result<Bytes, Error> {
        let (file, size) = self.shared.files.reader(place, self.shared.active())?;
        if u64::from(offset) + u64::from(length) > size {
            let Place {
                segment,
                offset,
                length,
            } = place;
            return Err(Error::OutOfRange {
                segment,
                offset,
                length,
            });
        }
        let mut bytes = vec![0; length as usize];
        read_exact(file.as_ref(), &mut bytes, u64::from(offset)).map_err(|source| {
            let name = Name::Segment(place.segment).text();
            Error::io("read", self.shared.disk.path(&name), source)
        })?;
        Ok(bytes.into())
    }
}
