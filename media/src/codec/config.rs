//! What a linear codec is before it is fitted: its grid, and how much of it each latent holds.

use crate::ClipGrid;
use crate::error::{Error, Result};
use avdit_core::{AudioLayout, Layout, VideoLayout};
use serde::{Deserialize, Serialize};

/// Sizes beyond these stand in no codec but a damaged file.
const LARGEST: usize = 1 << 20;
const MOST_SAMPLES: usize = 1 << 27;

/// The configuration of a linear codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecConfig {
    /// Pixels and samples of a clip.
    pub grid: ClipGrid,
    /// Sight.
    pub video: VideoCodecConfig,
    /// Sound.
    pub audio: AudioCodecConfig,
    /// How far the channels of latents are brought to one variance: 1 gives every channel unit variance,
    /// 0 scales all by one number and keeps their proportions.
    pub whitening: f64,
}

/// How pictures become latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoCodecConfig {
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Frames in every latent frame but the first, which holds one.
    pub temporal: usize,
    /// Principal components of a patch.
    pub channels: usize,
    /// Latent frames in each time segment.
    pub segments: Vec<usize>,
}

/// How sound becomes latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioCodecConfig {
    /// Samples in a window of the spectrum.
    pub n_fft: usize,
    /// Spectra in one latent frame.
    pub fine_frames: usize,
    /// Magnitude, relative to a full-scale sine, added before the logarithm.
    pub floor: f64,
    /// Principal components of a latent frame.
    pub channels: usize,
    /// Latent frames in each time segment.
    pub segments: Vec<usize>,
    /// Iterations of the phase reconstruction.
    pub phase_iterations: usize,
    /// α of the fast Griffin-Lim algorithm.
    pub phase_momentum: f64,
}

impl CodecConfig {
    /// The configuration whose latents have `layout`: patches as large as the pixels of one latent, as many
    /// frames to a latent frame as the clip needs, spectra about a quarter of a 64 ms window apart.
    ///
    /// # Errors
    /// [`Error::Value`] or [`Error::Count`] naming what does not fit the grid.
    pub fn for_layout(grid: ClipGrid, layout: &Layout) -> Result<Self> {
        let (v, a) = (&layout.video, &layout.audio);
        layout.check()?;
        let n_fft = ((0.064 * f64::from(grid.sample_rate_hz)).round() as usize).next_power_of_two().max(64);
        let per_latent = grid.samples() as f64 / a.frames as f64;
        let fine_frames = (per_latent / (n_fft as f64 / 4.0)).round().max(1.0) as usize;
        let config = Self {
            grid,
            video: VideoCodecConfig {
                patch_px: grid.width / v.width,
                temporal: (grid.frames.saturating_sub(1) / v.frames.saturating_sub(1).max(1)).max(1),
                channels: v.channels,
                segments: v.segments.clone(),
            },
            audio: AudioCodecConfig {
                n_fft,
                fine_frames,
                floor: 0.01,
                channels: a.channels,
                segments: a.segments.clone(),
                phase_iterations: 60,
                phase_momentum: 0.99,
            },
            whitening: 1.0,
        };
        config.check()?;
        Error::check_count("rows of video latents", v.height, config.layout().video.height)?;
        Error::check_count("columns of video latents", v.width, config.layout().video.width)?;
        Ok(config)
    }

    /// The grid of its latents.
    pub fn layout(&self) -> Layout {
        let (v, a) = (&self.video, &self.audio);
        Layout {
            video: VideoLayout {
                frames: v.segments.iter().sum(),
                channels: v.channels,
                height: self.grid.height / v.patch_px,
                width: self.grid.width / v.patch_px,
                segments: v.segments.clone(),
            },
            audio: AudioLayout {
                frames: a.segments.iter().sum(),
                channels: a.channels,
                segments: a.segments.clone(),
            },
        }
    }

    /// Samples between spectra: all of them together lie within the clip.
    pub fn hop_samples(&self) -> usize {
        self.grid.samples() / (self.audio.segments.iter().sum::<usize>() * self.audio.fine_frames)
    }

    /// Checks everything that fitting and coding rely on.
    ///
    /// # Errors
    /// [`Error::Value`] or [`Error::Count`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<()> {
        let (g, v, a) = (&self.grid, &self.video, &self.audio);
        for (what, size) in [
            ("frames of the grid", g.frames),
            ("width of the grid", g.width),
            ("height of the grid", g.height),
            ("frame rate of the grid", g.fps.num as usize * g.fps.den as usize),
            ("sample rate of the grid", g.sample_rate_hz as usize),
            ("video.patch_px", v.patch_px),
            ("video.temporal", v.temporal),
            ("audio.n_fft", a.n_fft),
            ("audio.fine_frames", a.fine_frames),
        ] {
            if !(1..=LARGEST).contains(&size) {
                return Err(Error::value(what, format!("1 to {LARGEST}"), size));
            }
        }
        if g.samples() > MOST_SAMPLES {
            return Err(Error::value("samples of a clip", format!("at most {MOST_SAMPLES}"), g.samples()));
        }
        if !g.width.is_multiple_of(v.patch_px) || !g.height.is_multiple_of(v.patch_px) {
            let expected = format!("a divisor of the pictures' {}x{} pixels", g.width, g.height);
            return Err(Error::value("video.patch_px", expected, v.patch_px));
        }
        if g.frames == 1 || !(g.frames - 1).is_multiple_of(v.temporal) {
            let expected = format!("1 + a multiple of {} above 0", v.temporal);
            return Err(Error::value("frames of the grid", expected, g.frames));
        }
        self.layout().check()?;
        let latent_frames = 1 + (g.frames - 1) / v.temporal;
        Error::check_count("sum of video.segments", latent_frames, v.segments.iter().sum())?;
        if a.n_fft < 16 || !a.n_fft.is_multiple_of(2) {
            return Err(Error::value("audio.n_fft", "an even number of at least 16", a.n_fft));
        }
        let most = a.n_fft / 2;
        if self.hop_samples() == 0 || self.hop_samples() > most {
            let expected = format!("so many that spectra are 1 to {most} samples apart");
            let got = format!("{} ({} samples apart)", a.fine_frames, self.hop_samples());
            return Err(Error::value("audio.fine_frames", expected, got));
        }
        let first = v.patch_px * v.patch_px * 3;
        if v.channels > first {
            return Err(Error::value(
                "video.channels",
                format!("at most {first}, the values of a patch"),
                v.channels,
            ));
        }
        let spectrum = a.fine_frames * (a.n_fft / 2 + 1);
        if a.channels > spectrum {
            return Err(Error::value(
                "audio.channels",
                format!("at most {spectrum}, its spectra's values"),
                a.channels,
            ));
        }
        for (what, value, range) in [
            ("audio.floor", a.floor, 1e-9..=1.0),
            ("audio.phase_momentum", a.phase_momentum, 0.0..=1.0),
            ("whitening", self.whitening, 0.0..=1.0),
        ] {
            if !range.contains(&value) {
                return Err(Error::value(what, format!("{} to {}", range.start(), range.end()), value));
            }
        }
        Ok(())
    }
}
