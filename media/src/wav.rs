//! Sound in and out as wav.

use crate::{Audio, Error, Result, atomic};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::io::Cursor;
use std::path::Path;

/// Writes mono 16-bit PCM, which every player knows; values beyond ±1 are clipped.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_wav(path: &Path, audio: &Audio) -> Result<()> {
    atomic::write_bytes_atomically(path, &encode_wav(path, audio)?)
}

/// The bytes of the file that [`write_wav`] writes.
pub fn encode_wav(path: &Path, audio: &Audio) -> Result<Vec<u8>> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: audio.sample_rate_hz,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let failed = |error: hound::Error| Error::unencodable(path, format!("wav: {error}"));
    let mut bytes = Cursor::new(Vec::with_capacity(44 + audio.samples.len() * 2));
    let mut writer = WavWriter::new(&mut bytes, spec).map_err(failed)?;
    for value in &audio.samples {
        writer.write_sample((value.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(bytes.into_inner())
}

/// Reads wav of any integer or float depth, its channels averaged.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Undecodable`] if it is no wav, is truncated or is empty.
pub fn read_wav(path: &Path) -> Result<Audio> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let failed = |error: hound::Error| match error {
        hound::Error::Unsupported => crate::decode::unsupported(path, "a wav of an unusual kind"),
        other => Error::undecodable(path, format!("wav: {other}")),
    };
    let mut reader = WavReader::new(Cursor::new(bytes)).map_err(failed)?;
    let spec = reader.spec();
    if spec.channels == 0 || spec.sample_rate == 0 {
        return Err(Error::undecodable(path, "the wav has no channels or no sample rate"));
    }
    let values: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>().map_err(failed)?,
        SampleFormat::Int => {
            let scale = 1.0 / (1_i64 << (spec.bits_per_sample.max(1) - 1)) as f32;
            reader
                .samples::<i32>()
                .map(|value| value.map(|value| value as f32 * scale))
                .collect::<Result<_, _>>()
                .map_err(failed)?
        }
    };
    let channels = usize::from(spec.channels);
    let samples: Vec<f32> =
        values.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    if samples.is_empty() {
        return Err(Error::undecodable(path, "the wav has no samples"));
    }
    Ok(Audio { sample_rate_hz: spec.sample_rate, samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_return_within_half_a_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tone.wav");
        let samples: Vec<f32> = (0..1000).map(|index| (index as f32 * 0.1).sin() * 0.9).collect();
        write_wav(&path, &Audio { sample_rate_hz: 16_000, samples: samples.clone() }).unwrap();
        let back = read_wav(&path).unwrap();
        assert_eq!((back.sample_rate_hz, back.samples.len()), (16_000, 1000));
        let worst = samples.iter().zip(&back.samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1.0 / 16_384.0, "{worst}");
    }

    #[test]
    fn stereo_of_24_bits_is_averaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stereo.wav");
        let spec =
            WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 24, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        for value in [1 << 22, 0, -(1 << 22), -(1 << 22)] {
            writer.write_sample(value).unwrap();
        }
        writer.finalize().unwrap();
        assert_eq!(read_wav(&path).unwrap().samples, [0.25, -0.5]);
    }

    #[test]
    fn a_cut_wav_is_an_error_naming_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.wav");
        let whole = encode_wav(&path, &Audio { sample_rate_hz: 8000, samples: vec![0.5; 100] }).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read_wav(&path).unwrap_err().to_string();
            assert!(error.contains("cut.wav"), "{length}: {error}");
        }
    }
}
