//! The step that makes queued records durable.
//!
//! One step takes all that is queued, writes it with as few calls as possible, syncs once if any
//! batch asks for it, and completes every waiter in order. It never blocks except on the disk,
//! so a thread or a simulation can drive it.
//!
//! Rolling over to the next segment, in this order: take a spare (a full disk is met here, with
//! nothing written), seal and sync the old segment, write and sync the block of the new one,
//! rename it, sync the directory. So a segment with a name has a durable block, all segments
//! before it are durable, and records of one segment are never on disk before those of an earlier
//! one (L2). Any failure after the spare was taken poisons the log (L4).

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use bytes::Bytes;

use crate::disk::write_all;
use crate::error::{Error, Poisoned};
use crate::format::{Block, FORMAT_VERSION, HEADER_BYTES, Header, Name, Seed, record_bytes};
use crate::record::{Position, Sync, Written};
use crate::recover::{Recovered, Recovery};
use crate::segment::Active;
use crate::shared::{Batch, Prepared, Shared, held};
use crate::spare::Spare;
use crate::state::State;

/// What a step did.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing was queued.
    Idle,
    /// Records were written and their waiters called.
    Wrote {
        /// Records written.
        records: u64,
        /// Bytes of them, with headers.
        bytes: u64,
        /// Whether all of them are durable.
        synced: bool,
    },
}

/// Writes what is queued. There is one per log; when it is dropped the log accepts no more.
pub struct Writer {
    shared: Arc<Shared>,
    active: Active,
    state: State,
    /// Everything before this is durable.
    synced: Position,
    /// Taken from the queue and not complete.
    pending: Vec<Batch>,
    /// The first record not yet written: batch and record in it.
    next: Cursor,
    /// Headers and padding of one write, reused.
    headers: Vec<u8>,
}

#[derive(Copy, Clone, Default)]
struct Cursor {
    batch: usize,
    record: usize,
}

