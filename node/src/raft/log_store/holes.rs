//! Entries and votes that are damaged, and what is done about them before Raft may start.

use std::io;

use openraft::storage::RaftLogStorage;
use seglog::{Damage, Kind, RecordAt, RecoveredReplica, ReplicaId};

use super::LogStore;
use super::slots::Slot;
use crate::raft::types::{Vote, log_id, raft_log_id};
use crate::replica::LogId;

/// Entries that are not as they were written.
#[derive(Debug, Default)]
pub struct Holes {
    /// Damaged records of which the header, or the index of the segment, says what was there.
    pub known: Vec<RecordAt>,
    /// Indexes at which nothing is known.
    pub unknown: Vec<u64>,
}

impl Holes {
    /// The last index at which there is one.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        let known = self.known.iter().map(|record| record.index);
        known.chain(self.unknown.iter().copied()).max()
    }
}

/// Whether what the log holds of a replica is of no use to its group: nobody can tell what it may
/// have voted.
#[must_use]
pub fn is_lost(replica: ReplicaId, found: &RecoveredReplica, damage: &[Damage]) -> bool {
    found.doubted || (found.vote_lost && lost_vote(&records_of(replica, damage)).is_none())
}

/// The damaged records of a replica of which the headers can be read.
pub(super) fn records_of(replica: ReplicaId, damage: &[Damage]) -> Vec<RecordAt> {
    let records = damage.iter().filter_map(|damage| damage.record);
    records.filter(|record| record.replica == replica).collect()
}

/// The newest term of which a vote is damaged.
pub(super) fn lost_vote(damaged: &[RecordAt]) -> Option<u64> {
    let votes = damaged.iter().filter(|record| record.kind == Kind::Vote);
    votes.map(|vote| vote.term).max()
}

impl LogStore {
    /// Reads all entries above an index, and tells which are damaged. Blocks on the disk.
    #[must_use]
    pub fn holes(&self, above: Option<u64>) -> Holes {
        let (first, next) = {
            let state = self.shared.state.lock();
            (state.first, state.next())
        };
        let from = above.map_or(first, |above| first.max(above + 1));
        let mut holes = Holes::default();
        for index in from..next {
            let (held, record) = {
                let state = self.shared.state.lock();
                let Some(slot) = state.slot(index) else { break };
                let record = slot.record(self.shared.replica, index);
                (slot.held.is_some(), record)
            };
            match record {
                None if held => {}
                None => holes.unknown.push(index),
                Some(record) => match self.entry(index) {
                    Ok(_) => {}
                    Err(_) => holes.known.push(record),
                },
            }
        }
        holes
    }

    /// What the log needs before Raft may start on it, once a checkpoint is durable: forgets
    /// entries that the checkpoint holds if any of them is not to be read.
    ///
    /// # Errors
    ///
    /// When the log has stopped.
    pub fn forget_holes(&self, checkpoint: LogId) -> io::Result<()> {
        let needed = {
            let state = self.shared.state.lock();
            let slots = (state.first..).zip(&state.slots);
            let mut below = slots.take_while(|(index, _)| *index <= checkpoint.index);
            below.any(|(_, slot)| slot.written.is_none() && slot.held.is_none())
        };
        // openraft reads the first.
        let first = self.shared.state.lock().first;
        if needed || (first <= checkpoint.index && self.entry(first).is_err()) {
            return self.forget_through(checkpoint);
        }
        Ok(())
    }

    /// A checkpoint is durable that stands for all entries up to `at`, whether or not they are
    /// here. What follows an entry that is not the one of the checkpoint goes as well.
    ///
    /// # Errors
    ///
    /// When the log has stopped.
    pub fn forget_through(&self, at: LogId) -> io::Result<()> {
        let mut records = Vec::new();
        {
            let mut state = self.shared.state.lock();
            let state = &mut *state;
            let other = |slot: &Slot| slot.written.is_some() && slot.term != at.term;
            if state.slot(at.index).is_some_and(other) {
                while state.next() > at.index
                    && let Some(slot) = state.slots.pop_back()
                {
                    state.forget(slot);
                }
                let from = LogId {
                    term: 0,
                    index: at.index,
                };
                records.push(self.record(Kind::Truncate, from, Vec::new()));
            }
            while state.first <= at.index
                && let Some(slot) = state.slots.pop_front()
            {
                state.forget(slot);
                state.first += 1;
            }
            state.first = state.first.max(at.index + 1);
            state.held_from = state.held_from.max(state.first).min(state.next());
            state.unread = state.unread.split_off(&state.first);
            self.note_held(state);
            let purged = raft_log_id(at);
            state.purged = state.purged.max(Some(purged));
            if state.committed < Some(purged) {
                state.committed = Some(purged);
                state.committed_changed = true;
            }
            records.push(self.record(Kind::Purge, at, Vec::new()));
        }
        self.write_in_order(records)
    }

    /// The last entry that was purged: a checkpoint must hold at least as much.
    #[must_use]
    pub fn purged(&self) -> Option<LogId> {
        self.shared.state.lock().purged.as_ref().map(log_id)
    }

    /// Sees to it that a vote that was lost binds all the same: this replica votes for itself in
    /// the term after it, so that it votes for nobody else in any term up to there.
    ///
    /// # Errors
    ///
    /// When the log has stopped.
    pub async fn bind_lost_vote(&self) -> io::Result<()> {
        let Some(term) = self.shared.state.lock().vote_lost else {
            return Ok(());
        };
        let vote = Vote::new(term + 1, self.shared.replica.0);
        self.clone().save_vote(&vote).await?;
        self.shared.state.lock().vote_lost = None;
        tracing::warn!(
            replica = self.shared.replica.0,
            term,
            "a vote was lost: now it is bound"
        );
        Ok(())
    }
}
