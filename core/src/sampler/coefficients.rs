//! A step as one linear map of a state, for what applies it elsewhere than [`Stepper`](super::Stepper).
//!
//! The state of a cell is its latents, what the method kept of earlier evaluations by age, and the saved earlier
//! state. A step replaces the latents, what was kept last and the saved state by sums over all of these, the
//! prediction and noise; what was kept before grows older by one. A cell that stays keeps its state bit for bit.

use super::method::Method;
use super::update::{MAX_HISTORY, Sum, Update};
use crate::error::{Error, Result};
use crate::layout::Modality;
use serde::{Deserialize, Serialize};

/// What the state of a step holds beside the latents, and whether the step adds noise.
///
/// With H = `history`, the entries of the state are x, kept 1…H (the newest first), saved; the terms of a sum are
/// these, then the prediction, then noise; the sums are the next x, what is kept, saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepForm {
    /// Earlier evaluations, 0 to 3.
    pub history: usize,
    /// Whether an earlier state is held besides.
    pub saved: bool,
    /// Whether noise is added.
    pub noise: bool,
}

impl StepForm {
    /// Holds what any method needs.
    pub const EVERY: StepForm = StepForm { history: MAX_HISTORY, saved: true, noise: true };

    /// Holds what a method needs and no more.
    pub fn of(method: Method) -> Self {
        Self { history: method.history(), saved: method.saves_state(), noise: method.is_stochastic() }
    }

    /// Entries of the state: 1 + H and the saved one.
    pub fn entries(self) -> usize {
        1 + self.history + usize::from(self.saved)
    }

    /// Terms of a sum: the entries, the prediction and noise.
    pub fn terms(self) -> usize {
        self.entries() + 1 + usize::from(self.noise)
    }

    /// Sums of a step.
    pub fn sums(self) -> usize {
        1 + usize::from(self.history > 0) + usize::from(self.saved)
    }

    /// Checks a form that was read from a file.
    ///
    /// # Errors
    /// [`Error::Value`] if the history is longer than any method's.
    pub fn check(self) -> Result<()> {
        if self.history <= MAX_HISTORY {
            return Ok(());
        }
        Err(Error::value("history of the fused step", format!("0 to {MAX_HISTORY}"), self.history))
    }

    /// Checks that a method's steps have this form.
    ///
    /// # Errors
    /// [`Error::Value`] naming what the method needs.
    pub fn check_method(self, method: Method) -> Result<()> {
        if matches!(method, Method::Heun(_)) {
            // Its large terms cancel, and factors in single precision leave a visible rest.
            let expected = "a sampler of one prediction a step (export without --fused-step for Heun's)";
            return Err(Error::value("sampler on a fused step", expected, "heun"));
        }
        if method.needs_variance() {
            let expected =
                "a sampler of fixed variance, such as ddpm (export without --fused-step for ddpm-learned)";
            return Err(Error::value("sampler on a fused step", expected, "ddpm-learned"));
        }
        let need = Self::of(method);
        let held = need.history <= self.history && (self.saved || !need.saved) && (self.noise || !need.noise);
        if held {
            return Ok(());
        }
        let expected =
            format!("a sampler that needs no more than {self} (or a graph exported for this sampler)");
        Err(Error::value("sampler on this fused step", expected, format!("{need}")))
    }

    fn saved_entry(self) -> usize {
        1 + self.history
    }

    /// Writes the factors of a sum, in which what is kept is expressed by x and the prediction.
    fn write(self, sum: &Sum, update: &Update, row: &mut [f64]) {
        row[0] += sum.x + sum.kept * update.kept.x;
        for (factor, kept) in row[1..].iter_mut().zip(&sum.history[..self.history]) {
            *factor += kept;
        }
        if self.saved {
            row[self.saved_entry()] += sum.saved;
        }
        row[self.entries()] += sum.prediction + sum.kept * update.kept.prediction;
        if self.noise {
            row[self.entries() + 1] += sum.noise;
        }
    }
}

