//! One group's log on the node's shared [`seglog::Log`].
//!
//! Entries are kept in memory until the log has written them, and a while longer for the followers
//! (`RECENT_BYTES_MAX`, and a share of the node's memory for all groups together); after that a
//! slot of a few words says where each one lies. Order is the order of calls: openraft calls from
//! one task, and `seglog` keeps it.
//!
//! Read on: `slots` for what is kept of each entry, `append` for those that the log has not
//! written, `entries` for what the replica asks, `purge` for which entries may go, `holes` for
//! entries that are damaged.

mod append;
mod entries;
mod holes;
mod purge;
mod slots;

pub use holes::{Holes, is_lost};
pub use purge::Needs;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use prost::Message;
use proto::v1;
use seglog::{Damage, Kind, Record, RecoveredReplica, ReplicaId, Sync, Written};
use tokio::sync::oneshot;

use super::convert;
use super::limits::{BODY_INLINE_MAX, MEND_PAUSE, MEND_WAIT, READ_BYTES_MAX};
use super::types::{Body, Entry, RaftLogId, Types, Vote, log_id, raft_log_id};
use crate::budget::Share;
use crate::replica::{Entries as _, LogId};

use holes::{lost_vote, records_of};
use slots::State;

/// The log of one replica. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    replica: ReplicaId,
    log: seglog::Log,
    /// What the entries that all groups of the node hold may take.
    recent: Arc<Share>,
    state: Mutex<State>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let noted = self.state.get_mut().noted_bytes;
        self.recent.changed(noted as u64, 0);
    }
}

