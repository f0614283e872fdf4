//! The types of operators that are whole layers, and of the reshapes around them.
#![allow(clippy::unwrap_used, reason = "tests")]

use avdit_onnx::{DataType, Dim, GraphBuilder, attribute};

/// The domain and name of an operator, the dimensions of its inputs, integers of one more, attributes.
type Case = (
    (&'static str, &'static str),
    &'static [&'static [&'static str]],
    &'static [i64],
    &'static [(&'static str, i64)],
);

/// The shape of what an operator makes; a dimension that is no number is a symbol.
fn shape_of(((domain, op), inputs, constant, attributes): Case) -> Result<String, String> {
    let mut graph = GraphBuilder::new("layer");
    let mut names = Vec::new();
    for (i, dims) in inputs.iter().enumerate() {
        let dim = |text: &&str| text.parse().map_or_else(|_| Dim::Symbol((*text).to_owned()), Dim::Known);
        let shape = dims.iter().map(dim).collect();
        names.push(graph.input(&format!("x{i}"), DataType::Float, shape).unwrap());
    }
    if !constant.is_empty() {
        names.push(graph.integers(constant).unwrap());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let attributes = attributes.iter().map(|(name, value)| attribute::int(name, *value)).collect();
    let made = graph.node_in(domain, op, "", &names, 1, attributes).map_err(|error| error.to_string())?;
    Ok(graph.value_type(&made[0]).unwrap().to_string())
}

const CONV: (&str, &str) = ("", "Conv");
const TOKENS: &[&str] = &["b", "5", "4"];
const MATRIX: &[&str] = &["5", "4"];

const GEMM: (&str, &str) = ("", "Gemm");
const NORM: (&str, &str) = ("", "LayerNormalization");
const RESHAPE: (&str, &str) = ("", "Reshape");
const ATTENTION: (&str, &str) = ("com.microsoft", "MultiHeadAttention");

#[test]
fn layers_have_the_shapes_that_follow_from_their_inputs() {
    let cases: [(Case, &str); 14] = [
        ((CONV, &[&["b", "3", "11"], &["4", "3", "3"]], &[], &[]), "(b, 4, 9)"),
        (
            (CONV, &[&["b", "4", "9", "7"], &["6", "2", "3", "1"], &["6"]], &[], &[("group", 2)]),
            "(b, 6, 7, 7)",
        ),
        ((CONV, &[&["2", "1", "5", "6", "7"], &["4", "1", "3", "2", "7"]], &[], &[]), "(2, 4, 3, 5, 1)"),
        ((GEMM, &[&["5*b", "4"], &["4", "3"], &["3"]], &[], &[]), "(5*b, 3)"),
        ((GEMM, &[&["5", "4"], &["4", "3"]], &[], &[]), "(5, 3)"),
        ((NORM, &[&["b", "5", "4"], &["4"]], &[], &[]), "(b, 5, 4)"),
        ((NORM, &[&["b", "5", "4"], &["b", "5", "4"], &["b", "5", "4"]], &[], &[]), "(b, 5, 4)"),
        ((ATTENTION, &[TOKENS; 3], &[], &[("num_heads", 2)]), "(b, 5, 4)"),
        (
            (ATTENTION, &[&["b", "5", "4"], &["b", "7", "4"], &["b", "7", "6"]], &[], &[("num_heads", 2)]),
            "(b, 5, 6)",
        ),
        ((RESHAPE, &[&["b", "5", "4"]], &[-1, 4], &[]), "(5*b, 4)"),
        ((RESHAPE, &[&["b", "5", "4"]], &[-1], &[]), "(20*b)"),
        ((RESHAPE, &[&["5*b", "6"]], &[-1, 5, 2, 3], &[]), "(b, 5, 2, 3)"),
        ((RESHAPE, &[&["5*b", "6"]], &[-1, 15, 2], &[]), "(b, 15, 2)"),
        ((RESHAPE, &[&["2", "5", "4"]], &[-1, 4], &[]), "(10, 4)"),
    ];
    for (case, expected) in cases {
        assert_eq!(shape_of(case), Ok(format!("float {expected}")), "{case:?}");
    }
}

#[test]
fn strides_dilations_and_pads_decide_the_places_of_a_convolution() {
    let shape = |attributes: &[(&str, &[i64])]| {
        let mut graph = GraphBuilder::new("conv");
        let known = |dims: &[usize]| dims.iter().copied().map(Dim::Known).collect::<Vec<_>>();
        let x = graph.input("x", DataType::Float, known(&[1, 2, 17, 16])).unwrap();
        let weight = graph.input("weight", DataType::Float, known(&[4, 2, 3, 3])).unwrap();
        let made = |(name, values): &(&str, &[i64])| attribute::ints(name, values.to_vec());
        let attributes = attributes.iter().map(made).collect();
        let y = graph.node("Conv", "", &[&x, &weight], attributes).map_err(|error| error.to_string())?;
        Ok::<_, String>(graph.value_type(&y).unwrap().to_string())
    };
    let causal: &[(&str, &[i64])] =
        &[("pads", &[2, 0, 0, 1]), ("strides", &[2, 2]), ("kernel_shape", &[3, 3])];
    assert_eq!(shape(causal), Ok("float (1, 4, 9, 8)".into()));
    assert_eq!(shape(&[("dilations", &[8, 1])]), Ok("float (1, 4, 1, 14)".into()));
    for (attributes, expected) in [
        (&[("pads", &[1, 1][..])][..], "pads [1, 1]: expected 4"),
        (&[("strides", &[0, 1])], "the window has no place"),
        (&[("dilations", &[-1, 1])], "dilations [-1, 1]: expected 2"),
        (&[("kernel_shape", &[3, 1])], "kernel_shape [3, 1], but the weight is"),
    ] {
        let message = shape(attributes).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn layers_whose_inputs_do_not_belong_together_are_refused() {
    let cases: [(Case, &str); 16] = [
        (
            (CONV, &[&["b", "3", "11"], &["4", "2", "3"]], &[], &[]),
            "weight (4, 2, 3) does not fit (b, 3, 11) in 1 groups",
        ),
        ((CONV, &[&["b", "3", "11"], &["4", "3", "3", "3"]], &[], &[]), "does not fit (b, 3, 11)"),
        ((CONV, &[&["b", "3", "2"], &["4", "3", "3"]], &[], &[]), "the window has no place"),
        ((CONV, &[&["b", "3", "9"], &["4", "3", "3"], &["3"]], &[], &[]), "bias (3) for 4 outputs"),
        ((GEMM, &[&["b", "5", "4"], &["4", "3"]], &[], &[]), "(b, 5, 4) and (4, 3) are not two matrices"),
        ((GEMM, &[&["5", "4"], &["5", "3"]], &[], &[]), "shapes (5, 4) and (5, 3) cannot be multiplied"),
        ((GEMM, &[&["5", "4"], &["4", "3"], &["4"]], &[], &[]), "shapes (5, 3) and (4) do not broadcast"),
        ((GEMM, &[&["1", "4"], &["4", "3"], &["5", "3"]], &[], &[]), "(5, 3) does not broadcast to (1, 3)"),
        (
            (GEMM, &[&["5", "4"], &["4", "3"]], &[], &[("transB", 1)]),
            "shapes (5, 4) and (3, 4) cannot be multiplied",
        ),
        ((NORM, &[&["b", "5", "4"], &["3"]], &[], &[]), "shapes (b, 5, 4) and (3) do not broadcast"),
        ((NORM, &[&["5", "4"], &["2", "5", "4"]], &[], &[]), "(2, 5, 4) does not broadcast to (5, 4)"),
        ((ATTENTION, &[TOKENS; 3], &[], &[("num_heads", 3)]), "3 heads do not divide the widths 4"),
        ((ATTENTION, &[TOKENS; 3], &[], &[]), "0 heads do not divide the widths 4 and 4"),
        (
            (ATTENTION, &[&["b", "5", "4"], &["b", "7", "4"], &["b", "5", "4"]], &[], &[("num_heads", 2)]),
            "q (b, 5, 4), k (b, 7, 4) and v (b, 5, 4) do not belong together",
        ),
        ((ATTENTION, &[MATRIX; 3], &[], &[("num_heads", 2)]), "are not all (batch, tokens, width)"),
        ((RESHAPE, &[&["5*b", "6"]], &[-1, 4, 2], &[]), "shape (5*b, 6) cannot become [-1, 4, 2]"),
    ];
    for (case, expected) in cases {
        let message = shape_of(case).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
