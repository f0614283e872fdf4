//! AVDiT: one transformer over the tokens of both modalities, told the noise level of every cell.
//!
//! Kim et al. 2024 (arXiv:2405.13762) for the idea, the joint self-attention and the conditioning by a matrix of
//! levels; Peebles & Xie 2023 (DiT) for the block. Widths, patch size, low-rank adaLN, qk-norm and the shared time
//! axis are this project's, since the paper leaves them open.

mod adaln;
mod config;
mod cost;
mod start;

pub use adaln::{AdaLn, Modulation, Part};
pub use config::{AvditConfig, ConfigError, VideoConfig};
pub use start::Awake;

use crate::ops::Ops;

/// Epsilon of every norm.
const EPS: f64 = 1e-6;

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
    let tokens = embed(ops, config, &inputs.video, &inputs.audio)?;
    let adaln = AdaLn::new(ops, config, &inputs.video_levels, &inputs.audio_levels)?;
    body(ops, config, tokens, &adaln)
}

/// From tokens to predictions, with shifts, scales and gates from wherever they come.
///
/// # Errors
/// Whatever the interpreter reports.
pub fn body<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    tokens: O::Tensor,
    modulation: &impl Modulation<O>,
) -> Result<(O::Tensor, O::Tensor), O::Error> {
    let mut x = tokens;
    for i in 0..config.depth {
        let name = format!("blocks.{i}");
        ops.scope(&name);
        let chunks = modulation.chunks(ops, config, Part::Block(i))?;
        let inputs: Vec<&O::Tensor> = std::iter::once(&x).chain(&chunks).collect();
        let config = config.clone();
        x = ops.block(
            &inputs,
            Box::new(move |ops, inputs| block(ops, &config, &name, &inputs[0], &inputs[1..])),
        )?;
        ops.tap(&format!("block{i}"), &x);
    }
    let n = config.video_tokens();
    ops.scope("final_video");
    let video = ops.narrow(&x, 0, 0, n)?;
    let video = final_layer(ops, config, Part::FinalVideo, &video, modulation)?;
    let video = unpatch(ops, config, &video)?;
    ops.scope("final_audio");
    let audio = ops.narrow(&x, 0, n, config.audio.frames)?;
    let audio = final_layer(ops, config, Part::FinalAudio, &audio, modulation)?;
    Ok((video, audio))
}

/// Tokens of both modalities with their position codes, (tokens, D).
///
/// # Errors
/// Whatever the interpreter reports.
pub fn embed<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    video: &O::Tensor,
    audio: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    let (v, d) = (&config.video, config.width);
    let (rows, columns) = config.patches();
    let (video_code, audio_code) = config.position_codes();
    let modality = ops.parameter("modality_embed")?; // (2, D)

    ops.scope("video_embed");
    let x = ops.reshape(video, &[v.frames, v.channels, rows, v.patch, columns, v.patch])?;
    let x = ops.permute(&x, &[0, 2, 4, 1, 3, 5])?; // (F, rows, columns, C, p, p)
    let x = ops.reshape(&x, &[config.video_tokens(), config.patch_len()])?;
    let x = ops.linear(&x, "video_embed")?;
    let x = ops.add(&x, &ops.constant("video_positions", &[config.video_tokens(), d], video_code)?)?;
    let x = ops.add(&x, &ops.narrow(&modality, 0, 0, 1)?)?; // (video tokens, D)

    ops.scope("audio_embed");
    let y = ops.linear(audio, "audio_embed")?;
    let y = ops.add(&y, &ops.constant("audio_positions", &[config.audio.frames, d], audio_code)?)?;
    let y = ops.add(&y, &ops.narrow(&modality, 0, 1, 1)?)?; // (audio tokens, D)
    let tokens = ops.concat(&[&x, &y], 0)?;
    ops.tap("tokens", &tokens);
    Ok(tokens)
}

fn block<O: Ops>(
    ops: &O,
    config: &AvditConfig,
    name: &str,
    x: &O::Tensor,
    chunks: &[O::Tensor],
) -> Result<O::Tensor, O::Error> {
    let y = ops.modulate(x, &chunks[0], &chunks[1], EPS)?;
    let y = self_attention(ops, config, &format!("{name}.attn"), &y)?;
    let x = ops.gate_add(x, &chunks[2], &y)?;
    let y = ops.modulate(&x, &chunks[3], &chunks[4], EPS)?;
    let y = ops.gelu(&ops.linear(&y, &format!("{name}.mlp.fc1"))?)?; // (tokens, D·ratio)
    let y = ops.linear(&y, &format!("{name}.mlp.fc2"))?;
    ops.gate_add(&x, &chunks[5], &y)
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
    part: Part,
    x: &O::Tensor,
    modulation: &impl Modulation<O>,
) -> Result<O::Tensor, O::Error> {
    let chunks = modulation.chunks(ops, config, part)?;
    ops.linear(&ops.modulate(x, &chunks[0], &chunks[1], EPS)?, &format!("{}.linear", part.name()))
}

/// Video tokens (tokens, C·p²) back to latents (F, C, H, W).
fn unpatch<O: Ops>(ops: &O, config: &AvditConfig, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let v = &config.video;
    let (rows, columns) = config.patches();
    let x = ops.reshape(x, &[v.frames, rows, columns, v.channels, v.patch, v.patch])?;
    let x = ops.permute(&x, &[0, 3, 1, 4, 2, 5])?; // (F, C, rows, p, columns, p)
    ops.reshape(&x, &[v.frames, v.channels, v.height, v.width])
}
