//! The public networks of a codec, and what codec they make.

use avdit_media::codec::{PictureLatents, PublicConfig, SoundLatents};
use avdit_media::mel::MelConfig;
use avdit_media::{ClipGrid, Rational};
use avdit_nets::encodec::{self, EncodecConfig};
use avdit_nets::hifigan::{self, HifiganConfig};
use avdit_nets::vae::VaeConfig;
use avdit_nets::{Network, Parameter};
use avdit_trainer::imported::ImportedConfig;
use serde::{Deserialize, Serialize};

/// How the names of the tensors of each network begin in a codec's file.
pub const VIDEO: &str = "video.";
pub const AUDIO: &str = "audio.";
pub const VOCODER: &str = "vocoder.";

/// The networks of a codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nets {
    pub video: VaeConfig,
    pub audio: AudioNets,
}

/// The networks of sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum AudioNets {
    /// An autoencoder of mel spectrograms, and a vocoder.
    Mel { vae: VaeConfig, vocoder: HifiganConfig },
    /// A codec of sound.
    Encodec { network: EncodecConfig },
}

/// What is chosen about a codec beside its networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choices {
    pub frames: usize,
    pub fps: Rational,
    /// Width and height in pixels.
    pub size: [usize; 2],
    pub segments: usize,
    /// The side in latents of the tiles of pictures.
    pub tile: Option<usize>,
    /// What the latents of EnCodec, which states no scale, are multiplied by.
    pub audio_scale: f64,
}

impl Choices {
    /// Those that a codec was made with.
    pub fn of(config: &PublicConfig) -> Self {
        let ClipGrid { frames, fps, width, height, .. } = config.grid;
        let (segments, tile, audio_scale) = (config.segments, config.pictures.tile, config.sound.scale());
        Self { frames, fps, size: [width, height], segments, tile, audio_scale }
    }
}

impl Nets {
    /// Of imported networks.
    ///
    /// # Errors
    /// What was given where something else was expected, beginning with the option.
    pub fn of(
        video: &ImportedConfig,
        audio: &ImportedConfig,
        vocoder: Option<&ImportedConfig>,
    ) -> Result<Self, String> {
        let wrong = |option: &str, got: &ImportedConfig, expected: &str| {
            Err(format!("{option}: {}, expected {expected}", name(got)))
        };
        let ImportedConfig::Vae(video) = video else {
            return wrong("--video", video, "an autoencoder of pictures (vae)");
        };
        let audio = match (audio, vocoder) {
            (ImportedConfig::Vae(vae), Some(ImportedConfig::Hifigan(vocoder))) => {
                AudioNets::Mel { vae: vae.clone(), vocoder: vocoder.clone() }
            }
            (ImportedConfig::Vae(_), Some(other)) => {
                return wrong("--vocoder", other, "a vocoder (hifigan)");
            }
            (ImportedConfig::Vae(_), None) => {
                return Err("--audio: an autoencoder of mel spectrograms alone makes no sound\n\nhint: name the network \
                            that does with --vocoder"
                    .to_owned());
            }
            (ImportedConfig::Encodec(network), None) => AudioNets::Encodec { network: network.clone() },
            (ImportedConfig::Encodec(_), Some(_)) => {
                return Err(
                    "--vocoder: EnCodec makes sound by itself\n\nhint: leave --vocoder out".to_owned()
                );
            }
            (other, _) => {
                return wrong(
                    "--audio",
                    other,
                    "an autoencoder of mel spectrograms (vae) or a codec of sound (encodec)",
                );
            }
        };
        let nets = Self { video: video.clone(), audio };
        nets.check()?;
        Ok(nets)
    }

