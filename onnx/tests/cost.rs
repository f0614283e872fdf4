//! What nodes cost and what graphs hold in memory, against figures worked out by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use avdit_onnx::cost::{self, Cost, NodeCost};
use avdit_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
};
use avdit_onnx::{DataType, Dim, ExternalData, Model, ValueType, WriteOptions, attribute, tensor};

fn declare(name: &str, shape: &[usize]) -> ValueInfoProto {
    ValueType::known(DataType::Float, shape).declare(name)
}

fn node(
    op: &str,
    domain: &str,
    inputs: &[&str],
    outputs: &[&str],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        name: Some(format!("/{}", outputs[0])),
        op_type: Some(op.to_owned()),
        domain: Some(domain.to_owned()),
        input: names(inputs),
        output: names(outputs),
        attribute,
        ..Default::default()
    }
}

fn graph(inputs: &[(&str, &[usize])], nodes: Vec<NodeProto>, outputs: &[(&str, &[usize])]) -> Model {
    let import =
        |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    Model::from_proto(ModelProto {
        ir_version: Some(10),
        opset_import: vec![import("", 22), import("com.microsoft", 1)],
        graph: Some(GraphProto {
            node: nodes,
            input: inputs.iter().map(|(name, shape)| declare(name, shape)).collect(),
            output: outputs.iter().map(|(name, shape)| declare(name, shape)).collect(),
            ..Default::default()
        }),
        ..Default::default()
    })
    .unwrap()
}

/// The cost of one node with inputs of these shapes, none of them a weight.
fn one(
    op: &str,
    domain: &str,
    attributes: Vec<AttributeProto>,
    inputs: &[&[usize]],
    output: &[usize],
) -> NodeCost {
    let names: Vec<_> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let inputs: Vec<_> = names.iter().map(String::as_str).zip(inputs.iter().copied()).collect();
    let names: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
    let model = graph(&inputs, vec![node(op, domain, &names, &["y"], attributes)], &[("y", output)]);
    cost::of(&model, &[]).unwrap().remove(0)
}

#[test]
fn operations_are_those_counted_by_hand() {
    let ms = "com.microsoft";
    let heads = || vec![attribute::int("num_heads", 2)];
    let transposed = || vec![attribute::int("transA", 1)];
    let q_heads = || vec![attribute::int("q_num_heads", 2), attribute::int("kv_num_heads", 2)];
    type Case<'a> = (&'a str, &'a str, Vec<AttributeProto>, Vec<&'a [usize]>, Vec<usize>, u64, u64);
    let cases: Vec<Case<'_>> = vec![
        // 2·3·4·6 elements of 5 products
        ("MatMul", "", vec![], vec![&[2, 3, 4, 5], &[5, 6]], vec![2, 3, 4, 6], 720, 0),
        // the batch is broadcast: as many
        ("MatMul", "", vec![], vec![&[2, 1, 4, 5], &[3, 5, 6]], vec![2, 3, 4, 6], 720, 0),
        ("FusedMatMul", ms, transposed(), vec![&[5, 4], &[5, 6]], vec![4, 6], 120, 0),
        ("Gemm", "", transposed(), vec![&[5, 4], &[5, 6], &[6]], vec![4, 6], 120, 24),
        ("Gemm", "", vec![], vec![&[4, 5], &[5, 6]], vec![4, 6], 120, 0),
        // 6·6·6 elements of 2 channels in windows of 3·3; the bias
        (
            "Conv",
            "",
            vec![attribute::int("group", 2)],
            vec![&[1, 4, 8, 8], &[6, 2, 3, 3], &[6]],
            vec![1, 6, 6, 6],
            3888,
            216,
        ),
        // 3·5 elements, each times 4 channels in a window of 6; the bias
        ("ConvTranspose", "", vec![], vec![&[1, 3, 5], &[3, 4, 6], &[4]], vec![1, 4, 10], 360, 40),
        // 7 places of 2 examples: 4·4 gates see 3 inputs and 4 states; 56 states of 18 operations and 8 biases
        (
            "LSTM",
            "",
            vec![attribute::int("hidden_size", 4)],
            vec![&[7, 2, 3], &[1, 16, 3], &[1, 16, 4], &[1, 32]],
            vec![7, 1, 2, 4],
            1568,
            1456,
        ),
        ("InstanceNormalization", "", vec![], vec![&[1, 2, 8], &[2], &[2]], vec![1, 2, 8], 0, 112),
        ("LeakyRelu", "", vec![], vec![&[3, 4]], vec![3, 4], 0, 24),
        ("Elu", "", vec![], vec![&[3, 4]], vec![3, 4], 0, 36),
        // q·kᵀ: 2 clips, 7 rows, 5 keys, 8 wide = 560; times v: as many; 2·2·7·5 scores of 6 operations
        (
            "MultiHeadAttention",
            ms,
            heads(),
            vec![&[2, 7, 8], &[2, 5, 8], &[2, 5, 8]],
            vec![2, 7, 8],
            1120,
            840,
        ),
        (
            "Attention",
            "",
            vec![],
            vec![&[2, 2, 7, 4], &[2, 2, 5, 4], &[2, 2, 5, 4]],
            vec![2, 2, 7, 4],
            1120,
            840,
        ),
        ("Attention", "", q_heads(), vec![&[2, 7, 8], &[2, 5, 8], &[2, 5, 8]], vec![2, 7, 8], 1120, 840),
        // 2·5 rows of 8 to 24 = 1920, then 2·(2·5·5·8); 2·2·5·5 scores
        ("Attention", ms, heads(), vec![&[2, 5, 8], &[8, 24], &[24]], vec![2, 5, 8], 2720, 600),
        ("LayerNormalization", "", vec![], vec![&[2, 8], &[8]], vec![2, 8], 0, 96),
        ("LayerNormalization", "", vec![], vec![&[2, 8], &[8], &[8]], vec![2, 8], 0, 112),
        ("SkipLayerNormalization", ms, vec![], vec![&[2, 8], &[2, 8], &[8]], vec![2, 8], 0, 112),
        ("SimplifiedLayerNormalization", "", vec![], vec![&[2, 8], &[8]], vec![2, 8], 0, 64),
        ("Softmax", "", vec![], vec![&[3, 4]], vec![3, 4], 0, 60),
        ("Add", "", vec![], vec![&[3, 4], &[4]], vec![3, 4], 0, 12),
        ("Gelu", "", vec![], vec![&[3, 4]], vec![3, 4], 0, 108),
        ("FastGelu", ms, vec![], vec![&[3, 4], &[4]], vec![3, 4], 0, 120),
        ("ReduceMax", "", vec![], vec![&[3, 4]], vec![1, 1], 0, 12),
        ("ReduceMean", "", vec![], vec![&[3, 4]], vec![1, 1], 0, 12),
        ("Transpose", "", vec![], vec![&[3, 4]], vec![4, 3], 0, 0),
    ];
    for (op, domain, attributes, inputs, output, multiply_adds, other) in cases {
        let node = one(op, domain, attributes, &inputs, &output);
        assert!(node.is_counted, "{op}");
        let got = (node.cost.multiply_adds, node.cost.other_operations);
        assert_eq!(got, (multiply_adds, other), "{op} {inputs:?}");
    }
}

