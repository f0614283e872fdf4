//! From samples to frames of bands.

use super::{MelConfig, filterbank};
use crate::error::{Error, Result};
use realfft::{RealFftPlanner, RealToComplex};
use std::sync::Arc;

/// Bands are not heard below this.
const SILENCE: f64 = 1e-5;

/// The peak of normalised sound.
const PEAK: f64 = 0.5;

/// What a front end hears.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMel {
    /// Frames.
    pub frames: usize,
    /// Natural logarithm of the loudness of each band, (frames, bands).
    pub values: Vec<f64>,
    /// √ of the sum of squared magnitudes of each frame, (frames).
    pub energy: Vec<f64>,
}

/// A planned front end.
#[derive(Clone)]
pub struct MelFrontEnd {
    config: MelConfig,
    /// (filter_length).
    window: Vec<f64>,
    /// (bands, bins).
    bands: Vec<f64>,
    transform: Arc<dyn RealToComplex<f64>>,
}

impl MelFrontEnd {
    /// Plans the transform.
    ///
    /// # Errors
    /// [`Error::Value`] if the configuration cannot be heard.
    pub fn new(config: &MelConfig) -> Result<Self> {
        config.check()?;
        let (length, width) = (config.filter_length, config.win_length);
        let hann = |i: usize| 0.5 - 0.5 * libm::cos(std::f64::consts::TAU * i as f64 / width as f64);
        let mut window = vec![0.0; length];
        let begin = (length - width) / 2;
        window[begin..begin + width].iter_mut().enumerate().for_each(|(i, w)| *w = hann(i));
        Ok(Self {
            config: config.clone(),
            window,
            bands: filterbank(config),
            transform: RealFftPlanner::new().plan_fft_forward(length),
        })
    }

    /// The share of each frequency in each band, (bands, bins).
    pub fn bands(&self) -> &[f64] {
        &self.bands
    }

    /// Magnitudes of every frequency, (frames, bins). Frame k is centred at sample k·hop; beyond its ends the sound is
    /// mirrored.
    ///
    /// # Errors
    /// [`Error::Value`] if there are fewer samples than are mirrored.
    pub fn magnitudes(&self, samples: &[f64]) -> Result<Vec<f64>> {
        let (half, len) = (self.config.filter_length / 2, samples.len());
        if len <= half {
            return Err(Error::Value {
                what: "samples of sound for a mel front end".to_owned(),
                expected: format!("more than {half}"),
                got: len.to_string(),
            });
        }
        let at = |place: usize| match place.checked_sub(half) {
            None => samples[half - place],
            Some(i) if i < len => samples[i],
            Some(i) => samples[2 * (len - 1) - i],
        };
        let (mut input, mut output) = (self.transform.make_input_vec(), self.transform.make_output_vec());
        let mut magnitudes = Vec::with_capacity(self.config.frames(len) * self.config.bins());
        for frame in 0..self.config.frames(len) {
            let begin = frame * self.config.hop_length;
            input.iter_mut().zip(&self.window).enumerate().for_each(|(i, (x, w))| *x = w * at(begin + i));
            self.transform
                .process(&mut input, &mut output)
                .expect("both buffers were made by this transform");
            magnitudes.extend(output.iter().map(|x| (x.re * x.re + x.im * x.im).sqrt()));
        }
        Ok(magnitudes)
    }

    /// The loudness of every band.
    ///
    /// # Errors
    /// As [`MelFrontEnd::magnitudes`].
    pub fn log_mel(&self, samples: &[f64]) -> Result<LogMel> {
        let (magnitudes, bins) = (self.magnitudes(samples)?, self.config.bins());
        let (mut values, mut energy) = (Vec::new(), Vec::new());
        for frame in magnitudes.chunks_exact(bins) {
            energy.push(frame.iter().map(|x| x * x).sum::<f64>().sqrt());
            values.extend(self.bands.chunks_exact(bins).map(|band| {
                let loudness = band.iter().zip(frame).map(|(share, x)| share * x).sum::<f64>();
                libm::log(loudness.max(SILENCE))
            }));
        }
        Ok(LogMel { frames: energy.len(), values, energy })
    }

    /// Sound as AudioLDM's autoencoder expects it, of `frames` frames: without its mean, its peak at ½, silence behind it
    /// or its end cut off, its peak at ½ again. Silence stays silence.
    pub fn normalise(&self, samples: &[f32], frames: usize) -> Vec<f64> {
        let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / samples.len().max(1) as f64;
        let mut sound: Vec<f64> = samples.iter().map(|&x| f64::from(x) - mean).collect();
        let peak = |sound: &[f64]| sound.iter().fold(0.0f64, |peak, x| peak.max(x.abs()));
        let first = PEAK / (peak(&sound) + 1e-8);
        sound.iter_mut().for_each(|x| *x *= first);
        sound.resize(frames * self.config.hop_length, 0.0);
        let second = peak(&sound);
        if second > 0.0 {
            sound.iter_mut().for_each(|x| *x *= PEAK / second);
        }
        sound
    }

    /// The picture of a sound that AudioLDM's autoencoder takes, (frames, bands): the loudness of every band of the
    /// normalised sound, without the frame that is centred at its end.
    ///
    /// # Errors
    /// As [`MelFrontEnd::magnitudes`].
    pub fn picture(&self, samples: &[f32], frames: usize) -> Result<Vec<f64>> {
        let mut values = self.log_mel(&self.normalise(samples, frames))?.values;
        values.resize(frames * self.config.n_mel_channels, 0.0);
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_loudest_in_the_band_around_its_pitch() {
        let front_end = MelFrontEnd::new(&MelConfig::AUDIOLDM).unwrap();
        let tone = |i: usize| (std::f64::consts::TAU * 1000.0 * i as f64 / 16_000.0).sin();
        let heard = front_end.log_mel(&(0..3200).map(tone).collect::<Vec<_>>()).unwrap();
        assert_eq!((heard.frames, heard.values.len(), heard.energy.len()), (21, 21 * 64, 21));
        let frame = &heard.values[10 * 64..11 * 64];
        let loudest = (0..64).max_by(|&a, &b| frame[a].total_cmp(&frame[b])).unwrap();
        let bins = front_end.bands[loudest * 513..(loudest + 1) * 513].iter();
        assert!(bins.skip(64).step_by(513).all(|share| *share > 0.0), "bin 64 is 1000 Hz; band {loudest}");
        assert!((front_end.magnitudes(&[0.0; 600]).unwrap()).iter().all(|x| *x == 0.0));
        assert!(front_end.log_mel(&[0.0; 512]).is_err());
    }

    #[test]
    fn sound_is_cut_or_followed_by_silence_and_its_peak_is_one_half() {
        let front_end = MelFrontEnd::new(&MelConfig::AUDIOLDM).unwrap();
        let sound: Vec<f32> = (0..1000).map(|i| 0.2 + 0.1 * (i as f32 * 0.3).sin()).collect();
        for frames in [4, 10] {
            let normal = front_end.normalise(&sound, frames);
            let peak = normal.iter().fold(0.0f64, |peak, x| peak.max(x.abs()));
            assert!(normal.len() == frames * 160 && (peak - 0.5).abs() < 1e-12);
            assert_eq!(front_end.picture(&sound, frames).unwrap().len(), frames * 64);
        }
        assert!(front_end.normalise(&[0.0; 10], 1).iter().all(|x| *x == 0.0));
    }
}
