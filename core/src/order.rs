//! Which example comes when: a permutation that is computed place by place and never stored.
//!
//! The *swap-or-not* shuffle (Hoang, Morris & Rogaway 2012): in each round a place x and its partner k − x (mod n)
//! change places or not, by a random bit that belongs to the pair. Each round is a bijection of 0..n for any n, so the
//! whole is one; the rounds are enough that no order of a small set is preferred measurably.

use crate::noise::{Noise, Purpose, Stream};

/// The example at a position of a run that passes again and again over `count` examples, each pass in an order of its
/// own: a function of seed, pass and count, in constant memory.
///
/// Positions `p·count .. (p + 1)·count` hold every example exactly once, so whoever takes positions that nobody else
/// takes has examples that nobody else has in that pass.
///
/// # Panics
/// If `count` is 0 or above 2³² − 1.
pub fn example_at(noise: Noise, count: usize, position: u64) -> usize {
    let n = u32::try_from(count).ok().filter(|&n| n > 0);
    let n = n.expect("a set that is passed over has between 1 and 2^32 - 1 examples");
    let (pass, mut place) = ((position / u64::from(n)) as u32, (position % u64::from(n)) as u32);
    for round in 0..rounds(n) {
        let key = noise.below(Stream::new(Purpose::Shuffle, pass, 0), round, n);
        // Both below n, so that the sum fits 33 bits.
        let partner = ((u64::from(key) + u64::from(n) - u64::from(place)) % u64::from(n)) as u32;
        let stream = Stream::new(Purpose::Shuffle, pass, 1 + round);
        if noise.bits(stream, place.max(partner)) & 1 == 1 {
            place = partner;
        }
    }
    place as usize
}

/// Six rounds for each bit of `n`, as its authors ask for sets that an adversary looks at, and some for small ones.
fn rounds(n: u32) -> u32 {
    6 * (u32::BITS - n.leading_zeros()) + 12
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(seed: u64, pass: u64, n: usize) -> Vec<usize> {
        let begin = pass * n as u64;
        (begin..begin + n as u64).map(|position| example_at(Noise::new(seed), n, position)).collect()
    }

    #[test]
    fn every_pass_holds_each_example_once_in_an_order_of_its_own() {
        for n in [1, 2, 3, 7, 64, 65, 1000, 4097] {
            for seed in [0, u64::MAX] {
                let orders = [pass(seed, 0, n), pass(seed, 1, n), pass(seed, u64::from(u32::MAX), n)];
                for order in &orders {
                    let mut sorted = order.clone();
                    sorted.sort_unstable();
                    assert_eq!(sorted, (0..n).collect::<Vec<_>>(), "n {n}, seed {seed}");
                }
                assert!(n < 64 || (orders[0] != orders[1] && orders[1] != orders[2]), "n {n}, seed {seed}");
            }
        }
    }

    #[test]
    fn ranks_share_a_pass_without_overlap_whatever_their_number() {
        // Rank r of R takes the positions r·B/R .. (r+1)·B/R of each step of B; passes end within steps.
        let (n, batch, steps) = (50, 24, 25);
        let whole: Vec<usize> = (0..batch * steps).map(|p| example_at(Noise::new(3), n, p as u64)).collect();
        for ranks in [1, 2, 3, 4, 8] {
            let mut seen = vec![0; n];
            for step in 0..steps {
                for rank in 0..ranks {
                    let share = rank * batch / ranks..(rank + 1) * batch / ranks;
                    for position in share.map(|p| step * batch + p) {
                        let example = example_at(Noise::new(3), n, position as u64);
                        assert_eq!(example, whole[position]);
                        seen[example] += 1;
                    }
                }
            }
            assert_eq!(seen, vec![batch * steps / n; n], "{ranks} ranks");
        }
    }

    /// χ² over the places that examples take, and over the pairs that follow each other, in many passes.
    #[test]
    fn no_place_and_no_neighbour_is_preferred() {
        let (n, passes) = (8, 8000);
        let (mut places, mut pairs) = (vec![0f64; n * n], vec![0f64; n * n]);
        for p in 0..passes {
            let order = pass(11, p, n);
            order.iter().enumerate().for_each(|(place, example)| places[place * n + example] += 1.0);
            order.windows(2).for_each(|pair| pairs[pair[0] * n + pair[1]] += 1.0);
        }
        let chi2 = |counts: &[f64], expected: f64| -> f64 {
            counts.iter().filter(|&&c| c > 0.0).map(|c| (c - expected).powi(2) / expected).sum()
        };
        // 49 degrees of freedom: mean 49, deviation 9.9. Of the pairs 56 can be; their mean is 55 at most.
        let (place, pair) = (chi2(&places, passes as f64 / 8.0), chi2(&pairs, passes as f64 * 7.0 / 56.0));
        assert!(place < 49.0 + 4.0 * 9.9 && pair < 55.0 + 4.0 * 10.5, "{place} {pair}");
        assert_eq!(
            pairs.iter().filter(|&&c| c == 0.0).count(),
            n,
            "only an example after itself never comes"
        );
    }

    #[test]
    fn neighbours_in_the_data_are_far_apart_in_a_pass() {
        let n = 20_000;
        let mut place = vec![0i64; n];
        pass(5, 2, n).into_iter().enumerate().for_each(|(p, example)| place[example] = p as i64);
        let apart = place.windows(2).map(|p| (p[0] - p[1]).abs() as f64).sum::<f64>() / (n - 1) as f64;
        // A third of the set, as for places drawn at random; its standard error is 0.0017.
        assert!((apart / n as f64 - 1.0 / 3.0).abs() < 0.01, "{apart}");
    }
}
