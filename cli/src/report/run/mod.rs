//! The page of a training run, and of several beside each other: what their folders hold, drawn.

mod curves;
mod facts;
mod samples;

use super::svg::{Curve, Look, curves_chart, heat_chart};
use super::{environment, svg};
use crate::run::Run;
use crate::run::figures::{Figures, Table, by_level, by_strategy};
use curves::{curve, loss_points};
pub(crate) use facts::examples_per_s;
use minijinja::context;
use minijinja::value::{Serde, Value};
use std::path::Path;

const STYLE: &str =
    concat!(include_str!("../page.css"), include_str!("../bench.css"), include_str!("../run.css"));

/// The page of a run; files of the run are linked relative to `from`, the folder that the page lies in.
///
/// # Errors
/// If the template cannot be rendered, which is a fault of this program.
pub(crate) fn run_page(run: &Run, from: &Path, created: &str) -> Result<String, minijinja::Error> {
    let (figures, safe) = (Figures::of(&run.lines), Value::from_safe_string);
    let strategies = by_strategy(&run.lines);
    let (video, audio) = (by_level(&run.lines, |bin| bin.video), by_level(&run.lines, |bin| bin.audio));
    let heat = |class: &str, table: &Table| {
        safe(heat_chart(class, &format!("loss of {class}"), "noise level", &table.stretches, &table.rows))
    };
    let marks: Vec<usize> = run.starts().map(|start| start.from_step).filter(|&step| step > 0).collect();
    let look = |title, from_zero, smooth| Look { title, from_zero, smooth, roof: None, marks: &marks };
    let one =
        |class: &str, label: &str, field: fn(&crate::run::log::Line) -> Option<f64>, look: &Look<'_>| {
            safe(curves_chart(&[curve(&run.lines, class, label, field)], look))
        };
    let rate = Look {
        roof: figures.matmul_gflops.map(|rate| (rate, "the machine's matrix product")),
        ..look("GFLOP/s", true, true)
    };
    let legend: Vec<Value> = strategies
        .rows
        .iter()
        .enumerate()
        .map(|(i, (name, _))| context! { class => svg::bench::series_class(i), label => name })
        .collect();
    environment()?.get_template("run.html")?.render(context! {
        name => run.name(),
        created,
        state => facts::state(run, &figures),
        headline => facts::headline(run, &figures),
        figures => Serde(&figures),
        big => Serde(facts::big(run, &figures)),
        loss => safe(svg::loss_chart(&loss_points(&run.lines))),
        strategies => safe(curves_chart(&of_table(&strategies), &look("loss", false, false))),
        legend,
        heat_video => heat("video", &video),
        heat_audio => heat("audio", &audio),
        norm => one("s3", "norm of the gradient", |line| line.gradient_norm, &look("norm of the gradient", false, true)),
        lr => one("s4", "learning rate", |line| line.lr, &look("learning rate", true, false)),
        step_ms => one("s0", "step", |line| line.step_ms, &look("ms per step", true, true)),
        gflops => one("s2", "reached", |line| line.gflops, &rate),
        samples => Serde(samples::by_task(run, from)),
        sample_facts => Serde(samples::facts(run)),
        averages => Serde(facts::averages(run, &figures)),
        audit => Serde(facts::audit(run)),
        gradients => Serde(facts::gradients(run)),
        settings => Serde(facts::settings(run)),
        data => Serde(facts::data(run)),
        machine => Serde(facts::machine(run)),
        history => Serde(facts::history(run)),
        marks => &marks,
        not_run => Serde(facts::not_run(run, &figures)),
        style => safe(STYLE.into()),
    })
}

/// The rows of a table as curves, each point in the middle of its stretch.
fn of_table(table: &Table) -> Vec<Curve> {
    let middle = |(from, to): (usize, usize)| (from + to) as f64 / 2.0;
    let of = |(i, (name, values)): (usize, &(String, Vec<Option<f64>>))| Curve {
        class: svg::bench::series_class(i),
        label: name.clone(),
        points: table
            .stretches
            .iter()
            .zip(values)
            .map(|(stretch, value)| (middle(*stretch), value.unwrap_or(f64::NAN)))
            .collect(),
    };
    table.rows.iter().enumerate().map(of).collect()
}

/// Runs over each other: their losses, norms and times, and the settings in which they differ.
///
/// # Errors
/// If the template cannot be rendered, which is a fault of this program.
pub(crate) fn comparison_page(runs: &[Run], created: &str) -> Result<String, minijinja::Error> {
    let safe = Value::from_safe_string;
    let labels = facts::labels(runs);
    let overlay = |title: &str, field: fn(&crate::run::log::Line) -> Option<f64>| {
        let of = |(i, (run, label)): (usize, (&Run, &String))| {
            curve(&run.lines, &svg::bench::series_class(i), label, field)
        };
        let curves: Vec<Curve> = runs.iter().zip(&labels).enumerate().map(of).collect();
        let look = Look { title, smooth: true, ..Look::default() };
        context! { title, chart => safe(curves_chart(&curves, &look)) }
    };
    let legend: Vec<Value> = labels
        .iter()
        .enumerate()
        .map(|(i, label)| context! { class => svg::bench::series_class(i), label })
        .collect();
    let rows: Vec<Value> = runs
        .iter()
        .zip(&labels)
        .map(|(run, label)| context! { label, cells => facts::row(run, &Figures::of(&run.lines)) })
        .collect();
    let charts = vec![
        overlay("loss", |line| line.loss),
        overlay("loss of video", |line| line.loss_video),
        overlay("loss of audio", |line| line.loss_audio),
        overlay("norm of the gradient", |line| line.gradient_norm),
        overlay("ms per step", |line| line.step_ms),
    ];
    environment()?.get_template("comparison.html")?.render(context! {
        created,
        legend,
        head => facts::ROW_HEAD,
        rows,
        charts,
        labels,
        differences => Serde(facts::differences(runs)),
        style => safe(STYLE.into()),
    })
}
