//! The bytes on disk. Everything is little endian.
//!
//! ```text
//! record header, 56 bytes                  segment block, 64 bytes, then the state
//!  0 u8  MARK                               0 [u8; 8] magic
//!  1 u8  kind                               8 u32 format version
//!  2 u8  flags: 1 last, 2 first,           12 u32 checksum of bytes 0..12
//!        4 damaged (index only),           16 u64 log id
//!        upper half: original kind         24 u64 segment number
//!  3 u8  zero                              32 u32 segment bytes
//!  4 u32 length of the payload             36 u32 flags: 1 filled with zeros
//!  8 u64 replica                           40 u32 where the records of the one before end
//! 16 u64 term                              44 u32 length of the state
//! 24 u64 index                             48 u32 checksum of the state
//! 32 u64 position                          52 u64 zero
//! 40 u64 synced                            60 u32 checksum of bytes 16..60
//! 48 u32 checksum of the payload           records begin at the next multiple of 512
//! 52 u32 checksum of this header
//!
//! trailer, 48 bytes, the last of the file; the index stands right before it
//!  0 [u8; 8] magic      8 u32 version       12 u32 where the records end
//! 16 u64 segment       24 u32 length of the index  28 u32 checksum of the index
//! 32 u64 zero          40 u32 zero          44 u32 checksum of bytes 0..44
//! ```
//!
//! The checksums of record headers and trailers are seeded with the log's id and the segment's
//! number, those of record headers also with the header's offset: a header is valid only in the
//! one place for which it was made. An index entry is the header again, with its offset in place
//! of the header's checksum. The first 16 bytes of a segment keep their meaning in all formats.
//!
//! Format 2 has freed segments: the record kind 11, and their numbers at the end of the state. A
//! segment of format 1 is read, and not gone on with.

use crate::record::{Kind, Place, Position, RecordAt, ReplicaId};

/// The format version written, and the newest one that is understood.
pub const FORMAT_VERSION: u32 = 2;

pub(crate) const HEADER_BYTES: u32 = 56;
pub(crate) const BLOCK_BYTES: u32 = 64;
pub(crate) const TRAILER_BYTES: u32 = 48;

const MARK: u8 = 0xB1;
const MAGIC: [u8; 8] = *b"RKSEGLOG";
const MAGIC_END: [u8; 8] = *b"RKSEGEND";
const RECORDS_ALIGN: u32 = 512;

const FLAG_LAST: u8 = 1;
const FLAG_FIRST: u8 = 2;
const FLAG_DAMAGED: u8 = 4;
const BLOCK_FLAG_ZEROED: u32 = 1;

/// Bytes that a record of this payload takes in the file. Saturates, for lengths off the disk.
pub(crate) const fn record_bytes(length: u32) -> u32 {
    length.saturating_add(HEADER_BYTES + 7) & !7
}

/// Where records begin behind a state of this length.
pub(crate) fn records_start(state_bytes: u32) -> u32 {
    (BLOCK_BYTES + state_bytes).next_multiple_of(RECORDS_ALIGN)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// What the checksums of one segment start from.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Seed {
    pub segment: u64,
    start: u32,
}

impl Seed {
    pub fn new(log_id: u64, segment: u64) -> Self {
        let start = crc32c::crc32c(&log_id.to_le_bytes());
        Self {
            segment,
            start: crc32c::crc32c_append(start, &segment.to_le_bytes()),
        }
    }

    fn of_header(self, offset: u32, header: &[u8]) -> u32 {
        let at_offset = crc32c::crc32c_append(self.start, &offset.to_le_bytes());
        crc32c::crc32c_append(at_offset, header)
    }
}

/// A record's header. For a moved record `kind` is that of the original.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Header {
    pub kind: Kind,
    pub moved: bool,
    pub first: bool,
    pub last: bool,
    pub replica: ReplicaId,
    pub term: u64,
    pub index: u64,
    pub position: Position,
    pub synced: Position,
    pub length: u32,
    pub checksum: u32,
}

impl Header {
    /// The payload's place, the header standing at `offset`.
    pub fn place(&self, segment: u64, offset: u32) -> Place {
        Place {
            segment,
            offset: offset + HEADER_BYTES,
            length: self.length,
        }
    }

    /// The record as users of the log see it, the header standing at `offset`.
    pub fn record_at(&self, segment: u64, offset: u32) -> RecordAt {
        RecordAt {
            replica: self.replica,
            kind: self.kind,
            term: self.term,
            index: self.index,
            first: self.first,
            last: self.last,
            position: self.position,
            place: self.place(segment, offset),
            checksum: self.checksum,
            moved: self.moved,
        }
    }

