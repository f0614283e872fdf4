//! Attention in 8 bits, where one operator of ONNX Runtime holds all of it in float.
//!
//! It is written out, in bytes wherever values only move: q, k and v are quantized as they lie and then put head by head.
//! A row of the softmax sums to 1, so one scale for all rows would leave rows that look at many keys next to nothing:
//! each row is quantized by its own largest value, and the product is multiplied by it. Scores and their softmax stay in
//! single precision.

use super::rewriter::Rewriter;
use crate::error::Result;
use crate::unit::Heads;
use avdit_onnx::proto::NodeProto;
use avdit_onnx::{DataType, attribute, tensor};

/// The first operator set in which a scale for each row can be given where values are quantized, and the version of the
/// format that it came with.
pub(super) const OPSET: i64 = 21;
pub(super) const IR_VERSION: i64 = 10;

/// (batch, tokens, heads, width) and (batch, heads, tokens, width), either of which becomes the other.
const HEADS_FIRST: [i64; 4] = [0, 2, 1, 3];
/// (batch, tokens, heads, width) to (batch, heads, width, tokens).
const TRANSPOSED: [i64; 4] = [0, 2, 3, 1];

impl Rewriter<'_> {
    /// An operator of attention.
    pub(super) fn attention(&mut self, node: &NodeProto, heads: Heads) -> Result<()> {
        let path = node.name().to_owned();
        let of = |name: &str| format!("{path}/{name}");
        let Heads { heads: n, queries, keys, width, value_width } = heads;
        // Integers, scale and zero point of each.
        let q = self.by_head(&node.input[0], &of("q"), [queries, n, width], HEADS_FIRST)?;
        let k = self.by_head(&node.input[1], &of("k"), [keys, n, width], TRANSPOSED)?;
        let v = self.by_head(&node.input[2], &of("v"), [keys, n, value_width], HEADS_FIRST)?;

        let factor = attribute::find(node, "scale").map_or(0.0, |scale| scale.f());
        let factor = if factor == 0.0 { 1.0 / (width as f32).sqrt() } else { factor };
        let factor = self.number(&of("factor"), factor)?;
        let q_scale = self.edit.op("Mul", &of("q_scale"), &[&q[1], &factor], vec![]);
        let inputs = [&q[0], &k[0], &q_scale, &k[1], &q[2], &k[2]].map(String::as_str);
        let product = ("com.microsoft", "MatMulIntegerToFloat");
        let scores = self.edit.node(product, &of("scores"), &inputs, 1, vec![]).remove(0);
        let last = || vec![attribute::int("axis", -1)];
        let softmax = self.edit.op("Softmax", &of("softmax"), &[&scores], last());

        let last_axis = self.edit.constant(tensor::i64s(&of("last_axis"), &[-1])?);
        let largest = self.edit.op("ReduceMax", &of("largest"), &[&softmax, &last_axis], vec![]);
        let step = self.number(&of("step"), 1.0 / f32::from(u8::MAX))?;
        let row_scale = self.edit.op("Mul", &of("row_scale"), &[&largest, &step], vec![]);
        let by_row = [
            attribute::int("block_size", keys as i64),
            attribute::int("output_dtype", i64::from(DataType::Uint8 as i32)),
        ];
        let by_row = last().into_iter().chain(by_row).collect();
        let weights = self.edit.op("QuantizeLinear", &of("weights"), &[&softmax, &row_scale], by_row);

        let one = self.number(&of("one"), 1.0)?;
        let inputs = [&weights, &v[0], &one, &v[1], "", &v[2]];
        let steps = self.edit.node(product, &of("steps"), &inputs, 1, vec![]).remove(0);
        let mixed = self.edit.op("Mul", &of("mixed"), &[&steps, &row_scale], vec![]);
        let order = vec![attribute::ints("perm", HEADS_FIRST.to_vec())];
        let by_token = self.edit.op("Transpose", &of("by_token"), &[&mixed], order);
        let shape = tensor::i64s(&of("shape"), &[0, queries as i64, (n * value_width) as i64])?;
        let shape = self.edit.constant(shape);
        self.edit.op("Reshape", &of("output"), &[&by_token, &shape], vec![]);
        self.edit.rename_last(&node.output[0]);
        Ok(())
    }

    /// A value in bytes, head by head: integers, scale and zero point.
    fn by_head(
        &mut self,
        x: &str,
        name: &str,
        [tokens, heads, width]: [usize; 3],
        order: [i64; 4],
    ) -> Result<[String; 3]> {
        let made = self.dynamic(x, name);
        let shape = tensor::i64s(&format!("{name}/shape"), &[0, tokens as i64, heads as i64, width as i64])?;
        let shape = self.edit.constant(shape);
        let apart = self.edit.op("Reshape", &format!("{name}/heads"), &[&made[0], &shape], vec![]);
        let order = vec![attribute::ints("perm", order.to_vec())];
        let integers = self.edit.op("Transpose", &format!("{name}/by_head"), &[&apart], order);
        Ok([integers, made[1].clone(), made[2].clone()])
    }

    fn number(&mut self, name: &str, value: f32) -> Result<String> {
        Ok(self.edit.constant(tensor::f32s(name, &[], &[value])?))
    }
}
