//! What an open does: find the newest state, read what it still needs, scan the last segment.
//!
//! ```text
//!  1 .. k      needed by some replica: index only     (not needed: not read at all)
//!  k+1 .. n-1  only if their blocks are damaged: scanned whole
//!  n           the last one: scanned whole, damage told from a torn tail
//! ```
//!
//! Normally k + 1 is n: every block repeats the state of all replicas. A sealed segment whose
//! index does not read well is scanned instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, read_exact};
use crate::error::Error;
use crate::format::{
    BLOCK_BYTES, Block, FORMAT_VERSION, HEADER_BYTES, Header, Indexed, Name, Opening, Seed,
    TRAILER_BYTES, Trailer, records_start,
};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::record::{Kind, Place, Position, ReplicaId};
use crate::replay::Replay;
use crate::scan::{Item, Verdict, find_header, judge, payload, scan};
use crate::segment::is_indexed;
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
    pub record: Option<DamagedRecord>,
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

/// A record whose payload is damaged and whose header is good.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct DamagedRecord {
    /// Whose it is.
    pub replica: ReplicaId,
    /// What it said.
    pub kind: Kind,
    /// Term of its log id.
    pub term: u64,
    /// Index of its log id.
    pub index: u64,
    /// Where it was first written.
    pub position: Position,
    /// Where its payload should be.
    pub place: Place,
    /// CRC-32C that its payload should have.
    pub checksum: u32,
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
    /// Nothing follows the end, and there is no damage: writing may go on here.
    pub clean: bool,
}

/// Most missing segments that are listed one by one.
const MISSING_MAX: u64 = 1000;

/// Reads the log that consists of these segments, of which there is at least one, in order.
pub(crate) fn recover(disk: &dyn Disk, log_id: u64, segments: &[u64]) -> Result<Recovery, Error> {
    let mut source = Source {
        disk,
        log_id,
        replay: Replay::default(),
    };
    let newest = source.newest_state(segments)?;
    source.find_missing(segments);
    let (last, sealed) = segments
        .split_last()
        .expect("there is at least one segment");
    for (at, segment) in sealed.iter().enumerate() {
        if newest.is_none_or(|newest| newest <= at) {
            source.scan_sealed(*segment, segments[at + 1], Use::Apply)?;
        } else if source.replay.state.needs(*segment) {
            source.read_sealed(*segment, segments[at + 1])?;
        }
    }
    let (tail, torn) = source.scan_last(*last)?;
    if newest.is_none() && source.replay.state.replicas.is_empty() {
        return Err(Error::NotALog {
            path: disk.path(&Name::Segment(*last).text()),
        });
    }
    let (mut recovered, state) = source.replay.finish();
    recovered.torn = torn;
    Ok(Recovery {
        recovered,
        state,
        tail,
    })
}

/// Checks a sealed segment whole, for the scrubber: all of its damage, mended or not.
pub(crate) fn scrub(
    disk: &dyn Disk,
    log_id: u64,
    segment: u64,
    next: u64,
) -> Result<Vec<Damage>, Error> {
    let mut source = Source {
        disk,
        log_id,
        replay: Replay::default(),
    };
    source.scan_sealed(segment, next, Use::Nothing)?;
    Ok(source.replay.take_damage())
}

/// What is done with the good records of a scan.
#[derive(Copy, Clone, Eq, PartialEq)]
enum Use {
    /// Their effects are not in the state yet.
    Apply,
    /// The state has their effects; list what is still needed.
    List,
    Nothing,
}

struct Source<'a> {
    disk: &'a dyn Disk,
    log_id: u64,
    replay: Replay,
}

