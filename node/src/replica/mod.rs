//! What this node holds of each group: the machine's rows, and the way to the bodies.
//!
//! A [`Replica`] applies the entries that Raft has committed to its machine, answers reads from
//! the rows that come of it, and takes checkpoints, so that a restart need not begin at the first
//! entry. It knows nothing of terms being won or peers: `raft` calls it, it calls nobody.
//!
//! ```text
//!   entry --> Machine --> writes --> current --freeze--> frozen         rows in memory (Layers)
//!                                                          |
//!                          read <-- current/frozen/index   | 1  runs of rows in seglog, synced:
//!                                                          |    this is the checkpoint
//!   seglog:  entries .. | rows C1 | .. | rows C2 | ..  <---+
//!               base  <------- merged with the base        | 2  put into the index, `applied` last
//!                                                          | 3  frozen is dropped
//!   sled:    one tree per replica  <-----------------------+
//! ```
//!
//! **The index is a cache of the log.** All that a replica is stands in seglog: its newest *base*
//! (all rows as one sorted run), the runs of *rows* since (after-images, sorted by key), and the
//! entries above the last of them. The index is there to find a row without reading those. So it
//! is never asked what is true: an open believes it only if it names a checkpoint that the log
//! knows and all of its rows together have that checkpoint's digest; otherwise it is thrown away
//! and built again from the log of this node alone. After-images can be put twice, so a checkpoint
//! that was put by half does no harm.
//!
//! **Three kinds of rows.** Those of the machine, equal on all replicas and summed up in the
//! digest; the digest itself; and *local* rows, whose keys begin with 0xff: where the bodies of
//! entries lie in the log of this node. Local rows are in runs, base and index like the others,
//! but no machine sees them and no snapshot carries them.
//!
//! **Steps, not threads.** Nothing here starts a thread. A checkpoint is driven by
//! [`Replica::step`], which never waits: it freezes, hands rows to the log, and once the log says
//! that they are durable puts them into the index. The [`Checkpointer`] calls it for all replicas
//! of the node, so that one sync of the log serves the checkpoints of all groups.
//!
//! Invariants, by the ids of the design:
//!
//! * **R2** Applied log id and rows become durable together, in the last record of a run, and never
//!   before the entries they came from: the run is appended only once the entries up to it are
//!   durable, to the same ordered log.
//! * **R3** A fault (a row that cannot be read, a panic in the machine) is sticky: from then on the
//!   replica answers nothing, neither reads nor applies. Other groups go on.
//! * **R4** The place of a body is in the same checkpoint as the rows that name it, so that the
//!   entry may leave Raft's log.
//! * **M1** Equal entries give equal rows: the digest says so, and is compared wherever rows come
//!   from somewhere else.
//! * **I16** An index that was deleted, cut or changed costs time, never an answer.
//!
//! **The log is cleaned** ([`clean`]): of what stands in it the replica still needs the entries
//! that Raft lists, the bodies to which rows refer (local rows count how many), and the records of
//! its newest base and the runs since. The cleaner of the log moves these and frees the rest;
//! places that changed are in the next checkpoint before the old ones go.
//!
//! **Damage is mended** ([`mend`]): what cannot be read is reported, never served, and comes again
//! from another replica; a [`scrub`] finds it before anybody asks for it.
//!
//! Read on: [`machine`] for what applies entries, [`overlay`] for the rows that it sees, [`index`]
//! for the cache beneath, [`run`] for the bytes of runs, [`history`] for reading them merged,
//! [`checkpoint`], [`places`] and [`merge`] for what is written when, [`keeper`] for who drives it,
//! [`clean`], [`mod@open`] for the way back, [`mod@end`] for the end, [`snapshot`], [`arrival`],
//! [`bodies`] and [`export`] for what others ask for, [`partition`] and [`directory`]
//! for the two machines.

pub mod limits;

pub mod arrival;
pub mod bodies;
pub mod checkpoint;
pub mod clean;
pub mod directory;
pub mod end;
pub mod export;
pub mod history;
pub mod index;
pub mod keeper;
pub mod machine;
pub mod mend;
pub mod merge;
pub mod open;
pub mod overlay;
pub mod partition;
pub mod places;
pub mod run;
pub mod scrub;
pub mod snapshot;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockUpgradableReadGuard};
use rows::{DIGEST_KEY, Digest, Fault, Staged, Writes};
use seglog::ReplicaId;

use crate::budget::Share;

