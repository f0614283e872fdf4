//! `quant.toml`: what is quantized and how. It makes the same graph again, and can be edited.

use crate::calibration::{Calibration, Ranges};
use crate::error::{Error, Result};
use crate::half_precision::{self, Kept};
use crate::int8::{self, Form, Integers, Settings};
use crate::precision::Precision;
use crate::smooth;
use crate::unit::Unit;
use avdit_onnx::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// [`Recipe::SCHEMA`].
    pub schema: String,
    /// What was asked for.
    pub precision: Precision,
    /// The signal-to-noise ratio that it was made for, in decibels.
    pub budget_snr_db: f64,
    /// How integers are chosen.
    #[serde(default)]
    pub integers: Integers,
    /// Whether inputs and outputs of the graph are in 16-bit floats as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half_ports: bool,
    /// Units that are quantized, each with its form.
    #[serde(default)]
    pub units: BTreeMap<String, Form>,
    /// How ranges of activations are taken from the calibration.
    #[serde(default)]
    pub ranges: Ranges,
    /// Units whose inputs are smoothed, each with its strength α.
    #[serde(default)]
    pub smoothing: BTreeMap<String, f32>,
    /// What stays in single precision, each with the reason: nodes for 16-bit floats, units for integers.
    #[serde(default)]
    pub kept: Kept,
}

impl Recipe {
    /// The schema that this version writes.
    pub const SCHEMA: &str = "avdit-quant/1";

    /// Whether it needs a calibration to be applied.
    pub fn needs_calibration(&self) -> bool {
        !self.smoothing.is_empty() || self.units.values().any(|form| *form == Form::Int8Static)
    }

    /// Applies it to a graph in single precision.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a node or unit that the graph does not have, or a value that the calibration lacks;
    /// [`Error::Onnx`] if the graph is not sound.
    pub fn apply(&self, model: &mut Model, calibration: &Calibration) -> Result<()> {
        // Names those nodes that have none, which is how `kept` knows them.
        let units = crate::units(model)?;
        match self.precision.half() {
            Some(half) if self.half_ports => half_precision::convert_with_ports(model, half, &self.kept),
            Some(half) => half_precision::convert(model, half, &self.kept),
            None => int8::rewrite(model, &self.units, &self.settings(model, &units, calibration)?),
        }
    }

    /// What rewriting needs: divisors and ranges of units, from what their inputs were seen to be.
    ///
    /// # Errors
    /// [`Error::Mismatch`] naming the unit whose input was not calibrated.
    pub fn settings(&self, model: &Model, units: &[Unit], calibration: &Calibration) -> Result<Settings> {
        let mut settings = Settings::from(self.integers);
        for unit in units {
            let alpha = self.smoothing.get(&unit.name).copied();
            let form = self.units.get(&unit.name).copied();
            if form.is_none() || (alpha.is_none() && form != Some(Form::Int8Static)) {
                continue;
            }
            let seen = unit.input().and_then(|input| calibration.values.get(input)).ok_or_else(|| {
                let what = format!("input of unit {}", unit.name);
                Error::mismatch(what, "a value that was calibrated", "none in the calibration")
            })?;
            let mut range = seen.range(self.ranges);
            if let Some(alpha) = alpha {
                let weights =
                    shared_maxima(model, units, unit, |other| self.smoothing.get(other) == Some(&alpha))?;
                let divisors = smooth::divisors(&seen.channels, &weights, alpha);
                range = smooth::smoothed_range(&seen.channels, &divisors);
                settings.smoothing.insert(unit.name.clone(), divisors);
            }
            if form == Some(Form::Int8Static) {
                settings.ranges.insert(unit.name.clone(), range);
            }
        }
        Ok(settings)
    }

    /// Reads a recipe.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Recipe`] if it is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let wrong = |problem: String| Error::Recipe { path: path.to_owned(), problem };
        let recipe: Self =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        if recipe.schema != Self::SCHEMA {
            return Err(wrong(format!(
                "schema is '{}', this version reads '{}'",
                recipe.schema,
                Self::SCHEMA
            )));
        }
        if recipe.half_ports && recipe.precision.half().is_none() {
            return Err(wrong(format!(
                "half_ports is for fp16 and bf16, and precision is {}",
                recipe.precision
            )));
        }
        recipe.integers.check().map_err(|error| wrong(error.to_string()))?;
        Ok(recipe)
    }

    /// As text.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if a name cannot be written.
    pub fn to_text(&self) -> Result<String> {
        let text = toml::to_string_pretty(self)
            .map_err(|error| Error::mismatch("recipe", "what TOML can hold", error))?;
        Ok(format!(
            "# How a graph was quantized; `avdit quantize MODEL --recipe THIS -o OUT` makes the same again.\n\
             # A line of [units] that is taken out stays in single precision, as does a node that is put into [kept].\n\n{text}"
        ))
    }
}

/// The largest magnitude of each row over all matrices that the input of `unit` meets and that are smoothed alike, so
/// that one division serves all of them.
fn shared_maxima(
    model: &Model,
    units: &[Unit],
    unit: &Unit,
    alike: impl Fn(&str) -> bool,
) -> Result<Vec<f32>> {
    let shares =
        |other: &&Unit| other.input() == unit.input() && other.rows == unit.rows && alike(&other.name);
    let mut maxima = vec![0.0f32; unit.rows];
    for other in units.iter().filter(shares) {
        let Some(weight) = model.initializer(&other.name) else { continue };
        let values = model.floats(weight)?.unwrap_or_default();
        for (all, this) in maxima.iter_mut().zip(smooth::row_maxima(&values, other.columns)) {
            *all = all.max(this);
        }
    }
    Ok(maxima)
}
