//! A replica with a tiny machine, on a log on a simulated disk, and the model it is held against.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use node::replica::index::{Indexes, MemoryIndexes};
use node::replica::limits::Bounds;
use node::replica::{
    Applied, Applying, At, BodyPlace, Due, Entries, GroupId, Hint, Layers, LogId, Logged, Machine,
    Opening, Progress, Referred, Replica, open,
};
use parking_lot::Mutex;
use rows::{Digest, END, Fault, Rows, Staged};
use seglog::sim::SimDisk;
use seglog::{
    Kind, Log, Options, Place, Position, Record, RecordAt, Recovered, ReplicaId, Sync, Writer,
};

pub const GROUP: GroupId = GroupId(7);
pub const REPLICA: ReplicaId = ReplicaId(70);

pub fn options() -> Options {
    Options {
        segment_bytes: 1 << 20,
        record_bytes_max: 256 << 10,
        clean_win_part: 8,
        ..Options::new(1)
    }
}

/// Bounds at which a few rows do what otherwise takes thousands.
pub fn tight() -> Bounds {
    Bounds {
        overlay_bytes_max: 1 << 20,
        merge_bytes_min: 4 << 10,
        merge_step_bytes: 8 << 10,
        index_flush_bytes: 2 << 10,
    }
}

/// Keys and values. A command is lines of `put key value`, `del key`, `fault`, `panic`. A value
/// `@term.index.length` refers to the body of that entry; and each entry with a body to its own,
/// for ever, but for those of [`Forgetful`]. The second byte of a key is its home, if above '0'.
pub struct KeyValue;

/// The same, but an entry's body is kept only by the rows that refer to it.
pub struct Forgetful;

impl Machine for Forgetful {
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault> {
        let at = At {
            body_length: 0,
            ..at
        };
        KeyValue.apply(rows, at, command)
    }

    fn referred(&self, key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
        KeyValue.referred(key, value)
    }

    fn next_due(&self, rows: &Layers) -> Option<u64> {
        KeyValue.next_due(rows)
    }
}

/// By how much a row counts for the body that it refers to.
fn reference(value: Option<Bytes>, change: i64) -> Option<(LogId, i64)> {
    let referred = KeyValue.referred(&Bytes::new(), &value?).unwrap()?;
    Some((referred.id, change))
}

impl Machine for KeyValue {
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault> {
        let text = std::str::from_utf8(command).map_err(|_| Fault::Command("no text".into()))?;
        let mut references = Vec::new();
        if at.body_length > 0 {
            let (term, index) = (at.term, at.index);
            references.push((LogId { term, index }, 1));
        }
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["put" | "del", key, ..] = words.as_slice() {
                references.extend(reference(rows.get(key.as_bytes())?, -1));
            }
            match words.as_slice() {
                ["put", key, value] => {
                    references.extend(reference(Some(value.to_string().into()), 1));
                    rows.put(key.to_string(), value.to_string());
                }
                ["del", key] => rows.remove(key.to_string()),
                ["fault"] => return Err(Fault::invariant("as asked")),
                ["panic"] => panic!("as asked"),
                _ => return Err(Fault::Command(line.to_owned())),
            }
        }
        let hints = vec![Hint {
            account: 1,
            mailbox: 2,
            modseq: at.index,
            brings_mail: false,
        }];
        Ok(Applied {
            outcome: Bytes::from(format!("{} rows", rows.written())),
            hints,
            references,
        })
    }

    /// A value `@term.index.length` refers to the body of that entry.
    fn referred(&self, key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
        let Some(text) = value.strip_prefix(b"@") else {
            return Ok(None);
        };
        let numbers: Vec<u64> = std::str::from_utf8(text)
            .unwrap()
            .split('.')
            .map(|number| number.parse().unwrap())
            .collect();
        Ok(Some(Referred {
            id: LogId {
                term: numbers[0],
                index: numbers[1],
            },
            length: numbers[2],
            hash: None,
            home: key.get(1).filter(|at| **at > b'0').map(|at| (*at).into()),
        }))
    }

    fn next_due(&self, rows: &Layers) -> Option<u64> {
        rows.get(b"due")
            .ok()??
            .first()
            .map(|first| u64::from(*first))
    }
}

/// What the machine's rows should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model(pub BTreeMap<String, String>);

