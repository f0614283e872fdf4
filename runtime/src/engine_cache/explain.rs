//! Why a run would find no engine: what differs from the nearest one that is there.

use super::{EngineKey, Entry, Store, Wanted};
use crate::engine::{EngineOptions, load_onnx_runtime};
use crate::error::Result;
use crate::graph::Model;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A field of a key that keeps an engine from being used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub field: &'static str,
    /// As a run would want it.
    pub wanted: String,
    /// As the engine in the cache has it.
    pub cached: String,
}

/// What a run would find.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The folder of engines.
    pub cache: PathBuf,
    /// What an engine would have to depend on.
    pub wanted: EngineKey,
    /// The folder's name of such an engine.
    pub id: String,
    /// The engine that a run would use.
    pub hit: Option<Entry>,
    /// Without one, why.
    pub miss: Option<String>,
    /// Without one, the nearest there is.
    pub nearest: Option<Entry>,
    /// How that differs.
    pub differences: Vec<Difference>,
    /// The command that builds what is wanted.
    pub command: String,
}

/// Says which engine a run of the model in `folder` would use, or why it would find none.
///
/// # Errors
/// As [`open`](crate::open), but for those of the engine itself: nothing is run.
pub fn explain(folder: &Path, options: &EngineOptions) -> Result<Explanation> {
    let model = Model::read(folder)?;
    let library = load_onnx_runtime(options.onnx_runtime.as_deref())?;
    let wanted = Wanted::new(&model, library, options)?;
    let store = Store::new(options.tensorrt.cache.as_deref())?;
    wanted.explain(&store, &model)
}

impl Wanted {
    pub(super) fn explain(&self, store: &Store, model: &Model) -> Result<Explanation> {
        let entries = store.list()?;
        let found = self.find(store, model);
        let hit =
            found.as_ref().ok().and_then(|found| entries.iter().find(|entry| entry.folder == found.folder));
        let nearest = hit.is_none().then(|| nearest(&self.key, &entries)).flatten();
        Ok(Explanation {
            cache: store.root().to_owned(),
            id: self.key.id(),
            miss: found.as_ref().err().map(ToString::to_string),
            hit: hit.cloned(),
            nearest: nearest.cloned(),
            differences: nearest.map(|entry| differences(&self.key, &entry.manifest.key)).unwrap_or_default(),
            command: self.command(),
            wanted: self.key.clone(),
        })
    }
}

/// Why there is none, in a line.
pub(super) fn miss(wanted: &EngineKey, entries: &[Entry]) -> String {
    let Some(nearest) = nearest(wanted, entries) else { return "the cache is empty".to_owned() };
    let told = |d: &Difference| match d.field {
        "graph" => "it is of another graph".to_owned(),
        _ => format!("{} {} instead of {}", d.field, d.cached, d.wanted),
    };
    let differences: Vec<_> = differences(wanted, &nearest.manifest.key).iter().map(told).collect();
    format!(
        "the nearest in the cache, built from {}, differs: {}",
        nearest.manifest.model.display(),
        differences.join(", ")
    )
}

/// The engine that differs in the fewest fields; an engine of the same graph before any other.
fn nearest<'a>(wanted: &EngineKey, entries: &'a [Entry]) -> Option<&'a Entry> {
    entries.iter().min_by_key(|entry| {
        let key = &entry.manifest.key;
        (key.graph_sha256 != wanted.graph_sha256, differences(wanted, key).len())
    })
}

fn differences(wanted: &EngineKey, cached: &EngineKey) -> Vec<Difference> {
    let pairs = wanted.fields().into_iter().zip(cached.fields());
    pairs
        .filter(|((_, wanted), (_, cached))| wanted != cached)
        .map(|((field, wanted), (_, cached))| Difference { field, wanted, cached })
        .collect()
}
