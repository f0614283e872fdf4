//! A ball that moves and a tone that moves with it, and measures of how far two clips are apart.

use avdit_media::{Audio, Clip, Rational, Video};
use std::path::Path;
use std::process::Command;

/// A bright ball on a dark ground, its height the pitch of the tone.
pub(crate) fn ball(width: usize, height: usize, frames: usize, fps: Rational, sample_rate_hz: u32) -> Clip {
    let seconds = frames as f64 / fps.value();
    let up_at = |time: f64| 0.5 + 0.35 * (time * 3.0).sin();
    let radius = height as f64 / 8.0;
    let paint = |index: usize| {
        let time = index as f64 / fps.value();
        let (x, y) = (width as f64 * (0.3 + 0.15 * time), height as f64 * (1.0 - up_at(time)));
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in 0..height {
            for column in 0..width {
                let distance = (column as f64 + 0.5 - x).hypot(row as f64 + 0.5 - y);
                let cover = (radius + 0.5 - distance).clamp(0.0, 1.0);
                let ground = [20.0 + 20.0 * row as f64 / height as f64, 24.0, 48.0];
                let colors = [230.0, 200.0, 150.0];
                rgb.extend((0..3).map(|c| (ground[c] + (colors[c] - ground[c]) * cover).round() as u8));
            }
        }
        rgb
    };
    let mut phase = 0.0;
    let count = (seconds * f64::from(sample_rate_hz)).round() as usize;
    let samples = (0..count)
        .map(|index| {
            let time = |index: f64| index / f64::from(sample_rate_hz);
            let value = f64::sin(phase) * 0.5 * (1.0 - 0.5 * (time(index as f64) * 9.0).cos().powi(8));
            // The pitch in the middle of the step: the same phase at every sample rate.
            let hz = 200.0 * 8.0_f64.powf(up_at(time(index as f64 + 0.5)));
            phase += std::f64::consts::TAU * time(hz);
            value as f32
        })
        .collect();
    Clip {
        video: Some(Video { width, height, fps, frames: (0..frames).map(paint).collect() }),
        audio: Some(Audio { sample_rate_hz, samples }),
    }
}

/// Decibels of the peak over the mean error of all values.
pub(crate) fn psnr_db(meant: &[Vec<u8>], got: &[Vec<u8>]) -> f64 {
    assert_eq!(meant.len(), got.len(), "frames");
    let (mut sum, mut count) = (0.0, 0);
    for (a, b) in meant.iter().zip(got) {
        assert_eq!(a.len(), b.len(), "values of a frame");
        sum += a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>();
        count += a.len();
    }
    10.0 * (255.0 * 255.0 * count as f64 / sum.max(1e-9)).log10()
}

/// Normalised correlation of `meant[i]` with `got[i + lag]`.
pub(crate) fn correlation(meant: &[f32], got: &[f32], lag: i64) -> f64 {
    let (mut product, mut a2, mut b2) = (0.0, 0.0, 0.0);
    for (index, a) in meant.iter().enumerate() {
        let Some(b) = usize::try_from(index as i64 + lag).ok().and_then(|at| got.get(at)) else { continue };
        let (a, b) = (f64::from(*a), f64::from(*b));
        product += a * b;
        a2 += a * a;
        b2 += b * b;
    }
    product / (a2 * b2).sqrt().max(1e-12)
}

/// The lag within ± `reach` samples at which the two correlate most, and that correlation.
pub(crate) fn best_lag(meant: &[f32], got: &[f32], reach: i64) -> (i64, f64) {
    (-reach..=reach)
        .map(|lag| (lag, correlation(meant, got, lag)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("a range that holds zero is not empty")
}

/// Whether ffmpeg runs; its absence is a failure where `AVDIT_REQUIRE_FFMPEG=1`.
pub(crate) fn has_ffmpeg() -> bool {
    let found = avdit_media::decode::Ffmpeg::find(avdit_media::FrameSize::Own).is_some();
    assert!(found || std::env::var_os("AVDIT_REQUIRE_FFMPEG").is_none_or(|v| v != "1"), "ffmpeg is required");
    found
}

/// Runs ffmpeg with `arguments`, the last being the file it writes.
pub(crate) fn ffmpeg(arguments: &[&str], output: &Path) {
    let program = std::env::var_os("AVDIT_FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let run = Command::new(program)
        .args(["-hide_banner", "-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .arg(output)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
