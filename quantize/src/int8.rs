//! Products in 8 bits, whose activations are quantized where they arise, and weights alone in 8 or 4 bits.
//!
//! The forms are those that engines fuse: `DynamicQuantizeLinear`, `MatMulInteger`, `Cast`, `Mul`, `Add` for
//! ONNX Runtime on the CPU; `DequantizeLinear` in front of the product; `MatMulNBits`.

use crate::edit::Edit;
use crate::error::{Error, Result};
use crate::numbers::{Blocks, Columns};
use crate::unit::weight_of;
use avdit_onnx::proto::NodeProto;
use avdit_onnx::{DataType, Model, attribute, tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// How a unit is stored and computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Weights and activations in 8 bits; the range of the activations is taken as they arise.
    Int8Dynamic,
    /// Weights in 8 bits, a scale for each column; the product in float.
    Int8Weight,
    /// Weights in 4 bits, a scale for each block of rows of a column; the product in float.
    Int4Weight,
}

impl Form {
    /// `int8-dynamic`, `int8-weight`, `int4-weight`.
    pub fn name(self) -> &'static str {
        match self {
            Form::Int8Dynamic => "int8-dynamic",
            Form::Int8Weight => "int8-weight",
            Form::Int4Weight => "int4-weight",
        }
    }
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
}

impl Default for Integers {
    fn default() -> Self {
        Self { weight_bits: 8, block: 32 }
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

    fn most(self) -> i8 {
        if self.weight_bits == 7 { 63 } else { 127 }
    }
}

/// Rewrites the units that are named, each in its form; others stay as they are.
///
/// # Errors
/// [`Error::Mismatch`] for a name that is no unit of the model; [`Error::Onnx`] if the graph is not sound.
pub fn rewrite(model: &mut Model, forms: &BTreeMap<String, Form>, integers: Integers) -> Result<()> {
    integers.check()?;
    let known: Vec<String> = crate::units(model)?.into_iter().map(|unit| unit.name).collect();
    if let Some(name) = forms.keys().find(|name| !known.contains(name)) {
        return Err(Error::mismatch(
            format!("unit {name}"),
            "a matrix that a MatMul or Gemm of the graph multiplies by",
            "no such one",
        ));
    }
    let graph = model.graph();
    let mut rewriter =
        Rewriter { edit: Edit::of(graph), forms, integers, stored: HashMap::new(), inputs: HashMap::new() };
    let weights: HashMap<&str, &_> = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    for node in &graph.node {
        let unit = weight_of(node).filter(|name| forms.contains_key(*name));
        match unit.and_then(|name| weights.get(name)) {
            Some(weight) => {
                let dims = tensor::dims(weight)?;
                let values = || tensor::to_f32s(weight).unwrap_or_default();
                rewriter.product(node, (dims[0], dims[1]), &values)?;
            }
            None => rewriter.edit.nodes.push(node.clone()),
        }
    }
    let domains: &[&str] =
        if forms.values().any(|form| *form == Form::Int4Weight) { &["com.microsoft"] } else { &[] };
    let edit = rewriter.edit;
    edit.finish(model, domains)?;
    Ok(model.check()?)
}

struct Rewriter<'a> {
    edit: Edit,
    forms: &'a BTreeMap<String, Form>,
    integers: Integers,
    /// The constants of a unit: integers and scales.
    stored: HashMap<String, [String; 2]>,
    /// Quantized activations: integers, scale and zero point.
    inputs: HashMap<String, Vec<String>>,
}

impl Rewriter<'_> {
    fn product(
        &mut self,
        node: &NodeProto,
        (rows, columns): (usize, usize),
        values: &dyn Fn() -> Vec<f32>,
    ) -> Result<()> {
        let (x, weight, path) = (&node.input[0], &node.input[1], node.name());
        let form = self.forms[weight];
        let stored = self.store(weight, form, (rows, columns), values)?;
        let [q, scales] = &stored;
        match form {
            Form::Int8Dynamic => {
                let input = self.input(x, path);
                let [xq, x_scale, x_zero] = &input[..] else { unreachable!("three outputs") };
                let sum = self.edit.op("MatMulInteger", &format!("{path}/int"), &[xq, q, x_zero], vec![]);
                let sum = self.edit.cast(&sum, DataType::Float);
                let scale = self.edit.op("Mul", &format!("{path}/scale"), &[x_scale, scales], vec![]);
                self.edit.op("Mul", &format!("{path}/product"), &[&sum, &scale], vec![]);
            }
            Form::Int8Weight => {
                let axis = vec![attribute::int("axis", 1)];
                let w = self.edit.op("DequantizeLinear", &format!("{path}/weight"), &[q, scales], axis);
                self.edit.op("MatMul", &format!("{path}/product"), &[x, &w], vec![]);
            }
            Form::Int4Weight => {
                let attributes = vec![
                    attribute::int("K", rows as i64),
                    attribute::int("N", columns as i64),
                    attribute::int("bits", 4),
                    attribute::int("block_size", self.integers.block as i64),
                ];
                let op = ("com.microsoft", "MatMulNBits");
                self.edit.node(op, &format!("{path}/product"), &[x, q, scales], 1, attributes);
            }
        }
        if let Some(bias) = node.input.get(2).filter(|bias| !bias.is_empty()) {
            let product = self.edit.nodes.last().map(|last| last.output[0].clone()).unwrap_or_default();
            self.edit.op("Add", &format!("{path}/bias"), &[&product, bias], vec![]);
        }
        self.edit.rename_last(&node.output[0]);
        Ok(())
    }

    /// Activations in 8 bits, once for all products that take them.
    fn input(&mut self, x: &str, path: &str) -> Vec<String> {
        if let Some(made) = self.inputs.get(x) {
            return made.clone();
        }
        let made = self.edit.node(("", "DynamicQuantizeLinear"), &format!("{path}/input"), &[x], 3, vec![]);
        self.inputs.insert(x.to_owned(), made.clone());
        made
    }

    /// The constants of a unit.
    fn store(
        &mut self,
        weight: &str,
        form: Form,
        (rows, columns): (usize, usize),
        values: &dyn Fn() -> Vec<f32>,
    ) -> Result<[String; 2]> {
        if let Some(made) = self.stored.get(weight) {
            return Ok(made.clone());
        }
        let [q_name, scale_name] = [format!("{weight}.q"), format!("{weight}.scale")];
        let (q, scales) = match form {
            Form::Int8Dynamic | Form::Int8Weight => {
                // Only where bytes meet bytes can their products saturate.
                let most = if form == Form::Int8Dynamic { self.integers.most() } else { 127 };
                let Columns { q, scales } = Columns::quantize(&values(), columns, most);
                let bytes: Vec<u8> = q.into_iter().map(|q| q.cast_unsigned()).collect();
                let q = tensor::raw(&q_name, DataType::Int8, &[rows, columns], bytes.into())?;
                (q, tensor::f32s(&scale_name, &[columns], &scales)?)
            }
            Form::Int4Weight => {
                let block = self.integers.block;
                let blocks = Blocks::count(rows, block);
                let Blocks { packed, scales } = Blocks::quantize(&values(), columns, block);
                let q = tensor::raw(&q_name, DataType::Uint8, &[columns, blocks, block / 2], packed.into())?;
                (q, tensor::f32s(&scale_name, &[columns * blocks], &scales)?)
            }
        };
        let made = [self.edit.constant(q), self.edit.constant(scales)];
        self.stored.insert(weight.to_owned(), made.clone());
        Ok(made)
    }
}
