//! All rows of a replica on their way to another one.
//!
//! A snapshot is a checkpoint: the rows of the machine at C, read from base and runs in the log
//! while they are sent. Nothing of it is made in advance and checkpoints go on beside it. It
//! travels in the chunks of [`rows::snapshot`], each of which is verified where it arrives.
//!
//! Installed, the rows become a base in the log of the receiver. The last record of that base is
//! the switch: before it is durable the old rows hold, after it the new ones, whatever happens to
//! the index ([`super::arrival`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use rows::Fault;
use rows::snapshot::{Cursor, Reader};
use seglog::{Record, Sync, Written};

use super::Replica;
use super::arrival::{Arrival, Arrived, damaged};
use super::bodies::Entries;
use super::checkpoint::{Due, Keep, Progress, Ticket, has_room, payload_bytes};
use super::history::{History, Sequence};
use super::index::Index;
use super::limits::POLL_EVERY;
use super::machine::{LogId, Membership};

/// The rows of a replica at a log id.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The last entry applied; `None` if none was.
    pub last: Option<LogId>,
    /// The members after it.
    pub membership: Option<Membership>,
    /// The rows.
    pub chunks: Chunks,
}

/// The rows of a snapshot, in chunks of about 256 KiB as [`rows::snapshot`] makes them. Cheap to
/// clone.
#[derive(Clone)]
pub struct Chunks {
    source: Source,
    /// Set by who sends them, once a receiver has refused to go on; all clones know.
    refused: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Source {
    Held(Arc<Vec<Bytes>>),
    Arrived(Arc<Mutex<Option<Arrival>>>),
    Logged {
        log: seglog::Log,
        history: Arc<History>,
    },
}

impl Chunks {
    /// The chunks in order, each made when it is asked for. Equal snapshots of equal replicas have
    /// equal chunks, so a transfer that broke goes on where its receiver says. Blocks on the disk.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Result<Bytes, Fault>> + Send> {
        self.iter_from(Cursor::default())
    }

    /// The chunks from where a receiver says that they go on. Of chunks that have arrived here,
    /// there are none.
    pub fn iter_from(
        &self,
        cursor: Cursor,
    ) -> Box<dyn Iterator<Item = Result<Bytes, Fault>> + Send> {
        match &self.source {
            Source::Arrived(_) => Box::new(std::iter::empty()),
            Source::Held(chunks) => {
                let chunks = Arc::clone(chunks);
                let first = cursor.chunk as usize;
                Box::new((first..chunks.len()).map(move |number| Ok(chunks[number].clone())))
            }
            Source::Logged { log, history } => {
                let rows = Sequence::new(log.clone(), Arc::clone(history));
                Box::new(Sending {
                    rows,
                    sent: Reader::at(cursor),
                })
            }
        }
    }
}

impl Chunks {
    fn new(source: Source) -> Self {
        let refused = Arc::default();
        Self { source, refused }
    }

    /// The history that they are read from, if it is one of this node's.
    pub(super) fn history(&self) -> Option<&Arc<History>> {
        match &self.source {
            Source::Logged { history, .. } => Some(history),
            Source::Held(_) | Source::Arrived(_) => None,
        }
    }

    /// Whether somebody else is reading them.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        match &self.source {
            Source::Held(chunks) => Arc::strong_count(chunks) > 1,
            Source::Arrived(arrival) => Arc::strong_count(arrival) > 1,
            Source::Logged { history, .. } => Arc::strong_count(history) > 1,
        }
    }

    /// A receiver does not go on with them: a body that their rows refer to may be nowhere any
    /// more, and then it never will.
    pub fn refuse(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Whether a receiver has refused to go on with them.
    #[must_use]
    pub fn are_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }
}

/// Rows that have arrived, and the bodies that they refer to.
impl From<Arrival> for Chunks {
    fn from(arrival: Arrival) -> Self {
        Self::new(Source::Arrived(Arc::new(Mutex::new(Some(arrival)))))
    }
}

