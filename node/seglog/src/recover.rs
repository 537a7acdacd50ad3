//! What an open does: find the newest state, read what it still needs, scan the last segment.
//!
//! ```text
//!  k .. n-1    only if their next blocks are damaged: scanned whole
//!  n           the last one: scanned whole, damage told from a torn tail
//!  1 .. k-1    needed by some replica: index only     (not needed: not read at all)
//! ```
//!
//! Normally k is n: every block repeats the state of all replicas. A sealed segment whose index
//! does not read well is scanned instead.
//!
//! A segment that is not there is damage, unless the state of block k or a record behind it says
//! that it was freed. Then a file of its name, which a crash may leave, is not looked at either;
//! the open gives it away when all is durable that said so.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::format::{
    BLOCK_BYTES, Block, FORMAT_VERSION, Header, Indexed, Name, Seed, TRAILER_BYTES, records_start,
};
use crate::record::{Place, Position, RecordAt, ReplicaId};
use crate::replay::Replay;
use crate::scan::{Item, Verdict, find_header, judge, payload, scan};
use crate::segment::is_indexed;
use crate::source::{Source, check_index, read_trailer};
use crate::state::State;

/// What an open found.
#[derive(Clone, Default, Debug, Eq, PartialEq)]
pub struct Recovered {
    /// Every replica that ever had a record in the log.
    pub replicas: BTreeMap<ReplicaId, RecoveredReplica>,
    /// Damage in what was read and is not mended, by segment and offset.
    pub damage: Vec<Damage>,
    /// The unsynced tail that was cut, if there was one.
    pub torn: Option<Torn>,
}

/// What the log holds of one replica.
#[derive(Clone, Default, Debug, Eq, PartialEq)]
pub struct RecoveredReplica {
    /// The payload of the newest vote.
    pub vote: Option<Bytes>,
    /// Term, index and payload of the newest commit mark.
    pub commit: Option<(u64, u64, Bytes)>,
    /// Term and index of the purge mark.
    pub purged: Option<(u64, u64)>,
    /// The index of the last entry that was written, damaged or not, if no truncation took it.
    pub last: Option<u64>,
    /// A vote newer than `vote` was written, and is damaged: its record is among the damage. The
    /// replica must not vote before it has written a newer one.
    pub vote_lost: bool,
    /// Records were lost of which nobody knows whose they were nor what they said: the replica may
    /// have voted, or cut its log, there. It must never vote again.
    pub doubted: bool,
    /// The entries above the purge mark that no truncation took, by index. There is a hole where
    /// one is damaged.
    pub entries: Vec<EntryAt>,
    /// The records of complete runs of rows that the base does not hold already, in log order.
    pub rows: Vec<RowsAt>,
    /// The records of the newest complete base, in order.
    pub base: Vec<RowsAt>,
    /// The replica's life has ended; the lists are empty.
    pub ended: bool,
}

/// An entry and where it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct EntryAt {
    /// Term of its log id.
    pub term: u64,
    /// Index of its log id.
    pub index: u64,
    /// Where it was first written.
    pub position: Position,
    /// Where its payload is now.
    pub place: Place,
    /// CRC-32C of the payload.
    pub checksum: u32,
}

/// A record of rows or of a base, and where it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct RowsAt {
    /// Term of the applied log id.
    pub term: u64,
    /// Index of the applied log id.
    pub index: u64,
    /// Where it was first written.
    pub position: Position,
    /// Where its payload is now.
    pub place: Place,
    /// CRC-32C of the payload.
    pub checksum: u32,
    /// Ends its run.
    pub last: bool,
}

/// Something in the log is not as it was written. It stays as it is: a good copy is appended
/// with [`Log::append_moved`](crate::Log::append_moved).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u64,
    /// Where the damage begins in the segment file; for a record its header.
    pub offset: u32,
    /// Bytes from there that hold nothing readable, 0 if unknown.
    pub length: u32,
    /// What is damaged.
    pub what: What,
    /// The record, where its header could be read. Without it the damage counts for every replica
    /// that has records in the segment.
    pub record: Option<RecordAt>,
}

/// What is damaged.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// One or more records.
    Record,
    /// A whole segment file is not there.
    Missing,
    /// The segment's block. Nothing is lost by it: the state was made from older ones.
    Block,
    /// The segment's index. Nothing is lost by it: the segment was scanned.
    Index,
}

