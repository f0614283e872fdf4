//! What an autoencoder of clips is made of, and the grid of its latents.

use super::{audio, video};
use crate::parameters::Parameter;
use avdit_core::{AudioLayout, Layout, VideoLayout};
use serde::{Deserialize, Serialize};

/// Frames in a latent frame, but the first, which holds one.
const TEMPORAL: usize = 4;
/// Sizes beyond these stand in no autoencoder but a damaged file.
const LARGEST: usize = 1 << 20;

/// The autoencoder of pictures: the first frame alone, then four frames in one, patches of `2 · patch` pixels in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoAutoencoder {
    /// Frames of a clip: one and a multiple of four.
    pub frames: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Side of the squares of pixels that become channels at once.
    pub patch: usize,
    /// Channels where places are `patch` pixels apart, and where they are `2 · patch` apart.
    pub widths: [usize; 2],
    /// Channels of the latents.
    pub channels: usize,
    /// Latent frames in each time segment.
    pub segments: Vec<usize>,
}

/// The autoencoder of sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioAutoencoder {
    /// Samples of a clip.
    pub samples: usize,
    /// The stride of each stage; their product is the hop of the latents in samples.
    pub strides: Vec<usize>,
    /// Channels of each stage.
    pub widths: Vec<usize>,
    /// Dilations of the residual units of every stage.
    pub dilations: Vec<usize>,
    /// Channels of the latents.
    pub channels: usize,
    /// Latent frames in each time segment.
    pub segments: Vec<usize>,
}

/// An autoencoder of clips: of pictures and of sound, which know nothing of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Sight.
    pub video: VideoAutoencoder,
    /// Sound.
    pub audio: AudioAutoencoder,
}

/// Why an autoencoder cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("autoencoder configuration: {0}")]
pub struct ConfigError(String);

impl VideoAutoencoder {
    /// Of pictures, (F, 3, H, W).
    pub fn pictures(&self) -> Vec<usize> {
        vec![self.frames, 3, self.height, self.width]
    }

    /// Of latents, (F', C, H', W').
    pub fn latents(&self) -> Vec<usize> {
        let side = 2 * self.patch;
        vec![1 + (self.frames - 1) / TEMPORAL, self.channels, self.height / side, self.width / side]
    }

    /// Rows and columns of patches.
    pub(super) fn patches(&self) -> [usize; 2] {
        [self.height / self.patch, self.width / self.patch]
    }

    /// Values of a patch.
    pub(super) fn patch_len(&self) -> usize {
        3 * self.patch * self.patch
    }

    /// Every learned tensor, in the network's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        video::parameters(self)
    }
}

impl AudioAutoencoder {
    /// Samples from one latent to the next.
    pub fn hop(&self) -> usize {
        self.strides.iter().product()
    }

    /// Latent frames.
    pub fn frames(&self) -> usize {
        self.segments.iter().sum()
    }

    /// Samples of silence before the clip, so that latent frames end where segments end.
    pub fn lead(&self) -> usize {
        (self.frames() * self.hop()).saturating_sub(self.samples)
    }

    /// Of latents, (A, Ca).
    pub fn latents(&self) -> Vec<usize> {
        vec![self.frames(), self.channels]
    }

    /// Channels before stage `i` goes down, and after it has come up.
    pub(super) fn width_above(&self, i: usize) -> usize {
        i.checked_sub(1).map_or(1, |above| self.widths[above])
    }

    /// Every learned tensor, in the network's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        audio::parameters(self)
    }
}

impl AutoencoderConfig {
    /// Small enough to learn the demo's clips in minutes on a CPU: 4 channels a video latent, 8 an audio latent, at
    /// 50 Hz where the rate is 16 kHz. Each segment but the first, a single frame, has four frames.
    ///
    /// Latent frames of sound end with their segment: where the first segment is no whole number of hops, the first
    /// latent frame begins before the clip.
    ///
    /// # Errors
    /// [`ConfigError`] naming what does not fit the grid.
    pub fn small(
        frames: usize,
        [height, width]: [usize; 2],
        fps: f64,
        sample_rate_hz: u32,
    ) -> Result<Self, ConfigError> {
        let strides = vec![2, 4, 5, 8];
        let hop: usize = strides.iter().product();
        let hops = |frames: f64| frames / fps * f64::from(sample_rate_hz) / hop as f64;
        let segment = hops(TEMPORAL as f64);
        if !(segment >= 1.0 && (segment - segment.round()).abs() < 1e-9) {
            let what = format!(
                "{TEMPORAL} frames at {fps} fps are {segment} hops of {hop} samples at {sample_rate_hz} Hz, not a whole number"
            );
            return Err(ConfigError(what));
        }
        let latent_frames = 1 + frames.saturating_sub(1) / TEMPORAL;
        let mut segments = vec![segment.round() as usize; latent_frames];
        segments[0] = (hops(1.0) - 1e-9).ceil() as usize;
        let samples = (frames as f64 / fps * f64::from(sample_rate_hz)).round() as usize;
        let video = VideoAutoencoder {
            frames,
            height,
            width,
            patch: 4,
            widths: [24, 48],
            channels: 4,
            segments: vec![1; latent_frames],
        };
        let audio = AudioAutoencoder {
            samples,
            strides,
            widths: vec![16, 32, 48, 64],
            dilations: vec![1, 3],
            channels: 8,
            segments,
        };
        let config = Self { video, audio };
        config.check()?;
        Ok(config)
    }

