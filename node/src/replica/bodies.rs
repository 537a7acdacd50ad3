//! Bodies: from what a row says to the bytes.
//!
//! The bytes of a message are the body of the log entry that brought it, or of several entries if
//! it came in chunks. Rows name entries by index and term, which are the same on every replica;
//! where an entry lies in the log of this node is known to Raft's log as long as it lists the
//! entry, and from the checkpoint on to a local row (`places`).
//!
//! Every read is of whole records, which are checked against their checksums, also where only a
//! part is asked for ([`BodyCache`]); a body that is read whole is checked against the hash in
//! its row besides. So damage is an error here, never bytes. Everything blocks on the disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mailbox::{Answer, Body, BodyAt, Hash16, Piece, Query};
use rows::{DIGEST_KEY, END, Fault, Row};
use seglog::{Place, RecordAt, ReplicaId};

use super::arrival::matches;
use super::limits::{BODY_CACHED_BYTES_MIN, BODY_READ_BYTES_MAX, PROBE_BODIES, PROBE_BYTES};
use super::machine::{LogId, Referred};
use super::{Replica, places};
use crate::cache::Cache;

/// Bodies of entries of which a part was read, for all replicas of a node: the next part is served
/// without the disk.
///
/// A record is read whole, since its checksum covers the whole, and a client that reads a large
/// message in windows would have it read again for each. What is held was checked when it was read,
/// and an entry's id names one body for ever (R5), so nothing here is ever wrong.
pub type BodyCache = Cache<(ReplicaId, LogId), Bytes>;

/// Raft's log, as far as a replica looks into it. Implemented by `raft`.
pub trait Entries: Send + Sync {
    /// The body of an entry that the log lists: from memory, or where it lies.
    fn body(&self, index: u64, term: u64) -> Option<BodyPlace>;

    /// Where the entry lies in the log of this node, also if it is held in memory; `None` if it is
    /// not listed, or not durable yet.
    ///
    /// # Errors
    /// [`Fault::Store`] if its record has to be looked at for that, and cannot be read now.
    fn place(&self, index: u64, term: u64) -> Result<Option<Logged>, Fault>;

    /// The last index up to which all entries are durable in the log of this node.
    fn written_upto(&self) -> u64;

    /// Whether the log lists the entry as lying at this place.
    fn lies_at(&self, index: u64, term: u64, place: Place) -> bool;

    /// There is a durable copy of the entry: what lay at `from` is read at `to` from now on.
    fn moved(&self, index: u64, term: u64, from: Place, to: Place);

    /// Adds the bytes of the records of all listed entries to those of their segments.
    fn count_bytes(&self, by_segment: &mut BTreeMap<u64, u64>);

    /// The record of an entry that the log lists, whether or not it is damaged; `None` if it is not
    /// listed, or not written yet.
    fn record(&self, index: u64, term: u64) -> Option<RecordAt>;

    /// The records of all listed entries that begin in a stretch of a segment.
    fn records_in(&self, segment: u64, offsets: Range<u64>) -> Vec<RecordAt>;

    /// The entries that could not be read since the last call.
    fn take_damaged(&self) -> Vec<LogId>;
}

/// A body, or where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// The bytes.
    Held(Bytes),
    /// In the log of this node.
    Logged(Logged),
}

/// Where an entry lies in the log of this node.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Where its payload lies.
    pub place: Place,
    /// CRC-32C of the payload.
    pub checksum: u32,
    /// Bytes of the payload that precede the body.
    pub skip: u32,
}

