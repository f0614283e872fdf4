//! One block of an AV-DiT: the frozen block on every frame and on sound, and the parts between.

use super::config::AvDitConfig;
use super::frame_code;
use super::fusion::fusion;
use super::parts::LoraForm;
use crate::dit::block::{EPS, Site, grouped, mlp, self_attention};
use crate::ops::Ops;

/// The tokens of a clip.
pub(super) struct Streams<T> {
    /// Sight, frame by frame, (M·L, D).
    pub(super) video: T,
    /// Sound, (La, D).
    pub(super) audio: T,
}

impl<T> Streams<T> {
    /// From both behind one another, (M·L + La, D).
    pub(super) fn of<O: Ops<Tensor = T>>(ops: &O, config: &AvDitConfig, both: &T) -> Result<Self, O::Error> {
        let (v, a) = (config.video_tokens(), config.audio_tokens());
        Ok(Self { video: ops.narrow(both, 0, 0, v)?, audio: ops.narrow(both, 0, v, a)? })
    }
}

/// The block `name`, with the six chunks of adaLN on the tokens of sight and of sound.
pub(super) fn block<O: Ops>(
    ops: &O,
    config: &AvDitConfig,
    name: &str,
    streams: &Streams<O::Tensor>,
    [of_video, of_audio]: [&[O::Tensor]; 2],
) -> Result<Streams<O::Tensor>, O::Error> {
    let heads = config.heads;
    let first = |x: &O::Tensor, chunks: &[O::Tensor]| ops.modulate(x, &chunks[0], &chunks[1], EPS);
    let y = first(&streams.video, of_video)?;
    let site = Site::plain(format!("{name}.attn"));
    let y = self_attention(ops, &site, &y, [config.video.frames, heads])?;
    let mut video = ops.gate_add(&streams.video, &of_video[2], &y)?;

    let y = first(&streams.audio, of_audio)?;
    let y = self_attention(ops, &site_of(config, name, "audio"), &y, [1, heads])?;
    let mut audio = ops.gate_add(&streams.audio, &of_audio[2], &y)?;

    if config.parts.temporal {
        let y = temporal(ops, config, &format!("{name}.temporal"), &first(&video, of_video)?)?;
        video = ops.gate_add(&video, &of_video[2], &y)?;
    }
    if config.parts.fusion {
        (video, audio) = fusion(ops, config, name, &video, &audio)?;
    }

    let y = ops.modulate(&video, &of_video[3], &of_video[4], EPS)?;
    let y = mlp(ops, &format!("{name}.mlp"), &y)?;
    let video = ops.gate_add(&video, &of_video[5], &y)?;
    let x = ops.modulate(&audio, &of_audio[3], &of_audio[4], EPS)?;
    let mut y = mlp(ops, &format!("{name}.mlp"), &x)?;
    if config.parts.audio_adapter {
        y = ops.add(&y, &bottleneck(ops, &format!("{name}.audio_adapter"), &x)?)?;
    }
    let audio = ops.gate_add(&audio, &of_audio[5], &y)?;
    Ok(Streams { video, audio })
}

/// The attention of a site, `audio` or `fusion`: the frozen one, with its LoRA where it has one.
pub(super) fn site_of(config: &AvDitConfig, name: &str, site: &str) -> Site {
    let plain = || Site::plain(format!("{name}.attn"));
    if config.lora_sites().iter().all(|(has, _)| *has != site) {
        return plain();
    }
    match config.lora {
        LoraForm::Merged => Site::plain(format!("{name}.{site}_attn")),
        LoraForm::Separate => {
            Site { lora: Some((format!("{name}.{site}_lora"), config.lora_scale)), ..plain() }
        }
    }
}

/// Attention of every place over the frames: modulated video tokens (M·L, D), and the same of what they see.
fn temporal<O: Ops>(ops: &O, config: &AvDitConfig, name: &str, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let (d, m, l) = (config.width, config.video.frames, config.frame_tokens());
    let code = frame_code(config);
    let x = ops.add(&ops.reshape(x, &[m, l, d])?, &ops.constant("frame_positions", &[m, 1, d], code)?)?;
    let x = ops.reshape(&ops.permute(&x, &[1, 0, 2])?, &[l * m, d])?; // place by place
    let [q, k, v] = ["q", "k", "v"].map(|part| ops.linear(&x, &format!("{name}.{part}")));
    let y = grouped(ops, [&q?, &k?, &v?], [l, config.heads])?;
    let y = ops.linear(&y, &format!("{name}.proj"))?;
    ops.reshape(&ops.permute(&ops.reshape(&y, &[l, m, d])?, &[1, 0, 2])?, &[m * l, d])
}

/// `up(gelu(down(x)))`.
fn bottleneck<O: Ops>(ops: &O, name: &str, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let hidden = ops.gelu(&ops.linear(x, &format!("{name}.down"))?)?;
    ops.linear(&hidden, &format!("{name}.up"))
}
