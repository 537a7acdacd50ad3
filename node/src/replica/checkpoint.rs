//! Checkpoints: what was applied becomes durable as rows, so that entries may go (R2).
//!
//! ```text
//!   idle --due--> frozen --entries written--> logged --rows durable--> index, thaw --> idle
//!                 at C                        run of rows in seglog
//! ```
//!
//! Each arrow is taken by [`Replica::step`], which never waits for the disk of the log: a caller
//! that goes over all replicas starts the checkpoints of all of them, and one sync completes them.
//! Freezing fixes C, so a busy group cannot keep its own checkpoint from catching up.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rows::{Digest, Fault};
use seglog::{Done, Place, Poisoned, Record, Sync, Written};

use super::bodies::{self, Entries};

use super::history::History;
use super::index::Change;
use super::keeper::Bell;
use super::limits::{LOG_QUEUED_BYTES_MAX, LOG_ROOM_LEFT, POLL_EVERY, UNREAD_STEPS};
use super::machine::LogId;
use super::merge::Merging;
use super::overlay::Overlay;
use super::places::Kept;
use super::run::{Mark, RecordAt, Run, RunKind, RunWriter};
use super::{Replica, panic_text, places};

/// Whether a replica shall begin a checkpoint.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// If anything was applied since the last one.
    Now,
    /// Only if half of the room in memory is used.
    IfFull,
}

/// How a step went.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// There is nothing to do.
    Idle,
    /// The log has to be waited for.
    Waiting,
    /// Something was done, and there is more.
    Working,
}

/// Where the checkpoints of a replica stand.
#[derive(Default)]
pub(crate) struct Keep {
    /// What the log holds of the rows.
    pub history: History,
    /// What the newest checkpoint says.
    pub mark: Option<Mark>,
    /// The base that is being written.
    pub merging: Option<Merging>,
    /// Bodies that were moved, and of which no checkpoint says so yet.
    pub moves: BTreeMap<LogId, Move>,
    /// Bytes of the records of bodies that the checkpoint keeps, by segment.
    pub kept_bytes: BTreeMap<u64, u64>,
    pub stage: Stage,
    /// Bytes put into the index since it was flushed.
    unflushed: usize,
}

/// A body lies elsewhere than the checkpoint says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// What the checkpoint says.
    pub from: Place,
    /// Where it is: a copy, or the body alone that came from another replica.
    pub to: bodies::Logged,
}

#[derive(Default)]
pub(crate) enum Stage {
    #[default]
    Idle,
    Frozen(Frozen),
    Logged(Logged),
}

/// What a checkpoint is made of.
pub(crate) struct Frozen {
    /// The digest of the places is still that of the checkpoint before.
    mark: Mark,
    rows: Arc<Overlay>,
    references: BTreeMap<LogId, i64>,
    /// The record of an entry could not be read, to see where its body lies: so many steps pass
    /// before it is tried again.
    pub unread: Option<u32>,
}

/// A checkpoint on its way into the log.
pub(crate) struct Logged {
    pub mark: Mark,
    rows: Arc<Overlay>,
    pub places: Vec<PlaceChange>,
    bytes: usize,
    ticket: Ticket,
}

/// A local row that a checkpoint changes.
pub(crate) struct PlaceChange {
    pub id: LogId,
    before: Option<Kept>,
    pub after: Option<Kept>,
}

impl Keep {
    /// What an open found.
    pub fn new(history: History, mark: Option<Mark>, kept_bytes: BTreeMap<u64, u64>) -> Self {
        Self {
            history,
            mark,
            kept_bytes,
            ..Self::default()
        }
    }

    /// Notes what a checkpoint changed in the places.
    fn note_places(&mut self, places: &[PlaceChange]) {
        for change in places {
            for (kept, gained) in [(change.before, false), (change.after, true)] {
                let Some(place) = kept.map(|kept| kept.logged.place) else {
                    continue;
                };
                let bytes = self.kept_bytes.entry(place.segment).or_default();
                *bytes = match gained {
                    true => *bytes + place.record_bytes(),
                    false => bytes.saturating_sub(place.record_bytes()),
                };
            }
            if let Some(moved) = self.moves.get_mut(&change.id) {
                match change.after {
                    // It was moved again meanwhile.
                    Some(kept) if kept.logged != moved.to => moved.from = kept.logged.place,
                    _ => drop(self.moves.remove(&change.id)),
                }
            }
        }
        self.kept_bytes.retain(|_, bytes| *bytes > 0);
    }

