//! The pages a run leaves for a person: `report.html`, which needs no network and no script, and `report.md` with
//! the same facts. Receives plain [`data`]; pictures, sound and clips are linked by relative name.

mod audit;
mod bench;
pub(crate) mod data;
#[cfg(test)]
mod fixture;
pub(crate) mod format;
mod quality;
mod run;
mod svg;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use audit::audit_page;
pub(crate) use bench::bench_page;
pub(crate) use quality::quality_page;
pub(crate) use run::{comparison_page, examples_per_s, run_page};

use avdit_media::atomic::write_bytes_atomically;
use data::{Dataset, LossPoint, Report};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context, escape_formatter};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes `report.html` and `report.md` into the folder `out`, each whole or not at all.
///
/// # Errors
/// Those of the file system, naming the file.
pub(crate) fn write(out: &Path, report: &Report) -> anyhow::Result<()> {
    for (name, template) in [("report.html", "page.html"), ("report.md", "page.md")] {
        write_bytes_atomically(&out.join(name), render(template, report)?.as_bytes())?;
    }
    Ok(())
}

fn render(template: &str, report: &Report) -> Result<String, minijinja::Error> {
    let charts = |of: Vec<String>| Value::from_iter(of.into_iter().map(Value::from_safe_string));
    let latency = report.latency.iter().map(|l| svg::latency_chart(&l.engine, &l.by_step)).collect();
    let total: f64 = report.stages.iter().map(|stage| stage.seconds).filter(|s| s.is_finite()).sum();
    environment()?.get_template(template)?.render(context! {
        report => Serde(report),
        verdict => verdict::verdict(&report.agreement).map(Serde),
        agreement_chart => Value::from_safe_string(svg::agreement_chart(&report.agreement)),
        loss_chart => report.training.as_ref().map(|t| Value::from_safe_string(svg::loss_chart(&t.points))),
        loss_table => report.training.as_ref().map(|t| loss_table(&t.points)),
        latency_charts => charts(latency),
        total_s => total,
        reasons => report.dataset.as_ref().map(reasons).map(Serde),
        style => Value::from_safe_string(include_str!("page.css").into()),
    })
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let in_markdown = AutoEscape::Custom("markdown".into());
    let escape_by_name = in_markdown.clone();
    env.set_auto_escape_callback(move |name| match name.ends_with(".md") {
        true => escape_by_name.clone(),
        false => AutoEscape::Html,
    });
    env.set_formatter(move |out, state, value| {
        if *state.auto_escape() != in_markdown {
            return escape_formatter(out, state, value);
        }
        let text = value.to_string();
        out.write_str(&if value.is_safe() { text } else { markdown(&text) }).map_err(Into::into)
    });
    env.add_filter("signed", format::signed);
    env.add_filter("count", format::count);
    env.add_filter("seconds", format::seconds);
    env.add_filter("ms", format::milliseconds);
    env.add_filter("percent", format::percent);
    env.add_filter("bytes", format::bytes);
    env.add_filter("db", format::decibels);
    env.add_filter("digits", |value: f64| format::significant(value, 3));
    env.add_filter("code", |text: &str| Value::from_safe_string(code_span(text)));
    env.add_filter("about", about);
    env.add_function("cells", |video: Vec<bool>, audio: Vec<bool>| {
        Value::from_safe_string(svg::cells_chart(&video, &audio))
    });
    env.add_function("cells_in_words", |video: Vec<bool>, audio: Vec<bool>| {
        svg::cells_in_words(&video, &audio)
    });
    env.add_template("page.html", include_str!("page.html"))?;
    env.add_template("page.md", include_str!("page.md"))?;
    env.add_template("audit.html", include_str!("audit.html"))?;
    env.add_template("bench.html", include_str!("bench.html"))?;
    env.add_template("quality.html", include_str!("quality.html"))?;
    env.add_template("run.html", include_str!("run.html"))?;
    env.add_template("comparison.html", include_str!("comparison.html"))?;
    Ok(env)
}

/// The mean loss over up to eight equal stretches of the run, of what is finite.
fn loss_table(points: &[LossPoint]) -> Value {
    let mean = |stretch: &[LossPoint], term: fn(&LossPoint) -> f64| {
        let finite: Vec<f64> = stretch.iter().map(term).filter(|v| v.is_finite()).collect();
        finite.iter().sum::<f64>() / finite.len() as f64
    };
    let row = |stretch: &[LossPoint]| {
        context! {
            from => stretch.first().map(|p| p.step),
            to => stretch.last().map(|p| p.step),
            video => mean(stretch, |p| p.video),
            audio => mean(stretch, |p| p.audio),
        }
    };
    points.chunks(points.len().div_ceil(8).max(1)).map(row).collect()
}

/// How many clips were left out for each reason, most first.
fn reasons(dataset: &Dataset) -> Vec<(&str, usize)> {
    let mut counts = BTreeMap::new();
    dataset.left_out.iter().for_each(|clip| *counts.entry(clip.reason.as_str()).or_insert(0) += 1);
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    counts
}

/// What a task asks of the model.
fn about(task: &str) -> &'static str {
    match task.split(':').next().unwrap_or(task) {
        "joint" => "Picture and sound made together from noise; nothing is given.",
        "a2v" => "The sound is given, the picture is made.",
        "v2a" => "The picture is given, the sound is made.",
        "continue" => "The beginning of both is given, the rest is made.",
        "inpaint" => "Parts of both are given, the gaps are filled.",
        _ => "",
    }
}

/// Text as Markdown that shows it letter for letter, on one line.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '!' | '$' => {
                escaped.extend(['\\', c]);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A Markdown code span, with as many backticks around it as it takes.
fn code_span(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let ticks = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}
