//! The way back: from what the log holds to a replica that goes on.
//!
//! ```text
//!   newest checkpoint C of the log
//!     index names a checkpoint that the log knows? -> put the runs above it again
//!     all of its rows have the digests of C?       -> use it
//!   otherwise                                      -> fill a new one from base and runs
//! ```
//!
//! The rows are compared after the runs were put again, since a crash may have left some of them in
//! the index already. Whether sled lost rows, kept old ones or invented some: either the rows are
//! those of C, or the index is not used (I16). Entries above C are applied again by Raft.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rows::{DIGEST_KEY, Digest, Fault};
use seglog::{RecoveredReplica, ReplicaId};

use super::bodies::BodyCache;
use super::checkpoint::Keep;
use super::history::{History, puts};
use super::index::{Index, Indexes};
use super::keeper::Bell;
use super::limits::Bounds;
use super::machine::{GroupId, Hints, Machine};
use super::merge::Digests;
use super::overlay::Layers;
use super::places;
use super::run::Mark;
use super::{AppliedState, Replica, State, panic_text};
use crate::budget::{Budget, Share};
use crate::cache::Cache;

/// What a replica is opened with.
pub struct Opening {
    /// The group.
    pub group: GroupId,
    /// The replica's id in the log.
    pub replica: ReplicaId,
    /// The log of the node.
    pub log: seglog::Log,
    /// The indexes of the node.
    pub indexes: Arc<dyn Indexes>,
    /// What applies entries.
    pub machine: Arc<dyn Machine>,
    /// Who is told of changes.
    pub hints: Hints,
    /// Who is woken for checkpoints: [`super::Checkpointer::bell`].
    pub bell: Arc<Bell>,
    /// Bounds that may be set.
    pub bounds: Bounds,
    /// What the overlays of all replicas of the node may take.
    pub overlays: Arc<Share>,
    /// Bodies that were read, of all replicas of the node.
    pub read_bodies: Arc<BodyCache>,
}

impl Opening {
    /// With the default bounds and a budget of its own, and nobody who is told or woken.
    #[must_use]
    pub fn new(
        group: GroupId,
        replica: ReplicaId,
        log: seglog::Log,
        indexes: Arc<dyn Indexes>,
        machine: Arc<dyn Machine>,
    ) -> Self {
        let budget = Budget::default();
        Self {
            group,
            replica,
            log,
            indexes,
            machine,
            hints: Arc::new(|_, _| ()),
            bell: Arc::default(),
            bounds: Bounds::default(),
            overlays: budget.overlays,
            read_bodies: Arc::new(Cache::new(budget.bodies)),
        }
    }
}

/// Opens a replica at its last checkpoint; `recovered` is what the log holds of it, `None` for a
/// new one. Reads all rows of the index: for a thread that may block.
///
/// # Errors
/// A [`Fault`] if the replica's rows in the log are damaged or cannot be read, or no index can be
/// made. The group must not start.
pub fn open(
    opening: &Opening,
    recovered: Option<&RecoveredReplica>,
) -> Result<Arc<Replica>, Fault> {
    let history = recovered.map(History::of).unwrap_or_default();
    let newest = history.newest();
    let mark = newest.map(|run| run.mark(&opening.log)).transpose()?;
    let (index, kept_bytes) = match &mark {
        None => (empty_index(opening)?, BTreeMap::new()),
        Some(mark) => proven_index(opening, &history, mark)?,
    };
    let replica = opened(opening, index, Keep::new(history, mark, kept_bytes));
    replica.read(|rows| replica.machine.loaded(rows))?;
    Ok(replica)
}

/// Opens a replica whose rows cannot be had from the log: it has stopped with that fault (R3), and
/// comes back by [`Replica::install_anew`]. Where bodies lie is still looked for in the index that
/// there is, whatever it is worth: who reads there checks.
///
/// # Errors
/// [`Fault::Store`] if no index can be made.
pub fn open_stopped(
    opening: &Opening,
    recovered: Option<&RecoveredReplica>,
    fault: Fault,
) -> Result<Arc<Replica>, Fault> {
    let history = recovered.map(History::of).unwrap_or_default();
    let left = opening.indexes.of(opening.replica)?.into_iter().next();
    let index = match left {
        Some(left) => left,
        None => opening.indexes.fresh(opening.replica)?,
    };
    let at = history.newest().map(|run| run.at);
    let replica = opened(opening, index, Keep::new(history, None, BTreeMap::new()));
    *replica.checkpointed.lock() = at;
    replica.stop(&mut replica.state.write(), fault);
    Ok(replica)
}

