//! What the inputs of units are on the network's own trajectories: seen value by value, a few at a time, and kept as
//! ranges.

use crate::error::{Error, Result};
use crate::histogram::Histogram;
use crate::probe;
use crate::smooth::{self, Rows, Strength};
use crate::states::State;
use crate::unit::{Kind, Unit};
use crate::workbench::Workbench;
use avdit_onnx::Model;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

/// Rows of a value that strengths of smoothing are tried on.
const SAMPLE_ROWS: usize = 48;
/// The share of values that [`Ranges::Percentile`] covers, in percent.
const PERCENT: f64 = 99.99;

/// How the range of activations is taken where it is written into the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ranges {
    /// All that was seen.
    MinMax,
    /// 99.99 % of it.
    Percentile,
    /// Whatever leaves the least squared error.
    #[default]
    Mse,
}

impl FromStr for Ranges {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "min-max" => Ok(Ranges::MinMax),
            "percentile" => Ok(Ranges::Percentile),
            "mse" => Ok(Ranges::Mse),
            _ => Err(Error::mismatch("ranges", "min-max, percentile or mse", text)),
        }
    }
}

/// A value that units take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The smallest and the largest number.
    pub min_max: [f32; 2],
    /// The range of 99.99 % of them.
    pub percentile: [f32; 2],
    /// The range of the least squared error in 8 bits.
    pub mse: [f32; 2],
    /// The strength of smoothing that keeps its products best.
    pub smoothing: Strength,
    /// The smallest and the largest number of each channel.
    pub channels: Vec<[f32; 2]>,
}

impl Calibrated {
    /// Its range.
    pub fn range(&self, ranges: Ranges) -> [f32; 2] {
        match ranges {
            Ranges::MinMax => self.min_max,
            Ranges::Percentile => self.percentile,
            Ranges::Mse => self.mse,
        }
    }
}

/// How far [`Calibration::gather`] is.
#[derive(Clone, Copy, Debug)]
pub enum Gathered<'a> {
    /// This share of the work, from 0 to 1.
    Share(f64),
    /// These values are known, a group more than before.
    Values(&'a Calibration),
}

/// Values by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`Calibration::SCHEMA`].
    pub schema: String,
    /// Each value that units of weights take.
    pub values: BTreeMap<String, Calibrated>,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { schema: Self::SCHEMA.to_owned(), values: BTreeMap::new() }
    }
}

impl Calibration {
    /// The schema that this version writes.
    pub const SCHEMA: &str = "avdit-calibration/1";

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Recipe`] if it is none.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let wrong = |problem: String| Error::Recipe { path: path.to_owned(), problem };
        let calibration: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if calibration.schema != Self::SCHEMA {
            let (found, schema) = (&calibration.schema, Self::SCHEMA);
            return Err(wrong(format!("schema is '{found}', this version reads '{schema}'")));
        }
        Ok(calibration)
    }

    /// What the units take is seen on `states`, in groups of values that hold at most `memory_bytes` of one state; what
    /// is known is not asked for again. `most` is the largest integer of weights. `watch` hears of all that is done, and
    /// may end it.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming the value that holds a number that is not finite; [`Error::Mismatch`] without states;
    /// if the graph cannot be run.
    pub fn gather(
        &mut self,
        bench: &mut dyn Workbench,
        (model, units): (&Model, &[Unit]),
        states: &[State],
        (memory_bytes, most): (u64, i8),
        watch: &mut dyn FnMut(Gathered<'_>) -> Result<()>,
    ) -> Result<()> {
        if states.is_empty() {
            return Err(Error::mismatch("states to calibrate on", "at least one", "none"));
        }
        let takers = takers(units);
        let wanted: BTreeSet<&str> =
            takers.keys().copied().filter(|value| !self.values.contains_key(*value)).collect();
        let groups = probe::groups(model, &wanted, memory_bytes)?;
        // A value is looked at in each state, and once more for its smoothing.
        let work = groups.iter().map(Vec::len).sum::<usize>() * (states.len() + 1);
        let mut done = 0;
        let mut share = || {
            done += 1;
            Gathered::Share(done as f64 / work.max(1) as f64)
        };
        for group in groups {
            let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
            let mut wrong = None;
            probe::show(bench, model, &group, states, &mut |name, values| {
                if let Some(index) = values.iter().position(|x| !x.is_finite()) {
                    let (what, got) = (format!("value {name}"), values[index]);
                    wrong.get_or_insert(Error::NotFinite { what, index, got });
                }
                let width = takers.get(name).map_or(1, |units| units[0].rows);
                if wrong.is_none() {
                    seen.entry(name.to_owned()).or_insert_with(|| Seen::new(width)).add(values, states.len());
                }
                wrong = wrong.take().or(watch(share()).err());
            })?;
            if let Some(error) = wrong {
                return Err(error);
            }
            for (name, seen) in seen {
                let matrices = matrices(model, &takers[name.as_str()])?;
                self.values.insert(name, seen.calibrated(&matrices, most));
                watch(share())?;
            }
            watch(Gathered::Values(self))?;
        }
        Ok(())
    }
}

/// Units of weights by the value that they take; one that takes several values is not calibrated.
fn takers(units: &[Unit]) -> BTreeMap<&str, Vec<&Unit>> {
    let mut takers: BTreeMap<&str, Vec<&Unit>> = BTreeMap::new();
    for unit in units.iter().filter(|unit| unit.kind == Kind::Weights) {
        if let Some(value) = unit.input() {
            takers.entry(value).or_default().push(unit);
        }
    }
    takers.retain(|_, units| units.iter().all(|unit| unit.rows == units[0].rows));
    takers
}

fn matrices(model: &Model, units: &[&Unit]) -> Result<Vec<(Vec<f32>, usize)>> {
    let mut matrices = Vec::new();
    for unit in units {
        if let Some(weight) = model.initializer(&unit.name) {
            matrices.push((model.floats(weight)?.unwrap_or_default(), unit.columns));
        }
    }
    Ok(matrices)
}

/// One value while it is seen.
struct Seen {
    histogram: Histogram,
    rows: Rows,
}

impl Seen {
    fn new(width: usize) -> Self {
        let rows = Rows { values: Vec::new(), channels: vec![[0.0; 2]; width] };
        Self { histogram: Histogram::default(), rows }
    }

    /// Adds what one of `states` states shows.
    fn add(&mut self, values: &[f32], states: usize) {
        self.histogram.add(values);
        let width = self.rows.channels.len();
        for row in values.chunks_exact(width) {
            for ([low, high], x) in self.rows.channels.iter_mut().zip(row) {
                (*low, *high) = (low.min(*x), high.max(*x));
            }
        }
        // A few rows of every state, spread over it.
        let wanted = SAMPLE_ROWS.div_ceil(states.max(1));
        let stride = (values.len() / width / wanted).max(1);
        for row in values.chunks_exact(width).step_by(stride).take(wanted) {
            if self.rows.values.len() < SAMPLE_ROWS * width {
                self.rows.values.extend_from_slice(row);
            }
        }
    }

    fn calibrated(self, matrices: &[(Vec<f32>, usize)], most: i8) -> Calibrated {
        Calibrated {
            min_max: self.histogram.min_max(),
            percentile: self.histogram.percentile(PERCENT),
            mse: self.histogram.least_error(),
            smoothing: smooth::search(&self.rows, matrices, most),
            channels: self.rows.channels,
        }
    }
}
