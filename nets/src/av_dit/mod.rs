//! AV-DiT: an image DiT that stays frozen, and light parts that teach it time, sound and their meeting (Wang et al. 2024,
//! arXiv:2406.07686), with a noise level for each cell.
//!
//! What the paper leaves open is decided here: levels of cells, which it has one of; the class of a clip, which is none;
//! the codes of places of sound and of frames; no modulation before fusion, and gates behind it where its attention is the
//! frozen one; what begins at zero. So at
//! the start it is the image DiT on every frame.

mod block;
mod config;
mod cost;
mod fusion;
mod parameters;
mod parts;

pub use config::{AudioGrid, AvDitConfig, ConfigError, DEFAULT_FUSION_RATIO};
pub use parts::{FusionForm, LoraForm, Parts};

use crate::conv_ops::ConvOps;
use crate::dit::Prediction;
use crate::dit::block::{EPS, chunks, per_token};
use crate::network::{Network, NetworkError, Port, Trainable};
use crate::ops::Ops;
use crate::parameters::Parameter;
use crate::patches::grid_code;
use crate::positions::{sincos, timestep_frequencies_in_single};
use crate::timestep;
use block::Streams;
use parameters::TABLE;

/// Handles of the inputs of an AV-DiT.
pub struct AvDitInputs<T> {
    /// Noisy video latents, (M, C, H, W).
    pub video: T,
    /// Noisy audio latents, (A, Ca, F).
    pub audio: T,
    /// Levels of the video cells, (N), 0…T.
    pub video_levels: T,
    /// Levels of the audio cells, (N), 0…T.
    pub audio_levels: T,
}

/// The network: predictions of sight and of sound in the shapes of their latents, both with a variance.
///
/// # Errors
/// Whatever the interpreter reports.
pub fn av_dit<O: Ops>(
    ops: &O,
    config: &AvDitConfig,
    inputs: &AvDitInputs<O::Tensor>,
) -> Result<[Prediction<O::Tensor>; 2], O::Error> {
    let condition = condition(ops, config, &inputs.video_levels, &inputs.audio_levels)?; // (2N, D)
    ops.tap("condition", &condition);
    let activated = ops.silu(&condition)?;
    let cells = config.token_cells();

    let video = embed_video(ops, config, &inputs.video)?;
    let audio = embed_audio(ops, config, &inputs.audio)?;
    let mut x = ops.concat(&[&video, &audio], 0)?; // (M·L + La, D)
    for i in 0..config.depth {
        let name = format!("blocks.{i}");
        ops.scope(&name);
        let rows = ops.linear(&activated, &format!("{name}.adaLN_modulation.1"))?; // (2N, 6D)
        let (config, cells) = (config.clone(), cells.clone());
        let run = move |ops: &O, inputs: &[O::Tensor]| {
            let chunks = chunks(ops, &inputs[1], 6)?;
            let [video, audio] = [per_token(ops, &chunks, &cells[0]), per_token(ops, &chunks, &cells[1])];
            let streams = Streams::of(ops, &config, &inputs[0])?;
            let streams = block::block(ops, &config, &name, &streams, [&video?, &audio?])?;
            ops.tap(&format!("block{i}.video"), &streams.video);
            ops.tap(&format!("block{i}.audio"), &streams.audio);
            ops.concat(&[&streams.video, &streams.audio], 0)
        };
        x = ops.block(&[&x, &rows], Box::new(run))?;
    }
    let streams = Streams::of(ops, config, &x)?;

    ops.scope("final_layer");
    let rows = ops.linear(&activated, "final_layer.adaLN_modulation.1")?; // (2N, 2D)
    let chunks = chunks(ops, &rows, 2)?;
    let last = |x: &O::Tensor, cells: &[usize], name: &str| {
        let chunks = per_token(ops, &chunks, cells)?;
        ops.linear(&ops.modulate(x, &chunks[0], &chunks[1], EPS)?, name)
    };
    let c = config.video.channels;
    let y = last(&streams.video, &cells[0], "final_layer.linear")?;
    let y = config.patches().join(ops, &y, 2 * c)?; // (M, 2C, H, W)
    let video = halves(ops, &y, c)?;
    ops.scope("audio_final");
    let y = last(&streams.audio, &cells[1], "audio_final")?;
    let audio = halves(ops, &join_audio(ops, config, &y)?, config.audio.channels)?;
    Ok([video, audio])
}

/// The condition of every cell, (2N, D): its timestep, DiT's index max(level − 1, 0), and no class.
fn condition<O: Ops>(
    ops: &O,
    config: &AvDitConfig,
    video: &O::Tensor,
    audio: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    ops.scope("t_embedder");
    let levels = ops.concat(&[video, audio], 0)?;
    let timesteps = ops.relu(&ops.add(&levels, &ops.constant("first_level", &[], vec![-1.0])?)?)?;
    let features = timestep::features(ops, &timesteps, timestep_frequencies_in_single)?;
    let embedded = timestep::embed(ops, &features)?;
    let null = ops.narrow(&ops.parameter(TABLE)?, 0, config.classes, 1)?; // (1, D)
    ops.add(&embedded, &null)
}

