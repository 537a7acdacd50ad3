//! A set of segment numbers, kept as ranges: what was freed, and what is needed, mostly lies
//! side by side.

use std::collections::BTreeMap;

/// Ranges by their first number, with the last one. They neither touch nor overlap.
#[derive(Clone, Default, Debug, Eq, PartialEq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let last = self.0.remove(&number.saturating_add(1)).unwrap_or(number);
        match self.0.range_mut(..number).next_back() {
            Some((_, before)) if *before + 1 == number => *before = last,
            _ => {
                self.0.insert(number, last);
            }
        }
    }

    /// Takes up a whole range that lies behind all others, as [`Ranges::iter`] gave it.
    pub fn push(&mut self, first: u64, last: u64) {
        self.0.insert(first, last);
    }

    pub fn contains(&self, number: u64) -> bool {
        self.last_of(number).is_some()
    }

    /// The last number of the range that holds this one.
    pub fn last_of(&self, number: u64) -> Option<u64> {
        let (_, last) = self.0.range(..=number).next_back()?;
        (number <= *last).then_some(*last)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// First and last number of each range, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        numbers.into_iter().for_each(|number| ranges.insert(number));
        ranges
    }
}