impl std::fmt::Display for StepForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (saved, noise) =
            (if self.saved { " and a saved state" } else { "" }, if self.noise { ", noise" } else { "" });
        write!(f, "{} earlier evaluations{saved}{noise}", self.history)
    }
}

/// The coefficients of one evaluation for every cell of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    form: StepForm,
    batch: usize,
    segments: usize,
    factors: [Vec<f32>; 2],
    moves: [Vec<f32>; 2],
    row: Vec<f64>,
}

impl Coefficients {
    /// For `batch` clips of N segments; nothing moves.
    pub fn new(form: StepForm, segments: usize, batch: usize) -> Self {
        let zeros = |n: usize| [vec![0.0; batch * n * segments], vec![0.0; batch * n * segments]];
        let (factors, moves) = (zeros(form.sums() * form.terms()), zeros(1));
        Self { form, batch, segments, factors, moves, row: vec![0.0; form.terms()] }
    }

    /// The form of the step.
    pub fn form(&self) -> StepForm {
        self.form
    }

    /// B.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Factors of a modality's cells, `(B, sums, terms, N)`.
    pub fn factors(&self, modality: Modality) -> &[f32] {
        &self.factors[modality as usize]
    }

    /// 1 for the cells of a modality that move, 0 for those that stay: `(B, N)`.
    pub fn moves(&self, modality: Modality) -> &[f32] {
        &self.moves[modality as usize]
    }

    /// Takes over a solver's updates, `(2N,)` in cell order, the same for every clip.
    ///
    /// # Errors
    /// [`Error::Count`] on another number of cells; [`Error::Value`] if an update is not linear (it clips, or takes
    /// a variance from the network) or needs more than the form holds.
    pub fn set(&mut self, updates: &[Option<Update>]) -> Result<()> {
        Error::check_count("updates of a step (one per cell)", 2 * self.segments, updates.len())?;
        for (cell, update) in updates.iter().enumerate() {
            let (modality, segment) = (cell / self.segments, cell % self.segments);
            self.moves[modality][segment] = if update.is_some() { 1.0 } else { 0.0 };
            if let Some(update) = update {
                self.check(update)?;
            }
            for sum in 0..self.form.sums() {
                self.row.fill(0.0);
                if let Some(update) = update {
                    self.fill_row(sum, update);
                }
                for (term, &factor) in self.row.iter().enumerate() {
                    let place = (sum * self.form.terms() + term) * self.segments + segment;
                    self.factors[modality][place] = factor as f32;
                }
            }
        }
        for values in self.factors.iter_mut().chain(&mut self.moves) {
            let len = values.len() / self.batch;
            for item in 1..self.batch {
                values.copy_within(..len, item * len);
            }
        }
        Ok(())
    }

    fn fill_row(&mut self, sum: usize, update: &Update) {
        let keeps = self.form.history > 0;
        match (sum, keeps) {
            (0, _) => self.form.write(&update.next, update, &mut self.row),
            (1, true) => {
                self.row[0] = update.kept.x;
                self.row[self.form.entries()] = update.kept.prediction;
            }
            _ => {
                let save = update.save.unwrap_or(Sum { saved: 1.0, ..Sum::default() });
                self.form.write(&save, update, &mut self.row);
            }
        }
    }

    fn check(&self, update: &Update) -> Result<()> {
        let form = self.form;
        let uses_history = |sum: &Sum| sum.history[form.history..].iter().any(|&factor| factor != 0.0);
        let sums = [Some(update.next), update.save];
        let mut sums = sums.iter().flatten();
        let held = sums.all(|sum| {
            !uses_history(sum) && (form.saved || sum.saved == 0.0) && (form.noise || sum.noise == 0.0)
        });
        if update.recover.is_some() || update.range.is_some() || update.learned {
            return Err(Error::value(
                "update of a fused step",
                "a linear one",
                "one that clips or learns its variance",
            ));
        }
        if held && (form.saved || update.save.is_none()) {
            return Ok(());
        }
        Err(Error::value(
            "update of a fused step",
            format!("one that needs no more than {form}"),
            "one that does",
        ))
    }
}
