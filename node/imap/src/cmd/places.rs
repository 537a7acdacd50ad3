//! Messages by their place in a list of results (RFC 9394).

use std::ops::Range;

use mailbox::{Uid, UidRanges};

/// Those of some messages that have these places among them, counted from 0.
pub(crate) fn at_places(uids: &UidRanges, places: Range<usize>) -> UidRanges {
    let number = |place: usize| u64::try_from(place).unwrap_or(u64::MAX);
    let (mut skip, mut left) = (number(places.start), number(places.len()));
    let mut found = UidRanges::new();
    for (first, last) in uids.ranges() {
        let count = u64::from(last.0 - first.0) + 1;
        let passed = skip.min(count);
        skip -= passed;
        let taken = (count - passed).min(left);
        left -= taken;
        if taken > 0 {
            let uid = |offset: u64| Uid(first.0 + u32::try_from(offset).unwrap_or(u32::MAX));
            found.insert_range(uid(passed), uid(passed + taken - 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_among_ranges() {
        let uids = UidRanges::from_sorted(vec![(2, 4), (7, 7), (9, 12)]).unwrap();
        let all: Vec<Uid> = uids.iter().collect();
        for start in 0..=all.len() {
            for end in start..=all.len() + 1 {
                let found: Vec<Uid> = at_places(&uids, start..end).iter().collect();
                assert_eq!(found, all[start..end.min(all.len())], "{start}..{end}");
            }
        }
    }
}
