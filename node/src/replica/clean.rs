//! What of the log is alive, and who drives the log's cleaner.
//!
//! A record is needed while somebody would read it:
//!
//! ```text
//!   entry, body   Raft's log lists it there, or a local row says that rows refer to it there
//!   rows, base    it is of the newest base or of a run since, or of one that is being written
//!   all others    never: the log repeats what they say
//! ```
//!
//! When the cleaner has copied a body, its replica notes the move, and the next checkpoint says so;
//! one is made for that alone if nothing else happens. The old segment goes after that: not while a
//! replica has moves out of it that no checkpoint tells of, is writing a base or taking in a
//! snapshot, or sends one that was taken before (R4). A read that found the old place just before
//! it went looks again.
//!
//! Bodies are copied in the order of what they belong to, as their local rows say it, so that the
//! mail of a mailbox lies side by side, however it came in.
//!
//! In doubt a record is alive. A replica that has stopped makes no checkpoint that would say where
//! its bodies went, and one that is not open takes no note of it: what these need stays where it
//! is, with its segments, and all others are cleaned. Of one that is not open, or whose index
//! cannot be trusted, that is every record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use rows::Fault;
use seglog::{Cleaned, Cleaner, Damage, Kind, Live, Place, RecordAt, ReplicaId};

use super::bodies::Logged;
use super::checkpoint::{Keep, Move, Stage};
use super::history::History;
use super::keeper::Checkpointer;
use super::limits::{CLEAN_BATCH_BYTES, CLEAN_BYTES_PER_SECOND, CLEAN_EVERY, CLEAN_POLL};
use super::machine::LogId;
use super::run::Run;
use super::{Replica, places};

/// How much of the log is alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// The segments, in order.
    pub segments: Vec<SegmentUse>,
    /// Counters of the log.
    pub log: seglog::Stats,
}

/// How much of a segment is alive.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// The segment.
    pub segment: seglog::Segment,
    /// Bytes of records in it that are needed, headers and payloads.
    pub live_bytes: u64,
}

/// Cleans the log of a node.
pub struct Cleaning {
    log: seglog::Log,
    checkpointer: Arc<Checkpointer>,
    /// Replicas that the log knows and nobody has opened yet.
    awaited: Mutex<BTreeSet<ReplicaId>>,
    /// What the cleaner found damaged, for whoever mends it.
    damaged: Mutex<Vec<Damage>>,
    /// Segments of which nothing that is needed is damaged any more.
    mended: Mutex<BTreeSet<u64>>,
    /// Replicas whose life has ended: nothing of them is needed.
    ended: Mutex<BTreeSet<ReplicaId>>,
    stopped: AtomicBool,
}

impl Cleaning {
    /// For the log of the replicas that `checkpointer` has, or will have: `awaited` are those that
    /// an open of the log found, but for those whose life has `ended`.
    #[must_use]
    pub fn new(
        log: seglog::Log,
        checkpointer: Arc<Checkpointer>,
        awaited: impl IntoIterator<Item = ReplicaId>,
        ended: impl IntoIterator<Item = ReplicaId>,
    ) -> Self {
        Self {
            log,
            checkpointer,
            awaited: Mutex::new(awaited.into_iter().collect()),
            damaged: Mutex::default(),
            mended: Mutex::default(),
            ended: Mutex::new(ended.into_iter().collect()),
            stopped: AtomicBool::new(false),
        }
    }

    /// Goes on until [`Cleaning::stop`]. Blocks: for a thread of its own.
    pub fn run(&self) {
        let mut cleaner = Cleaner::new(self.log.clone());
        while !self.stopped.load(Relaxed) {
            match self.step(&mut cleaner) {
                Ok(pause) => std::thread::sleep(pause),
                Err(seglog::Error::Poisoned(_)) => return,
                Err(error) => {
                    tracing::error!(%error, "the log cannot be cleaned");
                    std::thread::sleep(CLEAN_EVERY);
                }
            }
        }
    }

    /// Ends [`Cleaning::run`] after its step; what was begun is begun again at the next start.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// The log says that the life of this replica has ended.
    pub fn ended(&self, replica: ReplicaId) {
        self.ended.lock().insert(replica);
        self.awaited.lock().remove(&replica);
    }

    /// Whether the life of this replica has ended.
    #[must_use]
    pub fn has_ended(&self, replica: ReplicaId) -> bool {
        self.ended.lock().contains(&replica)
    }

