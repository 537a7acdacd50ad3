//! Freeing segments, so that a node lives for years on a bounded disk.
//!
//! Most of what is written is soon needed no more, and some of it for years. The cleaner takes a
//! segment, copies what is needed of it to the end of the log, and frees it:
//!
//! ```text
//!   choose --> copy, batch by batch --> durable --> Live::moved --.   (nothing needed: at once)
//!     ^                                                           v
//!   freed <-- note is durable <-- note <-- nothing refers <-- Live::settled
//! ```
//!
//! **What is alive** is known above: the records to which somebody refers. What votes, marks,
//! truncations and ends of replicas say lives on in the state of every later block, so these
//! records are dead once their segment is sealed. The newest sealed segment is left alone: should
//! the block of the active one be damaged, the state is made of that one and its records.
//!
//! **The order that makes it safe.** Copies are durable before `moved` tells of them. The last
//! look at a segment (does nobody refer to any record of it?) comes after `settled`. The note that
//! it is freed goes behind all that was appended before that look, so what took the records is
//! durable when the note is. The file is touched only after that. A crash before the note leaves
//! a whole segment and copies of which recovery takes one; a crash after it leaves at most a file,
//! which the next open gives away unread. What happened was never half of it.
//!
//! **What cannot be moved.** A replica that has stopped, or that nobody has opened, takes no note
//! of a move: a segment in which it needs something is left alone until it goes on, and all others
//! are cleaned.
//!
//! **Which segment.** By benefit over cost as Rosenblum and Ousterhout have it ("The design and
//! implementation of a log-structured file system", 1992): `won * age / (size + live)`, the age
//! counted in segments. One without live bytes costs nothing and comes first. One in which less
//! than [`Options::clean_win_part`](crate::Options::clean_win_part) would be won is left alone, so
//! that cleaning comes to rest and what lives is not copied again and again; where room is short
//! it is [`CLEAN_WIN_PART_SHORT`].
//!
//! **On a full disk.** Copies take space before anything is freed, and what frees it needs space
//! too: a note, and above all the checkpoints of those who refer. So a segment is copied only if a
//! part of a segment ([`CLEAN_ROOM_PART`]) stays behind the copies, and a second one before the
//! first is freed only if half of the caller's reserve does.
//!
//! **Where the copies go**: into the one stream, those of a replica side by side, and among these
//! those that have one [`Live::home`]: what arrived mixed and is read together, the mail of a
//! mailbox, lies together from then on. A home has one stretch for each segment that was cleaned.
//! Segments of their own for each partition's mail would make it fewer, but each would have a tail
//! that can be torn.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::error::{Error, Poisoned};
use crate::format::{HEADER_BYTES, record_bytes};
use crate::limits::{
    CLEAN_GROWTH_PART, CLEAN_ROOM_PART, CLEAN_UNREAD_LOOKS, CLEAN_UNREAD_LOOKS_MAX,
    CLEAN_WIN_PART_SHORT, SETTLING_SEGMENTS_MAX,
};
use crate::live::{Cleaned, Live};
use crate::log::Log;
use crate::record::{Done, Place, Position, RecordAt, ReplicaId, Sync, Written};
use crate::recover::{Damage, What};
use crate::shared::held;
use crate::source::Extent;

/// Frees segments, step by step. One per log. What it has begun is in memory only: after a restart
/// it begins anew, and loses nothing but copies.
pub struct Cleaner {
    log: Log,
    copying: Option<Copying>,
    /// All that was needed is copied; waits for [`Live::settled`].
    settling: BTreeSet<u64>,
    noted: Option<(u64, Slot)>,
    /// Segments that are not chosen.
    aside: BTreeMap<u64, Aside>,
    /// Damage without a readable header was dealt with.
    mended: BTreeSet<u64>,
}

/// The segment that is being copied.
struct Copying {
    segment: u64,
    /// Still to be copied, the next one last.
    todo: Vec<RecordAt>,
    queued: Option<(Vec<RecordAt>, Slot)>,
}

enum Aside {
    Damaged,
    /// The disk did not read it: so many looks for a segment pass before it is tried again, of
    /// this many that were to pass.
    Unread {
        left: u32,
        looks: u32,
    },
    /// It holds more than was told: this many bytes.
    Full(u64),
    /// This replica needs something in it, and is held.
    Held(ReplicaId),
}

