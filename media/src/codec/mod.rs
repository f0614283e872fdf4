//! The latent codec: a clip on its grid → [`Latents`] of one clip, and back.
//!
//! Receives clips that `prepare` has brought onto a [`ClipGrid`]; hands on latents of unit scale in the order of
//! a [`Layout`]. **Invariant:** encoding and decoding are pure functions of the codec's file and their input, so
//! the same bytes come out on every run.

mod audio;
mod config;
mod fidelity;
mod file;
mod fit;
mod griffin_lim;
mod learned;
mod linear;
mod principal;
mod public;
mod quality;
mod stft;
mod video;

pub use config::{AudioCodecConfig, CodecConfig, VideoCodecConfig};
pub use fidelity::{Fidelity, fidelity};
pub use file::file_sha256;
pub use fit::{ClipSource, FitReport};
pub use griffin_lim::griffin_lim;
pub use learned::{LearnedCodec, Network, Networks, planes};
pub use linear::LinearCodec;
pub use public::{PictureLatents, PublicCodec, PublicConfig, PublicNetworks, Side, SoundLatents, Tiles};
pub use quality::Reconstruction;
pub use stft::Stft;

use crate::error::{Error, Result};
use crate::{Audio, Clip, ClipGrid, Video};
use avdit_core::{Latents, Layout};

/// Turns clips on a grid into latents and back.
pub trait Codec: Send + Sync {
    /// What kind of codec this is, as its file says.
    fn name(&self) -> &str;

    /// The pixels and samples it takes and gives.
    fn grid(&self) -> ClipGrid;

    /// The latents it gives and takes.
    fn layout(&self) -> &Layout;

    /// The latents of pictures alone, `(F, C, H, W)`.
    ///
    /// # Errors
    /// [`Error::Count`] if the pictures are not on the grid.
    fn encode_video(&self, video: &Video) -> Result<Vec<f32>>;

    /// The latents of sound alone, `(A, Ca)`.
    ///
    /// # Errors
    /// [`Error::Count`] if the sound is not on the grid.
    fn encode_audio(&self, audio: &Audio) -> Result<Vec<f32>>;

    /// The pictures of latents `(F, C, H, W)`.
    ///
    /// # Errors
    /// [`Error::Count`] or [`avdit_core::Error::NotFinite`] if the latents are not of the layout or not finite.
    fn decode_video(&self, latents: &[f32]) -> Result<Video>;

    /// The sound of latents `(A, Ca)`.
    ///
    /// # Errors
    /// As [`Codec::decode_video`].
    fn decode_audio(&self, latents: &[f32]) -> Result<Audio>;

    /// The latents of a clip, as a batch of one.
    ///
    /// # Errors
    /// [`Error::Value`] if the clip lacks pictures or sound; as [`Codec::encode_video`].
    fn encode(&self, clip: &Clip) -> Result<Latents> {
        let missing = |what| Error::value("clip to encode", format!("a clip with {what}"), "none");
        let video = clip.video.as_ref().ok_or_else(|| missing("pictures"))?;
        let audio = clip.audio.as_ref().ok_or_else(|| missing("sound"))?;
        Ok(Latents { batch: 1, video: self.encode_video(video)?, audio: self.encode_audio(audio)? })
    }

    /// The clip of a batch of one.
    ///
    /// # Errors
    /// [`Error::Count`] if the batch is not one; as [`Codec::decode_video`].
    fn decode(&self, latents: &Latents) -> Result<Clip> {
        Error::check_count("clips to decode at a time", 1, latents.batch)?;
        Ok(Clip {
            video: Some(self.decode_video(&latents.video)?),
            audio: Some(self.decode_audio(&latents.audio)?),
        })
    }
}

/// Checks that pictures lie on a grid.
pub(crate) fn check_video(grid: &ClipGrid, video: &Video) -> Result<()> {
    Error::check_count("width of the pictures in pixels", grid.width, video.width)?;
    Error::check_count("height of the pictures in pixels", grid.height, video.height)?;
    Error::check_count("video frames", grid.frames, video.frames.len())?;
    if u64::from(grid.fps.num) * u64::from(video.fps.den)
        != u64::from(video.fps.num) * u64::from(grid.fps.den)
    {
        return Err(Error::value("frame rate", grid.fps.to_string(), video.fps));
    }
    video.frames.iter().try_for_each(|frame| {
        Error::check_count("bytes of a video frame", grid.width * grid.height * 3, frame.len())
    })
}

/// Checks that sound lies on a grid and is finite.
pub(crate) fn check_audio(grid: &ClipGrid, audio: &Audio) -> Result<()> {
    if audio.sample_rate_hz != grid.sample_rate_hz {
        return Err(Error::value("sample rate in Hz", grid.sample_rate_hz.to_string(), audio.sample_rate_hz));
    }
    Error::check_count("audio samples", grid.samples(), audio.samples.len())?;
    check_finite("audio samples", &audio.samples)
}

/// [`avdit_core::Error::NotFinite`] for the first value that is no finite number.
pub(crate) fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => {
            Err(avdit_core::Error::NotFinite { what: what.to_owned(), index, got: values[index].into() }
                .into())
        }
    }
}

#[cfg(test)]
mod tests;
