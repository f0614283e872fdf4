//! Statistics of the latents of a dataset: whether they are of unit scale, drift within a clip, or have long tails.
//!
//! `stats.json`, beside `dataset.json`. Nothing in training reads it: it is there to be looked at.

use crate::error::{Error, Result};
use avdit_core::{Latents, Layout, Modality};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file of [`LatentStats`].
pub const STATS_FILE: &str = "stats.json";
const SCHEMA: &str = "avdit-latent-stats/1";

/// What the latents of a dataset are like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentStats {
    /// `avdit-latent-stats/1`.
    pub schema: String,
    /// Clips measured.
    pub clips: usize,
    /// Sight.
    pub video: ModalityStats,
    /// Sound.
    pub audio: ModalityStats,
}

/// The latents of one modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalityStats {
    /// All values.
    pub all: Moments,
    /// Share of the values beyond ±3; 0.0027 of normal ones.
    pub beyond_3: f64,
    /// Share beyond ±5, the values that a sampler that clips would cut.
    pub beyond_5: f64,
    /// By channel.
    pub channels: Vec<Moments>,
    /// By latent frame: what drifts within clips.
    pub frames: Vec<Moments>,
    /// By time segment.
    pub segments: Vec<Moments>,
}

/// Of some values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// The least.
    pub min: f32,
    /// The greatest.
    pub max: f32,
}

impl LatentStats {
    /// Reads a `stats.json`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let stats: Self =
            serde_json::from_slice(&text).map_err(|error| Error::malformed(path, error.to_string()))?;
        if stats.schema != SCHEMA {
            return Err(Error::malformed(path, format!("schema is {}, expected {SCHEMA}", stats.schema)));
        }
        Ok(stats)
    }

    /// Of one modality.
    pub fn get(&self, modality: Modality) -> &ModalityStats {
        match modality {
            Modality::Video => &self.video,
            Modality::Audio => &self.audio,
        }
    }
}

impl ModalityStats {
    /// How far the mean of the segment that differs most lies from that of all, in their standard deviations.
    pub fn drift(&self) -> f64 {
        let off = |segment: &Moments| (segment.mean - self.all.mean).abs();
        self.segments.iter().map(off).fold(0.0, f64::max) / self.all.std.max(1e-12)
    }

    /// The least and the greatest standard deviation of a channel.
    pub fn channel_stds(&self) -> (f64, f64) {
        let stds = self.channels.iter().map(|channel| channel.std);
        stds.fold((f64::INFINITY, 0.0), |(low, high), std| (low.min(std), high.max(std)))
    }
}

/// Sums of values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sums {
    n: f64,
    sum: f64,
    squares: f64,
    min: f32,
    max: f32,
}

impl Sums {
    const NONE: Self = Self { n: 0.0, sum: 0.0, squares: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY };

