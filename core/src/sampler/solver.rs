//! The coefficients of every step, in f64, from nothing but the rates of each cell.

use super::method::Method;
use super::update::{LogRange, MAX_HISTORY, Sum, Update};
use super::{dpm, first_order, unipc};
use crate::error::{Error, Result};
use crate::schedule::{NoiseSchedule, Rates};
use crate::target::{Linear, Target};
use std::cmp::Ordering;

/// A place on the way from noise to clean latents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// How much signal and noise the latents hold there.
    pub rates: Rates,
    /// The level that the network is told; 0 is clean.
    pub level: f64,
}

impl Point {
    /// A schedule's point at a level.
    pub fn at(schedule: &NoiseSchedule, level: f64) -> Self {
        Self { rates: schedule.rates(level), level }
    }
}

/// One cell's step. A step between equal levels leaves the cell as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// Where the cell is.
    pub from: Point,
    /// Where it is to be.
    pub to: Point,
    /// The highest order allowed; the history at hand may force a lower one.
    pub max_order: usize,
    /// Whether UniPC may first correct the state in which the cell arrived.
    pub correct: bool,
}

impl Move {
    /// A step at the method's full order.
    pub fn new(from: Point, to: Point) -> Self {
        Self { from, to, max_order: MAX_HISTORY, correct: true }
    }
}

/// What a cell has behind it.
#[derive(Clone, Debug, Default)]
struct Track {
    /// Points of the history, newest first.
    past: Vec<Rates>,
    /// The slot of the newest.
    newest: usize,
    /// Where the last step arrived.
    arrived: Option<Point>,
    /// Order of the last step.
    order: usize,
}

/// Computes [`Update`]s for a fixed number of cells, remembering each cell's way.
#[derive(Clone, Debug)]
pub struct Solver {
    method: Method,
    target: Target,
    /// Whether clean latents are clipped, even where noise is kept.
    clips: bool,
    moves: Vec<Move>,
    updates: Vec<Option<Update>>,
    tracks: Vec<Track>,
    /// Of Heun's second evaluation: the network is called at `to`.
    second: bool,
}

