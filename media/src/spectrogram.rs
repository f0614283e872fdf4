//! Sound as a picture: time to the right, pitch upwards on a logarithmic scale, loudness as colour.

use crate::Audio;
use crate::picture::Picture;
use realfft::RealFftPlanner;
use std::f64::consts::TAU;

/// Samples of a window, at most; short clips of low rates get shorter ones.
const LONGEST_WINDOW: usize = 2048;
/// Seconds of a window: pitch and time are told apart about equally well by eye.
const WINDOW_S: f64 = 0.048;
/// The lowest pitch shown.
const LOWEST_HZ: f64 = 60.0;
/// What lies this far below the loudest is black.
const RANGE_DB: f64 = 70.0;

/// From silence to loudest: black, violet, red, orange, pale yellow.
const COLORS: [[f64; 3]; 6] = [
    [0.0, 0.0, 4.0],
    [59.0, 15.0, 112.0],
    [140.0, 41.0, 129.0],
    [222.0, 73.0, 104.0],
    [254.0, 159.0, 109.0],
    [252.0, 253.0, 191.0],
];

/// The spectrogram of `audio` as a picture of `width × height`; the loudest point has the brightest colour.
pub fn spectrogram(audio: &Audio, width: usize, height: usize) -> Picture {
    let mut picture = Picture::filled(width, height, color(0.0));
    if audio.samples.is_empty() || audio.sample_rate_hz == 0 || width == 0 || height == 0 {
        return picture;
    }
    let rate = f64::from(audio.sample_rate_hz);
    let window = ((WINDOW_S * rate) as usize).next_power_of_two().clamp(64, LONGEST_WINDOW);
    let columns: Vec<Vec<f64>> = power(&audio.samples, window, width);
    let highest = rate / 2.0;
    let lowest = LOWEST_HZ.min(highest / 4.0);
    // (first bin, last bin) that each row shows, from the top down.
    let hz_at = |row: f64| highest * (lowest / highest).powf(row / height as f64);
    let bin_at = |hz: f64| hz * window as f64 / rate;
    let loudest = columns.iter().flatten().copied().fold(0.0, f64::max).max(1e-12);
    for (column, spectrum) in columns.iter().enumerate() {
        for row in 0..height {
            let bins = (bin_at(hz_at(row as f64 + 1.0)), bin_at(hz_at(row as f64)));
            let decibels = 10.0 * (strongest(spectrum, bins) / loudest).max(1e-30).log10();
            let at = (row * width + column) * 3;
            picture.rgb[at..at + 3].copy_from_slice(&color(1.0 + decibels / RANGE_DB));
        }
    }
    picture
}

/// The strongest of the bins in the range, or what lies between the two nearest if it holds none.
fn strongest(spectrum: &[f64], (low, high): (f64, f64)) -> f64 {
    let last = spectrum.len() - 1;
    let (first, end) = (low.ceil() as usize, (high.floor() as usize).min(last));
    if first <= end {
        return spectrum[first..=end].iter().copied().fold(0.0, f64::max);
    }
    let middle = (0.5 * (low + high)).min(last as f64);
    let (below, part) = (middle.floor() as usize, middle.fract());
    spectrum[below] * (1.0 - part) + spectrum[(below + 1).min(last)] * part
}

/// Power of each bin at the middle of each of `columns` equal spans of the sound, Hann windows.
fn power(samples: &[f32], window: usize, columns: usize) -> Vec<Vec<f64>> {
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(window);
    let hann: Vec<f32> =
        (0..window).map(|index| (0.5 - 0.5 * (TAU * index as f64 / window as f64).cos()) as f32).collect();
    let mut input = fft.make_input_vec();
    let mut output = fft.make_output_vec();
    (0..columns)
        .map(|column| {
            let middle = ((column as f64 + 0.5) * samples.len() as f64 / columns as f64) as i64;
            let begin = middle - window as i64 / 2;
            for (index, value) in input.iter_mut().enumerate() {
                let sample = usize::try_from(begin + index as i64).ok().and_then(|at| samples.get(at));
                *value = sample.copied().filter(|sample| sample.is_finite()).unwrap_or(0.0) * hann[index];
            }
            fft.process(&mut input, &mut output).expect("both buffers were made by this transform");
            output.iter().map(|bin| f64::from(bin.norm_sqr())).collect()
        })
        .collect()
}

/// The colour of a loudness from 0 to 1.
fn color(loudness: f64) -> [u8; 3] {
    let place = loudness.clamp(0.0, 1.0) * (COLORS.len() - 1) as f64;
    let below = (place.floor() as usize).min(COLORS.len() - 2);
    let part = place - below as f64;
    std::array::from_fn(|c| (COLORS[below][c] * (1.0 - part) + COLORS[below + 1][c] * part).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row of the brightest pixel of a column.
    fn brightest_row(picture: &Picture, column: usize) -> usize {
        let light = |row: usize| {
            let at = (row * picture.width + column) * 3;
            picture.rgb[at..at + 3].iter().map(|value| u32::from(*value)).sum::<u32>()
        };
        (0..picture.height).max_by_key(|row| light(*row)).unwrap()
    }

    #[test]
    fn a_tone_is_bright_at_the_row_of_its_pitch() {
        let tone = |hz: f64| -> Vec<f32> {
            (0..8000).map(|index| (TAU * hz * f64::from(index) / 16_000.0).sin() as f32 * 0.3).collect()
        };
        let samples = [tone(500.0), tone(4000.0)].concat();
        let picture = spectrogram(&Audio { sample_rate_hz: 16_000, samples }, 40, 100);
        for (column, hz) in [(5, 500.0_f64), (35, 4000.0)] {
            // Rows go from 8000 Hz at the top to 60 Hz at the bottom by equal ratios.
            let expected = 100.0 * (8000.0 / hz).ln() / (8000.0_f64 / 60.0).ln();
            let row = brightest_row(&picture, column) as f64 + 0.5;
            assert!((row - expected).abs() < 2.5, "{hz} Hz is at row {row}, expected {expected}");
        }
    }

    #[test]
    fn silence_is_black() {
        let picture = spectrogram(&Audio { sample_rate_hz: 16_000, samples: vec![0.0; 4000] }, 8, 8);
        assert_eq!(picture, Picture::filled(8, 8, [0, 0, 4]));
    }
}
