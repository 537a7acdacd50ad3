//! The segment that is being written.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::disk::{DiskFile, write_all};
use crate::format::{
    BLOCK_BYTES, Block, HEADER_BYTES, Header, Indexed, Seed, TRAILER_BYTES, Trailer, record_bytes,
    records_start,
};
use crate::record::{Kind, Position};

/// Whether records of this kind stand in the index. The effects of the others are in the state
/// with which the next segment opens.
pub(crate) fn is_indexed(kind: Kind) -> bool {
    matches!(kind, Kind::Entry | Kind::Rows | Kind::Base | Kind::Body)
}

/// The last segment of the log.
pub(crate) struct Active {
    pub file: Arc<dyn DiskFile>,
    pub seed: Seed,
    /// Where the next record goes. Always a multiple of 8.
    pub end: u32,
    segment_bytes: u32,
    index: Vec<u8>,
}

impl Active {
    /// Goes on with a segment of which recovery found the end and the index.
    pub fn resume(
        file: Arc<dyn DiskFile>,
        seed: Seed,
        end: u32,
        segment_bytes: u32,
        index: Vec<u8>,
    ) -> Self {
        Self {
            file,
            seed,
            end,
            segment_bytes,
            index,
        }
    }

    /// Writes and syncs the block of a new segment into a file that is not named yet.
    pub fn begin(
        file: Arc<dyn DiskFile>,
        log_id: u64,
        mut block: Block,
        state: &[u8],
    ) -> io::Result<Self> {
        block.state_bytes = u32::try_from(state.len()).map_err(io::Error::other)?;
        block.state_checksum = crc32c::crc32c(state);
        let fixed = block.encode();
        write_all(
            file.as_ref(),
            &mut [IoSlice::new(&fixed), IoSlice::new(state)],
            0,
        )?;
        file.sync_data()?;
        Ok(Self {
            file,
            seed: Seed::new(log_id, block.segment),
            end: records_start(block.state_bytes),
            segment_bytes: block.segment_bytes,
            index: Vec::new(),
        })
    }

    /// Whether a segment of this size has room for a state of this length and one record.
    pub fn holds(segment_bytes: u32, state_bytes: usize, length: u32) -> bool {
        let state = state_bytes as u64 + u64::from(records_start(0) + BLOCK_BYTES);
        let record = u64::from(record_bytes(length) + HEADER_BYTES + TRAILER_BYTES);
        state + record <= u64::from(segment_bytes)
    }

    /// The end as a position.
    pub fn position(&self) -> Position {
        Position::new(self.seed.segment, self.end)
    }

    /// Whether a record with a payload of this length fits, and after it the index.
    pub fn fits(&self, length: u32) -> bool {
        u64::from(record_bytes(length)) + u64::from(HEADER_BYTES) <= self.rest()
    }

    /// Bytes left for records and their index entries.
    pub fn rest(&self) -> u64 {
        let taken = u64::from(self.end) + self.index.len() as u64 + u64::from(TRAILER_BYTES);
        u64::from(self.segment_bytes).saturating_sub(taken)
    }

    /// Takes up a record that goes to the end.
    pub fn push(&mut self, header: &Header) {
        if is_indexed(header.kind) {
            Indexed::Record(*header).encode(self.end, &mut self.index);
        }
        self.end += record_bytes(header.length);
    }

    /// Writes index and trailer, and syncs all that was written. The segment never changes again
    /// (L3).
    pub fn seal(&self) -> io::Result<()> {
        let index_bytes = self.index.len() as u64;
        let tail = index_bytes + u64::from(TRAILER_BYTES);
        let segment_bytes = u64::from(self.segment_bytes);
        // After damage there may be an entry more than was reckoned with. Without an index the
        // segment is scanned; a trailer that a crash left behind shall not give it an older one.
        if u64::from(self.end) + tail > segment_bytes {
            let at = segment_bytes.saturating_sub(u64::from(TRAILER_BYTES));
            if u64::from(self.end) <= at {
                let nothing = [0; TRAILER_BYTES as usize];
                write_all(self.file.as_ref(), &mut [IoSlice::new(&nothing)], at)?;
            }
        } else {
            let trailer = Trailer {
                end: self.end,
                index_bytes: index_bytes as u32,
                index_checksum: crc32c::crc32c(&self.index),
            };
            let trailer = trailer.encode(self.seed);
            let mut slices = [IoSlice::new(&self.index), IoSlice::new(&trailer)];
            write_all(self.file.as_ref(), &mut slices, segment_bytes - tail)?;
        }
        self.file.sync_data()
    }
}