/// What a sealed segment holds, apart from what lives on in the state of later segments (votes
/// and marks).
#[derive(Clone, Default, Debug, Eq, PartialEq)]
pub struct Records {
    /// Entries, bodies, rows and base records, copies too, in the order of their places. Payloads
    /// were not read.
    pub records: Vec<RecordAt>,
    /// What was found damaged when the segment was sealed, or now if it had to be scanned.
    pub damage: Vec<Damage>,
}

/// An unsynced tail that was cut from the last segment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Torn {
    /// The segment's number.
    pub segment: u64,
    /// Where the log ended after the cut.
    pub offset: u32,
    /// Bytes cut.
    pub bytes: u32,
}

/// What recovery hands to the writer.
pub(crate) struct Recovery {
    pub recovered: Recovered,
    /// Segments that were freed while their files are still there.
    pub freed: Vec<u64>,
    pub state: State,
    pub tail: Tail,
}

/// The last segment.
pub(crate) struct Tail {
    pub segment: u64,
    pub file: Arc<dyn DiskFile>,
    pub segment_bytes: u32,
    pub end: u32,
    /// The index so far.
    pub index: Vec<u8>,
    /// The bytes up to `end` that are not proven durable.
    pub unproven: Vec<u8>,
    /// Nothing follows the end, there is no damage, and the format is the one that is written:
    /// writing may go on here.
    pub clean: bool,
}

/// Most missing segments that are listed one by one.
const MISSING_MAX: usize = 1000;

/// Reads the log that consists of these segments, of which there is at least one, in order.
pub(crate) fn recover(disk: &dyn Disk, log_id: u64, segments: &[u64]) -> Result<Recovery, Error> {
    let mut recovering = Recovering::new(disk, log_id);
    let newest = recovering.newest_state(segments)?;
    let (last, sealed) = segments
        .split_last()
        .expect("there is at least one segment");
    let (known, unknown) = sealed.split_at(newest.unwrap_or(0));
    for segment in unknown {
        recovering.apply_sealed(*segment)?;
    }
    let (tail, torn) = recovering.scan_last(*last)?;
    if newest.is_none() && recovering.replay.state.replicas.is_empty() {
        return Err(Error::NotALog {
            path: disk.path(&Name::Segment(*last).text()),
        });
    }
    // What was freed is known only now.
    recovering.find_missing(segments, newest.map_or(0, |newest| segments[newest]));
    for segment in known {
        if recovering.replay.state.needs(*segment) {
            recovering.read_sealed(*segment)?;
        }
    }
    let (mut recovered, state) = recovering.replay.finish();
    recovered.torn = torn;
    let freed = segments.iter().copied();
    Ok(Recovery {
        recovered,
        freed: freed
            .filter(|segment| state.freed.contains(*segment))
            .collect(),
        state,
        tail,
    })
}

/// Checks a sealed segment whole, for the scrubber: all of its damage, mended or not.
pub(crate) fn scrub(disk: &dyn Disk, log_id: u64, segment: u64) -> Result<Vec<Damage>, Error> {
    let mut recovering = Recovering::new(disk, log_id);
    for item in recovering.scan_sealed(segment)?.1 {
        if !item.good {
            recovering.damaged_item(segment, &item);
        }
    }
    Ok(recovering.replay.take_damage())
}

/// What a sealed segment holds, for the cleaner.
pub(crate) fn records(disk: &dyn Disk, log_id: u64, segment: u64) -> Result<Records, Error> {
    let mut records = Records::default();
    for (offset, indexed) in Recovering::new(disk, log_id).sealed_items(segment)? {
        match indexed {
            Indexed::Record(header) => records.records.push(header.record_at(segment, offset)),
            Indexed::Damage { length, header } => records.damage.push(Damage {
                segment,
                offset,
                length,
                what: What::Record,
                record: header.map(|header| header.record_at(segment, offset)),
            }),
        }
    }
    Ok(records)
}

struct Recovering<'a> {
    source: Source<'a>,
    replay: Replay,
}

impl<'a> Recovering<'a> {
    fn new(disk: &'a dyn Disk, log_id: u64) -> Self {
        Self {
            source: Source { disk, log_id },
            replay: Replay::default(),
        }
    }