    /// Checks that every network does what its place asks for.
    fn check(&self) -> Result<(), String> {
        self.video.check().map_err(|error| format!("--video: {error}"))?;
        let channels = |option: &str, vae: &VaeConfig, expected: usize, of: &str| {
            let got = (vae.in_channels, vae.out_channels);
            if got == (expected, expected) {
                return Ok(());
            }
            let (seen, made) = got;
            Err(format!(
                "{option}: takes {seen} and makes {made} channels, expected {expected}, those of {of}"
            ))
        };
        channels("--video", &self.video, 3, "pictures")?;
        match &self.audio {
            AudioNets::Mel { vae, vocoder } => {
                vae.check().map_err(|error| format!("--audio: {error}"))?;
                vocoder.check().map_err(|error| format!("--vocoder: {error}"))?;
                channels("--audio", vae, 1, "a mel spectrogram")?;
                let mel = MelConfig::AUDIOLDM;
                let hop: usize = vocoder.upsample_rates.iter().product();
                for (what, got, expected) in [
                    ("mel bands", vocoder.model_in_dim, mel.n_mel_channels),
                    ("samples per second", vocoder.sampling_rate, mel.sampling_rate),
                    ("samples for a frame of bands", hop, mel.hop_length),
                ] {
                    if got != expected {
                        return Err(format!(
                            "--vocoder: {got} {what}, expected {expected}, those of AudioLDM's front end"
                        ));
                    }
                }
            }
            AudioNets::Encodec { network } => {
                network.check().map_err(|error| format!("--audio: {error}"))?;
                if network.audio_channels != 1 {
                    return Err(format!(
                        "--audio: takes {} channels of sound, clips have 1",
                        network.audio_channels
                    ));
                }
            }
        }
        Ok(())
    }

    /// The codec that they make.
    ///
    /// # Errors
    /// What does not fit together, with both sides.
    pub fn config(&self, choices: &Choices) -> Result<PublicConfig, String> {
        self.check()?;
        let (sample_rate, sound) = match &self.audio {
            AudioNets::Mel { vae, .. } => {
                let (channels, factor, scale) = (vae.latent_channels, vae.factor(), vae.scaling_factor);
                let mel = MelConfig::AUDIOLDM;
                (mel.sampling_rate, SoundLatents::Mel { channels, factor, scale, mel })
            }
            AudioNets::Encodec { network } => {
                let (channels, hop, scale) = (network.hidden_size, network.hop(), choices.audio_scale);
                (network.sampling_rate, SoundLatents::Wave { channels, hop, scale })
            }
        };
        let [width, height] = choices.size;
        let (frames, fps) = (choices.frames, choices.fps);
        let sample_rate_hz =
            u32::try_from(sample_rate).map_err(|_| format!("--audio: {sample_rate} samples per second"))?;
        let config = PublicConfig {
            grid: ClipGrid { frames, fps, width, height, sample_rate_hz },
            segments: choices.segments,
            pictures: PictureLatents {
                channels: self.video.latent_channels,
                factor: self.video.factor(),
                scale: self.video.scaling_factor,
                tile: choices.tile,
            },
            sound,
        };
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    /// The tensors of each network that coding reads, and how their names begin in a codec's file.
    pub fn parameters(&self) -> Vec<(&'static str, Vec<Parameter>)> {
        let mut parts = vec![(VIDEO, self.video.parameters())];
        match &self.audio {
            AudioNets::Mel { vae, vocoder } => {
                parts.push((AUDIO, vae.parameters()));
                parts.push((VOCODER, hifigan::parameters(vocoder)));
            }
            AudioNets::Encodec { network } => {
                // Parameters do not depend on how long the sound is.
                let encoder = encodec::Encoder::new(network, 1).map(|part| part.parameters());
                let decoder = encodec::Decoder::new(network, 1).map(|part| part.parameters());
                parts.push((AUDIO, [encoder.unwrap_or_default(), decoder.unwrap_or_default()].concat()));
            }
        }
        parts
    }
}

/// What an imported network is, in words.
fn name(config: &ImportedConfig) -> &'static str {
    match config {
        ImportedConfig::Dit(_) => "a DiT",
        ImportedConfig::Vae(config) if config.in_channels == 1 => "an autoencoder of mel spectrograms (vae)",
        ImportedConfig::Vae(_) => "an autoencoder of pictures (vae)",
        ImportedConfig::Hifigan(_) => "a vocoder (hifigan)",
        ImportedConfig::Encodec(_) => "a codec of sound (encodec)",
    }
}
