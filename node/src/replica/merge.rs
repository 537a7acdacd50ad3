//! Bases: all rows of a replica as one sorted run, so that the runs before it are needed no more.
//!
//! A base is merged from the base before it and the runs since, all read from the log; never from
//! the index, which is not to be trusted. It is written in steps of a few MiB while checkpoints go
//! on: those land above the log id of the base and stay. Until its last record is durable the base
//! does not exist; the digests counted over its rows are those of the checkpoint, or it is not
//! finished.
//!
//! A base takes the place of all runs up to its log id, so none of these may be on its way while it
//! is begun, nor be begun before it is whole: one that tells of nothing but where bodies went has
//! the log id of the run before it.

use std::collections::BTreeMap;

use rows::{Digest, Fault};
use seglog::{Record, Sync};

use super::Replica;
use super::checkpoint::{Keep, Progress, Stage, Ticket};
use super::history::{History, Merged};
use super::limits::RUNS_MAX;
use super::machine::LogId;
use super::places::{self, LOCAL_FROM};
use super::run::{Mark, RecordAt, Run, RunKind, RunWriter};

/// A base that is being written.
pub(crate) struct Merging {
    mark: Mark,
    rows: Merged,
    /// Taken when the last row was.
    writer: Option<RunWriter>,
    digests: Digests,
    written: Vec<RecordAt>,
    /// Records that the log had no room for.
    refused: Vec<Record>,
    ticket: Option<Ticket>,
}

/// The digests of rows on their way into a base.
#[derive(Default)]
pub(crate) struct Digests {
    machine: Digest,
    local: Digest,
    /// Bytes of the records whose places are told, by segment.
    pub kept_bytes: BTreeMap<u64, u64>,
}

impl Digests {
    /// Takes a row in.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        if key >= LOCAL_FROM {
            self.local.add(key, value);
            if let Ok(kept) = places::parse(key, value) {
                let place = kept.logged.place;
                *self.kept_bytes.entry(place.segment).or_default() += place.record_bytes();
            }
        } else if key != rows::DIGEST_KEY {
            self.machine.add(key, value);
        }
    }

    /// The digest of the local rows.
    pub fn local(&self) -> Digest {
        self.local
    }

    /// Whether these are the rows that the checkpoint speaks of (M1).
    pub fn check(&self, mark: &Mark) -> Result<(), Fault> {
        if self.machine == mark.digest && self.local == mark.places {
            return Ok(());
        }
        Err(Fault::Store(format!(
            "the rows of checkpoint {} have digest {}, and its mark says {}",
            mark.at, self.machine, mark.digest
        )))
    }
}

/// Whether the runs have outgrown half of the base.
fn is_due(history: &History, bytes_min: u64) -> bool {
    let bytes_max = (history.base_bytes() / 2).max(bytes_min);
    history.runs.len() > RUNS_MAX || history.runs_bytes() > bytes_max
}

impl Replica {
    /// Goes on with a merge, or begins one if it is due. One that meets damage is given up.
    pub(crate) fn step_merge(&self, keep: &mut Keep) -> Result<Progress, Fault> {
        match self.try_merge(keep) {
            Err(Fault::Store(why)) if !self.log.is_poisoned() => {
                tracing::error!(group = self.group.0, why, "the rows in the log are damaged");
                keep.merging = None;
                self.wounds.lock().rows = true;
                Ok(Progress::Idle)
            }
            merged => merged,
        }
    }

    fn try_merge(&self, keep: &mut Keep) -> Result<Progress, Fault> {
        let mut merging = match keep.merging.take() {
            Some(merging) => merging,
            // What it would read is damaged: it waits until that is mended.
            None if self.wounds.lock().rows => return Ok(Progress::Idle),
            None if !matches!(keep.stage, Stage::Idle) => return Ok(Progress::Idle),
            None if self.may_merge(&keep.history) => self.begin_merge(keep)?,
            None => return Ok(Progress::Idle),
        };
        if let Some(ticket) = &merging.ticket {
            let Some(written) = ticket.take()? else {
                keep.merging = Some(merging);
                return Ok(Progress::Waiting);
            };
            merging.written.extend(written.iter().map(RecordAt::from));
            merging.ticket = None;
            if merging.writer.is_none() {
                keep.history.rebase(merging.base());
                metrics::counter!("rookery_base_merges_total").increment(1);
                return Ok(Progress::Working);
            }
        }
        if merging.refused.is_empty() {
            merging.refused = merging.next_records(self.bounds.merge_step_bytes)?;
        }
        let sync = if merging.writer.is_none() {
            Sync::Required
        } else {
            Sync::Lazy
        };
        let records = merging.refused.clone();
        merging.ticket = Ticket::append(&self.log, &self.bell, records, sync)?;
        if merging.ticket.is_some() {
            merging.refused.clear();
        }
        keep.merging = Some(merging);
        Ok(Progress::Waiting)
    }

    /// Gives a merge up, unless all of the base was appended: then it holds. Waits for the log.
    pub(super) fn end_merge(&self, keep: &mut Keep) -> Result<(), Fault> {
        let Some(mut merging) = keep.merging.take() else {
            return Ok(());
        };
        if merging.writer.is_none()
            && let Some(ticket) = &merging.ticket
        {
            let written = self.wait_for(ticket)?;
            merging.written.extend(written.iter().map(RecordAt::from));
            keep.history.rebase(merging.base());
        }
        Ok(())
    }

    /// Whether a merge is due and fits into half of what room there is: others may merge too, and
    /// what the base replaces is freed only after it.
    fn may_merge(&self, history: &History) -> bool {
        let bytes = history.base_bytes() + history.runs_bytes();
        let fits = || self.log.room().is_ok_and(|room| room.bytes() / 2 >= bytes);
        is_due(history, self.bounds.merge_bytes_min) && fits()
    }

    fn begin_merge(&self, keep: &mut Keep) -> Result<Merging, Fault> {
        let mark = keep
            .mark
            .clone()
            .ok_or_else(|| Fault::invariant("runs without a mark"))?;
        // An index that a crash took back below the base could only be built again.
        self.flush_index(keep)?;
        let writer = RunWriter::new(self.id, RunKind::Base, mark.at);
        Ok(Merging {
            rows: keep.history.merged(&self.log)?,
            mark,
            writer: Some(writer),
            digests: Digests::default(),
            written: Vec::new(),
            refused: Vec::new(),
            ticket: None,
        })
    }
}

impl Merging {
    /// The checkpoint of which it is the base.
    pub fn at(&self) -> LogId {
        self.mark.at
    }

    /// The base, all of which is written.
    fn base(self) -> Run {
        Run {
            at: self.mark.at,
            records: self.written,
        }
    }

    /// The next few MiB of the base, or its end.
    fn next_records(&mut self, bytes: usize) -> Result<Vec<Record>, Fault> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(Vec::new());
        };
        while writer.ready_bytes() < bytes {
            let Some(row) = self.rows.next() else {
                self.digests.check(&self.mark)?;
                return Ok(writer.finish(&self.mark));
            };
            let (key, value) = row?;
            self.digests.add(&key, &value);
            writer.push(&key, Some(&value));
        }
        let records = writer.take();
        self.writer = Some(writer);
        Ok(records)
    }
}