impl Writer {
    /// Takes all that is queued, writes it, syncs once if a batch requires it, and calls the
    /// waiters.
    ///
    /// # Errors
    /// [`Error::NoSpace`] or [`Error::Io`] if no new segment could be made: what was written
    /// before is complete, the rest waits and is tried again by the next step.
    /// [`Error::Poisoned`] after a failed write or sync: all waiters got it, and nothing will be
    /// accepted again.
    pub fn step(&mut self) -> Result<Step, Error> {
        let mut queue = held(&self.shared.queue);
        let poisoned = queue.poisoned.clone();
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, &mut queue.batches);
        } else {
            self.pending.append(&mut queue.batches);
        }
        drop(queue);
        if let Some(poisoned) = poisoned {
            return Err(self.fail_all(poisoned));
        }
        if self.pending.is_empty() {
            return Ok(Step::Idle);
        }
        let mut wrote = Wrote::default();
        let result = self.write_pending(&mut wrote).and_then(|blocked| {
            self.sync_if_required()?;
            Ok(blocked)
        });
        match result {
            Ok(blocked) => {
                self.complete();
                blocked.map_or(Ok(()), Err)?;
                let synced = self.synced == self.active.position();
                Ok(Step::Wrote {
                    records: wrote.records,
                    bytes: wrote.bytes,
                    synced,
                })
            }
            Err(poisoned) => Err(self.fail_all(poisoned)),
        }
    }

    /// Waits until something is queued, for at most this long; whether a step has work to do.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let queue = held(&self.shared.queue);
        let (queue, _) = self
            .shared
            .wake
            .wait_timeout_while(queue, timeout, |queue| {
                queue.batches.is_empty() && queue.poisoned.is_none()
            })
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        !queue.batches.is_empty() || !self.pending.is_empty() || queue.poisoned.is_some()
    }

    /// Checks or fills a spare segment, as [`Log::prepare`](crate::Log::prepare) does.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and [`Error::Io`]; neither does harm to the log.
    pub fn prepare(&mut self) -> Result<bool, Error> {
        self.shared.prepare()
    }

    /// Makes the log ready for appends after recovery, or makes the first segment.
    pub(crate) fn open(
        shared: Arc<Shared>,
        recovery: Option<Recovery>,
    ) -> Result<(Self, Recovered), Error> {
        let Some(Recovery {
            recovered,
            freed,
            state,
            tail,
        }) = recovery
        else {
            let state = State::default();
            let spare = shared.spares.take(shared.disk.as_ref(), None)?;
            let active = open_segment(&shared, spare, 1, 0, &state)?;
            let writer = Self::with(shared, active, state);
            writer.acknowledge();
            return Ok((writer, Recovered::default()));
        };
        let name = Name::Segment(tail.segment).text();
        let seed = Seed::new(shared.options.log_id, tail.segment);
        // What is not proven durable may stand in the page cache only, and after a sync that
        // failed even as clean pages: it is written once more before it is trusted.
        let unproven = u64::from(tail.end) - tail.unproven.len() as u64;
        write_all(
            tail.file.as_ref(),
            &mut [IoSlice::new(&tail.unproven)],
            unproven,
        )
        .and_then(|()| tail.file.sync_data())
        .map_err(|source| Error::io("sync", shared.disk.path(&name), source))?;
        let active = Active::resume(tail.file, seed, tail.end, tail.segment_bytes, tail.index);
        let mut writer = Self::with(shared, active, state);
        if !tail.clean {
            let disk = writer.shared.disk.as_ref();
            let spare = writer.shared.spares.take(disk, None)?;
            writer.roll(spare)?;
        }
        // What says that they are freed is durable now.
        for segment in freed {
            writer.shared.discard(segment)?;
        }
        writer.acknowledge();
        Ok((writer, recovered))
    }

    fn with(shared: Arc<Shared>, active: Active, state: State) -> Self {
        let synced = active.position();
        let (pending, next, headers) = (Vec::new(), Cursor::default(), Vec::new());
        let writer = Self {
            shared,
            active,
            state,
            synced,
            pending,
            next,
            headers,
        };
        writer.publish_end();
        writer
    }

    /// Lets readers and cleaner see how far the log reaches.
    fn publish_end(&self) {
        let counters = &self.shared.counters;
        counters.end.store(self.active.position().0, Relaxed);
        counters.rest.store(self.active.rest(), Relaxed);
    }

    /// Lets the cleaner see up to where the waiters of all records were called: what it asks about
    /// is known to those who wrote it.
    fn acknowledge(&self) {
        let waiting = self.pending.first().and_then(|batch| batch.written.first());
        let upto = waiting.map_or(self.active.position(), |first| first.position);
        self.shared.counters.acknowledged.store(upto.0, Release);
    }

    /// Writes until all is written, or no segment can be made: then gives the reason.
    fn write_pending(&mut self, wrote: &mut Wrote) -> Result<Option<Error>, Poisoned> {
        loop {
            self.write_fitting(wrote)
                .map_err(|source| self.poison("write", &source))?;
            if self.next.batch == self.pending.len() {
                return Ok(None);
            }
            let (disk, segments) = (self.shared.disk.as_ref(), self.shared.files.count());
            match self.shared.spares.take(disk, Some(segments)) {
                Ok(spare) => self
                    .roll(spare)
                    .map_err(|source| self.poison("roll", &source))?,
                Err(error) => return Ok(Some(error)),
            }
        }
    }

    /// Writes as many of the next records as fit into the active segment, in one go.
    fn write_fitting(&mut self, wrote: &mut Wrote) -> io::Result<()> {
        let (from, offset) = (self.next, self.active.end);
        self.headers.clear();
        while let Some(batch) = self.pending.get_mut(self.next.batch) {
            let Some(prepared) = batch.records.get(self.next.record) else {
                self.next = Cursor {
                    batch: self.next.batch + 1,
                    record: 0,
                };
                continue;
            };
            if !self.active.fits(prepared.length) {
                break;
            }
            let header = make_header(prepared, &self.active, self.synced);
            let at = self.active.end;
            batch.written.push(Written {
                position: header.position,
                place: header.place(self.active.seed.segment, at),
                checksum: header.checksum,
            });
            self.headers
                .extend_from_slice(&header.encode(self.active.seed, at));
            let padding = padding(prepared.length);
            self.headers.resize(self.headers.len() + padding, 0);
            let payload = || Bytes::from(prepared.record.payload.concat());
            self.state.apply(self.active.seed.segment, &header, payload);
            self.active.push(&header);
            self.next.record += 1;
            wrote.records += 1;
        }
        wrote.bytes += u64::from(self.active.end - offset);
        let mut slices = self.slices(from);
        write_all(self.active.file.as_ref(), &mut slices, u64::from(offset))?;
        self.publish_end();
        Ok(())
    }

    /// Headers and payloads of the records from `from` up to the cursor. The padding behind a
    /// payload and the header that follows it stand side by side and go as one.
    fn slices(&self, from: Cursor) -> Vec<IoSlice<'_>> {
        let records = self.headers.len() / HEADER_BYTES as usize;
        let mut slices = Vec::with_capacity(2 * records + 1);
        let (mut start, mut end) = (0, 0);
        for (at, batch) in self.pending.iter().enumerate().skip(from.batch) {
            if at > self.next.batch {
                break;
            }
            let first = if at == from.batch { from.record } else { 0 };
            for prepared in &batch.records[first..batch.written.len()] {
                end += HEADER_BYTES as usize;
                slices.push(IoSlice::new(&self.headers[start..end]));
                let parts = prepared
                    .record
                    .payload
                    .iter()
                    .filter(|part| !part.is_empty());
                slices.extend(parts.map(|part| IoSlice::new(part)));
                start = end;
                end += padding(prepared.length);
            }
        }
        slices.push(IoSlice::new(&self.headers[start..end]));
        slices
    }

    fn sync_if_required(&mut self) -> Result<(), Poisoned> {
        let required = self.pending[..self.next.batch]
            .iter()
            .any(|batch| batch.sync == Sync::Required);
        if required && self.synced < self.active.position() {
            self.active
                .file
                .sync_data()
                .map_err(|source| self.poison("sync", &source))?;
            self.shared.counters.syncs.fetch_add(1, Relaxed);
            self.synced = self.active.position();
        }
        Ok(())
    }

    /// Calls the waiters of what is wholly written.
    fn complete(&mut self) {
        let counters = &self.shared.counters;
        for batch in self.pending.drain(..self.next.batch) {
            counters.queued_bytes.fetch_sub(batch.bytes, Relaxed);
            counters
                .records
                .fetch_add(batch.written.len() as u64, Relaxed);
            let bytes: u64 = batch
                .records
                .iter()
                .map(|record| u64::from(record_bytes(record.length)))
                .sum();
            counters.bytes.fetch_add(bytes, Relaxed);
            counters.batches.fetch_add(1, Relaxed);
            (batch.done)(Ok(batch.written));
        }
        self.next.batch = 0;
        self.acknowledge();
    }

    /// Seals the active segment and goes on in the next.
    fn roll(&mut self, spare: Spare) -> Result<(), Error> {
        let name = Name::Segment(self.active.seed.segment).text();
        let failed = |source| Error::io("seal", self.shared.disk.path(&name), source);
        self.active.seal().map_err(failed)?;
        self.shared.counters.syncs.fetch_add(1, Relaxed);
        let number = self.active.seed.segment + 1;
        self.active = open_segment(&self.shared, spare, number, self.active.end, &self.state)?;
        self.synced = self.active.position();
        self.publish_end();
        Ok(())
    }

    fn poison(&self, op: &str, source: &dyn std::fmt::Display) -> Poisoned {
        let name = Name::Segment(self.active.seed.segment).text();
        let path = self.shared.disk.path(&name);
        Poisoned {
            reason: format!("{op} {}: {source}", path.display()).into(),
        }
    }

    /// Stops the log: whoever waits or comes later gets the reason (L4).
    fn fail_all(&mut self, poisoned: Poisoned) -> Error {
        let mut queue = held(&self.shared.queue);
        let poisoned = queue.poisoned.get_or_insert(poisoned).clone();
        let queued = std::mem::take(&mut queue.batches);
        drop(queue);
        self.next = Cursor::default();
        for batch in self.pending.drain(..).chain(queued) {
            self.shared
                .counters
                .queued_bytes
                .fetch_sub(batch.bytes, Relaxed);
            (batch.done)(Err(poisoned.clone()));
        }
        poisoned.into()
    }
}

