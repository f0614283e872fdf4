//! The factors of q, k and v against those of the one matrix that holds all three.

/// `B·A` with A (rank, in) and B (out, rank).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Factors {
    pub(super) rank: usize,
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
}

/// The factors of q, k and v.
pub(super) struct Split(pub(super) [Factors; 3]);

impl Factors {
    /// Of (3D, D) from those of q, k and v, (D, D), all of one rank: the A one above the other, the B on the diagonal.
    pub(super) fn fused(parts: &[Self; 3], d: usize) -> Self {
        let rank = parts[0].rank;
        let mut b = vec![0.0; 3 * d * 3 * rank];
        for (i, row) in b.chunks_exact_mut(3 * rank).enumerate() {
            let (part, from) = (i / d, i % d * rank);
            row[part * rank..(part + 1) * rank].copy_from_slice(&parts[part].b[from..from + rank]);
        }
        Self { rank: 3 * rank, a: parts.iter().flat_map(|part| &part.a).copied().collect(), b }
    }

    /// Those of q, k and v from those of (3D, D). Where they have the form of [`Factors::fused`] for the rank of `proj` they
    /// are taken apart; else every part gets the whole A.
    pub(super) fn split(self, d: usize, proj_rank: usize) -> Split {
        let third = self.rank / 3;
        let is_fused = self.rank == 3 * proj_rank
            && self.b.chunks_exact(self.rank).enumerate().all(|(i, row)| {
                let own = i / d * third..(i / d + 1) * third;
                row.iter().enumerate().all(|(column, x)| *x == 0.0 || own.contains(&column))
            });
        Split([0, 1, 2].map(|part| {
            let rows = self.b[part * d * self.rank..(part + 1) * d * self.rank].chunks_exact(self.rank);
            if !is_fused {
                return Self { rank: self.rank, a: self.a.clone(), b: rows.flatten().copied().collect() };
            }
            let own = part * third..(part + 1) * third;
            let a = self.a[own.start * d..own.end * d].to_vec();
            Self { rank: third, a, b: rows.flat_map(|row| &row[own.clone()]).copied().collect() }
        }))
    }

    /// Of a larger rank, with the same product: zeros in both factors.
    pub(super) fn padded(mut self, rank: usize, inputs: usize) -> Self {
        if rank == self.rank {
            return self;
        }
        let mut b = vec![0.0; self.b.len() / self.rank * rank];
        for (wide, row) in b.chunks_exact_mut(rank).zip(self.b.chunks_exact(self.rank)) {
            wide[..self.rank].copy_from_slice(row);
        }
        self.a.resize(rank * inputs, 0.0);
        Self { rank, a: self.a, b }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: usize = 4;

    fn part(rank: usize, first: f32) -> Factors {
        let values = |from: f32| (0..rank * D).map(|i| from + i as f32).collect();
        Factors { rank, a: values(first), b: values(first + 0.5) }
    }

    /// `B·A`.
    fn product(factors: &Factors) -> Vec<f32> {
        let row = |b: &[f32]| -> Vec<f32> {
            (0..D).map(|j| b.iter().enumerate().map(|(k, b)| b * factors.a[k * D + j]).sum()).collect()
        };
        factors.b.chunks_exact(factors.rank).flat_map(row).collect()
    }

    #[test]
    fn the_fused_factors_make_the_matrices_of_the_parts_one_above_the_other_and_come_apart_again() {
        let parts = [part(2, 1.0), part(2, 20.0), part(2, -7.0)];
        let fused = Factors::fused(&parts, D);
        assert_eq!((fused.rank, fused.a.len(), fused.b.len()), (6, 6 * D, 3 * D * 6));
        assert_eq!(product(&fused), parts.iter().flat_map(product).collect::<Vec<_>>());
        assert_eq!(fused.split(D, 2).0, parts);
    }

    #[test]
    fn factors_of_another_form_keep_their_product() {
        let mut fused = Factors::fused(&[part(2, 1.0), part(2, 20.0), part(2, -7.0)], D);
        fused.b[5] = 0.25;
        let whole = product(&fused);
        let Split(parts) = fused.clone().split(D, 2);
        assert!(parts.iter().all(|part| part.rank == 6));
        assert_eq!(parts.iter().flat_map(product).collect::<Vec<_>>(), whole);
        // The zeros alone do not tell the form: the rank of proj decides.
        let zero = Factors { rank: 3, a: vec![1.0; 3 * D], b: vec![0.0; 9 * D] };
        assert!(zero.clone().split(D, 3).0.iter().all(|part| part.rank == 3));
        assert!(zero.split(D, 1).0.iter().all(|part| part.rank == 1));
        let padded = part(2, 3.0).padded(5, D);
        assert_eq!((padded.rank, product(&padded)), (5, product(&part(2, 3.0))));
    }
}