impl LogStore {
    /// The log of `replica` as `recovered` found it, among the damage of the whole log; `recent` is
    /// what the entries that all groups of the node hold in memory may take. Ask
    /// [`LogStore::holes`] before it is used.
    ///
    /// # Errors
    ///
    /// When a vote or commit record cannot be understood.
    pub fn open(
        log: seglog::Log,
        replica: ReplicaId,
        recovered: Option<&RecoveredReplica>,
        damage: &[Damage],
        recent: Arc<Share>,
    ) -> io::Result<Self> {
        let damaged = records_of(replica, damage);
        let mut state = State::default();
        if let Some(found) = recovered {
            state.vote = found.vote.as_ref().map(decode_vote).transpose()?;
            state.committed = found.commit.as_ref().map(|(term, index, _)| {
                raft_log_id(LogId {
                    term: *term,
                    index: *index,
                })
            });
            state.purged = found
                .purged
                .map(|(term, index)| raft_log_id(LogId { term, index }));
            state.first = state.purged.as_ref().map_or(0, |id| id.index + 1);
            state.list(found, &damaged);
            if found.vote_lost {
                state.vote_lost = Some(lost_vote(&damaged).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a vote of no known term is lost",
                    )
                })?);
            }
            state.held_from = state.first + state.slots.len() as u64;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                replica,
                log,
                recent,
                state: Mutex::new(state),
            }),
        })
    }

    /// Makes a log that begins behind a checkpoint, as the only voter of its group would have it:
    /// it has voted for itself in that term, and the entries before are purged. Durable then.
    ///
    /// # Errors
    ///
    /// When the log cannot be written.
    pub async fn begin_behind(&mut self, at: LogId) -> io::Result<()> {
        self.purge(raft_log_id(at)).await?;
        let vote = Vote::new(at.term, self.shared.replica.0);
        self.save_vote(&vote).await
    }

    /// The log underneath.
    #[must_use]
    pub fn log(&self) -> &seglog::Log {
        &self.shared.log
    }

    fn record(&self, kind: Kind, id: LogId, payload: Vec<Bytes>) -> Record {
        Record {
            replica: self.shared.replica,
            kind,
            term: id.term,
            index: id.index,
            first: false,
            last: false,
            payload,
        }
    }

    /// Puts `records` into the log and waits until they are durable.
    async fn write_durably(&self, records: Vec<Record>) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.shared
            .log
            .append(
                records,
                Sync::Required,
                Box::new(move |result| drop(done.send(result))),
            )
            .map_err(io::Error::other)?;
        written
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        Ok(())
    }

    /// Puts `records` into the log, to become durable with the next sync.
    fn write_in_order(&self, records: Vec<Record>) -> io::Result<()> {
        self.shared
            .log
            .append(records, Sync::Lazy, Box::new(|_| ()))
            .map_err(io::Error::other)
    }

    /// The indexes of a range that are in the log.
    fn listed(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let state = self.shared.state.lock();
        let from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        from.max(state.first)..to.min(state.next())
    }

    /// Entries of a range, at least one; fewer than there are before one that cannot be read.
    fn entries(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, Unread> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut index = from;
        while index < to && (bytes < bytes_max || entries.is_empty()) {
            let entry = match self.entry(index) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(Unread::Damaged(_)) if !entries.is_empty() => break,
                Err(error) => return Err(error),
            };
            if let EntryPayload::Normal(proposal) = &entry.payload {
                bytes += proposal.command.len() + proposal.body.len() as usize;
            }
            entries.push(entry);
            index += 1;
        }
        Ok(entries)
    }

    /// One entry, from memory or from the log; a larger body stays where it is.
    fn entry(&self, index: u64) -> Result<Option<Entry>, Unread> {
        let (id, place, checksum) = {
            let state = self.shared.state.lock();
            let Some(slot) = state.slot(index) else {
                return Ok(None);
            };
            if let Some(entry) = &slot.held {
                return Ok(Some(entry.clone()));
            }
            let Written {
                place, checksum, ..
            } = slot.written.ok_or_else(|| {
                io::Error::other(format!("entry {index} is neither held nor written"))
            })?;
            (
                LogId {
                    term: slot.term,
                    index,
                },
                place,
                checksum,
            )
        };
        let payload = match self.shared.log.read(place, Some(checksum)) {
            // It was moved since it was looked for.
            Err(seglog::Error::Freed { .. }) if !self.lies_at(index, id.term, place) => {
                return self.entry(index);
            }
            Err(error) => {
                let mut state = self.shared.state.lock();
                if state.unread.insert(index) {
                    tracing::warn!(replica = self.shared.replica.0, %id, %error, "entry not read");
                }
                state.untold.insert(index);
                return Err(Unread::Damaged(error));
            }
            Ok(payload) => payload,
        };
        let mut entry = convert::entry_from_log(id, &payload).map_err(io::Error::from)?;
        if let EntryPayload::Normal(proposal) = &mut entry.payload
            && proposal.body.len() > BODY_INLINE_MAX as u64
        {
            let skip = convert::body_skip(proposal.command.len());
            // A copy, so that the small command does not keep the whole record in memory.
            proposal.command = Bytes::copy_from_slice(&proposal.command);
            proposal.body = Body::Logged {
                place,
                checksum,
                skip,
            };
        }
        Ok(Some(entry))
    }

    /// An entry with its body, for another replica; `None` if it is not listed. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn whole_entry(&self, id: LogId) -> io::Result<Option<v1::PeerEntry>> {
        let entry = self.entry(id.index)?;
        let entry = entry.filter(|entry| log_id(&entry.log_id) == id);
        let wire = entry.map(|entry| convert::entry_to_wire(&entry, &self.shared.log));
        wire.transpose().map_err(io::Error::other)
    }

    /// The log has written `entries`: from now on they can be read from there.
    fn written(&self, ids: &[LogId], written: &[seglog::Written]) {
        let mut state = self.shared.state.lock();
        for (id, record) in ids.iter().zip(written) {
            if let Some(slot) = state.slot_mut(id.index)
                && slot.term == id.term
            {
                slot.written = Some(*record);
            }
        }
        let (recent, noted) = (&self.shared.recent, state.noted_bytes as u64);
        state.release(|held| {
            let others = recent.held().saturating_sub(noted);
            others + held as u64 > recent.bytes_max()
        });
        self.note_held(&mut state);
    }

    /// Tells the node's budget what is held.
    fn note_held(&self, state: &mut State) {
        let (before, held) = (state.noted_bytes, state.held_bytes);
        self.shared.recent.changed(before as u64, held as u64);
        state.noted_bytes = held;
    }
}

/// Why an entry was not read.
#[derive(Debug)]
enum Unread {
    /// Its record is damaged; somebody was told.
    Damaged(seglog::Error),
    /// Anything else.
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Unread> for io::Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Damaged(error) => Self::other(error),
            Unread::Io(error) => error,
        }
    }
}

