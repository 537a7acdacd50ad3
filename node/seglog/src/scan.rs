//! Reading a segment record by record, and telling damage from a torn tail (L2).
//!
//! A scan follows the records from header to header. Where no header stands that was made for
//! its place, it looks at every eighth byte for the next one that was, so what is good behind a
//! bad stretch is found.

use crate::format::{HEADER_BYTES, Header, Seed, record_bytes};

/// A record or a bad stretch.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Item {
    pub offset: u32,
    /// Where the next item begins.
    pub next: u32,
    /// `None` in a stretch without a readable header.
    pub header: Option<Header>,
    /// Header and payload are as written.
    pub good: bool,
}

/// Scans from `start` to `end`, or in the last segment as far as there are records. With an
/// `end`, the items cover all up to there.
pub(crate) fn scan(bytes: &[u8], seed: Seed, start: u32, end: Option<u32>) -> Vec<Item> {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let limit = end.unwrap_or(size).min(size);
    let mut items = Vec::new();
    let mut offset = start;
    while let Some(found) = find_header(bytes, seed, offset, limit) {
        let (at, header) = found;
        if at > offset {
            items.push(Item {
                offset,
                next: at,
                header: None,
                good: false,
            });
        }
        let next = at + record_bytes(header.length);
        let good = crc32c::crc32c(payload(bytes, at, &header)) == header.checksum;
        items.push(Item {
            offset: at,
            next,
            header: Some(header),
            good,
        });
        offset = next;
    }
    if let Some(end) = end.filter(|end| offset < *end) {
        items.push(Item {
            offset,
            next: end,
            header: None,
            good: false,
        });
    }
    items
}

/// The payload of a header that was found at this offset of these bytes.
pub(crate) fn payload<'a>(bytes: &'a [u8], offset: u32, header: &Header) -> &'a [u8] {
    let start = (offset + HEADER_BYTES) as usize;
    &bytes[start..start + header.length as usize]
}

/// The first header at or behind an offset whose record ends before the limit.
pub(crate) fn find_header(
    bytes: &[u8],
    seed: Seed,
    offset: u32,
    limit: u32,
) -> Option<(u32, Header)> {
    let last = limit.checked_sub(HEADER_BYTES)?;
    (offset..=last).step_by(8).find_map(|at| {
        let header = Header::decode(&bytes[at as usize..][..HEADER_BYTES as usize], seed, at)?;
        (at.checked_add(record_bytes(header.length))? <= limit).then_some((at, header))
    })
}

/// What is to be kept of the last segment.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Good records and damage, in order, up to `end`.
    pub items: Vec<Item>,
    /// Where the log ends.
    pub end: u32,
    /// How far the log is proven to have been durable.
    pub proven: u32,
    /// How far records that have to be cut reach; `end` if there are none.
    pub cut_end: u32,
}

/// Judges the items of the last segment. Bad below the proven mark is damage; the first bad byte
/// at or above it ends the log, and what follows is cut even if it is good, since it was written
/// later than something that is lost.
pub(crate) fn judge(items: Vec<Item>, segment: u64, start: u32) -> Verdict {
    let marks = items
        .iter()
        .filter_map(|item| item.header)
        .map(|header| header.synced);
    let here = marks
        .filter(|synced| synced.segment() == segment)
        .map(|synced| synced.offset());
    let proven = here.max().unwrap_or(start).max(start);
    let cut_end = items.last().map_or(start, |item| item.next);
    let mut verdict = Verdict {
        items: Vec::new(),
        end: start,
        proven,
        cut_end,
    };
    for mut item in items {
        if !item.good && item.offset >= proven {
            break;
        }
        let torn = !item.good && item.next > proven;
        if torn {
            item.next = proven;
        }
        verdict.end = item.next;
        verdict.items.push(item);
        if torn {
            break;
        }
    }
    verdict
}