/// What [`Replica::probe`] read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// The key from which it goes on; `None` when all was read.
    pub next: Option<Bytes>,
    /// Bodies that were read.
    pub bodies: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Those that are not there, or not as their rows say.
    pub bad: Vec<(LogId, String)>,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// This node does not have it: ask another replica.
    #[error("the body of entry {0} is not on this node")]
    Missing(LogId),
    /// There is no such upload, or the range is not within the body: the row is gone since.
    #[error("there is no such body")]
    NoBody,
    /// This node's copy is damaged: ask another replica.
    #[error("the body of entry {0} is damaged: {1}")]
    Damaged(LogId, String),
    /// The replica has stopped.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Replica {
    /// Reads a body whole and checks it against its hash. Holds all of it in memory: for bodies
    /// that are known to be small.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn body(&self, body: &Body) -> Result<Bytes, BodyError> {
        let pieces = self.pieces(body)?;
        let bytes = self.gather(&pieces, 0..body.length)?;
        if Hash16::of(&bytes) != body.hash {
            let first = pieces.first().map_or(LogId::default(), id_of);
            return Err(BodyError::Damaged(
                first,
                "it does not have its row's hash".to_owned(),
            ));
        }
        Ok(bytes)
    }

    /// Reads a part of a body, at most [`BODY_READ_BYTES_MAX`] bytes; the caller comes back for the
    /// rest.
    ///
    /// # Errors
    /// [`BodyError`]; [`BodyError::NoBody`] for a range that is not within the body.
    pub fn body_range(&self, body: &Body, range: Range<u64>) -> Result<Bytes, BodyError> {
        if range.start > range.end || range.end > body.length {
            return Err(BodyError::NoBody);
        }
        let end = range.end.min(range.start + BODY_READ_BYTES_MAX);
        self.gather(&self.pieces(body)?, range.start..end)
    }

    /// Reads the body of an entry, for another replica or as a part of a body.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn entry_body(&self, id: LogId) -> Result<Bytes, BodyError> {
        loop {
            let Logged {
                place,
                checksum,
                skip,
            } = match self.find(id)? {
                None => return Err(BodyError::Missing(id)),
                Some(BodyPlace::Held(bytes)) => return Ok(bytes),
                Some(BodyPlace::Logged(logged)) => logged,
            };
            match self.log.read(place, Some(checksum)) {
                Ok(payload) => return Ok(payload.slice((skip as usize).min(payload.len())..)),
                // It was moved since it was looked for.
                Err(seglog::Error::Freed { .. }) if self.has_moved(id, place)? => {}
                Err(error) => {
                    self.wound(id);
                    return Err(BodyError::Damaged(id, error.to_string()));
                }
            }
        }
    }

    /// Reads a part of the body of an entry, which has so many bytes. The record is read whole and
    /// checked; of one that is large the rest is held for a while, for whoever comes back for it.
    fn entry_range(&self, id: LogId, length: u64, range: Range<u64>) -> Result<Bytes, BodyError> {
        let held = self.read_bodies.get(&(self.id, id));
        let body = match &held {
            Some(body) => body.clone(),
            None => self.entry_body(id)?,
        };
        if body.len() as u64 != length {
            let why = format!("it has {} bytes of {length}", body.len());
            return Err(BodyError::Damaged(id, why));
        }
        let is_part = range.end - range.start < length;
        if held.is_none() && is_part && length > BODY_CACHED_BYTES_MIN {
            self.read_bodies.put((self.id, id), body.clone(), length);
        }
        // Both are within the body, which is in memory.
        Ok(body.slice(range.start as usize..range.end as usize))
    }

    /// Whether the body of an entry lies elsewhere now.
    fn has_moved(&self, id: LogId, from: Place) -> Result<bool, BodyError> {
        let found = self.find(id)?;
        Ok(!matches!(found, Some(BodyPlace::Logged(logged)) if logged.place == from))
    }

    fn find(&self, id: LogId) -> Result<Option<BodyPlace>, BodyError> {
        let index = {
            let state = self.state.read();
            state.layers.check()?;
            Arc::clone(state.layers.index())
        };
        let entries = self.entries.read().clone();
        if let Some(place) = entries.and_then(|entries| entries.body(id.index, id.term)) {
            return Ok(Some(place));
        }
        let kept = places::find(index.as_ref(), id)?;
        Ok(kept.map(|kept| BodyPlace::Logged(kept.logged)))
    }

    /// Reads some of the bodies to which the rows refer, from a key on, and checks them against
    /// their rows: what the last checkpoint holds. Blocks on the disk.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica, or that rows cannot be read.
    pub fn probe(&self, after: &[u8]) -> Result<Probed, Fault> {
        let index = self.read(|rows| {
            rows.check()?;
            Ok::<_, Fault>(Arc::clone(rows.index()))
        })?;
        let mut probed = Probed::default();
        for row in self.referring(index.scan(after, END)?) {
            let (key, referred) = row?;
            if probed.bytes >= PROBE_BYTES || probed.bodies >= PROBE_BODIES {
                probed.next = Some(key);
                return Ok(probed);
            }
            probed.bodies += 1;
            probed.bytes += referred.length;
            let why = match self.entry_body(referred.id) {
                Ok(body) if matches(&referred, &body) => continue,
                Ok(_) => "it does not have its row's hash".to_owned(),
                Err(BodyError::Fault(fault)) => return Err(fault),
                // The row may have gone since, and the body with it.
                Err(BodyError::Missing(_)) if index.get(&key)?.is_none() => continue,
                Err(error) => error.to_string(),
            };
            probed.bad.push((referred.id, why));
        }
        Ok(probed)
    }

    /// Those of the machine's rows that refer to bodies, each by its key, and to which.
    pub(super) fn referring(
        &self,
        rows: impl Iterator<Item = Result<Row, Fault>>,
    ) -> impl Iterator<Item = Result<(Bytes, Referred), Fault>> {
        let referred = |(key, value): Row| match key == DIGEST_KEY {
            true => Ok(None),
            false => {
                let referred = self.machine.referred(&key, &value)?;
                Ok(referred.map(|referred| (key, referred)))
            }
        };
        rows.filter_map(move |row| row.and_then(referred).transpose())
    }

    /// The entries that a body is made of, in order.
    fn pieces(&self, body: &Body) -> Result<Vec<Piece>, BodyError> {
        let upload = match body.at {
            BodyAt::Entry { index, term } => {
                return Ok(vec![Piece {
                    index,
                    term,
                    length: body.length,
                }]);
            }
            BodyAt::Upload(upload) => upload,
        };
        let locate = Query::Locate {
            upload,
            length: body.length,
        };
        match self.read(|rows| mailbox::query(rows, &locate)) {
            Ok(Answer::Chunks(pieces)) if !pieces.is_empty() => Ok(pieces),
            Err(mailbox::QueryError::Fault(fault)) => Err(fault.into()),
            Ok(_) | Err(_) => Err(BodyError::NoBody),
        }
    }

    fn gather(&self, pieces: &[Piece], range: Range<u64>) -> Result<Bytes, BodyError> {
        let mut parts = Vec::new();
        let mut start = 0;
        for piece in pieces {
            let end = start + piece.length;
            if start < range.end && range.start < end {
                let within = range.start.max(start) - start..range.end.min(end) - start;
                parts.push(self.entry_range(id_of(piece), piece.length, within)?);
            }
            start = end;
        }
        if start < range.end {
            return Err(BodyError::NoBody);
        }
        Ok(match parts.len() {
            0 => Bytes::new(),
            1 => parts.remove(0),
            _ => {
                let mut whole = BytesMut::new();
                parts.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        })
    }
}

fn id_of(piece: &Piece) -> LogId {
    LogId {
        term: piece.term,
        index: piece.index,
    }
}
