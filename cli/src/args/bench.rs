//! What can be typed behind `bench` and `compare`.

use super::{SamplerArgs, SetupArgs};
use avdit_runtime::EngineKind;
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Options of `bench`.
#[derive(Debug, ClapArgs)]
pub struct BenchArgs {
    /// Models' folders
    #[arg(required = true)]
    pub models: Vec<PathBuf>,
    /// Engines, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "tract", env = "AVDIT_ENGINE")]
    pub engine: Vec<EngineKind>,
    /// Clips at once, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: Vec<u16>,
    /// Threads of the engine, separated by commas; all cores if not given
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,
    /// How engines are set up
    #[command(flatten)]
    pub setup: SetupArgs,
    /// Task whose cells are given
    #[arg(long, default_value = "joint")]
    pub task: avdit_core::Task,
    /// Warm-up of each case before anything counts
    #[arg(long, default_value_t = 200)]
    pub warm_up_ms: u64,
    /// At least this many runs of each case that count
    #[arg(long, default_value_t = 10)]
    pub min_runs: usize,
    /// At least this long for each case
    #[arg(long, default_value_t = 3.0)]
    pub duration_s: f64,
    /// One case after another, each closed before the next: for models that do not fit into memory side by side
    #[arg(long)]
    pub sequential: bool,
    /// Leave out the machine's own limits, and with them the share that a step reaches
    #[arg(long)]
    pub no_limits: bool,
    /// How is sampled
    #[command(flatten)]
    pub sampler: SamplerArgs,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// The same JSON in a file, for `compare`
    #[arg(long, value_name = "FILE")]
    pub json_out: Option<PathBuf>,
    /// The tables as Markdown in a file
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// One line for each case as CSV in a file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// A page with charts in a file, which needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Options of `compare`.
#[derive(Debug, ClapArgs)]
pub struct CompareArgs {
    /// What to compare with: a file of `bench --json-out`
    pub a: PathBuf,
    /// What is judged: another
    pub b: PathBuf,
    /// Fail (exit code 7) if a step became longer by more than this, and is shown to be longer: 3% or 0.03
    #[arg(long, value_parser = share, value_name = "SHARE")]
    pub max_regression: Option<f64>,
    /// Which figure of a run is compared
    #[arg(long, value_enum, default_value_t)]
    pub by: crate::bench::compare::Figure,
    /// Compare although machines or their states differ
    #[arg(long)]
    pub force: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `3%` or `0.03`.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent, 0.01),
        None => (text, 1.0),
    };
    let share: f64 = number.trim().parse().map_err(|_| "not a share such as 3% or 0.03".to_owned())?;
    // Above 1 without a percent sign is most likely one forgotten.
    match share * scale {
        share if (0.0..1.0).contains(&share) || (scale < 1.0 && share >= 1.0 && share.is_finite()) => {
            Ok(share)
        }
        _ => Err("not a share such as 3% or 0.03".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        assert_eq!(share("3%"), Ok(0.03));
        assert_eq!(share("0.03"), Ok(0.03));
        assert_eq!(share("150 %"), Ok(1.5));
        for text in ["3", "-1%", "x", "", "nan", "inf%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
