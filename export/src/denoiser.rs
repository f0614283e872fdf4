//! A network that denoises clips as an ONNX model.

use crate::error::{Error, Result};
use crate::frozen::Frozen;
use crate::lowering::Lowering;
use crate::network;
use crate::recorder::{Recorder, Value};
use crate::step::StepInputs;
use crate::value_bias::ValueBiasMoved;
use crate::weights::{self, WeightSource};
use avdit_core::sampler::StepForm;
use avdit_core::{DenoiserSpec, FrozenSchedule, Modality};
use avdit_nets::avdit::{body, embed};
use avdit_nets::dit::Prediction;
use avdit_nets::{Inputs, NetworkConfig};
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
    /// Computes the modulation of the levels of so many sampling steps beforehand, for those levels alone.
    pub freeze: Option<usize>,
    /// Puts the sampler's update of this form behind the network.
    pub step: Option<StepForm>,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            batch: None,
            opset: 20,
            lowering: Lowering::Portable,
            external_data: ExternalData::Auto,
            taps: false,
            freeze: None,
            step: None,
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

    /// The levels that the graph is to be told, where they are fixed.
    ///
    /// # Errors
    /// [`Error::Core`] if the schedule of the denoiser does not have so many steps.
    pub fn frozen(&self, spec: &DenoiserSpec) -> Result<Option<FrozenSchedule>> {
        Ok(self.freeze.map(|steps| FrozenSchedule::new(steps, spec.timesteps)).transpose()?)
    }
}

/// The graph of a network with its weights: inputs `video`, `audio`, `video_timesteps`, `audio_timesteps`, outputs
/// `video_noise`, `audio_noise` and, where it learns them, `video_variance`, `audio_variance`. As a fused step: inputs `video_state`, `audio_state`, `video_timesteps`,
/// `audio_timesteps`, `video_coefficients`, `audio_coefficients`, `video_moves`, `audio_moves` and, where the step adds
/// noise, `video_fresh`, `audio_fresh`; outputs `next_video_state`, `next_audio_state`.
///
/// # Errors
/// [`Error::MissingParameter`], [`Error::ParameterShape`], [`Error::UnusedWeights`] or [`Error::NotFinite`] if the
/// weights are not those of the network, [`Error::Mismatch`] if `spec` has another layout, or the network is not of sight
/// and sound, or its schedule cannot be frozen, [`Error::Network`] if the configuration cannot be built, [`Error::Core`] if
/// there is no schedule of so many steps.
pub fn export_denoiser(
    config: &(impl Clone + Into<NetworkConfig>),
    weights: &dyn WeightSource,
    spec: &DenoiserSpec,
    options: &ExportOptions,
) -> Result<Model> {
    let config = &config.clone().into();
    config.check()?;
    let ir_version = options.ir_version()?;
    let layout = config.layout();
    if spec.layout != layout {
        let (expected, got) = (format!("{layout:?}"), format!("{:?}", spec.layout));
        return Err(Error::mismatch("layout of the denoiser (the network's is expected)", expected, got));
    }
    weights::check(weights, &config.parameters())?;

    // Elsewhere adapters stand between values and the projection.
    let moved = ValueBiasMoved(weights);
    let weights: &dyn WeightSource = if matches!(config, NetworkConfig::Avdit(_)) { &moved } else { weights };
    let recorder = Recorder::new(config.architecture(), weights, options.lowering, options.batch);
    let mut outputs = Vec::new();
    match options.step {
        None => {
            let [video, audio] = Modality::ALL.map(|m| recorder.input(m.name(), &layout.shape(m, 1)[1..]));
            let made = predictions(&recorder, config, weights, spec, options, [video?, audio?])?;
            for (prediction, noise) in made.iter().zip(["video_noise", "audio_noise"]) {
                outputs.push((recorder.name_of(&prediction.noise)?, noise));
            }
            for (prediction, variance) in made.iter().zip(["video_variance", "audio_variance"]) {
                if let Some(value) = &prediction.variance {
                    outputs.push((recorder.name_of(value)?, variance));
                }
            }
        }
        Some(form) => {
            form.check()?;
            let [video, audio] = Modality::ALL.map(|m| StepInputs::declare(&recorder, form, &layout, m));
            let (video, audio) = (video?, audio?);
            let latents = [video.latents(&recorder)?, audio.latents(&recorder)?];
            let predicted = predictions(&recorder, config, weights, spec, options, latents)?;
            outputs.push((video.next(&recorder, &predicted[0].noise)?, "next_video_state"));
            outputs.push((audio.next(&recorder, &predicted[1].noise)?, "next_audio_state"));
        }
    }
    let (mut graph, taps) = recorder.finish();
    for (value, name) in outputs {
        graph.output(&value, name)?;
    }
    for (name, value) in taps.iter().filter(|_| options.taps) {
        graph.output(value, name)?;
    }
    network::finish(graph, header(config, spec, options, ir_version))
}

/// The predictions for some latents, at levels that become inputs.
fn predictions<'w>(
    recorder: &Recorder<'w>,
    config: &NetworkConfig,
    weights: &'w dyn WeightSource,
    spec: &DenoiserSpec,
    options: &ExportOptions,
    [video, audio]: [Value; 2],
) -> Result<[Prediction<Value>; 2]> {
    let n = spec.layout.segments();
    let video_levels = recorder.input("video_timesteps", &[n])?;
    let audio_levels = recorder.input("audio_timesteps", &[n])?;
    let name = config.architecture();
    match (options.frozen(spec)?, config) {
        (None, _) => match config.predict(recorder, Inputs { video, audio, video_levels, audio_levels })? {
            [Some(video), Some(audio)] => Ok([video, audio]),
            _ => Err(Error::mismatch("a network that makes clips", "one of sight and sound", name)),
        },
        (Some(schedule), NetworkConfig::Avdit(config)) => {
            let tokens = embed(recorder, config, &video, &audio)?;
            let levels = [&video_levels, &audio_levels];
            let frozen = Frozen::new(recorder, config, &schedule, weights, levels)?;
            let (video, audio) = body(recorder, config, tokens, &frozen)?;
            Ok([video, audio].map(|noise| Prediction { noise, variance: None }))
        }
        (Some(_), _) => Err(Error::mismatch("a frozen schedule", "a network avdit", name)),
    }
}

fn header(
    config: &NetworkConfig,
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
        doc: format!(
            "{}: predictions for noisy video and audio latents at one noise level per cell",
            config.architecture()
        ),
        metadata: vec![
            ("avdit.network".to_owned(), json(serde_json::to_string(config))),
            ("avdit.spec".to_owned(), json(serde_json::to_string(spec))),
            ("avdit.lowering".to_owned(), options.lowering.to_string()),
        ],
    }
}
