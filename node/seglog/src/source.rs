//! Reading the files of segments.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, read_exact};
use crate::error::Error;
use crate::format::{
    BLOCK_BYTES, Block, FORMAT_VERSION, HEADER_BYTES, Indexed, Name, Opening, Seed, TRAILER_BYTES,
    Trailer, records_start,
};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::state::State;

/// The segments of one log on a disk.
pub(crate) struct Source<'a> {
    pub disk: &'a dyn Disk,
    pub log_id: u64,
}

/// How much of a sealed segment's file is used.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Extent {
    /// Bytes of records.
    pub records: u64,
    /// Bytes between the records and the index. All of them are used in a segment whose trailer
    /// does not read well.
    pub unfilled: u64,
    /// Bytes of the file.
    pub file: u64,
}

impl Source<'_> {
    pub fn open(&self, segment: u64) -> Result<(Arc<dyn DiskFile>, u64), Error> {
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

    pub fn read_whole(&self, segment: u64) -> Result<(Arc<dyn DiskFile>, Vec<u8>), Error> {
        let (file, size) = self.open(segment)?;
        Ok((file, self.read(segment, 0, size)?))
    }

    /// The block's fixed part and the state in it, each if it is readable.
    pub fn read_block(&self, segment: u64) -> Result<(Option<Block>, Option<State>), Error> {
        let Some(block) = self.read_fixed(segment)? else {
            return Ok((None, None));
        };
        let length = u64::from(block.state_bytes);
        let state = self.read(segment, u64::from(BLOCK_BYTES), length)?;
        let good = crc32c::crc32c(&state) == block.state_checksum;
        Ok((Some(block), if good { State::decode(&state) } else { None }))
    }

    /// Where the records of the segment before this one end, if this one is there and can tell.
    pub fn previous_end(&self, segment: u64) -> Result<Option<u32>, Error> {
        match self.read_fixed(segment) {
            Ok(block) => Ok(block.map(|block| block.previous_end)),
            // It was freed, maybe at this moment.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(Error::NotALog { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the records of a segment begin; a guess if its block is not readable.
    pub fn records_start(&self, segment: u64) -> Result<u32, Error> {
        let block = self.read_fixed(segment)?;
        Ok(records_start(block.map_or(0, |block| block.state_bytes)))
    }

    pub fn extent(&self, segment: u64) -> Result<Extent, Error> {
        let (_, file) = self.open(segment)?;
        let start = u64::from(self.records_start(segment)?);
        let behind = file.saturating_sub(u64::from(TRAILER_BYTES));
        let tail = self.read(segment, behind, u64::from(TRAILER_BYTES))?;
        let Some(trailer) = read_trailer(&tail, Seed::new(self.log_id, segment)) else {
            let records = file.saturating_sub(start);
            return Ok(Extent {
                records,
                unfilled: 0,
                file,
            });
        };
        let (end, index) = (u64::from(trailer.end), u64::from(trailer.index_bytes));
        Ok(Extent {
            records: end.saturating_sub(start),
            unfilled: behind.saturating_sub(end + index),
            file,
        })
    }

    fn read_fixed(&self, segment: u64) -> Result<Option<Block>, Error> {
        let fixed = self.read(segment, 0, u64::from(BLOCK_BYTES))?;
        if fixed.len() < BLOCK_BYTES as usize {
            return Ok(None);
        }
        let block = match Block::decode(&fixed) {
            Opening::Block(block) => block,
            Opening::Unreadable => return Ok(None),
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
        Ok(Some(block))
    }

    /// The index of a sealed segment, if it is readable.
    pub fn read_index(&self, segment: u64) -> Result<Option<Vec<(u32, Indexed)>>, Error> {
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

/// The trailer, of bytes that reach to the end of the file.
pub(crate) fn read_trailer(bytes: &[u8], seed: Seed) -> Option<Trailer> {
    Trailer::decode(bytes.last_chunk::<{ TRAILER_BYTES as usize }>()?, seed)
}

/// The index, of bytes that reach to the end of the file.
pub(crate) fn check_index(bytes: &[u8], trailer: Trailer) -> Option<Vec<(u32, Indexed)>> {
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
