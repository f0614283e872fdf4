//! Graphs in memory on an engine: each is written to a folder of its own, which goes once it is open.

use avdit_core::{Denoiser, Latents, Levels};
use avdit_onnx::{Model, WriteOptions};
use avdit_quantize::{Failure, Workbench};
use avdit_runtime::{Engine, EngineKind, EngineOptions};
use std::path::{Path, PathBuf};

/// Opens graphs that have the configuration of a model.
pub struct EngineBench<'a> {
    /// The model's folder.
    pub source: &'a Path,
    /// The engine.
    pub kind: EngineKind,
    /// How it runs.
    pub options: EngineOptions,
    /// Where folders may be made.
    pub room: PathBuf,
}

impl EngineBench<'_> {
    /// A graph on the engine.
    pub fn engine(&self, model: &Model) -> Result<Box<dyn Engine>, Failure> {
        let folder = Folder::new(&self.room)?;
        model.write_linked(folder.0.join("model.onnx"), &WriteOptions::default())?;
        std::fs::copy(self.source.join("config.json"), folder.0.join("config.json"))?;
        Ok(avdit_runtime::open(&folder.0, self.kind, &self.options)?)
    }
}

impl Workbench for EngineBench<'_> {
    fn open(&mut self, model: &Model) -> Result<Box<dyn Denoiser>, Failure> {
        Ok(self.engine(model)?)
    }

    fn probe(
        &mut self,
        model: &Model,
        states: &[(&Latents, &Levels)],
        show: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), Failure> {
        let mut engine = self.engine(model)?;
        let mut out = Latents::zeros(&engine.spec().layout.clone(), 1);
        for (noisy, levels) in states {
            for extra in engine.predict_with_extras(noisy, levels, &mut out)? {
                show(&extra.name, &extra.values);
            }
        }
        Ok(())
    }
}

/// A folder that is removed with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(room: &Path) -> std::io::Result<Self> {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = room.join(format!(".avdit-quantize.{}.{count}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is found under a name that says whose it was.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
