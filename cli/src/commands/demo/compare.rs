//! What fewer steps, or another sampler, cost in time and quality.

use super::law::{self, BATCH, Law};
use super::{Folders, check_cancelled};
use crate::args::{DemoArgs, SamplerSteps};
use crate::output::say;
use crate::report::data;
use anyhow::Result;
use avdit_media::codec::LinearCodec;
use avdit_runtime::Engine;

/// A sampler, and the law as it leaves it.
pub struct Compared {
    with: SamplerSteps,
    laws: Vec<Law>,
}

/// Measures with each sampler that was asked for.
pub fn measure(
    args: &DemoArgs,
    folders: &Folders,
    codec: &LinearCodec,
    engine: &mut dyn Engine,
) -> Result<Vec<Compared>> {
    let measure = |&with: &SamplerSteps| {
        check_cancelled()?;
        Ok(Compared { with, laws: law::measure(folders, codec, engine, args.seed, with)? })
    };
    args.compare.iter().map(measure).collect()
}

/// For the page.
pub fn rows(compared: &[Compared]) -> Vec<data::Compared> {
    let interval =
        |x: avdit_media::world::Interval| data::Interval { mean: x.mean, low: x.low, high: x.high };
    let row = |with: &SamplerSteps, law: &Law| data::Compared {
        sampler: with.sampler.to_string(),
        steps: with.steps,
        batch: BATCH,
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
            "{} in {} steps, {}: {:.3} s a clip ({} at once); height and pitch {} above shuffled{}{}",
            row.sampler,
            row.steps,
            row.task,
            row.clip_s,
            row.batch,
            interval(&row.difference),
            lasting.unwrap_or_default(),
            motion.unwrap_or_default(),
        ));
    }
}
