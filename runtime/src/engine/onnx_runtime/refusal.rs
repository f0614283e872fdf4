//! A provider's refusal in words that help: ONNX Runtime's own reason without its source lines, and what to install.

use super::library::OrtLibrary;
use super::preload::is_gpu_build;
use crate::engine::EngineKind;
use crate::error::Error;
use tract_onnx::pb;

/// Why the provider of `kind` does not run here, from what ONNX Runtime said when it was asked for it.
pub(super) fn provider_error(kind: EngineKind, library: &OrtLibrary, said: &str) -> Error {
    let mut reason = clean(said);
    if reason.contains("not enabled in this build") && !is_gpu_build(&library.path) {
        reason = format!("{reason} ({} is ONNX Runtime for the CPU)", library.path.display());
    }
    let remedy = remedy(kind, &reason, &library.version);
    Error::Provider { engine: kind.name(), reason, remedy }
}

/// Whether what was said at opening a graph is about the device and its libraries, not about the graph.
pub(super) fn is_about_the_device(said: &str) -> bool {
    let is_failure = ["CUDA failure", "CUDNN failure", "CUDNN_STATUS", "CUBLAS failure", "cudaError"];
    let out_of_memory = said.contains("out of memory") || said.contains("Failed to allocate memory");
    !out_of_memory
        && (is_failure.iter().any(|word| said.contains(word))
            || said.contains("cannot open shared object file")
            || said.contains("Failed to load library"))
}