fn opened(opening: &Opening, index: Arc<dyn Index>, keep: Keep) -> Arc<Replica> {
    let mark = keep.mark.as_ref();
    let checkpointed = mark.map(|mark| mark.at);
    let state = State {
        layers: Layers::new(index),
        applied: AppliedState {
            last: checkpointed,
            membership: mark.and_then(|mark| mark.membership.clone()),
        },
        digest: mark.map_or(Digest::EMPTY, |mark| mark.digest),
        references: BTreeMap::new(),
    };
    Arc::new(Replica {
        group: opening.group,
        id: opening.replica,
        log: opening.log.clone(),
        machine: Arc::clone(&opening.machine),
        indexes: Arc::clone(&opening.indexes),
        hints: Arc::clone(&opening.hints),
        bell: Arc::clone(&opening.bell),
        bounds: opening.bounds,
        entries: RwLock::default(),
        state: RwLock::new(state),
        overlay_bytes: Default::default(),
        overlays: Arc::clone(&opening.overlays),
        read_bodies: Arc::clone(&opening.read_bodies),
        keep: Mutex::new(keep),
        checkpointed: Mutex::new(checkpointed),
        arriving: Default::default(),
        mending: Default::default(),
        exporting: Default::default(),
        pinned: Mutex::default(),
        wounds: Mutex::default(),
    })
}

/// An index for a replica without a checkpoint.
fn empty_index(opening: &Opening) -> Result<Arc<dyn Index>, Fault> {
    // A crash may have come between making an index and the first checkpoint.
    for index in opening.indexes.of(opening.replica)? {
        opening.indexes.discard(index.as_ref())?;
    }
    opening.indexes.fresh(opening.replica)
}

/// An index, and the bytes of the bodies that its rows keep, by segment.
type Proven = (Arc<dyn Index>, BTreeMap<u64, u64>);

/// An index that holds the newest checkpoint, without doubt.
fn proven_index(opening: &Opening, history: &History, mark: &Mark) -> Result<Proven, Fault> {
    let mut chosen: Option<Proven> = None;
    let mut doubt = opening
        .indexes
        .put_aside()
        .unwrap_or("there is none")
        .to_owned();
    for index in opening.indexes.of(opening.replica)? {
        let verdict = match &chosen {
            Some(_) => Err("another one is used".to_owned()),
            None => examine(opening, history, mark, index.as_ref()),
        };
        match verdict {
            Ok(kept_bytes) => chosen = Some((index, kept_bytes)),
            Err(why) => {
                doubt = why;
                if let Err(fault) = opening.indexes.discard(index.as_ref()) {
                    tracing::warn!(index = index.name(), %fault, "index not freed");
                }
            }
        }
    }
    match chosen {
        Some(proven) => Ok(proven),
        None => {
            tracing::warn!(group = opening.group.0, doubt, "index not used");
            let index = opening.indexes.fresh(opening.replica)?;
            let kept_bytes = rebuild(opening.group, &opening.log, &index, history, mark)?;
            Ok((index, kept_bytes))
        }
    }
}

/// Brings an index up to the newest checkpoint and compares all of its rows; says why it is not
/// believed.
fn examine(
    opening: &Opening,
    history: &History,
    mark: &Mark,
    index: &dyn Index,
) -> Result<BTreeMap<u64, u64>, String> {
    let examine = || -> Result<BTreeMap<u64, u64>, String> {
        let fault = |fault: Fault| fault.to_string();
        let applied = index.applied().map_err(fault)?.ok_or("it is not whole")?;
        let above = history
            .above(applied)
            .ok_or_else(|| format!("it holds {applied}, which is no checkpoint of the log"))?;
        for run in above {
            index
                .put_sorted(&mut run.changes(&opening.log).map_err(fault)?)
                .map_err(fault)?;
        }
        let mut digests = Digests::default();
        for row in places::all_rows(index).map_err(fault)? {
            let (key, value) = row.map_err(fault)?;
            digests.add(&key, &value);
        }
        digests.check(mark).map_err(fault)?;
        // The digest's own row is not in the sum.
        let kept = index.get(DIGEST_KEY).map_err(fault)?;
        let expected = mark.digest.to_bytes();
        if kept.as_deref().unwrap_or(&Digest::EMPTY.to_bytes()) != expected {
            return Err("the row of the digest is wrong".to_owned());
        }
        index.set_applied(mark.at).map_err(fault)?;
        Ok(digests.kept_bytes)
    };
    // sled is guarded below; this is for whatever else strange rows may lead to.
    catch_unwind(AssertUnwindSafe(examine))
        .unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(panic.as_ref()))))
}

/// Fills a new index from the log; answers the bytes of the bodies that its rows keep, by segment.
pub(super) fn rebuild(
    group: GroupId,
    log: &seglog::Log,
    index: &Arc<dyn Index>,
    history: &History,
    mark: &Mark,
) -> Result<BTreeMap<u64, u64>, Fault> {
    let mut digests = Digests::default();
    let mut count = 0_u64;
    let rows = history.merged(log)?.inspect(|row| {
        if let Ok((key, value)) = row {
            digests.add(key, value);
            count += 1;
        }
    });
    index.put_sorted(&mut puts(rows))?;
    digests.check(mark)?;
    index.set_applied(mark.at)?;
    index.flush()?;
    tracing::warn!(group = group.0, at = %mark.at, rows = count, "index rebuilt from the log");
    metrics::counter!("rookery_index_rebuilds_total").increment(1);
    Ok(digests.kept_bytes)
}
