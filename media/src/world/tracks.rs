//! What is measured of a clip of any world: one quantity seen and one heard in every frame, and two that last.

use super::monologue::{face, voice};
use super::{WorldKind, both, frame_times_s};
use crate::Clip;
use crate::error::Result;

/// What is measured of a clip, frame by frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracks {
    /// What is seen in every frame, `None` where it is not: the height of the ball, 0 to 1; the opening of the
    /// mouth, 0 to 1.
    pub height: Vec<Option<f64>>,
    /// What is heard in every frame, `None` where nothing is: pitch in octaves above [`super::LOWEST_HZ`]; the
    /// loudness of the voice, 0 to 1.
    pub pitch: Vec<Option<f64>>,
    /// Colour of the ball or the face, 0 red to 1 blue.
    pub hue: Option<f64>,
    /// Share of the harmonics above the first in the tone; place of the voice's formant, 0 to 1.
    pub timbre: Option<f64>,
}

/// Measures a clip by the law of a world: height and pitch, or mouth and loudness.
///
/// # Errors
/// [`crate::Error::Value`] if it lacks pictures or sound.
pub fn tracks_of(kind: WorldKind, clip: &Clip) -> Result<Tracks> {
    match kind {
        WorldKind::Ball => super::ball::tracks(clip),
        WorldKind::Monologue => {
            let (video, audio) = both(clip)?;
            let (face, voice) = (face(video), voice(audio, &frame_times_s(video)));
            Ok(Tracks { height: face.mouth, pitch: voice.loudness, hue: face.hue, timbre: voice.timbre })
        }
    }
}