impl Solver {
    /// A solver for `cells` cells of a network that predicts `target`; `clips` if clean latents will be clipped.
    ///
    /// # Errors
    /// [`Error::Value`] if the order is not 1, 2 or 3, or η is negative.
    pub fn new(method: Method, target: Target, clips: bool, cells: usize) -> Result<Self> {
        if let Method::Dpm { order, .. } | Method::UniPc { order, .. } = method
            && !(1..=3).contains(&order)
        {
            return Err(Error::value("order of the sampler", "1, 2 or 3", order));
        }
        if let Method::Ddim { eta, .. } = method
            && !(eta >= 0.0 && eta.is_finite())
        {
            return Err(Error::value("eta of DDIM", "0 or more", eta));
        }
        let (tracks, updates) = (vec![Track::default(); cells], vec![None; cells]);
        Ok(Self { method, target, clips, moves: Vec::new(), updates, tracks, second: false })
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Starts a step and computes the coefficients of its first evaluation.
    ///
    /// # Shapes
    /// `moves`: one per cell, in cell order.
    /// # Errors
    /// [`Error::Count`] on another number of cells; [`Error::Value`] if a cell is to move to a higher level, or from
    /// where x̂0 cannot be had from the target (ε where α = 0).
    pub fn begin(&mut self, moves: &[Move]) -> Result<()> {
        Error::check_count("moves of a step (one per cell)", self.tracks.len(), moves.len())?;
        for (cell, step) in moves.iter().enumerate() {
            let (from, to) = (step.from, step.to);
            // NaN is neither equal nor less.
            if from.level != to.level && !matches!(to.level.partial_cmp(&from.level), Some(Ordering::Less)) {
                let expected = format!("a level below {}", from.level);
                return Err(Error::value(format!("level to which cell {cell} moves"), expected, to.level));
            }
            if from.level != to.level && from.rates.alpha == 0.0 && self.target == Target::Epsilon {
                let expected =
                    "v, x0 or flow: at a level without signal the noise says nothing about the clean latents";
                return Err(Error::value("prediction target", expected, "epsilon"));
            }
        }
        self.moves.clear();
        self.moves.extend_from_slice(moves);
        self.second = false;
        for cell in 0..moves.len() {
            self.updates[cell] = self.first(cell);
        }
        Ok(())
    }

    /// The level at which the network is to be called for each cell now.
    pub fn level(&self, cell: usize) -> f64 {
        let step = &self.moves[cell];
        if self.second { step.to.level } else { step.from.level }
    }

    /// The coefficients of the present evaluation; `None` for a cell that stays as it is.
    pub fn updates(&self) -> &[Option<Update>] {
        &self.updates
    }

    /// After the present evaluation was applied: whether the step needs another, whose coefficients are then ready.
    pub fn proceed(&mut self) -> bool {
        if self.second || !matches!(self.method, Method::Heun(_)) {
            return false;
        }
        self.second = true;
        for cell in 0..self.moves.len() {
            self.updates[cell] = self.second(cell);
        }
        self.updates.iter().any(Option::is_some)
    }

    fn first(&mut self, cell: usize) -> Option<Update> {
        let Move { from, to, max_order, correct } = self.moves[cell];
        if from.level == to.level {
            return None;
        }
        let (a, b) = (from.rates, to.rates);
        let depth = self.method.history();
        let track = &mut self.tracks[cell];
        if track.arrived.is_some_and(|arrived| arrived != from) {
            *track = Track::default();
        }
        // A point without signal has no finite λ; nothing can be extrapolated from it.
        let usable = track.past.iter().take_while(|rates| rates.alpha > 0.0).count();
        let cap = if b.sigma == 0.0 || a.alpha == 0.0 { 1 } else { max_order.max(1) };
        let order = |highest: usize| highest.min(cap).min(usable + 1);
        let (mut range, mut learned, mut save, mut used) = (None::<LogRange>, false, None, 1);
        let next = match self.method {
            Method::Ddpm { variance, noisy_end } => {
                let (sum, chosen) = first_order::ddpm(a, b, variance, noisy_end);
                range = chosen;
                learned = sum.noise != 0.0 && variance == super::Variance::Learned;
                sum
            }
            Method::Ddim { eta, from_clipped } => {
                first_order::ddim(a, b, eta, first_order::Epsilon::new(self.target, a, from_clipped))
            }
            Method::Euler => first_order::euler(a, b),
            Method::Renoise => first_order::renoise(b),
            Method::Heun(corner) => {
                save = Some(Sum { x: 1.0, ..Sum::default() });
                first_order::Heun::new(corner, self.target, self.clips).predict(a, b)
            }
            Method::Dpm { form, order: highest, half_step } => {
                used = order(highest);
                dpm::step(a, b, &track.past, form, used, half_step)
            }
            Method::UniPc { order: highest, basis, data } => {
                used = order(highest);
                let mut state = Sum { x: 1.0, ..Sum::default() };
                if correct && track.order > 0 && usable >= track.order {
                    let earlier = &track.past[1..track.order];
                    state = unipc::correct(track.past[0], a, earlier, basis, data);
                }
                save = Some(state);
                unipc::predict(a, b, &track.past[..used - 1], basis, data).of_state(state)
            }
        };
        let (kept, recover) = match (self.method, self.method.keeps_data(), self.clips) {
            (Method::Heun(corner), _, _) => first_order::Heun::new(corner, self.target, self.clips).slope(a),
            (_, true, _) => (self.target.to_x0(a), None),
            (_, false, false) => (self.target.to_epsilon(a), None),
            (_, false, true) => {
                (self.target.to_x0(a), Some(Linear { x: 1.0 / a.sigma, prediction: -a.alpha / a.sigma }))
            }
        };
        let mut slots = [0; MAX_HISTORY];
        let mut write = None;
        if depth > 0 {
            for (age, slot) in slots.iter_mut().enumerate().take(depth) {
                *slot = (track.newest + depth - age) % depth;
            }
            track.newest = (track.newest + 1) % depth;
            write = Some(track.newest);
            track.past.insert(0, a);
            track.past.truncate(depth);
        }
        track.arrived = Some(to);
        track.order = used;
        Some(Update { kept, recover, next, save, range, learned, slots, write })
    }

    fn second(&self, cell: usize) -> Option<Update> {
        let Move { from, to, .. } = self.moves[cell];
        let Method::Heun(corner) = self.method else { return None };
        if from.level == to.level || to.rates.sigma == 0.0 {
            return None;
        }
        let heun = first_order::Heun::new(corner, self.target, self.clips);
        let (kept, recover) = heun.slope(to.rates);
        Some(Update {
            kept,
            recover,
            next: heun.correct(from.rates, to.rates),
            save: None,
            range: None,
            learned: false,
            slots: [self.tracks[cell].newest; MAX_HISTORY],
            write: Some(self.tracks[cell].newest),
        })
    }
}
