//! Two models that should make the same latents: a fused step and the plain loop, an engine and another, a captured
//! graph and one that is not.

use super::row::Row;
use anyhow::{Context, Result, bail};
use avdit_core::sampler::SamplerKind;
use avdit_core::{Latents, Modality, SampleRequest};
use avdit_runtime::{EngineKind, EngineOptions, sample_timed};
use std::path::PathBuf;
use std::str::FromStr;

/// A model folder on an engine, written `FOLDER=ENGINE`, or `FOLDER=ENGINE+graph` with the captured graph of CUDA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    folder: PathBuf,
    engine: EngineKind,
    graph: bool,
}

impl FromStr for Side {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (folder, engine) =
            text.rsplit_once('=').with_context(|| format!("'{text}' is not FOLDER=ENGINE"))?;
        let (engine, graph) = match engine.strip_suffix("+graph") {
            Some(engine) => (engine, true),
            None => (engine, false),
        };
        let engine = engine.parse()?;
        if graph && engine != EngineKind::OrtCuda {
            bail!("'{text}': only a graph on ort-cuda can be captured");
        }
        Ok(Self { folder: folder.into(), engine, graph })
    }
}

impl Side {
    /// Latents of two runs with different noise: a captured graph that returns its first result again is wrong in
    /// the second.
    fn sample(&self, sampler: SamplerKind, steps: usize) -> Result<[Latents; 2]> {
        let mut options = EngineOptions::default();
        options.cuda.graph = self.graph;
        let mut engine = avdit_runtime::open(&self.folder, self.engine, &options)?;
        let mut run = |seed| {
            let segments = engine.spec().layout.segments();
            let request = SampleRequest { sampler, steps, seed, batch: 1, ..SampleRequest::new(segments) };
            Ok::<_, anyhow::Error>(sample_timed(engine.as_mut(), &request, None, &mut |_| {})?.latents)
        };
        Ok([run(1)?, run(2)?])
    }

    fn name(&self) -> String {
        format!("{}{}", self.engine, if self.graph { "+graph" } else { "" })
    }
}

/// A row for each run and modality: the largest difference of the latents over the largest magnitude.
///
/// # Errors
/// If a folder cannot be opened or run.
pub fn same_trajectories(a: &Side, b: &Side, steps: usize, tolerance: f64) -> Result<Vec<Row>> {
    let sampler = SamplerKind::Ddim { eta: 0.0 };
    let (expected, got) = (a.sample(sampler, steps)?, b.sample(sampler, steps)?);
    if expected[0].video == expected[1].video {
        bail!("{}: two runs with different noise give the same latents", a.folder.display());
    }
    let name = b.folder.file_name().unwrap_or_default().to_string_lossy();
    let against = format!("{} on {}", a.folder.file_name().unwrap_or_default().to_string_lossy(), a.name());
    let mut rows = Vec::new();
    for (run, (expected, got)) in expected.iter().zip(&got).enumerate() {
        for modality in Modality::ALL {
            let error = of_largest(got.get(modality), expected.get(modality));
            let case = format!("{} of run {run} against {against}", modality.name());
            rows.push(Row::new(&name, case, &b.name(), error, tolerance));
        }
    }
    Ok(rows)
}

/// NaN if the lengths differ, anything is NaN or there is nothing but zeros.
fn of_largest(got: &[f32], expected: &[f32]) -> f64 {
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let (got, expected) = (wide(got), wide(expected));
    let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    super::scaled(&got, &expected) * (1.0 + largest) / largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_folder_an_engine_and_whether_it_is_captured() {
        let side: Side = "a=b/model=ort-cuda+graph".parse().unwrap();
        assert_eq!(side, Side { folder: "a=b/model".into(), engine: EngineKind::OrtCuda, graph: true });
        assert_eq!(side.name(), "ort-cuda+graph");
        assert!("model".parse::<Side>().is_err() && "model=gpu".parse::<Side>().is_err());
    }

    #[test]
    fn nothing_but_zeros_is_no_agreement() {
        assert_eq!(of_largest(&[1.0, 3.0], &[1.0, 4.0]), 0.25);
        assert!(of_largest(&[0.0], &[0.0]).is_nan() && of_largest(&[1.0], &[1.0, 2.0]).is_nan());
    }
}
