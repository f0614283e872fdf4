//! The one ONNX Runtime of this process.

use crate::error::{Error, Result};
use crate::find::{self, Attempt, Candidate, Places};
use ort::LoadDynamicError;
use ort::environment::Environment;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A loaded ONNX Runtime. A process loads one and keeps it.
#[derive(Debug)]
pub struct OrtLibrary {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    /// What was tried before it, and why it failed.
    pub attempts: Vec<Attempt>,
    environment: Environment,
}

impl OrtLibrary {
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

static LOADED: OnceLock<OrtLibrary> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Loads ONNX Runtime from the path in `ORT_DYLIB_PATH`, else from `flag`, else from the first usual place that
/// holds a usable one. Later calls return the same library.
///
/// # Errors
/// [`Error::NoOnnxRuntime`] with every file that was tried and why it failed; [`Error::SecondOnnxRuntime`] if one
/// is loaded and another is named.
pub fn load(flag: Option<&Path>) -> Result<&'static OrtLibrary> {
    load_from(&Places::of_this_machine(flag))
}

pub(crate) fn load_from(places: &Places) -> Result<&'static OrtLibrary> {
    let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(environment), Some(flag)) = (&places.environment, &places.flag)
        && environment != flag
    {
        tracing::warn!("ORT_DYLIB_PATH ({}) goes before {}", environment.display(), flag.display());
    }
    if let Some(loaded) = LOADED.get() {
        return same_library(loaded, places);
    }
    let mut attempts = Vec::new();
    for Candidate { path, origin } in places.candidates() {
        match try_load(&path) {
            Ok((environment, path, version)) => {
                tracing::debug!(path = %path.display(), version, "loaded ONNX Runtime");
                return Ok(LOADED.get_or_init(|| OrtLibrary { path, version, attempts, environment }));
            }
            Err(Failure { reason, is_final }) => {
                attempts.push(Attempt { path, origin, reason });
                if is_final {
                    break;
                }
            }
        }
    }
    Err(Error::NoOnnxRuntime { attempts, hint: find::how_to_get_it() })
}

fn same_library<'a>(loaded: &'a OrtLibrary, places: &Places) -> Result<&'a OrtLibrary> {
    match places.environment.as_ref().or(places.flag.as_ref()) {
        Some(asked) if asked.canonicalize().ok() != loaded.path.canonicalize().ok() => {
            // A path that could never be loaded deserves its own reason.
            match find::inspect(asked) {
                Err(reason) => {
                    let origin = places.candidates()[0].origin;
                    let attempts = vec![Attempt { path: asked.clone(), origin, reason }];
                    Err(Error::NoOnnxRuntime { attempts, hint: find::how_to_get_it() })
                }
                Ok(_) => Err(Error::SecondOnnxRuntime { loaded: loaded.path.clone(), asked: asked.clone() }),
            }
        }
        _ => Ok(loaded),
    }
}

/// Why a file is not used, and whether another can still be tried: a library that loads stays for good.
struct Failure {
    reason: String,
    is_final: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, is_final: false }
    }
}

fn try_load(path: &Path) -> Result<(Environment, PathBuf, String), Failure> {
    let version = find::inspect(path)?;
    // `ort` looks for relative paths beside the executable first.
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let builder = ort::init_from(&path).map_err(|error| why(&error))?;
    let version = version.unwrap_or_else(|| format!("unknown ({})", ort::info()));
    let environment =
        builder.with_name("avdit").with_telemetry(false).with_logger(super::relay::of_environment()).build();
    let environment = environment.map_err(|error| Failure { reason: error.to_string(), is_final: true })?;
    environment.set_log_level(super::relay::QUIET);
    Ok((environment, path, version))
}

fn why(error: &LoadDynamicError) -> String {
    match error {
        // The display of its loading error is a bare "dlopen failed"; the reason is its source.
        LoadDynamicError::Dlopen { error, .. } => match std::error::Error::source(error) {
            Some(source) => format!("cannot be loaded: {source}"),
            None => format!("cannot be loaded: {error}"),
        },
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("is ONNX Runtime {version_str}, 1.{} or newer is needed", find::MINIMUM_MINOR)
        }
        other => other.to_string(),
    }
}
