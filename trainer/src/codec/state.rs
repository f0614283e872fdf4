//! The state of a training as one file that is whole or as it was before.
//!
//! `OUT/NAME.train.safetensors`: metadata `format`, `step` and `config`; tensors `model/NAME`, `ema/NAME`, `first/NAME`,
//! `second/NAME` for each parameter.

use super::config::CodecTraining;
use super::model::parameters;
use crate::error::{Error, Result};
use crate::model::Weights;
use avdit_core::Modality;
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FORMAT: &str = "avdit-codec-training/1";

/// A training in memory.
pub(super) struct State {
    pub(super) step: usize,
    pub(super) weights: Weights,
    pub(super) ema: Weights,
    /// As [`Optimizer::moments`](crate::Optimizer::moments) has them.
    pub(super) moments: Weights,
}

pub(super) fn path(out: &Path, modality: Modality) -> PathBuf {
    out.join(format!("{}.train.safetensors", modality.name()))
}

/// What must be the same for a training to go on: all but the other modality and how it is trained.
fn facts(config: &CodecTraining, modality: Modality) -> String {
    let CodecTraining { grid, autoencoder, seed, kl_weight, posterior_std, .. } = config;
    let network = match modality {
        Modality::Video => serde_json::json!(autoencoder.video),
        Modality::Audio => serde_json::json!(autoencoder.audio),
    };
    serde_json::json!({
        "grid": grid, "network": network, "seed": seed, "kl_weight": kl_weight, "posterior_std": posterior_std,
        "training": config.of(modality),
    })
    .to_string()
}

/// A tensor of the file: name, shape, values.
type Named = (String, Vec<usize>, Vec<f32>);

impl State {
    pub(super) fn write(
        &self,
        out: &Path,
        config: &CodecTraining,
        modality: Modality,
        clips: &str,
    ) -> Result<()> {
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("step".to_owned(), self.step.to_string()),
            ("config".to_owned(), facts(config, modality)),
            ("clips".to_owned(), clips.to_owned()),
        ]);
        let list = parameters(&config.autoencoder, modality);
        let named = |kind: &str, source: &str, values: &Weights| -> Result<Vec<Named>> {
            let one = |p: &avdit_nets::Parameter| {
                let key = format!("{source}{}", p.name);
                let values = values.get(&key).cloned();
                let missing =
                    || Error::Parameter { name: key.clone(), what: "missing from the training".into() };
                Ok((format!("{kind}/{}", p.name), p.shape.clone(), values.ok_or_else(missing)?))
            };
            list.iter().map(one).collect()
        };
        let mut all = named("model", "", &self.weights)?;
        all.extend(named("ema", "", &self.ema)?);
        all.extend(named("first", "first.", &self.moments)?);
        all.extend(named("second", "second.", &self.moments)?);
        let tensors: Vec<_> = all
            .iter()
            .map(|(name, shape, values)| TensorRef { name, shape: shape.clone(), values })
            .collect();
        Ok(write_tensors(&path(out, modality), &metadata, &tensors)?)
    }

    /// What was written, if anything was.
    pub(super) fn read(
        out: &Path,
        config: &CodecTraining,
        modality: Modality,
        clips: &str,
    ) -> Result<Option<Self>> {
        let path = path(out, modality);
        if !path.exists() {
            return Ok(None);
        }
        let file = TensorFile::read(&path)?;
        file.check_format(FORMAT)?;
        for (what, expected) in [("config", facts(config, modality)), ("clips", clips.to_owned())] {
            let saved = file.meta(what)?;
            if saved != expected {
                let hint = "use the same settings to go on, or another folder for a new codec";
                let what = format!("was made with other {what}: {saved}, now {expected}\n\nhint: {hint}");
                return Err(Error::content(&path, what));
            }
        }
        let step =
            file.meta("step")?.parse().map_err(|error| Error::content(&path, format!("step: {error}")))?;
        let list = parameters(&config.autoencoder, modality);
        let read = |kind: &str, target: &str| -> Result<Weights> {
            let one = |p: &avdit_nets::Parameter| {
                Ok((format!("{target}{}", p.name), file.tensor_of(&format!("{kind}/{}", p.name), &p.shape)?))
            };
            list.iter().map(one).collect()
        };
        let mut moments = read("first", "first.")?;
        moments.extend(read("second", "second.")?);
        Ok(Some(Self { step, weights: read("model", "")?, ema: read("ema", "")?, moments }))
    }
}
