//! Checks a machine with an NVIDIA GPU: `gpu_check --avdit FILE --parity FILE --golden DIR --out DIR`.
//!
//! Exit status 0: all that was run passed; 1: something failed; 2: a program cannot be run; 3: there is no GPU that
//! a program can use.

use anyhow::{Context, Result, bail};
use avdit_tests::gpu_check::{Options, run};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: gpu_check --avdit FILE --parity FILE --golden DIR --out DIR [--dry-run-on-cpu]";

const NO_GPU: u8 = 3;

fn main() -> ExitCode {
    match check() {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to be done if even stderr is closed.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options> {
    let (mut avdit, mut parity, mut golden, mut out, mut dry_run) = (None, None, None, None, false);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.to_string_lossy().into_owned();
        let place = match name.as_str() {
            "--avdit" => &mut avdit,
            "--parity" => &mut parity,
            "--golden" => &mut golden,
            "--out" => &mut out,
            "--dry-run-on-cpu" => {
                dry_run = true;
                continue;
            }
            _ => bail!("unknown option {name}\n\n{USAGE}"),
        };
        *place = Some(PathBuf::from(arguments.next().with_context(|| format!("{name} needs a value"))?));
    }
    let given = |value: Option<PathBuf>, name| value.with_context(|| format!("no {name}\n\n{USAGE}"));
    Ok(Options {
        avdit: given(avdit, "--avdit")?,
        parity: given(parity, "--parity")?,
        golden: given(golden, "--golden")?,
        out: given(out, "--out")?,
        dry_run,
    })
}

fn check() -> Result<ExitCode> {
    let options = options()?;
    let mut say = |line: &str| {
        // What is said meanwhile is in the report as well.
        let _ = writeln!(io::stderr(), "{line}");
    };
    match run(&options, &mut say)? {
        Err(why) => {
            writeln!(io::stdout(), "no usable NVIDIA GPU here: {why}")?;
            Ok(ExitCode::from(NO_GPU))
        }
        Ok(report) => {
            writeln!(io::stdout(), "{}", report.markdown())?;
            Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
