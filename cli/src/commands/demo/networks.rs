//! The networks that the demo trains.

use super::Folders;
use crate::args::{AdapterPart, DemoArgs, DemoNetwork};
use anyhow::Result;
use avdit_trainer::TrainConfig;
use std::path::Path;

/// Steps of the image network for each of the others.
const PICTURE_STEPS: usize = 2;

/// The grid of latents.
pub fn grid(network: DemoNetwork) -> &'static str {
    match network {
        DemoNetwork::Avdit => "tiny",
        DemoNetwork::AvDit => "frames",
    }
}

/// What the report says of it.
pub fn words(network: DemoNetwork) -> &'static str {
    match network {
        DemoNetwork::Avdit => "a MoNL AVDiT was trained on them",
        DemoNetwork::AvDit => {
            "a DiT was trained on their single frames and frozen, adapters (AV-DiT, with a level for every modality and \
             segment) were trained on it"
        }
    }
}

/// The trainings in turn, each with its name; the last one is that of the model.
pub fn trainings(args: &DemoArgs, folders: &Folders) -> Result<Vec<(&'static str, TrainConfig)>> {
    let read = |text: &str, out: &str, steps: usize| -> Result<TrainConfig> {
        let mut config = TrainConfig::parse(text, Path::new("train.toml"))?;
        (config.data, config.out) = (folders.at("data"), folders.at(out));
        (config.seed, config.run.steps) = (args.seed, steps);
        Ok(config)
    };
    let list = match args.network {
        DemoNetwork::Avdit => vec![("train", read(include_str!("train.toml"), "run", args.steps)?)],
        DemoNetwork::AvDit => {
            let pictures = include_str!("pictures.toml");
            let pictures = read(pictures, "pictures", PICTURE_STEPS * args.steps)?;
            let mut adapters = read(include_str!("adapters.toml"), "run", args.steps)?;
            adapters.model.base = Some(pictures.out.clone());
            if let Some(parts) = &mut adapters.model.adapters {
                let is_there = |part| !args.without.contains(&part);
                parts.temporal = is_there(AdapterPart::Temporal);
                parts.audio_lora = is_there(AdapterPart::AudioLora);
                parts.fusion = is_there(AdapterPart::Fusion);
                parts.audio_adapter = is_there(AdapterPart::AudioAdapter);
                parts.fusion_form = args.fusion.into();
            }
            vec![("train the image network", pictures), ("train adapters", adapters)]
        }
    };
    list.iter().try_for_each(|(_, config)| config.check())?;
    Ok(list)
}
