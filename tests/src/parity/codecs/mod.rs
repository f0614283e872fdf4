//! Kinds `vae_sd`, `vae_audioldm`, `hifigan`, `encodec`: public codecs on every engine.

mod encodec;
mod hifigan;
mod run;
mod vae;

use super::{Golden, Row, Tensor};
use anyhow::{Context, Result};
use avdit_nets::Parameter;
use avdit_nets::weight_norm::Tensors;
use avdit_runtime::EngineKind;
use serde::de::DeserializeOwned;

pub(super) fn vae(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    rows(golden, engines, vae::cases)
}

pub(super) fn hifigan(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    rows(golden, engines, hifigan::cases)
}

pub(super) fn encodec(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    rows(golden, engines, encodec::cases)
}

fn rows(
    golden: &Golden,
    engines: &[EngineKind],
    cases: fn(&Case<'_>, &[EngineKind]) -> Result<Vec<Row>>,
) -> Vec<Row> {
    let made = Case::read(golden).and_then(|case| cases(&case, engines));
    made.unwrap_or_else(|error| vec![Row::failed(&golden.name, "specification", "-", &error)])
}

/// A file with the tolerance `abs + rel·|expected|` that it states.
struct Case<'a> {
    golden: &'a Golden,
    abs: f64,
    rel: f64,
}

impl<'a> Case<'a> {
    fn read(golden: &'a Golden) -> Result<Self> {
        // Not every file states a relative part.
        Ok(Self { golden, abs: golden.tolerance("abs ")?, rel: golden.tolerance("rel ").unwrap_or(0.0) })
    }

    fn config<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.golden.json["config"].clone()).context("config")
    }

    /// The tensors whose names begin with `prefix`, without it.
    fn tensors(&self, prefix: &str) -> Tensors {
        let found = self.golden.tensors.iter();
        found
            .filter_map(|(name, tensor)| {
                Some((name.strip_prefix(prefix)?.to_owned(), (tensor.shape.clone(), single(&tensor.data))))
            })
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.golden.tensor(name)
    }

    /// A row of the largest error, as a part of the absolute tolerance that is left where values are large.
    fn row(&self, case: impl Into<String>, engine: &str, got: &[f32], expected: &[f64]) -> Row {
        let weight = |b: f64| 1.0 + self.rel / self.abs * b.abs();
        let error = match got.len() == expected.len() {
            false => f64::NAN,
            true => got.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - b).abs() / weight(b)).fold(
                0.0,
                |worst: f64, e| if e.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(e) },
            ),
        };
        Row::new(&self.golden.name, case, engine, error, self.abs)
    }

    /// Rows of one quantity on every engine.
    fn rows(&self, case: &str, made: &run::Made, expected: &[f64]) -> Vec<Row> {
        let row = |(engine, made): &(String, Result<Vec<f32>>)| match made {
            Ok(got) => self.row(case, engine, got, expected),
            Err(error) => Row::failed(&self.golden.name, case, engine, error),
        };
        made.iter().map(row).collect()
    }

    /// What the network showed of the first example beside `act.…`, every one of which must be there.
    fn taps(&self, prefix: &str, taps: &[(String, Vec<f32>)]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (name, expected) in &self.golden.tensors {
            let Some(tap) = name.strip_prefix("act.").filter(|tap| tap.starts_with(prefix)) else { continue };
            let got = taps.iter().find(|(own, _)| own == tap).map(|(_, got)| got.as_slice());
            rows.push(self.row(name, "candle", got.unwrap_or_default(), &expected.data));
        }
        rows
    }

    /// The tensors of a state dict that the network has no parameter for or of another shape, and the other way round:
    /// none are allowed.
    fn names(&self, parameters: &[Parameter], tensors: &Tensors) -> Row {
        let fits = |p: &&Parameter| tensors.get(&p.name).is_some_and(|(shape, _)| *shape == p.shape);
        let matched = parameters.iter().filter(fits).count();
        let wrong = parameters.len() + tensors.len() - 2 * matched;
        Row::new(&self.golden.name, "names and shapes", "nets", wrong as f64, 0.0)
    }

    /// How far the number of learned values is from the file's.
    fn count<'p>(&self, key: &str, parameters: impl Iterator<Item = &'p Parameter>) -> Result<Row> {
        let told = self.golden.json[key].as_f64().with_context(|| format!("no number '{key}'"))?;
        let own: usize = parameters.map(Parameter::len).sum();
        Ok(Row::new(&self.golden.name, key, "nets", (own as f64 - told).abs(), 0.0))
    }
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}
