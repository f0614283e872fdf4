//! The page of a quantized model: one file, with the samples beside it.

use super::environment;
use super::svg::{Set, quality_chart};
use crate::commands::quantize::{Quality, file_name};
use avdit_quantize::quality::Fidelity;
use avdit_quantize::states::{BINS, Stratum};
use minijinja::context;
use minijinja::value::Value;

/// The page.
///
/// # Errors
/// If the template cannot be rendered, which is a fault of this program.
pub(crate) fn quality_page(quality: &Quality) -> Result<String, minijinja::Error> {
    let (predictions, trajectories) = quality.worst_db();
    let sets: Vec<Set> = quality
        .curve
        .iter()
        .map(|point| Set {
            units: point.units,
            chosen: point.chosen,
            ratio: point.latency.ratio(),
            db: point.trajectory_db,
        })
        .collect();
    let samples = quality.samples.iter().map(|task| context! { task, file => file_name(task) });
    environment()?.get_template("quality.html")?.render(context! {
        source => &quality.source,
        precision => &quality.precision,
        target => &quality.target,
        simulated => quality.simulated,
        engine => &quality.engine,
        budget => quality.budget_snr_db,
        predictions, trajectories,
        speed => quality.speed(),
        rounds => quality.latency.map(|latency| latency.rounds),
        cpu => quality.latency.map(|latency| format!("{:.2} ms against {:.2} ms", latency.quantized_cpu_ms, latency.source_cpu_ms)),
        size => quality.size.quantized_bytes as f64 / quality.size.source_bytes as f64,
        quantized_bytes => quality.size.quantized_bytes,
        source_bytes => quality.size.source_bytes,
        quantized => quality.quantized, kept => quality.kept, smoothed => quality.smoothed,
        weight_bits => quality.weight_bits,
        sampler => &quality.sampler, steps => quality.steps,
        tasks => quality.tasks.iter().map(|task| context! {
            name => &task.task, video => cell(task.video, quality.budget_snr_db), audio => cell(task.audio, quality.budget_snr_db),
            worst => &task.worst_cell, worst_db => task.worst_cell_snr_db,
        }).collect::<Vec<_>>(),
        grids => [("picture", true), ("sound", false)].map(|(name, video)| context! { name, rows => grid(quality, video) }),
        columns => (0..BINS).map(quarter).collect::<Vec<_>>(),
        chart => Value::from_safe_string(quality_chart(&sets, quality.budget_snr_db)),
        curve => quality.curve.iter().map(|point| context! {
            units => point.units, chosen => point.chosen, prediction => point.prediction_db,
            trajectory => point.trajectory_db, ratio => point.latency.ratio(),
        }).collect::<Vec<_>>(),
        measured => quality.search.iter().flat_map(|found| &found.measured).map(|set| context! {
            units => set.units, share => set.share, db => set.worst_snr_db,
        }).collect::<Vec<_>>(),
        units => quality.search.iter().flat_map(|found| found.order.iter().map(|unit| context! {
            name => &unit.unit, db => unit.worst_snr_db, chosen => found.chosen.contains(&unit.unit),
        })).collect::<Vec<_>>(),
        slower => quality.search.iter().flat_map(|found| &found.slower).map(|class| context! {
            units => &class.units, ratio => format!("{:.2}", class.ratio),
        }).collect::<Vec<_>>(),
        samples => samples.collect::<Vec<_>>(),
        style => Value::from_safe_string(concat!(include_str!("page.css"), include_str!("quality.css")).into()),
    })
}

/// A modality of a task: its figures, or that it is given.
fn cell(fidelity: Option<Fidelity>, budget: f64) -> Value {
    fidelity.map_or(context! { given => true }, |fidelity| {
        context! { given => false, db => fidelity.snr_db, cosine => fidelity.cosine, low => fidelity.snr_db < budget }
    })
}

fn quarter(bin: usize) -> String {
    format!("{}–{} %", 100 * bin / BINS, 100 * (bin + 1) / BINS)
}

/// Rows of levels of sight, from clean to noise; in each, levels of sound.
fn grid(quality: &Quality, video: bool) -> Vec<Value> {
    let found = |stratum: Stratum| {
        let found = quality.strata.iter().find(|quality| quality.stratum == stratum)?;
        let fidelity = if video { found.video } else { found.audio };
        // 20 dB is pale, 60 dB full.
        let full = ((fidelity.snr_db - 10.0) / 50.0).clamp(0.05, 1.0);
        Some(context! { db => fidelity.snr_db, states => found.states, full => full * 0.55 })
    };
    (0..BINS)
        .map(|row| {
            let cells = (0..BINS).map(|column| found(Stratum { video: row, audio: column }));
            context! { name => quarter(row), cells => cells.collect::<Vec<_>>() }
        })
        .collect()
}
