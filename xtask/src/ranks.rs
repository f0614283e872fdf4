//! What ranks gain: the time of a training step on several processes of one thread against that on one.

use crate::process::{in_path, output, root, run, shown, variable};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured.
pub(crate) struct Settings {
    pub(crate) config: PathBuf,
    pub(crate) ranks: Vec<usize>,
    pub(crate) steps: usize,
    pub(crate) rounds: usize,
    pub(crate) avdit: Option<PathBuf>,
}

/// A run.
#[derive(Clone, Copy)]
struct Measured {
    /// Median wall time of a step.
    step_ms: f64,
    /// Median share of it that went into exchanges, with the wait for the slower rank.
    exchanged: f64,
    /// Processor time of all processes over the steps.
    cpu_ms: f64,
}

/// The first steps touch memory and files for the first time.
const WARM_UP: usize = 3;

/// Runs the same training by one process and by several in turn, and prints the best of each.
pub(crate) fn measure(settings: &Settings) -> Result<()> {
    ensure!(settings.steps > WARM_UP, "--steps {}: expected more than {WARM_UP}", settings.steps);
    ensure!(!settings.ranks.contains(&0), "--ranks 0: expected numbers of processes");
    for (program, package) in [("mpirun", "openmpi-bin"), ("bash", "bash")] {
        ensure!(in_path(program).is_some(), "{program} is not in PATH: on Debian it comes with {package}");
    }
    let avdit = match &settings.avdit {
        Some(path) => path.clone(),
        None => build()?,
    };
    let scratch = std::env::temp_dir().join(format!("avdit-ranks-{}", std::process::id()));
    let measured = rounds(settings, &avdit, &scratch);
    // What is left of it is only in the way.
    let _ = std::fs::remove_dir_all(&scratch);
    let (one, many) = measured?;
    println!("| ranks | ms/step | exchange | CPU ms/step | speed-up, wall | speed-up if cores were free |");
    println!("|---|---|---|---|---|---|");
    let row = |ranks: usize, m: &Measured| {
        let (wall, cpu) = (one.step_ms / m.step_ms, one.cpu_ms * ranks as f64 / m.cpu_ms);
        let share = 100.0 * m.exchanged;
        println!("| {ranks} | {:.1} | {share:.1} % | {:.1} | {wall:.2} | {cpu:.2} |", m.step_ms, m.cpu_ms);
    };
    row(1, &one);
    settings.ranks.iter().zip(&many).for_each(|(&ranks, measured)| row(ranks, measured));
    Ok(())
}

fn rounds(settings: &Settings, avdit: &Path, scratch: &Path) -> Result<(Measured, Vec<Measured>)> {
    let run = |ranks| once(settings, avdit, ranks, scratch);
    let (mut one, mut many) = (run(1)?, Vec::new());
    for &ranks in &settings.ranks {
        many.push(run(ranks)?);
    }
    for _ in 1..settings.rounds {
        one = best(one, run(1)?);
        for (&ranks, known) in settings.ranks.iter().zip(&mut many) {
            *known = best(*known, run(ranks)?);
        }
    }
    Ok((one, many))
}

/// What disturbs a measurement only ever adds to it.
fn best(a: Measured, b: Measured) -> Measured {
    let wall = if b.step_ms < a.step_ms { b } else { a };
    Measured { cpu_ms: a.cpu_ms.min(b.cpu_ms), ..wall }
}

/// The time of one run, and the processor time that steps beyond the first few take.
fn once(settings: &Settings, avdit: &Path, ranks: usize, scratch: &Path) -> Result<Measured> {
    let start_up = cpu_of_run(settings, avdit, ranks, scratch, WARM_UP)?;
    let whole = cpu_of_run(settings, avdit, ranks, scratch, settings.steps)?;
    let path = scratch.join("metrics.jsonl");
    let log = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = log.lines().skip(WARM_UP).map(serde_json::from_str::<serde_json::Value>);
    let lines: Vec<_> = lines.collect::<Result<_, _>>().with_context(|| path.display().to_string())?;
    let median = |value: &dyn Fn(&serde_json::Value) -> f64| {
        let mut values: Vec<f64> = lines.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let number = |line: &serde_json::Value, name: &str| line[name].as_f64().unwrap_or_default();
    Ok(Measured {
        step_ms: median(&|line| number(line, "step_ms")),
        exchanged: median(&|line| number(line, "exchange_ms") / number(line, "step_ms")),
        cpu_ms: 1e3 * (whole - start_up) / (settings.steps - WARM_UP) as f64,
    })
}

/// Seconds of processor time of a run and its children.
fn cpu_of_run(settings: &Settings, avdit: &Path, ranks: usize, out: &Path, steps: usize) -> Result<f64> {
    let mut command = timed();
    if ranks > 1 {
        command.args(["mpirun", "--oversubscribe", "-n", &ranks.to_string()]);
    }
    command.arg(avdit).arg("--quiet").arg("train").arg(&settings.config).arg("--overwrite");
    command.arg("--set").arg(format!("out='{}'", out.display()));
    // Nothing but steps and the last checkpoint, which is the same in a short run.
    for set in ["measure_matmul=false", "sample_every=0", "keep_every=0", "checkpoint_minutes=0"] {
        command.arg("--set").arg(format!("run.{set}"));
    }
    for name in ["steps", "checkpoint_every"] {
        command.arg("--set").arg(format!("run.{name}={steps}"));
    }
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("RAYON_NUM_THREADS", "1");
    cpu_of(&mut command)
}

/// A shell that runs the words that are added and then says how long its children took. It must do so itself: a shell in
/// a pipe has no children.
fn timed() -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", r#""$@" >&2 && times"#, "ranks"]);
    command
}

/// Seconds of processor time of what a shell of [`timed`] runs.
fn cpu_of(command: &mut Command) -> Result<f64> {
    let text = output(command)?;
    let of_children = text.lines().next_back().unwrap_or_default();
    seconds(of_children).with_context(|| format!("`times` says '{text}'"))
}

/// User and system time in the form `0m1.234s 0m0.020s`, together.
fn seconds(text: &str) -> Option<f64> {
    let one = |text: &str| {
        let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
        Some(60.0 * minutes.parse::<f64>().ok()? + seconds.replace(',', ".").parse::<f64>().ok()?)
    };
    let (user, system) = text.trim().split_once(' ')?;
    Some(one(user)? + one(system)?)
}

fn build() -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(["build", "--release", "-p", "avdit", "--features", "mpi"]);
    println!("{}", shown(&command));
    run(&mut command)?;
    let target = variable("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(root().join(target).join("release/avdit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_of_a_program_is_that_of_the_program() {
        let of = |program: &str| cpu_of(timed().args(["bash", "-c", program])).unwrap();
        let (idle, busy) = (of("true"), of("for ((i = 0; i < 100000; i++)); do :; done"));
        assert!(busy > idle, "{busy} s and {idle} s");
        assert!(cpu_of(timed().arg("false")).is_err());
    }

    #[test]
    fn times_are_read_and_the_best_of_each_kind_is_kept() {
        assert_eq!(seconds("1m2.500s 0m0.250s"), Some(62.75));
        assert_eq!(seconds("nothing"), None);
        let a = Measured { step_ms: 2.0, exchanged: 0.1, cpu_ms: 3.0 };
        let b = Measured { step_ms: 1.0, exchanged: 0.2, cpu_ms: 4.0 };
        let best = best(a, b);
        assert_eq!((best.step_ms, best.exchanged, best.cpu_ms), (1.0, 0.2, 3.0));
    }
}