    /// The grid of its latents.
    pub fn layout(&self) -> Layout {
        let (v, a) = (&self.video, &self.audio);
        let latents = v.latents();
        Layout {
            video: VideoLayout {
                frames: latents[0],
                channels: v.channels,
                height: latents[2],
                width: latents[3],
                segments: v.segments.clone(),
            },
            audio: AudioLayout { frames: a.frames(), channels: a.channels, segments: a.segments.clone() },
        }
    }

    /// Every learned tensor: those of pictures, then those of sound.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.video.parameters().into_iter().chain(self.audio.parameters()).collect()
    }

    /// Checks everything that the networks rely on.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |what: String| Err(ConfigError(what));
        let (v, a) = (&self.video, &self.audio);
        let sizes = [v.frames, v.height, v.width, v.patch, v.channels, a.samples, a.channels];
        let lists = [&v.widths[..], &a.strides, &a.widths, &a.dilations, &a.segments];
        let all = sizes.iter().chain(lists.into_iter().flatten());
        if let Some(size) = all.copied().find(|size| !(1..=LARGEST).contains(size)) {
            return fail(format!("a size of {size}: each must be 1 to {LARGEST}"));
        }
        if !(v.frames - 1).is_multiple_of(TEMPORAL) {
            return fail(format!("video.frames is {}, expected 1 + a multiple of {TEMPORAL}", v.frames));
        }
        let side = 2 * v.patch;
        if !v.height.is_multiple_of(side) || !v.width.is_multiple_of(side) {
            return fail(format!(
                "pictures of {}x{} cannot be cut into squares of {side}",
                v.height, v.width
            ));
        }
        if a.strides.is_empty() || a.strides.len() != a.widths.len() || a.strides.len() > 16 {
            return fail(format!("{} audio.strides and {} audio.widths", a.strides.len(), a.widths.len()));
        }
        let hop = a.strides.iter().try_fold(1usize, |hop, &stride| hop.checked_mul(stride));
        let Some(hop) = hop.filter(|&hop| hop <= LARGEST) else {
            return fail(format!("audio.strides {:?}: their product must be at most {LARGEST}", a.strides));
        };
        let covered = a.frames() as u128 * hop as u128;
        let samples = a.samples as u128;
        if !(samples..samples + hop as u128).contains(&covered) {
            let what = "audio.segments must cover the clip, and by less than a hop more";
            return fail(format!("{} latents of {hop} samples, {samples} samples: {what}", a.frames()));
        }
        self.layout().check().map_err(|error| ConfigError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_of_sound_end_with_their_segment() {
        let config = AutoencoderConfig::small(17, [64, 64], 8.0, 16_000).unwrap();
        let (v, a) = (&config.video, &config.audio);
        assert_eq!(v.latents(), [5, 4, 8, 8]);
        assert_eq!((a.hop(), &a.segments[..], a.lead()), (320, &[7, 25, 25, 25, 25][..], 240));
        let mut frames = 0;
        for (n, of_segment) in a.segments.iter().enumerate() {
            frames += of_segment;
            // Segment n of the video ends with its frame 4n, of which each lasts 2,000 samples.
            assert_eq!(frames * a.hop() - a.lead(), (1 + TEMPORAL * n) * 2000);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides() {
        let good = AutoencoderConfig::small(17, [64, 64], 8.0, 16_000).unwrap();
        good.check().unwrap();
        type Break = fn(&mut AutoencoderConfig);
        let cases: [(Break, &str); 8] = [
            (|c| c.video.frames = 16, "expected 1 + a multiple of 4"),
            (|c| c.video.width = 60, "64x60 cannot be cut into squares of 8"),
            (|c| c.video.widths[1] = 0, "a size of 0"),
            (|c| c.audio.strides = vec![2, 4, 5], "3 audio.strides and 4 audio.widths"),
            (|c| c.audio.segments = vec![6, 25, 25, 25, 25], "106 latents of 320 samples, 34000 samples"),
            (|c| c.audio.segments[1] = 26, "108 latents"),
            (|c| c.audio.strides = vec![1 << 20; 4], "their product"),
            (|c| c.video.segments = vec![5], "segments"),
        ];
        for (change, expected) in cases {
            let mut config = good.clone();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = AutoencoderConfig::small(17, [64, 64], 30.0, 16_000).unwrap_err().to_string();
        assert!(error.contains("not a whole number"), "{error}");
    }
}
