//! Which units to quantize: each alone, then the largest set that keeps the prediction within a budget.
//!
//! Errors of units are nearly independent, so their noise adds up and the sum orders the sets; what a set really does is
//! measured before it is believed.

use crate::class::ClassTime;
use crate::error::{Error, Result};
use crate::int8::{self, Form, Settings};
use crate::quality::{self, Errors, ratio_of};
use crate::states::State;
use crate::unit::Unit;
use crate::workbench::{Failure, Workbench};
use avdit_onnx::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A unit, and what quantizing it alone does to the prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Its name.
    pub unit: String,
    /// Multiply-adds of its products.
    pub multiply_adds: u64,
    /// Worst stratum and modality, in decibels.
    pub worst_snr_db: f64,
    /// Noise over signal, sight and sound, stratum by stratum in their order.
    pub errors: Vec<[f64; 2]>,
}

/// A set of units that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// How many units, in the order of the search.
    pub units: usize,
    /// Their share of the multiply-adds of all units.
    pub share: f64,
    /// Worst stratum and modality, in decibels.
    pub worst_snr_db: f64,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The units that are quantized.
    pub chosen: Vec<String>,
    /// Every unit, in the order in which they were taken.
    pub order: Vec<Sensitivity>,
    /// Every set that was measured.
    pub measured: Vec<Candidate>,
    /// Units that were left out since fewer bits make them slower.
    #[serde(default)]
    pub slower: Vec<ClassTime>,
}

/// What a search is about.
pub struct Search<'a> {
    /// The graph in single precision.
    pub model: &'a Model,
    /// Its units, with the multiply-adds of each.
    pub units: &'a [(Unit, u64)],
    /// Questions and answers.
    pub states: &'a [State],
    /// How units are quantized.
    pub form: Form,
    /// With which integers, divisors and ranges.
    pub settings: &'a Settings,
    /// The signal-to-noise ratio that every stratum keeps, in decibels.
    pub budget_db: f64,
}

impl Search<'_> {
    /// The graph with some units quantized.
    ///
    /// # Errors
    /// As [`int8::rewrite`].
    pub fn model_of(&self, names: &[String]) -> Result<Model> {
        let forms: BTreeMap<String, Form> = names.iter().map(|name| (name.clone(), self.form)).collect();
        let mut model = self.model.clone();
        int8::rewrite(&mut model, &forms, self.settings)?;
        Ok(model)
    }

    /// Measures units one by one; those in `known` were measured before. `on_unit` hears of each.
    ///
    /// # Errors
    /// If a graph cannot be made or run.
    pub fn sensitivities(
        &self,
        bench: &mut dyn Workbench,
        known: &BTreeMap<String, Vec<[f64; 2]>>,
        on_unit: &mut dyn FnMut(usize, &Sensitivity) -> Result<()>,
    ) -> Result<Vec<Sensitivity>> {
        if self.states.is_empty() {
            return Err(Error::mismatch("states to measure on", "at least one", "none"));
        }
        let mut found = Vec::new();
        for (index, (unit, multiply_adds)) in self.units.iter().enumerate() {
            let errors = match known.get(&unit.name) {
                Some(errors) => errors.clone(),
                None => {
                    let errors = self.measure(bench, std::slice::from_ref(&unit.name))?;
                    errors.into_values().collect()
                }
            };
            let worst = errors.iter().flatten().fold(0.0, |worst: f64, error| worst.max(*error));
            let sensitivity = Sensitivity {
                unit: unit.name.clone(),
                multiply_adds: *multiply_adds,
                worst_snr_db: quality::decibels(worst),
                errors,
            };
            on_unit(index, &sensitivity)?;
            found.push(sensitivity);
        }
        Ok(found)
    }

    /// What a set does, measured.
    ///
    /// # Errors
    /// If its graph cannot be made or run.
    pub fn measure(&self, bench: &mut dyn Workbench, names: &[String]) -> Result<Errors> {
        let model = self.model_of(names)?;
        let mut network = bench.open(&model).map_err(engine)?;
        quality::errors(network.as_mut(), self.states)
    }

    /// The largest set within the budget: units in the order of noise per multiply-add; the longest beginning of that
    /// order that is measured to keep the budget, by halving. Without any that does, none is chosen.
    ///
    /// # Errors
    /// If a graph cannot be made or run.
    pub fn choose(
        &self,
        bench: &mut dyn Workbench,
        sensitivities: Vec<Sensitivity>,
        on_measured: &mut dyn FnMut(&Candidate),
    ) -> Result<Found> {
        let order = ordered(sensitivities, ratio_of(self.budget_db));
        let total: u64 = order.iter().map(|unit| unit.multiply_adds).sum();
        let names = |n: usize| order[..n].iter().map(|unit| unit.unit.clone()).collect::<Vec<_>>();
        let mut measured: Vec<Candidate> = Vec::new();
        let mut fits = |n: usize| -> Result<bool> {
            let worst_snr_db = quality::worst_db(&self.measure(bench, &names(n))?);
            let taken: u64 = order[..n].iter().map(|unit| unit.multiply_adds).sum();
            let candidate = Candidate { units: n, share: taken as f64 / total.max(1) as f64, worst_snr_db };
            on_measured(&candidate);
            measured.push(candidate);
            Ok(worst_snr_db >= self.budget_db)
        };
        let chosen = longest(order.len(), &mut fits)?;
        let chosen = names(chosen);
        measured.sort_by_key(|candidate| candidate.units);
        Ok(Found { chosen, order, measured, slower: Vec::new() })
    }
}

fn engine(source: Failure) -> Error {
    Error::Core(avdit_core::Error::Engine { engine: "of the search", source })
}

/// The largest n for which `fits`, if it fits for all that are smaller; 0 if none does.
fn longest(all: usize, fits: &mut dyn FnMut(usize) -> Result<bool>) -> Result<usize> {
    if all == 0 || fits(all)? {
        return Ok(all);
    }
    let (mut good, mut bad) = (0, all);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

/// Units from the cheapest to the dearest: the share of the budget that a unit takes in the stratum where it takes
/// most, for each of its multiply-adds.
fn ordered(mut units: Vec<Sensitivity>, budget: f64) -> Vec<Sensitivity> {
    let price = |unit: &Sensitivity| {
        let worst = unit.errors.iter().flatten().fold(0.0, |worst: f64, error| worst.max(*error));
        worst / budget / unit.multiply_adds.max(1) as f64
    };
    units.sort_by(|a, b| price(a).total_cmp(&price(b)));
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_is_found_wherever_it_ends() {
        for (all, end) in [(0, 0), (1, 0), (1, 1), (7, 0), (7, 3), (7, 6), (7, 7), (100, 64)] {
            let mut asked = 0;
            let found = longest(all, &mut |n| {
                asked += 1;
                Ok(n <= end)
            });
            assert_eq!(found.unwrap(), end.min(all), "{end} of {all}");
            assert!(asked <= 9, "{asked} measurements for {all}");
        }
    }

    #[test]
    fn a_unit_that_costs_much_for_little_comes_last() {
        let unit = |name: &str, multiply_adds, error| Sensitivity {
            unit: name.into(),
            multiply_adds,
            worst_snr_db: 0.0,
            errors: vec![[0.0, error], [error / 2.0, 0.0]],
        };
        let order =
            ordered(vec![unit("small", 10, 1e-3), unit("large", 1000, 2e-3), unit("free", 10, 0.0)], 1e-2);
        assert_eq!(
            order.iter().map(|unit| unit.unit.as_str()).collect::<Vec<_>>(),
            ["free", "large", "small"]
        );
    }
}
