//! Runs: rows in key order in one or more records of the log.
//!
//! A checkpoint is a run of `rows` records with what changed since the last one, a base is a run of
//! `base` records with all rows. The records of a run carry the applied log id C as their term and
//! index, and the last one says what else is true at C:
//!
//! ```text
//!   record = magic "RK1" | last u8 | part u32 | rows u32 | [mark] | row..
//!   mark   = parts u32 | digest 16 | places 16 | members u8 [id] [length u32 bytes]
//!   id     = term u64 | index u64
//!   row    = key length u32 | value length u32 (2^32-1: removed) | key | value
//! ```
//!
//! Integers are big endian. `members` is 0 for none yet, 1 for members without an entry, 2 for
//! members with the entry that made them. Bytes are guarded by the log's checksums; `part` and
//! `parts` tell a run from what a crash left of an earlier attempt at the same C.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rows::{Digest, Fault};
use seglog::{Log, Place, Record, ReplicaId, Written};

use super::index::Change;
use super::limits::RECORD_BYTES;
use super::machine::{LogId, Membership};

const MAGIC: &[u8; 3] = b"RK1";
const REMOVED: u32 = u32::MAX;

/// What a checkpoint says beside its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last entry applied.
    pub at: LogId,
    /// The members after it.
    pub membership: Option<Membership>,
    /// The digest of the machine's rows.
    pub digest: Digest,
    /// The digest of the local rows.
    pub places: Digest,
}

/// What kind of run.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// What changed since the run before; rows may be removed.
    Rows,
    /// All rows.
    Base,
}

/// Makes the records of a run.
pub struct RunWriter {
    replica: ReplicaId,
    kind: RunKind,
    at: LogId,
    parts: u32,
    rows: BytesMut,
    count: u32,
    ready: Vec<Record>,
    ready_bytes: usize,
    /// The key of the row before.
    last: Vec<u8>,
}

impl RunWriter {
    /// Begins a run at a log id.
    #[must_use]
    pub fn new(replica: ReplicaId, kind: RunKind, at: LogId) -> Self {
        Self {
            replica,
            kind,
            at,
            parts: 0,
            rows: BytesMut::new(),
            count: 0,
            ready: Vec::new(),
            ready_bytes: 0,
            last: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the keys do not ascend: no such run may become durable.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        assert!(*key > *self.last, "a run has its keys in order");
        self.last.clear();
        self.last.extend_from_slice(key);
        let bytes = 8 + key.len() + value.map_or(0, <[u8]>::len);
        if self.count > 0 && self.rows.len() + bytes > RECORD_BYTES {
            self.close(None);
        }
        self.rows.put_u32(length(key.len()));
        self.rows
            .put_u32(value.map_or(REMOVED, |value| length(value.len())));
        self.rows.put_slice(key);
        self.rows.put_slice(value.unwrap_or_default());
        self.count += 1;
    }

    /// Bytes of the records that can be taken.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Takes the records that are full.
    pub fn take(&mut self) -> Vec<Record> {
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }

    /// Ends the run: gives the rest of its records, at least one.
    #[must_use]
    pub fn finish(mut self, mark: &Mark) -> Vec<Record> {
        self.close(Some(mark));
        self.ready
    }

    fn close(&mut self, mark: Option<&Mark>) {
        let mut head = BytesMut::with_capacity(64);
        head.put_slice(MAGIC);
        head.put_u8(u8::from(mark.is_some()));
        head.put_u32(self.parts);
        head.put_u32(self.count);
        let ends = (self.parts == 0, mark.is_some());
        self.parts += 1;
        if let Some(mark) = mark {
            head.put_u32(self.parts);
            put_mark(&mut head, mark);
        }
        let rows = self.rows.split().freeze();
        self.count = 0;
        self.ready_bytes += head.len() + rows.len();
        let at = (self.at.term, self.at.index);
        let payload = vec![head.freeze(), rows];
        self.ready.push(match self.kind {
            RunKind::Rows => Record::rows(self.replica, at, ends, payload),
            RunKind::Base => Record::base(self.replica, at, ends, payload),
        });
    }
}

fn put_mark(out: &mut BytesMut, mark: &Mark) {
    out.put_slice(&mark.digest.to_bytes());
    out.put_slice(&mark.places.to_bytes());
    let Some((id, members)) = &mark.membership else {
        out.put_u8(0);
        return;
    };
    match id {
        None => out.put_u8(1),
        Some(id) => {
            out.put_u8(2);
            out.put_u64(id.term);
            out.put_u64(id.index);
        }
    }
    out.put_u32(length(members.len()));
    out.put_slice(members);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("rows and members are far below 4 GiB")
}

/// Where a record of a run is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RecordAt {
    /// Its payload's place.
    pub place: Place,
    /// CRC-32C of the payload.
    pub checksum: u32,
}

impl From<&Written> for RecordAt {
    fn from(written: &Written) -> Self {
        Self {
            place: written.place,
            checksum: written.checksum,
        }
    }
}

/// A complete run in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The log id of its checkpoint.
    pub at: LogId,
    /// Its records in order, at least one.
    pub records: Vec<RecordAt>,
}