/// Video tokens with the position code of their frame, (M·L, D).
fn embed_video<O: Ops>(ops: &O, config: &AvDitConfig, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    ops.scope("x_embedder");
    let (d, l, frames) = (config.width, config.frame_tokens(), config.video.frames);
    let x = ops.linear(&config.patches().cut(ops, x)?, "x_embedder.proj")?;
    let code = crate::dit::position_code(&config.backbone());
    let x = ops.reshape(&x, &[frames, l, d])?;
    let x = ops.add(&x, &ops.constant("pos_embed", &[l, d], code)?)?;
    ops.reshape(&x, &[frames * l, d])
}

/// Audio tokens with their position code, (La, D): rows are time, columns bins.
fn embed_audio<O: Ops>(ops: &O, config: &AvDitConfig, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    ops.scope("audio_embedder");
    let ([rows, columns], p, c) = (config.audio_patches(), config.patch, config.audio.channels);
    let x = ops.reshape(x, &[rows, p, c, columns, p])?;
    let x = ops.permute(&x, &[0, 3, 2, 1, 4])?; // (rows, columns, Ca, p, p)
    let x = ops.reshape(&x, &[rows * columns, c * p * p])?;
    let x = ops.linear(&x, "audio_embedder.proj")?;
    let dims = [rows * columns, config.width];
    ops.add(&x, &ops.constant("audio_positions", &dims, audio_code(config))?)
}

/// The position code of every audio token, (La, D), as that of a picture: columns are bins, rows time.
pub fn audio_code(config: &AvDitConfig) -> Vec<f32> {
    let [rows, columns] = config.audio_patches();
    grid_code(rows, columns, config.width)
}

/// The code of every frame that the temporal attention is told, (M, D): `[sin | cos]` of its index.
pub fn frame_code(config: &AvDitConfig) -> Vec<f32> {
    (0..config.video.frames).flat_map(|i| sincos(i as f64, config.width)).map(|x| x as f32).collect()
}

/// Audio tokens (La, p²·2Ca), in each the channel fastest, to (A, 2Ca, F).
fn join_audio<O: Ops>(ops: &O, config: &AvDitConfig, y: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let ([rows, columns], p, c) = (config.audio_patches(), config.patch, 2 * config.audio.channels);
    let y = ops.reshape(y, &[rows, columns, p, p, c])?;
    let y = ops.permute(&y, &[0, 2, 4, 1, 3])?; // (rows, p, 2Ca, columns, p)
    ops.reshape(&y, &[config.audio.frames, c, config.audio.bins])
}

/// The first and the second c channels of (frames, 2c, …).
fn halves<O: Ops>(ops: &O, y: &O::Tensor, c: usize) -> Result<Prediction<O::Tensor>, O::Error> {
    Ok(Prediction { noise: ops.narrow(y, 1, 0, c)?, variance: Some(ops.narrow(y, 1, c, c)?) })
}

impl Network for AvDitConfig {
    fn name(&self) -> &'static str {
        "av-dit"
    }

    fn check(&self) -> Result<(), NetworkError> {
        AvDitConfig::check(self).map_err(|error| NetworkError::new("av-dit", error.to_string()))
    }

    fn inputs(&self) -> Vec<Port> {
        let (v, a, n) = (&self.video, &self.audio, self.segments());
        vec![
            ("video", vec![v.frames, v.channels, v.height, v.width]),
            ("audio", vec![a.frames, a.channels, a.bins]),
            ("video_timesteps", vec![n]),
            ("audio_timesteps", vec![n]),
        ]
    }

    fn outputs(&self) -> Vec<Port> {
        let (v, a) = (&self.video, &self.audio);
        let video = vec![v.frames, v.channels, v.height, v.width];
        let audio = vec![a.frames, a.channels, a.bins];
        vec![
            ("video_noise", video.clone()),
            ("video_variance", video),
            ("audio_noise", audio.clone()),
            ("audio_variance", audio),
        ]
    }

    fn parameters(&self) -> Vec<Parameter> {
        AvDitConfig::parameters(self)
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        self.forward(ops, inputs)
    }
}

impl Trainable for AvDitConfig {
    fn forward<O: Ops>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        let [video, audio, video_levels, audio_levels] = [0, 1, 2, 3].map(|i| inputs[i].clone());
        let both = av_dit(ops, self, &AvDitInputs { video, audio, video_levels, audio_levels })?;
        Ok(both.into_iter().flat_map(|p| std::iter::once(p.noise).chain(p.variance)).collect())
    }
}
