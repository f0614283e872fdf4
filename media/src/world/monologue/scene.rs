//! What happens in a clip: when the voice sounds and how high, and who speaks.

use avdit_core::{Noise, Purpose, Stream};
use std::f64::consts::{PI, TAU};

/// The part of the clips' noise that is this world's.
const STEP: u32 = 1 << 16;
/// Before the clip begins, by so much, the first syllable may begin.
const EARLIEST_S: f64 = -0.8;
/// Seconds in which a clip may lie.
const LATEST_S: f64 = 60.0;

/// One swelling and fading of the voice.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Syllable {
    from_s: f64,
    to_s: f64,
    loudness: f64,
}

/// A voice that speaks without end, and the face it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Who speaks: the face's colour, 0 red over 0.5 green to 1 blue, and the place of the voice's formant.
    pub hue: f64,
    /// The mean pitch, 0 to 1.
    pub base: f64,
    /// How far the pitch goes up and down from there.
    pub swing: f64,
    /// How often, in Hz.
    pub swing_hz: f64,
    /// Where it stands at the start, in turns.
    pub swing_phase: f64,
    /// Brightness of the wall behind the face, 0 to 1.
    pub wall: f64,
    syllables: Vec<Syllable>,
}

impl Speech {
    /// What is said in the clip `index` of the world of a seed.
    pub fn new(seed: u64, index: u32) -> Self {
        let between = |element: u32, low: f64, high: f64| {
            low + (high - low) * Noise::new(seed).uniform(Stream::new(Purpose::Clips, STEP, index), element)
        };
        let mut syllables = Vec::new();
        let mut from_s = EARLIEST_S + between(6, 0.0, 0.6);
        for n in (7..).step_by(3) {
            if from_s >= LATEST_S {
                break;
            }
            let to_s = from_s + between(n, 0.4, 0.7);
            syllables.push(Syllable { from_s, to_s, loudness: between(n + 1, 0.5, 1.0) });
            // A word's end every now and then.
            from_s = to_s + (between(n + 2, -0.5, 0.3)).max(-0.05);
        }
        Self {
            hue: between(0, 0.0, 1.0),
            base: between(1, 0.4, 0.6),
            swing: between(2, 0.2, 0.4),
            swing_hz: between(3, 0.35, 0.7),
            swing_phase: between(4, 0.0, 1.0),
            wall: between(5, 0.85, 0.88),
            syllables,
        }
    }

    /// Loudness of the voice and opening of the mouth, 0 to 1.
    pub fn loudness(&self, t_s: f64) -> f64 {
        let sounding = self.syllables.iter().filter(|s| (s.from_s..s.to_s).contains(&t_s));
        let swell = |s: &Syllable| s.loudness * (PI * (t_s - s.from_s) / (s.to_s - s.from_s)).sin().powi(2);
        sounding.map(swell).sum::<f64>().min(1.0)
    }

    /// Pitch of the voice and height of the head, 0 to 1.
    pub fn pitch(&self, t_s: f64) -> f64 {
        self.base + self.swing * (TAU * (self.swing_hz * t_s + self.swing_phase)).sin()
    }
}
