//! A snapshot on its way in.
//!
//! Chunks may come slowly, and the stream that brings them may break: an [`Arrival`] holds what
//! came in an index beside that of the replica, which goes on meanwhile, and says where the next
//! chunk begins. Then it says which of the bodies that the new rows refer to are not on this node,
//! and takes those. Only [`Replica::install`] makes the new rows the replica's: one base in the
//! log, whose last record is the switch. What is given up before leaves nothing but dead records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rows::snapshot::{Cursor, Reader, SnapshotError};
use rows::{Digest, END, Fault, Row};
use seglog::{Record, Sync};

use super::Replica;
use super::bodies::{Entries, Logged};
use super::checkpoint::has_room;
use super::history::puts;
use super::index::{Change, Index};
use super::limits::{ARRIVED_BYTES_MAX, BODIES_WANTED_MAX, PLACE_BYTES};
use super::machine::{LogId, Membership, Referred};
use super::mend::BaseWriter;
use super::places::{self, Kept, LOCAL_FROM, LOCAL_TO};
use super::run::{Mark, Run};

/// Bytes by which a row is longer in a base than in a chunk, at most.
const LENGTHS_BYTES: u64 = 8;

/// A snapshot on its way in. Everything blocks on the disk.
pub struct Arrival {
    replica: Arc<Replica>,
    at: LogId,
    membership: Option<Membership>,
    index: Arc<dyn Index>,
    reader: Reader,
    /// Bytes of the chunks that have come.
    bytes: u64,
    /// Bytes of the bodies that have come.
    body_bytes: u64,
    /// The last row of which the body was asked for.
    asked: Bytes,
    /// Bodies that were asked for and have not come.
    awaited: BTreeSet<LogId>,
    /// The index became the replica's.
    installed: bool,
}

impl Arrival {
    /// Begins to take in the rows of a checkpoint.
    ///
    /// # Errors
    /// [`Fault::Store`] if no index can be made for them.
    pub fn begin(
        replica: &Arc<Replica>,
        at: LogId,
        membership: Option<Membership>,
    ) -> Result<Self, Fault> {
        let index = replica.indexes.fresh(replica.id)?;
        replica.arriving.fetch_add(1, Relaxed);
        Ok(Self {
            replica: Arc::clone(replica),
            at,
            membership,
            index,
            reader: rows::snapshot::read(),
            bytes: 0,
            body_bytes: 0,
            asked: Bytes::new(),
            awaited: BTreeSet::new(),
            installed: false,
        })
    }

    /// Takes over the bodies that have arrived for another checkpoint, of which the rest will not
    /// come: those that the rows of this one refer to need not come again.
    ///
    /// # Errors
    /// A [`Fault`] if the rows that say where they lie cannot be read or put.
    pub fn inherit(&mut self, other: &Self) -> Result<(), Fault> {
        let places = other.index.scan(LOCAL_FROM, LOCAL_TO)?;
        self.index.put_sorted(&mut puts(places))
    }

    /// The checkpoint that arrives.
    #[must_use]
    pub fn at(&self) -> LogId {
        self.at
    }