#[test]
fn bytes_of_weights_and_activations_are_told_apart() {
    // gelu(x·W + b) with W (256, 4), x (2, 3, 256), 4 bytes a number
    let costs = cost::of(&support::model(), &[("batch", 2)]).unwrap();
    let bytes = |c: Cost| (c.activation_read_bytes, c.weight_read_bytes, c.written_bytes);
    assert_eq!(bytes(costs[0].cost), (2 * 3 * 256 * 4, 256 * 4 * 4, 2 * 3 * 4 * 4));
    assert_eq!(bytes(costs[1].cost), (96, 16, 96));
    let total: Cost = costs.iter().map(|node| node.cost).sum();
    assert_eq!((total.multiply_adds, total.other_operations), (6 * 4 * 256, 24 + 9 * 24));
    assert_eq!(total.operations(), 2 * 6144 + 240);
    assert_eq!(costs[0].cost.intensity(), 12288.0 / (6144.0 + 4096.0 + 96.0));
}

#[test]
fn a_view_moves_nothing_and_a_gather_reads_what_it_writes() {
    let reshape = one("Flatten", "", vec![], &[&[2, 3, 4]], &[2, 12]);
    assert_eq!(reshape.cost, Cost::default());
    let mut model = graph(
        &[("x", &[100, 8])],
        vec![node("Gather", "", &["x", "rows"], &["y"], vec![])],
        &[("y", &[3, 8])],
    );
    model.graph_mut().initializer.push(tensor::i64s("rows", &[4, 4, 9]).unwrap());
    let gather = cost::of(&model, &[]).unwrap().remove(0).cost;
    assert_eq!((gather.activation_read_bytes, gather.weight_read_bytes, gather.written_bytes), (96, 24, 96));
}

#[test]
fn a_dimension_may_be_a_product() {
    let mut model = graph(&[("x", &[1])], vec![node("Sqrt", "", &["x"], &["y"], vec![])], &[("y", &[1])]);
    let shape = vec![Dim::Symbol("106*batch".to_owned())];
    model.graph_mut().input[0] = ValueType { data_type: DataType::Float, shape }.declare("x");
    assert_eq!(cost::of(&model, &[("batch", 3)]).unwrap()[0].cost.other_operations, 318);
}

