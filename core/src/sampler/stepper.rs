//! Applies the coefficients to batches of latents.

use super::clip::Clip;
use super::method::Method;
use super::solver::{Move, Solver};
use super::update::{Elements, Memory, Real};
use crate::error::{Error, Result};
use crate::latents::{Latents, Levels};
use crate::layout::{Layout, Modality};
use crate::target::Target;
use std::ops::Range;

/// What a step may need besides latents and prediction.
#[derive(Clone, Copy, Debug)]
pub struct Extras<'a, T> {
    /// Standard normal noise; needed where the method [is stochastic](Method::is_stochastic).
    pub noise: Option<&'a Latents<T>>,
    /// The network's second output; needed where the method [needs it](Method::needs_variance).
    pub variance: Option<&'a Latents<T>>,
}

impl<T> Default for Extras<'_, T> {
    fn default() -> Self {
        Self { noise: None, variance: None }
    }
}

/// One run of a sampler over a batch whose clips all move alike.
///
/// For each step: [`begin`](Self::begin), then, until [`advance`](Self::advance) returns false, call the network at
/// [`levels`](Self::levels) and `advance`. Nothing is allocated after the first step.
#[derive(Clone, Debug)]
pub struct Stepper<T> {
    layout: Layout,
    batch: usize,
    solver: Solver,
    clip: Option<Clip>,
    ranges: [Vec<Range<usize>>; 2],
    memory: [Memory<T>; 2],
    levels: Levels,
    magnitudes: Vec<f64>,
}

impl<T: Real> Stepper<T> {
    /// A run over `batch` clips of `layout`, for a network that predicts `target`.
    ///
    /// # Errors
    /// As [`Solver::new`].
    pub fn new(
        method: Method,
        target: Target,
        clip: Option<Clip>,
        layout: &Layout,
        batch: usize,
    ) -> Result<Self> {
        let solver = Solver::new(method, target, clip.is_some(), layout.cells())?;
        let memory =
            Modality::ALL.map(|m| Memory::new(batch * layout.len(m), method.history(), method.saves_state()));
        let cells = batch * layout.segments();
        Ok(Self {
            layout: layout.clone(),
            batch,
            solver,
            clip,
            ranges: Modality::ALL.map(|modality| layout.segment_ranges(modality)),
            memory,
            levels: Levels { video: vec![0.0; cells], audio: vec![0.0; cells] },
            magnitudes: Vec::new(),
        })
    }

    /// Starts a step.
    ///
    /// # Shapes
    /// `moves`: `(2N,)` in cell order, the same for every clip.
    /// # Errors
    /// As [`Solver::begin`].
    pub fn begin(&mut self, moves: &[Move]) -> Result<()> {
        self.solver.begin(moves)?;
        self.set_levels();
        Ok(())
    }

    /// The levels at which the network is to be called now.
    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The coefficients of the present evaluation.
    pub fn solver(&self) -> &Solver {
        &self.solver
    }

    /// Moves `x` by the present evaluation's prediction; true if the step needs another one.
    ///
    /// # Shapes
    /// All as `x`, `(B, F, C, H, W)` and `(B, A, Ca)`.
    /// # Errors
    /// [`Error::Count`] if a shape is wrong; [`Error::Value`] if noise or variance is needed and missing.
    pub fn advance(
        &mut self,
        x: &mut Latents<T>,
        prediction: &Latents<T>,
        extras: Extras<T>,
    ) -> Result<bool> {
        for latents in [Some(&*x), Some(prediction), extras.noise, extras.variance].into_iter().flatten() {
            Error::check_count("clips in the latents of a step", self.batch, latents.batch)?;
            latents.check(&self.layout)?;
        }
        for (index, modality) in Modality::ALL.into_iter().enumerate() {
            for item in 0..self.batch {
                self.advance_item(index, modality, item, x, prediction, extras)?;
            }
        }
        let more = self.solver.proceed();
        if more {
            self.set_levels();
        }
        Ok(more)
    }

    fn advance_item(
        &mut self,
        index: usize,
        modality: Modality,
        item: usize,
        x: &mut Latents<T>,
        prediction: &Latents<T>,
        extras: Extras<T>,
    ) -> Result<()> {
        let (len, segments) = (self.layout.len(modality), self.layout.segments());
        let updates = &self.solver.updates()[index * segments..(index + 1) * segments];
        let (x, prediction) = (x.get_mut(modality), prediction.get(modality));
        let mut bound = T::default();
        if let Some(clip) = self.clip {
            self.magnitudes.clear();
            if matches!(clip, Clip::Dynamic { .. }) {
                for (update, range) in updates.iter().zip(&self.ranges[index]) {
                    let range = item * len + range.start..item * len + range.end;
                    if let Some(update) = update {
                        let pairs = x[range.clone()].iter().zip(&prediction[range]);
                        self.magnitudes.extend(pairs.map(|(&x, &p)| update.kept_of(x, p).to_f64().abs()));
                    }
                }
            }
            bound = T::from_f64(clip.bound(&mut self.magnitudes));
        }
        for (update, range) in updates.iter().zip(&self.ranges[index]) {
            let Some(update) = update else { continue };
            let range = item * len + range.start..item * len + range.end;
            let noisy = update.next.noise != 0.0;
            let cell = Elements {
                start: range.start,
                x: &mut x[range.clone()],
                prediction: &prediction[range.clone()],
                noise: needed(noisy, extras.noise, "noise of the step")?
                    .map(|z| &z.get(modality)[range.clone()]),
                variance: needed(
                    update.range.is_some() || update.learned,
                    extras.variance,
                    "learned variance",
                )?
                .map(|v| &v.get(modality)[range]),
            };
            match self.clip {
                Some(clip) => update.apply(cell, &mut self.memory[index], |value| clip.apply(value, bound)),
                None => update.apply(cell, &mut self.memory[index], |value| value),
            }
        }
        Ok(())
    }

    fn set_levels(&mut self) {
        let n = self.layout.segments();
        for item in 0..self.batch {
            for segment in 0..n {
                self.levels.video[item * n + segment] = self.solver.level(segment) as f32;
                self.levels.audio[item * n + segment] = self.solver.level(n + segment) as f32;
            }
        }
    }
}

fn needed<'a, T>(yes: bool, given: Option<&'a Latents<T>>, what: &str) -> Result<Option<&'a Latents<T>>> {
    match (yes, given) {
        (false, _) => Ok(None),
        (true, Some(latents)) => Ok(Some(latents)),
        (true, None) => Err(Error::value(what, "latents for this method", "none")),
    }
}