fn decode_vote(bytes: &Bytes) -> io::Result<Vote> {
    let wire = v1::PeerVote::decode(bytes.clone()).map_err(io::Error::other)?;
    Ok(convert::vote_from_wire(&wire))
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let Range { start, end } = self.listed(&range);
        let mut entries = Vec::new();
        let mut next = start;
        while next < end {
            let piece = self.entries(next, end, usize::MAX)?;
            if piece.is_empty() {
                break;
            }
            next += piece.len() as u64;
            entries.extend(piece);
        }
        Ok(entries)
    }

    // In pieces: what waits to be applied may be more than fits into memory. A damaged entry is
    // waited for: it is mended from another replica.
    async fn entries_stream<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + Send {
        let Range { start, end } = self.listed(&range);
        let store = self.clone();
        let pieces = stream::try_unfold(start, move |from| {
            let store = store.clone();
            async move {
                let give_up = Instant::now() + MEND_WAIT;
                let entries = loop {
                    match store.entries(from, end, READ_BYTES_MAX) {
                        Err(Unread::Damaged(_)) if Instant::now() < give_up => {
                            tokio::time::sleep(MEND_PAUSE).await;
                        }
                        read => break read?,
                    }
                };
                let next = from + entries.len() as u64;
                let piece = stream::iter(entries.into_iter().map(Ok));
                Ok::<_, io::Error>((from < next).then_some((piece, next)))
            }
        });
        pieces.try_flatten()
    }

    // Without reading entries: the slots know their terms.
    async fn get_key_log_ids(
        &mut self,
        range: RangeInclusive<RaftLogId>,
    ) -> io::Result<Vec<RaftLogId>> {
        let state = self.shared.state.lock();
        let mut ids: Vec<RaftLogId> = Vec::new();
        for index in range.start().index..=range.end().index {
            let Some(slot) = state.slot(index) else { break };
            let id = raft_log_id(LogId {
                term: slot.term,
                index,
            });
            match ids.last_mut() {
                Some(last) if last.leader_id == id.leader_id => *last = id,
                _ => ids.push(id),
            }
        }
        Ok(ids)
    }

    // What is damaged is not sent, and does not stop the group: until it is mended, or purged, the
    // follower hears heartbeats.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        match self.entries(start, end, READ_BYTES_MAX) {
            Err(Unread::Damaged(_)) => {
                tokio::time::sleep(MEND_PAUSE).await;
                Ok(Vec::new())
            }
            read => Ok(read?),
        }
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.shared.state.lock();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let payload = Bytes::from(convert::vote_to_wire(vote).encode_to_vec());
        let id = LogId {
            term: vote.leader_id.term,
            index: 0,
        };
        self.write_durably(vec![self.record(Kind::Vote, id, vec![payload])])
            .await?;
        self.shared.state.lock().vote = Some(*vote);
        Ok(())
    }

    // Never written alone: it goes into the log with the next entries.
    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.committed = committed;
        state.committed_changed = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<RaftLogId>> {
        Ok(self.shared.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut ids = Vec::new();
        let pushed = self.push(entries, &mut ids);
        let first = ids.first().map(|id| id.index);
        if first.is_none() && pushed.is_ok() {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        let store = self.clone();
        let done = move |result: Result<Vec<seglog::Written>, seglog::Poisoned>| {
            if let Ok(written) = &result {
                store.written(&ids, written);
            }
            callback.io_completed(result.map(|_| ()).map_err(io::Error::other));
        };
        let appended = pushed.and_then(|records| {
            let log = &self.shared.log;
            let appended = log.append(records, Sync::Required, Box::new(done));
            appended.map_err(io::Error::other)
        });
        if let (Err(_), Some(first)) = (&appended, first) {
            self.take_back(first);
        }
        appended
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> io::Result<()> {
        let keep = last.map_or(0, |id| id.index + 1);
        let from = LogId {
            term: 0,
            index: keep,
        };
        // The log first: what it does not take has not happened.
        self.write_in_order(vec![self.record(Kind::Truncate, from, Vec::new())])?;
        let mut state = self.shared.state.lock();
        state.cut(keep);
        self.note_held(&mut state);
        Ok(())
    }

    async fn purge(&mut self, upto: RaftLogId) -> io::Result<()> {
        self.write_in_order(vec![self.record(Kind::Purge, log_id(&upto), Vec::new())])?;
        let mut state = self.shared.state.lock();
        while state.first <= upto.index
            && let Some(slot) = state.slots.pop_front()
        {
            state.forget(slot);
            state.first += 1;
        }
        state.first = upto.index + 1;
        state.held_from = state.held_from.max(state.first);
        let first = state.first;
        state.unread = state.unread.split_off(&first);
        state.purged = Some(upto);
        self.note_held(&mut state);
        Ok(())
    }
}