    /// A run is durable: from here on it is in the checkpoint, whatever becomes of the index.
    fn note_run(&mut self, mark: Mark, places: &[PlaceChange], written: &[Written]) {
        self.history.runs.push(Run {
            at: mark.at,
            records: written.iter().map(RecordAt::from).collect(),
        });
        self.mark = Some(mark);
        self.note_places(places);
    }

    /// Where a body lies of which the checkpoint says that it lies there.
    fn place_now(&self, id: LogId, logged: bodies::Logged) -> bodies::Logged {
        let moved = self
            .moves
            .get(&id)
            .filter(|moved| moved.from == logged.place);
        moved.map_or(logged, |moved| moved.to)
    }

    /// The digest of the places in the newest checkpoint.
    fn places(&self) -> Digest {
        self.mark.as_ref().map_or(Digest::EMPTY, |mark| mark.places)
    }
}

impl Replica {
    /// Goes on with a checkpoint or a merge, or begins one. Reads and writes index and log, but
    /// does not wait for the log to sync: [`Progress::Waiting`] says that there is something to
    /// wait for, and the replica's [`Bell`] rings when the log has written it.
    pub fn step(&self, due: Due) -> Progress {
        // A snapshot that is being installed holds it for long.
        let Some(mut keep) = self.keep.try_lock() else {
            return Progress::Waiting;
        };
        if self.fault().is_some() {
            return Progress::Idle;
        }
        let both = || {
            let checkpoint = self.step_checkpoint(&mut keep, due)?;
            Ok(checkpoint.max(self.step_merge(&mut keep)?))
        };
        // A panic must not take down the thread that serves all replicas.
        let both = catch_unwind(AssertUnwindSafe(both)).unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref());
            Err(Fault::invariant(format!("panic in a checkpoint: {text}")))
        });
        both.unwrap_or_else(|fault| {
            self.stop(&mut self.state.write(), fault);
            Progress::Idle
        })
    }

    fn step_checkpoint(&self, keep: &mut Keep, due: Due) -> Result<Progress, Fault> {
        match std::mem::take(&mut keep.stage) {
            Stage::Idle => match self.freeze(keep, due) {
                Some(frozen) => self.log_rows(keep, frozen),
                None => Ok(Progress::Idle),
            },
            Stage::Frozen(frozen) => self.log_rows(keep, frozen),
            Stage::Logged(logged) => match logged.ticket.take()? {
                Some(written) => self.put_rows(keep, logged, &written),
                None => {
                    keep.stage = Stage::Logged(logged);
                    Ok(Progress::Waiting)
                }
            },
        }
    }

    /// Sets aside what was applied, if a checkpoint is due.
    fn freeze(&self, keep: &Keep, due: Due) -> Option<Frozen> {
        let known = keep.mark.as_ref().map(|mark| mark.at);
        {
            let state = self.state.read();
            let full = self.wants_checkpoint(state.layers.overlay_bytes());
            let idle = state.applied.last == known;
            // A base that is being written would take what says where bodies went with it.
            let moved = !keep.moves.is_empty() && keep.merging.is_none();
            if (idle && !moved) || (due == Due::IfFull && !full) {
                return None;
            }
        }
        let mut state = self.state.write();
        let mark = Mark {
            at: state.applied.last?,
            membership: state.applied.membership.clone(),
            digest: state.digest,
            places: keep.places(),
        };
        let references = std::mem::take(&mut state.references);
        Some(Frozen {
            mark,
            rows: state.layers.freeze(),
            references,
            unread: None,
        })
    }

    /// Hands the frozen rows to the log, once the entries that made them are durable.
    fn log_rows(&self, keep: &mut Keep, mut frozen: Frozen) -> Result<Progress, Fault> {
        let at = frozen.mark.at;
        let entries = self.entries.read().clone();
        let entries = entries.filter(|entries| entries.written_upto() >= at.index);
        let Some(entries) = entries.filter(|_| !frozen.passes()) else {
            keep.stage = Stage::Frozen(frozen);
            return Ok(Progress::Waiting);
        };
        // Before it is worked out what there would be no room for, again and again.
        if !Ticket::is_let_in(&self.log, frozen.rows.content_bytes() as u64) {
            keep.stage = Stage::Frozen(frozen);
            return Ok(Progress::Waiting);
        }
        let mut mark = frozen.mark.clone();
        let placed = match self.place_changes(keep, &frozen, entries.as_ref())? {
            Ok(placed) => placed,
            Err(unread) => {
                self.wound(unread);
                frozen.unread = Some(UNREAD_STEPS);
                keep.stage = Stage::Frozen(frozen);
                return Ok(Progress::Waiting);
            }
        };
        for PlaceChange { id, before, after } in &placed {
            let key = places::key(*id);
            if let Some(kept) = before {
                mark.places.remove(&key, &places::value(kept));
            }
            if let Some(kept) = after {
                mark.places.add(&key, &places::value(kept));
            }
        }
        let mut writer = RunWriter::new(self.id, RunKind::Rows, at);
        for (key, value) in frozen.rows.rows() {
            writer.push(key, value.as_deref());
        }
        for (key, value) in placed.iter().map(PlaceChange::row) {
            writer.push(&key, value.as_deref());
        }
        let records = writer.finish(&mark);
        let bytes = records
            .iter()
            .flat_map(|record| &record.payload)
            .map(Bytes::len)
            .sum();
        let Some(ticket) = Ticket::append(&self.log, &self.bell, records, Sync::Required)? else {
            keep.stage = Stage::Frozen(frozen);
            return Ok(Progress::Waiting);
        };
        let Frozen { rows, .. } = frozen;
        keep.stage = Stage::Logged(Logged {
            mark,
            rows,
            places: placed,
            bytes,
            ticket,
        });
        Ok(Progress::Waiting)
    }

    /// What becomes of the local rows: references were made and dropped, bodies were moved. Answers
    /// the entry instead that cannot be read now.
    fn place_changes(
        &self,
        keep: &Keep,
        frozen: &Frozen,
        entries: &dyn Entries,
    ) -> Result<Result<Vec<PlaceChange>, LogId>, Fault> {
        let (references, homes) = (&frozen.references, self.homes(frozen)?);
        let index = Arc::clone(self.state.read().layers.index());
        let checkpointed = keep.mark.as_ref().map_or(0, |mark| mark.at.index);
        let changed = references.iter().filter(|(_, change)| **change != 0);
        let mut ids: Vec<LogId> = changed.map(|(id, _)| *id).collect();
        ids.extend(keep.moves.keys());
        // As their keys are ordered.
        ids.sort_unstable_by_key(|id| (id.index, id.term));
        ids.dedup();
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let gained = references.get(&id).copied().unwrap_or_default();
            let before = match id.index > checkpointed {
                true => None,
                false => places::find(index.as_ref(), id)?,
            };
            let logged = match before {
                Some(kept) => Some(keep.place_now(id, kept.logged)),
                None if gained > 0 => match entries.place(id.index, id.term) {
                    Err(Fault::Store(_)) => return Ok(Err(id)),
                    place => place?,
                },
                None => None,
            };
            if logged.is_none() && gained > 0 {
                if id.index > checkpointed {
                    let what = format!("entry {id} is durable, and its place is not known");
                    return Err(Fault::invariant(what));
                }
                tracing::warn!(group = self.group.0, %id, "a body is not on this node");
            }
            let count = before.map_or(0, |kept| i64::from(kept.references)) + gained;
            let home = homes.get(&id).copied();
            let home = home.or_else(|| before.and_then(|kept| kept.home));
            let after = logged
                .zip(u32::try_from(count).ok().filter(|count| *count > 0))
                .map(|(logged, references)| Kept {
                    logged,
                    references,
                    home,
                });
            if before != after {
                changes.push(PlaceChange { id, before, after });
            }
        }
        Ok(Ok(changes))
    }

    /// To what the bodies belong to which more rows refer than did before.
    fn homes(&self, frozen: &Frozen) -> Result<BTreeMap<LogId, u128>, Fault> {
        let gained = |id: &LogId| frozen.references.get(id).is_some_and(|change| *change > 0);
        let mut homes = BTreeMap::new();
        if !frozen.references.keys().any(gained) {
            return Ok(homes);
        }
        let rows = frozen.rows.rows().iter();
        let put = rows.filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        for row in self.referring(put.map(Ok)) {
            let (_, referred) = row?;
            if let Some(home) = referred.home.filter(|_| gained(&referred.id)) {
                homes.insert(referred.id, home);
            }
        }
        Ok(homes)
    }

    /// The rows are durable: from here on they are in the checkpoint. Puts them into the index.
    fn put_rows(
        &self,
        keep: &mut Keep,
        logged: Logged,
        written: &[Written],
    ) -> Result<Progress, Fault> {
        let Logged {
            mark,
            rows,
            places,
            bytes,
            ..
        } = logged;
        let at = mark.at;
        keep.note_run(mark, &places, written);
        let index = Arc::clone(self.state.read().layers.index());
        let local = places.iter().map(PlaceChange::row);
        let changed = rows
            .rows()
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        index.put_sorted(&mut changed.chain(local).map(Ok::<Change, Fault>))?;
        index.set_applied(at)?;
        keep.moves.retain(|id, moved| {
            let kept = places::find(index.as_ref(), *id).ok().flatten();
            kept.is_some_and(|kept| kept.logged.place == moved.from)
        });
        keep.unflushed += bytes;
        if keep.unflushed > self.bounds.index_flush_bytes {
            self.flush_index(keep)?;
        }
        *self.checkpointed.lock() = Some(at);
        let mut state = self.state.write();
        state.layers.thaw();
        self.note_bytes(&state);
        metrics::counter!("rookery_checkpoints_total").increment(1);
        Ok(Progress::Working)
    }

    /// Takes up what was on its way into the log, before the way there is given up: a run that was
    /// appended is the newest checkpoint, and a base of which all was appended holds, whether or
    /// not the index says so. Waits for the log.
    pub(super) fn take_up(&self, keep: &mut Keep) -> Result<(), Fault> {
        match std::mem::take(&mut keep.stage) {
            Stage::Logged(logged) => {
                let written = self.wait_for(&logged.ticket)?;
                keep.note_run(logged.mark, &logged.places, &written);
            }
            stage => keep.stage = stage,
        }
        self.end_merge(keep)
    }

    /// Waits until the log has written what was appended.
    pub(super) fn wait_for(&self, ticket: &Ticket) -> Result<Vec<Written>, Fault> {
        loop {
            match ticket.take()? {
                Some(written) => return Ok(written),
                None => self.bell.wait(POLL_EVERY),
            }
        }
    }

    /// Flushes the index, so that a crash takes nothing from it that is in the log only.
    pub(crate) fn flush_index(&self, keep: &mut Keep) -> Result<(), Fault> {
        let index = Arc::clone(self.state.read().layers.index());
        keep.unflushed = 0;
        index.flush()
    }
}

