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
    /// The slot that receives what is kept: the oldest. None where the method keeps nothing.
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

    /// Applies the update; `clip` is applied to clean latents.
    pub(super) fn apply<T: Real>(&self, cell: Elements<T>, memory: &mut Memory<T>, clip: impl Fn(T) -> T) {
        let Elements { start, x, prediction, noise, variance } = cell;
        match (memory.history.len(), memory.saved.is_empty()) {
            (0, _) => self.without_history(x, prediction, clip),
            (1, true) => self.with_history::<T, 1, false>(start, x, prediction, memory, clip),
            (1, false) => self.with_history::<T, 1, true>(start, x, prediction, memory, clip),
            (2, true) => self.with_history::<T, 2, false>(start, x, prediction, memory, clip),
            (2, false) => self.with_history::<T, 2, true>(start, x, prediction, memory, clip),
            (_, true) => self.with_history::<T, MAX_HISTORY, false>(start, x, prediction, memory, clip),
            (_, false) => self.with_history::<T, MAX_HISTORY, true>(start, x, prediction, memory, clip),
        }
        if let Some(noise) = noise {
            self.add_noise(x, noise, variance);
        }
    }

    fn without_history<T: Real>(&self, x: &mut [T], prediction: &[T], clip: impl Fn(T) -> T) {
        let next = Factors::<T>::new(&self.next);
        for (x, &p) in x.iter_mut().zip(prediction) {
            let kept = self.kept_clipped(*x, p, &clip);
            *x = next.x * *x + next.prediction * p + next.kept * kept;
        }
    }

    /// With the lengths known to the compiler, so that the pass is made of vector instructions.
    fn with_history<T: Real, const DEPTH: usize, const SAVED: bool>(
        &self,
        start: usize,
        x: &mut [T],
        prediction: &[T],
        memory: &mut Memory<T>,
        clip: impl Fn(T) -> T,
    ) {
        let n = x.len();
        let prediction = &prediction[..n];
        let mut slots = [const { None }; MAX_HISTORY];
        for (slot, buffer) in slots.iter_mut().zip(&mut memory.history) {
            *slot = Some(&mut buffer[start..start + n]);
        }
        // By age; the oldest is the one that is written.
        let past: [&mut [T]; DEPTH] =
            std::array::from_fn(|age| slots[self.slots[age]].take().unwrap_or_default());
        let past = past.map(|buffer| &mut buffer[..n]);
        let saved = if SAVED { &mut memory.saved[start..start + n] } else { &mut [] };
        // Without a state to save, the saved one stays.
        let save = self.save.unwrap_or(Sum { saved: 1.0, ..Sum::default() });
        let (next, save) = (Factors::<T>::new(&self.next), Factors::<T>::new(&save));
        for i in 0..n {
            let (here, p) = (x[i], prediction[i]);
            let kept = self.kept_clipped(here, p, &clip);
            let sum = |f: &Factors<T>| {
                let mut sum = f.x * here + f.prediction * p + f.kept * kept;
                for (factor, buffer) in f.history.iter().zip(&past) {
                    sum = sum + *factor * buffer[i];
                }
                if SAVED { sum + f.saved * saved[i] } else { sum }
            };
            let (arrived, state) = (sum(&next), sum(&save));
            x[i] = arrived;
            if SAVED {
                saved[i] = state;
            }
            past[DEPTH - 1][i] = kept;
        }
    }

    fn add_noise<T: Real>(&self, x: &mut [T], noise: &[T], variance: Option<&[T]>) {
        let factor = T::from_f64(self.next.noise);
        let Some(variance) = variance else {
            x.iter_mut().zip(noise).for_each(|(x, &z)| *x = *x + factor * z);
            return;
        };
        for ((x, &z), &output) in x.iter_mut().zip(noise).zip(variance) {
            let output = output.to_f64();
            let deviation = match self.range {
                Some(range) => (0.5 * range.log_variance(output)).exp(),
                None => output.sqrt(),
            };
            *x = *x + T::from_f64(deviation) * (factor * z);
        }
    }
}

/// [`Sum`] in the latents' type.
struct Factors<T> {
    x: T,
    prediction: T,
    kept: T,
    history: [T; MAX_HISTORY],
    saved: T,
}

impl<T: Real> Factors<T> {
    fn new(sum: &Sum) -> Self {
        Self {
            x: T::from_f64(sum.x),
            prediction: T::from_f64(sum.prediction),
            kept: T::from_f64(sum.kept),
            history: sum.history.map(T::from_f64),
            saved: T::from_f64(sum.saved),
        }
    }
}
