//! What a codec of public networks is, but for its networks: its grid, its latents, how they lie.

use crate::ClipGrid;
use crate::codec::public::tiles::Tiles;
use crate::error::{Error, Result};
use crate::mel::MelConfig;
use avdit_core::{AudioLayout, Layout, VideoLayout};
use serde::{Deserialize, Serialize};

/// Latents along each side of a token of AV-DiT: no segment and no picture divides one.
const PATCH: usize = 2;
/// Sizes beyond these stand in no codec but a damaged file.
const LARGEST: usize = 1 << 20;
const MOST_SAMPLES: usize = 1 << 27;

/// A codec of public networks, but for the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicConfig {
    /// Pixels and samples of a clip.
    pub grid: ClipGrid,
    /// Time segments, all of one length.
    pub segments: usize,
    /// Sight.
    pub pictures: PictureLatents,
    /// Sound.
    pub sound: SoundLatents,
}

/// How pictures become latents, each frame alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureLatents {
    /// Channels of a latent.
    pub channels: usize,
    /// Pixels along the side of the square that a latent stands for.
    pub factor: usize,
    /// What latents are multiplied by, so that their deviation is near 1.
    pub scale: f64,
    /// The side in latents of the tiles that pictures are coded in; none: each at once.
    pub tile: Option<usize>,
}

/// How sound becomes latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum SoundLatents {
    /// As a picture of its loudness in bands of pitch, which a vocoder makes sound of again.
    Mel {
        /// Channels of a latent.
        channels: usize,
        /// Frames, and bands, of the square that a latent stands for.
        factor: usize,
        /// What latents are multiplied by.
        scale: f64,
        /// The front end.
        mel: MelConfig,
    },
    /// Sample by sample.
    Wave {
        /// Channels of a latent.
        channels: usize,
        /// Samples from one latent to the next.
        hop: usize,
        /// What latents are multiplied by.
        scale: f64,
    },
}

impl SoundLatents {
    /// Samples that one latent frame stands for.
    pub fn hop(&self) -> usize {
        match self {
            Self::Mel { factor, mel, .. } => factor * mel.hop_length,
            Self::Wave { hop, .. } => *hop,
        }
    }

    /// Values of one latent frame: (channels, bins) of a mel spectrogram in this order, or channels.
    pub fn channels(&self) -> usize {
        match self {
            Self::Mel { channels, factor, mel, .. } => channels * (mel.n_mel_channels / factor),
            Self::Wave { channels, .. } => *channels,
        }
    }

    /// What latents are multiplied by.
    pub fn scale(&self) -> f64 {
        match self {
            Self::Mel { scale, .. } | Self::Wave { scale, .. } => *scale,
        }
    }
}

impl PublicConfig {
    /// Latent frames of sound: one for every begun hop, silence standing behind the last samples.
    pub fn audio_frames(&self) -> usize {
        self.grid.samples().div_ceil(self.sound.hop())
    }

    /// Latents of a picture, `[h, w]`.
    pub fn picture_size(&self) -> [usize; 2] {
        [self.grid.height / self.pictures.factor, self.grid.width / self.pictures.factor]
    }

    /// The tiles that pictures are coded in.
    ///
    /// # Errors
    /// [`Error::Value`] if they cannot overlap.
    pub fn tiles(&self) -> Result<Tiles> {
        Tiles::new(self.picture_size(), self.pictures.tile)
    }

    /// The grid of its latents.
    pub fn layout(&self) -> Layout {
        let [height, width] = self.picture_size();
        let (frames, audio) = (self.grid.frames, self.audio_frames());
        Layout {
            video: VideoLayout {
                frames,
                channels: self.pictures.channels,
                height,
                width,
                segments: vec![frames / self.segments; self.segments],
            },
            audio: AudioLayout {
                frames: audio,
                channels: self.sound.channels(),
                segments: vec![audio / self.segments; self.segments],
            },
        }
    }

