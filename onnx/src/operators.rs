//! The operators that are known: where they come from, how many inputs and outputs they take, what types result.

use crate::infer::{self, Inferred, Site};
use crate::model::same_domain;
use std::ops::RangeInclusive;

/// The domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";

/// One operator in the form that is understood here.
pub(crate) struct Operator {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    /// The first version of the operator set that has this form.
    pub(crate) since: i64,
    pub(crate) inputs: RangeInclusive<usize>,
    pub(crate) outputs: RangeInclusive<usize>,
    pub(crate) infer: fn(&Site<'_>) -> Inferred,
}

const MANY: usize = usize::MAX;

const fn onnx(
    name: &'static str,
    since: i64,
    inputs: RangeInclusive<usize>,
    infer: fn(&Site<'_>) -> Inferred,
) -> Operator {
    Operator { domain: "", name, since, inputs, outputs: 1..=1, infer }
}

/// Every operator that is known.
const OPERATORS: &[Operator] = &[
    onnx("Add", 7, 2..=2, infer::broadcast),
    onnx("Cast", 6, 1..=1, infer::cast),
    onnx("Concat", 4, 1..=MANY, infer::concat),
    onnx("Conv", 11, 2..=3, infer::conv),
    onnx("ConvTranspose", 11, 2..=3, infer::conv_transpose),
    onnx("Cos", 7, 1..=1, infer::same),
    onnx("DequantizeLinear", 10, 2..=3, infer::dequantize),
    onnx("Div", 7, 2..=2, infer::broadcast),
    Operator { outputs: 3..=3, ..onnx("DynamicQuantizeLinear", 11, 1..=1, infer::dynamic_quantize) },
    onnx("Elu", 6, 1..=1, infer::same),
    onnx("Gather", 1, 2..=2, infer::gather),
    onnx("Gelu", 20, 1..=1, infer::same),
    onnx("Gemm", 13, 2..=3, infer::gemm),
    onnx("Greater", 9, 2..=2, infer::compare),
    onnx("Identity", 1, 1..=1, infer::same),
    onnx("InstanceNormalization", 6, 3..=3, infer::instance_norm),
    onnx("LSTM", 14, 3..=4, infer::lstm),
    onnx("LayerNormalization", 17, 2..=3, infer::layer_norm),
    onnx("LeakyRelu", 6, 1..=1, infer::same),
    onnx("MatMul", 1, 2..=2, infer::matmul),
    onnx("MatMulInteger", 10, 2..=4, infer::matmul_integer),
    onnx("Mul", 7, 2..=2, infer::broadcast),
    onnx("Pad", 18, 2..=4, infer::pad),
    onnx("Pow", 7, 2..=2, infer::broadcast),
    onnx("QuantizeLinear", 10, 2..=3, infer::quantize),
    onnx("ReduceMax", 18, 1..=2, infer::reduce),
    onnx("ReduceMean", 18, 1..=2, infer::reduce),
    onnx("ReduceSum", 13, 1..=2, infer::reduce),
    onnx("Relu", 6, 1..=1, infer::same),
    onnx("Reshape", 5, 2..=2, infer::reshape),
    onnx("Resize", 18, 4..=4, infer::resize),
    onnx("Sigmoid", 6, 1..=1, infer::same),
    onnx("Sin", 7, 1..=1, infer::same),
    onnx("Slice", 10, 3..=5, infer::slice),
    onnx("Softmax", 13, 1..=1, infer::same),
    Operator { outputs: 1..=MANY, ..onnx("Split", 13, 2..=2, infer::split) },
    onnx("Sqrt", 6, 1..=1, infer::same),
    onnx("Sub", 7, 2..=2, infer::broadcast),
    onnx("Tanh", 6, 1..=1, infer::same),
    onnx("Transpose", 1, 1..=1, infer::transpose),
    onnx("Where", 9, 3..=3, infer::choose),
    Operator { domain: MICROSOFT, ..onnx("FastGelu", 1, 1..=2, infer::same) },
    Operator { domain: MICROSOFT, ..onnx("MatMulIntegerToFloat", 1, 4..=7, infer::matmul_to_float) },
    Operator { domain: MICROSOFT, ..onnx("MatMulNBits", 1, 3..=3, infer::matmul_bits) },
    Operator { domain: MICROSOFT, ..onnx("MultiHeadAttention", 1, 3..=3, infer::multi_head_attention) },
];

/// The operator of a domain and a name.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name && same_domain(operator.domain, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_listed_once() {
        for (i, operator) in OPERATORS.iter().enumerate() {
            let same = |other: &&Operator| other.name == operator.name && other.domain == operator.domain;
            assert_eq!(OPERATORS.iter().position(|other| same(&other)), Some(i), "{}", operator.name);
        }
    }

    #[test]
    fn an_operator_is_found_in_its_own_domain_alone() {
        assert!(find("", "MatMul").is_some() && find("ai.onnx", "MatMul").is_some());
        assert!(find(MICROSOFT, "MatMul").is_none() && find("", "FastGelu").is_none());
    }
}
