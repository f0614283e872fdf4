//! `--dry-run`: what a run would be, without training: checks, sizes, and predictions from the machine's matrix rate.

use super::failure::checkpoint_bytes;
use super::samples::Sampler;
use crate::output::{say, say_json};
use crate::report::format::{bytes, count, milliseconds, seconds, significant};
use anyhow::Result;
use avdit_media::shard::Dataset;
use avdit_nets::NetworkConfig;
use avdit_trainer::examples::Examples;
use avdit_trainer::{StartOptions, TrainConfig, check_start, checkpoint, speed};
use serde_json::json;

/// The shares of the matrix rate between which steps were found: small networks, and large ones.
const SHARES: [f64; 2] = [0.3, 0.8];
/// Numbers that a block keeps for its backward pass, for each number of its tokens, and for each of the hidden layer
/// of its MLP.
const KEPT: [f64; 2] = [12.0, 2.5];
/// Bytes of the program itself, with a small dataset in memory. With these three, the peak of runs of 1 and 33 million
/// parameters, with and without checkpointing and chunks, was found to within a twentieth.
const PROGRAM: f64 = 80e6;

/// What a run would take.
struct Prediction {
    gflop: f64,
    /// What the machine's matrix product reaches.
    gflops: f64,
    /// Bytes of parameters, gradients, moments and moving averages.
    state_bytes: f64,
    /// Bytes of what passes forward keep.
    activation_bytes: f64,
    /// Bytes of a checkpoint, which is made beside all that.
    checkpoint_bytes: f64,
}

impl Prediction {
    fn of(config: &TrainConfig, network: &NetworkConfig) -> Result<Self> {
        let run = &config.run;
        let chunks = run.batch.div_ceil(run.chunk);
        let side_by_side = chunks.min(rayon::current_num_threads());
        // Parameters, two moments, the sum of gradients, and those of each chunk that runs.
        let of_chunks = if chunks > 1 { side_by_side } else { 0 };
        let copies = 4 + of_chunks + config.optimizer.ema_decay.all().len();
        let [width, depth] = network.size().map(|size| size as f64);
        let [video, audio] = network.tokens();
        let tokens = (video + audio) as f64 * width;
        let mlp_ratio = match network {
            NetworkConfig::Avdit(config) => config.mlp_ratio,
            NetworkConfig::Dit(config) => config.mlp_ratio,
            // That of its base; and the temporal attention keeps about as much as the first one.
            NetworkConfig::AvDit(_) => 4.0 + KEPT[0] / KEPT[1],
        };
        let a_block = tokens * (KEPT[0] + KEPT[1] * mlp_ratio);
        let again = serde_json::to_value(run)?["gradient_checkpointing"] == true;
        // Blocks that are computed again keep their input; one of them is whole at a time.
        let kept = if again { a_block + depth * tokens } else { a_block * depth };
        let examples = (side_by_side * run.chunk.min(run.batch)) as f64;
        Ok(Self {
            gflop: 2.0 * network.training_multiply_adds() as f64 * run.batch as f64 * 1e-9,
            gflops: speed::matmul_gflops()?,
            state_bytes: 4.0 * (network.trained_count() * (copies - 1) + network.parameter_count()) as f64,
            activation_bytes: 4.0 * examples * kept,
            checkpoint_bytes: checkpoint_bytes(network, config) as f64,
        })
    }

    /// Bytes at the peak.
    fn memory_bytes(&self) -> f64 {
        PROGRAM + self.state_bytes + self.activation_bytes + self.checkpoint_bytes
    }

    /// Milliseconds of a step, at most and at least.
    fn step_ms(&self) -> [f64; 2] {
        SHARES.map(|share| 1e3 * self.gflop / (self.gflops * share))
    }
}