impl Frozen {
    /// Whether a step passes without a try.
    fn passes(&mut self) -> bool {
        let left = self.unread.as_mut().filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

impl PlaceChange {
    fn row(&self) -> Change {
        let value = self.after.as_ref().map(places::value);
        (places::key(self.id), value)
    }
}

type Outcome = Result<Vec<Written>, Poisoned>;

/// An append to the log that somebody comes back for.
pub(crate) struct Ticket(Arc<Mutex<Option<Outcome>>>);

/// Whether so many bytes fit into the log behind what is queued, and leave what others need.
pub(super) fn has_room(log: &seglog::Log, bytes: u64) -> bool {
    let queued = log.stats().queued_bytes;
    let needed = queued.saturating_add(bytes).saturating_add(LOG_ROOM_LEFT);
    log.room().map_or(true, |room| room.bytes() >= needed)
}

pub(super) fn payload_bytes(records: &[Record]) -> u64 {
    let parts = records.iter().flat_map(|record| &record.payload);
    parts.map(|part| part.len() as u64).sum()
}

impl Ticket {
    /// Appends records; `None` if they have to wait: the room in the log's queue is for entries in
    /// the first place, and on a full disk nothing may stand in the queue before what wins room.
    /// The bell rings when it is done.
    pub fn append(
        log: &seglog::Log,
        bell: &Arc<Bell>,
        records: Vec<Record>,
        sync: Sync,
    ) -> Result<Option<Self>, Fault> {
        if !Self::is_let_in(log, payload_bytes(&records)) {
            return Ok(None);
        }
        Self::of(bell, |done| log.append(records, sync, done))
    }

    /// Whether records of so many bytes would not have to wait now.
    pub fn is_let_in(log: &seglog::Log, bytes: u64) -> bool {
        log.stats().queued_bytes <= LOG_QUEUED_BYTES_MAX && has_room(log, bytes)
    }

    /// The same for any way of appending.
    pub fn of(
        bell: &Arc<Bell>,
        append: impl FnOnce(Done) -> Result<(), seglog::Error>,
    ) -> Result<Option<Self>, Fault> {
        let slot = Arc::new(Mutex::new(None));
        let (filled, bell) = (Arc::clone(&slot), Arc::clone(bell));
        let done = move |outcome| {
            *filled.lock() = Some(outcome);
            bell.ring();
        };
        match append(Box::new(done)) {
            Ok(()) => Ok(Some(Self(slot))),
            Err(seglog::Error::Overloaded { .. }) => Ok(None),
            Err(error) => Err(Fault::Store(error.to_string())),
        }
    }

    /// Where the records went, once the log has written them.
    pub fn take(&self) -> Result<Option<Vec<Written>>, Fault> {
        let outcome = self.0.lock().take().transpose();
        outcome.map_err(|poisoned| Fault::Store(poisoned.to_string()))
    }
}
