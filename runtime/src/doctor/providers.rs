//! ONNX Runtime's providers for NVIDIA GPUs: what they need, what of it is missing, whether a graph runs on them.

use super::{EngineReport, Gpu, GpuDevice};
use crate::engine::{EngineKind, OrtLibrary, self_check};
use crate::find::{Places, get_for_gpu, libraries_with};
use crate::libraries::{GpuProvider, Library, PIP, of_provider, preload};
use std::path::Path;

/// The CUDA that ONNX Runtime's builds for GPUs are made for, and the driver that came with it.
const CUDA: (u32, u32) = (13, 580);

/// Examines a provider of the ONNX Runtime that was loaded, if one was.
pub(super) fn examine(
    provider: GpuProvider,
    onnxruntime: Option<&'static OrtLibrary>,
    gpu: &Gpu,
) -> EngineReport {
    let engine = match provider {
        GpuProvider::Cuda => EngineKind::OrtCuda,
        GpuProvider::TensorRt => EngineKind::OrtTensorRt,
    };
    let mut report = EngineReport {
        engine,
        usable: false,
        version: onnxruntime.map(|library| library.version.clone()),
        path: onnxruntime.map(|library| library.path.clone()),
        tried: Vec::new(),
        problem: None,
        remedy: None,
        libraries: Vec::new(),
    };
    let verdict = match onnxruntime {
        None => Err(("there is no ONNX Runtime (see ort-cpu)".to_owned(), get_for_gpu())),
        Some(library) => {
            report.libraries = of_provider(&library.path, provider);
            check(provider, engine, library, &report.libraries, gpu)
        }
    };
    report.usable = verdict.is_ok();
    (report.problem, report.remedy) = verdict.err().unzip();
    report
}

/// The problem and its remedy.
type Verdict = Result<(), (String, String)>;

fn check(
    provider: GpuProvider,
    engine: EngineKind,
    onnxruntime: &OrtLibrary,
    libraries: &[Library],
    gpu: &Gpu,
) -> Verdict {
    if !is_there(libraries, provider.library()) {
        return Err(for_the_cpu(provider, &onnxruntime.path));
    }
    complete(libraries)?;
    preload(libraries).map_err(|problem| {
        (problem, "install the package of that library again, or the version that is named above".to_owned())
    })?;
    let device = gpu.devices.first().ok_or_else(|| {
        let problem = gpu.problem.clone().unwrap_or_else(|| "CUDA shows no GPU".to_owned());
        (
            problem,
            "check that `nvidia-smi` shows a GPU and that CUDA_VISIBLE_DEVICES does not hide it".to_owned(),
        )
    })?;
    knows_cuda(device)?;
    self_check::provider(onnxruntime, engine).map_err(|reason| {
        (
            format!("it does not run here: {reason}"),
            "use another engine, or see the lines above for its libraries".into(),
        )
    })
}

fn is_there(libraries: &[Library], name: &str) -> bool {
    libraries.iter().any(|library| library.name == name && library.path.is_some())
}

fn for_the_cpu(provider: GpuProvider, onnxruntime: &Path) -> (String, String) {
    let problem = format!(
        "the ONNX Runtime in use is for the CPU: no {} beside {}",
        provider.library(),
        onnxruntime.display()
    );
    let other = libraries_with(&Places::of_this_machine(None), provider.library());
    let remedy = match other.first() {
        Some(path) => format!("set ORT_DYLIB_PATH={} , which has it", path.display()),
        None => get_for_gpu(),
    };
    (problem, remedy)
}

/// Every library is there and fits.
fn complete(libraries: &[Library]) -> Verdict {
    let bad: Vec<_> = libraries.iter().filter(|library| library.problem.is_some()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let name = |library: &&Library| match (&library.path, &library.wanted) {
        (None, Some(wanted)) => wanted.clone(),
        (None, None) => library.name.clone(),
        (Some(path), _) => format!("{} {}", path.display(), library.problem.as_deref().unwrap_or_default()),
    };
    let mut names: Vec<_> = bad.iter().map(name).collect();
    names.dedup();
    let verb = if bad.iter().all(|library| library.path.is_none()) { "missing" } else { "missing or unfit" };
    let problem = format!("{verb}: {}", names.join(", "));
    let mut remedies: Vec<&str> = bad.iter().filter_map(|library| library.remedy.as_deref()).collect();
    remedies.sort_unstable();
    remedies.dedup();
    let (packages, others): (Vec<_>, Vec<_>) =
        remedies.into_iter().partition(|remedy| remedy.starts_with(PIP));
    let mut lines: Vec<_> = others.into_iter().map(str::to_owned).collect();
    if !packages.is_empty() {
        let packages: Vec<_> = packages.iter().map(|remedy| &remedy[PIP.len()..]).collect();
        lines.push(format!("{PIP}{}", packages.join(" ")));
    }
    Err((problem, lines.join("\n")))
}

/// The driver is new enough for the CUDA of the builds.
fn knows_cuda(device: &GpuDevice) -> Verdict {
    let Some(cuda) = &device.cuda else { return Ok(()) };
    let major: Option<u32> = cuda.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major| major >= CUDA.0) {
        return Ok(());
    }
    let driver = device.driver.as_deref().unwrap_or("this driver");
    let problem = format!("driver {driver} knows CUDA up to {cuda}, ONNX Runtime's builds need {}", CUDA.0);
    Err((problem, format!("install NVIDIA's driver {} or newer", CUDA.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(cuda: Option<&str>) -> GpuDevice {
        GpuDevice {
            index: 0,
            name: "X".into(),
            uuid: "GPU-0".into(),
            sm: 90,
            memory_bytes: 1,
            driver: Some("570.1".into()),
            cuda: cuda.map(str::to_owned),
            state: None,
        }
    }

    #[test]
    fn a_driver_too_old_for_cuda_13_is_named() {
        let (problem, remedy) = knows_cuda(&device(Some("12.8"))).unwrap_err();
        assert_eq!(problem, "driver 570.1 knows CUDA up to 12.8, ONNX Runtime's builds need 13");
        assert_eq!(remedy, "install NVIDIA's driver 580 or newer");
        assert!(knows_cuda(&device(Some("13.1"))).is_ok() && knows_cuda(&device(None)).is_ok());
    }
}
