//! The scrubber: reads the whole log from time to time, so that damage is found before anybody
//! needs what it took, and while others still have it.
//!
//! ```text
//!   scrub   segment by segment, at a limited rate, all of them once a period
//!   cleaner, reads, the open of the log            what they met
//!      |
//!   whose is it, does anybody need it?  -->  wounds of replicas  -->  mend, from other replicas
//! ```
//!
//! One thread does both: it reads a segment, and between two looks what is to be mended, without
//! waiting for the pace of the scrub. Damage of which the header can still be read says whose it
//! is; all other is laid over the places of whatever this node refers to. What nobody refers to is
//! nobody's loss. Where it was, and when it was through, stands in the file `scrub` of the data
//! directory, so that restarts do not begin it anew; without that file a pass begins.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use seglog::{Damage, ReplicaId, What};

use super::clean::Cleaning;
use super::keeper::{Bell, Checkpointer};
use super::limits::{MEND_EVERY, SUSPECTS_MAX};
use super::mend::Fetch;
use super::{GroupId, Replica};

/// How a node scrubs its log.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Bytes a second that are read.
    pub bytes_per_second: u64,
    /// From the end of one pass to the beginning of the next.
    pub period: Duration,
    /// Where the progress is kept; nowhere if `None`.
    pub file: Option<PathBuf>,
}

/// What scrubbing came to.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// When the last pass ended, seconds since 1970; 0 for never.
    pub finished_secs: u64,
    /// The number of the last pass that ended, counted since the node started.
    pub passes: u64,
    /// The number of the last pass that began.
    pub begun: u64,
    /// Segments read since then.
    pub segments: u64,
    /// Bytes of segments read since then.
    pub bytes: u64,
    /// Damaged records found since then that somebody needs.
    pub damaged: u64,
    /// Damaged records mended since then.
    pub mended: u64,
    /// Records that are damaged now.
    pub left: u64,
}

/// Scrubs the log of a node, and mends it.
pub struct Scrubbing {
    log: seglog::Log,
    checkpointer: Arc<Checkpointer>,
    cleaning: Arc<Cleaning>,
    fetch: Arc<dyn Fetch>,
    pace: Pace,
    bell: Bell,
    work: Mutex<Work>,
    scrubbed: Mutex<Scrubbed>,
    stopped: AtomicBool,
}

/// What is under way.
#[derive(Default)]
struct Work {
    /// A pass is to begin now, whatever the period says.
    asked: bool,
    /// The segments that the pass has still to read, the next one last.
    left: Vec<u64>,
    /// What was found damaged, and which replicas have looked at it.
    suspects: Vec<Damage>,
    looked: BTreeMap<(GroupId, ReplicaId), usize>,
}

