//! Sound to AAC-LC access units, by syom.

use crate::{Audio, Error, Result};
use std::path::Path;
use syom::{EncodeOptions, EncodedFrame, Encoder};

/// Samples of one access unit.
pub(crate) const FRAME: usize = 1024;
/// What the sample rates of AAC are, in hertz.
const RATES_HZ: [u32; 12] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];

/// An encoded sound track.
pub(crate) struct Aac {
    pub(crate) sample_rate_hz: u32,
    /// The AudioSpecificConfig.
    pub(crate) config: Vec<u8>,
    /// Samples a decoder gives before the first that was meant.
    pub(crate) priming: usize,
    /// Samples that were meant.
    pub(crate) samples: usize,
    pub(crate) bit_rate_bps: u32,
    pub(crate) units: Vec<Vec<u8>>,
}

/// Bits per second: four a sample are transparent for one channel, and AAC allows at most six.
fn bit_rate_bps(sample_rate_hz: u32) -> u32 {
    (4 * sample_rate_hz).min(192_000)
}

/// Encodes `audio`; values beyond ±1 are clipped, as any 16-bit file would, with a warning in the log.
pub(crate) fn encode(path: &Path, audio: &Audio) -> Result<Aac> {
    let rate = audio.sample_rate_hz;
    if !RATES_HZ.contains(&rate) {
        return Err(Error::unencodable(
            path,
            format!("sample rate is {rate} Hz, expected one of {RATES_HZ:?}"),
        ));
    }
    if let Some(index) = audio.samples.iter().position(|value| !value.is_finite()) {
        return Err(avdit_core::Error::NotFinite {
            what: format!("sound for {}", path.display()),
            index,
            got: f64::from(audio.samples[index]),
        }
        .into());
    }
    let beyond = audio.samples.iter().filter(|value| value.abs() > 1.0).count();
    if beyond > 0 {
        tracing::warn!(path = %path.display(), beyond, "samples beyond ±1 are clipped");
    }
    let clipped: Vec<f32> = audio.samples.iter().map(|value| value.clamp(-1.0, 1.0)).collect();

    let failed = |error: syom::AacError| Error::unencodable(path, format!("AAC encoder: {error}"));
    let options = EncodeOptions::raw().with_bitrate_bps(bit_rate_bps(rate));
    let mut encoder = Encoder::new(rate, 1, &options).map_err(failed)?;
    let mut units = Vec::new();
    let mut keep = |frame: EncodedFrame<'_>| {
        units.push(frame.payload.to_vec());
        Ok(())
    };
    encoder.feed(&[&clipped], &mut keep).map_err(failed)?;
    let info = encoder.finish(&mut keep).map_err(failed)?;
    let (priming, samples) = (info.priming as usize, audio.samples.len());
    if units.len() * FRAME < priming + samples {
        return Err(Error::unencodable(
            path,
            format!("AAC encoder: {} frames for {samples} samples behind {priming}", units.len()),
        ));
    }
    Ok(Aac {
        sample_rate_hz: rate,
        config: encoder.asc().to_vec(),
        priming,
        samples,
        bit_rate_bps: bit_rate_bps(rate),
        units,
    })
}
