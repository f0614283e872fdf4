//! `avdit bench`: what a sampling step costs.

use crate::args::{BenchArgs, EngineArgs, SamplerArgs};
use crate::engines;
use crate::exit::Usage;
use crate::output::{say, say_json};
use crate::progress::Stage;
use anyhow::Result;
use avdit_core::{CellMask, Latents, Modality, Noise, Purpose, Stream};
use avdit_core::{SampleRequest, Task};
use avdit_media::codec::{Codec, LinearCodec};
use avdit_runtime::bench::{Progress, bench_engine};
use avdit_runtime::machine::Machine;
use avdit_runtime::{BenchOptions, BenchReport, EngineOptions, Summary};
use std::path::Path;
use std::time::Duration;

pub fn run(args: &BenchArgs) -> Result<()> {
    let spec = engines::spec(&args.model, args.engine.engine)?;
    let request = request(&args.sampler, args.task.given(spec.layout.segments())?, args.batch);
    let mut options = BenchOptions::new(request);
    options.warm_up = Duration::from_millis(args.warm_up_ms);
    options.min_runs = args.min_runs;
    options.min_duration = Duration::try_from_secs_f64(args.duration_s)
        .map_err(|error| Usage(format!("--duration-s {}: {error}", args.duration_s)))?;
    options.clip_seconds = clip_seconds(&args.model);
    if args.task != Task::Joint {
        let mut given = Latents::zeros(&spec.layout, args.batch);
        for modality in Modality::ALL {
            Noise::new(0).normals(Stream::new(Purpose::Check, 0, modality as u32), given.get_mut(modality));
        }
        options.given = Some(given);
    }
    let mut stage = Stage::new("measure", args.min_runs, "runs");
    let opening = EngineOptions { batch: args.batch, ..engine_options(&args.engine) };
    let engine = engines::open(&args.model, args.engine.engine, &opening)?;
    let report = bench_engine(engine, &options, &mut |progress| {
        if let Progress::Ran { runs, .. } = progress {
            stage.set_total(runs.max(args.min_runs));
            stage.set(runs, "");
        }
    })?;
    stage.finish("");
    if args.json {
        return say_json(&report);
    }
    say_report(&report);
    Ok(())
}

/// How the user wants a model to be run.
pub fn engine_options(args: &EngineArgs) -> EngineOptions {
    args.options()
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

fn clip_seconds(model: &Path) -> Option<f64> {
    LinearCodec::load(&model.join("codec.safetensors")).ok().map(|codec| codec.grid().duration_s())
}

fn say_report(report: &BenchReport) {
    let facts = &report.facts;
    let library = facts.library.as_ref().map_or("built in".to_owned(), |path| path.display().to_string());
    say(format!(
        "{} {} ({library}), {} threads, on {}",
        facts.engine.name(),
        facts.version,
        facts.threads,
        describe(&report.machine)
    ));
    let s = &report.sampling;
    say(format!(
        "{} × {} steps, batch {}, given {}, guidance {}",
        s.sampler, s.steps, s.batch, s.given, s.guidance
    ));
    say(format!(
        "load {:.0} ms, session {:.0} ms, first step {:.2} ms",
        facts.load_ms, facts.session_ms, report.first_step_ms
    ));
    say(format!(
        "{:<12} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "per step", "p50 ms", "p90 ms", "p99 ms", "mean ms", "cv %"
    ));
    let row = |name: &str, x: &Summary| {
        let cv = x.cv * 100.0;
        say(format!("{name:<12} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {cv:>7.1}", x.p50, x.p90, x.p99, x.mean));
    };
    row("step", &report.step_ms);
    row("  network", &report.network_ms);
    row("  copies", &report.copies_ms);
    row("  sampler", &report.sampler_ms);
    say(format!("all but the network: {:.2} % of a step", report.overhead * 100.0));
    let playing =
        report.clip_seconds_per_s.map_or(String::new(), |x| format!(", {x:.2} s of clip per second"));
    say(format!("{:.1} steps/s, {:.2} clips/s{playing}", report.steps_per_s, report.clips_per_s));
    let cpu = &report.cpu;
    say(format!(
        "CPU {:.2} ms per step ({:.2} threads busy) = {:.2} GFLOP at this machine's {:.0} GFLOP/s of one thread",
        cpu.ms_per_step, cpu.threads_busy, cpu.step_as_matmul_gflop, cpu.matmul_gflop_per_s
    ));
    if let Some(bytes) = report.peak_memory_bytes {
        say(format!("peak memory {:.0} MiB", bytes as f64 / 1048576.0));
    }
    for note in &report.notes {
        say(format!("note: {note}"));
    }
}
