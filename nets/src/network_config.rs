//! The networks that denoise clips, as one type: what a checkpoint or a model folder says that it holds.

use crate::av_dit::{AvDitConfig, AvDitInputs, av_dit};
use crate::avdit::{AvditConfig, AvditInputs, avdit};
use crate::dit::{DitConfig, DitInputs, Prediction, dit};
use crate::network::NetworkError;
use crate::ops::Ops;
use crate::parameters::Parameter;
use avdit_core::{AudioLayout, Layout, VideoLayout};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A network from noisy latents of clips and a level for every cell to predictions of the same shapes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum NetworkConfig {
    /// MoNL's AVDiT.
    Avdit(AvditConfig),
    /// AV-DiT: an image DiT with adapters.
    AvDit(AvDitConfig),
    /// An image DiT on single frames, without a class. It has no sound: see [`NetworkConfig::layout`].
    Dit(DitConfig),
}

/// Handles of the inputs of a network, in the shapes of its layout.
pub struct Inputs<T> {
    /// Noisy video latents, (F, C, H, W).
    pub video: T,
    /// Noisy audio latents, (A, Ca).
    pub audio: T,
    /// Levels of the video cells, (N).
    pub video_levels: T,
    /// Levels of the audio cells, (N).
    pub audio_levels: T,
}

/// What a network predicts of sight and of sound, in the shapes of the inputs; `None` for a modality that it does not know.
pub type Predictions<T> = [Option<Prediction<T>>; 2];