    fn put(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = [0; HEADER_BYTES as usize];
        let mut flags = if self.last { FLAG_LAST } else { 0 };
        flags |= if self.first { FLAG_FIRST } else { 0 };
        flags |= if self.moved {
            (self.kind as u8) << 4
        } else {
            0
        };
        let kind = if self.moved { Kind::Moved } else { self.kind };
        out[0] = MARK;
        out[1] = kind as u8;
        out[2] = flags;
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.replica.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.term.to_le_bytes());
        out[24..32].copy_from_slice(&self.index.to_le_bytes());
        out[32..40].copy_from_slice(&self.position.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced.0.to_le_bytes());
        out[48..52].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    fn get(bytes: &[u8]) -> Option<Self> {
        let number = Kind::from_number(bytes[1])?;
        let moved = number == Kind::Moved;
        let original = Kind::from_number(bytes[2] >> 4);
        let kind = if moved {
            original.filter(|kind| *kind != Kind::Moved)?
        } else {
            number
        };
        (bytes[0] == MARK && bytes[3] == 0).then_some(Self {
            kind,
            moved,
            first: bytes[2] & FLAG_FIRST != 0,
            last: bytes[2] & FLAG_LAST != 0,
            length: u32_at(bytes, 4),
            replica: ReplicaId(u64_at(bytes, 8)),
            term: u64_at(bytes, 16),
            index: u64_at(bytes, 24),
            position: Position(u64_at(bytes, 32)),
            synced: Position(u64_at(bytes, 40)),
            checksum: u32_at(bytes, 48),
        })
    }

