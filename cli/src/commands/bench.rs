//! `avdit bench`: what a sampling step costs.

use crate::args::{BenchArgs, SamplerArgs};
use crate::bench::case::{Axes, Case};
use crate::bench::protocol::SamplingJob;
use crate::bench::result::{BenchResult, Protocol, Row, SCHEMA};
use crate::bench::schedule::Amount;
use crate::bench::tables::{common, csv, labels, markdown, summary, tables, text};
use crate::bench::{self, Order};
use crate::exit::{Coded, Usage};
use crate::output::{command_line, json_text, say, say_json};
use crate::progress::Stage;
use crate::report::format::bytes;
use anyhow::{Result, bail};
use avdit_core::{CellMask, SampleRequest};
use avdit_media::atomic::write_bytes_atomically;
use avdit_runtime::machine::{Machine, State};
use std::time::SystemTime;

pub fn run(args: &BenchArgs) -> Result<()> {
    check(args)?;
    let result = measure(args)?;
    let files = [
        (&args.json_out, json_text as fn(&BenchResult) -> Result<String>),
        (&args.markdown, |result| Ok(as_markdown(result))),
        (&args.csv, |result| Ok(csv(result))),
        (&args.html, |result| Ok(crate::report::bench_page(result)?)),
    ];
    for (path, content) in files {
        if let Some(path) = path {
            write_bytes_atomically(path, content(&result)?.as_bytes())?;
        }
    }
    match args.json {
        true => say_json(&result)?,
        // The error tells what failed.
        false if result.rows.iter().all(|row| row.measured.is_none()) => {}
        false => say_result(&result),
    }
    failed(&result.rows)
}

