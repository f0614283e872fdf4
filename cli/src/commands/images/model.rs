//! Imported networks as graphs on an engine.

use super::pictures;
use crate::args::EngineArgs;
use crate::network::FileWeights;
use anyhow::Result;
use avdit_core::images::{ImageDenoiser, ImagePrediction};
use avdit_export::{ExportOptions, Lowering, export_network};
use avdit_media::picture::Picture;
use avdit_nets::{DitConfig, Network, vae};
use avdit_onnx::WriteOptions;
use avdit_runtime::{EngineKind, Function};
use avdit_trainer::Imported;
use avdit_trainer::imported::WEIGHTS_FILE;
use std::path::Path;

/// Parameters up to this many bytes go to the engine in memory; more, through a file, which has no limit of 2 GiB.
const IN_MEMORY: usize = 1 << 30;

/// A network's graph for a fixed batch.
fn open(
    imported: &Imported,
    network: &impl Network,
    batch: usize,
    engine: &EngineArgs,
    scratch: Option<&Path>,
) -> Result<Function> {
    let kind = engine.engine;
    let lowering = if kind == EngineKind::OrtCpu { Lowering::OrtCpu } else { Lowering::Portable };
    let options = ExportOptions { batch: Some(batch), lowering, ..ExportOptions::default() };
    let model = export_network(network, &FileWeights(&imported.weights), &options)?;
    let shapes = [network.inputs(), network.outputs()]
        .map(|ports| ports.iter().map(|(_, dims)| [&[batch], dims.as_slice()].concat()).collect::<Vec<_>>());
    let parameters: usize = network.parameters().iter().map(avdit_nets::Parameter::len).sum();
    match scratch.filter(|_| parameters * 4 > IN_MEMORY) {
        Some(folder) => {
            let path = folder.join(format!("{}.onnx", network.name()));
            let written = model.write(&path, &WriteOptions::default())?;
            drop(model);
            let function = Function::from_file(&path, shapes, kind, &engine.options())?;
            for file in std::iter::once(&written.model).chain(&written.data) {
                std::fs::remove_file(file)?;
            }
            Ok(function)
        }
        None => {
            let bytes = model.to_bytes()?;
            drop(model);
            let path = imported.folder().join(WEIGHTS_FILE);
            Ok(Function::with_shapes(&bytes, &path, shapes, kind, &engine.options())?)
        }
    }
}

/// A DiT, for one label or, under guidance, for two at once.
pub(super) struct Graph {
    function: Function,
    config: DitConfig,
    batch: usize,
}

impl Graph {
    pub(super) fn open(
        dit: &Imported,
        config: &DitConfig,
        guided: bool,
        engine: &EngineArgs,
        scratch: &Path,
    ) -> Result<Self> {
        let batch = 1 + usize::from(guided);
        Ok(Self { function: open(dit, config, batch, engine, Some(scratch))?, config: config.clone(), batch })
    }
}

impl ImageDenoiser for Graph {
    fn shape(&self) -> [usize; 3] {
        let [height, width] = self.config.size;
        [self.config.channels, height, width]
    }

    fn has_variance(&self) -> bool {
        self.config.learned_variance
    }

    fn predict(
        &mut self,
        latents: &[f32],
        timestep: f32,
        labels: &[usize],
    ) -> avdit_core::Result<Vec<ImagePrediction>> {
        if crate::cancel::asked() {
            return Err(avdit_core::Error::value("sampling", "to go on", "a request to stop"));
        }
        avdit_core::Error::check_count("labels of a prediction", self.batch, labels.len())?;
        let (x, timesteps) = (latents.repeat(self.batch), vec![timestep; self.batch]);
        let labels: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
        let made = self.function.run_all(&[&x, &timesteps, &labels]).map_err(|source| {
            avdit_core::Error::Engine { engine: self.function.engine().name(), source: Box::new(source) }
        })?;
        let part = |values: &Vec<f32>, i: usize| values[i * latents.len()..(i + 1) * latents.len()].to_vec();
        let one = |i| ImagePrediction {
            noise: part(&made[0], i),
            variance: made.get(1).map(|variance| part(variance, i)),
        };
        Ok((0..self.batch).map(one).collect())
    }
}

/// The decoder of an autoencoder.
pub(super) struct Decoder {
    function: Function,
    config: vae::VaeConfig,
    size: [usize; 2],
}

impl Decoder {
    pub(super) fn open(imported: &Imported, latents: [usize; 2], engine: &EngineArgs) -> Result<Self> {
        let config = imported.vae()?.clone();
        let network = vae::Decoder::new(&config, latents).map_err(avdit_export::Error::from)?;
        let size = latents.map(|side| side * config.factor());
        Ok(Self { function: open(imported, &network, 1, engine, None)?, config, size })
    }

    /// The picture of an image's latents.
    pub(super) fn picture(&mut self, latents: &[f32]) -> Result<Picture> {
        let mut latents = latents.to_vec();
        self.config.unscale(&mut latents);
        Ok(pictures::of_values(&self.function.run(&latents)?, self.size))
    }
}
