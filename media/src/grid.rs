//! Clips brought onto the grid that a model sees: frame rate, size, sample rate, length.

use crate::inspect::Reject;
use crate::{Audio, Clip, ClipGrid, Video};
use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgb};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler};

/// Samples that the resampler takes at a time, about.
const RESAMPLER_BLOCK: usize = 1024;

/// What [`fit_to_grid`] asks of a clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitPolicy {
    /// Reject clips without pictures.
    pub needs_video: bool,
    /// Reject clips without sound.
    pub needs_audio: bool,
    /// Seconds by which sight and sound may differ in length; both are cut to the shorter.
    pub longest_mismatch_s: f64,
}

impl Default for FitPolicy {
    /// Both needed, a quarter of a second apart at most.
    fn default() -> Self {
        Self { needs_video: true, needs_audio: true, longest_mismatch_s: 0.25 }
    }
}

/// Cuts `clip` into consecutive clips of exactly `grid`: frames and samples of both cut at the same instants,
/// frames taken by time, cropped at the centre to the grid's aspect and scaled; a rest too short is left out.
///
/// # Errors
/// The reason why nothing can be cut from it.
pub fn fit_to_grid(clip: &Clip, grid: &ClipGrid, policy: &FitPolicy) -> Result<Vec<Clip>, Reject> {
    let video = clip.video.as_ref().filter(|video| !video.frames.is_empty());
    let audio = clip.audio.as_ref().filter(|audio| !audio.samples.is_empty());
    if policy.needs_video && video.is_none() {
        return Err(Reject::NoPicture);
    }
    if policy.needs_audio && audio.is_none() {
        return Err(Reject::NoSound);
    }
    let mut got_s = f64::INFINITY;
    if let Some(video) = video {
        got_s = got_s.min(video.duration_s());
    }
    if let Some(audio) = audio {
        got_s = got_s.min(audio.duration_s());
    }
    if let (Some(video), Some(audio)) = (video, audio) {
        let (video_s, audio_s) = (video.duration_s(), audio.duration_s());
        if (video_s - audio_s).abs() > policy.longest_mismatch_s {
            return Err(Reject::LengthMismatch { video_s, audio_s });
        }
    }
    let need_s = grid.duration_s();
    // Half a frame may be missing at the end: that much differs between containers for the same clip.
    let slack_s = 0.5 / grid.fps.value();
    let count = if got_s.is_finite() { ((got_s + slack_s) / need_s).floor() as usize } else { 0 };
    if count == 0 {
        return Err(Reject::TooShort { got_s: if got_s.is_finite() { got_s } else { 0.0 }, need_s });
    }
    let frames = video.map(|video| resample_frames(video, grid, count * grid.frames));
    let samples = audio.map(|audio| resample(&audio.samples, audio.sample_rate_hz, grid.sample_rate_hz));
    Ok((0..count)
        .map(|index| Clip {
            video: frames.as_ref().map(|frames| Video {
                width: grid.width,
                height: grid.height,
                fps: grid.fps,
                frames: frames[index * grid.frames..(index + 1) * grid.frames].to_vec(),
            }),
            audio: samples.as_ref().map(|samples| cut(samples, grid, index)),
        })
        .collect())
}

/// Samples of the clip `index`, from the instant its first frame begins.
fn cut(samples: &[f32], grid: &ClipGrid, index: usize) -> Audio {
    let begin = (index as f64 * grid.duration_s() * f64::from(grid.sample_rate_hz)).round() as usize;
    let mut cut: Vec<f32> = samples.iter().skip(begin).take(grid.samples()).copied().collect();
    cut.resize(grid.samples(), 0.0);
    Audio { sample_rate_hz: grid.sample_rate_hz, samples: cut }
}

/// `count` frames at the grid's rate and size: each shows what was on screen in its middle.
fn resample_frames(video: &Video, grid: &ClipGrid, count: usize) -> Vec<Vec<u8>> {
    // The middle (i + 1/2) / fps in frames of the source, as a fraction: no rounding may move it.
    let num = u128::from(video.fps.num) * u128::from(grid.fps.den);
    let den = 2 * u128::from(video.fps.den) * u128::from(grid.fps.num);
    let mut made: Option<(usize, Vec<u8>)> = None;
    (0..count)
        .map(|index| {
            let source = ((2 * index as u128 + 1) * num / den) as usize;
            let source = source.min(video.frames.len() - 1);
            match &made {
                Some((from, frame)) if *from == source => frame.clone(),
                _ => {
                    let size = (video.width, video.height);
                    let frame = crop_and_scale(video.frames[source].clone(), size, (grid.width, grid.height));
                    made = Some((source, frame.clone()));
                    frame
                }
            }
        })
        .collect()
}

/// `rgb` of `size` (width, height) cropped at the centre to the aspect of `to`, then scaled to it, each new
/// pixel the weighted mean of those it covers.
pub fn crop_and_scale(rgb: Vec<u8>, size: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    if size == to || rgb.len() != size.0 * size.1 * 3 {
        return rgb;
    }
    let Some(image) = ImageBuffer::<Rgb<u8>, _>::from_raw(size.0 as u32, size.1 as u32, rgb) else {
        return Vec::new();
    };
    let (wide, high) = (size.0 * to.1, size.1 * to.0);
    let (width, height) = if wide > high { (high / to.1, size.1) } else { (size.0, wide / to.0) };
    let (width, height) = (width.max(1), height.max(1));
    let (left, top) = ((size.0 - width) / 2, (size.1 - height) / 2);
    let part = imageops::crop_imm(&image, left as u32, top as u32, width as u32, height as u32).to_image();
    if (width, height) == to {
        return part.into_raw();
    }
    imageops::resize(&part, to.0 as u32, to.1 as u32, FilterType::Triangle).into_raw()
}

/// `rgb` of `size` turned clockwise by `quarters` quarter turns.
pub(crate) fn turn(rgb: Vec<u8>, size: (usize, usize), quarters: u8) -> (Vec<u8>, (usize, usize)) {
    if quarters.is_multiple_of(4) {
        return (rgb, size);
    }
    let Some(image) = ImageBuffer::<Rgb<u8>, _>::from_raw(size.0 as u32, size.1 as u32, rgb) else {
        return (Vec::new(), size);
    };
    let turned = match quarters % 4 {
        1 => imageops::rotate90(&image),
        2 => imageops::rotate180(&image),
        _ => imageops::rotate270(&image),
    };
    let size = (turned.width() as usize, turned.height() as usize);
    (turned.into_raw(), size)
}

/// `samples` at `from_hz` as they are at `to_hz`, no delay added, `round(n · to / from)` of them.
pub fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz || samples.is_empty() || from_hz == 0 || to_hz == 0 {
        return samples.to_vec();
    }
    let length = (samples.len() as f64 * f64::from(to_hz) / f64::from(from_hz)).round() as usize;
    // rubato's delay is half a block, which it takes away exactly if blocks on both sides are even.
    let step = 2 * (from_hz / gcd(from_hz, to_hz)) as usize;
    let block = step * RESAMPLER_BLOCK.div_ceil(step);
    let resampled = Fft::<f32>::new(from_hz as usize, to_hz as usize, block, 1, FixedSync::Both)
        .ok()
        .zip(InterleavedOwned::new_from(samples.to_vec(), 1, samples.len()).ok())
        .and_then(|(mut resampler, input)| resampler.process_all(&input, samples.len(), None).ok())
        .map(InterleavedOwned::take_data);
    let mut resampled =
        resampled.expect("positive rates and a buffer of its own length are all that rubato asks");
    resampled.resize(length, 0.0);
    resampled
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
