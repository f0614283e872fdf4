//! How a row of things is cut among ranks, and how their parts are added.

use std::ops::{AddAssign, Range};

/// The part of `0..len` that belongs to `rank`: in order, and of lengths that differ by one at most.
pub(super) fn cut(len: usize, ranks: usize, rank: usize) -> Range<usize> {
    // In u128, since a length times a rank may pass usize on small machines.
    let at = |rank: usize| (len as u128 * rank as u128 / ranks.max(1) as u128) as usize;
    at(rank)..at(rank + 1)
}

/// Up to this many values, every rank sends all of its own to all others, which takes one trip in place of two.
#[cfg(any(feature = "mpi", feature = "nccl"))]
pub(super) const FEW: usize = 1024;

/// The sum of parts of one length, in their order.
pub(super) fn add_in_order<T: AddAssign + Copy>(parts: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_default();
    for part in parts {
        for (sum, part) in sum.iter_mut().zip(part) {
            *sum += part;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_row_are_the_row_and_nearly_alike() {
        for (len, ranks) in [(0, 3), (2, 4), (8, 4), (9, 4), (1_000_003, 7)] {
            let parts: Vec<_> = (0..ranks).map(|rank| cut(len, ranks, rank)).collect();
            assert_eq!((parts[0].start, parts[ranks - 1].end), (0, len));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let lengths = parts.iter().map(Range::len);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1, "{parts:?}");
        }
    }

    #[test]
    fn parts_are_added_from_the_first_to_the_last() {
        // 1 is lost beside 2²⁴ in f32, so the order shows.
        let sum = |parts: [f32; 4]| add_in_order(parts.map(|part| vec![part]));
        assert_eq!(sum([16_777_216.0, 1.0, 1.0, -16_777_216.0]), [0.0]);
        assert_eq!(sum([1.0, 1.0, 16_777_216.0, -16_777_216.0]), [2.0]);
    }
}
