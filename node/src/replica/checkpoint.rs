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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rows::{Digest, Fault};
use seglog::{Poisoned, Record, Sync, Written};

use super::history::History;
use super::index::Change;
use super::keeper::Bell;
use super::limits::LOG_QUEUED_BYTES_MAX;
use super::machine::LogId;
use super::merge::Merging;
use super::overlay::Overlay;
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
    stage: Stage,
    /// Bytes put into the index since it was flushed.
    unflushed: usize,
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Frozen(Frozen),
    Logged(Logged),
}

/// What a checkpoint is made of.
struct Frozen {
    /// The digest of the places is still that of the checkpoint before.
    mark: Mark,
    rows: Arc<Overlay>,
    /// Entries with a body.
    bodies: Vec<LogId>,
}

/// A checkpoint on its way into the log.
struct Logged {
    mark: Mark,
    rows: Arc<Overlay>,
    places: Vec<(Bytes, Bytes)>,
    bytes: usize,
    ticket: Ticket,
}

impl Keep {
    /// What an open found.
    pub fn new(history: History, mark: Option<Mark>) -> Self {
        Self {
            history,
            mark,
            ..Self::default()
        }
    }

    /// Forgets whatever is under way, for rows that come from elsewhere. Answers the places that
    /// are not in the index yet, and entries whose places are not known yet.
    pub fn abandon(&mut self) -> (Vec<(Bytes, Bytes)>, Vec<LogId>) {
        self.merging = None;
        match std::mem::take(&mut self.stage) {
            Stage::Idle => (Vec::new(), Vec::new()),
            Stage::Frozen(frozen) => (Vec::new(), frozen.bodies),
            Stage::Logged(logged) => (logged.places, Vec::new()),
        }
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
            let full = state.layers.overlay_bytes() > self.bounds.overlay_bytes_max / 2;
            if state.applied.last == known || (due == Due::IfFull && !full) {
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
        let bodies = std::mem::take(&mut state.bodies);
        Some(Frozen {
            mark,
            rows: state.layers.freeze(),
            bodies,
        })
    }

    /// Hands the frozen rows to the log, once the entries that made them are durable.
    fn log_rows(&self, keep: &mut Keep, frozen: Frozen) -> Result<Progress, Fault> {
        let at = frozen.mark.at;
        let entries = self.entries.read().clone();
        let Some(entries) = entries.filter(|entries| entries.written_upto() >= at.index) else {
            keep.stage = Stage::Frozen(frozen);
            return Ok(Progress::Waiting);
        };
        let mut mark = frozen.mark.clone();
        let mut placed = Vec::with_capacity(frozen.bodies.len());
        for id in &frozen.bodies {
            let logged = entries.place(id.index, id.term).ok_or_else(|| {
                Fault::invariant(format!("entry {id} is durable, and its place is not known"))
            })?;
            let (key, value) = (places::key(*id), places::value(&logged));
            mark.places.add(&key, &value);
            placed.push((key, value));
        }
        let mut writer = RunWriter::new(self.id, RunKind::Rows, at);
        for (key, value) in frozen.rows.rows() {
            writer.push(key, value.as_deref());
        }
        for (key, value) in &placed {
            writer.push(key, Some(value));
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
        keep.history.runs.push(Run {
            at,
            records: written.iter().map(RecordAt::from).collect(),
        });
        keep.mark = Some(mark);
        let index = Arc::clone(self.state.read().layers.index());
        let local = places.into_iter().map(|(key, value)| (key, Some(value)));
        let changed = rows
            .rows()
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        index.put_sorted(&mut changed.chain(local).map(Ok::<Change, Fault>))?;
        index.set_applied(at)?;
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

    /// Flushes the index, so that a crash takes nothing from it that is in the log only.
    pub(crate) fn flush_index(&self, keep: &mut Keep) -> Result<(), Fault> {
        let index = Arc::clone(self.state.read().layers.index());
        keep.unflushed = 0;
        index.flush()
    }
}

type Outcome = Result<Vec<Written>, Poisoned>;

/// An append to the log that somebody comes back for.
pub(crate) struct Ticket(Arc<Mutex<Option<Outcome>>>);

impl Ticket {
    /// Appends records; `None` if they have to wait, since the room in the log's queue is for
    /// entries in the first place. The bell rings when it is done.
    pub fn append(
        log: &seglog::Log,
        bell: &Arc<Bell>,
        records: Vec<Record>,
        sync: Sync,
    ) -> Result<Option<Self>, Fault> {
        if log.stats().queued_bytes > LOG_QUEUED_BYTES_MAX {
            return Ok(None);
        }
        let slot = Arc::new(Mutex::new(None));
        let (filled, bell) = (Arc::clone(&slot), Arc::clone(bell));
        let done = move |outcome| {
            *filled.lock() = Some(outcome);
            bell.ring();
        };
        match log.append(records, sync, Box::new(done)) {
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