impl Model {
    pub fn apply(&mut self, command: &[u8]) {
        for line in std::str::from_utf8(command).unwrap().lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["put", key, value] => drop(self.0.insert(key.to_string(), value.to_string())),
                ["del", key] => drop(self.0.remove(*key)),
                _ => panic!("{line}"),
            }
        }
    }

    pub fn digest(&self) -> Digest {
        let mut digest = Digest::EMPTY;
        self.0
            .iter()
            .for_each(|(key, value)| digest.add(key.as_bytes(), value.as_bytes()));
        digest
    }
}

/// An entry as the tests know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: LogId,
    pub command: Bytes,
    pub body: Bytes,
}

/// Payload: length of the command, command, body.
pub fn payload(entry: &Entry) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_u32(entry.command.len() as u32);
    payload.put_slice(&entry.command);
    payload.put_slice(&entry.body);
    payload.freeze()
}

fn parse(id: LogId, payload: &Bytes) -> Entry {
    let length = u32::from_be_bytes(payload[..4].try_into().unwrap()) as usize;
    Entry {
        id,
        command: payload.slice(4..4 + length),
        body: payload.slice(4 + length..),
    }
}

/// Raft's log, without Raft.
#[derive(Default)]
pub struct RaftLog {
    slots: Mutex<BTreeMap<u64, Slot>>,
    purged: AtomicU64,
}

struct Slot {
    entry: Entry,
    logged: Option<Logged>,
    position: Position,
}

impl Slot {
    fn record(&self) -> Option<RecordAt> {
        let Logged {
            place, checksum, ..
        } = self.logged?;
        let LogId { term, index } = self.entry.id;
        Some(RecordAt {
            replica: REPLICA,
            kind: Kind::Entry,
            term,
            index,
            first: false,
            last: false,
            position: self.position,
            place,
            checksum,
            moved: false,
        })
    }
}

impl RaftLog {
    /// Lists an entry and puts it into the log.
    pub fn append(self: &Arc<Self>, log: &Log, replica: ReplicaId, entry: &Entry) {
        let slot = Slot {
            entry: entry.clone(),
            logged: None,
            position: Position(0),
        };
        self.slots.lock().insert(entry.id.index, slot);
        let (raft, id, skip) = (Arc::clone(self), entry.id, skip_of(entry));
        let record = Record::entry(replica, id.term, id.index, vec![payload(entry)]);
        let done = move |result: Result<Vec<seglog::Written>, _>| {
            if let Ok(written) = result
                && let Some(slot) = raft.slots.lock().get_mut(&id.index)
            {
                let seglog::Written {
                    place,
                    checksum,
                    position,
                } = written[0];
                slot.position = position;
                slot.logged = Some(Logged {
                    place,
                    checksum,
                    skip,
                });
            }
        };
        log.append(vec![record], Sync::Required, Box::new(done))
            .unwrap();
    }

    /// What Raft's purge does: the slots go, the bytes stay.
    pub fn purge(&self, upto: u64) {
        self.slots.lock().retain(|index, _| *index > upto);
        self.purged.store(upto, Ordering::Relaxed);
    }
}

fn skip_of(entry: &Entry) -> u32 {
    4 + entry.command.len() as u32
}

impl Entries for RaftLog {
    fn body(&self, index: u64, term: u64) -> Option<BodyPlace> {
        let slots = self.slots.lock();
        let slot = slots
            .get(&index)
            .filter(|slot| slot.entry.id.term == term)?;
        // Even indexes are still held, for variety.
        match slot.logged {
            Some(logged) if index % 2 == 1 => Some(BodyPlace::Logged(logged)),
            _ => Some(BodyPlace::Held(slot.entry.body.clone())),
        }
    }

    fn lies_at(&self, index: u64, term: u64, place: Place) -> bool {
        let logged = self.place(index, term).unwrap();
        logged.is_some_and(|logged| logged.place == place)
    }

    fn moved(&self, index: u64, term: u64, from: Place, to: Place) {
        let mut slots = self.slots.lock();
        let slot = slots
            .get_mut(&index)
            .filter(|slot| slot.entry.id.term == term);
        if let Some(logged) = slot.and_then(|slot| slot.logged.as_mut())
            && logged.place == from
        {
            logged.place = to;
        }
    }

    fn count_bytes(&self, by_segment: &mut BTreeMap<u64, u64>) {
        for Logged { place, .. } in self.slots.lock().values().filter_map(|slot| slot.logged) {
            *by_segment.entry(place.segment).or_default() += place.record_bytes();
        }
    }