    fn add(&mut self, value: f32) {
        let wide = f64::from(value);
        self.n += 1.0;
        self.sum += wide;
        self.squares += wide * wide;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn and(self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    fn moments(&self) -> Moments {
        let mean = self.sum / self.n;
        let std = (self.squares / self.n - mean * mean).max(0.0).sqrt();
        Moments { mean, std, min: self.min, max: self.max }
    }
}

/// The sums of a modality, by latent frame and channel.
#[derive(Clone, Debug, PartialEq)]
struct Grid {
    cells: Vec<Sums>,
    channels: usize,
    beyond: [f64; 2],
}

impl Grid {
    fn new(frames: usize, channels: usize) -> Self {
        Self { cells: vec![Sums::NONE; frames * channels], channels, beyond: [0.0; 2] }
    }

    /// `values`: `(frames, channels, …)`.
    fn add(&mut self, values: &[f32]) {
        let each = values.len() / self.cells.len();
        for (cell, values) in self.cells.iter_mut().zip(values.chunks_exact(each)) {
            for &value in values {
                cell.add(value);
                self.beyond[0] += f64::from(u8::from(value.abs() > 3.0));
                self.beyond[1] += f64::from(u8::from(value.abs() > 5.0));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.cells.iter_mut().zip(&other.cells).for_each(|(a, b)| *a = a.and(b));
        self.beyond.iter_mut().zip(other.beyond).for_each(|(a, b)| *a += b);
    }

    fn stats(&self, segments: &[usize]) -> ModalityStats {
        let all = |cells: &mut dyn Iterator<Item = &Sums>| cells.fold(Sums::NONE, Sums::and);
        let frames: Vec<Sums> =
            self.cells.chunks_exact(self.channels).map(|frame| all(&mut frame.iter())).collect();
        let channel = |c: usize| all(&mut self.cells.iter().skip(c).step_by(self.channels)).moments();
        let total = all(&mut frames.iter());
        let mut begin = 0;
        let segment = |&length: &usize| {
            begin += length;
            all(&mut frames[begin - length..begin].iter()).moments()
        };
        ModalityStats {
            all: total.moments(),
            beyond_3: self.beyond[0] / total.n,
            beyond_5: self.beyond[1] / total.n,
            channels: (0..self.channels).map(channel).collect(),
            segments: segments.iter().map(segment).collect(),
            frames: frames.iter().map(Sums::moments).collect(),
        }
    }
}

/// Collects [`LatentStats`]: clips may be measured anywhere, and are merged in their order, so that the sums have the
/// same bits however the work was shared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Collect {
    clips: usize,
    video: Grid,
    audio: Grid,
}

impl Collect {
    pub(crate) fn new(layout: &Layout) -> Self {
        let (v, a) = (&layout.video, &layout.audio);
        Self { clips: 0, video: Grid::new(v.frames, v.channels), audio: Grid::new(a.frames, a.channels) }
    }

    /// Of one clip.
    pub(crate) fn of(layout: &Layout, latents: &Latents) -> Self {
        let mut collect = Self { clips: 1, ..Self::new(layout) };
        collect.video.add(&latents.video);
        collect.audio.add(&latents.audio);
        collect
    }

    pub(crate) fn merge(&mut self, next: &Self) {
        self.clips += next.clips;
        self.video.merge(&next.video);
        self.audio.merge(&next.audio);
    }

    pub(crate) fn stats(&self, layout: &Layout) -> LatentStats {
        LatentStats {
            schema: SCHEMA.to_owned(),
            clips: self.clips,
            video: self.video.stats(&layout.video.segments),
            audio: self.audio.stats(&layout.audio.segments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{AudioLayout, VideoLayout};

    #[test]
    fn moments_by_channel_frame_and_segment_are_those_of_their_values() {
        let layout = Layout {
            video: VideoLayout { frames: 3, channels: 2, height: 1, width: 2, segments: vec![1, 2] },
            audio: AudioLayout { frames: 2, channels: 1, segments: vec![1, 1] },
        };
        // (F, C, H, W): channel 0 is the frame's number, channel 1 ten times as much, ± 1.
        let video = vec![-1., 1., -1., 1., 0., 2., 9., 11., 1., 3., 19., 21.];
        let clips = [
            Latents { batch: 1, video: video.clone(), audio: vec![4.0, -6.0] },
            Latents { batch: 1, video, audio: vec![0.0, 0.0] },
        ];
        let mut collect = Collect::new(&layout);
        clips.iter().for_each(|clip| collect.merge(&Collect::of(&layout, clip)));
        let stats = collect.stats(&layout);
        let moments = |m: &Moments| (m.mean, m.min, m.max);
        assert_eq!((stats.clips, moments(&stats.video.all)), (2, (5.5, -1.0, 21.0)));
        assert_eq!(
            stats.video.channels.iter().map(moments).collect::<Vec<_>>(),
            [(1.0, -1.0, 3.0), (10.0, -1.0, 21.0)]
        );
        assert_eq!(stats.video.frames.iter().map(|m| m.mean).collect::<Vec<_>>(), [0.0, 5.5, 11.0]);
        assert_eq!(stats.video.segments.iter().map(|m| m.mean).collect::<Vec<_>>(), [0.0, 8.25]);
        // Channel 0: −1, 1, 0, 2, 1, 3 of mean 1 have squares of deviations 4, 0, 1, 1, 0, 4.
        assert!((stats.video.channels[0].std - (10.0f64 / 6.0).sqrt()).abs() < 1e-12);
        assert_eq!((stats.audio.beyond_3, stats.audio.beyond_5), (0.5, 0.25));
        assert!((stats.video.drift() * stats.video.all.std - 5.5).abs() < 1e-12);
    }
}