    /// Takes the state of the newest readable block; gives its place in the list.
    fn newest_state(&mut self, segments: &[u64]) -> Result<Option<usize>, Error> {
        for (at, segment) in segments.iter().enumerate().rev() {
            if let (_, Some(state)) = self.source.read_block(*segment)? {
                self.replay.state = state;
                return Ok(Some(at));
            }
            self.damaged(*segment, 0, BLOCK_BYTES, What::Block, None);
        }
        Ok(None)
    }

    /// Reports the segments that are neither there nor freed. From the one on whose block gave the
    /// state, also freed ones are missed: what they said of votes and marks is not known.
    fn find_missing(&mut self, segments: &[u64], newest: u64) {
        let (mut missing, mut next) = (Vec::new(), 1);
        for segment in segments {
            while next < *segment && missing.len() < MISSING_MAX {
                match self.replay.state.freed.last_of(next) {
                    Some(last) if next < newest => next = (last + 1).min(newest),
                    _ => {
                        missing.push(next);
                        next += 1;
                    }
                }
            }
            next = segment + 1;
        }
        for segment in missing {
            if segment >= newest {
                self.replay.lost(segment, None);
            }
            self.damaged(segment, 0, 0, What::Missing, None);
        }
    }

    /// Takes up the effects of a sealed segment that the state does not cover, and lists it.
    fn apply_sealed(&mut self, segment: u64) -> Result<(), Error> {
        let (bytes, items) = self.scan_sealed(segment)?;
        for item in items {
            self.apply(segment, &item, &bytes);
        }
        Ok(())
    }

    /// Lists what is needed of a sealed segment that the state covers.
    fn read_sealed(&mut self, segment: u64) -> Result<(), Error> {
        for (offset, item) in self.sealed_items(segment)? {
            match item {
                Indexed::Record(header) => self.list(segment, offset, &header),
                Indexed::Damage { length, header } => {
                    let record = header.map(|header| header.record_at(segment, offset));
                    self.damaged(segment, offset, length, What::Record, record);
                }
            }
        }
        Ok(())
    }

    /// What the index of a sealed segment lists, or should list if it is not readable.
    fn sealed_items(&mut self, segment: u64) -> Result<Vec<(u32, Indexed)>, Error> {
        if let Some(index) = self.source.read_index(segment)? {
            return Ok(index);
        }
        let (_, items) = self.scan_sealed(segment)?;
        let listed = items.iter().map(|item| Some((item.offset, indexed(item)?)));
        Ok(listed.flatten().collect())
    }

    /// Reads a sealed segment whole. Reports what is wrong with its block and index.
    fn scan_sealed(&mut self, segment: u64) -> Result<(Vec<u8>, Vec<Item>), Error> {
        let (_, bytes) = self.source.read_whole(segment)?;
        let seed = Seed::new(self.source.log_id, segment);
        let size = bytes.len() as u32;
        let trailer = read_trailer(&bytes, seed);
        let end = match trailer {
            Some(trailer) => Some(trailer.end),
            None => self.source.previous_end(segment + 1)?,
        };
        let (block, state) = self.source.read_block(segment)?;
        if state.is_none() {
            self.damaged(segment, 0, BLOCK_BYTES, What::Block, None);
        }
        let index = trailer.and_then(|trailer| check_index(&bytes, trailer));
        if index.is_none() {
            let offset = size.saturating_sub(TRAILER_BYTES);
            self.damaged(segment, offset, size - offset, What::Index, None);
        }
        let (start, lost) = start(block, &bytes, seed, end.unwrap_or(size));
        let mut items: Vec<Item> = lost.into_iter().collect();
        items.extend(scan(&bytes, seed, start, end));
        Ok((bytes, items))
    }