    fn record(&self, index: u64, term: u64) -> Option<RecordAt> {
        let slots = self.slots.lock();
        let slot = slots.get(&index);
        slot.filter(|slot| slot.entry.id.term == term)?.record()
    }

    fn records_in(&self, segment: u64, offsets: Range<u64>) -> Vec<RecordAt> {
        let slots = self.slots.lock();
        let records = slots.values().filter_map(Slot::record);
        let lies = |record: &RecordAt| {
            let at = u64::from(record.place.record_offset());
            record.place.segment == segment && offsets.contains(&at)
        };
        records.filter(lies).collect()
    }

    fn take_damaged(&self) -> Vec<LogId> {
        Vec::new()
    }

    fn place(&self, index: u64, term: u64) -> Result<Option<Logged>, Fault> {
        let slots = self.slots.lock();
        let slot = slots.get(&index);
        let slot = slot.filter(|slot| slot.entry.id.term == term);
        Ok(slot.and_then(|slot| slot.logged))
    }

    fn written_upto(&self) -> u64 {
        let slots = self.slots.lock();
        let missing = slots.iter().find(|(_, slot)| slot.logged.is_none());
        let purged = self.purged.load(Ordering::Relaxed);
        let last = slots.last_key_value().map_or(purged, |(index, _)| *index);
        missing.map_or(last, |(index, _)| index - 1)
    }
}