    /// The members at that checkpoint.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// Where the next chunk begins.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        self.reader.cursor()
    }

    /// Of which replica.
    #[must_use]
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// About how many bytes of the log the rows that have come take once they are installed.
    #[must_use]
    pub fn base_bytes(&self) -> u64 {
        self.bytes + self.cursor().rows * LENGTHS_BYTES
    }

    /// Bytes of chunks and bodies that have come.
    #[must_use]
    pub fn came_bytes(&self) -> u64 {
        self.bytes + self.body_bytes
    }

    /// Whether all rows have come.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.reader.is_done()
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`Fault::Store`] if it is not the next or not whole: then nothing has changed.
    pub fn push(&mut self, chunk: &Bytes) -> Result<(), Fault> {
        let rows = self.reader.push(chunk).map_err(damaged)?;
        self.bytes += chunk.len() as u64;
        self.index.put_sorted(&mut puts(rows.into_iter().map(Ok)))
    }

    /// What was asked for and did not come is wanted again.
    pub fn rewind(&mut self) {
        self.awaited.clear();
        self.asked = Bytes::new();
    }

    /// Bodies that the rows refer to and this node does not have: the next few, which are not
    /// wanted again before [`Arrival::rewind`]; none when all were asked for, and all are here if
    /// those have been put. Notes where those lie that only Raft's log knows of, applied or not: it
    /// forgets them with the snapshot (R4).
    ///
    /// # Errors
    /// A [`Fault`] if rows cannot be read.
    pub fn wanted(&mut self) -> Result<Vec<Referred>, Fault> {
        let (mut wanted, mut listed) = (BTreeMap::new(), BTreeMap::new());
        let (old, entries) = self.replica.holds();
        let mut bytes = 0;
        let from = self.asked.clone();
        for row in self.replica.referring(self.index.scan(&from, END)?) {
            let (key, referred) = row?;
            self.asked = key;
            let id = referred.id;
            let place = places::key(id);
            let comes = self.awaited.contains(&id);
            if comes || self.index.get(&place)?.is_some() || old.get(&place)?.is_some() {
                continue;
            }
            // One that cannot be read comes from another replica, like one that is not here.
            let lies_at = |entries: &Arc<dyn Entries>| entries.place(id.index, id.term).ok()?;
            if let Some(logged) = entries.as_ref().and_then(lies_at) {
                listed.insert(place, places::value(&uncounted(logged)));
            } else if wanted.insert(id, referred).is_none() {
                bytes += referred.length;
            }
            if wanted.len() >= BODIES_WANTED_MAX || bytes >= ARRIVED_BYTES_MAX {
                break;
            }
        }
        self.index
            .put_sorted(&mut puts(listed.into_iter().map(Ok)))?;
        self.awaited.extend(wanted.keys());
        Ok(wanted.into_values().collect())
    }

    /// Takes bodies in, each of which was checked with [`matches()`].
    ///
    /// # Errors
    /// [`Fault::Store`] if the log or the index cannot be written, [`Fault::NoRoom`] if the log has
    /// no room for them.
    pub fn put(&mut self, bodies: Vec<(Referred, Bytes)>) -> Result<(), Fault> {
        let record = |(referred, body): &(Referred, Bytes)| {
            let id = (referred.id.term, referred.id.index);
            Record::body(self.replica.id, id, vec![body.clone()])
        };
        let records = bodies.iter().map(record).collect();
        let written = self.replica.append(records, Sync::Lazy)?;
        let mut places: Vec<Row> = bodies
            .iter()
            .zip(written)
            .map(|((referred, _), written)| {
                let logged = Logged {
                    place: written.place,
                    checksum: written.checksum,
                    skip: 0,
                };
                (places::key(referred.id), places::value(&uncounted(logged)))
            })
            .collect();
        places.sort();
        self.index
            .put_sorted(&mut puts(places.into_iter().map(Ok)))?;
        for (referred, _) in &bodies {
            self.body_bytes += referred.length;
            self.awaited.remove(&referred.id);
        }
        Ok(())
    }

    /// The digest of the rows.
    ///
    /// # Errors
    /// [`Fault::Store`] if some have not come.
    pub(super) fn digest(&self) -> Result<Digest, Fault> {
        match self.is_whole() {
            true => Ok(self.cursor().digest),
            false => Err(Fault::Store("the last chunk is missing".to_owned())),
        }
    }

    /// Adds the places of bodies that this node had before, and writes all rows as a base. When
    /// this returns it is durable; with [`Fault::NoRoom`] there is none, and none will come.
    pub(super) fn finish(mut self) -> Result<Arrived, Fault> {
        let digest = self.digest()?;
        let places = self.places()?;
        // Before anything of it is written: half a base would take what room there is.
        let bytes = self.base_bytes() + places.len() as u64 * PLACE_BYTES;
        if !has_room(&self.replica.log, bytes) {
            return Err(Fault::NoRoom);
        }
        self.index.put_sorted(&mut places.into_iter().map(Ok))?;
        let mut base = BaseWriter::new(&self.replica, self.at);
        for row in places::all_rows(self.index.as_ref())? {
            let (key, value) = row?;
            base.push(&key, &value)?;
        }
        let mark = Mark {
            at: self.at,
            membership: self.membership.take(),
            digest,
            places: base.local(),
        };
        // The index is believed because of its digest alone.
        let (run, kept_bytes) = base.finish(&mark)?;
        self.installed = true;
        Ok(Arrived {
            run,
            mark,
            index: Arc::clone(&self.index),
            kept_bytes,
        })
    }

    /// The places of all bodies to which the rows refer, and how many rows do; but for bodies that
    /// nobody brought. Places of others, which were brought for another checkpoint, go.
    fn places(&self) -> Result<Vec<Change>, Fault> {
        let mut references = BTreeMap::<(u64, u64), (u32, Option<u128>)>::new();
        for row in self.replica.referring(self.index.scan(&[], END)?) {
            let (_, Referred { id, home, .. }) = row?;
            let (count, last) = references.entry((id.index, id.term)).or_default();
            *count += 1;
            *last = home.or(*last);
        }
        let (old, entries) = self.replica.holds();
        let mut places = Vec::with_capacity(references.len());
        for row in self.index.scan(LOCAL_FROM, LOCAL_TO)? {
            let (key, _) = row?;
            let LogId { term, index } = places::id_of(&key)?;
            if !references.contains_key(&(index, term)) {
                places.push((key, None));
            }
        }
        for ((index, term), (references, home)) in references {
            let id = LogId { term, index };
            let mut kept = places::find(self.index.as_ref(), id)?;
            if kept.is_none() {
                kept = places::find(old.as_ref(), id)?;
            }
            let logged = kept
                .map(|kept| kept.logged)
                .or_else(|| entries.as_ref()?.place(index, term).ok()?);
            if let Some(logged) = logged {
                let kept = Kept {
                    logged,
                    references,
                    home,
                };
                places.push((places::key(id), Some(places::value(&kept))));
            }
        }
        places.sort_unstable();
        Ok(places)
    }
}

/// A place that is noted before it is counted how many rows refer to it.
fn uncounted(logged: Logged) -> Kept {
    Kept {
        logged,
        references: 0,
        home: None,
    }
}

/// A snapshot that is durable.
pub(super) struct Arrived {
    /// Its base.
    pub run: Run,
    /// What it says.
    pub mark: Mark,
    /// Its index, which does not say yet what it holds.
    pub index: Arc<dyn Index>,
    /// Bytes of the records of bodies that it keeps, by segment.
    pub kept_bytes: BTreeMap<u64, u64>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.replica.arriving.fetch_sub(1, Relaxed);
        if !self.installed {
            self.replica.discard(self.index.as_ref());
        }
    }
}

/// Whether these are the bytes that a row refers to.
#[must_use]
pub fn matches(referred: &Referred, body: &[u8]) -> bool {
    let hash = |expected: &[u8; 16]| mailbox::Hash16::of(body).0 == *expected;
    body.len() as u64 == referred.length && referred.hash.as_ref().is_none_or(hash)
}

pub(super) fn damaged(error: SnapshotError) -> Fault {
    Fault::Store(error.to_string())
}
