//! `quant.toml`: what is quantized and how. It makes the same graph again, and can be edited.

use crate::error::{Error, Result};
use crate::half_precision::{self, Half, Kept};
use crate::int8::{self, Form, Integers};
use avdit_onnx::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 16-bit floats of 11 bits of precision.
    Fp16,
    /// 16-bit floats with the range of single precision.
    Bf16,
    /// Weights and activations in 8 bits, ranges of activations taken as they arise.
    Int8Dynamic,
    /// Weights in 8 bits.
    Int8Weight,
    /// Weights in 4 bits by blocks.
    Int4Weight,
}

impl Precision {
    /// Every one.
    pub const ALL: [Precision; 5] = [
        Precision::Fp16,
        Precision::Bf16,
        Precision::Int8Dynamic,
        Precision::Int8Weight,
        Precision::Int4Weight,
    ];

    /// `fp16`, `bf16`, `int8-dynamic`, `int8-weight`, `int4-weight`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp16 => "fp16",
            Precision::Bf16 => "bf16",
            Precision::Int8Dynamic => "int8-dynamic",
            Precision::Int8Weight => "int8-weight",
            Precision::Int4Weight => "int4-weight",
        }
    }

    /// The float of 16 bits, where it is one.
    pub fn half(self) -> Option<Half> {
        match self {
            Precision::Fp16 => Some(Half::Fp16),
            Precision::Bf16 => Some(Half::Bf16),
            _ => None,
        }
    }

    /// The form of units, where integers are stored.
    pub fn form(self) -> Option<Form> {
        match self {
            Precision::Int8Dynamic => Some(Form::Int8Dynamic),
            Precision::Int8Weight => Some(Form::Int8Weight),
            Precision::Int4Weight => Some(Form::Int4Weight),
            _ => None,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// By name; `int8` is `int8-dynamic`.
    fn from_str(text: &str) -> Result<Self> {
        let name = if text == "int8" { "int8-dynamic" } else { text };
        let names = || Precision::ALL.map(Precision::name).join(", ");
        Precision::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::mismatch("precision", names(), text))
    }
}

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
    /// Units that are quantized, each with its form.
    #[serde(default)]
    pub units: BTreeMap<String, Form>,
    /// What stays in single precision, each with the reason: nodes for 16-bit floats, units for integers.
    #[serde(default)]
    pub kept: Kept,
}

impl Recipe {
    /// The schema that this version writes.
    pub const SCHEMA: &str = "avdit-quant/1";

    /// Applies it to a graph in single precision.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a node or unit that the graph does not have; [`Error::Onnx`] if the graph is not sound.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        // Names those nodes that have none, which is how `kept` knows them.
        crate::units(model)?;
        match self.precision.half() {
            Some(half) => half_precision::convert(model, half, &self.kept),
            None => int8::rewrite(model, &self.units, self.integers),
        }
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
