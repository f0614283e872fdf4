//! What a clip looks and sounds like at a glance: three small frames, the outline of its sound, a few numbers.

use crate::error::{Error, Result};
use crate::inspect::{mean_change, peak_db};
use crate::picture::Picture;
use crate::{Audio, Clip, Video, grid};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The longer side of a thumbnail, in pixels.
const SIDE: usize = 64;
const GAP: usize = 2;
const GROUND: [u8; 3] = [128, 128, 128];
/// Of 100; a strip of three natural pictures takes about 5 kB.
const QUALITY: u8 = 78;
/// Columns of the outline of a sound.
const COLUMNS: usize = 72;
/// From here on a sample counts as clipped.
const FULL_SCALE: f32 = 0.999;

/// A few numbers of a clip, as it was judged; rounded to three decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Seconds; of the shorter of sight and sound, if both are there.
    pub seconds: f64,
    /// Loudest sample in decibels of full scale, −200 for none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_db: Option<f64>,
    /// Root mean square of the samples in decibels of full scale, −200 for silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudness_db: Option<f64>,
    /// Share of the samples at full scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
    /// Mean change of a value of a pixel from one frame to the next, of 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
}

impl Measured {
    /// Measures a clip.
    pub fn of(clip: &Clip) -> Self {
        let (video, audio) = (seen(clip), heard(clip));
        let seconds = video.map(Video::duration_s).into_iter().chain(audio.map(Audio::duration_s));
        let seconds = seconds.fold(f64::INFINITY, f64::min);
        Self {
            seconds: if seconds.is_finite() { rounded(seconds) } else { 0.0 },
            peak_db: audio.map(|audio| rounded(peak_db(audio).into())),
            loudness_db: audio.map(|audio| rounded(loudness_db(audio))),
            clipped: audio.map(|audio| rounded(clipped(audio))),
            change: video.map(|video| rounded(mean_change(video).into())),
        }
    }
}

fn seen(clip: &Clip) -> Option<&Video> {
    clip.video.as_ref().filter(|video| !video.frames.is_empty())
}

fn heard(clip: &Clip) -> Option<&Audio> {
    clip.audio.as_ref().filter(|audio| !audio.samples.is_empty())
}

fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1e3).round() / 1e3 } else { 0.0 }
}

fn loudness_db(audio: &Audio) -> f64 {
    let squares: f64 = audio.samples.iter().map(|&x| f64::from(x).powi(2)).sum();
    (10.0 * libm::log10((squares / audio.samples.len() as f64).max(1e-20))).max(-200.0)
}

fn clipped(audio: &Audio) -> f64 {
    let full = audio.samples.iter().filter(|x| x.abs() >= FULL_SCALE).count();
    full as f64 / audio.samples.len() as f64
}

/// A clip at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// First, middle and last frame side by side, as jpeg; empty if it has no pictures.
    pub frames: Vec<u8>,
    /// Least and greatest sample of each of equal stretches of the sound, −100 to 100; empty if it has none.
    pub sound: Vec<[i8; 2]>,
}

impl Look {
    /// Of a clip; `path` is for errors alone.
    ///
    /// # Errors
    /// [`Error::Unencodable`] if the pictures cannot be written as jpeg.
    pub fn of(path: &Path, clip: &Clip) -> Result<Self> {
        Ok(Self {
            frames: seen(clip).map_or(Ok(Vec::new()), |video| strip(path, video))?,
            sound: heard(clip).map_or(Vec::new(), outline),
        })
    }
}

fn strip(path: &Path, video: &Video) -> Result<Vec<u8>> {
    let longer = video.width.max(video.height);
    let scaled = |side: usize| (side * SIDE / longer).max(1);
    let to =
        if longer > SIDE { (scaled(video.width), scaled(video.height)) } else { (video.width, video.height) };
    let mut row = Picture::filled(3 * to.0 + 2 * GAP, to.1, GROUND);
    for (place, frame) in [0, video.frames.len() / 2, video.frames.len() - 1].into_iter().enumerate() {
        let rgb = grid::crop_and_scale(video.frames[frame].clone(), (video.width, video.height), to);
        Error::check_count("bytes of a thumbnail", to.0 * to.1 * 3, rgb.len())?;
        row.paste(&Picture { width: to.0, height: to.1, rgb }, place * (to.0 + GAP), 0);
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(&row.rgb, row.width as u32, row.height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| Error::unencodable(path, format!("jpeg: {error}")))?;
    Ok(bytes)
}

fn outline(audio: &Audio) -> Vec<[i8; 2]> {
    let (samples, columns) = (&audio.samples, COLUMNS.min(audio.samples.len()));
    let percent = |x: f32| if x.is_finite() { (x.clamp(-1.0, 1.0) * 100.0).round() as i8 } else { 0 };
    let stretch = |c: usize| &samples[c * samples.len() / columns..(c + 1) * samples.len() / columns];
    (0..columns)
        .map(|c| {
            let bounds = |(low, high): (f32, f32), &x: &f32| (low.min(x), high.max(x));
            let (low, high) = stretch(c).iter().fold((0.0, 0.0), bounds);
            [percent(low), percent(high)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rational;

    #[test]
    fn a_look_has_three_frames_and_the_outline_and_a_clip_without_them_has_none() {
        let frames = (0..5).map(|i| vec![50 * i as u8; 128 * 64 * 3]).collect();
        let video = Video { width: 128, height: 64, fps: Rational::new(5, 1), frames };
        let samples = (0..8000).map(|i| if i < 4000 { 0.5 } else { -1.0 }).collect();
        let audio = Audio { sample_rate_hz: 8000, samples };
        let whole = Clip { video: Some(video), audio: Some(audio) };
        let look = Look::of(Path::new("x"), &whole).unwrap();
        let picture = image::load_from_memory(&look.frames).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (3 * 64 + 4, 32));
        let at = |x: u32| picture.get_pixel(x, 16).0[0].abs_diff(100);
        assert!(
            at(98) <= 3 && at(10) >= 97 && at(180) >= 97,
            "the frames are the first, the middle, the last"
        );
        assert_eq!((look.sound[0], look.sound[COLUMNS - 1]), ([0, 50], [-100, 0]));
        let measured = Measured::of(&whole);
        assert_eq!((measured.seconds, measured.clipped, measured.change), (1.0, Some(0.5), Some(50.0)));
        // Mean square (0.25 + 1) / 2.
        assert_eq!((measured.peak_db, measured.loudness_db), (Some(0.0), Some(-2.041)));
        let nothing = Clip { video: None, audio: None };
        assert_eq!(Look::of(Path::new("x"), &nothing).unwrap(), Look::default());
        assert_eq!(Measured::of(&nothing), Measured::default());
    }
}
