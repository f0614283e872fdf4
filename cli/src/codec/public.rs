//! A codec of public networks whose graphs an engine runs. Each is opened when it is first used: who decodes needs the
//! memory of no encoder.

use super::file::PublicFile;
use super::memory::{Permits, decoder_bytes};
use super::nets::{AUDIO, AudioNets, VIDEO, VOCODER};
use anyhow::Result;
use avdit_export::{ExportOptions, WeightSource, export_network};
use avdit_media::codec::{Network, PublicCodec, PublicNetworks};
use avdit_nets::vae::{Decoder, Encoder, Gaussian};
use avdit_nets::{NetworkError, encodec, hifigan, network};
use avdit_runtime::{EngineKind, EngineOptions, Function, machine};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What can go wrong in a network of a codec.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A graph that is made and opened when it is first run.
struct Lazy {
    open: Box<dyn Fn() -> Result<Function, Failure> + Send + Sync>,
    function: Mutex<Option<Arc<Function>>>,
    permits: Arc<Permits>,
}

impl Lazy {
    fn run(&self, x: &[f32]) -> Result<Vec<f32>, Failure> {
        let function = {
            let mut function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
            match &*function {
                Some(function) => function.clone(),
                None => function.insert(Arc::new((self.open)()?)).clone(),
            }
        };
        Ok(self.permits.with(|| function.run(x))?)
    }
}

/// What graphs are made of, and how they are run.
struct Maker {
    path: PathBuf,
    kind: EngineKind,
    options: EngineOptions,
    permits: Arc<Permits>,
}

impl Maker {
    /// A network of one input and one output, whose tensors begin with what `weights` knows.
    fn lazy<N>(
        &self,
        network: Result<N, NetworkError>,
        weights: impl WeightSource + Send + Sync + 'static,
    ) -> Result<Lazy>
    where
        N: network::Network + Send + Sync + 'static,
    {
        let network = network.map_err(avdit_export::Error::from)?;
        let (path, kind, options) = (self.path.clone(), self.kind, self.options.clone());
        let open = move || -> Result<Function, Failure> {
            let export = ExportOptions { batch: Some(1), ..ExportOptions::default() };
            let graph = export_network(&network, &weights, &export)?.to_bytes()?;
            let [input, output] = [network.inputs(), network.outputs()].map(|mut ports| ports.remove(0).1);
            let name = path.with_file_name(format!("{}.onnx", network.name()));
            Ok(Function::open(&graph, &name, [&input, &output], kind, &options)?)
        };
        Ok(Lazy { open: Box::new(open), function: Mutex::default(), permits: self.permits.clone() })
    }
}

/// The codec of a file, run by an engine; `path` is for errors.
///
/// # Errors
/// If a network cannot be built for the sizes of its clips.
pub fn run_on(
    file: &PublicFile,
    path: &Path,
    kind: EngineKind,
    options: &EngineOptions,
) -> Result<PublicCodec> {
    let (config, nets) = (&file.config, &file.nets);
    let tile = config.tiles()?.tile();
    let pixels = tile.map(|side| side * config.pictures.factor);
    let bytes = decoder_bytes(&nets.video, tile);
    let permits = Arc::new(Permits::for_memory(bytes, machine::available_memory_bytes()));
    let maker = Maker { path: path.to_owned(), kind, options: options.clone(), permits };
    let encoder = maker.lazy(Encoder::new(&nets.video, pixels), file.part(VIDEO))?;
    let decoder = maker.lazy(Decoder::new(&nets.video, tile), file.part(VIDEO))?;
    let (encode_sound, decode_sound) = sound(file, &maker)?;
    let networks = PublicNetworks {
        engine: kind.name(),
        encode_picture: Box::new(move |x| mean(&encoder.run(x)?)),
        decode_picture: Box::new(move |z| decoder.run(z)),
        encode_sound,
        decode_sound,
    };
    Ok(PublicCodec::new(config.clone(), networks)?)
}

/// The mean of the latents of moments.
fn mean(moments: &[f32]) -> Result<Vec<f32>, Failure> {
    Ok(Gaussian::of(moments)?.mean)
}

/// What makes latents of sound, and sound of latents.
fn sound(file: &PublicFile, maker: &Maker) -> Result<(Network, Network)> {
    let (config, nets) = (&file.config, &file.nets);
    let frames = config.audio_frames();
    Ok(match &nets.audio {
        AudioNets::Mel { vae, vocoder } => {
            let [long, bins] = [frames * vae.factor(), vocoder.model_in_dim / vae.factor()];
            let encoder = maker.lazy(Encoder::new(vae, [long, vocoder.model_in_dim]), file.part(AUDIO))?;
            let decoder = maker.lazy(Decoder::new(vae, [frames, bins]), file.part(AUDIO))?;
            let vocoder = maker.lazy(hifigan::Generator::new(vocoder, long), file.part(VOCODER))?;
            (
                Box::new(move |x: &[f32]| mean(&encoder.run(x)?)),
                Box::new(move |z: &[f32]| vocoder.run(&decoder.run(z)?)),
            )
        }
        AudioNets::Encodec { network } => {
            let encoder = encodec::Encoder::new(network, config.grid.samples());
            let encoder = maker.lazy(encoder, file.part(AUDIO))?;
            let decoder = maker.lazy(encodec::Decoder::new(network, frames), file.part(AUDIO))?;
            (Box::new(move |x: &[f32]| encoder.run(x)), Box::new(move |z: &[f32]| decoder.run(z)))
        }
    })
}