pub use arrival::Arrival;
pub use bodies::{BodyCache, BodyError, BodyPlace, Entries, Logged, Probed};
pub use checkpoint::{Due, Progress};
pub use clean::{Cleaning, SegmentUse, Storage};
pub use export::Export;
pub use keeper::{Bell, Checkpointer};
pub use machine::{
    Applied, Applying, At, GroupId, Hint, Hints, LogId, Machine, Membership, Referred,
};
pub use mend::{Fetch, Mended};
pub use open::{Opening, open, open_stopped};
pub use overlay::Layers;
pub use scrub::{Scrubbed, Scrubbing};
pub use snapshot::{Chunks, Snapshot};

use checkpoint::Keep;
use history::History;
use limits::Bounds;
use mend::Wounds;

/// How far a replica has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// The last entry applied; `None` before the first.
    pub last: Option<LogId>,
    /// The last membership among the entries applied.
    pub membership: Option<Membership>,
}

/// One replica of a group on this node. For any thread.
///
/// Entries are applied one after the other, by one caller; reads come from anywhere at any time.
pub struct Replica {
    group: GroupId,
    id: ReplicaId,
    log: seglog::Log,
    machine: Arc<dyn Machine>,
    indexes: Arc<dyn index::Indexes>,
    hints: Hints,
    bell: Arc<Bell>,
    bounds: Bounds,
    /// Raft's log, once it is open; set by [`Replica::attach`].
    entries: RwLock<Option<Arc<dyn Entries>>>,
    state: RwLock<State>,
    /// Bytes of the overlays; a copy of what `state` says, for looking without its lock.
    overlay_bytes: AtomicUsize,
    /// What the overlays of all replicas of the node may take.
    overlays: Arc<Share>,
    /// Bodies that were read, of all replicas of the node.
    read_bodies: Arc<BodyCache>,
    /// Checkpoints and merges. Taken before `state` where both are.
    keep: Mutex<Keep>,
    /// The last checkpoint; apart from `keep`, which is held while rows are put into the index.
    checkpointed: Mutex<Option<LogId>>,
    /// Snapshots that are on their way in.
    arriving: AtomicUsize,
    /// Good copies that are being written.
    mending: AtomicUsize,
    /// Exports that are being read.
    exporting: AtomicUsize,
    /// Histories that somebody reads.
    pinned: Mutex<Vec<Weak<History>>>,
    /// What of it is damaged in the log of this node. Never taken before `keep` or `state` is.
    wounds: Mutex<Wounds>,
}

/// What apply changes and reads see.
pub(crate) struct State {
    layers: Layers,
    applied: AppliedState,
    digest: Digest,
    /// What the entries applied since the last freeze changed in how many rows refer to bodies:
    /// it goes into the next checkpoint, with the places of these bodies.
    references: BTreeMap<LogId, i64>,
}

impl Replica {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The replica's id, under which its records stand in the log.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Whether a snapshot is on its way in: then the replica may be far behind.
    #[must_use]
    pub fn is_arriving(&self) -> bool {
        self.arriving.load(Relaxed) > 0
    }

    /// Whether something is being written to which only later somebody will refer.
    fn takes_in(&self) -> bool {
        self.is_arriving() || self.mending.load(Relaxed) > 0
    }

    /// Hands down Raft's log, which knows where entries lie. Before the first entry is applied;
    /// again when the group was started anew.
    pub fn attach(&self, entries: Arc<dyn Entries>) {
        *self.entries.write() = Some(entries);
    }

    /// How far the replica has come.
    #[must_use]
    pub fn applied(&self) -> AppliedState {
        self.state.read().applied.clone()
    }

    /// The last checkpoint: Raft may purge the entries up to it.
    #[must_use]
    pub fn checkpointed(&self) -> Option<LogId> {
        *self.checkpointed.lock()
    }

    /// The digest of all rows after the last entry applied. Equal on all replicas at equal ids.
    #[must_use]
    pub fn digest(&self) -> (Option<LogId>, Digest) {
        let state = self.state.read();
        (state.applied.last, state.digest)
    }

