//! Sets of UIDs.

use std::fmt;

use super::Uid;

/// A set of UIDs: sorted, disjoint ranges that do not touch, so that equal sets are equal values.
///
/// A mailbox of 100,000 messages with few gaps is a handful of ranges. Every operation is linear in
/// the number of ranges at worst, appending at the end is constant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UidRanges(Vec<(u32, u32)>);

impl UidRanges {
    /// No UID.
    pub const fn new() -> UidRanges {
        UidRanges(Vec::new())
    }

    /// Every UID that there can be: 1 to 2^32 - 1.
    pub fn all() -> UidRanges {
        UidRanges::range(Uid(1), Uid::MAX)
    }

    /// From `first` to `last`, both included. Empty if `first` is after `last`.
    pub fn range(first: Uid, last: Uid) -> UidRanges {
        let mut ranges = UidRanges::new();
        ranges.insert_range(first, last);
        ranges
    }

    /// The ranges (both ends included), if they are in order, do not touch and hold no 0.
    pub fn from_sorted(ranges: Vec<(u32, u32)>) -> Option<UidRanges> {
        let whole = ranges
            .iter()
            .all(|&(first, last)| first > 0 && first <= last);
        let apart = ranges
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.1 < u32::MAX && a.1 + 1 < b.0));
        (whole && apart).then_some(UidRanges(ranges))
    }

    /// The ranges, both ends included.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (Uid, Uid)> + ExactSizeIterator + '_ {
        self.0.iter().map(|&(first, last)| (Uid(first), Uid(last)))
    }

    /// Every UID in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Uid> + '_ {
        self.0
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .map(Uid)
    }

    /// How many UIDs.
    pub fn len(&self) -> u64 {
        self.0
            .iter()
            .map(|&(first, last)| u64::from(last - first) + 1)
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest.
    pub fn first(&self) -> Option<Uid> {
        self.0.first().map(|range| Uid(range.0))
    }

    /// The highest.
    pub fn last(&self) -> Option<Uid> {
        self.0.last().map(|range| Uid(range.1))
    }

    /// Whether `uid` is in the set.
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.0.partition_point(|range| range.1 < uid.0);
        self.0.get(at).is_some_and(|range| range.0 <= uid.0)
    }

    /// Adds one UID; 0 is no UID and is not added.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid, uid);
    }

    /// Adds `first` to `last`, both included; nothing if `first` is after `last`.
    pub fn insert_range(&mut self, first: Uid, last: Uid) {
        let (mut first, mut last) = (first.0.max(1), last.0);
        if first > last {
            return;
        }
        // Ranges from `start` on reach up to what is added, those from `end` on begin beyond it.
        let start = self.0.partition_point(|range| range.1 < first - 1);
        let end = self
            .0
            .partition_point(|range| range.0 <= last.saturating_add(1));
        if let Some(touched) = self.0.get(start..end)
            && let (Some(low), Some(high)) = (touched.first(), touched.last())
        {
            first = first.min(low.0);
            last = last.max(high.1);
        }
        self.0.splice(start..end.max(start), [(first, last)]);
    }

    /// Takes out one UID.
    pub fn remove(&mut self, uid: Uid) {
        let at = self.0.partition_point(|range| range.1 < uid.0);
        let Some(&(first, last)) = self.0.get(at) else {
            return;
        };
        if first > uid.0 {
            return;
        }
        let left = (first < uid.0).then(|| (first, uid.0 - 1));
        let right = (uid.0 < last).then(|| (uid.0 + 1, last));
        self.0.splice(at..=at, left.into_iter().chain(right));
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(&self, other: &UidRanges) -> UidRanges {
        let mut both = Vec::new();
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(&&(a, b)), Some(&&(c, d))) = (ours.peek(), theirs.peek()) {
            if a.max(c) <= b.min(d) {
                both.push((a.max(c), b.min(d)));
            }
            if b < d {
                ours.next()
            } else {
                theirs.next()
            };
        }
        UidRanges(both)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &UidRanges) -> UidRanges {
        let mut all: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut union = UidRanges(Vec::with_capacity(all.len()));
        for (first, last) in all {
            union.insert_range(Uid(first), Uid(last));
        }
        union
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &UidRanges) -> UidRanges {
        let mut rest = Vec::new();
        let mut cuts = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut from = u64::from(first);
            while let Some(&&(cut_first, cut_last)) = cuts.peek() {
                if cut_first > last {
                    break;
                }
                if u64::from(cut_first) > from {
                    // `from` is at most `last`, so it is a UID.
                    rest.push((from as u32, cut_first - 1));
                }
                from = from.max(u64::from(cut_last) + 1);
                if cut_last > last {
                    break;
                }
                cuts.next();
            }
            if from <= u64::from(last) {
                rest.push((from as u32, last));
            }
        }
        UidRanges(rest)
    }
}

impl FromIterator<Uid> for UidRanges {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> UidRanges {
        let mut ranges = UidRanges::new();
        ranges.extend(uids);
        ranges
    }
}

impl Extend<Uid> for UidRanges {
    fn extend<I: IntoIterator<Item = Uid>>(&mut self, uids: I) {
        for uid in uids {
            self.insert(uid);
        }
    }
}

/// As IMAP writes a `sequence-set`: `1:4,7`. Nothing for the empty set, which IMAP cannot say.
impl fmt::Display for UidRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for &(first, last) in &self.0 {
            write!(f, "{gap}{first}")?;
            if first < last {
                write!(f, ":{last}")?;
            }
            gap = ",";
        }
        Ok(())
    }
}
