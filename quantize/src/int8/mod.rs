//! Products in 8 bits, whose activations are quantized where they arise or by ranges that were seen before, and weights
//! alone in 8 or 4 bits.
//!
//! The forms are those that engines fuse: `DynamicQuantizeLinear`, `MatMulInteger`, `Cast`, `Mul`, `Add` for
//! ONNX Runtime on the CPU; `QuantizeLinear` and `DequantizeLinear` around the product for ranges that are known, as
//! TensorRT wants it, or the product of integers itself; `DequantizeLinear` in front of the product; `MatMulNBits`.
//! Attention that is one operator of ONNX Runtime is written in others of its own, whatever the dialect.

mod attention;
mod rewriter;

use crate::edit::Edit;
use crate::error::{Error, Result};
use crate::unit::{Kind, Unit, reshapes, unit_of};
use avdit_onnx::Model;
use avdit_onnx::proto::TensorProto;
use rewriter::Rewriter;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// How a unit is stored and computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Weights and activations in 8 bits; the range of the activations is taken as they arise.
    Int8Dynamic,
    /// Weights and activations in 8 bits; the range of the activations is written into the graph.
    Int8Static,
    /// Weights in 8 bits, a scale for each column; the product in float.
    Int8Weight,
    /// Weights in 4 bits, a scale for each block of rows of a column; the product in float.
    Int4Weight,
}

impl Form {
    /// `int8-dynamic`, `int8-static`, `int8-weight`, `int4-weight`.
    pub fn name(self) -> &'static str {
        match self {
            Form::Int8Dynamic => "int8-dynamic",
            Form::Int8Static => "int8-static",
            Form::Int8Weight => "int8-weight",
            Form::Int4Weight => "int4-weight",
        }
    }

    /// Whether activations meet weights as integers.
    pub fn quantizes_activations(self) -> bool {
        matches!(self, Form::Int8Dynamic | Form::Int8Static)
    }

    /// Whether a unit can have this form: products of two activations and attention have no weights, and neither they nor
    /// matrices that several values are multiplied by have one range that is known.
    pub fn fits(self, unit: &Unit) -> bool {
        match self {
            Form::Int8Dynamic => true,
            Form::Int8Static => unit.kind == Kind::Weights && unit.input().is_some(),
            Form::Int8Weight | Form::Int4Weight => unit.kind == Kind::Weights,
        }
    }
}

/// In which operators known ranges are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// ONNX's own products of integers.
    #[default]
    Portable,
    /// The one operator of ONNX Runtime that multiplies bytes, scales the product and adds the bias.
    OrtCpu,
    /// `QuantizeLinear` and `DequantizeLinear` around a product in float, ranges around 0: TensorRT's builder joins them.
    #[serde(rename = "tensorrt")]
    TensorRt,
}

/// How integers are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Integers {
    /// Bits of weights that meet 8-bit activations: 8, or 7 for processors whose product of bytes saturates (x86
    /// without VNNI), where two products of 255 × 127 do not fit into 16 bits.
    pub weight_bits: u8,
    /// Rows that share a scale in 4 bits.
    pub block: usize,
    /// In which operators known ranges are said.
    pub dialect: Dialect,
}

impl Default for Integers {
    fn default() -> Self {
        Self { weight_bits: 8, block: 32, dialect: Dialect::Portable }
    }
}

impl Integers {
    /// # Errors
    /// [`Error::Mismatch`] if a setting is none that engines have.
    pub fn check(&self) -> Result<()> {
        if !matches!(self.weight_bits, 7 | 8) {
            return Err(Error::mismatch("weight_bits", "7 or 8", self.weight_bits));
        }
        if !self.block.is_power_of_two() || self.block < 16 {
            return Err(Error::mismatch("block", "a power of two from 16 on", self.block));
        }
        Ok(())
    }

    /// The largest integer of weights that meet 8-bit activations.
    pub fn most(self) -> i8 {
        if self.weight_bits == 7 { 63 } else { 127 }
    }
}