    /// The header as it stands at `offset` of the seed's segment.
    pub fn encode(&self, seed: Seed, offset: u32) -> [u8; HEADER_BYTES as usize] {
        let mut out = self.put();
        let checksum = seed.of_header(offset, &out[..52]);
        out[52..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the header that stands at `offset`; `None` if it was not made for this place.
    /// `bytes` has at least [`HEADER_BYTES`].
    pub fn decode(bytes: &[u8], seed: Seed, offset: u32) -> Option<Self> {
        // The mark first: this is asked of every eighth byte when a scan looks for the next one.
        if bytes[0] != MARK || u32_at(bytes, 52) != seed.of_header(offset, &bytes[..52]) {
            return None;
        }
        let header = Self::get(bytes)?;
        let here = Position::new(seed.segment, offset);
        let fits = if header.moved {
            header.position < here
        } else {
            header.position == here
        };
        (fits && header.synced <= here).then_some(header)
    }
}

/// A record, or a damaged stretch, as a sealed segment's index lists it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Indexed {
    /// A good record.
    Record(Header),
    /// Damage of `length` bytes from the offset on; the header where it could be read.
    Damage { length: u32, header: Option<Header> },
}

impl Indexed {
    pub fn encode(&self, offset: u32, out: &mut Vec<u8>) {
        let mut bytes = match self {
            Self::Record(header)
            | Self::Damage {
                header: Some(header),
                ..
            } => header.put(),
            Self::Damage {
                length,
                header: None,
            } => {
                let mut bytes = [0; HEADER_BYTES as usize];
                bytes[4..8].copy_from_slice(&length.to_le_bytes());
                bytes
            }
        };
        if matches!(self, Self::Damage { .. }) {
            bytes[2] |= FLAG_DAMAGED;
        }
        bytes[52..].copy_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    pub fn decode(bytes: &[u8]) -> Option<(u32, Self)> {
        let header = Header::get(bytes);
        let item = match (bytes[2] & FLAG_DAMAGED != 0, header) {
            (false, header) => Self::Record(header?),
            (true, Some(header)) => Self::Damage {
                length: record_bytes(header.length),
                header: Some(header),
            },
            (true, None) => Self::Damage {
                length: u32_at(bytes, 4),
                header: None,
            },
        };
        Some((u32_at(bytes, 52), item))
    }
}

/// The fixed part of a segment's block.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Block {
    /// The format of the segment; [`FORMAT_VERSION`] in what is written.
    pub version: u32,
    pub log_id: u64,
    pub segment: u64,
    pub segment_bytes: u32,
    /// The file was filled with zeros when the segment was opened; otherwise it may hold what an
    /// earlier life left.
    pub zeroed: bool,
    /// Where the records of the segment before this one end; 0 in the first.
    pub previous_end: u32,
    pub state_bytes: u32,
    pub state_checksum: u32,
}

/// What the first bytes of a file say.
#[derive(Debug)]
pub(crate) enum Opening {
    Block(Block),
    Newer(u32),
    /// Not ours, or damaged.
    Unreadable,
}

impl Block {
    pub fn encode(&self) -> [u8; BLOCK_BYTES as usize] {
        let mut out = [0; BLOCK_BYTES as usize];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.version.to_le_bytes());
        let prelude = crc32c::crc32c(&out[..12]);
        out[12..16].copy_from_slice(&prelude.to_le_bytes());
        out[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        out[24..32].copy_from_slice(&self.segment.to_le_bytes());
        out[32..36].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let flags = if self.zeroed { BLOCK_FLAG_ZEROED } else { 0 };
        out[36..40].copy_from_slice(&flags.to_le_bytes());
        out[40..44].copy_from_slice(&self.previous_end.to_le_bytes());
        out[44..48].copy_from_slice(&self.state_bytes.to_le_bytes());
        out[48..52].copy_from_slice(&self.state_checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&out[16..60]);
        out[60..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the first [`BLOCK_BYTES`] of a file.
    pub fn decode(bytes: &[u8]) -> Opening {
        if bytes[..8] != MAGIC || u32_at(bytes, 12) != crc32c::crc32c(&bytes[..12]) {
            return Opening::Unreadable;
        }
        let version = u32_at(bytes, 8);
        if version > FORMAT_VERSION {
            return Opening::Newer(version);
        }
        if u32_at(bytes, 60) != crc32c::crc32c(&bytes[16..60]) {
            return Opening::Unreadable;
        }
        Opening::Block(Self {
            version,
            log_id: u64_at(bytes, 16),
            segment: u64_at(bytes, 24),
            segment_bytes: u32_at(bytes, 32),
            zeroed: u32_at(bytes, 36) & BLOCK_FLAG_ZEROED != 0,
            previous_end: u32_at(bytes, 40),
            state_bytes: u32_at(bytes, 44),
            state_checksum: u32_at(bytes, 48),
        })
    }
}

/// The last bytes of a sealed segment.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Trailer {
    /// Where the records end.
    pub end: u32,
    pub index_bytes: u32,
    pub index_checksum: u32,
}

impl Trailer {
    pub fn encode(&self, seed: Seed) -> [u8; TRAILER_BYTES as usize] {
        let mut out = [0; TRAILER_BYTES as usize];
        out[..8].copy_from_slice(&MAGIC_END);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.end.to_le_bytes());
        out[16..24].copy_from_slice(&seed.segment.to_le_bytes());
        out[24..28].copy_from_slice(&self.index_bytes.to_le_bytes());
        out[28..32].copy_from_slice(&self.index_checksum.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed.start, &out[..44]);
        out[44..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let checksum = crc32c::crc32c_append(seed.start, &bytes[..44]);
        let valid = bytes[..8] == MAGIC_END && u32_at(bytes, 44) == checksum;
        valid.then(|| Self {
            end: u32_at(bytes, 12),
            index_bytes: u32_at(bytes, 24),
            index_checksum: u32_at(bytes, 28),
        })
    }
}

/// What a file's name says it is.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Name {
    /// A segment of the log.
    Segment(u64),
    /// A filled file that waits to become a segment; `zeroed` if it holds zeros only.
    Spare { number: u64, zeroed: bool },
    /// A spare that was not yet filled when the process ended.
    Filling,
}

impl Name {
    pub fn text(self) -> String {
        match self {
            Self::Segment(number) => format!("{number:016x}.seg"),
            Self::Spare {
                number,
                zeroed: true,
            } => format!("{number:016x}.spare"),
            Self::Spare {
                number,
                zeroed: false,
            } => format!("{number:016x}.used"),
            Self::Filling => "filling.tmp".to_owned(),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (stem, ending) = text.split_once('.')?;
        // Positions have 32 bits for the segment's number.
        let number = u32::from_str_radix(stem, 16).map(u64::from);
        let name = match (ending, number) {
            ("seg", Ok(number)) => Self::Segment(number),
            ("spare", Ok(number)) => Self::Spare {
                number,
                zeroed: true,
            },
            ("used", Ok(number)) => Self::Spare {
                number,
                zeroed: false,
            },
            ("tmp", _) => Self::Filling,
            _ => return None,
        };
        (name.text() == text).then_some(name)
    }
}
