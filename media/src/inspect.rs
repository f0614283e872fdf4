//! What makes a clip unfit for training, as data.

use crate::{Audio, Clip, Video};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a clip is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reject {
    /// It is shorter than one clip of the grid.
    TooShort {
        /// Seconds it has.
        got_s: f64,
        /// Seconds of a clip of the grid.
        need_s: f64,
    },
    /// It has no pictures.
    NoPicture,
    /// It has no sound.
    NoSound,
    /// Sight and sound differ in length.
    LengthMismatch {
        /// Seconds of sight.
        video_s: f64,
        /// Seconds of sound.
        audio_s: f64,
    },
    /// Nothing is heard.
    Silent {
        /// Its loudest sample, in decibels of full scale; −200 stands for none at all.
        peak_db: f32,
    },
    /// Nothing moves.
    Still {
        /// Mean change of a value of a pixel from one frame to the next, of 255.
        mean_change: f32,
    },
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { got_s, need_s } => {
                write!(f, "too short: {got_s:.2} s, a clip needs {need_s:.2} s")
            }
            Self::NoPicture => write!(f, "no pictures"),
            Self::NoSound => write!(f, "no sound"),
            Self::LengthMismatch { video_s, audio_s } => {
                write!(f, "sight and sound differ in length: {video_s:.2} s and {audio_s:.2} s")
            }
            Self::Silent { peak_db } => write!(f, "silent: its peak is {peak_db:.0} dB"),
            Self::Still { mean_change } => {
                write!(f, "still: a pixel changes by {mean_change:.3} of 255 a frame in the mean")
            }
        }
    }
}

/// Below what a clip counts as silent or still.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Decibels of full scale that the loudest sample must reach.
    pub silent_below_db: f32,
    /// Mean change of a value of a pixel from one frame to the next, of 255, that is motion.
    pub still_below: f32,
}

impl Default for Thresholds {
    /// −60 dB, at which 16 bits leave five; 0.05 of 255, less than the noise of any camera and than a ball of
    /// 1 % of the picture that moves by a fifth of its width a frame.
    fn default() -> Self {
        Self { silent_below_db: -60.0, still_below: 0.05 }
    }
}

/// The loudest sample in decibels of full scale, −200 if all are zero.
pub fn peak_db(audio: &Audio) -> f32 {
    let peak = audio.samples.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
    (20.0 * libm::log10f(peak.max(1e-10))).max(-200.0)
}

/// Changes of a value of a pixel up to so many of 255 are taken for the noise of coding a still picture.
const CODING_NOISE: u8 = 8;

/// The mean absolute change of a value of a pixel from one frame to the next, of 255, where changes no larger than
/// the noise of coding count as none; 0 of a single frame.
pub fn mean_change(video: &Video) -> f32 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    let change = |(a, b): (&u8, &u8)| Some(a.abs_diff(*b)).filter(|&d| d > CODING_NOISE).map_or(0, u64::from);
    for pair in video.frames.windows(2) {
        sum += pair[0].iter().zip(&pair[1]).map(change).sum::<u64>();
        count += pair[0].len() as u64;
    }
    if count == 0 { 0.0 } else { (sum as f64 / count as f64) as f32 }
}

/// [`Reject::Silent`] or [`Reject::Still`], if `clip` is; a modality that it has not is not judged.
pub fn silent_or_still(clip: &Clip, thresholds: &Thresholds) -> Option<Reject> {
    if let Some(audio) = &clip.audio {
        let peak_db = peak_db(audio);
        if peak_db < thresholds.silent_below_db {
            return Some(Reject::Silent { peak_db });
        }
    }
    if let Some(video) = &clip.video {
        let mean_change = mean_change(video);
        if video.frames.len() > 1 && mean_change < thresholds.still_below {
            return Some(Reject::Still { mean_change });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rational;

    #[test]
    fn half_of_full_scale_is_six_decibels_down() {
        let audio = Audio { sample_rate_hz: 8000, samples: vec![0.1, -0.5, 0.25] };
        assert!((peak_db(&audio) + 6.0206).abs() < 1e-3);
        assert_eq!(peak_db(&Audio { sample_rate_hz: 8000, samples: vec![0.0; 4] }), -200.0);
    }

    #[test]
    fn silence_and_stillness_are_told_with_their_measure() {
        let video = |frames| Video { width: 2, height: 1, fps: Rational::new(8, 1), frames };
        let moving = video(vec![vec![0; 6], vec![60; 6], vec![60; 6]]);
        assert_eq!(mean_change(&moving), 30.0);
        assert_eq!(mean_change(&video(vec![vec![0; 6], vec![8; 6], vec![6; 6]])), 0.0);
        let still = video(vec![vec![9; 6]; 3]);
        let loud = Audio { sample_rate_hz: 8000, samples: vec![0.5; 8] };
        let faint = Audio { sample_rate_hz: 8000, samples: vec![1e-4; 8] };
        let verdict = |video: &Video, audio: &Audio| {
            let clip = Clip { video: Some(video.clone()), audio: Some(audio.clone()) };
            silent_or_still(&clip, &Thresholds::default())
        };
        assert_eq!(verdict(&moving, &loud), None);
        assert_eq!(verdict(&still, &loud), Some(Reject::Still { mean_change: 0.0 }));
        assert!(
            matches!(verdict(&moving, &faint), Some(Reject::Silent { peak_db }) if (peak_db + 80.0).abs() < 0.01)
        );
    }
}
