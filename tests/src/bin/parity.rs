//! Runs golden files, or two models that should make the same latents. Exit status 0: all within tolerance; 1: some
//! out; 2: unreadable.

use anyhow::{Context, Result, bail, ensure};
use avdit_runtime::EngineKind;
use avdit_tests::parity::{ON_CPU, Report, Side, print_table, run_dir, same_trajectories};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: parity [--json] [--engine NAME,…] DIR…
       parity [--json] --same FOLDER=ENGINE[+graph] FOLDER=ENGINE[+graph] [--steps N] [--tolerance X]

Golden files of the folders, graphs on the engines named (candle, tract and ort-cpu if none is); or the latents that
the second model makes against those of the first: 10 steps, within 1e-5 of the largest.";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nothing is left to be done if even stderr is closed.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    json: bool,
    same: bool,
    engines: Vec<EngineKind>,
    steps: usize,
    tolerance: f64,
    /// Folders, or sides.
    what: Vec<String>,
}

/// `None` if only the usage is asked for.
fn arguments() -> Result<Option<Arguments>> {
    let (engines, what) = (ON_CPU.to_vec(), Vec::new());
    let mut found = Arguments { json: false, same: false, engines, steps: 10, tolerance: 1e-5, what };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n\n{USAGE}"));
        match argument.as_str() {
            "--json" => found.json = true,
            "--same" => found.same = true,
            "--engine" => {
                found.engines = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--steps" => found.steps = value()?.parse().context("--steps")?,
            "--tolerance" => found.tolerance = value()?.parse().context("--tolerance")?,
            "--help" | "-h" => return Ok(None),
            option if option.starts_with('-') => bail!("unknown option {option}\n\n{USAGE}"),
            _ => found.what.push(argument),
        }
    }
    ensure!(!found.what.is_empty(), "no folder given\n\n{USAGE}");
    Ok(Some(found))
}

fn run() -> Result<bool> {
    let Some(arguments) = arguments()? else {
        writeln!(io::stdout(), "{USAGE}")?;
        return Ok(true);
    };
    let mut report = Report::default();
    if arguments.same {
        let [a, b] = arguments.what.as_slice() else { bail!("--same takes two models\n\n{USAGE}") };
        let (a, b): (Side, Side) = (a.parse()?, b.parse()?);
        report.rows = same_trajectories(&a, &b, arguments.steps, arguments.tolerance)?;
    } else {
        for dir in &arguments.what {
            report.extend(run_dir(Path::new(dir), &arguments.engines)?);
        }
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print_table(&report, &mut out)?;
    }
    Ok(report.ok())
}
