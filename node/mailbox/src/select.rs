//! From sets of UIDs to scans.

use crate::types::{Uid, UidRanges};

/// Reading so many rows that are not wanted costs about as much as starting another scan.
const GAP: u32 = 32;

/// Stretches to scan that hold all of `uids`, and not many others.
pub(crate) fn spans(uids: &UidRanges) -> Vec<(Uid, Uid)> {
    let mut spans: Vec<(Uid, Uid)> = Vec::new();
    for (first, last) in uids.ranges() {
        match spans.last_mut() {
            Some(span) if first.0 - span.1.0 <= GAP => span.1 = last,
            _ => spans.push((first, last)),
        }
    }
    spans
}
