//! A codec of public networks as one file.
//!
//! A safetensors file. Metadata: `format` (`avdit-codec/1`), `kind` (`public`), `config` (grid, segments, latents),
//! `networks` (the configuration of each), `layout`, `sources` (JSON). Tensors, all f32: those of the networks that coding
//! reads, under the networks' own names behind `video.`, `audio.` and `vocoder.`.

use super::nets::{AUDIO, Choices, Nets, VIDEO, VOCODER};
use anyhow::Result;
use avdit_core::Layout;
use avdit_export::WeightSource;
use avdit_media::codec::PublicConfig;
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_trainer::Imported;
use avdit_trainer::{Error, WeightFile};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const FORMAT: &str = "avdit-codec/1";

/// The kind of such a codec.
pub const KIND: &str = "public";

/// A codec of public networks; its tensors are read when they are asked for.
pub struct PublicFile {
    pub config: PublicConfig,
    pub nets: Nets,
    /// By the name of its place (`video`, `audio`, `vocoder`), the SHA-256 of each network and where it comes from.
    pub sources: Map<String, Value>,
    weights: Arc<WeightFile>,
}

impl PublicFile {
    /// Opens a file whose kind is [`KIND`].
    ///
    /// # Errors
    /// One that names the file and what is wrong in it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        file.check_format(FORMAT)?;
        let content = |what: String| Error::content(path, what);
        let kind = file.meta("kind")?;
        if kind != KIND {
            return Err(content(format!("codec of kind {kind}, expected {KIND}")).into());
        }
        let (config, nets): (PublicConfig, Nets) = (file.meta_json("config")?, file.meta_json("networks")?);
        let expected = nets.config(&Choices::of(&config)).map_err(content)?;
        if config != expected {
            let what = format!("metadata config is {config:?}, its networks make {expected:?}");
            return Err(content(what).into());
        }
        let layout: Layout = file.meta_json("layout")?;
        if layout != config.layout() {
            let what = format!("metadata layout is {layout:?}, its config makes {:?}", config.layout());
            return Err(content(what).into());
        }
        let shapes = nets.parameters().into_iter().flat_map(|(prefix, list)| {
            list.into_iter().map(move |parameter| (format!("{prefix}{}", parameter.name), parameter.shape))
        });
        let weights = Arc::new(WeightFile::open(path, &shapes.collect())?);
        Ok(Self { config, nets, sources: file.meta_json("sources")?, weights })
    }

    /// The tensors of one of the networks.
    pub fn part(&self, prefix: &'static str) -> Part {
        Part { weights: self.weights.clone(), prefix }
    }
}

/// The tensors of one network in a codec's file.
pub struct Part {
    weights: Arc<WeightFile>,
    prefix: &'static str,
}

impl WeightSource for Part {
    fn names(&self) -> Vec<String> {
        let names = self.weights.names().into_iter();
        names.filter_map(|name| name.strip_prefix(self.prefix).map(str::to_owned)).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.weights.shape(&format!("{}{name}", self.prefix))
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.weights.load(&format!("{}{name}", self.prefix))?)
    }
}

/// Writes the file of a codec with the tensors of imported networks: those of pictures, of sound, and the vocoder.
///
/// # Errors
/// One that names the file; an earlier file is then still there.
pub fn write(
    path: &Path,
    config: &PublicConfig,
    nets: &Nets,
    [video, audio]: [&Imported; 2],
    vocoder: Option<&Imported>,
) -> Result<()> {
    let network = |prefix: &str| match prefix {
        VIDEO => Some(video),
        AUDIO => Some(audio),
        _ => vocoder,
    };
    let given = [VIDEO, AUDIO, VOCODER].into_iter().filter_map(|prefix| Some((prefix, network(prefix)?)));
    let source = |(prefix, network): (&str, &Imported)| {
        let about = json!({ "weights_sha256": network.sha256, "source": network.source });
        (prefix.trim_end_matches('.').to_owned(), about)
    };
    let sources: Map<String, Value> = given.map(source).collect();
    let metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("kind".to_owned(), KIND.to_owned()),
        ("config".to_owned(), serde_json::to_string(config)?),
        ("networks".to_owned(), serde_json::to_string(nets)?),
        ("layout".to_owned(), serde_json::to_string(&config.layout())?),
        ("sources".to_owned(), serde_json::to_string(&sources)?),
    ]);
    let mut tensors = Vec::new();
    for (prefix, list) in nets.parameters() {
        for parameter in list {
            let values = network(prefix)
                .map(|network| network.weights.load(&parameter.name))
                .transpose()?
                .unwrap_or_default();
            tensors.push((format!("{prefix}{}", parameter.name), parameter.shape, values));
        }
    }
    let views: Vec<TensorRef<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| TensorRef { name, shape: shape.clone(), values })
        .collect();
    Ok(write_tensors(path, &metadata, &views)?)
}
