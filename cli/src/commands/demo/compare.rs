//! What fewer steps, or another sampler, cost in time and quality.

use super::check_cancelled;
use super::law::{BATCH, HeldOut, Law};
use super::page::interval;
use super::samples::USUAL;
use crate::args::SamplerSteps;
use crate::output::say;
use crate::report::data;
use anyhow::Result;
use avdit_runtime::Engine;

/// A sampler, and the law as it leaves it.
pub struct Compared {
    with: SamplerSteps,
    laws: Vec<Law>,
}

/// Measures with each sampler that was asked for; the usual one comes first, with the laws that were measured with it.
pub fn measure(
    asked: &[SamplerSteps],
    usual: &[Law],
    held_out: &HeldOut<'_>,
    engine: &mut dyn Engine,
) -> Result<Vec<Compared>> {
    let mut compared = Vec::new();
    for &with in asked {
        check_cancelled()?;
        if compared.is_empty() {
            compared.push(Compared { with: USUAL, laws: usual.to_vec() });
        }
        if with != USUAL {
            compared.push(Compared { with, laws: held_out.measure(engine, with)? });
        }
    }
    Ok(compared)
}

/// For the page.
pub fn rows(compared: &[Compared]) -> Vec<data::Compared> {
    let row = |with: &SamplerSteps, law: &Law| data::Compared {
        sampler: with.sampler.to_string(),
        steps: with.steps,
        batch: BATCH,
        engine: law.engine.clone(),
        clip_s: law.clip_s,
        task: law.task.to_string(),
        difference: interval(law.agreement.difference),
        lasting: law.agreement.hue_timbre.map(interval),
        motion: law.motion,
    };
    compared.iter().flat_map(|one| one.laws.iter().map(|law| row(&one.with, law))).collect()
}

/// On stdout, a line for each sampler and task.
pub fn say_all(compared: &[Compared]) {
    for row in rows(compared) {
        let interval = |x: &data::Interval| format!("{:.2} [{:.2}, {:.2}]", x.mean, x.low, x.high);
        let lasting = row.lasting.as_ref().map(|x| format!(", colour and timbre {}", interval(x)));
        let motion = row.motion.map(|x| format!(", course {x:.2} x"));
        say(format!(
            "{} in {} steps, {}: {:.3} s a clip ({} at once on {}); height and pitch {} above shuffled{}{}",
            row.sampler,
            row.steps,
            row.task,
            row.clip_s,
            row.batch,
            row.engine,
            interval(&row.difference),
            lasting.unwrap_or_default(),
            motion.unwrap_or_default(),
        ));
    }
}
