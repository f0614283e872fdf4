//! The types of operators that networks of convolutions are made of.
#![allow(clippy::unwrap_used, reason = "tests")]

use avdit_onnx::proto::AttributeProto;
use avdit_onnx::{DataType, Dim, GraphBuilder, attribute};

/// An input: dimensions of numbers, of which a text is a symbol, or integers that are known, or none.
enum Input {
    Numbers(&'static [&'static str]),
    Integers(&'static [i64]),
    None,
}
use Input::{Integers, Numbers};

fn shape_of(op: &str, inputs: &[Input], attributes: &[AttributeProto]) -> Result<String, String> {
    let mut graph = GraphBuilder::new("layer");
    let mut names = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        let dim = |text: &&str| text.parse().map_or_else(|_| Dim::Symbol((*text).to_owned()), Dim::Known);
        names.push(match input {
            Numbers(dims) => {
                let shape = dims.iter().map(dim).collect();
                graph.input(&format!("x{i}"), DataType::Float, shape).unwrap()
            }
            Integers(values) => graph.integers(values).unwrap(),
            Input::None => String::new(),
        });
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let made = graph.node(op, "", &names, attributes.to_vec()).map_err(|error| error.to_string())?;
    Ok(graph.value_type(&made).unwrap().to_string())
}

fn shape(op: &str, inputs: &[Input], attributes: &[AttributeProto]) -> String {
    shape_of(op, inputs, attributes).unwrap()
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    attribute::ints(name, values.to_vec())
}

#[test]
fn a_transposed_convolution_makes_what_a_plain_one_would_have_read() {
    let op = "ConvTranspose";
    let up = [ints("strides", &[5]), ints("pads", &[5, 5])];
    let inputs = [Numbers(&["b", "32", "13"]), Numbers(&["32", "16", "16"]), Numbers(&["16"])];
    assert!(shape(op, &inputs, &up).contains("(b, 16, 66)"));
    let grouped = [Numbers(&["b", "4", "3", "2"]), Numbers(&["4", "3", "2", "3"])];
    assert!(shape(op, &grouped, &[attribute::int("group", 2)]).contains("(b, 6, 4, 4)"));
    assert!(shape_of(op, &[Numbers(&["b", "3", "9"]), Numbers(&["4", "2", "3"])], &[]).is_err());
    assert!(shape_of(op, &inputs, &[ints("pads", &[30, 30])]).unwrap_err().contains("nothing is left"));
    assert!(shape_of(op, &inputs, &[ints("output_padding", &[1])]).unwrap_err().contains("output_padding"));
    let bias = [Numbers(&["b", "32", "13"]), Numbers(&["32", "16", "16"]), Numbers(&["32"])];
    assert!(shape_of(op, &bias, &[]).unwrap_err().contains("bias (32) for 16 outputs"));
}

#[test]
fn a_norm_of_instances_takes_a_scale_for_each_channel() {
    let op = "InstanceNormalization";
    assert!(
        shape(op, &[Numbers(&["b", "8", "10"]), Numbers(&["8"]), Numbers(&["8"])], &[])
            .contains("(b, 8, 10)")
    );
    assert!(shape_of(op, &[Numbers(&["b", "8", "10"]), Numbers(&["8"]), Numbers(&["4"])], &[]).is_err());
}

#[test]
fn places_are_added_and_mirrored_only_where_there_are_enough() {
    let x = || Numbers(&["b", "3", "5"]);
    let mirror = attribute::string("mode", "reflect");
    let pads = |pads: &'static [i64]| [x(), Integers(pads)];
    assert!(shape("Pad", &pads(&[0, 0, 4, 0, 0, 2]), std::slice::from_ref(&mirror)).contains("(b, 3, 11)"));
    assert!(shape_of("Pad", &pads(&[0, 0, 5, 0, 0, 0]), &[mirror]).unwrap_err().contains("pads 5 and 0"));
    assert!(shape("Pad", &pads(&[0, 0, 5, 0, 0, 0]), &[]).contains("(b, 3, 10)"));
    assert!(shape("Pad", &[x(), Integers(&[1, 2]), Input::None, Integers(&[-2])], &[]).contains("(b, 6, 5)"));
    assert!(shape_of("Pad", &pads(&[1, 0, 0, 0, 0, 0]), &[]).unwrap_err().contains("no known size"));
    assert!(shape_of("Pad", &pads(&[1, 0]), &[]).is_err());
}

#[test]
fn sizes_are_told_for_the_axes_that_are_named() {
    let inputs = |sizes| [Numbers(&["b", "3", "5", "4"]), Input::None, Input::None, Integers(sizes)];
    assert!(shape("Resize", &inputs(&[10, 8]), &[ints("axes", &[2, 3])]).contains("(b, 3, 10, 8)"));
    assert!(shape_of("Resize", &inputs(&[10]), &[ints("axes", &[2, 3])]).unwrap_err().contains("1 sizes"));
    assert!(shape_of("Resize", &inputs(&[0, 8]), &[ints("axes", &[2, 3])]).is_err());
}

#[test]
fn cells_keep_a_state_of_their_own_width() {
    let all = |recurrent| {
        let weights = [Numbers(&["1", "16", "3"]), recurrent, Numbers(&["1", "32"])];
        [Numbers(&["7", "b", "3"])].into_iter().chain(weights).collect::<Vec<_>>()
    };
    let cells = [attribute::int("hidden_size", 4)];
    assert!(shape("LSTM", &all(Numbers(&["1", "16", "4"])), &cells).contains("(7, 1, b, 4)"));
    assert!(shape_of("LSTM", &all(Numbers(&["1", "16", "3"])), &cells).unwrap_err().contains("4 cells"));
    let two = [cells[0].clone(), attribute::string("direction", "bidirectional")];
    assert!(shape_of("LSTM", &all(Numbers(&["1", "16", "4"])), &two).unwrap_err().contains("direction"));
}
