//! Ordering many things without keeping others waiting: a merge sort that pauses.

use std::cmp::Ordering;

use crate::limits::TURN_ORDERED;
use crate::pace::turn;

/// Sorts; what is equal stays in its order.
pub(super) async fn sorted<T: Copy + Send + Sync>(
    mut items: Vec<T>,
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) -> Vec<T> {
    for run in items.chunks_mut(TURN_ORDERED) {
        run.sort_by(compare);
        if run.len() == TURN_ORDERED {
            turn().await;
        }
    }
    let mut width = TURN_ORDERED;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for pair in items.chunks(2 * width) {
            let (left, right) = pair.split_at(width.min(pair.len()));
            merge(left, right, &mut merged, compare).await;
        }
        items = merged;
        width *= 2;
    }
    items
}

async fn merge<T: Copy + Send + Sync>(
    mut left: &[T],
    mut right: &[T],
    merged: &mut Vec<T>,
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) {
    while let ([one, ones @ ..], [other, others @ ..]) = (left, right) {
        if compare(one, other) == Ordering::Greater {
            merged.push(*other);
            right = others;
        } else {
            merged.push(*one);
            left = ones;
        }
        if merged.len().is_multiple_of(TURN_ORDERED) {
            turn().await;
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Numbers that look random.
    fn numbers(len: u64) -> Vec<(u64, u64)> {
        (0..len)
            .map(|at| (at.wrapping_mul(6_364_136_223_846_793_005) >> 48, at))
            .collect()
    }

    fn run<F: Future>(future: F) -> F::Output {
        let mut future = Box::pin(future);
        loop {
            if let Some(output) = future.as_mut().now_or_never() {
                return output;
            }
        }
    }

    #[test]
    fn sorts_and_is_stable() {
        let turn = TURN_ORDERED as u64;
        for len in [0, 1, 2, turn - 1, turn, turn + 1, 5 * turn, 7 * turn + 3] {
            let items = numbers(len);
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            let found = run(sorted(items, &|a, b| a.0.cmp(&b.0)));
            assert_eq!(found, expected, "{len}");
        }
    }
}
