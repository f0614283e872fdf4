//! The public codecs' checkpoints, whose size their `config.json` says.

use super::plan::{Extra, From, Plan, Role};
use super::sources::Sources;
use super::{ImportedConfig, Imports, parameters};
use crate::error::{Error, Result};
use avdit_nets::encodec::EncodecConfig;
use avdit_nets::hifigan::HifiganConfig;
use avdit_nets::vae::{VaeConfig, modernise};
use avdit_nets::weight_norm::FORMS;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The configuration of a network in a public file, and where that is.
pub(super) type Found<'a> = (&'a Path, &'a Value);

fn config_of<T: DeserializeOwned>((path, value): Found<'_>) -> Result<T> {
    serde_json::from_value(value.clone()).map_err(|error| Error::content(path, error))
}

/// The autoencoder of pictures or mel spectrograms, under its present or former names.
pub(super) fn vae(sources: &Sources, found: Found<'_>) -> Result<Imports> {
    let config: VaeConfig = config_of(found)?;
    config.check().map_err(|error| Error::content(found.0, error))?;
    // Which tensor has each present name.
    let present = |name: &str| {
        let one = [(name.to_owned(), (sources.shape(name).unwrap_or_default().to_vec(), Vec::new()))].into();
        modernise(&config, one).into_keys().next().unwrap_or_default()
    };
    let names: BTreeMap<String, String> =
        sources.names().map(|name| (present(name), name.to_owned())).collect();
    let renamed = names.iter().filter(|(new, old)| new != old).count();
    let from = |name: &str| {
        let source = names.get(name).map_or(name, String::as_str).to_owned();
        if name.contains(".attentions.") { From::Matrix(source) } else { From::Whole(source) }
    };
    let config = ImportedConfig::Vae(config);
    let plan = Plan::new(parameters(&config, 0), from, Vec::new());
    let names = if renamed == 0 { "diffusers" } else { "former" };
    Ok(Imports { config, plan, names: names.to_owned() })
}

/// The vocoder under the names of transformers or those that HiFi-GAN was published with, weight norm folded where it is
/// there. The published form has no mean and scale of the bands: it is not normed before.
pub(super) fn hifigan(sources: &Sources, found: Found<'_>) -> Result<Imports> {
    let mut config: HifiganConfig = config_of(found)?;
    config.check().map_err(|error| Error::content(found.0, error))?;
    let is_official = sources.names().any(|name| name.starts_with("ups."));
    let goes_without = |name: &str| is_official && sources.shape(name).is_none();
    if goes_without("mean") {
        config.normalize_before = false;
    }
    let bands = config.model_in_dim;
    let from = |name: &str| match name {
        "mean" if goes_without(name) => From::Fixed(vec![0.0; bands]),
        "scale" if goes_without(name) => From::Fixed(vec![1.0; bands]),
        _ => match name.strip_prefix("upsampler.") {
            Some(rest) if is_official => folded(sources, &format!("ups.{rest}")),
            _ => folded(sources, name),
        },
    };
    let config = ImportedConfig::Hifigan(config);
    let plan = Plan::new(parameters(&config, 0), from, Vec::new());
    let names = if is_official { "official" } else { "transformers" };
    Ok(Imports { config, plan, names: names.to_owned() })
}

/// EnCodec, weight norm folded; of its codebooks the entries, without the averages that they were trained by.
pub(super) fn encodec(sources: &Sources, found: Found<'_>) -> Result<Imports> {
    let config: EncodecConfig = config_of(found)?;
    config.check().map_err(|error| Error::content(found.0, error))?;
    let books = codebooks(sources.names());
    let config = ImportedConfig::Encodec(config);
    let unused = |i: usize| {
        ["inited", "cluster_size", "embed_avg"].map(|kind| {
            let name = format!("quantizer.layers.{i}.codebook.{kind}");
            Extra { name, shape: None, role: Role::Unused }
        })
    };
    let extras = (0..books).flat_map(unused).collect();
    let plan = Plan::new(parameters(&config, books), |name| folded(sources, name), extras);
    Ok(Imports { config, plan, names: "transformers".to_owned() })
}

/// How many codebooks a file has: up to the last of which there is anything.
pub(super) fn codebooks<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let book = |name: &str| name.strip_prefix("quantizer.layers.")?.split_once('.')?.0.parse::<usize>().ok();
    // More than are published, and few enough for a table of what is missing.
    names.filter_map(book).filter(|book| *book < 1024).max().map_or(0, |last| last + 1)
}

/// A weight, or what is there of its length and direction.
fn folded(sources: &Sources, name: &str) -> From {
    let Some(layer) = name.strip_suffix("weight").filter(|_| sources.shape(name).is_none()) else {
        return From::Whole(name.to_owned());
    };
    let forms = FORMS.map(|form| form.map(|end| format!("{layer}{end}")));
    let there = forms.into_iter().find(|form| form.iter().any(|name| sources.shape(name).is_some()));
    there.map_or_else(|| From::Whole(name.to_owned()), From::Norm)
}
