//! A log on a simulated disk, driven by hand.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use seglog::sim::SimDisk;
use seglog::{
    Error, Log, Options, Poisoned, Record, RecordAt, Recovered, ReplicaId, Step, Sync, Writer,
    Written,
};

pub const LOG_ID: u64 = 0x1234_5678_9abc_def0;
pub const ONE: ReplicaId = ReplicaId(1);
pub const TWO: ReplicaId = ReplicaId(2);

/// Small segments, so that a few records roll over; cleaned as if room were short.
pub fn options() -> Options {
    Options {
        segment_bytes: 4096,
        record_bytes_max: 1024,
        clean_win_part: 8,
        ..Options::new(LOG_ID)
    }
}

pub fn big_options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        record_bytes_max: 8 << 10,
        clean_win_part: 8,
        ..Options::new(LOG_ID)
    }
}

pub type Outcome = Arc<Mutex<Option<Result<Vec<Written>, Poisoned>>>>;

pub struct Rig {
    pub disk: SimDisk,
    pub log: Log,
    pub writer: Writer,
    pub recovered: Recovered,
}

impl Rig {
    pub fn new() -> Self {
        Self::open(&SimDisk::new(), options()).unwrap()
    }

    pub fn open(disk: &SimDisk, options: Options) -> Result<Self, Error> {
        let (log, writer, recovered) = seglog::open(Arc::new(disk.clone()), options)?;
        Ok(Self {
            disk: disk.clone(),
            log,
            writer,
            recovered,
        })
    }

    /// Ends this life without a crash of the machine and opens the log again.
    pub fn reopen(self) -> Self {
        self.reopen_with(options())
    }

    pub fn reopen_with(self, options: Options) -> Self {
        let disk = self.disk.clone();
        drop(self);
        Self::open(&disk, options).unwrap()
    }

    /// Ends this life with a loss of power in which nothing unsynced survives.
    pub fn crash(self) -> Self {
        let disk = self.disk.clone();
        disk.crash(|_| false);
        drop(self);
        Self::open(&disk, options()).unwrap()
    }

    pub fn queue(&self, records: Vec<Record>, sync: Sync) -> Outcome {
        let outcome = Outcome::default();
        let slot = outcome.clone();
        let done = Box::new(move |result| *slot.lock().unwrap() = Some(result));
        self.log.append(records, sync, done).unwrap();
        outcome
    }

    /// Appends, steps, and gives where the records went.
    pub fn write(&mut self, records: Vec<Record>) -> Vec<Written> {
        let outcome = self.queue(records, Sync::Required);
        assert!(matches!(
            self.writer.step().unwrap(),
            Step::Wrote { synced: true, .. }
        ));
        outcome.lock().unwrap().take().unwrap().unwrap()
    }

    /// Appends copies, steps, and gives where they went.
    pub fn copy(&mut self, copies: Vec<(RecordAt, Record)>) -> Vec<Written> {
        let copies = copies.into_iter().map(|(at, record)| (at, record.payload));
        let outcome = Outcome::default();
        let slot = outcome.clone();
        let done = Box::new(move |result| *slot.lock().unwrap() = Some(result));
        let copies = copies.collect();
        self.log.append_moved(copies, Sync::Required, done).unwrap();
        self.writer.step().unwrap();
        outcome.lock().unwrap().take().unwrap().unwrap()
    }

    pub fn entries(&self, replica: ReplicaId) -> Vec<(u64, u64, Bytes)> {
        let entries = &self.recovered.replicas[&replica].entries;
        let read = |at: &seglog::EntryAt| self.log.read(at.place, Some(at.checksum)).unwrap();
        entries
            .iter()
            .map(|at| (at.term, at.index, read(at)))
            .collect()
    }

    pub fn indexes(&self, replica: ReplicaId) -> Vec<u64> {
        self.recovered.replicas[&replica]
            .entries
            .iter()
            .map(|at| at.index)
            .collect()
    }
}

/// A record as a cleaner would find it.
pub fn at(record: &Record, written: &Written) -> RecordAt {
    RecordAt {
        replica: record.replica,
        kind: record.kind,
        term: record.term,
        index: record.index,
        first: false,
        last: record.last,
        position: written.position,
        place: written.place,
        checksum: crc32c::crc32c(&record.payload.concat()),
        moved: false,
    }
}

/// An entry with a payload of this many bytes that tell its index.
pub fn entry(replica: ReplicaId, term: u64, index: u64, length: usize) -> Record {
    Record::entry(replica, term, index, vec![body(term, index, length)])
}

pub fn body(term: u64, index: u64, length: usize) -> Bytes {
    (0..length)
        .map(|at| (at as u64 * 7 + index * 31 + term * 101) as u8)
        .collect()
}

pub fn segment_name(number: u64) -> String {
    format!("{number:016x}.seg")
}