impl Source<'_> {
    /// Takes the state of the newest readable block; gives its place in the list.
    fn newest_state(&mut self, segments: &[u64]) -> Result<Option<usize>, Error> {
        for (at, segment) in segments.iter().enumerate().rev() {
            if let (_, Some(state)) = self.read_block(*segment)? {
                self.replay.state = state;
                return Ok(Some(at));
            }
            self.damaged(*segment, 0, BLOCK_BYTES, What::Block, None);
        }
        Ok(None)
    }

    fn find_missing(&mut self, segments: &[u64]) {
        let mut missing: Vec<u64> = Vec::new();
        for pair in segments.windows(2) {
            missing.extend((pair[0] + 1..pair[1]).take(MISSING_MAX as usize));
        }
        let first = segments.first().copied().unwrap_or_default();
        for (from, to) in self.replay.state.needed() {
            missing.extend((from..first.min(to.saturating_add(1))).take(MISSING_MAX as usize));
        }
        missing.sort_unstable();
        missing.dedup();
        for segment in missing.into_iter().take(MISSING_MAX as usize) {
            self.damaged(segment, 0, 0, What::Missing, None);
        }
    }

    /// Lists what is needed of a sealed segment that the state covers.
    fn read_sealed(&mut self, segment: u64, next: u64) -> Result<(), Error> {
        let Some(index) = self.read_index(segment)? else {
            return self.scan_sealed(segment, next, Use::List);
        };
        for (offset, item) in index {
            match item {
                Indexed::Record(header) => self.list(segment, offset, &header),
                Indexed::Damage { length, header } => {
                    let record = header.map(|header| record_at(segment, offset, &header));
                    self.damaged(segment, offset, length, What::Record, record);
                }
            }
        }
        Ok(())
    }

    fn scan_sealed(&mut self, segment: u64, next: u64, mode: Use) -> Result<(), Error> {
        let (_, bytes) = self.read_whole(segment)?;
        let seed = Seed::new(self.log_id, segment);
        let size = bytes.len() as u32;
        let trailer = read_trailer(&bytes, seed);
        let mut end = trailer.map(|trailer| trailer.end);
        if end.is_none() && next == segment + 1 {
            end = self.read_block(next)?.0.map(|block| block.previous_end);
        }
        let (block, state) = self.read_block(segment)?;
        if state.is_none() {
            self.damaged(segment, 0, BLOCK_BYTES, What::Block, None);
        }
        let index = trailer.and_then(|trailer| check_index(&bytes, trailer));
        if index.is_none() {
            let offset = size.saturating_sub(TRAILER_BYTES);
            self.damaged(segment, offset, size - offset, What::Index, None);
        }
        let start = self.start(segment, block, &bytes, seed, end.unwrap_or(size));
        for item in scan(&bytes, seed, start, end) {
            self.take(segment, &item, &bytes, mode);
        }
        Ok(())
    }

    fn scan_last(&mut self, segment: u64) -> Result<(Tail, Option<Torn>), Error> {
        let (file, bytes) = self.read_whole(segment)?;
        let seed = Seed::new(self.log_id, segment);
        let size = bytes.len() as u32;
        let (block, state) = self.read_block(segment)?;
        let start = self.start(segment, block, &bytes, seed, size);
        let Verdict {
            items,
            end,
            proven,
            cut_end,
        } = judge(scan(&bytes, seed, start, None), segment, start);
        let mut index = Vec::new();
        for item in &items {
            index_item(item, &mut index);
            self.take(segment, item, &bytes, Use::Apply);
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
            clean: stale_end == end
                && trailer.is_none()
                && state.is_some()
                && items.iter().all(|item| item.good),
        };
        Ok((tail, torn))
    }

    /// Where the records of a segment begin. Without its block that is where the first one is
    /// found; what was before is unknown.
    fn start(
        &mut self,
        segment: u64,
        block: Option<Block>,
        bytes: &[u8],
        seed: Seed,
        limit: u32,
    ) -> u32 {
        if let Some(block) = block {
            return records_start(block.state_bytes);
        }
        let limit = limit.min(bytes.len() as u32);
        let found = find_header(bytes, seed, records_start(0), limit).map(|(offset, _)| offset);
        let start = found.unwrap_or(records_start(0));
        self.damaged(
            segment,
            BLOCK_BYTES,
            start - BLOCK_BYTES,
            What::Record,
            None,
        );
        start
    }

    fn take(&mut self, segment: u64, item: &Item, bytes: &[u8], mode: Use) {
        match (item.header, mode) {
            (header, _) if !item.good => {
                let record = header.map(|header| record_at(segment, item.offset, &header));
                let length = item.next - item.offset;
                self.damaged(segment, item.offset, length, What::Record, record);
            }
            (Some(header), Use::Apply) => {
                let payload = payload(bytes, item.offset, &header);
                self.replay.apply(segment, item.offset, &header, payload);
            }
            (Some(header), Use::List) => self.list(segment, item.offset, &header),
            _ => {}
        }
    }

    fn list(&mut self, segment: u64, offset: u32, header: &Header) {
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
        record: Option<DamagedRecord>,
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

/// Reading files.
impl Source<'_> {
    fn open(&self, segment: u64) -> Result<(Arc<dyn DiskFile>, u64), Error> {
        let name = Name::Segment(segment).text();
        let failed = |source| Error::io("open", self.disk.path(&name), source);
        let file = self.disk.open(&name).map_err(failed)?;
        let size = file.len().map_err(failed)?;
        if size > u64::from(SEGMENT_BYTES_MAX) {
            return Err(Error::NotALog {
                path: self.disk.path(&name),
            });
        }
        Ok((file, size))
    }

    /// Reads `length` bytes at an offset, fewer at the end of the file.
    fn read(&self, segment: u64, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        let (file, size) = self.open(segment)?;
        let length = length.min(size.saturating_sub(offset));
        let mut bytes = vec![0; length as usize];
        read_exact(file.as_ref(), &mut bytes, offset).map_err(|source| {
            Error::io(
                "read",
                self.disk.path(&Name::Segment(segment).text()),
                source,
            )
        })?;
        Ok(bytes)
    }

    fn read_whole(&self, segment: u64) -> Result<(Arc<dyn DiskFile>, Vec<u8>), Error> {
        let (file, size) = self.open(segment)?;
        Ok((file, self.read(segment, 0, size)?))
    }

    /// The block's fixed part and the state in it, each if it is readable.
    fn read_block(&self, segment: u64) -> Result<(Option<Block>, Option<State>), Error> {
        let fixed = self.read(segment, 0, u64::from(BLOCK_BYTES))?;
        if fixed.len() < BLOCK_BYTES as usize {
            return Ok((None, None));
        }
        let block = match Block::decode(&fixed) {
            Opening::Block(block) => block,
            Opening::Unreadable => return Ok((None, None)),
            Opening::Newer(found) => {
                return Err(Error::NewerFormat {
                    found,
                    known: FORMAT_VERSION,
                });
            }
        };
        if block.log_id != self.log_id || block.segment != segment {
            let path = self.disk.path(&Name::Segment(segment).text());
            return Err(Error::NotALog { path });
        }
        let state = self.read(
            segment,
            u64::from(BLOCK_BYTES),
            u64::from(block.state_bytes),
        )?;
        let good = crc32c::crc32c(&state) == block.state_checksum;
        Ok((Some(block), if good { State::decode(&state) } else { None }))
    }

    /// The index of a sealed segment, if it is readable.
    fn read_index(&self, segment: u64) -> Result<Option<Vec<(u32, Indexed)>>, Error> {
        let (_, size) = self.open(segment)?;
        let behind = size.saturating_sub(u64::from(TRAILER_BYTES));
        let tail = self.read(segment, behind, u64::from(TRAILER_BYTES))?;
        let Some(trailer) = read_trailer(&tail, Seed::new(self.log_id, segment)) else {
            return Ok(None);
        };
        let length = u64::from(trailer.index_bytes).min(behind);
        let mut bytes = self.read(segment, behind - length, length)?;
        bytes.extend_from_slice(&tail);
        Ok(check_index(&bytes, trailer))
    }
}

