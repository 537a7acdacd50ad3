//! From records to what each replica has.
//!
//! Records may come in any order of segments: for each index the entry with the highest position
//! wins, and what truncations, the purge mark and the end of a replica took is left out when all
//! are there. Copies made by moving stand for their originals: the newest place of a position
//! wins.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::format::Header;
use crate::record::{Kind, Position, RecordAt, ReplicaId};
use crate::recover::{Damage, EntryAt, Recovered, RecoveredReplica, RowsAt, What};
use crate::state::{Replica, Spans, State};

#[derive(Default)]
pub(crate) struct Replay {
    pub state: State,
    lists: BTreeMap<ReplicaId, Lists>,
    damage: Vec<Damage>,
    /// Something is lost of which nobody knows what it said.
    doubt: bool,
    /// Originals of which a copy was found.
    copied: BTreeSet<(ReplicaId, Position)>,
}

#[derive(Default)]
struct Lists {
    entries: BTreeMap<u64, EntryAt>,
    rows: BTreeMap<Position, RowsPart>,
    base: BTreeMap<Position, RowsPart>,
}

#[derive(Clone)]
struct RowsPart {
    first: bool,
    at: RowsAt,
}

impl Replay {
    /// Takes note of a copy, which mends its original.
    pub fn copied(&mut self, header: &Header) {
        if header.moved {
            self.copied.insert((header.replica, header.position));
        }
    }

    /// Lists a good record that stands in a segment whose effects the state has already.
    pub fn list(&mut self, segment: u64, offset: u32, header: &Header) {
        let lists = match header.kind {
            Kind::Entry | Kind::Rows | Kind::Base => self.lists.entry(header.replica).or_default(),
            _ => return,
        };
        let place = header.place(segment, offset);
        let Header {
            term,
            index,
            position,
            checksum,
            last,
            first,
            ..
        } = *header;
        let part = RowsPart {
            first,
            at: RowsAt {
                term,
                index,
                position,
                place,
                checksum,
                last,
            },
        };
        match header.kind {
            Kind::Rows => newest_place(&mut lists.rows, part),
            Kind::Base => newest_place(&mut lists.base, part),
            _ => {
                let entry = EntryAt {
                    term,
                    index,
                    position,
                    place,
                    checksum,
                };
                let known = lists.entries.entry(index).or_insert(entry);
                if (known.position, known.place) < (position, place) {
                    *known = entry;
                }
            }
        }
    }

    /// Takes up a good record: its effect and the record itself.
    pub fn apply(&mut self, segment: u64, offset: u32, header: &Header, payload: &[u8]) {
        self.state
            .apply(segment, header, || Bytes::copy_from_slice(payload));
        self.copied(header);
        self.list(segment, offset, header);
    }

    /// Takes up a bad stretch of which no block repeats what was said there.
    pub fn lost(&mut self, segment: u64, header: Option<&Header>) {
        match header {
            Some(header) => self.state.lose(segment, header),
            None => self.doubt = true,
        }
    }

    pub fn damaged(&mut self, damage: Damage) {
        if damage.what == What::Record {
            self.state.damaged.entry(damage.segment).or_default();
        }
        self.damage.push(damage);
    }

    /// What is there after all, and the state to go on with.
    pub fn finish(mut self) -> (Recovered, State) {
        let mut recovered = Recovered::default();
        if self.doubt {
            self.state.doubt();
        }
        for (id, replica) in &mut self.state.replicas {
            let lists = self.lists.remove(id).unwrap_or_default();
            let mut out = RecoveredReplica {
                vote: replica.vote.clone(),
                commit: replica.commit.clone(),
                purged: replica.purged,
                last: replica.last,
                vote_lost: replica.vote_lost,
                doubted: replica.doubted,
                ended: replica.ended,
                ..RecoveredReplica::default()
            };
            if !replica.ended {
                out.entries = lists.entries.into_values().collect();
                out.entries
                    .retain(|entry| !replica.forgot(entry.index, entry.position));
                (out.base, out.rows) = base_and_rows(lists.base, lists.rows);
            }
            let entries = out
                .entries
                .iter()
                .map(|entry| (entry.place.segment, entry.index));
            let rows = out.rows.iter().map(|rows| (rows.place.segment, rows.index));
            let base = out.base.iter().map(|base| base.place.segment);
            replica.settle(spans(entries), spans(rows), base.collect());
            recovered.replicas.insert(*id, out);
        }
        let copied = std::mem::take(&mut self.copied);
        let state = &self.state;
        self.damage.retain(|damage| {
            let freed = damage.what != What::Missing && state.freed.contains(damage.segment);
            let mended = |record| is_mended(&copied, state, &record);
            !freed && !damage.record.is_some_and(mended)
        });
        recovered.damage = self.take_damage();
        (recovered, self.state)
    }

    /// All damage so far, by segment and offset.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        let mut damage = std::mem::take(&mut self.damage);
        damage.sort_by_key(|damage| (damage.segment, damage.offset));
        damage.dedup();
        damage
    }
}

fn newest_place(parts: &mut BTreeMap<Position, RowsPart>, part: RowsPart) {
    match parts.get(&part.at.position) {
        Some(known) if known.at.place >= part.at.place => {}
        _ => {
            parts.insert(part.at.position, part);
        }
    }
}

/// A damaged record matters no more when a copy of it was appended, its replica has ended, or a
/// truncation took it.
fn is_mended(copied: &BTreeSet<(ReplicaId, Position)>, state: &State, record: &RecordAt) -> bool {
    let ended = state
        .replicas
        .get(&record.replica)
        .is_some_and(|replica| replica.ended);
    let cut = |replica: &Replica| replica.cut(record.index, record.position);
    let cut = record.kind == Kind::Entry && state.replicas.get(&record.replica).is_some_and(cut);
    ended || cut || copied.contains(&(record.replica, record.position))
}

/// The newest complete base, and the complete runs of rows that it does not hold already.
fn base_and_rows(
    base: BTreeMap<Position, RowsPart>,
    rows: BTreeMap<Position, RowsPart>,
) -> (Vec<RowsAt>, Vec<RowsAt>) {
    let base = complete_runs(base).pop().unwrap_or_default();
    let mut rows = complete_runs(rows);
    if let Some(end) = base.last() {
        let newer = |part: &RowsAt| part.index > end.index || part.position > end.position;
        rows.retain(|run| run.last().is_some_and(newer));
    }
    (base, rows.into_iter().flatten().collect())
}

/// The runs that have both ends, in log order. A run that another one interrupted, or that a
/// crash cut short, never happened. Records of a run that is not needed any more may be gone in
/// part: what is left of it is not taken for a part of the run before.
fn complete_runs(parts: BTreeMap<Position, RowsPart>) -> Vec<Vec<RowsAt>> {
    let mut runs = Vec::new();
    let mut open: Option<Vec<RowsAt>> = None;
    for part in parts.into_values() {
        if part.first {
            open = Some(Vec::new());
        }
        let at = (part.at.term, part.at.index);
        let Some(run) = &mut open else { continue };
        if run
            .first()
            .is_some_and(|first| (first.term, first.index) != at)
        {
            open = None;
            continue;
        }
        run.push(part.at);
        if part.at.last {
            runs.extend(open.take());
        }
    }
    runs
}

fn spans(records: impl Iterator<Item = (u64, u64)>) -> Spans {
    let mut sorted: Vec<(u64, u64)> = records.collect();
    sorted.sort_unstable();
    let mut spans = Spans::default();
    for (segment, index) in sorted {
        spans.add(segment, index);
    }
    spans
}
