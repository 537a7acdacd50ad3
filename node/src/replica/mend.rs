//! What is damaged in the log of this node, and comes again from another replica (I16, L2).
//!
//! Nothing is repaired in place. A good copy is appended, and whoever refers to the record reads
//! there from then on:
//!
//! ```text
//!   an entry that Raft lists     the same payload from another replica, as a copy of the record;
//!                                who has purged it cannot give it: then it goes with a purge here
//!   a body to which rows refer   the body alone, checked against the hash in the row; the next
//!                                checkpoint says where it lies
//!   records of rows, of a base   a new base, written from the index, if that has the digests of
//!                                the checkpoint: then it holds its rows without doubt
//! ```
//!
//! Reads and the scrubber note what they could not read as *wounds*; [`Replica::mend`] is called
//! for each replica from time to time, and leaves open what nobody could give. Until then reads go
//! to other replicas.
//!
//! When the rows can be had neither from log nor from index the replica stops (R3). It comes back
//! by [`Replica::revive`], which builds its index anew from the log, or by
//! [`Replica::install_anew`] with the rows of another replica.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rows::{Digest, END, Fault};
use seglog::{Kind, Place, Record, RecordAt, Sync, Written};

use super::arrival::matches;
use super::bodies::Logged;
use super::checkpoint::{Keep, Stage, Ticket, has_room};
use super::history::History;
use super::limits::{MEND_BATCH, MEND_BATCH_BYTES, POLL_EVERY, WOUNDS_MAX};
use super::machine::{GroupId, LogId, Referred};
use super::merge::Digests;
use super::open::rebuild;
use super::places::{self, LOCAL_FROM, LOCAL_TO};
use super::run::{Mark, RecordAt as RunRecord, Run, RunKind, RunWriter};
use super::{Replica, Snapshot};

/// Good copies from the other replicas of a group. Implemented by `raft`, which asks the nodes that
/// hold one. Blocks on the network.
pub trait Fetch: Send + std::marker::Sync {
    /// The payloads of entries as the log keeps them, in parts; those that nobody has are left out.
    fn entries(&self, group: GroupId, wanted: &[LogId]) -> Vec<(LogId, Vec<Bytes>)>;

    /// The bodies of entries, each as its row wants it; those that nobody has are left out.
    fn bodies(&self, group: GroupId, wanted: Vec<Referred>) -> Vec<(Referred, Bytes)>;

    /// A checkpoint of another replica of the same group that holds at least the entries up to
    /// `least`, with all bodies; `None` if there is none now.
    fn checkpoint(&self, replica: &Arc<Replica>, least: u64) -> Option<Snapshot>;
}

/// What was found damaged and is not mended yet.
#[derive(Debug, Default)]
pub(crate) struct Wounds {
    /// Entries of which the record that is read is damaged.
    pub bodies: BTreeSet<LogId>,
    /// Records of the base or of runs are damaged.
    pub rows: bool,
}

/// What [`Replica::mend`] did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Entries that were copied.
    pub entries: u64,
    /// Bodies that were brought.
    pub bodies: u64,
    /// Bases that were written.
    pub bases: u64,
    /// What is still damaged.
    pub left: u64,
}

/// Where a damaged record is known from.
enum Wound {
    /// Raft's log lists it.
    Entry(RecordAt),
    /// Rows refer to its body.
    Body(Logged),
}

/// Tells the cleaner that what is written now will be referred to.
struct Writing<'a>(&'a Replica);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.mending.fetch_sub(1, Relaxed);
    }
}

impl Replica {
    /// Notes that the record from which an entry, or its body, is read is damaged.
    pub fn wound(&self, id: LogId) {
        let mut wounds = self.wounds.lock();
        // What is too much now is found again.
        if wounds.bodies.len() < WOUNDS_MAX && wounds.bodies.insert(id) {
            tracing::warn!(group = self.group.0, %id, "a body cannot be read here");
            metrics::counter!("rookery_damage_found_total").increment(1);
        }
    }

