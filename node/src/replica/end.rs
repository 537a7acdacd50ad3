//! The end of a replica's life on this node.
//!
//! A replica that was moved away is stopped, and a record in the log says that its life has ended:
//! from then on nothing in the log that bears its id is needed, and no start brings it back. Its
//! index goes too. Each step may be done again after a crash. The id is not used a second time
//! (R5): a replica that comes back to the node is another one.

use std::sync::mpsc;

use rows::Fault;
use seglog::{Record, ReplicaId, Sync};

use super::Replica;
use super::checkpoint::Stage;
use super::index::Indexes;

impl Replica {
    /// Answers nothing and writes nothing from now on; its group has been stopped. Waits for a
    /// checkpoint that is being taken.
    pub fn close(&self) {
        let mut keep = self.keep.lock();
        keep.stage = Stage::Idle;
        keep.merging = None;
        let moved = Fault::Store("the replica is not on this node any more".into());
        self.state.write().layers.stop(moved);
        self.give_back();
    }
}

/// Ends the life of a replica that is closed, or was never opened. Returns once that is durable;
/// blocks on the disk.
///
/// # Errors
/// [`Fault::Store`] if the log takes no records now, or the index cannot be freed; to be tried
/// again.
pub fn end(log: &seglog::Log, indexes: &dyn Indexes, replica: ReplicaId) -> Result<(), Fault> {
    let store = |error: &dyn std::fmt::Display| Fault::Store(error.to_string());
    let (written, outcome) = mpsc::channel();
    let done = Box::new(move |outcome| drop(written.send(outcome)));
    log.append(vec![Record::end(replica)], Sync::Required, done)
        .map_err(|error| store(&error))?;
    let outcome = outcome.recv().map_err(|error| store(&error))?;
    outcome.map_err(|error| store(&error))?;
    for index in indexes.of(replica)? {
        indexes.discard(index.as_ref())?;
    }
    Ok(())
}