    /// One step of the cleaner; says how long to wait before the next.
    ///
    /// # Errors
    /// Those of [`Cleaner::step`].
    pub fn step(&self, cleaner: &mut Cleaner) -> Result<Duration, seglog::Error> {
        let held = self.held();
        for segment in std::mem::take(&mut *self.mended.lock()) {
            cleaner.retry(segment);
        }
        let cleaned = cleaner.step(&held, || held.live_bytes(), CLEAN_BATCH_BYTES)?;
        Ok(match cleaned {
            Cleaned::Idle => CLEAN_EVERY,
            Cleaned::Waiting => CLEAN_POLL,
            Cleaned::Held { segment, replica } => {
                tracing::debug!(
                    segment,
                    replica = replica.0,
                    "a segment waits for a replica"
                );
                CLEAN_POLL
            }
            Cleaned::Copying { bytes, .. } => {
                metrics::counter!("rookery_log_cleaned_bytes_total").increment(bytes);
                Duration::from_secs(1).mul_f64(bytes as f64 / CLEAN_BYTES_PER_SECOND as f64)
            }
            Cleaned::Freed { segment, recycled } => {
                tracing::info!(segment, recycled, "segment freed");
                metrics::counter!("rookery_log_segments_freed_total").increment(1);
                Duration::ZERO
            }
            Cleaned::NoRoom {
                segment,
                live_bytes,
            } => {
                tracing::warn!(segment, live_bytes, "no room to clean a segment");
                metrics::counter!("rookery_log_cleaning_no_room_total").increment(1);
                CLEAN_EVERY
            }
            Cleaned::Kept { segment, damage } => {
                tracing::error!(segment, ?damage, "a segment is damaged, and kept");
                metrics::counter!("rookery_log_segments_damaged_total").increment(1);
                self.damaged.lock().extend(damage);
                Duration::ZERO
            }
            Cleaned::Chose { .. }
            | Cleaned::Passed { .. }
            | Cleaned::Copied { .. }
            | Cleaned::Noted { .. } => Duration::ZERO,
        })
    }

    /// What the cleaner found damaged since the last call.
    #[must_use]
    pub fn take_damaged(&self) -> Vec<Damage> {
        std::mem::take(&mut *self.damaged.lock())
    }

    /// All that was damaged in these segments is mended, as far as anybody needs it: they may be
    /// cleaned.
    pub fn mended(&self, segments: impl IntoIterator<Item = u64>) {
        self.mended.lock().extend(segments);
    }

    /// How much of each segment is alive.
    ///
    /// # Errors
    /// Those of [`seglog::Log::segments`].
    pub fn storage(&self) -> Result<Storage, seglog::Error> {
        let live = Held::of(&self.checkpointer).live_bytes();
        let used = |segment: seglog::Segment| SegmentUse {
            segment,
            // An entry may be listed and kept: then it is counted twice.
            live_bytes: live
                .get(&segment.number)
                .map_or(0, |bytes| *bytes.min(&segment.bytes)),
        };
        Ok(Storage {
            segments: self.log.segments()?.into_iter().map(used).collect(),
            log: self.log.stats(),
        })
    }

    /// Whether all replicas that the log knows are open.
    #[must_use]
    pub fn all_open(&self) -> bool {
        let held = self.held();
        let mut awaited = self.awaited.lock();
        awaited.retain(|replica| !held.replicas.contains_key(replica));
        awaited.is_empty()
    }

    fn held(&self) -> Held {
        // Before the replicas: one that is in neither is taken for alive.
        let ended = self.ended.lock().clone();
        Held::of(&self.checkpointer).without(ended)
    }
}

/// The replicas of a node.
pub struct Held {
    replicas: BTreeMap<ReplicaId, Arc<Replica>>,
    ended: BTreeSet<ReplicaId>,
}

impl Held {
    /// Those that a checkpointer has now.
    #[must_use]
    pub fn of(checkpointer: &Checkpointer) -> Self {
        let replicas = checkpointer.replicas().into_iter();
        Self {
            replicas: replicas.map(|replica| (replica.id(), replica)).collect(),
            ended: BTreeSet::new(),
        }
    }

    /// The same, with replicas of which nothing is needed since their lives have ended.
    #[must_use]
    pub fn without(self, ended: BTreeSet<ReplicaId>) -> Self {
        Self { ended, ..self }
    }