    /// Notes all that this replica needs in a stretch of a segment that cannot be read; says how
    /// many records those are. Reads the local rows.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica, or [`Fault::Store`].
    pub fn wound_stretch(&self, segment: u64, offsets: Range<u64>) -> Result<u64, Fault> {
        let (index, entries) = self.holds();
        self.read(|rows| rows.check())?;
        let overlaps = |place: &Place| {
            let from = u64::from(place.record_offset());
            place.segment == segment
                && from < offsets.end
                && from + place.record_bytes() > offsets.start
        };
        let mut found = BTreeSet::new();
        if let Some(entries) = entries {
            let listed = entries.records_in(segment, 0..u64::MAX).into_iter();
            let listed = listed.filter(|record| overlaps(&record.place));
            found.extend(listed.map(|record| (record.index, record.term)));
        }
        for row in index.scan(LOCAL_FROM, LOCAL_TO)? {
            let (key, value) = row?;
            let kept = places::parse(&key, &value)?;
            if overlaps(&kept.logged.place) {
                let id = places::id_of(&key)?;
                found.insert((id.index, id.term));
            }
        }
        let rows = {
            let keep = self.keep.lock();
            let moves = keep.moves.iter();
            let moved = moves.filter(|(_, moved)| overlaps(&moved.to.place));
            found.extend(moved.map(|(id, _)| (id.index, id.term)));
            let runs = keep.history.base.iter().chain(&keep.history.runs);
            let mut records = runs.flat_map(|run| &run.records);
            let damaged = |record: &&RunRecord| overlaps(&record.place) && self.is_bad(record);
            records.by_ref().filter(damaged).count() as u64
        };
        let mut count = rows;
        for (index, term) in found {
            let id = LogId { term, index };
            if self.wound_of(id)?.is_some() {
                self.wound(id);
                count += 1;
            }
        }
        if rows > 0 {
            metrics::counter!("rookery_damage_found_total").increment(rows);
            self.wounds.lock().rows = true;
        }
        Ok(count)
    }

    fn is_bad(&self, record: &RunRecord) -> bool {
        self.log.read(record.place, Some(record.checksum)).is_err()
    }

    /// How much is known to be damaged.
    #[must_use]
    pub fn wounded(&self) -> u64 {
        let wounds = self.wounds.lock();
        wounds.bodies.len() as u64 + u64::from(wounds.rows)
    }

    /// Mends what is known to be damaged, as far as `fetch` gives it. Blocks on disk and network.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica, now or before (R3): its rows are lost here. Or
    /// [`Fault::NoRoom`]: it is for later.
    pub fn mend(&self, fetch: &dyn Fetch) -> Result<Mended, Fault> {
        let (_, entries) = self.holds();
        for id in entries.iter().flat_map(|entries| entries.take_damaged()) {
            self.wound(id);
        }
        let (ids, rows) = {
            let wounds = self.wounds.lock();
            (wounds.bodies.clone(), wounds.rows)
        };
        let mut mended = Mended::default();
        if ids.is_empty() && !rows {
            return Ok(mended);
        }
        // Before others are asked for it, again and again.
        if !has_room(&self.log, MEND_BATCH_BYTES) {
            return Err(Fault::NoRoom);
        }
        self.read(|rows| rows.check())?;
        let ids: Vec<LogId> = ids.into_iter().collect();
        for ids in ids.chunks(MEND_BATCH) {
            self.mending.fetch_add(1, Relaxed);
            let _writing = Writing(self);
            let (mut listed, mut kept) = (Vec::new(), BTreeMap::new());
            for id in ids {
                match self.wound_of(*id)? {
                    Some(Wound::Entry(record)) => listed.push(record),
                    Some(Wound::Body(logged)) => drop(kept.insert(*id, logged)),
                    None => drop(self.wounds.lock().bodies.remove(id)),
                }
            }
            mended.entries += self.mend_entries(fetch, &listed)?;
            mended.bodies += self.mend_bodies(fetch, &kept)?;
        }
        let stop = |fault| self.stop_unless_full(fault);
        if rows && self.rebase().map_err(stop)? {
            self.wounds.lock().rows = false;
            mended.bases += 1;
        }
        mended.left = self.wounded();
        let done = mended.entries + mended.bodies + mended.bases;
        if done > 0 {
            tracing::warn!(group = self.group.0, ?mended, "damage mended");
            metrics::counter!("rookery_damage_mended_total").increment(done);
        }
        Ok(mended)
    }

    /// What of an entry is damaged, if something is.
    fn wound_of(&self, id: LogId) -> Result<Option<Wound>, Fault> {
        let (index, entries) = self.holds();
        let (wound, place, checksum) =
            match entries.and_then(|entries| entries.record(id.index, id.term)) {
                Some(record) => (Wound::Entry(record), record.place, record.checksum),
                None => {
                    let keep = self.keep.lock();
                    let Some(logged) = keep.logged(index.as_ref(), id) else {
                        return Ok(None);
                    };
                    (Wound::Body(logged), logged.place, logged.checksum)
                }
            };
        Ok(match self.log.read(place, Some(checksum)) {
            // It was moved just now.
            Ok(_) | Err(seglog::Error::Freed { .. }) => None,
            Err(_) => Some(wound),
        })
    }

