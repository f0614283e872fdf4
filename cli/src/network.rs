//! A network with its parameters: of a checkpoint, random, or as the provenance of a model tells.

use crate::exit::Usage;
use anyhow::{Context, Result, bail};
use avdit_core::DenoiserSpec;
use avdit_export::{ModelConfig, Provenance, RandomWeights, WeightSource};
use avdit_media::codec::file_sha256;
use avdit_media::shard::{DATASET_FILE, Dataset};
use avdit_nets::av_dit::LoraForm;
use avdit_nets::{AvDitConfig, AvditConfig, NetworkConfig};
use avdit_trainer::adapter::{Alone, Form};
use avdit_trainer::checkpoint::{CheckpointConfig, Values};
use avdit_trainer::config::ObjectiveConfig;
use avdit_trainer::{Adapted, Base, CandleDenoiser, Checkpoint, TrainConfig, WeightFile, checkpoint};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A network, and where its parameters come from.
pub struct Network {
    pub config: NetworkConfig,
    pub spec: DenoiserSpec,
    pub weights: Weights,
    /// What `config.json` of a model made from it says.
    pub provenance: Provenance,
}

/// What provenance says where an export has folded LoRA.
const LORA: &str = "lora";

/// Parameters that are read or made one tensor at a time.
pub enum Weights {
    File(WeightFile),
    /// What was trained, and beneath it what stayed as it was.
    Adapted(Box<Adapted>),
    Random(RandomWeights),
    /// Those of an AV-DiT with LoRA folded into copies of its attention.
    Merged(Box<Merged>),
}

/// Parameters that are folded when they are asked for.
pub struct Merged {
    /// The network with its factors.
    network: AvDitConfig,
    weights: Weights,
    /// Shapes of the network without.
    shapes: BTreeMap<String, Vec<usize>>,
}

type LoadError = Box<dyn std::error::Error + Send + Sync>;

impl Merged {
    fn load(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        self.network.merged(name, |name| self.weights.load(name))
    }
}

/// The parameters of a file.
pub struct FileWeights<'a>(pub &'a WeightFile);

impl WeightSource for FileWeights<'_> {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(name)
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.load(name)?)
    }
}

impl WeightSource for Weights {
    fn names(&self) -> Vec<String> {
        match self {
            Weights::File(file) => file.names(),
            Weights::Adapted(adapted) => adapted.names(),
            Weights::Random(random) => random.names(),
            Weights::Merged(merged) => merged.shapes.keys().cloned().collect(),
        }
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self {
            Weights::File(file) => file.shape(name),
            Weights::Adapted(adapted) => adapted.shape(name),
            Weights::Random(random) => random.shape(name),
            Weights::Merged(merged) => merged.shapes.get(name).cloned(),
        }
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        match self {
            Weights::File(file) => Ok(file.load(name)?),
            Weights::Adapted(adapted) => Ok(adapted.load(name)?),
            Weights::Random(random) => random.load(name),
            Weights::Merged(merged) => merged.load(name),
        }
    }
}

impl Weights {
    /// The file that they are in, or what of them was trained; `None` where they are random.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Weights::File(file) => Some(file.path()),
            Weights::Adapted(adapted) => Some(adapted.path()),
            Weights::Merged(merged) => merged.weights.file(),
            Weights::Random(_) => None,
        }
    }

    fn denoiser(&self, config: &NetworkConfig, spec: &DenoiserSpec) -> Result<CandleDenoiser> {
        Ok(CandleDenoiser::load(config, spec.clone(), &mut |parameter| match self {
            Weights::File(file) => file.load(&parameter.name),
            Weights::Adapted(adapted) => adapted.load(&parameter.name),
            Weights::Random(random) => Ok(random.of(parameter)),
            Weights::Merged(merged) => merged.load(&parameter.name).map_err(|error| {
                avdit_trainer::Error::Parameter { name: parameter.name.clone(), what: error.to_string() }
            }),
        })?)
    }
}

impl Network {
    /// A run's newest checkpoint, or the checkpoint itself.
    pub fn of_run(run: &Path, values: Values) -> Result<(PathBuf, Self)> {
        let folder = checkpoint::latest(run)?;
        let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
        let (CheckpointConfig { network, spec, train, base, .. }, file) =
            Checkpoint::open_values(&folder, values)?;
        let mut provenance = json!({
            "checkpoint": folder, "ema": values != Values::Raw, "weights_sha256": file_sha256(file.path())?, "train": train,
            "avdit": env!("CARGO_PKG_VERSION"),
        });
        if let Values::EmaOf(decay) = values {
            provenance["ema_decay"] = json!(decay);
        }
        if let Some(base) = &base {
            provenance["base"] = json!(base);
        }
        let provenance = provenance.as_object().cloned().unwrap_or_default();
        let weights = match (base, &network) {
            (Some(record), NetworkConfig::AvDit(network)) => {
                Weights::Adapted(Box::new(Adapted::new(Base::of(&record)?.weights, file, network)?))
            }
            _ => Weights::File(file),
        };
        Ok((folder, Self { config: network, spec, weights, provenance }))
    }