impl Drop for Writer {
    /// Nobody shall wait for what will never be written. No durability depends on this.
    fn drop(&mut self) {
        self.fail_all(Poisoned {
            reason: "the log was closed".into(),
        });
    }
}

#[derive(Default)]
struct Wrote {
    records: u64,
    bytes: u64,
}

fn padding(length: u32) -> usize {
    (record_bytes(length) - HEADER_BYTES - length) as usize
}

fn make_header(prepared: &Prepared, active: &Active, synced: Position) -> Header {
    let record = &prepared.record;
    Header {
        kind: record.kind,
        moved: prepared.origin.is_some(),
        first: record.first,
        last: record.last,
        replica: record.replica,
        term: record.term,
        index: record.index,
        position: prepared.origin.unwrap_or(active.position()),
        synced,
        length: prepared.length,
        checksum: prepared.checksum,
    }
}

/// Makes the next segment of a spare: block, sync, name, sync of the name.
fn open_segment(
    shared: &Shared,
    spare: Spare,
    number: u64,
    previous_end: u32,
    state: &State,
) -> Result<Active, Error> {
    let options = &shared.options;
    let state = state.encode();
    if !Active::holds(options.segment_bytes, state.len(), options.record_bytes_max) {
        let (bytes, max) = (state.len() as u64, u64::from(options.segment_bytes));
        return Err(Error::TooLarge { bytes, max });
    }
    if u32::try_from(number).is_err() {
        return Err(Error::TooLarge {
            bytes: number,
            max: u64::from(u32::MAX),
        });
    }
    let block = Block {
        version: FORMAT_VERSION,
        log_id: options.log_id,
        segment: number,
        segment_bytes: options.segment_bytes,
        zeroed: matches!(spare.name, Name::Spare { zeroed: true, .. }),
        previous_end,
        state_bytes: 0,
        state_checksum: 0,
    };
    let name = Name::Segment(number).text();
    let active = Active::begin(spare.file, options.log_id, block, &state)
        .and_then(|active| {
            shared.disk.rename(&spare.name.text(), &name)?;
            shared.disk.sync_dir()?;
            Ok(active)
        })
        .map_err(|source| Error::io("begin", shared.disk.path(&name), source))?;
    shared.files.begun(number);
    Ok(active)
}
