//! All rows of a replica on their way to another one.
//!
//! A snapshot is a checkpoint: the rows of the machine at C, read from base and runs in the log
//! while they are sent. Nothing of it is made in advance and checkpoints go on beside it. It
//! travels in the chunks of [`rows::snapshot`], each of which is verified where it arrives.
//!
//! Installed, the rows become a base in the log of the receiver, written in one pass together with
//! a fresh index. The last record of that base is the switch: before it is durable the old rows
//! hold, after it the new ones, whatever happens to the index. The places of bodies that this node
//! has are kept; bodies that it lacks are read from another replica.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rows::snapshot::{Reader, SnapshotError};
use rows::{Digest, Fault, Row};
use seglog::{Record, Sync, Written};

use super::checkpoint::{Due, Progress, Ticket};
use super::history::{History, Sequence, puts};
use super::index::Index;
use super::limits::POLL_EVERY;
use super::machine::{LogId, Membership};
use super::places::{self, LOCAL_FROM, LOCAL_TO};
use super::run::{Mark, RecordAt, Run, RunKind, RunWriter};
use super::{AppliedState, Replica};

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
pub struct Chunks(Source);

#[derive(Clone)]
enum Source {
    Held(Arc<Vec<Bytes>>),
    Logged {
        log: seglog::Log,
        history: Arc<History>,
    },
}

impl Chunks {
    /// The chunks in order, each made when it is asked for. Equal snapshots of equal replicas have
    /// equal chunks, so a transfer that broke can be resumed by passing over those that arrived.
    /// Blocks on the disk.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Result<Bytes, Fault>> + Send> {
        match &self.0 {
            Source::Held(chunks) => {
                let chunks = Arc::clone(chunks);
                Box::new((0..chunks.len()).map(move |number| Ok(chunks[number].clone())))
            }
            Source::Logged { log, history } => {
                let rows = Sequence::new(log.clone(), History::clone(history));
                Box::new(Sending {
                    rows,
                    sent: rows::snapshot::read(),
                })
            }
        }
    }
}

/// Chunks that have arrived.
impl From<Vec<Bytes>> for Chunks {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self(Source::Held(Arc::new(chunks)))
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Held(chunks) => write!(f, "{} chunks", chunks.len()),
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

fn damaged(error: SnapshotError) -> Fault {
    Fault::Store(error.to_string())
}

impl Replica {
    /// A checkpoint as a snapshot: of what is applied now, or a little later. Makes it if there is
    /// none yet. Blocks on the disk.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        let wanted = self.applied().last;
        while self.checkpointed() < wanted {
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            if self.step(Due::Now) == Progress::Waiting {
                self.bell.wait(POLL_EVERY);
            }
        }
        let keep = self.keep.lock();
        self.state.read().layers.check()?;
        let mark = keep.mark.as_ref();
        let source = Source::Logged {
            log: self.log.clone(),
            history: Arc::new(keep.history.clone()),
        };
        Ok(Snapshot {
            last: mark.map(|mark| mark.at),
            membership: mark.and_then(|mark| mark.membership.clone()),
            chunks: Chunks(source),
        })
    }

    /// Takes the rows of a snapshot in place of its own; does nothing if it has applied as much
    /// already. No entry may be applied meanwhile. Blocks on the disk.
    ///
    /// # Errors
    /// [`Fault::Store`] if the chunks are not whole: then nothing has changed. The [`Fault`] that
    /// stopped the replica, now or before (R3).
    pub fn install(&self, snapshot: Snapshot) -> Result<(), Fault> {
        let mut keep = self.keep.lock();
        let applied = {
            let state = self.state.read();
            state.layers.check()?;
            state.applied.last
        };
        let Some(at) = snapshot
            .last
            .filter(|at| applied.is_none_or(|own| own.index < at.index))
        else {
            return Ok(());
        };
        let fresh = self.indexes.fresh(self.id)?;
        let mut base = Incoming {
            replica: self,
            writer: self.base_writer(at),
            written: Vec::new(),
        };
        let digest = match base.receive(&snapshot.chunks, fresh.as_ref()) {
            Ok(digest) => digest,
            Err(fault) => {
                self.discard(fresh.as_ref());
                return Err(fault);
            }
        };
        // What is under way is below the snapshot, and from here on there is no way back to it.
        let (unput, unknown) = keep.abandon();
        let membership = snapshot.membership;
        let mark = Mark {
            at,
            membership,
            digest,
            places: Digest::EMPTY,
        };
        let (run, mark) = base
            .finish(fresh.as_ref(), unput, unknown, mark)
            .map_err(|fault| self.stop(&mut self.state.write(), fault))?;
        keep.history = History {
            base: Some(run),
            runs: Vec::new(),
        };
        keep.mark = Some(mark.clone());
        *self.checkpointed.lock() = Some(at);
        // The base holds from here on; without its index the replica cannot go on.
        let ready = fresh.set_applied(at).and_then(|()| fresh.flush());
        let mut state = self.state.write();
        let alone = || match state.applied.last == applied {
            true => Ok(()),
            false => Err(Fault::invariant(
                "an entry was applied while a snapshot was installed",
            )),
        };
        if let Err(fault) = ready.and_then(|()| alone()) {
            return Err(self.stop(&mut state, fault));
        }
        let old = state.layers.replace(fresh);
        state.applied = AppliedState {
            last: Some(at),
            membership: mark.membership,
        };
        state.digest = mark.digest;
        state.bodies.clear();
        if let Err(fault) = self.machine.loaded(&state.layers) {
            return Err(self.stop(&mut state, fault));
        }
        self.note_bytes(&state);
        drop(state);
        self.discard(old.as_ref());
        Ok(())
    }