impl NetworkConfig {
    /// `avdit`, `av-dit` or `dit`.
    pub fn architecture(&self) -> &'static str {
        match self {
            Self::Avdit(_) => "avdit",
            Self::AvDit(_) => "av-dit",
            Self::Dit(_) => "dit",
        }
    }

    /// That it can be built.
    ///
    /// # Errors
    /// The network and what is wrong with it.
    pub fn check(&self) -> Result<(), NetworkError> {
        let said = match self {
            Self::Avdit(config) => config.check().map_err(|error| error.to_string()),
            Self::AvDit(config) => config.check().map_err(|error| error.to_string()),
            Self::Dit(config) if !config.null_class => Err("has no class for pictures of none".into()),
            Self::Dit(config) => config.check().map_err(|error| error.to_string()),
        };
        said.map_err(|what| NetworkError::new(self.architecture(), what))
    }

    /// The grid of its latents. That of a DiT is one frame, and one silent value in place of sound, which it neither sees
    /// nor predicts.
    pub fn layout(&self) -> Layout {
        match self {
            Self::Avdit(config) => config.layout(),
            Self::AvDit(config) => config.layout(),
            Self::Dit(config) => {
                let ([height, width], channels) = (config.size, config.channels);
                let video = VideoLayout { frames: 1, channels, height, width, segments: vec![1] };
                Layout { video, audio: AudioLayout { frames: 1, channels: 1, segments: vec![1] } }
            }
        }
    }

    /// Every learned tensor, in the network's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Avdit(config) => config.parameters(),
            Self::AvDit(config) => config.parameters(),
            Self::Dit(config) => config.parameters(),
        }
    }

    /// The same, and whether training moves it.
    pub fn marked_parameters(&self) -> Vec<(Parameter, bool)> {
        match self {
            Self::AvDit(config) => config.marked_parameters(),
            other => other.parameters().into_iter().map(|parameter| (parameter, true)).collect(),
        }
    }

    /// The tensors that training moves, in the network's order: what a checkpoint holds.
    pub fn trained_parameters(&self) -> Vec<Parameter> {
        let marked = self.marked_parameters().into_iter();
        marked.filter(|(_, trained)| *trained).map(|(parameter, _)| parameter).collect()
    }

    /// Number of learned values, trained or not.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// Number of values that training moves.
    pub fn trained_count(&self) -> usize {
        self.trained_parameters().iter().map(Parameter::len).sum()
    }

    /// Tokens of sight and of sound.
    pub fn tokens(&self) -> [usize; 2] {
        match self {
            Self::Avdit(config) => [config.video_tokens(), config.tokens() - config.video_tokens()],
            Self::AvDit(config) => [config.video_tokens(), config.audio_tokens()],
            Self::Dit(config) => [config.tokens(), 0],
        }
    }

    /// Width of a token and number of blocks.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Avdit(config) => [config.width, config.depth],
            Self::AvDit(config) => [config.width, config.depth],
            Self::Dit(config) => [config.width, config.depth],
        }
    }

    /// The same network with another number of blocks.
    #[must_use]
    pub fn with_depth(&self, depth: usize) -> Self {
        match self.clone() {
            Self::Avdit(config) => Self::Avdit(AvditConfig { depth, ..config }),
            Self::AvDit(config) => Self::AvDit(AvDitConfig { depth, ..config }),
            Self::Dit(config) => Self::Dit(DitConfig { depth, ..config }),
        }
    }

    /// Multiply-adds of all matrix products of one forward pass on one example.
    pub fn multiply_adds(&self) -> u64 {
        match self {
            Self::Avdit(config) => config.multiply_adds(),
            Self::AvDit(config) => config.multiply_adds(),
            Self::Dit(config) => config.multiply_adds(),
        }
    }

    /// Multiply-adds of a forward and a backward pass on one example. A backward pass makes as many by activations as the
    /// forward pass, and as many again by weights, but none by those that stay as they are; what lies before the first
    /// trained tensor is counted all the same.
    pub fn training_multiply_adds(&self) -> u64 {
        let whole = self.multiply_adds();
        match self {
            Self::AvDit(config) => 3 * whole - config.frozen_multiply_adds(),
            _ => 3 * whole,
        }
    }

    /// The network whose weights stay as they are beneath this one, if there is one.
    pub fn backbone(&self) -> Option<DitConfig> {
        match self {
            Self::AvDit(config) => Some(config.backbone()),
            _ => None,
        }
    }

    /// Whether it predicts the variance of a denoising step too.
    pub fn learned_variance(&self) -> bool {
        match self {
            Self::Avdit(_) => false,
            Self::AvDit(_) => true,
            Self::Dit(config) => config.learned_variance,
        }
    }

    /// The network.
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    pub fn predict<O: Ops>(
        &self,
        ops: &O,
        inputs: Inputs<O::Tensor>,
    ) -> Result<Predictions<O::Tensor>, O::Error> {
        let Inputs { video, audio, video_levels, audio_levels } = inputs;
        let noise = |noise| Some(Prediction { noise, variance: None });
        match self {
            Self::Avdit(config) => {
                let inputs = AvditInputs { video, audio, video_levels, audio_levels };
                let (video, audio) = avdit(ops, config, &inputs)?;
                Ok([noise(video), noise(audio)])
            }
            Self::AvDit(config) => {
                let audio = ops.reshape(&audio, &config.audio_dims())?;
                let inputs = AvDitInputs { video, audio, video_levels, audio_levels };
                let [video, audio] = av_dit(ops, config, &inputs)?;
                let flat = |x: &O::Tensor| {
                    let [frames, channels, bins] = config.audio_dims();
                    ops.reshape(x, &[frames, channels * bins])
                };
                let variance = audio.variance.as_ref().map(flat).transpose()?;
                Ok([Some(video), Some(Prediction { noise: flat(&audio.noise)?, variance })])
            }
            Self::Dit(config) => {
                let (dims, first) = (ops.dims(&video), ops.constant("first_level", &[], vec![-1.0])?);
                let latents = ops.reshape(&video, &dims[1..])?;
                let timestep = ops.relu(&ops.add(&video_levels, &first)?)?;
                // From the levels, since a label has a batch.
                let label = ops.mul(&video_levels, &ops.constant("zero", &[], vec![0.0])?)?;
                let label = ops.add(&label, &ops.constant("no_class", &[], vec![config.classes as f32])?)?;
                let Prediction { noise, variance } =
                    dit(ops, config, &DitInputs { latents, timestep, label })?;
                let frame = |x: &O::Tensor| ops.reshape(x, &dims);
                let variance = variance.as_ref().map(frame).transpose()?;
                Ok([Some(Prediction { noise: frame(&noise)?, variance }), None])
            }
        }
    }
}

impl From<AvditConfig> for NetworkConfig {
    fn from(config: AvditConfig) -> Self {
        Self::Avdit(config)
    }
}

impl From<AvDitConfig> for NetworkConfig {
    fn from(config: AvDitConfig) -> Self {
        Self::AvDit(config)
    }
}

impl From<DitConfig> for NetworkConfig {
    fn from(config: DitConfig) -> Self {
        Self::Dit(config)
    }
}

impl<'de> Deserialize<'de> for NetworkConfig {
    /// By a field that one kind alone has, so that an error is of that kind's fields.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let has = |field: &str| value.get(field).is_some();
        let read = if has("temporal_ratio") {
            serde_json::from_value(value).map(Self::AvDit)
        } else if has("learned_variance") {
            serde_json::from_value(value).map(Self::Dit)
        } else {
            serde_json::from_value(value).map(Self::Avdit)
        };
        read.map_err(D::Error::custom)
    }
}