    /// An AV-DiT that `avdit merge` wrote.
    pub fn alone(folder: &Path) -> Result<Self> {
        let Alone { network, spec, weights, weights_sha256, source } = Alone::open(folder)?;
        let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
        let provenance = json!({
            "merged": folder, "weights_sha256": weights_sha256, "source": source, "avdit": env!("CARGO_PKG_VERSION"),
        });
        let provenance = provenance.as_object().cloned().unwrap_or_default();
        Ok(Self { config: network.into(), spec, weights: Weights::File(weights), provenance })
    }

    /// A network with random weights; `of` says in words which.
    pub fn random(config: NetworkConfig, spec: DenoiserSpec, seed: u64, of: &str) -> Self {
        let provenance = json!({
            "random": { "seed": seed, "network": of }, "avdit": env!("CARGO_PKG_VERSION"),
        });
        let weights = Weights::Random(RandomWeights::new(&config, seed));
        Self { config, spec, weights, provenance: provenance.as_object().cloned().unwrap_or_default() }
    }

    /// An AV-DiT with LoRA folded into copies of its attention, a tensor at a time.
    pub fn with_lora_merged(self) -> Result<Self> {
        let network = match self.config {
            NetworkConfig::AvDit(network) if network.lora == LoraForm::Separate => network,
            NetworkConfig::AvDit(_) => bail!(Usage("--merge: its LoRA is merged already".to_owned())),
            other => {
                let what =
                    format!("--merge: only an AV-DiT has LoRA to merge, this is {}", other.architecture());
                bail!(Usage(what))
            }
        };
        if network.lora_sites().is_empty() {
            bail!(Usage(
                "--merge: it has no LoRA, neither among sounds nor between sight and sound".to_owned()
            ));
        }
        let config = network.in_merged_form();
        let shapes = config.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        let mut provenance = self.provenance;
        provenance.insert(LORA.to_owned(), json!(Form::Merged));
        let weights = Weights::Merged(Box::new(Merged { network, weights: self.weights, shapes }));
        Ok(Self { config: config.into(), spec: self.spec, weights, provenance })
    }

    /// What the graph of a model folder was made from; a run or a checkpoint is taken as it is.
    pub fn behind(folder: &Path) -> Result<Self> {
        if checkpoint::is_run(folder)? {
            return Ok(Self::of_run(folder, Values::Ema)?.1);
        }
        let mut model = ModelConfig::read(folder)?;
        let merged = model.provenance.get(LORA) == Some(&json!(Form::Merged));
        let is_merged = match &mut model.network {
            NetworkConfig::AvDit(network) if merged => {
                network.lora = LoraForm::Separate;
                true
            }
            _ => false,
        };
        let network = Self::source_of(folder, model)?;
        if is_merged { network.with_lora_merged() } else { Ok(network) }
    }

    fn source_of(folder: &Path, model: ModelConfig) -> Result<Self> {
        let provenance = &model.provenance;
        let bad = |what: String| avdit_trainer::Error::content(&folder.join("config.json"), what);
        if let Some(random) = provenance.get("random") {
            let seed = random["seed"].as_u64().ok_or_else(|| bad("random weights without a seed".into()))?;
            let of = random["network"].as_str().unwrap_or_default();
            return Ok(Self::random(model.network, model.spec, seed, of));
        }
        if let Some(merged) = provenance.get("merged").and_then(|path| path.as_str()) {
            let network = Self::alone(Path::new(merged)).with_context(|| {
                format!("{}: the network that it was exported from is needed", folder.display())
            })?;
            if network.provenance.get("weights_sha256") != provenance.get("weights_sha256") {
                return Err(
                    bad(format!("{merged} has changed since the export\n\nhint: export it again")).into()
                );
            }
            return Ok(network);
        }
        let path = provenance.get("checkpoint").and_then(|path| path.as_str());
        let path = path.ok_or_else(|| bad("it names no checkpoint, and no seed of random weights".into()))?;
        let ema = provenance.get("ema").and_then(serde_json::Value::as_bool).unwrap_or(true);
        let values = match provenance.get("ema_decay").and_then(serde_json::Value::as_f64) {
            Some(decay) => Values::EmaOf(decay),
            None if ema => Values::Ema,
            None => Values::Raw,
        };
        let (checkpoint, network) = Self::of_run(Path::new(path), values).with_context(|| {
            format!("{}: the checkpoint that it was exported from is needed", folder.display())
        })?;
        let hash = |provenance: &Provenance| provenance.get("weights_sha256").cloned();
        if hash(provenance).is_some_and(|expected| Some(expected) != hash(&network.provenance)) {
            let what = format!("the checkpoint {} has changed since the export", checkpoint.display());
            return Err(bad(format!("{what}\n\nhint: export it again")).into());
        }
        if network.config != model.network {
            return Err(bad(format!("the checkpoint {} is of another network", checkpoint.display())).into());
        }
        Ok(network)
    }