/// What rewriting needs to know beside the forms.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How integers are chosen.
    pub integers: Integers,
    /// By unit: what each channel of its input is divided by and each row of its weights multiplied by (SmoothQuant,
    /// Xiao et al. 2023, equation 3).
    pub smoothing: BTreeMap<String, Vec<f32>>,
    /// By unit: the range of its input, after smoothing; [`Form::Int8Static`] needs it.
    pub ranges: BTreeMap<String, [f32; 2]>,
}

impl From<Integers> for Settings {
    fn from(integers: Integers) -> Self {
        Self { integers, ..Self::default() }
    }
}

/// Rewrites the units that are named, each in its form; others stay as they are.
///
/// # Errors
/// [`Error::Mismatch`] for a name that is no unit of the model, a form that it cannot have, or a range that is missing;
/// [`Error::NotFinite`] naming the weight that holds a number that is not finite; [`Error::Onnx`] if the graph is not
/// sound.
pub fn rewrite(model: &mut Model, forms: &BTreeMap<String, Form>, settings: &Settings) -> Result<()> {
    settings.integers.check()?;
    let units: HashMap<String, Unit> =
        crate::units(model)?.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
    for (name, form) in forms {
        let Some(unit) = units.get(name) else {
            return Err(Error::mismatch(
                format!("unit {name}"),
                "a matrix that a MatMul or Gemm of the graph multiplies by, a MatMul of two activations, or a \
                 MultiHeadAttention of q, k and v alone",
                "no such one",
            ));
        };
        check(unit, *form, settings)?;
    }
    let graph = model.graph();
    let weights: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut rewriter = Rewriter::new(Edit::of(graph), forms, settings);
    rewriter.share(units.values().filter(|unit| forms.contains_key(&unit.name)), reshapes(graph));
    for node in &graph.node {
        let name = unit_of(node, &weights).filter(|name| forms.contains_key(*name));
        match name.map(|name| &units[name]) {
            Some(unit) => match unit.kind {
                Kind::Weights => {
                    let values = || finite(model, weights[unit.name.as_str()]);
                    rewriter.product(node, unit, &values)?;
                }
                Kind::Activations => rewriter.activations(node),
                Kind::Attention(heads) => rewriter.attention(node, heads)?,
            },
            None => rewriter.edit.nodes.push(node.clone()),
        }
    }
    let is_microsofts = |form: &Form| {
        *form == Form::Int4Weight
            || (*form == Form::Int8Static && settings.integers.dialect == Dialect::OrtCpu)
    };
    let domains: &[&str] = if forms.values().any(is_microsofts) { &["com.microsoft"] } else { &[] };
    rewriter.drop_reshapes(graph);
    let edit = rewriter.edit;
    edit.finish(model, domains);
    if forms.keys().any(|name| matches!(units[name].kind, Kind::Attention(_))) {
        model.raise_opset(attention::OPSET, attention::IR_VERSION);
    }
    Ok(model.check()?)
}

/// The values of a weight, all of them numbers.
fn finite(model: &Model, weight: &TensorProto) -> Result<Vec<f32>> {
    let values = model.floats(weight)?.unwrap_or_default();
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => {
            let (what, got) = (format!("weight {}", weight.name()), values[index]);
            Err(Error::NotFinite { what, index, got })
        }
        None => Ok(values),
    }
}

fn check(unit: &Unit, form: Form, settings: &Settings) -> Result<()> {
    let name = &unit.name;
    if !form.fits(unit) {
        let why = match unit.kind {
            Kind::Activations => "a product of two activations",
            Kind::Attention(_) => "which is attention",
            Kind::Weights => "which several values are multiplied by",
        };
        let what = format!("form of unit {name}, {why}");
        return Err(Error::mismatch(what, Form::Int8Dynamic.name(), form.name()));
    }
    if form == Form::Int8Static && !settings.ranges.contains_key(name) {
        let what = format!("range of the input of unit {name}");
        return Err(Error::mismatch(what, "one from calibration, which int8-static needs", "none"));
    }
    if let Some(smoothing) = settings.smoothing.get(name)
        && smoothing.len() != unit.rows
    {
        let what = format!("channels that the input of unit {name} is smoothed in");
        return Err(Error::mismatch(what, unit.rows.to_string(), smoothing.len()));
    }
    Ok(())
}