impl Scrubbing {
    /// For the log that `cleaning` cleans and the replicas that `checkpointer` has, or will have;
    /// `damage` is what the open of the log found.
    #[must_use]
    pub fn new(
        log: seglog::Log,
        checkpointer: Arc<Checkpointer>,
        cleaning: Arc<Cleaning>,
        fetch: Arc<dyn Fetch>,
        pace: Pace,
        damage: Vec<Damage>,
    ) -> Self {
        let kept = pace.file.as_ref().and_then(|file| {
            let text = std::fs::read_to_string(file).ok()?;
            let mut numbers = text.split_whitespace().map(str::parse::<u64>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        let (finished_secs, from) = kept.unwrap_or_default();
        let mut work = Work {
            suspects: damage,
            ..Work::default()
        };
        if from > 0 {
            work.left = sealed(&log, from);
        }
        Self {
            log,
            checkpointer,
            cleaning,
            fetch,
            pace,
            bell: Bell::default(),
            work: Mutex::new(work),
            scrubbed: Mutex::new(Scrubbed {
                finished_secs,
                begun: u64::from(from > 0),
                ..Scrubbed::default()
            }),
            stopped: AtomicBool::new(false),
        }
    }

    /// What it came to.
    #[must_use]
    pub fn scrubbed(&self) -> Scrubbed {
        *self.scrubbed.lock()
    }

    /// Begins a pass from the first segment now. It is over when `passes` of [`Scrubbed`] has
    /// reached the number that this answers.
    pub fn begin(&self) -> u64 {
        let mut work = self.work.lock();
        work.asked = true;
        work.left.clear();
        self.bell.ring();
        self.scrubbed.lock().begun + 1
    }

    /// Goes on until [`Scrubbing::stop`]. Blocks on disk and network: for a thread of its own.
    pub fn run(&self) {
        let mut next = Instant::now();
        while !self.stopped.load(Relaxed) {
            self.mend();
            if Instant::now() >= next {
                next = Instant::now() + self.scrub();
            }
            let pause = next.saturating_duration_since(Instant::now());
            self.bell.wait(pause.min(MEND_EVERY));
            if self.work.lock().asked {
                next = Instant::now();
            }
        }
    }

    /// Ends [`Scrubbing::run`] after its step.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.bell.ring();
    }

    /// Reads the next segment, if one is due; says how long to wait before the next.
    pub fn scrub(&self) -> Duration {
        let Some((segment, more, pass)) = self.next_segment() else {
            return MEND_EVERY;
        };
        let began = Instant::now();
        let bytes = self.read(segment);
        {
            let mut scrubbed = self.scrubbed.lock();
            scrubbed.segments += 1;
            scrubbed.bytes += bytes;
            if !more {
                scrubbed.passes = pass;
                scrubbed.finished_secs = now_secs();
                tracing::info!(?scrubbed, "the log was read whole");
            }
        }
        metrics::counter!("rookery_scrubbed_bytes_total").increment(bytes);
        self.keep_progress();
        let pace = bytes as f64 / self.pace.bytes_per_second as f64;
        Duration::from_secs_f64(pace).saturating_sub(began.elapsed())
    }

    /// The segment that is due, whether the pass goes on after it, and the number of the pass.
    fn next_segment(&self) -> Option<(u64, bool, u64)> {
        let mut work = self.work.lock();
        if work.left.is_empty() {
            let ago = now_secs().saturating_sub(self.scrubbed.lock().finished_secs);
            if !work.asked && ago < self.pace.period.as_secs() {
                return None;
            }
            work.left = sealed(&self.log, 0);
            let mut scrubbed = self.scrubbed.lock();
            scrubbed.begun += 1;
            work.asked = false;
            if work.left.is_empty() {
                // Nothing is sealed yet.
                scrubbed.passes = scrubbed.begun;
                scrubbed.finished_secs = now_secs();
                return None;
            }
        }
        let segment = work.left.pop()?;
        let pass = self.scrubbed.lock().begun;
        Some((segment, !work.left.is_empty(), pass))
    }

    /// Reads a segment, and notes what of it is damaged; answers its bytes.
    fn read(&self, segment: u64) -> u64 {
        let whole = Damage {
            segment,
            offset: 0,
            length: u32::MAX,
            what: What::Missing,
            record: None,
        };
        let damage = match self.log.scrub(segment) {
            Ok(damage) => damage,
            Err(seglog::Error::Poisoned(_) | seglog::Error::Freed { .. }) => return 0,
            // Not to be read at all: whatever is there may be damaged, and is looked at.
            Err(error) => {
                tracing::error!(segment, %error, "a segment cannot be read");
                vec![whole]
            }
        };
        if !damage.is_empty() {
            tracing::error!(segment, ?damage, "a segment is damaged");
            self.suspect(damage);
        }
        let segments = self.log.segments().unwrap_or_default();
        let read = segments.iter().find(|found| found.number == segment);
        read.map_or(0, |found| found.file_bytes)
    }

    /// Notes damage, to be looked at by every replica.
    fn suspect(&self, damage: impl IntoIterator<Item = Damage>) {
        let mut work = self.work.lock();
        for damage in damage {
            if work.suspects.len() < SUSPECTS_MAX && !work.suspects.contains(&damage) {
                work.suspects.push(damage);
            }
        }
    }

    /// Looks at what was found damaged, and mends what somebody needs, as far as others have it.
    pub fn mend(&self) {
        self.suspect(self.cleaning.take_damaged());
        let replicas = self.checkpointer.replicas();
        for replica in &replicas {
            self.look(replica);
            match replica.mend(self.fetch.as_ref()) {
                Ok(mended) => {
                    let done = mended.entries + mended.bodies + mended.bases;
                    self.scrubbed.lock().mended += done;
                }
                // It has stopped, and is brought back by others.
                Err(fault) => tracing::debug!(group = replica.group().0, %fault, "not mended"),
            }
        }
        let left = replicas.iter().map(|replica| replica.wounded()).sum();
        self.scrubbed.lock().left = left;
        metrics::gauge!("rookery_damage_open").set(left as f64);
        if left == 0 {
            self.settle(&replicas);
        }
    }

    /// Lays damage over what the replica needs, once for each.
    fn look(&self, replica: &Arc<Replica>) {
        let key = (replica.group(), replica.id());
        let (from, suspects) = {
            let work = self.work.lock();
            let from = work.looked.get(&key).copied().unwrap_or(0);
            (from, work.suspects.get(from..).unwrap_or_default().to_vec())
        };
        let mut looked = from;
        for damage in suspects {
            let others = damage
                .record
                .is_some_and(|record| record.replica != replica.id());
            if let Some(stretch) = stretch(&damage).filter(|_| !others) {
                match replica.wound_stretch(damage.segment, stretch) {
                    Ok(count) => self.scrubbed.lock().damaged += count,
                    Err(fault) => {
                        tracing::debug!(group = replica.group().0, %fault, "not looked at");
                        break;
                    }
                }
            }
            looked += 1;
        }
        self.work.lock().looked.insert(key, looked);
    }

    /// All replicas have looked at all damage, and nothing that they need is left of it.
    fn settle(&self, replicas: &[Arc<Replica>]) {
        let mut work = self.work.lock();
        let count = work.suspects.len();
        let all = |replica: &Arc<Replica>| {
            let key = (replica.group(), replica.id());
            work.looked.get(&key).copied().unwrap_or(0) >= count
        };
        if count == 0 || !self.cleaning.all_open() || !replicas.iter().all(all) {
            return;
        }
        let segments: BTreeSet<u64> = work.suspects.iter().map(|found| found.segment).collect();
        self.cleaning.mended(segments);
        work.suspects.clear();
        work.looked.clear();
    }

    fn keep_progress(&self) {
        let Some(file) = &self.pace.file else { return };
        let next = self.work.lock().left.last().copied().unwrap_or(0);
        let finished = self.scrubbed.lock().finished_secs;
        let fresh = file.with_extension("new");
        let written = std::fs::write(&fresh, format!("{finished} {next}\n"));
        if let Err(error) = written.and_then(|()| std::fs::rename(&fresh, file)) {
            tracing::warn!(%error, "how far the log was scrubbed is not kept");
        }
    }
}

/// The sealed segments from a number on, the last one first.
fn sealed(log: &seglog::Log, from: u64) -> Vec<u64> {
    let segments = log.segments().unwrap_or_default().into_iter();
    let sealed = segments.filter(|segment| segment.sealed && segment.number >= from);
    sealed.map(|segment| segment.number).rev().collect()
}

/// The part of a segment in which something may be lost.
fn stretch(damage: &Damage) -> Option<Range<u64>> {
    let from = u64::from(damage.offset);
    match damage.what {
        What::Record => Some(from..from + u64::from(damage.length)),
        What::Missing => Some(0..u64::MAX),
        // Nothing is lost by it.
        What::Block | What::Index => None,
    }
}

fn now_secs() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
