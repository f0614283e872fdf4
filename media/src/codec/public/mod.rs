//! A codec of public networks: an autoencoder of pictures, frame by frame, and either one of mel spectrograms with a
//! vocoder behind it or one of sound itself.
//!
//! Video latents are (F, C, h, w): those of every frame alone. Audio latents are (A, Ca): the latents of a mel
//! spectrogram, (channels, frames, bins) to its autoencoder, lie here frame by frame, channels before bins, as AV-DiT sees
//! them. All are multiplied by the scales that public diffusion models use.
//!
//! A mel spectrogram is heard as AudioLDM's is ([`MelFrontEnd::picture`]): of the sound without its mean, its peak brought
//! to ½. Autoencoder and vocoder know no other level, so that a decoded clip has its own, not that of the clip it came
//! from.

mod config;
#[cfg(test)]
mod tests;
mod tiles;

pub use config::{PictureLatents, PublicConfig, SoundLatents};
pub use tiles::{Side, Tiles};

use super::learned::{Network, pictures, planes_of};
use super::{Codec, check_audio, check_finite, check_video};
use crate::error::{Error, Result};
use crate::mel::MelFrontEnd;
use crate::{Audio, ClipGrid, Video};
use avdit_core::{Layout, Modality};

/// The networks of a codec, in whatever runs them, none of which knows scales. h and w are those of a tile
/// ([`Tiles::tile`]); A, bands and bins those of a whole clip.
pub struct PublicNetworks {
    /// The engine's name, for errors.
    pub engine: &'static str,
    /// A picture (3, H, W), −1 to 1 → the mean of its latents (C, h, w).
    pub encode_picture: Network,
    /// Latents (C, h, w) → a picture.
    pub decode_picture: Network,
    /// A mel spectrogram (frames, bands) → the mean of its latents (channels, A, bins); or sound (samples) → latents
    /// (channels, A).
    pub encode_sound: Network,
    /// Latents → sound, at least as long as a clip.
    pub decode_sound: Network,
}

/// A codec whose maps are public networks.
pub struct PublicCodec {
    config: PublicConfig,
    layout: Layout,
    tiles: Tiles,
    front_end: Option<MelFrontEnd>,
    networks: PublicNetworks,
}

impl PublicCodec {
    /// Of networks for the sizes of `config`.
    ///
    /// # Errors
    /// As [`PublicConfig::check`].
    pub fn new(config: PublicConfig, networks: PublicNetworks) -> Result<Self> {
        config.check()?;
        let front_end = match &config.sound {
            SoundLatents::Mel { mel, .. } => Some(MelFrontEnd::new(mel)?),
            SoundLatents::Wave { .. } => None,
        };
        let (layout, tiles) = (config.layout(), config.tiles()?);
        Ok(Self { config, layout, tiles, front_end, networks })
    }

    /// What it is.
    pub fn config(&self) -> &PublicConfig {
        &self.config
    }

    fn run(&self, network: &Network, what: &str, x: &[f32]) -> Result<Vec<f32>> {
        let engine = self.networks.engine;
        let made = network(x).map_err(|source| avdit_core::Error::Engine { engine, source })?;
        check_finite(what, &made)?;
        Ok(made)
    }

    fn check_latents(&self, modality: Modality, latents: &[f32]) -> Result<()> {
        let what = format!("elements of the {} latents of a clip", modality.name());
        Error::check_count(&what, self.layout.len(modality), latents.len())?;
        check_finite(&format!("{} latents", modality.name()), latents)
    }

    /// The latents of a picture as tiles see them, and its pixels.
    fn sides(&self) -> (Side, Side) {
        let latents = &self.config.pictures;
        (Side { channels: latents.channels, unit: 1 }, Side { channels: 3, unit: latents.factor })
    }

