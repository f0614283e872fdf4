//! Building an engine into the cache.

use super::{Entry, Prepared, Store, Wanted};
use crate::engine::onnx_runtime::library::OrtLibrary;
use crate::engine::onnx_runtime::session::Opening;
use crate::engine::{EngineKind, EngineOptions, Placement, load_onnx_runtime};
use crate::error::{Error, Result};
use crate::graph::Model;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An engine that was built, or was there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildReport {
    /// The engine.
    pub entry: Entry,
    /// Whether it was there before.
    pub was_cached: bool,
    /// What runs where, where it was built now.
    pub placement: Vec<Placement>,
}

/// Builds the TensorRT engine of the model in `folder` for the profile in `options`, or for its batch; takes minutes.
/// An engine that is in the cache already is left as it is, unless `force`. `on_message` hears what the builder says.
///
/// # Errors
/// As [`open`](crate::open); [`Error::Provider`] where TensorRT cannot run.
pub fn build(
    folder: &Path,
    options: &EngineOptions,
    force: bool,
    on_message: Arc<dyn Fn(&str) + Send + Sync>,
) -> Result<BuildReport> {
    let model = Model::read(folder)?;
    let library = load_onnx_runtime(options.onnx_runtime.as_deref())?;
    let mut opening = Opening::new(library, EngineKind::OrtTensorRt, options);
    opening.probe()?;
    let wanted = Wanted::new(&model, library, options)?;
    let store = Store::new(options.tensorrt.cache.as_deref())?;
    let cached = store.list()?.into_iter().find(|entry| entry.manifest.key == wanted.key);
    if let Some(entry) = cached.filter(|_| !force) {
        return Ok(BuildReport { entry, was_cached: true, placement: Vec::new() });
    }
    opening.listener = Some(on_message);
    let (entry, placement) = wanted.build(&store, &model, &opening)?;
    Ok(BuildReport { entry, was_cached: false, placement })
}

impl Wanted {
    fn build(&self, store: &Store, model: &Model, opening: &Opening<'_>) -> Result<(Entry, Vec<Placement>)> {
        let begun = store.begin(&self.key, model)?;
        let start = Instant::now();
        let building = Opening { prepared: Some(&begun), listener: opening.listener.clone(), ..*opening };
        let built = building.session(&model.facts.path);
        let result = built.and_then(|(session, placement)| {
            drop(session);
            let seconds = start.elapsed().as_secs_f64();
            if super::store::snapshot(&begun.folder).is_empty() {
                let reason = "TensorRT left no engine in the cache".to_owned();
                let path = model.facts.path.clone();
                return Err(Error::Engine {
                    engine: EngineKind::OrtTensorRt.name(),
                    action: "build",
                    path,
                    reason,
                });
            }
            Ok((store.commit(&begun, self.key.clone(), &self.model, seconds)?, placement))
        });
        if result.is_err() {
            // What is half built serves nobody; that it cannot be removed would hide why the build failed.
            let _ = std::fs::remove_dir_all(&begun.folder);
        }
        result
    }

    /// The engine in the cache, or one built now where that is allowed.
    fn find_or_build(&self, store: &Store, model: &Model, opening: &Opening<'_>) -> Result<Prepared> {
        match self.find(store, model) {
            Err(Error::NoEngine { .. } | Error::OutsideProfile { .. })
                if opening.options.tensorrt.build && self.key.profile.has(self.batch) =>
            {
                tracing::info!("building a TensorRT engine for {}; this takes minutes", self.key.profile);
                let (entry, _) = self.build(store, model, opening)?;
                let built = Duration::try_from_secs_f64(entry.manifest.build_s).unwrap_or_default();
                Ok(Prepared { built, ..store.prepared(&entry, model) })
            }
            found => found,
        }
    }
}

/// What a TensorRT session needs before it is opened: the provider, then an engine.
///
/// # Errors
/// [`Error::Provider`] where TensorRT cannot run; [`Error::NoEngine`] or [`Error::OutsideProfile`] where no engine
/// fits and none may be built.
pub(crate) fn prepare(model: &Model, library: &OrtLibrary, options: &EngineOptions) -> Result<Prepared> {
    let opening = Opening::new(library, EngineKind::OrtTensorRt, options);
    opening.probe()?;
    let store = Store::new(options.tensorrt.cache.as_deref())?;
    Wanted::new(model, library, options)?.find_or_build(&store, model, &opening)
}