    /// Why the replica has stopped, if it has (R3).
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.state.read().layers.fault().cloned()
    }

    /// Applies a committed entry, the one after the last that was applied, and answers its outcome,
    /// which is empty for entries that are no commands.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica, now or before (R3): nothing of the entry was done,
    /// and nobody may be answered.
    pub fn apply(&self, id: LogId, entry: Applying<'_>) -> Result<Bytes, Fault> {
        let state = self.state.upgradable_read();
        state.layers.check()?;
        let result = in_order(state.applied.last, id).and_then(|()| match entry {
            Applying::Command {
                time_ms,
                command,
                body_length,
            } => {
                let at = At {
                    index: id.index,
                    term: id.term,
                    time_ms,
                    body_length,
                };
                self.run(&state.layers, at, command)
            }
            Applying::Blank | Applying::Membership(_) => Ok((Applied::default(), Writes::new())),
        });
        let mut state = RwLockUpgradableReadGuard::upgrade(state);
        let (applied, writes) = match result {
            Ok(done) => done,
            Err(fault) => return Err(self.stop(&mut state, fault)),
        };
        state.applied.last = Some(id);
        if let Applying::Membership(members) = entry {
            state.applied.membership = Some((Some(id), members.clone()));
        }
        for (body, change) in applied.references {
            *state.references.entry(body).or_default() += change;
        }
        state.commit(writes);
        self.note_bytes(&state);
        drop(state);
        if !applied.hints.is_empty() {
            (self.hints)(self.group, &applied.hints);
        }
        Ok(applied.outcome)
    }

    /// Returns when the overlay has room for another entry: at once, unless it is over its bound,
    /// or those of the node are over theirs; then when checkpoints have taken rows from them. To be
    /// awaited before each apply.
    pub async fn room(&self) {
        // One that holds nothing has nothing to wait for.
        let has_room = || match self.overlay_bytes.load(Relaxed) {
            0 => true,
            own => own <= self.bounds.overlay_bytes_max && !self.overlays.is_over(1),
        };
        self.overlays
            .wait_until(has_room, || self.bell.ring())
            .await;
    }

    /// Gives rows that stay as they are while `read` runs. Short, since apply waits for it.
    ///
    /// After a fault every look at the rows answers that fault (R3).
    pub fn read<T>(&self, read: impl FnOnce(&Layers) -> T) -> T {
        read(&self.state.read().layers)
    }

    /// When the machine wants to be told that time has passed: milliseconds of log time.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let state = self.state.read();
        state.layers.check().ok()?;
        self.machine.next_due(&state.layers)
    }

    /// Runs the machine; a panic in it is a fault like any other.
    fn run(&self, layers: &Layers, at: At, command: &Bytes) -> Result<(Applied, Writes), Fault> {
        let run = || {
            let mut staged = Staged::new(layers);
            let applied = self.machine.apply(&mut staged, at, command)?;
            Ok((applied, staged.into_writes()?))
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            Err(Fault::invariant(format!(
                "panic while applying: {}",
                panic_text(panic.as_ref())
            )))
        })
    }

    /// Stops the replica for good (R3).
    fn stop(&self, state: &mut State, fault: Fault) -> Fault {
        let first = state.layers.stop(fault);
        tracing::error!(group = self.group.0, replica = self.id.0, %first, "replica stopped");
        metrics::counter!("rookery_replica_faults_total").increment(1);
        self.give_back();
        first
    }

    /// It has stopped: what its rows held is for others, and nobody waits for room.
    fn give_back(&self) {
        let held = self.overlay_bytes.swap(0, Relaxed);
        self.overlays.changed(held as u64, 0);
        self.overlays.wake();
    }

    fn note_bytes(&self, state: &State) {
        let bytes = state.layers.overlay_bytes();
        let before = self.overlay_bytes.swap(bytes, Relaxed);
        let had_room = !self.overlays.is_over(2);
        self.overlays.changed(before as u64, bytes as u64);
        let wanted = self.bounds.overlay_bytes_max / 2;
        let is_full = before <= wanted && bytes > wanted;
        if is_full || (had_room && self.overlays.is_over(2)) {
            self.bell.ring();
        }
    }

    /// Whether a checkpoint shall not wait until it is time.
    fn wants_checkpoint(&self, overlay_bytes: usize) -> bool {
        let own = overlay_bytes > self.bounds.overlay_bytes_max / 2;
        own || (overlay_bytes > 0 && self.overlays.is_over(2))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let held = *self.overlay_bytes.get_mut();
        self.overlays.changed(held as u64, 0);
    }
}

impl State {
    fn commit(&mut self, writes: Writes) {
        // Reserved keys come first.
        if let Some((key, Some(value))) = writes.first()
            && key == DIGEST_KEY
            && let Ok(bytes) = value.as_ref().try_into()
        {
            self.digest = Digest::from_bytes(bytes);
        }
        self.layers.commit(writes);
    }
}

/// Entries come without gaps: Raft begins again where the replica says that it stands.
fn in_order(last: Option<LogId>, id: LogId) -> Result<(), Fault> {
    match last {
        Some(last) if id.index != last.index + 1 || id.term < last.term => Err(Fault::invariant(
            format!("entry {id} was to be applied after {last}"),
        )),
        _ => Ok(()),
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