    /// Bytes of the records that are alive, by segment. An entry that Raft lists and rows refer to
    /// is counted twice.
    #[must_use]
    pub fn live_bytes(&self) -> BTreeMap<u64, u64> {
        let mut bytes = BTreeMap::new();
        for replica in self.replicas.values() {
            replica.count_bytes(&mut bytes);
        }
        bytes
    }
}

impl Live for Held {
    fn refers(&self, record: &RecordAt) -> bool {
        if self.ended.contains(&record.replica) {
            return false;
        }
        let replica = self.replicas.get(&record.replica);
        replica.is_none_or(|replica| replica.refers(record))
    }

    fn home(&self, record: &RecordAt) -> u128 {
        let replica = self.replicas.get(&record.replica);
        replica.map_or(0, |replica| replica.home(record))
    }

    fn moved(&self, copies: &[(RecordAt, Place)]) {
        for of_one in copies.chunk_by(|(one, _), (other, _)| one.replica == other.replica) {
            let replica = of_one.first().map(|(record, _)| record.replica);
            if let Some(replica) = replica.and_then(|replica| self.replicas.get(&replica)) {
                replica.moved(of_one);
            }
        }
    }

    fn settled(&self, segment: u64) -> bool {
        let mut replicas = self.replicas.values();
        replicas.all(|replica| replica.has_settled(segment))
    }

    fn is_held(&self, replica: ReplicaId) -> bool {
        let open = self.replicas.get(&replica);
        !self.ended.contains(&replica) && open.is_none_or(|open| open.fault().is_some())
    }

    fn holder(&self, segment: u64) -> Option<ReplicaId> {
        let mut stopped = self.replicas.iter().filter(|(id, _)| self.is_held(**id));
        let (id, _) = stopped.find(|(_, replica)| replica.names(&replica.keep.lock(), segment))?;
        Some(*id)
    }
}

fn id_of(record: &RecordAt) -> LogId {
    LogId {
        term: record.term,
        index: record.index,
    }
}

impl Replica {
    fn refers(&self, record: &RecordAt) -> bool {
        // Looked at first: what arrives is counted until `keep` is held for it.
        if self.takes_in() {
            return true;
        }
        let keep = self.keep.lock();
        // Its index may say anything.
        if matches!(self.fault(), Some(Fault::Store(_) | Fault::Row { .. })) {
            return true;
        }
        match record.kind {
            Kind::Entry | Kind::Body => self.keeps_body(&keep, record).unwrap_or(true),
            Kind::Rows => {
                let writing = matches!(&keep.stage, Stage::Logged(logged)
                    if logged.mark.at == id_of(record));
                writing || holds(&keep.history.runs, record.place)
            }
            Kind::Base => {
                let merging = keep.merging.as_ref();
                merging.is_some_and(|merging| merging.at() == id_of(record))
                    || holds(&keep.history.base, record.place)
            }
            _ => false,
        }
    }

    fn keeps_body(&self, keep: &Keep, record: &RecordAt) -> Result<bool, Fault> {
        let id = id_of(record);
        let Some(entries) = self.entries.read().clone() else {
            return Ok(true);
        };
        if entries.lies_at(id.index, id.term, record.place) {
            return Ok(true);
        }
        if let Some(moved) = keep.moves.get(&id) {
            return Ok(moved.to.place == record.place);
        }
        let index = Arc::clone(self.state.read().layers.index());
        let kept = places::find(index.as_ref(), id)?;
        Ok(kept.is_some_and(|kept| kept.logged.place == record.place))
    }

    /// To what a body belongs, as far as the checkpoint says; 0 for all other records.
    fn home(&self, record: &RecordAt) -> u128 {
        if !matches!(record.kind, Kind::Entry | Kind::Body) {
            return 0;
        }
        let index = Arc::clone(self.state.read().layers.index());
        // One that cannot be read stops the replica where it is needed.
        let kept = places::find(index.as_ref(), id_of(record)).unwrap_or_default();
        kept.and_then(|kept| kept.home).unwrap_or_default()
    }

    /// Copies of records of this replica are durable.
    pub(super) fn moved(&self, copies: &[(RecordAt, Place)]) {
        let mut keep = self.keep.lock();
        let index = Arc::clone(self.state.read().layers.index());
        let entries = self.entries.read().clone();
        for (record, to) in copies {
            let (id, from) = (id_of(record), record.place);
            match record.kind {
                Kind::Entry | Kind::Body => {
                    if let Some(entries) = &entries {
                        entries.moved(id.index, id.term, from, *to);
                    }
                    let lies_there = keep.logged(index.as_ref(), id);
                    if let Some(logged) = lies_there.filter(|logged| logged.place == from) {
                        let to = Logged {
                            place: *to,
                            ..logged
                        };
                        keep.move_to(id, from, to);
                    }
                }
                Kind::Rows => replace(&mut keep.history.runs, from, *to),
                Kind::Base => replace(&mut keep.history.base, from, *to),
                _ => {}
            }
        }
    }

