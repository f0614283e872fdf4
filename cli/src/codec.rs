//! Codecs from their files: linear ones, learned ones and those of public networks, whose networks an engine runs.

pub mod file;
pub mod memory;
pub mod nets;
pub mod public;

use anyhow::{Context, Result, bail};
use avdit_export::{ExportOptions, WeightMap, export_autoencoder, weight_map};
use avdit_media::codec::{Codec, LearnedCodec, LinearCodec, Network, Networks};
use avdit_nets::codec::Part;
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::codec::CodecFile;
use file::PublicFile;
use std::path::{Path, PathBuf};

/// The name of a codec's file in the folder that it lies in.
pub const FILE: &str = "codec.safetensors";

/// The file that is meant by a codec's file or the folder that holds it.
pub fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

/// Opens the codec of a file, or of the folder that holds it. Its networks, where it has any, run on tract.
pub fn open(path: &Path) -> Result<Box<dyn Codec>> {
    open_on(path, EngineKind::Tract, &EngineOptions::default())
}

/// [`open`], with the networks on an engine.
pub fn open_on(path: &Path, engine: EngineKind, options: &EngineOptions) -> Result<Box<dyn Codec>> {
    let path = file_of(path);
    Ok(match CodecFile::kind(&path)?.as_str() {
        "linear" => Box::new(LinearCodec::load(&path)?),
        "learned" => Box::new(run_on(&CodecFile::read(&path)?, &path, engine, options)?),
        file::KIND => Box::new(public::run_on(&PublicFile::open(&path)?, &path, engine, options)?),
        kind => bail!(avdit_trainer::Error::content(
            &path,
            format!("codec of kind {kind}, expected linear, learned or {}", file::KIND)
        )),
    })
}

/// The parameters of a codec with their shapes.
pub fn weights(codec: &CodecFile) -> Result<WeightMap> {
    Ok(weight_map(codec.autoencoder.parameters(), codec.weights.clone())?)
}

/// A learned codec whose networks run on an engine; `path` is for errors.
pub fn run_on(
    codec: &CodecFile,
    path: &Path,
    kind: EngineKind,
    options: &EngineOptions,
) -> Result<LearnedCodec> {
    let weights = weights(codec)?;
    let network = |part: Part| -> Result<Network> {
        let export = ExportOptions { batch: Some(1), ..ExportOptions::default() };
        let graph = export_autoencoder(&codec.autoencoder, &weights, part, &export)?.to_bytes()?;
        let shapes = [part.input(&codec.autoencoder), part.output(&codec.autoencoder)];
        let name = path.with_file_name(format!("{}.onnx", part.name()));
        let function = Function::open(&graph, &name, [&shapes[0], &shapes[1]], kind, options)
            .with_context(|| path.display().to_string())?;
        Ok(Box::new(move |x: &[f32]| Ok(function.run(x)?)))
    };
    let networks = Networks {
        engine: kind.name(),
        encode_video: network(Part::VideoEncoder)?,
        decode_video: network(Part::VideoDecoder)?,
        encode_audio: network(Part::AudioEncoder)?,
        decode_audio: network(Part::AudioDecoder)?,
    };
    Ok(LearnedCodec::new(codec.grid, codec.layout(), networks))
}