    fn base_writer(&self, at: LogId) -> RunWriter {
        RunWriter::new(self.id, RunKind::Base, at)
    }

    /// The places of entries that no checkpoint covers yet: these, and those applied since. One
    /// that is not written yet is left out, and read from elsewhere later.
    fn places_of(&self, mut unknown: Vec<LogId>) -> Vec<Row> {
        unknown.extend(&self.state.read().bodies);
        let Some(entries) = self.entries.read().clone() else {
            return Vec::new();
        };
        let place = |id: LogId| {
            let logged = entries.place(id.index, id.term)?;
            Some((places::key(id), places::value(&logged)))
        };
        unknown.into_iter().filter_map(place).collect()
    }

    /// Appends records and waits until they are written.
    fn append(&self, records: Vec<Record>, sync: Sync) -> Result<Vec<Written>, Fault> {
        let ticket = loop {
            match Ticket::append(&self.log, &self.bell, records.clone(), sync)? {
                Some(ticket) => break ticket,
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

    fn discard(&self, index: &dyn Index) {
        if let Err(fault) = self.indexes.discard(index) {
            tracing::warn!(group = self.group.0, index = index.name(), %fault, "index not freed");
        }
    }
}

/// The base that a snapshot becomes, while it arrives.
struct Incoming<'a> {
    replica: &'a Replica,
    writer: RunWriter,
    written: Vec<Written>,
}

impl Incoming<'_> {
    /// Takes the rows in, and puts them into an index; answers their digest. Without its end the
    /// base does not exist.
    fn receive(&mut self, chunks: &Chunks, index: &dyn Index) -> Result<Digest, Fault> {
        let mut reader = rows::snapshot::read();
        for chunk in chunks.iter() {
            let rows = reader.push(&chunk?).map_err(damaged)?;
            for (key, value) in &rows {
                self.writer.push(key, Some(value));
            }
            index.put_sorted(&mut puts(rows.into_iter().map(Ok)))?;
            self.write_full()?;
        }
        reader.finish().map_err(damaged)
    }

    /// Adds the places of the bodies that this node has, and ends the base. When this returns it is
    /// durable.
    fn finish(
        mut self,
        index: &dyn Index,
        unput: Vec<Row>,
        unknown: Vec<LogId>,
        mut mark: Mark,
    ) -> Result<(Run, Mark), Fault> {
        let old = Arc::clone(self.replica.state.read().layers.index());
        let recent = unput
            .into_iter()
            .chain(self.replica.places_of(unknown))
            .map(Ok);
        for row in old.scan(LOCAL_FROM, LOCAL_TO)?.chain(recent) {
            let (key, value) = row?;
            self.writer.push(&key, Some(&value));
            mark.places.add(&key, &value);
            index.put_sorted(&mut std::iter::once(Ok((key, Some(value)))))?;
            self.write_full()?;
        }
        let records = self.writer.finish(&mark);
        self.written
            .extend(self.replica.append(records, Sync::Required)?);
        let records = self.written.iter().map(RecordAt::from).collect();
        Ok((
            Run {
                at: mark.at,
                records,
            },
            mark,
        ))
    }

    fn write_full(&mut self) -> Result<(), Fault> {
        if self.writer.ready_bytes() >= self.replica.bounds.merge_step_bytes {
            let records = self.writer.take();
            self.written
                .extend(self.replica.append(records, Sync::Lazy)?);
        }
        Ok(())
    }
}
