//! Which engines can run here and, where one cannot, what is missing and how to get it. Plain data. An
//! engine is called usable when it has run a graph.

pub mod gpu;
mod providers;

pub use gpu::{Gpu, GpuDevice, GpuState, gpu};

use crate::engine::{EngineKind, OrtLibrary, TRACT_VERSION, load_onnx_runtime, self_check};
use crate::error::Error;
use crate::find::{Attempt, how_to_get_it};
use crate::libraries::{GpuProvider, Library};
use crate::machine::Machine;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The facts that decide what can run here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuntimeReport {
    /// The machine.
    pub machine: Machine,
    /// Every engine of this version.
    pub engines: Vec<EngineReport>,
    /// What can be seen of a GPU.
    pub gpu: Gpu,
}

/// Whether an engine can run here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineReport {
    /// The engine.
    pub engine: EngineKind,
    /// Whether it can run.
    pub usable: bool,
    /// Its version.
    pub version: Option<String>,
    /// The library it is loaded from; none if it is part of this program.
    pub path: Option<PathBuf>,
    /// What was tried before, and why it failed.
    pub tried: Vec<Attempt>,
    /// Why it cannot run.
    pub problem: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
    /// The libraries behind a GPU's provider, those that are missing included.
    pub libraries: Vec<Library>,
}

/// Looks at this machine. `onnx_runtime` is a library that the caller was given, as in
/// [`EngineOptions`](crate::EngineOptions).
pub fn examine(onnx_runtime: Option<&Path>) -> RuntimeReport {
    let gpu = gpu();
    let library = load_onnx_runtime(onnx_runtime);
    let loaded = library.as_ref().ok().copied();
    let on_gpu =
        [GpuProvider::Cuda, GpuProvider::TensorRt].map(|provider| providers::examine(provider, loaded, &gpu));
    let engines = [tract(), ort_cpu(library)].into_iter().chain(on_gpu).collect();
    RuntimeReport { machine: Machine::this(), engines, gpu }
}

fn tract() -> EngineReport {
    let found = Found { version: TRACT_VERSION.to_owned(), path: None, tried: Vec::new() };
    checked(EngineKind::Tract, found, self_check::tract())
}

fn ort_cpu(library: Result<&'static OrtLibrary, Error>) -> EngineReport {
    let (problem, tried, remedy) = match library {
        Ok(library) => {
            let (version, path) = (library.version.clone(), Some(library.path.clone()));
            let found = Found { version, path, tried: library.attempts.clone() };
            return checked(EngineKind::OrtCpu, found, self_check::onnx_runtime(library));
        }
        Err(Error::NoOnnxRuntime { attempts, hint }) => {
            let problem = match attempts.as_slice() {
                [] => "ONNX Runtime is in none of the usual places".to_owned(),
                [only] => format!("{} {}", only.path.display(), only.reason),
                several => format!("none of {} libraries can be used", several.len()),
            };
            (problem, attempts, hint)
        }
        Err(other) => (other.to_string(), Vec::new(), how_to_get_it()),
    };
    EngineReport {
        engine: EngineKind::OrtCpu,
        usable: false,
        version: None,
        path: None,
        tried,
        problem: Some(problem),
        remedy: Some(remedy),
        libraries: Vec::new(),
    }
}

struct Found {
    version: String,
    path: Option<PathBuf>,
    tried: Vec<Attempt>,
}

fn checked(engine: EngineKind, found: Found, result: Result<(), String>) -> EngineReport {
    let Found { version, path, tried } = found;
    let problem = result.err().map(|reason| format!("it does not run here: {reason}"));
    EngineReport {
        engine,
        usable: problem.is_none(),
        version: Some(version),
        path,
        tried,
        remedy: problem.as_ref().map(|_| "use another engine".to_owned()),
        problem,
        libraries: Vec::new(),
    }
}
