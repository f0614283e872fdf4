//! An AVDiT as an ONNX model.

use crate::error::{Error, Result};
use crate::lowering::Lowering;
use crate::recorder::Recorder;
use crate::value_bias::ValueBiasMoved;
use crate::weights::{self, WeightSource};
use crate::{fold, reshape, split};
use avdit_core::DenoiserSpec;
use avdit_nets::avdit::{AvditConfig, AvditInputs, avdit};
use avdit_onnx::builder::ModelHeader;
use avdit_onnx::{ExternalData, Model};

/// How a network is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    /// A fixed batch, or any (the symbol `batch`).
    pub batch: Option<usize>,
    /// The version of ONNX's operator set, 20 to 22.
    pub opset: i64,
    /// The target that composite operations are written for.
    pub lowering: Lowering,
    /// Whether weights go into a file of their own.
    pub external_data: ExternalData,
    /// Whether what the network taps (`tokens`, `condition`, `block0`, …) becomes outputs too.
    pub taps: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            batch: None,
            opset: 20,
            lowering: Lowering::Portable,
            external_data: ExternalData::Auto,
            taps: false,
        }
    }
}

impl ExportOptions {
    /// The version of the intermediate representation that goes with the operator set.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the operator set is not supported, or the batch is 0.
    pub fn ir_version(&self) -> Result<i64> {
        if self.batch == Some(0) {
            return Err(Error::mismatch("batch of an export", "at least 1", 0));
        }
        match self.opset {
            20 => Ok(8),
            21 | 22 => Ok(10),
            other => Err(Error::mismatch("opset of an export", "20 to 22", other)),
        }
    }
}

/// The graph of an AVDiT with its weights: inputs `video`, `audio`, `video_timesteps`, `audio_timesteps`, outputs
/// `video_noise`, `audio_noise`.
///
/// # Errors
/// [`Error::MissingParameter`], [`Error::ParameterShape`], [`Error::UnusedWeights`] or [`Error::NotFinite`] if the
/// weights are not those of the network, [`Error::Mismatch`] if `spec` has another layout, [`Error::Config`] if the
/// configuration cannot be built.
pub fn export_avdit(
    config: &AvditConfig,
    weights: &dyn WeightSource,
    spec: &DenoiserSpec,
    options: &ExportOptions,
) -> Result<Model> {
    config.check()?;
    let ir_version = options.ir_version()?;
    let layout = config.layout();
    if spec.layout != layout {
        let (expected, got) = (format!("{layout:?}"), format!("{:?}", spec.layout));
        return Err(Error::mismatch("layout of the denoiser (the network's is expected)", expected, got));
    }
    weights::check(weights, &config.parameters())?;

    let weights = &ValueBiasMoved(weights);
    let recorder = Recorder::new("avdit", weights, options.lowering, options.batch);
    let (v, a) = (&layout.video, &layout.audio);
    let inputs = AvditInputs {
        video: recorder.input("video", &[v.frames, v.channels, v.height, v.width])?,
        audio: recorder.input("audio", &[a.frames, a.channels])?,
        video_levels: recorder.input("video_timesteps", &[layout.segments()])?,
        audio_levels: recorder.input("audio_timesteps", &[layout.segments()])?,
    };
    let (video, audio) = avdit(&recorder, config, &inputs)?;
    let outputs = [(recorder.name_of(&video)?, "video_noise"), (recorder.name_of(&audio)?, "audio_noise")];
    let (mut graph, taps) = recorder.finish();
    for (value, name) in outputs {
        graph.output(&value, name)?;
    }
    for (name, value) in taps.iter().filter(|_| options.taps) {
        graph.output(value, name)?;
    }
    let mut model = graph.finish(header(config, spec, options, ir_version))?;
    split::merge_slices(&mut model)?;
    split::split_before_gather(&mut model);
    fold::fold_constants(&mut model)?;
    reshape::merge_reshapes(&mut model)?;
    model.check()?;
    Ok(model)
}

fn header(
    config: &AvditConfig,
    spec: &DenoiserSpec,
    options: &ExportOptions,
    ir_version: i64,
) -> ModelHeader {
    let json = |value: serde_json::Result<String>| value.expect("a structure of numbers and names");
    ModelHeader {
        opset: options.opset,
        ir_version,
        producer: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc: "AVDiT: predictions for noisy video and audio latents at one noise level per cell".to_owned(),
        metadata: vec![
            ("avdit.network".to_owned(), json(serde_json::to_string(config))),
            ("avdit.spec".to_owned(), json(serde_json::to_string(spec))),
            ("avdit.lowering".to_owned(), options.lowering.to_string()),
        ],
    }
}
