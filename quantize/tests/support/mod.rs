//! What tests of graphs share.

use avdit_onnx::Model;
use avdit_onnx::builder::ModelHeader;

/// Opset 20.
pub(crate) fn header() -> ModelHeader {
    ModelHeader {
        opset: 20,
        ir_version: 8,
        producer: "test".into(),
        producer_version: String::new(),
        doc: String::new(),
        metadata: vec![],
    }
}

/// Nodes of an operator.
pub(crate) fn count(model: &Model, op: &str) -> usize {
    model.graph().node.iter().filter(|node| node.op_type() == op).count()
}
