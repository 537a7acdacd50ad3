//! Entries that were given to the log and are not durable yet.
//!
//! openraft reads an entry as soon as it has appended it, so its slot is there before the log is
//! asked. openraft's core counts what it finds at its start as durable: a slot of an entry that no
//! disk has must not be there then (R1).

use std::io;

use seglog::{Kind, Record};

use super::LogStore;
use crate::raft::convert;
use crate::raft::types::{Entry, log_id};
use crate::replica::LogId;

impl LogStore {
    /// Makes slots for entries, and the records that are to be appended. `ids` are those of the
    /// slots that were made, also if it fails.
    pub(super) fn push(
        &self,
        entries: impl IntoIterator<Item = Entry>,
        ids: &mut Vec<LogId>,
    ) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut state = self.shared.state.lock();
        for entry in entries {
            let id = log_id(&entry.log_id);
            if state.slots.is_empty() && state.purged.is_none() && state.first != id.index {
                state.first = id.index;
                state.held_from = id.index;
            }
            if id.index != state.next() {
                let expected = state.next();
                return Err(io::Error::other(format!(
                    "entry {} appended where {expected} was due",
                    id.index
                )));
            }
            records.push(self.record(Kind::Entry, id, convert::entry_to_log(&entry)));
            ids.push(id);
            state.push(entry);
        }
        self.note_held(&mut state);
        if !ids.is_empty()
            && state.committed_changed
            && let Some(committed) = state.committed
        {
            state.committed_changed = false;
            records.push(self.record(Kind::Commit, log_id(&committed), Vec::new()));
        }
        Ok(records)
    }

    /// The log did not take the entries from an index on: they are not there.
    pub(super) fn take_back(&self, from: u64) {
        let mut state = self.shared.state.lock();
        state.cut(from);
        state.committed_changed = state.committed.is_some();
        self.note_held(&mut state);
    }

    /// Returns once everything that is listed is durable: to be called before a core is started on
    /// a log that another one has used, which may have ended before that (R1).
    ///
    /// # Errors
    ///
    /// When the log has stopped.
    pub async fn settle(&self) -> io::Result<()> {
        if self.shared.state.lock().unwritten().is_none() {
            return Ok(());
        }
        // It completes in its turn, behind all that is queued.
        self.write_durably(Vec::new()).await?;
        let mut state = self.shared.state.lock();
        if let Some(from) = state.unwritten() {
            tracing::error!(
                replica = self.shared.replica.0,
                from,
                "the log never wrote these entries"
            );
            state.cut(from);
            self.note_held(&mut state);
        }
        Ok(())
    }
}