/// `/onnxruntime_src/…/bridge.cc:2043 onnxruntime::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load …` as
/// `Failed to load …`.
pub(super) fn clean(said: &str) -> String {
    let mut text = said.trim();
    if let Some((_, after)) = text.rsplit_once("[ONNXRuntimeError] : ") {
        // Its number and its name.
        let rest =
            after.split_once(" : ").and_then(|(number, rest)| number.parse::<i32>().ok().map(|_| rest));
        text = rest.and_then(|rest| rest.split_once(" : ")).map_or(after, |(_, rest)| rest);
    }
    // A failed call of CUDA comes with its place in the source and the expression.
    let text = text.find("CUDA failure ").map_or(text, |at| &text[at..]);
    let text = text.split(" ; GPU=").next().unwrap_or(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.trim_end_matches('.').to_owned()
}

fn remedy(kind: EngineKind, reason: &str, version: &str) -> String {
    let instead = match kind {
        EngineKind::OrtTensorRt => "or take --engine ort-cuda or ort-cpu",
        _ => "or take --engine ort-cpu",
    };
    let version = if version.starts_with(|c: char| c.is_ascii_digit()) { version } else { "1.31.1" };
    let package = format!("`pip install 'onnxruntime-gpu[cuda,cudnn]=={version}' nvidia-cublas`");
    let names = |part: &str| reason.contains(part);
    let what = if names("libnvinfer") || names("libnvonnxparser") {
        "install TensorRT 10 for CUDA 13: NVIDIA's archive with its lib folder on LD_LIBRARY_PATH, or \
         `pip install 'tensorrt-cu13-libs==10.*' --extra-index-url https://pypi.nvidia.com`"
            .to_owned()
    } else if names("libcuda.so") {
        "libcuda.so.1 comes with NVIDIA's driver alone: install driver 580 or newer, and in a container pass the GPU in"
            .to_owned()
    } else if names("cannot open shared object file") {
        format!("{package} brings it, or put the folder that has it on LD_LIBRARY_PATH")
    } else if names("not enabled in this build") {
        format!(
            "run {package}, and where another ONNX Runtime is found first name this one's libonnxruntime.so.{version} \
             with --onnxruntime"
        )
    } else if names("driver version is insufficient") {
        "install NVIDIA's driver 580 or newer, which CUDA 13 needs".to_owned()
    } else if names("no CUDA-capable device") || names("invalid device ordinal") {
        "`nvidia-smi` lists the GPUs; --gpu N picks one, CUDA_VISIBLE_DEVICES hides some".to_owned()
    } else if names("cannot run") && names("nodes") {
        "--allow-fallback lets them run elsewhere; `avdit export --target` writes graphs for a provider"
            .to_owned()
    } else {
        "`avdit doctor` says what is missing".to_owned()
    };
    format!("{what}, {instead}")
}

/// The refusal of a graph whose nodes are not where they were asked to be.
pub(super) fn placement_error(kind: EngineKind, library: &OrtLibrary, reason: String) -> Error {
    let remedy = remedy(kind, &reason, &library.version);
    Error::Provider { engine: kind.name(), reason, remedy }
}

/// Refuses a graph whose activations are quantized by fixed ranges where the provider would compute it in float: CUDA's
/// runs `QuantizeLinear` and `DequantizeLinear` as they stand and has no product of bytes to join them with, so the
/// graph would be slower than in single precision, and nothing would say so. A scale that is computed is no fixed range.
pub(super) fn check_quantization(kind: EngineKind, graph: &pb::GraphProto) -> Result<(), Error> {
    // Exporters store scales as initializers or as nodes that are constants.
    let is_computed = |name: &String| {
        graph.node.iter().any(|node| node.op_type != "Constant" && node.output.contains(name))
    };
    let is_fixed = |node: &&pb::NodeProto| {
        node.op_type == "QuantizeLinear" && !node.input.get(1).is_some_and(is_computed)
    };
    let fixed = graph.node.iter().find(is_fixed);
    match fixed {
        Some(node) if kind == EngineKind::OrtCuda => Err(Error::Provider {
            engine: kind.name(),
            reason: format!(
                "the graph is quantized statically (QuantizeLinear {}), and CUDAExecutionProvider has no 8-bit products",
                node.name
            ),
            remedy: "`avdit quantize --precision fp16` or int8-weight makes graphs for it; statically quantized ones are for \
                     --engine ort-tensorrt and ort-cpu"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statically_quantized_graph_is_refused_by_cuda_alone() {
        let (op_type, name) = ("QuantizeLinear".into(), "x/input".into());
        let input = vec!["x".into(), "scale".into()];
        let node = pb::NodeProto { op_type, name, input, ..Default::default() };
        let scaled_by = |op_type: &str| {
            let output = vec!["scale".into()];
            let scale = pb::NodeProto { op_type: op_type.into(), output, ..Default::default() };
            pb::GraphProto { node: vec![scale, node.clone()], ..Default::default() }
        };
        assert!(check_quantization(OrtCuda, &scaled_by("Mul")).is_ok());
        assert!(check_quantization(OrtCuda, &scaled_by("Constant")).is_err());
        let graph = pb::GraphProto { node: vec![node.clone()], ..Default::default() };
        assert!(check_quantization(OrtTensorRt, &graph).is_ok());
        assert!(check_quantization(EngineKind::OrtCpu, &graph).is_ok());
        assert!(check_quantization(OrtCuda, &pb::GraphProto::default()).is_ok());
        let refused = check_quantization(OrtCuda, &graph).unwrap_err().to_string();
        assert!(refused.contains("QuantizeLinear x/input") && refused.contains("int8-weight"), "{refused}");
    }
    use EngineKind::{OrtCuda, OrtTensorRt};

    #[test]
    fn source_lines_are_left_out_of_a_reason() {
        let said = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                    onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
                    /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object \
                    file: No such file or directory\n";
        let wanted = "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: \
                      cannot open shared object file: No such file or directory";
        assert_eq!(clean(said), wanted);
        assert_eq!(
            clean("CUDA execution provider is not enabled in this build. "),
            "CUDA execution provider is not enabled in this build"
        );
        assert_eq!(clean("[ONNXRuntimeError] : no number"), "no number");
        let said = "/onnxruntime_src/include/onnxruntime/core/framework/provider_options_utils.h:187 Parse Failed to \
                    parse provider option \"device_id\": CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 \
                    ; hostname=x ; file=/onnxruntime_src/info.cc ; line=70 ; expr=cudaGetDeviceCount(&num_devices);";
        assert_eq!(clean(said), "CUDA failure 100: no CUDA-capable device is detected");
    }

    #[test]
    fn each_reason_has_its_remedy() {
        for (kind, reason, wanted) in [
            (
                OrtCuda,
                "libcublasLt.so.13: cannot open shared object file",
                "onnxruntime-gpu[cuda,cudnn]==1.30.0",
            ),
            (OrtCuda, "libcuda.so.1: cannot open shared object file", "driver 580"),
            (OrtTensorRt, "libnvinfer.so.10: cannot open shared object file", "install TensorRT 10"),
            (OrtTensorRt, "libcublas.so.13: cannot open shared object file", "nvidia-cublas"),
            (OrtCuda, "CUDA execution provider is not enabled in this build", "--onnxruntime"),
            (
                OrtCuda,
                "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
                "driver 580",
            ),
            (OrtCuda, "CUDA failure 100: no CUDA-capable device is detected", "nvidia-smi"),
            (OrtCuda, "CUDAExecutionProvider cannot run 2 of 5 nodes: Gather (/x)", "--allow-fallback"),
            (OrtCuda, "something new", "avdit doctor"),
        ] {
            let remedy = remedy(kind, reason, "1.30.0");
            assert!(remedy.contains(wanted), "{reason}: {remedy}");
            assert!(remedy.contains("--engine ort-c"), "{remedy}");
        }
    }

    #[test]
    fn a_full_device_is_not_a_missing_one() {
        assert!(is_about_the_device("CUDA failure 100: no CUDA-capable device is detected ; GPU=-1"));
        assert!(is_about_the_device("libcudnn.so.9: cannot open shared object file"));
        assert!(!is_about_the_device("CUDA failure 2: out of memory ; GPU=0"));
        assert!(!is_about_the_device("Load model from x failed: invalid graph"));
    }
}
