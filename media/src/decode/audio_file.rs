//! Sound alone: wav, flac and mp3.

use super::Decoder;
use super::aac::Mono;
use crate::{Audio, Clip, Error, Result, wav};
use std::fs::File;
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// The built-in decoder of sound files.
#[derive(Clone, Copy, Debug, Default)]
pub struct AudioFile;

impl Decoder for AudioFile {
    fn name(&self) -> &'static str {
        "sound"
    }

    fn accepts(&self, path: &Path) -> bool {
        super::has_extension(path, &["wav", "flac", "mp3"])
    }

    fn decode(&self, path: &Path) -> Result<Clip> {
        let audio =
            if super::has_extension(path, &["wav"]) { wav::read_wav(path)? } else { compressed(path)? };
        Ok(Clip { video: None, audio: Some(audio) })
    }
}

fn compressed(path: &Path) -> Result<Audio> {
    let failed = |error: SymphoniaError| match error {
        SymphoniaError::IoError(error) => super::of_reading(path, error),
        error => Error::undecodable(path, error.to_string()),
    };
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let mut format = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(failed)?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or_else(|| Error::undecodable(path, "the file has no sound track"))?;
    let id = track.id;
    let promised = track.num_frames.filter(|_| super::has_extension(path, &["flac"]));
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or_else(|| Error::undecodable(path, "the sound track does not say how it is coded"))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| super::unsupported(path, &error.to_string()))?;
    let mut audio = Mono::default();
    let mut interleaved = Vec::<f32>::new();
    while let Some(packet) = format.next_packet().map_err(failed)? {
        if packet.track_id != id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(failed)?;
        audio.sample_rate_hz = decoded.spec().rate();
        decoded.copy_to_vec_interleaved(&mut interleaved);
        audio.extend(&interleaved, decoded.num_planes());
    }
    if audio.sample_rate_hz == 0 || audio.samples.is_empty() {
        return Err(Error::undecodable(path, "the file has no sound"));
    }
    let got = audio.samples.len() as u64;
    if let Some(promised) = promised.filter(|promised| *promised > got) {
        return Err(Error::undecodable(path, format!("truncated: {got} of {promised} samples are there")));
    }
    Ok(Audio { sample_rate_hz: audio.sample_rate_hz, samples: audio.samples })
}
