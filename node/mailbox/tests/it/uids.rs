//! Sets of UIDs against sets of numbers.

use std::collections::BTreeSet;

use mailbox::{Uid, UidRanges};
use proptest::prelude::*;

fn numbers() -> impl Strategy<Value = BTreeSet<u32>> {
    proptest::collection::btree_set(1..60u32, 0..40)
}

fn set(numbers: &BTreeSet<u32>) -> UidRanges {
    numbers.iter().map(|number| Uid(*number)).collect()
}

fn numbers_of(uids: &UidRanges) -> BTreeSet<u32> {
    uids.iter().map(|uid| uid.0).collect()
}

proptest! {
    #[test]
    fn operations_are_those_of_sets(a in numbers(), b in numbers()) {
        let (x, y) = (set(&a), set(&b));
        prop_assert_eq!(x.len(), a.len() as u64);
        prop_assert_eq!(numbers_of(&x.union(&y)), &a | &b);
        prop_assert_eq!(numbers_of(&x.intersect(&y)), &a & &b);
        prop_assert_eq!(numbers_of(&x.subtract(&y)), &a - &b);
        prop_assert_eq!(x.first().map(|uid| uid.0), a.first().copied());
        prop_assert_eq!(x.last().map(|uid| uid.0), a.last().copied());
        for number in 0..62 {
            prop_assert_eq!(x.contains(Uid(number)), a.contains(&number));
        }
        // Equal sets are equal values, however they came about.
        prop_assert_eq!(x.union(&y), y.union(&x));
        prop_assert_eq!(x.subtract(&y), x.subtract(&x.intersect(&y)));
    }

    #[test]
    fn insert_and_remove_in_any_order(
        steps in proptest::collection::vec((any::<bool>(), 1..20u32, 0..6u32), 0..60)
    ) {
        let mut uids = UidRanges::new();
        let mut numbers = BTreeSet::new();
        for (insert, first, more) in steps {
            if insert {
                uids.insert_range(Uid(first), Uid(first + more));
                numbers.extend(first..=first + more);
            } else {
                uids.remove(Uid(first));
                numbers.remove(&first);
            }
            prop_assert_eq!(&uids, &set(&numbers));
            let ranges = uids.ranges().map(|(first, last)| (first.0, last.0)).collect();
            prop_assert_eq!(UidRanges::from_sorted(ranges), Some(uids.clone()));
        }
    }
}

#[test]
fn the_ends_of_the_numbers() {
    let mut uids = UidRanges::all();
    assert_eq!(uids.len(), u64::from(u32::MAX));
    assert_eq!(uids.to_string(), "1:4294967295");
    uids.remove(Uid::MAX);
    uids.remove(Uid(1));
    assert_eq!(uids.to_string(), "2:4294967294");
    uids.insert(Uid(0));
    assert!(!uids.contains(Uid(0)));
    uids.insert_range(Uid(0), Uid(1));
    uids.insert(Uid::MAX);
    assert_eq!(uids, UidRanges::all());
    assert_eq!(UidRanges::all().subtract(&uids), UidRanges::new());
    assert_eq!(UidRanges::from_sorted(vec![(0, 1)]), None);
    assert_eq!(UidRanges::from_sorted(vec![(1, 2), (3, 4)]), None);
    assert_eq!(UidRanges::from_sorted(vec![(5, 4)]), None);
    assert_eq!(UidRanges::from_sorted(vec![(1, u32::MAX), (1, 1)]), None);
    assert_eq!(UidRanges::new().to_string(), "");
}