/// Chunks that are held in memory.
impl From<Vec<Bytes>> for Chunks {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self::new(Source::Held(Arc::new(chunks)))
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Held(chunks) => write!(f, "{} chunks", chunks.len()),
            Source::Arrived(_) => f.write_str("chunks that have arrived"),
            Source::Logged { history, .. } => {
                write!(
                    f,
                    "chunks of {} bytes",
                    history.base_bytes() + history.runs_bytes()
                )
            }
        }
    }
}

/// Makes chunks from the log, and reads each as its receiver will: the two cannot disagree.
struct Sending {
    rows: Sequence,
    sent: Reader,
}

impl Iterator for Sending {
    type Item = Result<Bytes, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.sent.is_done() {
            return None;
        }
        let chunk = rows::snapshot::write(&self.rows, self.sent.cursor().clone()).next()?;
        Some(chunk.and_then(|chunk| {
            self.sent.push(&chunk).map_err(damaged)?;
            Ok(chunk)
        }))
    }
}

impl Replica {
    /// A checkpoint as a snapshot: of what is applied now, or a little later. Blocks on the disk.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.checkpoint_from(self.applied().last)?;
        self.last_checkpoint()
    }

    /// The last checkpoint as a snapshot; makes one if there is none yet. Blocks on the disk.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica.
    pub fn last_checkpoint(&self) -> Result<Snapshot, Fault> {
        if self.checkpointed().is_none() {
            self.checkpoint_from(self.applied().last)?;
        }
        let keep = self.keep.lock();
        self.state.read().layers.check()?;
        let mark = keep.mark.as_ref();
        let history = Arc::new(keep.history.clone());
        let mut pinned = self.pinned.lock();
        pinned.retain(|history| history.strong_count() > 0);
        pinned.push(Arc::downgrade(&history));
        let source = Source::Logged {
            log: self.log.clone(),
            history,
        };
        Ok(Snapshot {
            last: mark.map(|mark| mark.at),
            membership: mark.and_then(|mark| mark.membership.clone()),
            chunks: Chunks::new(source),
        })
    }

    /// Returns once there is a checkpoint of `wanted` or later.
    fn checkpoint_from(&self, wanted: Option<LogId>) -> Result<(), Fault> {
        while self.checkpointed() < wanted {
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            if self.step(Due::Now) == Progress::Waiting {
                self.bell.wait(POLL_EVERY);
            }
        }
        Ok(())
    }

    /// Takes the rows of a snapshot in place of its own; does nothing if it has applied as much
    /// already. No entry may be applied meanwhile. Blocks on the disk.
    ///
    /// # Errors
    /// [`Fault::Store`] if the chunks are not whole, and [`Fault::NoRoom`]: then nothing has
    /// changed. The [`Fault`] that stopped the replica, now or before (R3).
    pub fn install(self: &Arc<Self>, snapshot: Snapshot) -> Result<(), Fault> {
        let applied = {
            let state = self.state.read();
            state.layers.check()?;
            state.applied.last
        };
        let newer = |at: LogId| applied.is_none_or(|own| own.index < at.index);
        match snapshot.last.filter(|at| newer(*at)) {
            Some(at) => self.take_over(at, snapshot),
            None => Ok(()),
        }
    }

    /// Takes the rows of a snapshot in place of its own, which are lost: the replica has stopped,
    /// and goes on with these. They must not be older than what it knew and Raft has purged.
    ///
    /// # Errors
    /// As [`Replica::install`].
    pub fn install_anew(self: &Arc<Self>, snapshot: Snapshot) -> Result<(), Fault> {
        let at = snapshot.last;
        let at = at.ok_or_else(|| Fault::Store("a snapshot of nothing".to_owned()))?;
        self.take_over(at, snapshot)
    }

    fn take_over(self: &Arc<Self>, at: LogId, snapshot: Snapshot) -> Result<(), Fault> {
        let mut keep = self.keep.lock();
        let applied = self.applied().last;
        let arrival = self.arrived(at, snapshot)?;
        // What is under way is below the snapshot, unless the replica has lost what it had applied.
        // A merge is given up: another base that is begun in its midst would cut it in two.
        match self.fault() {
            Some(_) => self.known_below(&mut keep, at)?,
            None => self.end_merge(&mut keep)?,
        }
        // Unless there is no room for it, from here on there is no way back to it.
        let Arrived {
            run,
            mark,
            index: fresh,
            kept_bytes,
        } = arrival
            .finish()
            .map_err(|fault| self.stop_unless_full(fault))?;
        let history = History {
            base: Some(run),
            runs: Vec::new(),
        };
        *keep = Keep::new(history, Some(mark.clone()), kept_bytes);
        // The base holds from here on; without its index the replica cannot go on.
        let ready = fresh.set_applied(at).and_then(|()| fresh.flush());
        let ready = ready.and_then(|()| match self.applied().last == applied {
            true => Ok(()),
            false => Err(Fault::invariant(
                "an entry was applied while a snapshot was installed",
            )),
        });
        if let Err(fault) = ready {
            *self.checkpointed.lock() = Some(at);
            return Err(self.stop(&mut self.state.write(), fault));
        }
        self.wounds.lock().rows = false;
        self.go_on(&keep, fresh, &mark)
    }

    /// Fails if the log holds a checkpoint above `at`: it would be taken for one that came later.
    fn known_below(&self, keep: &mut Keep, at: LogId) -> Result<(), Fault> {
        self.take_up(keep)?;
        match keep.history.newest() {
            Some(known) if known.at.index > at.index => Err(Fault::Store(format!(
                "a snapshot at {at} is older than checkpoint {}",
                known.at
            ))),
            _ => Ok(()),
        }
    }

    /// The rows of a snapshot, all of them.
    fn arrived(self: &Arc<Self>, at: LogId, snapshot: Snapshot) -> Result<Arrival, Fault> {
        if let Source::Arrived(slot) = &snapshot.chunks.source {
            let arrival = slot.lock().take().filter(|arrival| arrival.at() == at);
            return arrival.ok_or_else(|| Fault::Store("installed twice".to_owned()));
        }
        let mut arrival = Arrival::begin(self, at, snapshot.membership)?;
        for chunk in snapshot.chunks.iter() {
            arrival.push(&chunk?)?;
        }
        arrival.digest().map(|_| arrival)
    }

    /// Where bodies are found on this node: its index, and Raft's log.
    pub(super) fn holds(&self) -> (Arc<dyn Index>, Option<Arc<dyn Entries>>) {
        let index = Arc::clone(self.state.read().layers.index());
        (index, self.entries.read().clone())
    }

    /// Appends records and waits until they are written.
    ///
    /// # Errors
    /// [`Fault::NoRoom`] as [`Replica::appended`]; [`Fault::Store`] when the log has stopped.
    pub(super) fn append(&self, records: Vec<Record>, sync: Sync) -> Result<Vec<Written>, Fault> {
        let append = || Ticket::append(&self.log, &self.bell, records.clone(), sync);
        self.appended(payload_bytes(&records), append)
    }

    /// Appends so many bytes as soon as the log's queue takes them, and waits until they are
    /// written. Room on the disk is not waited for: only the cleaner wins some, and who appends
    /// this way holds it up, with a lock or with what is on its way in.
    ///
    /// # Errors
    /// [`Fault::NoRoom`] if there is none; [`Fault::Store`] when the log has stopped.
    pub(super) fn appended(
        &self,
        bytes: u64,
        append: impl Fn() -> Result<Option<Ticket>, Fault>,
    ) -> Result<Vec<Written>, Fault> {
        let ticket = loop {
            match append()? {
                Some(ticket) => break ticket,
                None if !has_room(&self.log, bytes) => return Err(Fault::NoRoom),
                None => self.bell.wait(POLL_EVERY),
            }
        };
        loop {
            match ticket.take()? {
                Some(written) => return Ok(written),
                None => self.bell.wait(POLL_EVERY),
            }
        }
    }

    /// Stops with a fault, unless it is one that passes.
    pub(super) fn stop_unless_full(&self, fault: Fault) -> Fault {
        match fault {
            Fault::NoRoom => fault,
            fault => self.stop(&mut self.state.write(), fault),
        }
    }

    pub(super) fn discard(&self, index: &dyn Index) {
        if let Err(fault) = self.indexes.discard(index) {
            tracing::warn!(group = self.group.0, index = index.name(), %fault, "index not freed");
        }
    }
}