fn check(args: &BenchArgs) -> Result<()> {
    args.setup.check(&args.engine)?;
    if args.min_runs == 0 || args.sampler.steps == 0 {
        bail!(Usage("--min-runs and --steps: at least 1".to_owned()));
    }
    if !(args.duration_s >= 0.0 && args.duration_s.is_finite()) {
        bail!(Usage(format!("--duration-s {}: not a duration in seconds", args.duration_s)));
    }
    let outputs: Vec<_> =
        [&args.json_out, &args.markdown, &args.csv, &args.html].into_iter().flatten().collect();
    for (i, path) in outputs.iter().enumerate() {
        if outputs[..i].contains(path) {
            bail!(Usage(format!("{}: two results cannot lie in one file", path.display())));
        }
        let inside = |model: &std::path::PathBuf| {
            path.canonicalize().ok().zip(model.canonicalize().ok()).is_some_and(|(a, b)| a.starts_with(b))
        };
        if args.models.iter().any(inside) {
            bail!(Usage(format!("{}: is a file of a model that is to be measured", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            let what = if path.is_dir() { "is a folder" } else { "lies in a folder that does not exist" };
            bail!(Usage(format!("{}: {what}", path.display())));
        }
    }
    Ok(())
}

fn measure(args: &BenchArgs) -> Result<BenchResult> {
    let options = args.setup.options();
    let sampling = SamplingJob {
        sampler: args.sampler.sampler.to_string(),
        steps: args.sampler.steps,
        seed: args.sampler.seed,
        guidance: args.sampler.guidance,
        task: args.task.to_string(),
    };
    let threads: Vec<usize> = match args.threads[..] {
        [] => vec![options.threads],
        _ => args.threads.iter().copied().map(usize::from).collect(),
    };
    let batches: Vec<usize> = args.batch.iter().copied().map(usize::from).collect();
    let axes = Axes { models: &args.models, engines: &args.engine, batches: &batches, threads: &threads };
    let cases = axes.cases(&options, &sampling, args.warm_up_ms);

    let created = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let (machine, before) = (Machine::this(), State::now());
    let (order, because) = order(args, &cases, &before);
    if let Some(reason) = &because {
        tracing::info!("cases run one after another: {reason}");
    }
    let amount = Amount { runs: args.min_runs, seconds: args.duration_s };
    let run = || {
        let mut stage = Stage::new("measure", 1000, "‰");
        let mut seen = 0;
        let outcomes = bench::measure(&cases, order, amount, &mut |share, case| {
            seen = seen.max((share * 1000.0) as usize);
            // While the first cases open, there is nothing to tell the time left from.
            if seen > 0 {
                stage.set(seen, &case.label());
            }
        });
        stage.finish("");
        outcomes
    };
    let (limits, outcomes) = match args.no_limits {
        true => (Vec::new(), run()),
        false => bench::measure_limits(&cases, run),
    };
    // What the machine can do is no answer where nothing ran.
    let limits = if outcomes.iter().any(|outcome| outcome.failure.is_none()) { limits } else { Vec::new() };
    let rows = cases.iter().zip(outcomes).map(|(case, outcome)| bench::row(case, outcome, &limits, &machine));
    Ok(BenchResult {
        schema: SCHEMA.to_owned(),
        created,
        avdit: env!("CARGO_PKG_VERSION").to_owned(),
        command: command_line(),
        rows: rows.collect(),
        notes: bench::notes(&before, &limits),
        machine,
        before,
        after: State::now(),
        protocol: Protocol {
            warm_up_ms: args.warm_up_ms,
            min_runs: args.min_runs,
            min_duration_s: args.duration_s,
            interleaved: order == Order::Interleaved,
            sequential_because: because,
        },
        limits,
    })
}

/// In turn, unless that was declined or the models do not fit into memory side by side.
fn order(args: &BenchArgs, cases: &[Case], state: &State) -> (Order, Option<String>) {
    if args.sequential {
        return (Order::Sequential, Some("--sequential was given".to_owned()));
    }
    let needed: u64 = cases.iter().map(Case::memory_bytes).sum();
    match state.available_memory_bytes {
        Some(available) if needed > available && cases.len() > 1 => {
            let [needed, available] = [needed, available].map(|value| bytes(value as f64));
            let reason =
                format!("side by side they may need {needed} of memory, and {available} are available");
            (Order::Sequential, Some(reason))
        }
        _ => (Order::Interleaved, None),
    }
}

/// An error if a case failed: with its own exit code, where all that failed have the same.
fn failed(rows: &[Row]) -> Result<()> {
    let failures: Vec<_> = rows.iter().filter_map(|row| row.failed.as_ref()).collect();
    let Some(first) = failures.first() else { return Ok(()) };
    let same = failures.iter().all(|failure| failure.exit_code == first.exit_code);
    let list: String = rows
        .iter()
        .zip(labels(rows))
        .filter_map(|(row, label)| Some(format!("\n  {label}: {}", row.failed.as_ref()?.reason)))
        .collect();
    let hint = failures.iter().find_map(|failure| failure.hint.as_ref());
    let hint = hint.map_or(String::new(), |hint| format!("\n\nhint: {hint}"));
    let text = format!("{} of {} cases failed:{list}{hint}", failures.len(), rows.len());
    bail!(Coded { code: if same { first.exit_code } else { 1 }, text })
}

/// What to sample.
pub fn request(args: &SamplerArgs, given: CellMask, batch: usize) -> SampleRequest {
    SampleRequest {
        batch,
        seed: args.seed,
        steps: args.steps,
        sampler: args.sampler,
        guidance: args.guidance,
        given: given.clone(),
        ..SampleRequest::new(given.segments())
    }
}

/// A machine in a line.
pub fn describe(machine: &Machine) -> String {
    let memory = machine
        .memory_bytes
        .map_or(String::new(), |bytes| format!(", {:.0} GiB", bytes as f64 / f64::from(1 << 30)));
    format!("{} ({} processors{memory}), {}", machine.cpu, machine.threads, machine.os)
}

fn say_result(result: &BenchResult) {
    say(describe(&result.machine));
    say(format!("{}\n{}", common(&result.rows), summary(result)));
    for table in tables(result) {
        say(format!("\n{}", text(&table).trim_end()));
    }
    let notes = notes(result);
    if !notes.is_empty() {
        say("");
    }
    for note in notes {
        say(format!("note: {note}"));
    }
}

/// All notes, those on a row with its name.
fn notes(result: &BenchResult) -> Vec<String> {
    let of_rows = result.rows.iter().zip(labels(&result.rows)).flat_map(|(row, label)| {
        let log = row.log.iter().map(|line| format!("its process said: {line}"));
        row.notes.iter().cloned().chain(log).map(move |note| format!("{label}: {note}")).collect::<Vec<_>>()
    });
    result.notes.iter().cloned().chain(of_rows).collect()
}

fn as_markdown(result: &BenchResult) -> String {
    let mut out = format!("# avdit bench, {}\n\n", result.created);
    out += &format!("{}\n\n{}. {}.\n\n", describe(&result.machine), common(&result.rows), summary(result));
    for table in tables(result) {
        out += &markdown(&table);
        out.push('\n');
    }
    let notes = notes(result);
    if !notes.is_empty() {
        out += "## Notes\n\n";
        notes.iter().for_each(|note| out += &format!("- {note}\n"));
    }
    out
}
