//! What the same network would be as a graph for each target of `export`.

use crate::cost::{Analysis, Attention};
use anyhow::Result;
use avdit_export::{ExportOptions, Lowering, ModelConfig, WeightSource, export_denoiser};
use avdit_nets::NetworkConfig;
use serde::Serialize;
use std::collections::BTreeMap;

/// This model and the plain network at every target.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Targets {
    Compared {
        this: Target,
        targets: Vec<Target>,
    },
    /// The network is not known.
    Unknown {
        reason: String,
    },
}

/// A graph of the network.
#[derive(Debug, Default, Serialize)]
pub struct Target {
    pub target: String,
    /// Why there are no figures.
    pub problem: Option<String>,
    pub nodes: usize,
    pub attention: Attention,
    pub multiply_adds: u64,
    pub operations: u64,
    pub bytes: u64,
    pub weight_bytes: u64,
    pub arena_bytes: u64,
    /// Nodes by operator.
    pub operators: BTreeMap<String, usize>,
}

impl Target {
    pub fn of(target: &str, analysis: &Analysis) -> Self {
        let total = analysis.total();
        Self {
            target: target.to_owned(),
            problem: None,
            nodes: total.nodes,
            attention: analysis.attention,
            multiply_adds: total.multiply_adds,
            operations: total.operations,
            bytes: total.bytes,
            weight_bytes: analysis.memory.weight_bytes,
            arena_bytes: analysis.memory.arena_bytes,
            operators: analysis.by_operator().into_iter().map(|(op, figures)| (op, figures.nodes)).collect(),
        }
    }

    /// The same with `depth` blocks, from graphs of one and of two: every block adds as much as the second. What lives
    /// at once is that of two blocks, since none hands on more than its tokens.
    fn at_depth(depth: usize, one: &Self, two: &Self) -> Self {
        let more = |a: u64, b: u64| a + (depth as u64 - 1) * (b - a);
        let count = |a: usize, b: usize| more(a as u64, b as u64) as usize;
        let operators = two.operators.iter().map(|(op, &b)| {
            let a = one.operators.get(op).copied().unwrap_or(0);
            (op.clone(), count(a, b))
        });
        Self {
            target: two.target.clone(),
            problem: None,
            nodes: count(one.nodes, two.nodes),
            attention: Attention {
                fused: count(one.attention.fused, two.attention.fused),
                written_out: count(one.attention.written_out, two.attention.written_out),
            },
            multiply_adds: more(one.multiply_adds, two.multiply_adds),
            operations: more(one.operations, two.operations),
            bytes: more(one.bytes, two.bytes),
            weight_bytes: more(one.weight_bytes, two.weight_bytes),
            arena_bytes: if depth == 1 { one.arena_bytes } else { two.arena_bytes },
            operators: operators.collect(),
        }
    }

    /// Nodes by operator that this graph has more or fewer of than another.
    pub fn changes(&self, from: &Self) -> Vec<(String, i64)> {
        let count = |target: &Self, op: &str| target.operators.get(op).copied().unwrap_or(0) as i64;
        let names: std::collections::BTreeSet<_> =
            self.operators.keys().chain(from.operators.keys()).collect();
        let mut changes: Vec<_> = names
            .into_iter()
            .map(|op| (op.clone(), count(self, op) - count(from, op)))
            .filter(|c| c.1 != 0)
            .collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.1.abs()));
        changes
    }
}

/// The network as a graph for every target.
pub fn all(config: &ModelConfig, batch: usize) -> Result<Vec<Target>> {
    Lowering::ALL.into_iter().map(|lowering| target(lowering, config, batch)).collect()
}

fn target(lowering: Lowering, config: &ModelConfig, batch: usize) -> Result<Target> {
    let name = lowering.name();
    let unknown =
        |problem: String| Target { target: name.to_owned(), problem: Some(problem), ..Target::default() };
    let options = ExportOptions { lowering, ..ExportOptions::default() };
    let at = |depth: usize| -> Result<Target> {
        let network = config.network.with_depth(depth);
        let model = export_denoiser(&network, &Plain::of(&network), &config.spec, &options)?;
        Ok(Target::of(name, &Analysis::of(&model, batch)?))
    };
    match at(1).and_then(|one| Ok((one, at(2)?))) {
        Ok((one, two)) => Ok(Target::at_depth(config.network.size()[1], &one, &two)),
        Err(error) => Ok(unknown(format!("{error:#}"))),
    }
}

/// Weights that cost nothing to make. Zeros would not do: the exporter leaves out a bias that is zero.
struct Plain(BTreeMap<String, Vec<usize>>);

impl Plain {
    fn of(network: &NetworkConfig) -> Self {
        Self(network.parameters().into_iter().map(|parameter| (parameter.name, parameter.shape)).collect())
    }
}

impl WeightSource for Plain {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).cloned()
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        let shape = self.0.get(name).ok_or_else(|| format!("there is no tensor {name}"))?;
        Ok(vec![0.01; shape.iter().product()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{DenoiserSpec, ScheduleKind, Target as Prediction};

    #[test]
    fn two_blocks_foretell_any_number() {
        let network =
            avdit_nets::AvditConfig { depth: 5, ..avdit_nets::AvditConfig::preset("tiny").unwrap() };
        let spec = DenoiserSpec {
            layout: network.layout(),
            target: Prediction::V,
            schedule: ScheduleKind::Cosine,
            timesteps: 1000,
        };
        let config = ModelConfig::of(network.clone(), spec.clone(), Default::default());
        for foretold in all(&config, 2).unwrap().into_iter().filter(|target| target.problem.is_none()) {
            let lowering = serde_json::from_value(foretold.target.clone().into()).unwrap();
            let options = ExportOptions { lowering, ..ExportOptions::default() };
            let model =
                export_denoiser(&network, &Plain::of(&network.clone().into()), &spec, &options).unwrap();
            let whole = Target::of(&foretold.target, &Analysis::of(&model, 2).unwrap());
            assert_eq!(format!("{foretold:?}"), format!("{whole:?}"));
        }
    }
}