fn record_at(segment: u64, offset: u32, header: &Header) -> DamagedRecord {
    DamagedRecord {
        replica: header.replica,
        kind: header.kind,
        term: header.term,
        index: header.index,
        position: header.position,
        place: header.place(segment, offset),
        checksum: header.checksum,
    }
}

fn index_item(item: &Item, index: &mut Vec<u8>) {
    match item.header {
        Some(header) if item.good => {
            if is_indexed(header.kind) {
                Indexed::Record(header).encode(item.offset, index);
            }
        }
        header => {
            let length = item.next - item.offset;
            Indexed::Damage { length, header }.encode(item.offset, index);
        }
    }
}

/// The trailer, of bytes that reach to the end of the file.
fn read_trailer(bytes: &[u8], seed: Seed) -> Option<Trailer> {
    Trailer::decode(bytes.last_chunk::<{ TRAILER_BYTES as usize }>()?, seed)
}

/// The index, of bytes that reach to the end of the file.
fn check_index(bytes: &[u8], trailer: Trailer) -> Option<Vec<(u32, Indexed)>> {
    let end = bytes.len().checked_sub(TRAILER_BYTES as usize)?;
    let start = end.checked_sub(trailer.index_bytes as usize)?;
    let index = &bytes[start..end];
    if crc32c::crc32c(index) != trailer.index_checksum {
        return None;
    }
    index
        .chunks(HEADER_BYTES as usize)
        .map(Indexed::decode)
        .collect()
}
