//! An AVDiT as an ONNX model.

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
use avdit_nets::avdit::{AvditConfig, AvditInputs, avdit, body, embed};
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

/// The graph of an AVDiT with its weights: inputs `video`, `audio`, `video_timesteps`, `audio_timesteps`, outputs
/// `video_noise`, `audio_noise`. As a fused step: inputs `video_state`, `audio_state`, `video_timesteps`,
/// `audio_timesteps`, `video_coefficients`, `audio_coefficients`, `video_moves`, `audio_moves` and, where the step adds
/// noise, `video_fresh`, `audio_fresh`; outputs `next_video_state`, `next_audio_state`.
///
/// # Errors
/// [`Error::MissingParameter`], [`Error::ParameterShape`], [`Error::UnusedWeights`] or [`Error::NotFinite`] if the
/// weights are not those of the network, [`Error::Mismatch`] if `spec` has another layout, [`Error::Config`] if the
/// configuration cannot be built, [`Error::Core`] if there is no schedule of so many steps.
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
    let outputs = match options.step {
        None => {
            let [video, audio] = Modality::ALL.map(|m| recorder.input(m.name(), &layout.shape(m, 1)[1..]));
            let (video, audio) = predictions(&recorder, config, weights, spec, options, [video?, audio?])?;
            [(recorder.name_of(&video)?, "video_noise"), (recorder.name_of(&audio)?, "audio_noise")]
        }
        Some(form) => {
            form.check()?;
            let [video, audio] = Modality::ALL.map(|m| StepInputs::declare(&recorder, form, &layout, m));
            let (video, audio) = (video?, audio?);
            let latents = [video.latents(&recorder)?, audio.latents(&recorder)?];
            let predicted = predictions(&recorder, config, weights, spec, options, latents)?;
            [
                (video.next(&recorder, &predicted.0)?, "next_video_state"),
                (audio.next(&recorder, &predicted.1)?, "next_audio_state"),
            ]
        }
    };
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
    config: &AvditConfig,
    weights: &'w dyn WeightSource,
    spec: &DenoiserSpec,
    options: &ExportOptions,
    [video, audio]: [Value; 2],
) -> Result<(Value, Value)> {
    let n = spec.layout.segments();
    let video_levels = recorder.input("video_timesteps", &[n])?;
    let audio_levels = recorder.input("audio_timesteps", &[n])?;
    match options.frozen(spec)? {
        None => avdit(recorder, config, &AvditInputs { video, audio, video_levels, audio_levels }),
        Some(schedule) => {
            let tokens = embed(recorder, config, &video, &audio)?;
            let levels = [&video_levels, &audio_levels];
            let frozen = Frozen::new(recorder, config, &schedule, weights, levels)?;
            body(recorder, config, tokens, &frozen)
        }
    }
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
