//! AVDiT: one transformer over the tokens of both modalities, told the noise level of every cell.
//!
//! Kim et al. 2024 (arXiv:2405.13762) for the idea, the joint self-attention and the conditioning by a matrix of
//! levels; Peebles & Xie 2023 (DiT) for the block. Widths, patch size, low-rank adaLN, qk-norm and the shared time
//! axis are this project's, since the paper leaves them open.

mod config;

pub use config::{AvditConfig, ConfigError, VideoConfig};

use crate::ops::Ops;
use crate::positions::timestep_frequencies;

/// Epsilon of every norm.
const EPS: f64 = 1e-6;
/// Cosines, and as many sines, of a level.
const HALF_FEATURES: usize = 128;

/// Handles of the inputs of an AVDiT.
pub struct AvditInputs<T> {
    /// Noisy video latents, (F, C, H, W).
    pub video: T,
    /// Noisy audio latents, (A, Ca).
    pub audio: T,
    /// Levels of the video cells, (N).
    pub video_levels: T,
    /// Levels of the audio cells, (N).
    pub audio_levels: T,
}

/// The network: predictions `(video, audio)` in the shapes of the latents.
///
/// # Errors
/// Whatever the interpreter reports.
pub fn avdit<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    inputs: &AvditInputs<O::Tensor>,
) -> Result<(O::Tensor, O::Tensor), O::Error> {
    let tokens = embed(ops, config, inputs)?;
    ops.tap("tokens", &tokens);
    let condition = condition(ops, config, inputs)?;
    ops.tap("condition", &condition);
    ops.scope("adaLN_shared");
    let activated = ops.silu(&condition)?;
    let shared = match config.adaln_rank {
        Some(_) => Some(ops.linear(&activated, "adaLN_shared")?), // (2N, 6D)
        None => None,
    };
    let cells = config.token_cells();
    let mut x = tokens;
    for i in 0..config.depth {
        let name = format!("blocks.{i}");
        ops.scope(&name);
        let modulation = block_modulation(ops, config, &name, &activated, shared.as_ref())?;
        let modulation = ops.gather_rows(&modulation, &cells)?; // (tokens, 6D)
        x = block(ops, config, &name, &x, &modulation)?;
        ops.tap(&format!("block{i}"), &x);
    }
    let n = config.video_tokens();
    ops.scope("final_video");
    let video = ops.narrow(&x, 0, 0, n)?;
    let video = final_layer(ops, config, "final_video", &video, &activated, &cells[..n])?;
    let video = unpatch(ops, config, &video)?;
    ops.scope("final_audio");
    let audio = ops.narrow(&x, 0, n, config.audio.frames)?;
    let audio = final_layer(ops, config, "final_audio", &audio, &activated, &cells[n..])?;
    Ok((video, audio))
}

/// Tokens of both modalities with their position codes, (tokens, D).
fn embed<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    inputs: &AvditInputs<O::Tensor>,
) -> Result<O::Tensor, O::Error> {
    let (v, d) = (&config.video, config.width);
    let (rows, columns) = config.patches();
    let (video_code, audio_code) = config.position_codes();
    let modality = ops.parameter("modality_embed")?; // (2, D)

    ops.scope("video_embed");
    let x = ops.reshape(&inputs.video, &[v.frames, v.channels, rows, v.patch, columns, v.patch])?;
    let x = ops.permute(&x, &[0, 2, 4, 1, 3, 5])?; // (F, rows, columns, C, p, p)
    let x = ops.reshape(&x, &[config.video_tokens(), config.patch_len()])?;
    let x = ops.linear(&x, "video_embed")?;
    let x = ops.add(&x, &ops.constant("video_positions", &[config.video_tokens(), d], video_code)?)?;
    let x = ops.add(&x, &ops.narrow(&modality, 0, 0, 1)?)?; // (video tokens, D)

    ops.scope("audio_embed");
    let y = ops.linear(&inputs.audio, "audio_embed")?;
    let y = ops.add(&y, &ops.constant("audio_positions", &[config.audio.frames, d], audio_code)?)?;
    let y = ops.add(&y, &ops.narrow(&modality, 0, 1, 1)?)?; // (audio tokens, D)
    ops.concat(&[&x, &y], 0)
}

