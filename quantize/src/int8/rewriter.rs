//! One node after another: what stands in place of a product.

use super::{Dialect, Form, Integers, Settings};
use crate::edit::Edit;
use crate::error::Result;
use crate::numbers::{Affine, Blocks, Columns, symmetric_scale};
use crate::unit::{Kind, Unit};
use avdit_onnx::proto::{GraphProto, NodeProto, TensorProto};
use avdit_onnx::{DataType, attribute, tensor};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What identifies an input that products share: the value, and the channels' divisors and the range by their bits.
type InputKey = (String, Vec<u32>);

pub(super) struct Rewriter<'a> {
    pub(super) edit: Edit,
    forms: &'a BTreeMap<String, Form>,
    settings: &'a Settings,
    /// The constants of a unit: integers and scales.
    stored: HashMap<String, [String; 2]>,
    /// Activations divided by channel.
    smoothed: HashMap<InputKey, String>,
    /// Activations quantized where they arise: integers, scale and zero point.
    dynamic: HashMap<String, Vec<String>>,
    /// Activations quantized by a known range: integers, scale and zero point.
    fixed: HashMap<InputKey, [String; 3]>,
    /// How values are reshaped in front of products.
    reshapes: HashMap<&'a str, &'a NodeProto>,
    /// Values that several products take, each perhaps reshaped for itself: they are quantized before that.
    shared: HashSet<&'a str>,
    /// Integers that were reshaped, by what they were, the shape, and whether a 0 in it is one.
    reshaped: HashMap<(String, String, i64), String>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(edit: Edit, forms: &'a BTreeMap<String, Form>, settings: &'a Settings) -> Self {
        let (stored, smoothed, dynamic, fixed) = Default::default();
        let (reshapes, shared, reshaped) = Default::default();
        Self { edit, forms, settings, stored, smoothed, dynamic, fixed, reshapes, shared, reshaped }
    }

    /// Finds the values that several of the `units` take.
    pub(super) fn share(
        &mut self,
        units: impl Iterator<Item = &'a Unit>,
        reshapes: HashMap<&'a str, &'a NodeProto>,
    ) {
        let mut takers: HashMap<&str, usize> = HashMap::new();
        for input in units.filter(|unit| unit.kind == Kind::Weights).flat_map(|unit| &unit.inputs) {
            *takers.entry(input).or_default() += 1;
        }
        self.shared = takers.into_iter().filter(|(_, n)| *n > 1).map(|(input, _)| input).collect();
        self.reshapes = reshapes;
    }

    /// Drops the reshapes of a graph that only products took which now take integers.
    pub(super) fn drop_reshapes(&mut self, graph: &GraphProto) {
        let public = graph.output.iter().map(|output| output.name().to_owned());
        let taken = self.edit.nodes.iter().flat_map(|node| &node.input).cloned();
        let used: HashSet<String> = public.chain(taken).collect();
        let reshapes = &self.reshapes;
        self.edit.nodes.retain(|node| {
            let [output] = &node.output[..] else { return true };
            used.contains(output) || !reshapes.contains_key(output.as_str())
        });
    }

    /// The value that is quantized for a product, and how its integers are reshaped then: where others take the same value,
    /// before it is reshaped for this one.
    fn source(&self, node: &NodeProto, unit: &Unit) -> (String, Option<&'a NodeProto>) {
        let direct = node.input[0].as_str();
        let shared =
            unit.input_of(node.name()).filter(|input| *input != direct && self.shared.contains(input));
        match (shared, self.reshapes.get(direct)) {
            (Some(shared), Some(reshape)) => (shared.to_owned(), Some(*reshape)),
            _ => (direct.to_owned(), None),
        }
    }

    /// Integers in the shape of a product, once for all that take them so.
    fn reshape(&mut self, integers: &str, reshape: Option<&NodeProto>, path: &str) -> String {
        let Some(reshape) = reshape else { return integers.to_owned() };
        let zeros = attribute::int_or(reshape, "allowzero", 0);
        let key = (integers.to_owned(), reshape.input[1].clone(), zeros);
        if let Some(made) = self.reshaped.get(&key) {
            return made.clone();
        }
        let inputs = [integers, &reshape.input[1]];
        let made = self.edit.op("Reshape", &format!("{path}/rows"), &inputs, reshape.attribute.clone());
        self.reshaped.insert(key, made.clone());
        made
    }

    /// A product of two activations.
    pub(super) fn activations(&mut self, node: &NodeProto) {
        let path = node.name().to_owned();
        let a = self.dynamic(&node.input[0], &format!("{path}/a"));
        let b = self.dynamic(&node.input[1], &format!("{path}/b"));
        let inputs = [&a[0], &b[0], &a[2], &b[2]].map(String::as_str);
        let sum = self.edit.op("MatMulInteger", &format!("{path}/int"), &inputs, vec![]);
        let sum = self.edit.cast(&sum, DataType::Float);
        let scale = self.edit.op("Mul", &format!("{path}/scale"), &[&a[1], &b[1]], vec![]);
        self.edit.op("Mul", &format!("{path}/product"), &[&sum, &scale], vec![]);
        self.edit.rename_last(&node.output[0]);
    }

    /// A product of activations and the weights of a unit.
    pub(super) fn product(
        &mut self,
        node: &NodeProto,
        unit: &Unit,
        values: &dyn Fn() -> Result<Vec<f32>>,
    ) -> Result<()> {
        let path = node.name();
        let form = self.forms[&unit.name];
        let stored = self.store(unit, form, values)?;
        let [q, scales] = stored.each_ref().map(String::as_str);
        let (source, reshape) = match form.quantizes_activations() {
            true if !self.is_tensorrt(form) => self.source(node, unit),
            _ => (node.input[0].clone(), None),
        };
        let x = self.smooth(&source, unit, path)?;
        match form {
            Form::Int8Dynamic => {
                let input = self.dynamic(&x, &format!("{path}/input"));
                let rows = self.reshape(&input[0], reshape, path);
                let inputs = [&rows, q, &input[2]];
                let sum = self.edit.op("MatMulInteger", &format!("{path}/int"), &inputs, vec![]);
                let sum = self.edit.cast(&sum, DataType::Float);
                let scale = self.edit.op("Mul", &format!("{path}/scale"), &[&input[1], scales], vec![]);
                self.edit.op("Mul", &format!("{path}/product"), &[&sum, &scale], vec![]);
            }
            Form::Int8Static => {
                let mut input = self.fixed(&x, self.settings.ranges[&unit.name], path)?;
                input[0] = self.reshape(&input[0], reshape, path);
                let bias = node.input.get(2).map(String::as_str);
                if self.fixed_product(path, &input, [q, scales], bias) {
                    self.edit.rename_last(&node.output[0]);
                    return Ok(());
                }
            }
            Form::Int8Weight => self.dequantized(path, &x, [q, scales]),
            Form::Int4Weight => {
                let attributes = vec![
                    attribute::int("K", unit.rows as i64),
                    attribute::int("N", unit.columns as i64),
                    attribute::int("bits", 4),
                    attribute::int("block_size", self.settings.integers.block as i64),
                ];
                let op = ("com.microsoft", "MatMulNBits");
                self.edit.node(op, &format!("{path}/product"), &[&x, q, scales], 1, attributes);
            }
        }
        if let Some(bias) = node.input.get(2).filter(|bias| !bias.is_empty()) {
            let product = self.edit.nodes.last().map(|last| last.output[0].clone()).unwrap_or_default();
            self.edit.op("Add", &format!("{path}/bias"), &[&product, bias], vec![]);
        }
        self.edit.rename_last(&node.output[0]);
        Ok(())
    }

    /// Whether it is TensorRT that joins a form: it looks for what quantizes right in front of the product.
    fn is_tensorrt(&self, form: Form) -> bool {
        form == Form::Int8Static && self.settings.integers.dialect == Dialect::TensorRt
    }

    /// The product in float with weights that are stored as integers.
    fn dequantized(&mut self, path: &str, x: &str, [q, scales]: [&str; 2]) {
        let axis = vec![attribute::int("axis", 1)];
        let w = self.edit.op("DequantizeLinear", &format!("{path}/weight"), &[q, scales], axis);
        self.edit.op("MatMul", &format!("{path}/product"), &[x, &w], vec![]);
    }

    /// The input of a unit with its channels divided, once for all units that divide them alike.
    fn smooth(&mut self, x: &str, unit: &Unit, path: &str) -> Result<String> {
        let Some(smoothing) = self.settings.smoothing.get(&unit.name) else { return Ok(x.to_owned()) };
        let key = (x.to_owned(), smoothing.iter().map(|s| s.to_bits()).collect());
        if let Some(made) = self.smoothed.get(&key) {
            return Ok(made.clone());
        }
        let factors: Vec<f32> = smoothing.iter().map(|s| 1.0 / s).collect();
        let factors = self.edit.constant(tensor::f32s(&format!("{path}/smoothing"), &[unit.rows], &factors)?);
        let made = self.edit.op("Mul", &format!("{path}/smooth"), &[x, &factors], vec![]);
        self.smoothed.insert(key, made.clone());
        Ok(made)
    }

    /// Activations in 8 bits by their own range, once for all products that take them.
    pub(super) fn dynamic(&mut self, x: &str, name: &str) -> Vec<String> {
        if let Some(made) = self.dynamic.get(x) {
            return made.clone();
        }
        let made = self.edit.node(("", "DynamicQuantizeLinear"), name, &[x], 3, vec![]);
        self.dynamic.insert(x.to_owned(), made.clone());
        made
    }

    /// The product of activations of a known range; whether the bias is in it.
    fn fixed_product(
        &mut self,
        path: &str,
        [x, x_scale, x_zero]: &[String; 3],
        [q, scales]: [&str; 2],
        bias: Option<&str>,
    ) -> bool {
        match self.settings.integers.dialect {
            Dialect::TensorRt => {
                let inputs = [x, x_scale, x_zero].map(String::as_str);
                let x = self.edit.op("DequantizeLinear", &format!("{path}/back"), &inputs, vec![]);
                self.dequantized(path, &x, [q, scales]);
                false
            }
            Dialect::OrtCpu => {
                let mut inputs = vec![x.as_str(), q, x_scale, scales, x_zero];
                inputs.extend(bias.map(|bias| ["", bias]).into_iter().flatten());
                let op = ("com.microsoft", "MatMulIntegerToFloat");
                self.edit.node(op, &format!("{path}/product"), &inputs, 1, vec![]);
                true
            }
            Dialect::Portable => {
                let sum = self.edit.op("MatMulInteger", &format!("{path}/int"), &[x, q, x_zero], vec![]);
                let sum = self.edit.cast(&sum, DataType::Float);
                let scale = self.edit.op("Mul", &format!("{path}/scale"), &[x_scale, scales], vec![]);
                self.edit.op("Mul", &format!("{path}/product"), &[&sum, &scale], vec![]);
                false
            }
        }
    }

    /// Activations in 8 bits of a known range, once for all products that take them.
    fn fixed(&mut self, x: &str, range: [f32; 2], path: &str) -> Result<[String; 3]> {
        let key = (x.to_owned(), range.map(f32::to_bits).to_vec());
        if let Some(made) = self.fixed.get(&key) {
            return Ok(made.clone());
        }
        let (scale, zero) = affine(range, self.settings.integers, path)?;
        let (scale, zero) = (self.edit.constant(scale), self.edit.constant(zero));
        let q = self.edit.op("QuantizeLinear", &format!("{path}/input"), &[x, &scale, &zero], vec![]);
        let made = [q, scale, zero];
        self.fixed.insert(key, made.clone());
        Ok(made)
    }

    /// The constants of a unit.
    fn store(
        &mut self,
        unit: &Unit,
        form: Form,
        values: &dyn Fn() -> Result<Vec<f32>>,
    ) -> Result<[String; 2]> {
        let Unit { name: weight, rows, columns, .. } = unit;
        if let Some(made) = self.stored.get(weight) {
            return Ok(made.clone());
        }
        let mut values = values()?;
        if let Some(smoothing) = self.settings.smoothing.get(weight) {
            for (row, factor) in values.chunks_exact_mut(*columns).zip(smoothing) {
                row.iter_mut().for_each(|w| *w *= factor);
            }
        }
        let [q_name, scale_name] = [format!("{weight}.q"), format!("{weight}.scale")];
        let (q, scales) = if form == Form::Int4Weight {
            let block = self.settings.integers.block;
            let blocks = Blocks::count(*rows, block);
            let Blocks { packed, scales } = Blocks::quantize(&values, *columns, block);
            let q = tensor::raw(&q_name, DataType::Uint8, &[*columns, blocks, block / 2], packed.into())?;
            (q, tensor::f32s(&scale_name, &[columns * blocks], &scales)?)
        } else {
            // Only where bytes meet bytes can their products saturate.
            let most = if form.quantizes_activations() { self.settings.integers.most() } else { 127 };
            let Columns { q, scales } = Columns::quantize(&values, *columns, most);
            let bytes: Vec<u8> = q.into_iter().map(|q| q.cast_unsigned()).collect();
            let q = tensor::raw(&q_name, DataType::Int8, &[*rows, *columns], bytes.into())?;
            (q, tensor::f32s(&scale_name, &[*columns], &scales)?)
        };
        let made = [self.edit.constant(q), self.edit.constant(scales)];
        self.stored.insert(weight.to_owned(), made.clone());
        Ok(made)
    }
}

/// Scale and zero point of a range.
fn affine(range: [f32; 2], integers: Integers, path: &str) -> Result<(TensorProto, TensorProto)> {
    let [scale_name, zero_name] = [format!("{path}/input_scale"), format!("{path}/input_zero")];
    if integers.dialect == Dialect::TensorRt {
        let scale = symmetric_scale(range[0].abs().max(range[1].abs()), i8::MAX);
        let zero = tensor::raw(&zero_name, DataType::Int8, &[], vec![0].into())?;
        return Ok((tensor::f32s(&scale_name, &[], &[scale])?, zero));
    }
    let Affine { scale, zero_point } = Affine::of_range(range[0], range[1]);
    let zero = tensor::raw(&zero_name, DataType::Uint8, &[], vec![zero_point].into())?;
    Ok((tensor::f32s(&scale_name, &[], &[scale])?, zero))
}