    fn mend_entries(&self, fetch: &dyn Fetch, records: &[RecordAt]) -> Result<u64, Fault> {
        if records.is_empty() {
            return Ok(0);
        }
        let ids: Vec<LogId> = records.iter().map(entry_id).collect();
        let mut copies = Vec::new();
        for (id, payload) in fetch.entries(self.group, &ids) {
            let record = records.iter().find(|record| entry_id(record) == id);
            if let Some(record) = record
                && seglog::checksum(&payload) == record.checksum
            {
                copies.push((*record, payload));
            }
        }
        let originals: Vec<RecordAt> = copies.iter().map(|(record, _)| *record).collect();
        let written = self.append_copies(copies)?;
        let places = written.iter().map(|written| written.place);
        let moved: Vec<(RecordAt, Place)> = originals.into_iter().zip(places).collect();
        self.moved(&moved);
        for (record, _) in &moved {
            self.wounds.lock().bodies.remove(&entry_id(record));
        }
        Ok(moved.len() as u64)
    }

    fn mend_bodies(&self, fetch: &dyn Fetch, kept: &BTreeMap<LogId, Logged>) -> Result<u64, Fault> {
        if kept.is_empty() {
            return Ok(0);
        }
        let mut wanted = self.referred_to(kept)?;
        for id in kept.keys().filter(|id| !wanted.contains_key(id)) {
            // No row refers to it any more, or none that a checkpoint knows.
            self.wounds.lock().bodies.remove(id);
        }
        let mut count = 0;
        while !wanted.is_empty() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while bytes < MEND_BATCH_BYTES
                && let Some((_, referred)) = wanted.pop_first()
            {
                bytes += referred.length;
                batch.push(referred);
            }
            count += self.take_bodies(fetch.bodies(self.group, batch), kept)?;
        }
        Ok(count)
    }

    fn take_bodies(
        &self,
        mut bodies: Vec<(Referred, Bytes)>,
        kept: &BTreeMap<LogId, Logged>,
    ) -> Result<u64, Fault> {
        bodies.retain(|(referred, body)| matches(referred, body));
        let record = |(referred, body): &(Referred, Bytes)| {
            let id = (referred.id.term, referred.id.index);
            Record::body(self.id, id, vec![body.clone()])
        };
        let written = self.append(bodies.iter().map(record).collect(), Sync::Required)?;
        let (index, _) = self.holds();
        let mut keep = self.keep.lock();
        for ((referred, _), written) in bodies.iter().zip(&written) {
            let id = referred.id;
            let logged = keep.logged(index.as_ref(), id);
            // Unless it was moved, or forgotten, since.
            if let Some(from) = kept.get(&id).filter(|from| logged == Some(**from)) {
                let to = Logged {
                    place: written.place,
                    checksum: written.checksum,
                    skip: 0,
                };
                keep.move_to(id, from.place, to);
            }
            self.wounds.lock().bodies.remove(&id);
        }
        Ok(written.len() as u64)
    }

    /// What the rows say of the bodies of these entries.
    fn referred_to(
        &self,
        ids: &BTreeMap<LogId, Logged>,
    ) -> Result<BTreeMap<LogId, Referred>, Fault> {
        let (index, _) = self.holds();
        let mut found = BTreeMap::new();
        for row in self.referring(index.scan(&[], END)?) {
            let (_, referred) = row?;
            if ids.contains_key(&referred.id) {
                found.insert(referred.id, referred);
                if found.len() == ids.len() {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn append_copies(&self, copies: Vec<(RecordAt, Vec<Bytes>)>) -> Result<Vec<Written>, Fault> {
        if copies.is_empty() {
            return Ok(Vec::new());
        }
        let parts = copies.iter().flat_map(|(_, payload)| payload);
        let bytes = parts.map(|part| part.len() as u64).sum();
        let append = |done| {
            let copies = copies.clone();
            self.log.append_moved(copies, Sync::Required, done)
        };
        self.appended(bytes, || match has_room(&self.log, bytes) {
            true => Ticket::of(&self.bell, append),
            false => Ok(None),
        })
    }

    /// Writes all rows of the checkpoint as a new base, from the index: its rows are those of the
    /// checkpoint, or there is no base. Holds up checkpoints meanwhile. `false` if the checkpoint
    /// that was begun cannot go on before something else is mended.
    fn rebase(&self) -> Result<bool, Fault> {
        let mut keep = loop {
            let keep = self.keep.lock();
            match &keep.stage {
                Stage::Idle => break keep,
                Stage::Frozen(frozen) if frozen.unread.is_some() => return Ok(false),
                Stage::Frozen(_) | Stage::Logged(_) => drop(keep),
            }
            self.step(super::Due::IfFull);
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            self.bell.wait(POLL_EVERY);
        };
        self.end_merge(&mut keep)?;
        let Some(mark) = keep.mark.clone() else {
            return Ok(true);
        };
        // The base that it replaces is not freed before it is durable.
        let bytes = keep.history.base_bytes() + keep.history.runs_bytes();
        if !has_room(&self.log, bytes) {
            return Err(Fault::NoRoom);
        }
        let (index, _) = self.holds();
        let mut rows = BaseWriter::new(self, mark.at);
        for row in places::all_rows(index.as_ref())? {
            let (key, value) = row?;
            rows.push(&key, &value)?;
        }
        // An index that a crash took back below the base could only be built again.
        self.flush_index(&mut keep)?;
        let base = rows.finish(&mark)?;
        keep.history = History {
            base: Some(base.0),
            runs: Vec::new(),
        };
        tracing::warn!(group = self.group.0, at = %mark.at, "a new base was written");
        Ok(true)
    }

    /// Comes back after a fault of the store: with a new index, filled from the log, at the last
    /// checkpoint that was appended there. No entry may be applied meanwhile. Blocks on the disk.
    ///
    /// # Errors
    /// [`Fault::Store`] if the log cannot be read either: it has not come back, but knows its last
    /// checkpoint.
    pub fn revive(&self) -> Result<(), Fault> {
        let mut keep = self.keep.lock();
        self.take_up(&mut keep)?;
        let mark = keep.mark.clone();
        let mark = mark.ok_or_else(|| Fault::Store("there is no checkpoint".to_owned()))?;
        *self.checkpointed.lock() = Some(mark.at);
        let fresh = self.indexes.fresh(self.id)?;
        let rebuilt = rebuild(self.group, &self.log, &fresh, &keep.history, &mark);
        let kept_bytes = rebuilt.inspect_err(|_| self.discard(fresh.as_ref()))?;
        // What was frozen is of the life before.
        (keep.stage, keep.kept_bytes) = (Stage::Idle, kept_bytes);
        self.go_on(&keep, fresh, &mark)
    }

    /// Stands on another index, at a checkpoint.
    pub(super) fn go_on(
        &self,
        keep: &Keep,
        index: Arc<dyn super::index::Index>,
        mark: &Mark,
    ) -> Result<(), Fault> {
        debug_assert_eq!(keep.mark.as_ref(), Some(mark));
        let mut state = self.state.write();
        let old = state.layers.replace(index);
        state.layers.revive();
        state.applied = super::AppliedState {
            last: Some(mark.at),
            membership: mark.membership.clone(),
        };
        state.digest = mark.digest;
        state.references.clear();
        *self.checkpointed.lock() = Some(mark.at);
        if let Err(fault) = self.machine.loaded(&state.layers) {
            return Err(self.stop(&mut state, fault));
        }
        self.note_bytes(&state);
        drop(state);
        self.discard(old.as_ref());
        Ok(())
    }
}

/// Writes a base of rows that come in order.
pub(super) struct BaseWriter<'a> {
    replica: &'a Replica,
    writer: RunWriter,
    digests: Digests,
    written: Vec<Written>,
}

impl<'a> BaseWriter<'a> {
    pub fn new(replica: &'a Replica, at: LogId) -> Self {
        Self {
            replica,
            writer: RunWriter::new(replica.id, RunKind::Base, at),
            digests: Digests::default(),
            written: Vec::new(),
        }
    }

    /// The digest of the local rows so far.
    pub fn local(&self) -> Digest {
        self.digests.local()
    }

    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.digests.add(key, value);
        self.writer.push(key, Some(value));
        if self.writer.ready_bytes() >= self.replica.bounds.merge_step_bytes {
            let written = self.replica.append(self.writer.take(), Sync::Lazy)?;
            self.written.extend(written);
        }
        Ok(())
    }

    /// The base, durable, if these are the rows of which the mark speaks; and the bytes of the
    /// records whose places it tells, by segment.
    pub fn finish(mut self, mark: &Mark) -> Result<(Run, BTreeMap<u64, u64>), Fault> {
        self.digests.check(mark)?;
        let records = self.writer.finish(mark);
        let last = self.replica.append(records, Sync::Required)?;
        self.written.extend(last);
        let run = Run {
            at: mark.at,
            records: self.written.iter().map(RunRecord::from).collect(),
        };
        Ok((run, self.digests.kept_bytes))
    }
}

fn entry_id(record: &RecordAt) -> LogId {
    debug_assert_eq!(record.kind, Kind::Entry);
    LogId {
        term: record.term,
        index: record.index,
    }
}