    fn scan_last(&mut self, segment: u64) -> Result<(Tail, Option<Torn>), Error> {
        let (file, bytes) = self.source.read_whole(segment)?;
        let seed = Seed::new(self.source.log_id, segment);
        let size = bytes.len() as u32;
        let (block, state) = self.source.read_block(segment)?;
        let (start, lost) = start(block, &bytes, seed, size);
        let Verdict {
            items,
            end,
            proven,
            cut_end,
        } = judge(scan(&bytes, seed, start, None), segment, start);
        let mut index = Vec::new();
        let whole = block.is_none_or(|block| block.segment_bytes <= size);
        // Segments are filled in advance: one that is shorter was cut, and what was there is lost.
        let cut = (!whole).then_some(Item {
            offset: end,
            next: block.map_or(end, |block| block.segment_bytes).max(end),
            header: None,
            good: false,
        });
        for item in lost.iter().chain(&items).chain(&cut) {
            if let Some(indexed) = indexed(item) {
                indexed.encode(item.offset, &mut index);
            }
            self.apply(segment, item, &bytes);
        }
        let filled = block.filter(|block| block.zeroed);
        let rest = bytes.get(end as usize..).unwrap_or_default();
        let used = rest
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(end, |at| end + at as u32 + 1);
        let trailer = read_trailer(&bytes, seed);
        // A trailer tells where the records ended even if the last of them are not readable.
        let known_end = cut_end.max(trailer.map_or(0, |trailer| trailer.end));
        let stale_end = if filled.is_some() {
            known_end.max(used)
        } else {
            known_end
        };
        let sealed = trailer.is_some_and(|trailer| trailer.end == end);
        let torn = (stale_end > end && !(sealed && cut_end == end)).then(|| Torn {
            segment,
            offset: end,
            bytes: stale_end - end,
        });
        let tail = Tail {
            segment,
            file,
            segment_bytes: block.map_or(size & !7, |block| block.segment_bytes),
            end,
            index,
            unproven: bytes
                .get(proven as usize..end as usize)
                .unwrap_or_default()
                .to_vec(),
            clean: block.is_some_and(|block| block.version == FORMAT_VERSION)
                && stale_end == end
                && trailer.is_none()
                && state.is_some()
                && whole
                && items.iter().all(|item| item.good),
        };
        Ok((tail, torn))
    }

    fn apply(&mut self, segment: u64, item: &Item, bytes: &[u8]) {
        match item.header {
            Some(header) if item.good => {
                let payload = payload(bytes, item.offset, &header);
                self.replay.apply(segment, item.offset, &header, payload);
            }
            _ => {
                self.damaged_item(segment, item);
                self.replay.lost(segment, item.header.as_ref());
            }
        }
    }

    fn damaged_item(&mut self, segment: u64, item: &Item) {
        let record = item
            .header
            .map(|header| header.record_at(segment, item.offset));
        let length = item.next - item.offset;
        self.damaged(segment, item.offset, length, What::Record, record);
    }

    fn list(&mut self, segment: u64, offset: u32, header: &Header) {
        self.replay.copied(header);
        let replica = self.replay.state.replicas.get(&header.replica);
        if replica.is_some_and(|replica| replica.needs(segment)) {
            self.replay.list(segment, offset, header);
        }
    }

    fn damaged(
        &mut self,
        segment: u64,
        offset: u32,
        length: u32,
        what: What,
        record: Option<RecordAt>,
    ) {
        self.replay.damaged(Damage {
            segment,
            offset,
            length,
            what,
            record,
        });
    }
}

/// Where the records of a segment begin. Without its block that is where the first one is found;
/// what stands before it is a bad stretch, unless it is a state and nothing else.
fn start(block: Option<Block>, bytes: &[u8], seed: Seed, limit: u32) -> (u32, Option<Item>) {
    if let Some(block) = block {
        return (records_start(block.state_bytes), None);
    }
    let limit = limit.min(bytes.len() as u32);
    let found = find_header(bytes, seed, records_start(0), limit).map(|(offset, _)| offset);
    let start = found.unwrap_or(records_start(0));
    let state = State::decode_first(bytes.get(BLOCK_BYTES as usize..).unwrap_or_default());
    let whole = state.is_some_and(|(state, length)| {
        let behind = records_start(length);
        let rest = bytes.get(behind as usize..).unwrap_or_default();
        // Nothing but zeros says nothing.
        let nothing = || !state.replicas.is_empty() && rest.iter().all(|byte| *byte == 0);
        found == Some(behind) || (found.is_none() && nothing())
    });
    let lost = Item {
        offset: BLOCK_BYTES,
        next: start,
        header: None,
        good: false,
    };
    (start, (!whole).then_some(lost))
}

/// How the index of a sealed segment lists an item, if it does.
fn indexed(item: &Item) -> Option<Indexed> {
    match item.header {
        Some(header) if item.good => is_indexed(header.kind).then_some(Indexed::Record(header)),
        header => Some(Indexed::Damage {
            length: item.next - item.offset,
            header,
        }),
    }
}