/// Says it, as text or JSON.
///
/// # Errors
/// Whatever would stop the run before its first step: configuration, data, what is in its folder. Only that another
/// process trains there shows when the run takes the folder.
pub fn run(config: &TrainConfig, start: StartOptions, as_json: bool) -> Result<()> {
    let examples = Dataset::open(&config.data)?;
    let goes_on_from = check_start(config, &examples, start)?;
    let (network, identity) = (config.network(examples.layout())?, examples.identity()?);
    // A shard that cannot be read shows here, not after the parameters were made.
    Examples::read(&examples, 0)?;
    if config.run.sample_every > 0 {
        Sampler::new(config, &examples)?;
    }
    let folder = match (goes_on_from, checkpoint::list(&config.out)?.pop()) {
        (Some(path), _) => format!("would go on from {}", path.display()),
        (None, Some(path)) => format!("would be begun again; holds {}", path.display()),
        (None, None) => "new".to_owned(),
    };
    let found = Prediction::of(config, &network)?;
    let [slow, fast] = found.step_ms();
    let steps = config.run.steps;
    let whole = |ms: f64| ms * 1e-3 * steps as f64;
    if as_json {
        return say_json(&json!({
            "schema": "avdit-train-plan/1", "config": config, "out": folder, "clips": examples.len(),
            "identity": identity, "parameters": network.parameter_count(), "trained": network.trained_count(), "tokens": network.tokens().iter().sum::<usize>(),
            "forward_multiply_adds": network.multiply_adds(), "step_gflop": found.gflop,
            "matmul_gflops": found.gflops, "step_ms": { "least": fast, "most": slow },
            "run_s": { "least": whole(fast), "most": whole(slow) },
            "memory_bytes": {
                "peak": found.memory_bytes(), "program": PROGRAM, "state": found.state_bytes,
                "activations": found.activation_bytes, "checkpoint": found.checkpoint_bytes,
            },
            "checkpoint_bytes": found.checkpoint_bytes,
        }));
    }
    let passes = config.run.batch as f64 * steps as f64 / examples.len() as f64;
    for (name, value) in [
        ("run folder", format!("{}: {folder}", config.out.display())),
        (
            "data",
            format!(
                "{}: {} clips, each seen {} times",
                config.data.display(),
                count(examples.len() as u64),
                significant(passes, 3)
            ),
        ),
        (
            "network",
            format!(
                "{} parameters{}, width {}, {} blocks, {} tokens",
                count(network.parameter_count() as u64),
                match network.backbone() {
                    Some(_) => format!(", of which {} are trained", count(network.trained_count() as u64)),
                    None => String::new(),
                },
                network.size()[0],
                network.size()[1],
                network.tokens().iter().sum::<usize>()
            ),
        ),
        (
            "step",
            format!(
                "{} examples, {} GFLOP ({} multiply-adds an example, forward and back)",
                config.run.batch,
                significant(found.gflop, 3),
                count(network.training_multiply_adds())
            ),
        ),
        (
            "machine",
            format!(
                "{} GFLOP/s in matrix products on {} threads, just measured",
                significant(found.gflops, 3),
                rayon::current_num_threads()
            ),
        ),
        (
            "time of a step",
            format!(
                "{} to {} (at {:.0} % and {:.0} % of that rate), predicted",
                milliseconds(fast),
                milliseconds(slow),
                100.0 * SHARES[1],
                100.0 * SHARES[0]
            ),
        ),
        (
            "time of the run",
            format!(
                "{} to {} for {} steps, predicted",
                seconds(whole(fast)),
                seconds(whole(slow)),
                count(steps as u64)
            ),
        ),
        (
            "memory",
            format!(
                "about {} at the peak: {} for parameters and optimizer, {} for activations, {} while a checkpoint is \
                 made, predicted",
                bytes(found.memory_bytes()),
                bytes(found.state_bytes),
                bytes(found.activation_bytes),
                bytes(found.checkpoint_bytes)
            ),
        ),
        (
            "checkpoint",
            format!(
                "{}, of which {} are kept",
                bytes(found.checkpoint_bytes),
                if config.run.keep_last == 0 { "all".to_owned() } else { config.run.keep_last.to_string() }
            ),
        ),
    ] {
        say(format!("{name:<16} {value}"));
    }
    Ok(())
}
