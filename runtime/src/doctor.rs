//! Which engines can run here and, where one cannot, what is missing and how to get it. Plain data; runs nothing but
//! the loading of ONNX Runtime.

mod gpu;

pub use gpu::{Gpu, gpu};

use crate::engine::{EngineKind, TRACT_VERSION, load_onnx_runtime};
use crate::error::Error;
use crate::find::{Attempt, how_to_get_it};
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
}

/// Looks at this machine. `onnx_runtime` is a library that the caller was given, as in
/// [`EngineOptions`](crate::EngineOptions).
pub fn examine(onnx_runtime: Option<&Path>) -> RuntimeReport {
    let engines = EngineKind::ALL.map(|kind| match kind {
        EngineKind::Tract => tract(),
        EngineKind::OrtCpu => ort_cpu(onnx_runtime),
    });
    RuntimeReport { machine: Machine::this(), engines: engines.into(), gpu: gpu() }
}

fn tract() -> EngineReport {
    EngineReport {
        engine: EngineKind::Tract,
        usable: true,
        version: Some(TRACT_VERSION.to_owned()),
        path: None,
        tried: Vec::new(),
        problem: None,
        remedy: None,
    }
}

fn ort_cpu(flag: Option<&Path>) -> EngineReport {
    let unusable = |problem: String, tried: Vec<Attempt>, remedy: Option<String>| EngineReport {
        engine: EngineKind::OrtCpu,
        usable: false,
        version: None,
        path: None,
        tried,
        problem: Some(problem),
        remedy,
    };
    match load_onnx_runtime(flag) {
        Ok(library) => EngineReport {
            engine: EngineKind::OrtCpu,
            usable: true,
            version: Some(library.version.clone()),
            path: Some(library.path.clone()),
            tried: library.attempts.clone(),
            problem: None,
            remedy: None,
        },
        Err(Error::NoOnnxRuntime { attempts, hint }) => {
            let problem = match attempts.as_slice() {
                [] => "ONNX Runtime is in none of the usual places".to_owned(),
                [only] => format!("{} {}", only.path.display(), only.reason),
                several => format!("none of {} libraries can be used", several.len()),
            };
            unusable(problem, attempts, Some(hint))
        }
        Err(other) => unusable(other.to_string(), Vec::new(), Some(how_to_get_it())),
    }
}
