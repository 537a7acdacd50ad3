//! What is damaged is had again before its group starts.
//!
//! ```text
//!   the replica's rows        from its own log, into a new index; or a checkpoint of another one
//!   entries not yet applied   each from another replica, by index, term and checksum;
//!                             if that is not to be had, a checkpoint that holds them
//!   entries that are applied  forgotten with a purge: the checkpoint holds what they did
//!   a vote                    of a known term: bound by a vote for itself in the next one
//!   nobody knows what         never: the replica is retired, and another one takes its place
//! ```
//!
//! Until then the group neither votes, nor acknowledges, nor applies. A checkpoint of any replica
//! is as good as that of the leader, since what it holds is committed; entries above it that are
//! here stay, acknowledged as they are.

use std::sync::Arc;

use rows::Fault;

use super::log_store::LogStore;
use crate::replica::{Fetch, LogId, Replica};

/// Why a replica cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Ailing {
    /// It may have voted, or acknowledged, what it does not know: another one takes its place,
    /// under a new replica id.
    #[error("lost: what it voted is damaged beyond mending; another one takes its place")]
    Lost,
    /// The machine met a fault: no other copy helps (R3).
    #[error("stopped: {0}")]
    Stopped(Fault),
    /// No other replica has given yet what it needs.
    #[error("damaged: waits for other replicas to give {0}")]
    Waiting(String),
    /// The log has stopped.
    #[error("the log cannot be written: {0}")]
    Log(#[from] std::io::Error),
}

/// Whether nothing that Raft needs of them is damaged. Reads the entries that are not applied.
#[must_use]
pub fn is_whole(replica: &Replica, store: &LogStore) -> bool {
    let applied = replica.applied().last.map(|at| at.index);
    let purged = store.purged().map(|at| at.index);
    replica.fault().is_none() && purged <= applied && store.holes(applied).last().is_none()
}

/// Brings replica and log to where Raft may start. Blocks on disk and network.
///
/// # Errors
///
/// [`Ailing`]; but for [`Ailing::Lost`] and [`Ailing::Stopped`], another try may do it.
pub fn heal(replica: &Arc<Replica>, store: &LogStore, fetch: &dyn Fetch) -> Result<(), Ailing> {
    match replica.fault() {
        None => {}
        Some(Fault::Store(_)) => heal_rows(replica, store, fetch)?,
        Some(fault) => return Err(Ailing::Stopped(fault)),
    }
    heal_entries(replica, store, fetch)?;
    if let Some(checkpoint) = replica.checkpointed() {
        store.forget_holes(checkpoint)?;
    }
    Ok(())
}

fn heal_rows(replica: &Arc<Replica>, store: &LogStore, fetch: &dyn Fetch) -> Result<(), Ailing> {
    let fault = match replica.revive() {
        Ok(()) => return Ok(()),
        Err(fault) => fault,
    };
    let known = replica.checkpointed().max(store.purged());
    let least = known.map_or(0, |at| at.index);
    tracing::error!(group = replica.group().0, %fault, least, "the rows are lost here");
    take_checkpoint(replica, store, fetch, least, true)
}

fn heal_entries(replica: &Arc<Replica>, store: &LogStore, fetch: &dyn Fetch) -> Result<(), Ailing> {
    let applied = |replica: &Replica| replica.applied().last.map(|at| at.index);
    // A purge beyond what is applied: the checkpoint that allowed it is lost.
    if let Some(purged) = store.purged()
        && applied(replica).is_none_or(|applied| applied < purged.index)
    {
        take_checkpoint(replica, store, fetch, purged.index, false)?;
    }
    let holes = store.holes(applied(replica));
    let Some(last) = holes.last() else {
        return Ok(());
    };
    for record in &holes.known {
        replica.wound(LogId {
            term: record.term,
            index: record.index,
        });
    }
    if let Err(fault) = replica.mend(fetch) {
        return Err(Ailing::Waiting(format!("entries ({fault})")));
    }
    let holes = store.holes(applied(replica));
    match holes.last() {
        None => Ok(()),
        Some(_) => take_checkpoint(replica, store, fetch, last, false),
    }
}

/// Takes the rows of another replica, which hold at least the entries up to `least`.
fn take_checkpoint(
    replica: &Arc<Replica>,
    store: &LogStore,
    fetch: &dyn Fetch,
    least: u64,
    anew: bool,
) -> Result<(), Ailing> {
    let Some(snapshot) = fetch.checkpoint(replica, least) else {
        return Err(Ailing::Waiting(format!("a checkpoint from {least} on")));
    };
    let at = snapshot.last;
    let installed = match anew {
        true => replica.install_anew(snapshot),
        false => replica.install(snapshot),
    };
    if let Err(fault) = installed {
        return Err(Ailing::Waiting(format!("a checkpoint ({fault})")));
    }
    if let Some(at) = at {
        store.forget_through(at)?;
        tracing::warn!(group = replica.group().0, %at, "rows of another replica were taken");
        metrics::counter!("rookery_checkpoints_fetched_total").increment(1);
    }
    Ok(())
}