    /// How audio latents lie to their network: groups of channels, frames, bins.
    fn sound_dims(&self) -> [usize; 3] {
        let (frames, channels) = (self.layout.audio.frames, self.layout.audio.channels);
        match &self.config.sound {
            SoundLatents::Mel { channels: groups, .. } => [*groups, frames, channels / groups],
            SoundLatents::Wave { .. } => [channels, frames, 1],
        }
    }
}

/// Every value times a factor, as diffusion models see latents or as decoders do.
fn scaled(mut values: Vec<f32>, factor: f64) -> Vec<f32> {
    values.iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
    values
}

/// x (a, b, c) as (b, a, c).
fn swapped(x: &[f32], [a, b, c]: [usize; 3]) -> Vec<f32> {
    let row = |j: usize, i: usize| x[(i * b + j) * c..(i * b + j + 1) * c].iter().copied();
    (0..b).flat_map(|j| (0..a).flat_map(move |i| row(j, i))).collect()
}

impl Codec for PublicCodec {
    fn name(&self) -> &str {
        "public"
    }

    fn grid(&self) -> ClipGrid {
        self.config.grid
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn encode_video(&self, video: &Video) -> Result<Vec<f32>> {
        check_video(&self.config.grid, video)?;
        let ((to, from), network) = (self.sides(), &self.networks.encode_picture);
        let mut latents = Vec::with_capacity(self.layout.len(Modality::Video));
        for frame in &video.frames {
            let mut encode = |x: &[f32]| self.run(network, "an encoded picture", x);
            latents.extend(self.tiles.run(&planes_of(frame), from, to, &mut encode)?);
        }
        Ok(scaled(latents, self.config.pictures.scale))
    }

    fn encode_audio(&self, audio: &Audio) -> Result<Vec<f32>> {
        check_audio(&self.config.grid, audio)?;
        let sound = match (&self.front_end, &self.config.sound) {
            (Some(front_end), SoundLatents::Mel { factor, .. }) => {
                let frames = self.layout.audio.frames * factor;
                front_end.picture(&audio.samples, frames)?.into_iter().map(|x| x as f32).collect()
            }
            _ => audio.samples.clone(),
        };
        let made = self.run(&self.networks.encode_sound, "encoded sound", &sound)?;
        Error::check_count("values of encoded sound", self.layout.len(Modality::Audio), made.len())?;
        Ok(scaled(swapped(&made, self.sound_dims()), self.config.sound.scale()))
    }

    fn decode_video(&self, latents: &[f32]) -> Result<Video> {
        self.check_latents(Modality::Video, latents)?;
        let ClipGrid { fps, width, height, .. } = self.config.grid;
        let ((from, to), network) = (self.sides(), &self.networks.decode_picture);
        let mut frames = Vec::with_capacity(self.config.grid.frames);
        for latents in latents.chunks_exact(self.layout.frame_len(Modality::Video)) {
            let latents = scaled(latents.to_vec(), self.config.pictures.scale.recip());
            let mut decode = |x: &[f32]| self.run(network, "a decoded picture", x);
            let made = self.tiles.run(&latents, from, to, &mut decode)?;
            frames.extend(pictures(&made, height * width));
        }
        Ok(Video { width, height, fps, frames })
    }

    fn decode_audio(&self, latents: &[f32]) -> Result<Audio> {
        self.check_latents(Modality::Audio, latents)?;
        let [groups, frames, bins] = self.sound_dims();
        let latents = scaled(swapped(latents, [frames, groups, bins]), self.config.sound.scale().recip());
        let mut samples = self.run(&self.networks.decode_sound, "decoded sound", &latents)?;
        let expected = self.config.grid.samples();
        if samples.len() < expected {
            return Err(Error::value(
                "samples of decoded sound",
                format!("at least {expected}"),
                samples.len(),
            ));
        }
        samples.truncate(expected);
        samples.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        Ok(Audio { sample_rate_hz: self.config.grid.sample_rate_hz, samples })
    }
}
