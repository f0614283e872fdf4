//! Writes `../src/proto.rs` from `onnx-ml.proto`, the schema of onnx 1.23.2 (Apache-2.0).

use std::error::Error;
use std::path::Path;

const HEADER: &str = "// Generated from onnx-ml.proto of onnx 1.23.2 (Apache-2.0) by onnx/generate. Do not edit.\n\n";

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = here.join("target/generated");
    std::fs::create_dir_all(&out)?;
    let descriptors = protox::compile([here.join("onnx-ml.proto")], [here])?;
    let mut config = prost_build::Config::new();
    config.bytes([".onnx.TensorProto.raw_data"]).disable_comments(["."]).out_dir(&out);
    config.compile_fds(descriptors)?;
    let generated = std::fs::read_to_string(out.join("onnx.rs"))?;
    std::fs::write(here.join("../src/proto.rs"), format!("{HEADER}{generated}"))?;
    Ok(())
}
