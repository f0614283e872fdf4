//! Sound as what public audio models see: the logarithm of its loudness in bands of pitch, frame by frame.
//!
//! The front end of AudioLDM (Liu et al. 2023, arXiv:2301.12503), which Tango and others share: magnitudes of a
//! short-time Fourier transform, triangular bands on Slaney's mel scale, natural logarithm. Everything is computed in
//! double precision.

mod filterbank;
mod front_end;

pub use filterbank::filterbank;
pub use front_end::{LogMel, MelFrontEnd};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a front end hears of sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MelConfig {
    /// Samples of a transform.
    pub filter_length: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Samples of the window, in the middle of the transform.
    pub win_length: usize,
    /// Bands.
    pub n_mel_channels: usize,
    /// Samples per second.
    pub sampling_rate: usize,
    /// Lower end of the lowest band, in Hz.
    pub mel_fmin: f64,
    /// Upper end of the highest band, in Hz.
    pub mel_fmax: f64,
}

impl MelConfig {
    /// AudioLDM's: 64 bands up to 8 kHz, 100 frames a second at 16 kHz.
    pub const AUDIOLDM: Self = Self {
        filter_length: 1024,
        hop_length: 160,
        win_length: 1024,
        n_mel_channels: 64,
        sampling_rate: 16_000,
        mel_fmin: 0.0,
        mel_fmax: 8000.0,
    };

    /// Frequencies of a transform.
    pub fn bins(&self) -> usize {
        self.filter_length / 2 + 1
    }

    /// Frames of so many samples.
    pub fn frames(&self, samples: usize) -> usize {
        samples / self.hop_length + 1
    }

    /// Checks everything that the front end relies on.
    ///
    /// # Errors
    /// [`Error::Value`] naming the field.
    pub fn check(&self) -> Result<()> {
        let fail = |what: &str, expected: String, got: String| {
            Err(Error::Value { what: format!("{what} of a mel front end"), expected, got })
        };
        for (what, size, most) in [
            ("filter_length", self.filter_length, 1 << 20),
            ("hop_length", self.hop_length, 1 << 20),
            ("win_length", self.win_length, self.filter_length),
            ("n_mel_channels", self.n_mel_channels, 1 << 16),
            ("sampling_rate", self.sampling_rate, 1 << 24),
        ] {
            let least = if what == "filter_length" { 2 } else { 1 };
            if !(least..=most).contains(&size) {
                return fail(what, format!("{least} to {most}"), size.to_string());
            }
        }
        if !self.filter_length.is_multiple_of(2) {
            return fail("filter_length", "an even number".to_owned(), self.filter_length.to_string());
        }
        let highest = self.sampling_rate as f64 / 2.0;
        if !(0.0 <= self.mel_fmin && self.mel_fmin < self.mel_fmax && self.mel_fmax <= highest) {
            let got = format!("{} to {} Hz", self.mel_fmin, self.mel_fmax);
            return fail("range of pitch", format!("a range within 0 to {highest} Hz"), got);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_heard_is_refused() {
        MelConfig::AUDIOLDM.check().unwrap();
        for (config, expected) in [
            (MelConfig { hop_length: 0, ..MelConfig::AUDIOLDM }, "hop_length"),
            (MelConfig { filter_length: 1025, ..MelConfig::AUDIOLDM }, "an even number"),
            (MelConfig { win_length: 2048, ..MelConfig::AUDIOLDM }, "1 to 1024"),
            (MelConfig { mel_fmax: 9000.0, ..MelConfig::AUDIOLDM }, "0 to 8000 Hz"),
            (MelConfig { mel_fmin: f64::NAN, ..MelConfig::AUDIOLDM }, "range of pitch"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
