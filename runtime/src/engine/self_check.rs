//! The smallest graph there is, to see that an engine runs at all on this machine.

use super::onnx_runtime::library::OrtLibrary;
use super::onnx_runtime::session::Opening;
use super::{EngineKind, EngineOptions};
use ort::session::Session;
use ort::value::TensorRef;
use tract_onnx::prelude::*;

const INPUT: [f32; 2] = [1.5, -2.0];
const EXPECTED: [f32; 2] = [3.0, -4.0];

/// `y = x + x` over two numbers, as the bytes of an ONNX file.
pub(crate) fn graph() -> Vec<u8> {
    let dimension = field(1, &[0x08, 2]); // dim { dim_value }
    let tensor = [vec![0x08, 1], field(2, &dimension)].concat(); // elem_type float, shape
    let port = |name: &[u8]| [field(1, name), field(2, &field(1, &tensor))].concat();
    let node = [field(1, b"x"), field(1, b"x"), field(2, b"y"), field(4, b"Add")].concat();
    let graph =
        [field(1, &node), field(2, b"check"), field(11, &port(b"x")), field(12, &port(b"y"))].concat();
    let opset = [0x10, 20]; // version
    [vec![0x08, 8], field(7, &graph), field(8, &opset)].concat() // ir_version
}

/// A length-delimited field of a protobuf message; tags below 16 and lengths below 128 take a byte each.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2, content.len() as u8];
    bytes.extend_from_slice(content);
    bytes
}

fn check(got: &[f32]) -> Result<(), String> {
    if got == EXPECTED { Ok(()) } else { Err(format!("computes {got:?} where {EXPECTED:?} is right")) }
}

pub(crate) fn tract() -> Result<(), String> {
    let run = || {
        let model =
            tract_onnx::onnx().model_for_read(&mut graph().as_slice())?.into_optimized()?.into_runnable()?;
        let results = model.run(tvec!(tensor1(&INPUT).into_tvalue()))?;
        Ok(results[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    };
    let results = run().map_err(|error: TractError| format!("{error:#}"))?;
    check(&results)
}

pub(crate) fn onnx_runtime(library: &OrtLibrary) -> Result<(), String> {
    let run = || {
        let mut session = Session::builder(library.environment())?.commit_from_memory(&graph())?;
        let results =
            session.run(ort::inputs!["x" => TensorRef::from_array_view(([2usize], &INPUT[..]))?])?;
        Ok(results["y"].try_extract_tensor::<f32>()?.1.to_vec())
    };
    let results = run().map_err(|error: ort::Error| error.to_string())?;
    check(&results)
}

/// The same through the engine's own way of opening a graph, which sees to it that the provider has the nodes.
pub(crate) fn provider(library: &OrtLibrary, kind: EngineKind) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("avdit-check-{}-{kind}", std::process::id()));
    let text = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(text)?;
    let path = folder.join("check.onnx");
    let run = || {
        std::fs::write(&path, graph()).map_err(text)?;
        let options = EngineOptions { threads: 1, ..EngineOptions::default() };
        let opening = Opening::new(library, kind, &options);
        let (mut session, _) = opening.session(&path).map_err(|error| error.to_string())?;
        let mut run = || {
            let inputs = ort::inputs!["x" => TensorRef::from_array_view(([2usize], &INPUT[..]))?];
            Ok(session.run(inputs)?["y"].try_extract_tensor::<f32>()?.1.to_vec())
        };
        check(&run().map_err(|error: ort::Error| error.to_string())?)
    };
    let result = run();
    // What is left of it does no harm.
    let _ = std::fs::remove_dir_all(&folder);
    result
}
