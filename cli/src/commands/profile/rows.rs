//! Time beside cost, part by part.

use crate::cost::{Analysis, Figures};
use crate::parts::Part;
use avdit_runtime::profile::{OpTime, Profile};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the machine can do at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    pub gflop_per_s: f64,
    pub gb_per_s: f64,
}

/// The time of a part, and what it costs by the graph's own account. Costs and bounds are those of one prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub operations: f64,
    pub calls: f64,
    pub total_ms: f64,
    pub ms_per_prediction: f64,
    /// Of the time of all operations.
    pub share: f64,
    /// None for what the graph does not tell apart.
    pub cost: Option<Figures>,
    pub gflop_per_s: Option<f64>,
    pub bound: Option<Bound>,
}

/// What keeps a part from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// `compute`, or `memory` where moving its bytes takes longer than its operations would.
    pub by: &'static str,
    /// The time at the machine's limit.
    pub least_ms: f64,
    /// That over the time it took. Above 1, caches have spared it part of the bytes.
    pub reached: f64,
}

/// What rows are made from.
pub struct Rows<'a> {
    profile: &'a Profile,
    parts: &'a [(Part, bool)],
    analysis: &'a Analysis,
    limits: Option<Limits>,
    total_ms: f64,
}

impl<'a> Rows<'a> {
    pub fn new(
        profile: &'a Profile,
        parts: &'a [(Part, bool)],
        analysis: &'a Analysis,
        limits: Option<Limits>,
    ) -> Self {
        let total_ms = profile.operations.iter().map(|operation| operation.total_ms).sum();
        Self { profile, parts, analysis, limits, total_ms }
    }

    /// In the order in which they run.
    pub fn by_block(&self) -> Vec<Row> {
        self.by(|part| part.block.clone(), self.analysis.by_block(), |block| block.to_string())
    }

    pub fn by_kind(&self) -> Vec<Row> {
        self.by(|part| part.kind, self.analysis.by_kind(), |kind| kind.to_string())
    }

    /// Video and audio; what is done for both is divided as [`Part::share`] says.
    pub fn by_modality(&self, video_tokens: f64) -> Vec<Row> {
        let mut sums = [(0.0, 0.0, 0.0); 2];
        for (operation, (part, _)) in self.profile.operations.iter().zip(self.parts) {
            let (video, audio) = part.share().split(video_tokens);
            for (sum, share) in sums.iter_mut().zip([video, audio]) {
                add(sum, operation, share);
            }
        }
        let costs = self.analysis.by_modality(video_tokens);
        let rows = ["video", "audio"].into_iter().zip(sums).zip(costs);
        rows.map(|((name, sum), cost)| self.row(name.to_owned(), sum, Some(cost))).collect()
    }

    /// In the engine's words, the slowest first; the graph's nodes are others.
    pub fn by_operator(&self) -> Vec<Row> {
        let mut sums: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
        for operation in &self.profile.operations {
            add(sums.entry(&operation.op).or_default(), operation, 1.0);
        }
        let mut rows: Vec<_> =
            sums.into_iter().map(|(name, sum)| self.row(name.to_owned(), sum, None)).collect();
        rows.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
        rows
    }

    /// Rows of everything that takes time or costs something.
    fn by<K: Ord + Clone>(
        &self,
        key: impl Fn(&Part) -> K,
        costs: BTreeMap<K, Figures>,
        name: impl Fn(&K) -> String,
    ) -> Vec<Row> {
        let mut sums: BTreeMap<K, (f64, f64, f64)> = BTreeMap::new();
        for (operation, (part, _)) in self.profile.operations.iter().zip(self.parts) {
            add(sums.entry(key(part)).or_default(), operation, 1.0);
        }
        for key in costs.keys() {
            sums.entry(key.clone()).or_default();
        }
        sums.into_iter().map(|(key, sum)| self.row(name(&key), sum, costs.get(&key).copied())).collect()
    }

    fn row(
        &self,
        name: String,
        (operations, calls, total_ms): (f64, f64, f64),
        cost: Option<Figures>,
    ) -> Row {
        let ms = total_ms / self.profile.predictions as f64;
        let measured = cost.filter(|_| ms > 0.0);
        Row {
            name,
            operations,
            calls,
            total_ms,
            ms_per_prediction: ms,
            share: total_ms / self.total_ms,
            cost,
            gflop_per_s: measured.map(|cost| cost.operations as f64 * 1e-6 / ms),
            bound: measured.zip(self.limits).map(|(cost, limits)| bound(&cost, limits, ms)),
        }
    }
}

fn add(sum: &mut (f64, f64, f64), operation: &OpTime, share: f64) {
    sum.0 += if share > 0.0 { 1.0 } else { 0.0 };
    sum.1 += if share > 0.0 { operation.calls as f64 } else { 0.0 };
    sum.2 += operation.total_ms * share;
}

/// The roofline: operations at the rate of products, or bytes at the bandwidth, whichever takes longer.
fn bound(cost: &Figures, limits: Limits, ms: f64) -> Bound {
    let compute_ms = cost.operations as f64 * 1e-6 / limits.gflop_per_s;
    let memory_ms = cost.bytes as f64 * 1e-6 / limits.gb_per_s;
    let least_ms = compute_ms.max(memory_ms);
    let by = if compute_ms >= memory_ms { "compute" } else { "memory" };
    Bound { by, least_ms, reached: least_ms / ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_of_the_two_limits_bounds() {
        let limits = Limits { gflop_per_s: 100.0, gb_per_s: 10.0 };
        let cost = |operations, bytes| Figures { operations, bytes, ..Figures::default() };
        // 2 ms of products, 1 ms of bytes
        let products = bound(&cost(200_000_000, 10_000_000), limits, 4.0);
        assert_eq!((products.by, products.least_ms, products.reached), ("compute", 2.0, 0.5));
        let copies = bound(&cost(0, 30_000_000), limits, 4.0);
        assert_eq!((copies.by, copies.least_ms, copies.reached), ("memory", 3.0, 0.75));
    }
}