/// The condition of every cell, (2N, D).
fn condition<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    inputs: &AvditInputs<O::Tensor>,
) -> Result<O::Tensor, O::Error> {
    ops.scope("t_embedder");
    let segments = config.video.segments.len();
    let levels = ops.concat(&[&inputs.video_levels, &inputs.audio_levels], 0)?;
    let levels = ops.reshape(&levels, &[2 * segments, 1])?;
    let frequencies =
        ops.constant("frequencies", &[1, HALF_FEATURES], timestep_frequencies(HALF_FEATURES))?;
    let angles = ops.mul(&levels, &frequencies)?; // (2N, 128)
    let features = ops.concat(&[&ops.cos(&angles)?, &ops.sin(&angles)?], 1)?; // (2N, 256)
    let hidden = ops.silu(&ops.linear(&features, "t_embedder.mlp.0")?)?;
    let embedded = ops.linear(&hidden, "t_embedder.mlp.2")?; // (2N, D)
    let modality_of_cell: Vec<usize> = (0..2 * segments).map(|cell| cell / segments).collect();
    ops.add(&embedded, &ops.gather_rows(&ops.parameter("modality_embed")?, &modality_of_cell)?)
}

/// Shifts, scales and gates of a block on the cells, (2N, 6D).
fn block_modulation<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    name: &str,
    activated: &O::Tensor,
    shared: Option<&O::Tensor>,
) -> Result<O::Tensor, O::Error> {
    let name = format!("{name}.adaLN_modulation");
    match (config.adaln_rank, shared) {
        (Some(_), Some(shared)) => {
            let down = ops.linear(activated, &format!("{name}.down"))?; // (2N, rank)
            ops.add(shared, &ops.linear(&down, &format!("{name}.up"))?)
        }
        _ => ops.linear(activated, &format!("{name}.1")),
    }
}

fn block<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    name: &str,
    x: &O::Tensor,
    modulation: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    let d = config.width;
    let chunk = |i: usize| ops.narrow(modulation, 1, i * d, d);
    let y = ops.modulate(x, &chunk(0)?, &chunk(1)?, EPS)?;
    let y = self_attention(ops, config, &format!("{name}.attn"), &y)?;
    let x = ops.gate_add(x, &chunk(2)?, &y)?;
    let y = ops.modulate(&x, &chunk(3)?, &chunk(4)?, EPS)?;
    let y = ops.gelu(&ops.linear(&y, &format!("{name}.mlp.fc1"))?)?; // (tokens, D·ratio)
    let y = ops.linear(&y, &format!("{name}.mlp.fc2"))?;
    ops.gate_add(&x, &chunk(5)?, &y)
}

fn self_attention<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    name: &str,
    x: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    let heads = [config.tokens(), config.heads, config.width / config.heads];
    let parts = ops.linear_split(x, &format!("{name}.qkv"), 3)?;
    let [mut q, mut k, v] = [0, 1, 2].map(|i| ops.reshape(&parts[i], &heads)); // (tokens, heads, D/heads)
    if config.qk_norm {
        q = ops.rms_norm(&q?, &format!("{name}.q_norm"), EPS);
        k = ops.rms_norm(&k?, &format!("{name}.k_norm"), EPS);
    }
    let y = ops.attention(&q?, &k?, &v?)?; // (tokens, D)
    ops.linear(&y, &format!("{name}.proj"))
}

fn final_layer<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    name: &str,
    x: &O::Tensor,
    activated: &O::Tensor,
    cells: &[usize],
) -> Result<O::Tensor, O::Error> {
    let d = config.width;
    let modulation = ops.linear(activated, &format!("{name}.adaLN_modulation.1"))?; // (2N, 2D)
    let modulation = ops.gather_rows(&modulation, cells)?; // (tokens, 2D)
    let (shift, scale) = (ops.narrow(&modulation, 1, 0, d)?, ops.narrow(&modulation, 1, d, d)?);
    ops.linear(&ops.modulate(x, &shift, &scale, EPS)?, &format!("{name}.linear"))
}

/// Video tokens (tokens, C·p²) back to latents (F, C, H, W).
fn unpatch<O: Ops>(ops: &O, config: &AvditConfig, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let v = &config.video;
    let (rows, columns) = config.patches();
    let x = ops.reshape(x, &[v.frames, rows, columns, v.channels, v.patch, v.patch])?;
    let x = ops.permute(&x, &[0, 3, 1, 4, 2, 5])?; // (F, C, rows, p, columns, p)
    ops.reshape(&x, &[v.frames, v.channels, v.height, v.width])
}
