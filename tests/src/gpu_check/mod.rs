//! What is checked on a machine with a GPU: an order of commands of `avdit` and `parity`, and a report of them.
//!
//! Nothing here computes: what fails here fails in the commands that the report names. With `dry_run` every step but
//! those that are CUDA's own is done on the CPU, with networks of a size for it.

mod checks;
mod command;
mod models;
mod report;

pub use report::{Check, Outcome, Report};

use anyhow::{Context, Result};
use command::Tools;
use std::path::PathBuf;

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `avdit`.
    pub avdit: PathBuf,
    /// The program `parity`.
    pub parity: PathBuf,
    /// The folder of golden files.
    pub golden: PathBuf,
    /// The folder for models, logs and the report.
    pub out: PathBuf,
    /// The CPU in place of the GPU, with small networks.
    pub dry_run: bool,
}

/// Runs every check and writes `report.md` and `report.json`. `None` if there is no GPU to check, and why.
///
/// # Errors
/// If a program cannot be started or the report cannot be written.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Result<Report, String>> {
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("folder {} cannot be made", out.display()))?;
    let tools = Tools::new(options);
    let doctor = tools.avdit("doctor", &["doctor", "--json"])?;
    let facts = doctor.json().context("`avdit doctor --json`")?;
    let devices = facts["gpu"]["devices"].as_array().map_or(0, Vec::len);
    if devices == 0 && !options.dry_run {
        return Ok(Err(facts["gpu"]["problem"].as_str().unwrap_or("no reason given").to_owned()));
    }
    let mut report = Report::begin(&facts, options.dry_run);
    checks::run(&tools, &facts, &doctor, &mut report, say)?;
    report.write(out)?;
    Ok(Ok(report))
}
