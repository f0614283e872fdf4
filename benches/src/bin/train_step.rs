//! What a training step costs: wall and processor time, multiply-adds, memory. Exit status 0: measured; 2: not.
//!
//! A step is forward, backward, clipping, AdamW and the moving average. Threads are those of `RAYON_NUM_THREADS`.

use anyhow::{Context, Result, bail};
use avdit_benches::noisy_batch;
use avdit_nets::AvditConfig;
use avdit_runtime::machine::{cpu_seconds, peak_memory_bytes};
use avdit_trainer::device;
use avdit_trainer::{GradientOptions, Model, Optimizer, OptimizerConfig};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: train_step [--preset NAME] [--width D] [--depth N] [--heads N] [--batch B] [--chunk B]
       [--checkpoint] [--decomposed] [--runs N] [--warmup N] [--json]

The preset (small: 426 tokens; tiny: 46) with another width, depth or number of heads; chunks of the whole batch unless
told otherwise; --decomposed takes Candle's own operations. Medians over the runs.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if even stderr is closed.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    config: AvditConfig,
    batch: usize,
    how: GradientOptions,
    decomposed: bool,
    runs: usize,
    warmup: usize,
    json: bool,
}

fn arguments() -> Result<Arguments> {
    let (mut preset, mut numbers) = ("small".to_owned(), std::collections::HashMap::new());
    let (mut checkpoint, mut decomposed, mut json) = (false, false, false);
    let mut list = std::env::args().skip(1);
    while let Some(name) = list.next() {
        let mut value = || list.next().with_context(|| format!("{name} needs a value\n\n{USAGE}"));
        match name.as_str() {
            "--preset" => preset = value()?,
            "--checkpoint" => checkpoint = true,
            "--decomposed" => decomposed = true,
            "--json" => json = true,
            "--width" | "--depth" | "--heads" | "--batch" | "--chunk" | "--runs" | "--warmup" => {
                let number: usize = value()?.parse().with_context(|| name.clone())?;
                numbers.insert(name, number);
            }
            _ => bail!("unknown option {name}\n\n{USAGE}"),
        }
    }
    let base = AvditConfig::preset(&preset).with_context(|| format!("no preset {preset}\n\n{USAGE}"))?;
    let number = |name: &str, default: usize| numbers.get(name).copied().unwrap_or(default);
    let (width, depth, heads) =
        (number("--width", base.width), number("--depth", base.depth), number("--heads", base.heads));
    let config = AvditConfig { width, depth, heads, ..base };
    config.check()?;
    let batch = number("--batch", 1);
    Ok(Arguments {
        config,
        batch,
        how: GradientOptions { chunk: number("--chunk", batch), checkpoint },
        decomposed,
        runs: number("--runs", 5).max(1),
        warmup: number("--warmup", 2),
        json,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run() -> Result<()> {
    let Arguments { config, batch, how, decomposed, runs, warmup, json } = arguments()?;
    let before = peak_memory_bytes().unwrap_or_default();
    let model = Model::new(&config, 1, &device::open("cpu")?)?;
    let model = if decomposed { model.decomposed() } else { model };
    let settings = OptimizerConfig::default();
    let mut optimizer = Optimizer::new(&settings, &model)?;
    let noisy = noisy_batch(&config, batch)?;
    let (mut wall, mut processor, mut share, mut loss) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for step in 0..warmup + runs {
        let (clock, cpu) = (Instant::now(), cpu_seconds());
        let (values, gradients) = model.gradients(&noisy, &how)?;
        let backward = cpu_seconds();
        optimizer.step(&model, &gradients, settings.lr)?;
        if step >= warmup {
            wall.push(clock.elapsed().as_secs_f64() * 1e3);
            processor.push((cpu_seconds() - cpu) * 1e3);
            share.push((cpu_seconds() - backward) * 1e3);
        }
        loss = values.total();
    }
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let peak = peak_memory_bytes().unwrap_or_default();
    let forward = config.multiply_adds() as f64 * batch as f64;
    let (wall_ms, cpu_ms) = (median(wall), median(processor));
    let facts = serde_json::json!({
        "parameters": config.parameter_count(), "tokens": config.tokens(), "batch": batch, "chunk": how.chunk,
        "checkpoint": how.checkpoint, "operations": if decomposed { "candle's" } else { "fused" },
        "threads": rayon::current_num_threads(), "runs": runs, "loss": loss,
        "wall_ms": wall_ms, "cpu_ms": cpu_ms, "optimizer_cpu_ms": median(share),
        "forward_multiply_adds": forward, "gflops": 6.0 * forward / cpu_ms / 1e6,
        "peak_mib": mebibytes(peak), "peak_over_start_mib": mebibytes(peak.saturating_sub(before)),
    });
    let mut out = io::stdout().lock();
    match (json, &facts) {
        (false, serde_json::Value::Object(facts)) => {
            facts.iter().try_for_each(|(name, value)| writeln!(out, "{name:24} {value}"))?;
        }
        _ => writeln!(out, "{facts}")?,
    }
    Ok(())
}
