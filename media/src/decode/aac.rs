//! AAC access units to mono sound, by symphonia.

use crate::{Audio, Error, Result};
use mp4_atom::esds::DecoderConfig;
use std::path::{Path, PathBuf};
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

/// Object types of AAC in an `esds`: MPEG-4, then MPEG-2 main, low complexity, scalable.
const AAC_OBJECTS: [u8; 4] = [0x40, 0x66, 0x67, 0x68];

/// A decoder that is being fed.
pub(crate) struct Stream {
    path: PathBuf,
    decoder: Box<dyn AudioDecoder>,
    audio: Mono,
    interleaved: Vec<f32>,
}

/// Sound whose channels are averaged as it comes.
#[derive(Default)]
pub(crate) struct Mono {
    pub(crate) sample_rate_hz: u32,
    pub(crate) samples: Vec<f32>,
}

impl Mono {
    /// Appends the mean of each group of `channels` values.
    pub(crate) fn extend(&mut self, interleaved: &[f32], channels: usize) {
        let scale = 1.0 / channels.max(1) as f32;
        self.samples
            .extend(interleaved.chunks_exact(channels.max(1)).map(|frame| frame.iter().sum::<f32>() * scale));
    }
}

impl Stream {
    pub(crate) fn new(path: &Path, config: &DecoderConfig) -> Result<Self> {
        if !AAC_OBJECTS.contains(&config.object_type_indication) {
            let what =
                format!("the sound is MPEG-4 object type {:#04x}, not AAC", config.object_type_indication);
            return Err(super::unsupported(path, &what));
        }
        let raw = config.dec_specific.as_ref().map(|specific| specific.raw.clone()).unwrap_or_default();
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AAC).with_extra_data(raw.into_boxed_slice());
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&parameters, &AudioDecoderOptions::default())
            .map_err(|error| super::unsupported(path, &format!("AAC decoder: {error}")))?;
        Ok(Self { path: path.to_owned(), decoder, audio: Mono::default(), interleaved: Vec::new() })
    }

    /// Decodes one access unit.
    pub(crate) fn push(&mut self, sample: &[u8]) -> Result<()> {
        let packet = Packet::new(0, Timestamp::new(0), Duration::new(1024), sample);
        let decoded = self
            .decoder
            .decode(&packet)
            .map_err(|error| Error::undecodable(&self.path, format!("AAC decoder: {error}")))?;
        self.audio.sample_rate_hz = decoded.spec().rate();
        decoded.copy_to_vec_interleaved(&mut self.interleaved);
        self.audio.extend(&self.interleaved, decoded.num_planes());
        Ok(())
    }

    /// All samples, the encoder's priming among them.
    pub(crate) fn finish(self) -> Result<Audio> {
        if self.audio.sample_rate_hz == 0 {
            return Err(Error::undecodable(&self.path, "the sound has no sample rate"));
        }
        Ok(Audio { sample_rate_hz: self.audio.sample_rate_hz, samples: self.audio.samples })
    }
}