#[test]
fn what_cannot_be_counted_is_said() {
    let message = cost::of(&support::model(), &[("clips", 1)]).unwrap_err().to_string();
    assert!(message.ends_with("has the dimension 'batch', sizes are given for: clips"), "{message}");
    let strange = one("Whirl", "com.example", vec![], &[&[3, 4]], &[3, 4]);
    assert_eq!((strange.op.as_str(), strange.is_counted), ("com.example.Whirl", false));
    assert_eq!((strange.cost.operations(), strange.cost.bytes()), (0, 96));
    let nodes = vec![node("Whirl", "", &["x"], &["y"], vec![]), node("Sqrt", "", &["y"], &["z"], vec![])];
    let message = cost::of(&graph(&[("x", &[3])], nodes, &[("z", &[3])]), &[]).unwrap_err().to_string();
    assert!(
        message.contains("/y (Whirl)") && message.contains("declares no type for its output y"),
        "{message}"
    );
}

#[test]
fn the_memory_of_a_diamond_is_that_drawn_by_hand() {
    // a and what follows are 40 bytes each: x → a; a → b, c; b, c → d
    let turn = |from: &str, to: &str| node("Transpose", "", &[from], &[to], vec![]);
    let diamond = |join: NodeProto, shape: &[usize]| {
        let nodes = vec![turn("x", "a"), turn("a", "b"), turn("a", "c"), join];
        cost::memory(&graph(&[("x", &[10, 1])], nodes, &[("d", shape)]), &[]).unwrap()
    };
    // d = b over c: 80 bytes beside both; the hole that a leaves is too small for it
    let joined = diamond(node("Concat", "", &["b", "c"], &["d"], vec![attribute::int("axis", 0)]), &[20, 1]);
    assert_eq!((joined.live_bytes, joined.arena_bytes, joined.at.as_str()), (160, 200, "/d"));
    let names: Vec<_> = joined.residents.iter().map(|r| (r.value.as_str(), r.bytes)).collect();
    assert_eq!(names, [("d", 80), ("b", 40), ("c", 40)]);
    // d = b + c is written over b: most is alive when a, b and c are
    let added = diamond(node("Add", "", &["b", "c"], &["d"], vec![]), &[10, 1]);
    assert_eq!((added.live_bytes, added.arena_bytes, added.at.as_str()), (120, 120, "/c"));
    assert_eq!((added.weight_bytes, added.peak_bytes()), (0, 120));
}

#[test]
fn an_operation_on_single_elements_is_written_over_its_input() {
    let nodes = vec![node("Transpose", "", &["x"], &["a"], vec![]), node("Sqrt", "", &["a"], &["y"], vec![])];
    let memory = cost::memory(&graph(&[("x", &[10, 1])], nodes, &[("y", &[1, 10])]), &[]).unwrap();
    assert_eq!((memory.live_bytes, memory.arena_bytes), (40, 40));
    // what the caller gave is not written over
    let nodes = vec![node("Sqrt", "", &["x"], &["y"], vec![]), node("Sqrt", "", &["x"], &["z"], vec![])];
    let memory = cost::memory(&graph(&[("x", &[10])], nodes, &[("y", &[10]), ("z", &[10])]), &[]).unwrap();
    assert_eq!(memory.live_bytes, 80);
}

#[test]
fn a_place_waits_for_the_next_value_of_its_shape() {
    // a (80 bytes) → its mean; c (40) → its mean; e (80) is made where a was, which nothing takes in between:
    // 80, then 4, 40 and 4 bytes beside it
    let turn = |from: &str, to: &str| node("Transpose", "", &[from], &[to], vec![]);
    let mean = |from: &str, to: &str| node("ReduceMean", "", &[from], &[to], vec![]);
    let nodes = vec![turn("x", "a"), mean("a", "m"), turn("u", "c"), mean("c", "n"), turn("x", "e")];
    let one: &[usize] = &[1, 1];
    let outputs = [("m", one), ("n", one), ("e", &[1, 20])];
    let memory = cost::memory(&graph(&[("x", &[20, 1]), ("u", &[10, 1])], nodes, &outputs), &[]).unwrap();
    assert_eq!((memory.live_bytes, memory.arena_bytes), (88, 128));
}

#[test]
fn weights_that_lie_elsewhere_are_not_read() {
    let (folder, model) = (tempfile::tempdir().unwrap(), support::model());
    let path = folder.path().join("model.onnx");
    let options = WriteOptions { external_data: ExternalData::Always, ..WriteOptions::default() };
    let written = model.write(&path, &options).unwrap();
    let read = Model::read_graph(&path).unwrap();
    assert!(read.data_bytes() < model.data_bytes());
    assert_eq!(cost::of(&read, &[("batch", 3)]).unwrap(), cost::of(&model, &[("batch", 3)]).unwrap());
    assert_eq!(cost::memory(&read, &[("batch", 3)]).unwrap().weight_bytes, 256 * 4 * 4 + 16);
    std::fs::remove_file(written.data.unwrap()).unwrap();
    assert!(Model::read_graph(&path).unwrap_err().to_string().contains("external data of tensor weight"));
}
