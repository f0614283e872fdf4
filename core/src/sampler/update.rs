//! The linear form of a step, and the pass that applies it.

use crate::target::Linear;
use std::ops::{Add, Div, Mul, Neg};

/// A floating-point type in which latents are held.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// The exact value.
    fn to_f64(self) -> f64;
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// How many earlier evaluations any method looks back on.
pub(super) const MAX_HISTORY: usize = 3;

/// Factors of everything a step may add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Of the present latents.
    pub x: f64,
    /// Of the prediction.
    pub prediction: f64,
    /// Of what the method keeps of this evaluation: clean latents, noise or a slope.
    pub kept: f64,
    /// Of what it kept of earlier ones, the newest first.
    pub history: [f64; MAX_HISTORY],
    /// Of the saved earlier state.
    pub saved: f64,
    /// Of fresh standard normal noise.
    pub noise: f64,
}

impl Sum {
    /// `self`, with its factor of x applied to `state` in x's place.
    pub(super) fn of_state(self, state: Sum) -> Sum {
        let mut sum = Sum { x: 0.0, ..self };
        sum.x += self.x * state.x;
        sum.prediction += self.x * state.prediction;
        sum.kept += self.x * state.kept;
        sum.saved += self.x * state.saved;
        for (total, part) in sum.history.iter_mut().zip(state.history) {
            *total += self.x * part;
        }
        sum
    }
}

/// A range of variances in the logarithm, within which a network's second output chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogRange {
    /// At output −1.
    pub min: f64,
    /// At output +1.
    pub max: f64,
}

impl LogRange {
    /// ln variance = f·max + (1−f)·min, f = (output + 1)/2.
    pub fn log_variance(self, output: f64) -> f64 {
        let f = (output + 1.0) / 2.0;
        f * self.max + (1.0 - f) * self.min
    }
}

/// One cell's coefficients for one evaluation of the network.
///
/// With `k = kept.x·x + kept.prediction·p` (clipped, if so asked): x' = next·(x, p, k, history, saved, noise), and
/// after it k joins the history in slot `write`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// What is kept of this evaluation.
    pub kept: Linear,
    /// If set, k are clean latents that are clipped, and recover.x·x + recover.prediction·k is kept in their place:
    /// noise, or Heun's slope.
    pub recover: Option<Linear>,
    /// The next latents.
    pub next: Sum,
    /// The state to save for the next step, where the method needs one.
    pub save: Option<Sum>,
    /// If set, the noise is multiplied by the deviation that the network chooses in this range besides.
    pub range: Option<LogRange>,
    /// Whether the noise is multiplied by the root of the network's second output besides.
    pub learned: bool,
    /// The slots that hold the history, the newest first; as many as its factors can be other than 0.
    pub slots: [usize; MAX_HISTORY],
    /// The slot that receives what is kept.
    pub write: Option<usize>,
}

/// What a method remembers of one buffer of latents.
#[derive(Clone, Debug)]
pub(super) struct Memory<T> {
    history: Vec<Vec<T>>,
    saved: Vec<T>,
}

impl<T: Real> Memory<T> {
    pub(super) fn new(len: usize, history: usize, saves_state: bool) -> Self {
        let saved = if saves_state { vec![T::default(); len] } else { Vec::new() };
        Self { history: vec![vec![T::default(); len]; history], saved }
    }
}

/// The elements of one cell: latents, prediction, and, where the update uses them, noise and second output.
pub(super) struct Elements<'a, T> {
    pub(super) start: usize,
    pub(super) x: &'a mut [T],
    pub(super) prediction: &'a [T],
    pub(super) noise: Option<&'a [T]>,
    pub(super) variance: Option<&'a [T]>,
}

impl Update {
    /// What is kept of this evaluation, before any clipping.
    pub(super) fn kept_of<T: Real>(&self, x: T, prediction: T) -> T {
        T::from_f64(self.kept.x) * x + T::from_f64(self.kept.prediction) * prediction
    }

    /// What is kept, clipped.
    fn kept_clipped<T: Real>(&self, x: T, prediction: T, clip: &impl Fn(T) -> T) -> T {
        let kept = clip(self.kept_of(x, prediction));
        match self.recover {
            None => kept,
            Some(form) => T::from_f64(form.x) * x + T::from_f64(form.prediction) * kept,
        }
    }

    /// Applies the update; `clip` is applied to what is kept.
    pub(super) fn apply<T: Real>(&self, cell: Elements<T>, memory: &mut Memory<T>, clip: impl Fn(T) -> T) {
        let Elements { start, x, prediction, noise, variance } = cell;
        let next = Factors::<T>::new(&self.next);
        if memory.history.is_empty() && memory.saved.is_empty() {
            for (i, (x, &p)) in x.iter_mut().zip(prediction).enumerate() {
                let kept = self.kept_clipped(*x, p, &clip);
                let sum = next.x * *x + next.prediction * p + next.kept * kept;
                *x = self.add_noise(sum, next.noise, i, noise, variance);
            }
            return;
        }
        let save = self.save.map(|save| Factors::<T>::new(&save));
        let depth = memory.history.len();
        for (i, (x, &p)) in x.iter_mut().zip(prediction).enumerate() {
            let element = start + i;
            let kept = self.kept_clipped(*x, p, &clip);
            let mut past = [T::default(); MAX_HISTORY];
            for (value, slot) in past.iter_mut().zip(self.slots).take(depth) {
                *value = memory.history[slot][element];
            }
            let saved = memory.saved.get(element).copied().unwrap_or_default();
            let sum = |f: &Factors<T>| {
                let history = f.history[0] * past[0] + f.history[1] * past[1] + f.history[2] * past[2];
                f.x * *x + f.prediction * p + f.kept * kept + history + f.saved * saved
            };
            let arrived = self.add_noise(sum(&next), next.noise, i, noise, variance);
            if let Some(save) = &save {
                memory.saved[element] = sum(save);
            }
            *x = arrived;
            if let Some(slot) = self.write {
                memory.history[slot][element] = kept;
            }
        }
    }

    fn add_noise<T: Real>(
        &self,
        sum: T,
        factor: T,
        i: usize,
        noise: Option<&[T]>,
        variance: Option<&[T]>,
    ) -> T {
        let Some(noise) = noise else { return sum };
        let mut scaled = factor * noise[i];
        if let Some(output) = variance {
            let output = output[i].to_f64();
            let deviation = match self.range {
                Some(range) => (0.5 * range.log_variance(output)).exp(),
                None if self.learned => output.sqrt(),
                None => 1.0,
            };
            scaled = T::from_f64(deviation) * scaled;
        }
        sum + scaled
    }
}

/// [`Sum`] in the latents' type.
struct Factors<T> {
    x: T,
    prediction: T,
    kept: T,
    history: [T; MAX_HISTORY],
    saved: T,
    noise: T,
}

impl<T: Real> Factors<T> {
    fn new(sum: &Sum) -> Self {
        Self {
            x: T::from_f64(sum.x),
            prediction: T::from_f64(sum.prediction),
            kept: T::from_f64(sum.kept),
            history: sum.history.map(T::from_f64),
            saved: T::from_f64(sum.saved),
            noise: T::from_f64(sum.noise),
        }
    }
}