    /// It, run by the trainer.
    pub fn denoiser(&self) -> Result<CandleDenoiser> {
        self.weights.denoiser(&self.config, &self.spec)
    }

    /// The network on Candle as it was before LoRA was folded: what a graph of it must compute.
    pub fn source_denoiser(&self) -> Result<CandleDenoiser> {
        match &self.weights {
            Weights::Merged(merged) => merged.weights.denoiser(&merged.network.clone().into(), &self.spec),
            _ => self.denoiser(),
        }
    }
}

/// The published AV-DiT: adapters on DiT-XL/2.
const AV_DIT_XL: &str = "av-dit-xl";

/// The networks that have a name: AVDiT's sizes, and [`AV_DIT_XL`].
pub const PRESETS: [&str; 5] = ["tiny", "small", "avdit-420m", "avdit-420m-patch1", AV_DIT_XL];

/// A preset on its own grid, as a run with default settings would train it.
pub fn preset(name: &str) -> Result<(NetworkConfig, DenoiserSpec)> {
    let config = if name == AV_DIT_XL {
        NetworkConfig::from(AvDitConfig::published())
    } else {
        AvditConfig::preset(name).with_context(|| format!("there is no preset {name}"))?.into()
    };
    let spec = default_spec(&config);
    Ok((config, spec))
}

fn default_spec(config: &NetworkConfig) -> DenoiserSpec {
    let ObjectiveConfig { target, schedule, timesteps, .. } = ObjectiveConfig::default();
    DenoiserSpec { layout: config.layout(), target, schedule, timesteps }
}

/// A network from a file: its own configuration as TOML or JSON, or the TOML of a run, whose grid is that of its
/// dataset or, before there is one, its preset's.
pub fn read(path: &Path) -> Result<(NetworkConfig, DenoiserSpec)> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let bad = |what: String| avdit_trainer::Error::content(path, what);
    let config: NetworkConfig = if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?
    } else {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| bad(error.to_string().trim_end().to_owned()))?;
        if table.contains_key("run") {
            return of_train_config(&TrainConfig::parse(&text, path)?);
        }
        toml::from_str(&text).map_err(|error| bad(error.to_string().trim_end().to_owned()))?
    };
    config.check().map_err(|error| bad(error.to_string()))?;
    let spec = default_spec(&config);
    Ok((config, spec))
}

fn of_train_config(train: &TrainConfig) -> Result<(NetworkConfig, DenoiserSpec)> {
    let layout = if train.data.join(DATASET_FILE).is_file() {
        Dataset::open(&train.data)?.layout().clone()
    } else {
        let name = train.model.preset.as_deref().unwrap_or("tiny");
        tracing::warn!(
            "{} is no dataset: the network is put on the grid of preset {name}",
            train.data.display()
        );
        preset(name)?.1.layout
    };
    let network = train.network(&layout)?;
    let spec = train.spec(&network.layout());
    Ok((network, spec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{Denoiser, Latents, Levels};

    #[test]
    fn a_graph_of_folded_factors_is_held_against_the_factors() {
        let text = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
            "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
            "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
            "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
        let config: AvDitConfig = serde_json::from_str(text).unwrap();
        let spec = DenoiserSpec {
            layout: config.layout(),
            target: avdit_core::Target::V,
            schedule: avdit_core::ScheduleKind::Cosine,
            timesteps: 1000,
        };
        let network = Network::random(config.into(), spec.clone(), 1, "a test").with_lora_merged().unwrap();
        let predicted = |mut denoiser: CandleDenoiser| {
            let [mut noisy, mut out] = [0, 1].map(|_| Latents::zeros(&spec.layout, 1));
            noisy.video.iter_mut().enumerate().for_each(|(i, x)| *x = (0.37 * i as f32).sin());
            let levels = Levels::repeat(&vec![400.0; spec.layout.cells()], 1);
            denoiser.predict(&noisy, &levels, &mut out).unwrap();
            out.video
        };
        let folded = predicted(network.denoiser().unwrap());
        let source = predicted(network.source_denoiser().unwrap());
        assert!(folded != source, "two computations round differently");
        let worst = folded.iter().zip(&source).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst:e}");
    }
}
