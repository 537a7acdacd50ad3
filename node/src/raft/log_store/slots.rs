//! What is kept of each entry: the entry itself for a while, and where it lies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openraft::EntryPayload;
use seglog::{Kind, RecordAt, RecoveredReplica, ReplicaId, Written};

use crate::raft::convert;
use crate::raft::limits::{RECENT_BYTES_MAX, RECENT_BYTES_MIN};
use crate::raft::types::{Entry, RaftLogId, Vote, held_bytes, raft_log_id};
use crate::replica::LogId;

/// What is known of a replica's log.
#[derive(Default)]
pub(super) struct State {
    pub vote: Option<Vote>,
    pub committed: Option<RaftLogId>,
    /// `committed` is newer than what the log has been given.
    pub committed_changed: bool,
    pub purged: Option<RaftLogId>,
    /// The index of the first slot.
    pub first: u64,
    pub slots: VecDeque<Slot>,
    /// Bytes of the entries that are held in memory.
    pub held_bytes: usize,
    /// The same, as the node's budget was told.
    pub noted_bytes: usize,
    /// Below this index no slot holds its entry.
    pub held_from: u64,
    /// Entries that could not be read, and are not mended.
    pub unread: BTreeSet<u64>,
    /// Those of which nobody was told yet.
    pub untold: BTreeSet<u64>,
    /// The term of a vote that was written and is damaged: it is not known whom it was for.
    pub vote_lost: Option<u64>,
}

/// One entry of the log.
pub(super) struct Slot {
    pub term: u64,
    /// Where the log wrote it. With `held` empty too, nothing is known of the entry: the replica is
    /// not started before it is.
    pub written: Option<Written>,
    /// Bytes of the payload that precede the body; 0 for entries without one.
    pub skip: u32,
    pub held: Option<Entry>,
}

impl Slot {
    /// Its record, wherever it lies now.
    pub fn record(&self, replica: ReplicaId, index: u64) -> Option<RecordAt> {
        let Written {
            position,
            place,
            checksum,
        } = self.written?;
        Some(RecordAt {
            replica,
            kind: Kind::Entry,
            term: self.term,
            index,
            first: false,
            last: false,
            position,
            place,
            checksum,
            moved: false,
        })
    }
}

impl State {
    /// Takes up the entries that the log lists, and what is known of those that are damaged.
    pub fn list(&mut self, found: &RecoveredReplica, damaged: &[RecordAt]) {
        let listed = found.entries.iter().map(|entry| Written {
            position: entry.position,
            place: entry.place,
            checksum: entry.checksum,
        });
        let ids = found.entries.iter().map(|entry| (entry.index, entry.term));
        let mut known: BTreeMap<u64, (u64, Written)> = BTreeMap::new();
        for record in damaged.iter().filter(|record| record.kind == Kind::Entry) {
            let written = Written {
                position: record.position,
                place: record.place,
                checksum: record.checksum,
            };
            let kept = known.entry(record.index).or_insert((record.term, written));
            if kept.1.position < written.position {
                *kept = (record.term, written);
            }
        }
        known.extend(
            ids.zip(listed)
                .map(|((index, term), at)| (index, (term, at))),
        );
        let last = found.entries.last().map(|entry| entry.index);
        let next = last.max(found.last).map_or(self.first, |last| last + 1);
        let mut term = self.purged.as_ref().map_or(0, |id| id.leader_id.term);
        for index in self.first..next {
            let slot = known.get(&index);
            term = slot.map_or(term, |(term, _)| *term);
            self.slots.push_back(Slot {
                term,
                written: slot.map(|(_, written)| *written),
                skip: 0,
                held: None,
            });
        }
    }

    pub fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots
            .get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub fn slot_mut(&mut self, index: u64) -> Option<&mut Slot> {
        self.slots
            .get_mut(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub fn last(&self) -> Option<RaftLogId> {
        self.slots
            .back()
            .map(|slot| {
                raft_log_id(LogId {
                    term: slot.term,
                    index: self.next() - 1,
                })
            })
            .or(self.purged)
    }

    pub fn push(&mut self, entry: Entry) {
        let (skip, size) = sizes(&entry);
        self.held_bytes += size;
        self.slots.push_back(Slot {
            term: entry.log_id.leader_id.term,
            written: None,
            skip,
            held: Some(entry),
        });
    }

    /// Forgets the slots from an index on.
    pub fn cut(&mut self, from: u64) {
        while self.next() > from.max(self.first)
            && let Some(slot) = self.slots.pop_back()
        {
            self.forget(slot);
        }
        self.held_from = self.held_from.min(self.next());
        self.unread.split_off(&from);
    }

    /// The first of the last entries that were given to the log and are not written.
    pub fn unwritten(&self) -> Option<u64> {
        let is_unwritten = |slot: &&Slot| slot.written.is_none() && slot.held.is_some();
        let last = self.slots.iter().rev();
        let count = last.take_while(is_unwritten).count() as u64;
        (count > 0).then(|| self.next() - count)
    }

    /// Lets go of the oldest written entries while too many bytes are held, by this group or, as
    /// `crowded` says, by all groups of the node.
    pub fn release(&mut self, crowded: impl Fn(usize) -> bool) {
        let too_many = |held| held > RECENT_BYTES_MAX || (held > RECENT_BYTES_MIN && crowded(held));
        while too_many(self.held_bytes) && self.held_from < self.next() {
            let index = self.held_from.max(self.first);
            let Some(slot) = self.slot_mut(index) else {
                break;
            };
            if slot.written.is_none() {
                break;
            }
            let freed = slot.held.take().map_or(0, |entry| sizes(&entry).1);
            self.held_bytes -= freed;
            self.held_from = index + 1;
        }
    }

    /// Forgets the slot, which has left the queue.
    pub fn forget(&mut self, slot: Slot) {
        self.held_bytes -= slot.held.map_or(0, |entry| sizes(&entry).1);
    }
}

/// Bytes of an entry's payload that precede the body, and bytes that it holds in memory.
pub(super) fn sizes(entry: &Entry) -> (u32, usize) {
    let skip = match &entry.payload {
        EntryPayload::Normal(proposal) => convert::body_skip(proposal.command.len()),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    (skip, held_bytes(entry) as usize)
}
