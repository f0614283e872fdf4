//! Triangular bands on Slaney's mel scale.

use super::MelConfig;

/// Up to here mels are proportional to frequency, above to its logarithm (Slaney 1998, Auditory Toolbox).
const BREAK_HZ: f64 = 1000.0;
const HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Mels in which the frequency grows by a factor of 6.4 above the break.
const MELS_PER_STEP: f64 = 27.0;
const STEP: f64 = 6.4;

fn mel(hz: f64) -> f64 {
    if hz < BREAK_HZ {
        return hz / HZ_PER_MEL;
    }
    BREAK_HZ / HZ_PER_MEL + libm::log(hz / BREAK_HZ) * MELS_PER_STEP / libm::log(STEP)
}

fn hz(mel: f64) -> f64 {
    let above = mel - BREAK_HZ / HZ_PER_MEL;
    if above < 0.0 {
        return mel * HZ_PER_MEL;
    }
    BREAK_HZ * libm::exp(above * libm::log(STEP) / MELS_PER_STEP)
}

/// The share of each frequency in each band, (bands, bins): triangles whose corners are equally far apart in mels, of
/// the height that gives each the area 1 over frequency in Hz.
pub fn filterbank(config: &MelConfig) -> Vec<f64> {
    let (bands, bins) = (config.n_mel_channels, config.bins());
    let (low, high) = (mel(config.mel_fmin), mel(config.mel_fmax));
    let corner = |i: usize| hz(low + (high - low) * i as f64 / (bands + 1) as f64);
    let mut shares = Vec::with_capacity(bands * bins);
    for band in 0..bands {
        let [left, middle, right] = [corner(band), corner(band + 1), corner(band + 2)];
        for bin in 0..bins {
            let hz = bin as f64 * config.sampling_rate as f64 / config.filter_length as f64;
            let rising = (hz - left) / (middle - left);
            let falling = (right - hz) / (right - middle);
            shares.push(rising.min(falling).max(0.0) * 2.0 / (right - left));
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_its_own_inverse_on_both_sides_of_the_break() {
        for pitch in [0.0, 440.0, 999.9, 1000.0, 3000.0, 8000.0] {
            assert!((hz(mel(pitch)) - pitch).abs() < 1e-9 * (1.0 + pitch));
        }
        assert!((mel(6400.0) - 42.0).abs() < 1e-12, "27 mels above the break, which is at 15");
    }

    #[test]
    fn a_band_has_the_area_1_over_frequency() {
        let config = MelConfig { filter_length: 16_384, win_length: 1024, ..MelConfig::AUDIOLDM };
        let width = config.sampling_rate as f64 / config.filter_length as f64;
        for band in filterbank(&config).chunks_exact(config.bins()) {
            let area = band.iter().sum::<f64>() * width;
            assert!((area - 1.0).abs() < 0.01, "{area}");
        }
    }
}
