//! TensorRT engines, built once and kept.
//!
//! TensorRT compiles a graph for one GPU, one range of batches and one version of itself, which takes minutes. An
//! engine lies in the cache under a key of everything that it depends on, so that a stale one cannot be taken for a
//! good one; a run takes an engine that is there or says which command builds it.
//!
//! ```text
//! engines/
//!   <key>/manifest.json      what the key is made of, what was built, from where
//!   <key>/avdit_….engine     TensorRT's own files
//!   <key>/used               its time of modification is the last use
//!   timing/                  how fast single layers were, shared by all builds
//! ```

mod build;
mod explain;
mod facts;
mod key;
mod shapes;
mod store;

pub(crate) use build::prepare;
pub use build::{BuildReport, build};
pub use explain::{Difference, Explanation, explain};
pub use facts::{GpuFacts, gpu_facts};
pub use key::EngineKey;
pub use shapes::Shapes;
pub use store::{Entry, Keep, Manifest, Removed, Store};

use crate::engine::onnx_runtime::library::OrtLibrary;
use crate::engine::{BatchProfile, EngineKind, EngineOptions};
use crate::error::{Error, Result};
use crate::graph::{Batch, Model};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The engine that a session is to use, or to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// Where TensorRT's files are, or will be.
    pub(crate) folder: PathBuf,
    pub(crate) timing_cache: PathBuf,
    /// The batches it is for.
    pub(crate) profile: BatchProfile,
    /// The shapes of its inputs; none where the graph fixes them.
    pub(crate) shapes: Option<Shapes>,
    /// Whether it is about to be built.
    pub(crate) building: bool,
    /// How long it took to build, if that was now.
    pub(crate) built: Duration,
}

impl Prepared {
    /// Checks a batch against what the engine was built for, for the graph at `path`.
    ///
    /// # Errors
    /// [`Error::OutsideProfile`].
    pub(crate) fn check_batch(&self, batch: usize, path: &Path) -> Result<()> {
        if self.profile.has(batch) {
            return Ok(());
        }
        let profiles = shapes::describe(self.profile, self.shapes.as_ref());
        Err(Error::OutsideProfile { batch, profiles, command: command(path.parent(), batch) })
    }

    /// Opens a session by `open` and makes sure that the engine that was there is the engine that is used.
    ///
    /// # Errors
    /// Those of `open`; [`Error::Engine`] if the engine's files were written meanwhile.
    pub(crate) fn unchanged<T>(&self, path: &Path, open: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = store::snapshot(&self.folder);
        let opened = open()?;
        if !self.building && store::snapshot(&self.folder) != before {
            let reason = format!(
                "TensorRT did not take the engine in {} but built another; `avdit engine gc --all` clears the cache",
                self.folder.display()
            );
            let engine = EngineKind::OrtTensorRt.name();
            return Err(Error::Engine { engine, action: "open", path: path.to_owned(), reason });
        }
        Ok(opened)
    }
}

/// What builds an engine of the model in `folder`.
fn command(folder: Option<&Path>, batch: usize) -> String {
    format!("avdit engine build {} --batch {batch}", folder.unwrap_or(Path::new(".")).display())
}

/// A graph on this machine, as far as an engine depends on them.
pub(crate) struct Wanted {
    key: EngineKey,
    model: PathBuf,
    batch: usize,
    /// Whether the key's profile was asked for, or any that has the batch will do.
    exact: bool,
}

impl Wanted {
    /// Reads the graph's files once, for their checksum.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be read; [`Error::Value`] for a profile that no graph can have, or not this one.
    pub(crate) fn new(model: &Model, library: &OrtLibrary, options: &EngineOptions) -> Result<Self> {
        let facts = gpu_facts(options.tensorrt.device, &library.path);
        let profile = profile(&model.facts.batch, options)?;
        Ok(Self {
            key: EngineKey {
                graph_sha256: key::graph_sha256(model)?,
                profile,
                workspace: options.tensorrt.workspace,
                builder_level: options.tensorrt.builder_level,
                tf32_override: std::env::var("NVIDIA_TF32_OVERRIDE").ok(),
                fallback: options.allow_fallback,
                gpu: facts.name,
                sm: facts.sm,
                driver: facts.driver,
                tensorrt: facts.tensorrt,
                onnx_runtime: library.version.clone(),
            },
            model: model.facts.path.parent().map(PathBuf::from).unwrap_or_default(),
            batch: options.batch,
            exact: options.tensorrt.profile.is_some(),
        })
    }

    /// The engine in the cache that serves this.
    ///
    /// # Errors
    /// [`Error::OutsideProfile`] if the only engines are for other batches, [`Error::NoEngine`] if there is none; both
    /// name the command that builds one.
    pub(crate) fn find(&self, store: &Store, model: &Model) -> Result<Prepared> {
        let entries = store.list()?;
        let same = |entry: &&Entry| match self.exact {
            true => entry.manifest.key == self.key,
            false => entry.manifest.key.is_same_but_profile(&self.key),
        };
        let candidates: Vec<_> = entries.iter().filter(same).collect();
        let fits = candidates.iter().filter(|entry| entry.manifest.key.profile.has(self.batch));
        let distance = |entry: &&&Entry| {
            let profile = entry.manifest.key.profile;
            (profile.opt.abs_diff(self.batch), profile.max - profile.min)
        };
        if let Some(entry) = fits.min_by_key(distance) {
            store.touch(entry)?;
            return Ok(store.prepared(entry, model));
        }
        let command = self.command();
        let is_asked_for = !self.exact || self.key.profile.has(self.batch);
        if candidates.is_empty() && is_asked_for {
            let reason = explain::miss(&self.key, &entries);
            return Err(Error::NoEngine {
                path: model.facts.path.clone(),
                batch: self.batch,
                reason,
                command,
            });
        }
        let mut profiles: Vec<_> = candidates.iter().map(|entry| entry.manifest.key.profile).collect();
        if profiles.is_empty() {
            profiles.push(self.key.profile);
        }
        let describe =
            |profile: &BatchProfile| shapes::describe(*profile, Shapes::of(model, *profile).as_ref());
        let profiles = profiles.iter().map(describe).collect::<Vec<_>>().join(", ");
        Err(Error::OutsideProfile { batch: self.batch, profiles, command })
    }

    fn command(&self) -> String {
        command(Some(&self.model), self.batch)
    }
}

/// The batches that an engine is to be for: those asked for, else the one that is to be run.
fn profile(batch: &Batch, options: &EngineOptions) -> Result<BatchProfile> {
    let wrong =
        |expected: String, got: String| Error::Value { what: "batch profile".to_owned(), expected, got };
    match (batch, options.tensorrt.profile) {
        (_, Some(profile)) if profile.min == 0 || profile.min > profile.opt || profile.opt > profile.max => {
            Err(wrong("1 <= min <= opt <= max".to_owned(), profile.to_string()))
        }
        (Batch::Fixed(fixed), Some(profile)) if profile != BatchProfile::only(*fixed) => {
            Err(wrong(format!("batch {fixed}, the only one that the graph takes"), profile.to_string()))
        }
        (Batch::Fixed(fixed), _) => Ok(BatchProfile::only(*fixed)),
        (Batch::Any, Some(profile)) => Ok(profile),
        (Batch::Any, None) => Ok(BatchProfile::only(options.batch)),
    }
}

#[cfg(test)]
mod tests;