impl Run {
    /// Bytes of all payloads.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.records
            .iter()
            .map(|record| u64::from(record.place.length))
            .sum()
    }

    /// Reads what the run's last record says beside rows.
    ///
    /// # Errors
    /// [`Fault::Store`] if it cannot be read or is damaged.
    pub fn mark(&self, log: &Log) -> Result<Mark, Fault> {
        let head = self.head(log, self.records.len() - 1)?;
        head.mark
            .map(|(_, mark)| mark)
            .ok_or_else(|| self.damaged("the last record has no mark"))
    }

    /// Reads the rows in order.
    ///
    /// # Errors
    /// [`Fault::Store`], here or from the iterator, if a record cannot be read or is damaged.
    pub fn changes(&self, log: &Log) -> Result<RunReader, Fault> {
        let last = self.head(log, self.records.len() - 1)?;
        let parts = last.mark.map_or(0, |(parts, _)| parts as usize);
        // Records before these are what a crash left of an earlier attempt.
        let first = self.records.len().checked_sub(parts).filter(|_| parts > 0);
        let first = first.ok_or_else(|| self.damaged("the run has lost records"))?;
        let run = Self {
            at: self.at,
            records: self.records[first..].to_vec(),
        };
        Ok(RunReader {
            log: log.clone(),
            run,
            next: 0,
            rows: Bytes::new(),
            left: 0,
            last: None,
        })
    }

    fn head(&self, log: &Log, number: usize) -> Result<Head, Fault> {
        let record = self.records[number];
        let payload = log
            .read(record.place, Some(record.checksum))
            .map_err(|error| Fault::Store(format!("checkpoint {}: {error}", self.at)))?;
        if !payload.starts_with(MAGIC) {
            // It is what was written, so it was written otherwise.
            let found = payload.get(..MAGIC.len()).unwrap_or_default();
            let why = format!(
                "a record has format \"{}\"; this version knows \"RK1\"",
                found.escape_ascii()
            );
            return Err(self.damaged(&why));
        }
        parse_head(self.at, payload).ok_or_else(|| self.damaged("a record is cut short"))
    }

    fn damaged(&self, why: &str) -> Fault {
        Fault::Store(format!("checkpoint {}: {why}", self.at))
    }
}

/// A record without its rows, which are still encoded.
struct Head {
    part: u32,
    count: u32,
    mark: Option<(u32, Mark)>,
    rows: Bytes,
}

fn parse_head(at: LogId, mut bytes: Bytes) -> Option<Head> {
    if bytes.len() < 12 || bytes.split_to(3) != MAGIC.as_slice() {
        return None;
    }
    let (last, part, count) = (bytes.get_u8() == 1, bytes.get_u32(), bytes.get_u32());
    let mark = if last {
        Some(parse_mark(at, &mut bytes)?)
    } else {
        None
    };
    Some(Head {
        part,
        count,
        mark,
        rows: bytes,
    })
}

fn parse_mark(at: LogId, bytes: &mut Bytes) -> Option<(u32, Mark)> {
    if bytes.len() < 37 {
        return None;
    }
    let parts = bytes.get_u32();
    let mut digests = [[0; 16]; 2];
    for digest in &mut digests {
        bytes.copy_to_slice(digest);
    }
    let id = match bytes.get_u8() {
        0 => None,
        1 => Some(None),
        _ => {
            let (term, index) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
            Some(Some(LogId { term, index }))
        }
    };
    let membership = match id {
        None => None,
        Some(id) => {
            let length = bytes.try_get_u32().ok()? as usize;
            if length > bytes.len() {
                return None;
            }
            // A copy, so that the few bytes do not keep the record in memory.
            Some((id, Bytes::copy_from_slice(&bytes.split_to(length))))
        }
    };
    let [digest, places] = digests.map(Digest::from_bytes);
    Some((
        parts,
        Mark {
            at,
            membership,
            digest,
            places,
        },
    ))
}

/// Reads a run's rows, one record in memory at a time; they share its memory.
pub struct RunReader {
    log: Log,
    run: Run,
    /// The number of the next record.
    next: usize,
    /// What is left of the current one.
    rows: Bytes,
    left: u32,
    last: Option<Bytes>,
}

impl RunReader {
    fn read(&mut self) -> Result<Option<Change>, Fault> {
        while self.left == 0 {
            if self.next == self.run.records.len() {
                return Ok(None);
            }
            let head = self.run.head(&self.log, self.next)?;
            if head.part as usize != self.next {
                return Err(self.run.damaged("its records are out of order"));
            }
            (self.rows, self.left) = (head.rows, head.count);
            self.next += 1;
        }
        let row = parse_row(&mut self.rows);
        let (key, value) = row.ok_or_else(|| self.run.damaged("a row is cut short"))?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(self.run.damaged("its rows are out of order"));
        }
        self.left -= 1;
        self.last = Some(key.clone());
        Ok(Some((key, value)))
    }
}

fn parse_row(bytes: &mut Bytes) -> Option<Change> {
    let (key, value) = (
        bytes.try_get_u32().ok()? as usize,
        bytes.try_get_u32().ok()?,
    );
    let value_bytes = if value == REMOVED { 0 } else { value as usize };
    if key.checked_add(value_bytes)? > bytes.len() {
        return None;
    }
    let key = bytes.split_to(key);
    let value_at = bytes.split_to(value_bytes);
    Some((key, (value != REMOVED).then_some(value_at)))
}

impl Iterator for RunReader {
    type Item = Result<Change, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.read();
        if change.is_err() {
            // Ends it: nothing behind a bad record is told.
            (self.left, self.next) = (0, self.run.records.len());
        }
        change.transpose()
    }
}