pub struct Rig {
    pub disk: SimDisk,
    pub indexes: Arc<dyn Indexes>,
    pub bounds: Bounds,
    pub log: Log,
    pub writer: Writer,
    pub replica: Arc<Replica>,
    pub raft: Arc<RaftLog>,
    /// All that was applied.
    pub entries: Vec<Entry>,
    pub model: Model,
    pub term: u64,
    pub machine: Arc<dyn Machine>,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Arc::new(MemoryIndexes::new()), tight())
    }

    pub fn with(indexes: Arc<dyn Indexes>, bounds: Bounds) -> Self {
        Self::open(SimDisk::new(), indexes, bounds, 1).unwrap()
    }

    /// Opens whatever is there, and applies the entries above the checkpoint, as Raft does.
    pub fn open(
        disk: SimDisk,
        indexes: Arc<dyn Indexes>,
        bounds: Bounds,
        term: u64,
    ) -> Result<Self, Fault> {
        Self::open_as(Arc::new(KeyValue), disk, indexes, bounds, term)
    }

    /// The same with another machine.
    pub fn open_as(
        machine: Arc<dyn Machine>,
        disk: SimDisk,
        indexes: Arc<dyn Indexes>,
        bounds: Bounds,
        term: u64,
    ) -> Result<Self, Fault> {
        let opened = seglog::open(Arc::new(disk.clone()), options()).unwrap();
        assert!(opened.2.damage.is_empty(), "{:?}", opened.2.damage);
        Self::open_on(opened, machine, disk, indexes, bounds, term)
    }

    /// The same on a log that may be damaged where nobody needs it.
    pub fn open_on(
        (log, writer, recovered): (Log, Writer, Recovered),
        machine: Arc<dyn Machine>,
        disk: SimDisk,
        indexes: Arc<dyn Indexes>,
        bounds: Bounds,
        term: u64,
    ) -> Result<Self, Fault> {
        let opening = Opening {
            bounds,
            ..Opening::new(
                GROUP,
                REPLICA,
                log.clone(),
                indexes.clone(),
                Arc::clone(&machine),
            )
        };
        let replica = open(&opening, recovered.replicas.get(&REPLICA))?;
        let raft = Arc::new(RaftLog::default());
        replica.attach(raft.clone());
        let (entries, model) = (Vec::new(), Model::default());
        let mut rig = Self {
            disk,
            indexes,
            bounds,
            log,
            writer,
            replica,
            raft,
            entries,
            model,
            term,
            machine,
        };
        rig.replay(&recovered);
        Ok(rig)
    }

    fn replay(&mut self, recovered: &Recovered) {
        let Some(recovered) = recovered.replicas.get(&REPLICA) else {
            return;
        };
        let applied = self.replica.applied().last;
        if let Some((_, upto)) = recovered.purged {
            self.raft.purge(upto);
        }
        for at in &recovered.entries {
            let payload = self.log.read(at.place, Some(at.checksum)).unwrap();
            let id = LogId {
                term: at.term,
                index: at.index,
            };
            let entry = parse(id, &payload);
            let logged = Logged {
                place: at.place,
                checksum: at.checksum,
                skip: skip_of(&entry),
            };
            let slot = Slot {
                entry: entry.clone(),
                logged: Some(logged),
                position: at.position,
            };
            self.raft.slots.lock().insert(id.index, slot);
            if applied.is_none_or(|applied| applied.index < id.index) {
                apply(&self.replica, &entry).unwrap();
            }
            self.model.apply(&entry.command);
            self.entries.push(entry);
        }
        // R2: what a checkpoint covers is there, entry by entry.
        let last = self.entries.last().map(|entry| entry.id).or(applied);
        assert_eq!(self.replica.applied().last, last);
    }

    /// Appends an entry and applies it at once, durable or not.
    pub fn apply(&mut self, command: &str, body: &[u8]) -> LogId {
        let index = self.entries.last().map_or(1, |entry| entry.id.index + 1);
        let id = LogId {
            term: self.term,
            index,
        };
        let command = Bytes::copy_from_slice(command.as_bytes());
        let entry = Entry {
            id,
            command,
            body: Bytes::copy_from_slice(body),
        };
        self.raft.append(&self.log, REPLICA, &entry);
        apply(&self.replica, &entry).unwrap();
        self.model.apply(&entry.command);
        self.entries.push(entry);
        id
    }

    /// Lets the log write what is queued.
    pub fn write(&mut self) {
        while self.writer.step().unwrap() != seglog::Step::Idle {}
    }

    /// Takes a checkpoint whole, and a merge if one is due.
    pub fn checkpoint(&mut self) {
        while self.replica.step(Due::Now) != Progress::Idle {
            self.write();
        }
    }

    /// Ends this life without a loss of power.
    pub fn reopen(self) -> Self {
        self.try_reopen().unwrap()
    }

    pub fn try_reopen(self) -> Result<Self, Fault> {
        let (indexes, bounds, term) = (self.indexes.clone(), self.bounds, self.term + 1);
        let machine = Arc::clone(&self.machine);
        Self::open_as(machine, self.end(), indexes, bounds, term)
    }

    /// Ends this life, and lets go of log and indexes.
    pub fn end(self) -> SimDisk {
        self.disk.clone()
    }

    /// The replica is what the model is: each row, each way to read it, and the digest.
    pub fn check(&self) {
        self.check_against(&self.model);
    }

    pub fn check_against(&self, model: &Model) {
        let expected: Vec<(Bytes, Bytes)> = model
            .0
            .iter()
            .map(|(key, value)| (Bytes::from(key.clone()), Bytes::from(value.clone())))
            .collect();
        let found: Vec<_> = self.replica.read(|rows| {
            rows.scan(&[1], END)
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap()
        });
        assert_eq!(expected, found);
        assert_eq!(self.replica.digest().1, model.digest());
        self.replica.read(|rows| {
            assert_eq!(Digest::kept(rows).unwrap(), model.digest());
            assert_eq!(Digest::counted(rows).unwrap(), model.digest());
            assert_eq!(rows.last(&[1], END).unwrap(), expected.last().cloned());
            for (key, value) in &expected {
                assert_eq!(rows.get(key).unwrap().as_ref(), Some(value));
            }
        });
    }

    /// Every body that was applied can be read, wherever it is known from.
    pub fn check_bodies(&self) {
        for entry in self.entries.iter().filter(|entry| !entry.body.is_empty()) {
            assert_eq!(self.replica.entry_body(entry.id).unwrap(), entry.body);
        }
    }
}

pub fn apply(replica: &Replica, entry: &Entry) -> Result<Bytes, Fault> {
    let applying = Applying::Command {
        time_ms: entry.id.index,
        command: &entry.command,
        body_length: entry.body.len() as u64,
    };
    replica.apply(entry.id, applying)
}

/// Writes the log on a thread, for calls that wait for it.
pub struct WriterThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Writer>>,
}

impl WriterThread {
    pub fn start(mut writer: Writer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                if writer.wait(Duration::from_millis(5)) && writer.step().is_err() {
                    break;
                }
            }
            writer
        };
        Self {
            stop,
            thread: Some(std::thread::spawn(run)),
        }
    }

    pub fn stop(mut self) -> Writer {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}