/// What is in a segment.
enum Found {
    /// The records to which somebody refers.
    Needed(Vec<RecordAt>),
    /// Damage, to which somebody may refer.
    Damaged(Vec<Damage>),
    /// Something that this replica needs, which is held.
    Held(ReplicaId),
}

/// Filled by the writer.
type Slot = Arc<Mutex<Option<Result<Vec<Written>, Poisoned>>>>;

impl Cleaner {
    /// A cleaner that has nothing under way.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self {
            log,
            copying: None,
            settling: BTreeSet::new(),
            noted: None,
            aside: BTreeMap::new(),
            mended: BTreeSet::new(),
        }
    }

    /// Does one piece of work. `live_bytes` says how many bytes of each segment are alive, as
    /// [`Place::record_bytes`] counts them, and none for segments that are not named; it is asked
    /// only where a segment may be chosen, since to count them takes long. At most `bytes_max`
    /// bytes are copied, though at least one record. Blocks on the disk for the segment's index,
    /// for the reads of a batch, and if a spare has to be filled.
    ///
    /// # Errors
    /// [`Error::Io`]; if a segment could not be read, others come first, and it is tried again
    /// after a while; if the file of a freed one could not be removed, the next open does it.
    /// [`Error::Poisoned`] if the log has stopped.
    pub fn step(
        &mut self,
        live: &dyn Live,
        live_bytes: impl FnOnce() -> BTreeMap<u64, u64>,
        bytes_max: u64,
    ) -> Result<Cleaned, Error> {
        if let Some(cleaned) = self.free()? {
            return Ok(cleaned);
        }
        if let Some(cleaned) = self.note(live)? {
            return Ok(cleaned);
        }
        if let Some(cleaned) = self.end_copies(live)? {
            return Ok(cleaned);
        }
        if self.copying.is_some() {
            return self.copy(live, bytes_max);
        }
        self.choose(live, live_bytes)
    }

    /// A segment that was kept may be tried again. What was reported of it is mended, or nobody
    /// needs it: damage of which no header was readable will not keep it once more.
    pub fn retry(&mut self, segment: u64) {
        self.aside.remove(&segment);
        self.mended.insert(segment);
    }

    /// Gives away the file of which the log now says that it is freed.
    fn free(&mut self) -> Result<Option<Cleaned>, Error> {
        let Some((segment, slot)) = &self.noted else {
            return Ok(None);
        };
        let Some(noted) = held(slot).take() else {
            return Ok(None);
        };
        let segment = *segment;
        self.noted = None;
        noted?;
        self.mended.remove(&segment);
        let shared = &self.log.shared;
        let file_bytes = shared.files.extent(segment).map_or(0, |extent| extent.file);
        let recycled = shared.discard(segment)?;
        let counters = &shared.counters;
        counters.freed_bytes.fetch_add(file_bytes, Relaxed);
        Ok(Some(Cleaned::Freed { segment, recycled }))
    }

    /// Looks at a settled segment for the last time and notes that it is freed.
    fn note(&mut self, live: &dyn Live) -> Result<Option<Cleaned>, Error> {
        if self.noted.is_some() {
            return Ok(None);
        }
        let held = |segment: &u64| Some((*segment, live.holder(*segment)?));
        for (segment, replica) in self.settling.iter().filter_map(held).collect::<Vec<_>>() {
            self.settling.remove(&segment);
            self.aside.insert(segment, Aside::Held(replica));
        }
        let mut settling = self.settling.iter().copied();
        let Some(segment) = settling.find(|segment| live.settled(*segment)) else {
            return Ok(None);
        };
        self.settling.remove(&segment);
        match self.inspect(segment, live)? {
            Found::Needed(needed) if needed.is_empty() => {}
            // It will be chosen again.
            Found::Needed(_) => return Ok(None),
            Found::Damaged(damage) => return Ok(Some(self.keep(segment, damage))),
            Found::Held(replica) => {
                self.aside.insert(segment, Aside::Held(replica));
                return Ok(None);
            }
        }
        let (slot, done) = slot();
        match self.log.append_freed(segment, done) {
            Ok(()) => self.noted = Some((segment, slot)),
            Err(Error::Overloaded { .. }) => {
                self.settling.insert(segment);
                return Ok(Some(Cleaned::Waiting));
            }
            Err(error) => return Err(error),
        }
        Ok(Some(Cleaned::Noted { segment }))
    }

    /// Tells of copies that are durable.
    fn end_copies(&mut self, live: &dyn Live) -> Result<Option<Cleaned>, Error> {
        let Some(copying) = &mut self.copying else {
            return Ok(None);
        };
        let Some((_, slot)) = &copying.queued else {
            return Ok(None);
        };
        let Some(written) = held(slot).take() else {
            return Ok(Some(Cleaned::Waiting));
        };
        let written = written?.into_iter().map(|written| written.place);
        let (originals, _) = copying.queued.take().unwrap_or_default();
        let copies: Vec<(RecordAt, Place)> = originals.into_iter().zip(written).collect();
        live.moved(&copies);
        let bytes = copies.iter().map(|(_, place)| place.record_bytes()).sum();
        let counters = &self.log.shared.counters;
        counters.copied_bytes.fetch_add(bytes, Relaxed);
        let segment = copying.segment;
        if copying.todo.is_empty() {
            self.settle(segment);
        }
        Ok(Some(Cleaned::Copied { segment, bytes }))
    }

    /// Reads and queues the next batch.
    fn copy(&mut self, live: &dyn Live, bytes_max: u64) -> Result<Cleaned, Error> {
        let alone = self.is_alone();
        let Some(copying) = &mut self.copying else {
            return Ok(Cleaned::Idle);
        };
        let segment = copying.segment;
        let live_bytes = bytes_of(&copying.todo);
        if !make_room(&self.log, &copying.todo, alone)? {
            self.copying = None;
            if !alone {
                return Ok(Cleaned::Waiting);
            }
            // Another segment may need less.
            return Ok(Cleaned::NoRoom {
                segment,
                live_bytes,
            });
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let read = |record: &RecordAt| self.log.read(record.place, Some(record.checksum));
        while let Some(record) = copying.todo.pop() {
            if !live.refers(&record) {
                continue;
            }
            if live.is_held(record.replica) {
                return Ok(self.hold(segment, record.replica));
            }
            match read(&record) {
                Ok(payload) => batch.push((record, vec![payload])),
                Err(Error::Damaged { .. }) => {
                    let damage = damage_of(record);
                    return Ok(self.keep(segment, vec![damage]));
                }
                Err(error) => return Err(self.put_aside(segment, error)),
            }
            bytes += record.place.record_bytes();
            let next = copying.todo.last().map_or(0, bytes_of_one);
            if bytes + next > bytes_max {
                break;
            }
        }
        if batch.is_empty() {
            self.settle(segment);
            return Ok(Cleaned::Waiting);
        }
        self.queue(segment, batch, bytes)
    }

    fn queue(
        &mut self,
        segment: u64,
        batch: Vec<(RecordAt, Vec<Bytes>)>,
        bytes: u64,
    ) -> Result<Cleaned, Error> {
        let originals: Vec<RecordAt> = batch.iter().map(|(record, _)| *record).collect();
        let (slot, done) = slot();
        let appended = self.log.append_moved(batch, Sync::Required, done);
        let Some(copying) = &mut self.copying else {
            return Ok(Cleaned::Idle);
        };
        match appended {
            Ok(()) => {
                copying.queued = Some((originals, slot));
                Ok(Cleaned::Copying { segment, bytes })
            }
            Err(Error::Overloaded { .. }) => {
                copying.todo.extend(originals.into_iter().rev());
                Ok(Cleaned::Waiting)
            }
            Err(error) => Err(self.put_aside(segment, error)),
        }
    }

    /// Chooses the next segment, and looks at what it really holds.
    fn choose(
        &mut self,
        live: &dyn Live,
        live_bytes: impl FnOnce() -> BTreeMap<u64, u64>,
    ) -> Result<Cleaned, Error> {
        let alone = self.is_alone();
        let resting = match alone {
            true => Cleaned::Idle,
            false => Cleaned::Waiting,
        };
        let full = !alone && !self.log.shared.make_room(0, rest(&self.log, alone))?;
        if full || self.settling.len() >= SETTLING_SEGMENTS_MAX {
            return Ok(resting);
        }
        let win_part = win_part(&self.log)?;
        self.pass_look();
        let live_bytes = live_bytes();
        let Some((segment, extent)) = self.best(live, &live_bytes, win_part)? else {
            return Ok(resting);
        };
        let mut todo = match self.inspect(segment, live)? {
            Found::Needed(todo) => todo,
            Found::Damaged(damage) => return Ok(self.keep(segment, damage)),
            Found::Held(replica) => return Ok(self.hold(segment, replica)),
        };
        let live_bytes_found = bytes_of(&todo);
        if todo.is_empty() {
            self.settle(segment);
        } else if won(&self.log, &extent, live_bytes_found) * win_part < extent.file {
            let told = live_bytes.get(&segment).copied().unwrap_or_default();
            self.aside.insert(segment, Aside::Full(told));
            return Ok(Cleaned::Passed {
                segment,
                live_bytes: live_bytes_found,
            });
        } else {
            todo.sort_by_cached_key(|record| {
                Reverse((record.replica, live.home(record), record.position))
            });
            self.copying = Some(Copying {
                segment,
                todo,
                queued: None,
            });
        }
        Ok(Cleaned::Chose {
            segment,
            live_bytes: live_bytes_found,
        })
    }

    /// The segment whose cleaning wins most for least, of those for which there is room if there
    /// are such.
    fn best(
        &mut self,
        live: &dyn Live,
        live_bytes: &BTreeMap<u64, u64>,
        win_part: u64,
    ) -> Result<Option<(u64, Extent)>, Error> {
        let shared = self.log.shared.clone();
        // Behind this, not all records are known above, or they are needed with their block.
        let end = Position(shared.counters.acknowledged.load(Acquire)).segment();
        let room = shared.room();
        let mut best = None;
        for segment in shared.files.numbers() {
            let told = live_bytes.get(&segment).copied().unwrap_or_default();
            if segment + 1 >= end || !self.may_choose(live, segment, told) {
                continue;
            }
            let extent = match shared.files.extent(segment) {
                Ok(extent) => extent,
                Err(error) => return Err(self.put_aside(segment, error)),
            };
            let won = won(&self.log, &extent, told);
            if told > 0 && won * win_part < extent.file {
                continue;
            }
            let benefit = u128::from(won) * u128::from(end - segment);
            let score = match told {
                0 => u128::MAX,
                told => (benefit << u32::BITS) / u128::from(extent.file + told),
            };
            let rank = (told <= room, score, Reverse(segment));
            if best.as_ref().is_none_or(|(other, _)| *other < rank) {
                best = Some((rank, extent));
            }
        }
        Ok(best.map(|((_, _, Reverse(segment)), extent)| (segment, extent)))
    }

    fn may_choose(&self, live: &dyn Live, segment: u64, told: u64) -> bool {
        let busy = self.settling.contains(&segment)
            || self
                .noted
                .as_ref()
                .is_some_and(|(noted, _)| *noted == segment);
        !busy
            && match self.aside.get(&segment) {
                None => true,
                Some(Aside::Full(before)) => *before != told,
                Some(Aside::Held(replica)) => !live.is_held(*replica),
                Some(Aside::Unread { left, .. }) => *left == 0,
                Some(Aside::Damaged) => false,
            }
    }

    /// There is one more look for a segment since some could not be read.
    fn pass_look(&mut self) {
        for aside in self.aside.values_mut() {
            if let Aside::Unread { left, .. } = aside {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// The records of a segment to which somebody refers, or what keeps it.
    fn inspect(&mut self, segment: u64, live: &dyn Live) -> Result<Found, Error> {
        let mut found = match self.log.records(segment) {
            Ok(found) => found,
            Err(error) => return Err(self.put_aside(segment, error)),
        };
        let mended = self.mended.contains(&segment);
        found.damage.retain(|damage| match &damage.record {
            Some(record) => live.refers(record),
            None => !mended,
        });
        found.records.retain(|record| live.refers(record));
        let damaged = found.damage.iter().filter_map(|damage| damage.record);
        let mut needed = damaged.chain(found.records.iter().copied());
        Ok(match needed.find(|record| live.is_held(record.replica)) {
            Some(held) => Found::Held(held.replica),
            None if found.damage.is_empty() => Found::Needed(found.records),
            None => Found::Damaged(found.damage),
        })
    }

    /// Whether no segment takes space twice, but for the one that is copied.
    fn is_alone(&self) -> bool {
        self.settling.is_empty() && self.noted.is_none()
    }

    /// All that is needed of the segment is copied.
    fn settle(&mut self, segment: u64) {
        self.copying = None;
        self.aside.remove(&segment);
        self.settling.insert(segment);
    }

    fn hold(&mut self, segment: u64, replica: ReplicaId) -> Cleaned {
        self.copying = None;
        self.aside.insert(segment, Aside::Held(replica));
        Cleaned::Held { segment, replica }
    }

    fn keep(&mut self, segment: u64, damage: Vec<Damage>) -> Cleaned {
        self.copying = None;
        self.aside.insert(segment, Aside::Damaged);
        Cleaned::Kept { segment, damage }
    }

    fn put_aside(&mut self, segment: u64, error: Error) -> Error {
        self.copying = None;
        let aside = match (&error, self.aside.get(&segment)) {
            (Error::Io { .. }, Some(Aside::Unread { looks, .. })) => {
                unread((looks * 2).min(CLEAN_UNREAD_LOOKS_MAX))
            }
            (Error::Io { .. }, _) => unread(CLEAN_UNREAD_LOOKS),
            _ => Aside::Damaged,
        };
        self.aside.insert(segment, aside);
        error
    }
}

fn unread(looks: u32) -> Aside {
    Aside::Unread { left: looks, looks }
}

/// Bytes that cleaning wins: dead records, and what was left unfilled when a crash sealed the
/// segment. What any segment may leave because the next record was too large for it is not won:
/// the next one leaves as much.
fn won(log: &Log, extent: &Extent, live_bytes: u64) -> u64 {
    let largest = record_bytes(log.shared.options.record_bytes_max) + HEADER_BYTES;
    let unfilled = extent.unfilled.saturating_sub(u64::from(largest));
    extent.records.saturating_sub(live_bytes) + unfilled
}

/// Which part of a segment (one over this number) has to be won.
fn win_part(log: &Log) -> Result<u64, Error> {
    let shared = &log.shared;
    let taken = shared.files.count() * u64::from(shared.options.segment_bytes);
    let needed = shared.options.reserve_bytes + taken / CLEAN_GROWTH_PART;
    let room = shared.room().saturating_add(shared.growth()?);
    Ok(match room < needed {
        true => CLEAN_WIN_PART_SHORT,
        false => shared.options.clean_win_part,
    })
}

fn bytes_of(records: &[RecordAt]) -> u64 {
    records.iter().map(bytes_of_one).sum()
}

fn bytes_of_one(record: &RecordAt) -> u64 {
    record.place.record_bytes()
}

/// Whether these records may be copied: behind them there has to be room for what frees the
/// segment in the end. Unless it is `alone`, other segments take space twice already, and half of
/// the reserve has to stay.
fn make_room(log: &Log, records: &[RecordAt], alone: bool) -> Result<bool, Error> {
    let index = records.len() as u64 * u64::from(HEADER_BYTES);
    let margin = u64::from(log.shared.options.segment_bytes) / CLEAN_ROOM_PART;
    let bytes = bytes_of(records) + index + margin;
    log.shared.make_room(bytes, rest(log, alone))
}

fn rest(log: &Log, alone: bool) -> u64 {
    if alone {
        0
    } else {
        log.shared.options.reserve_bytes / 2
    }
}

fn damage_of(record: RecordAt) -> Damage {
    Damage {
        segment: record.place.segment,
        offset: record.place.offset - HEADER_BYTES,
        length: u32::try_from(record.place.record_bytes()).unwrap_or(u32::MAX),
        what: What::Record,
        record: Some(record),
    }
}

fn slot() -> (Slot, Done) {
    let slot = Slot::default();
    let filled = slot.clone();
    let done = Box::new(move |result| *held(&filled) = Some(result));
    (slot, done)
}