    /// Whether nothing durable names a place in the segment, nor what is on its way there.
    fn has_settled(&self, segment: u64) -> bool {
        if self.takes_in() || self.exporting.load(Relaxed) > 0 {
            return false;
        }
        let keep = self.keep.lock();
        let wanted = match self.fault() {
            // No merge of it goes on. What it refers to will not be moved, nor be forgotten.
            Some(_) => self.names(&keep, segment),
            None => keep.merging.is_some() || keep.has_moves(segment),
        };
        if wanted {
            return false;
        }
        let pinned = self.pinned.lock();
        let mut pinned = pinned.iter().filter_map(std::sync::Weak::upgrade);
        !pinned.any(|history| lies_in(&history, segment))
    }

    /// Whether the checkpoint that a stopped replica comes back to, the one on its way, or what has
    /// moved since, is known to lie in the segment in part. Does not look into the index, which a
    /// fault may have left half written.
    fn names(&self, keep: &Keep, segment: u64) -> bool {
        let copies = |moved: &Move| moved.to.place.segment == segment;
        keep.kept_bytes.contains_key(&segment)
            || lies_in(&keep.history, segment)
            || keep.has_moves(segment)
            || keep.moves.values().any(copies)
    }

    fn count_bytes(&self, by_segment: &mut BTreeMap<u64, u64>) {
        {
            let keep = self.keep.lock();
            for (segment, bytes) in &keep.kept_bytes {
                *by_segment.entry(*segment).or_default() += bytes;
            }
            for place in records(&keep.history) {
                *by_segment.entry(place.segment).or_default() += place.record_bytes();
            }
        }
        if let Some(entries) = self.entries.read().clone() {
            entries.count_bytes(by_segment);
        }
    }
}

impl Keep {
    /// A body lies elsewhere from now on: the next checkpoint says so.
    pub fn move_to(&mut self, id: LogId, from: Place, to: Logged) {
        let moved = self.moves.entry(id).or_insert(Move { from, to });
        moved.to = to;
    }

    /// Whether bodies were moved out of the segment of which no checkpoint says so yet, or the one
    /// on its way says that they lie there.
    fn has_moves(&self, segment: u64) -> bool {
        let mut moves = self.moves.values();
        let on_its_way = match &self.stage {
            Stage::Logged(logged) => logged.places.as_slice(),
            Stage::Idle | Stage::Frozen(_) => &[],
        };
        let mut places = on_its_way.iter().filter_map(|change| change.after);
        moves.any(|moved| moved.from.segment == segment)
            || places.any(|kept| kept.logged.place.segment == segment)
    }

    /// Where a body lies: as it was moved, or as the checkpoint or the one on its way says.
    pub fn logged(&self, index: &dyn super::index::Index, id: LogId) -> Option<Logged> {
        if let Some(moved) = self.moves.get(&id) {
            return Some(moved.to);
        }
        let on_its_way = match &self.stage {
            Stage::Logged(logged) => logged.places.iter().find(|change| change.id == id),
            Stage::Idle | Stage::Frozen(_) => None,
        };
        let kept = match on_its_way {
            Some(change) => change.after,
            // One that cannot be read stops the replica where it is needed.
            None => places::find(index, id).unwrap_or_default(),
        };
        kept.map(|kept| kept.logged)
    }
}

fn records(history: &History) -> impl Iterator<Item = Place> {
    let runs = history.base.iter().chain(&history.runs);
    runs.flat_map(|run| run.records.iter().map(|record| record.place))
}

fn lies_in(history: &History, segment: u64) -> bool {
    records(history).any(|place| place.segment == segment)
}

fn holds<'a>(runs: impl IntoIterator<Item = &'a Run>, place: Place) -> bool {
    let mut records = runs.into_iter().flat_map(|run| &run.records);
    records.any(|record| record.place == place)
}

fn replace<'a>(runs: impl IntoIterator<Item = &'a mut Run>, from: Place, to: Place) {
    let mut records = runs.into_iter().flat_map(|run| &mut run.records);
    if let Some(record) = records.find(|record| record.place == from) {
        record.place = to;
    }
}
