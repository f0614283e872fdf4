//! Runs golden files: `parity [--json] DIR…`. Exit status 0: all within tolerance; 1: some out; 2: unreadable.

use avdit_tests::parity::{Report, print_table, run_dir};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: parity [--json] DIR…";

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

fn run() -> anyhow::Result<bool> {
    let (mut json, mut dirs) = (false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            "--help" | "-h" => {
                writeln!(io::stdout(), "{USAGE}")?;
                return Ok(true);
            }
            option if option.starts_with('-') => anyhow::bail!("unknown option {option}\n\n{USAGE}"),
            _ => dirs.push(argument),
        }
    }
    anyhow::ensure!(!dirs.is_empty(), "no folder given\n\n{USAGE}");
    let mut report = Report::default();
    for dir in &dirs {
        report.extend(run_dir(Path::new(dir))?);
    }
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print_table(&report, &mut out)?;
    }
    Ok(report.ok())
}