    /// Checks everything that coding relies on.
    ///
    /// # Errors
    /// [`Error::Value`] or [`Error::Count`] naming what does not fit and both sides.
    pub fn check(&self) -> Result<()> {
        let (grid, sound) = (&self.grid, &self.sound);
        let of_sound = match sound {
            SoundLatents::Mel { channels, factor, mel, .. } => {
                mel.check()?;
                [("channels of audio latents", *channels), ("mel frames in an audio latent", *factor)]
            }
            SoundLatents::Wave { channels, hop, .. } => {
                [("channels of audio latents", *channels), ("samples in an audio latent", *hop)]
            }
        };
        let sizes = [
            ("frames of the clips", grid.frames),
            ("width of the clips", grid.width),
            ("height of the clips", grid.height),
            ("frame rate of the clips", (grid.fps.num as usize).saturating_mul(grid.fps.den as usize)),
            ("sample rate of the clips", grid.sample_rate_hz as usize),
            ("segments", self.segments),
            ("channels of video latents", self.pictures.channels),
            ("pixels along a video latent", self.pictures.factor),
        ];
        for (what, size) in sizes.into_iter().chain(of_sound) {
            if !(1..=LARGEST).contains(&size) {
                return Err(Error::value(what, format!("1 to {LARGEST}"), size));
            }
        }
        for (what, scale) in [("video latents", self.pictures.scale), ("audio latents", sound.scale())] {
            if !(scale.is_finite() && scale > 0.0) {
                return Err(Error::value(format!("scale of {what}"), "a number above 0", scale));
            }
        }
        if !(1..=MOST_SAMPLES).contains(&grid.samples()) {
            return Err(Error::value("samples of a clip", format!("1 to {MOST_SAMPLES}"), grid.samples()));
        }
        self.check_space()?;
        self.check_time()
    }

    fn check_space(&self) -> Result<()> {
        let step = PATCH * self.pictures.factor;
        for (what, size) in [("width", self.grid.width), ("height", self.grid.height)] {
            if !size.is_multiple_of(step) {
                let expected = format!(
                    "a multiple of {step} (patches of {PATCH} latents of {} pixels)",
                    self.pictures.factor
                );
                return Err(Error::value(format!("{what} of the clips in pixels"), expected, size));
            }
        }
        self.tiles()?;
        let SoundLatents::Mel { factor, mel, .. } = &self.sound else { return Ok(()) };
        if mel.sampling_rate != self.grid.sample_rate_hz as usize {
            let expected = format!("{}, that of the mel front end", mel.sampling_rate);
            return Err(Error::value("sample rate of the clips in Hz", expected, self.grid.sample_rate_hz));
        }
        if !mel.n_mel_channels.is_multiple_of(*factor) {
            let expected = format!("a multiple of {factor}, the bands of an audio latent");
            return Err(Error::value("mel bands", expected, mel.n_mel_channels));
        }
        // The front end mirrors half a transform at both ends.
        let heard = self.audio_frames() * self.sound.hop();
        if heard <= mel.filter_length / 2 {
            return Err(Error::value(
                "samples of a clip",
                format!("more than {}", mel.filter_length / 2),
                heard,
            ));
        }
        Ok(())
    }

    fn check_time(&self) -> Result<()> {
        let (frames, audio, n) = (self.grid.frames, self.audio_frames(), self.segments);
        if !frames.is_multiple_of(n) {
            return Err(Error::value(
                "frames of the clips",
                format!("a multiple of the {n} segments"),
                frames,
            ));
        }
        let step = PATCH * n;
        if audio.is_multiple_of(step) {
            return Ok(());
        }
        let hop_ms = 1e3 * self.sound.hop() as f64 / f64::from(self.grid.sample_rate_hz);
        let expected = format!(
            "a multiple of {step} ({n} segments of patches of {PATCH} latent frames): clips of a multiple of {:.4} ms",
            step as f64 * hop_ms
        );
        let got = format!(
            "{audio} (clips of {:.4} ms, latent frames of {hop_ms:.4} ms)",
            1e3 * self.grid.duration_s()
        );
        Err(Error::value("latent frames of sound", expected, got))
    }
}
