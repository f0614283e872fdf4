//! `avdit profile`: where the time of a step goes.

mod rows;
mod table;
mod trace;

use super::bench::request;
use crate::args::ProfileArgs;
use crate::cost::Analysis;
use crate::output::say_json;
use crate::parts::{Block, Kind, attribute};
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_core::Task;
use avdit_export::ModelConfig;
use avdit_onnx::Model;
use avdit_runtime::machine::Machine;
use avdit_runtime::profile::{ArenaUse, OpTime, Profile, ProfileOptions, ProviderTime, profile};
use avdit_runtime::{EngineFacts, Summary};
use rows::{Limits, Row, Rows};
use serde::Serialize;

/// The whole result. Times are milliseconds; those of operations are taken with a clock on each and are no latency.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    machine: Machine,
    facts: EngineFacts,
    sampler: String,
    steps: usize,
    batch: usize,
    runs: usize,
    /// Runs of the graph that count.
    predictions: usize,
    /// One run of the graph with no clock on its operations: the latency, to which no other time here compares.
    plain_ms: Summary,
    /// One run of the graph with one.
    profiled_ms: Summary,
    /// The second over the first, at the median.
    slowdown: f64,
    /// All operations over the wall time of the runs that they are of.
    coverage: f64,
    /// The share of time of operations whose part was taken from their neighbours.
    taken_from_neighbours: f64,
    /// The share of time of operations that belong to no part.
    unattributed: f64,
    limits: Option<Limits>,
    blocks: Vec<Row>,
    kinds: Vec<Row>,
    modalities: Vec<Row>,
    operators: Vec<Row>,
    providers: Vec<ProviderTime>,
    arena: Option<ArenaUse>,
    /// What values were foretold to take at once, from the graph.
    foretold_arena_bytes: u64,
    operations: Vec<Operation>,
}

/// An operation and where it belongs.
#[derive(Debug, Serialize)]
pub struct Operation {
    #[serde(flatten)]
    time: OpTime,
    block: String,
    kind: Kind,
    /// Whether its name is no path, so that its neighbours had to say.
    is_taken_from_neighbours: bool,
}

pub fn run(args: &ProfileArgs) -> Result<()> {
    let spec = avdit_runtime::graph::read_spec(&args.model)?;
    let batch = args.batch as usize;
    let request = request(&args.sampler, Task::Joint.given(spec.layout.segments())?, batch);
    let options = ProfileOptions { request, given: None, runs: args.runs as usize };
    let mut stage = Stage::new("profile", options.runs, "runs");
    let engine = args.engine.options();
    let profile = profile(&args.model, args.engine.engine, &engine, &options, &mut |run| stage.set(run, ""))?;
    stage.finish("");
    let parts = attribute(profile.operations.iter().map(|operation| operation.name.as_str()));
    if let Some(path) = &args.chrome {
        let trace = trace::of(&profile, &parts);
        let text = serde_json::to_vec(&trace)?;
        avdit_media::atomic::write_bytes_atomically(path, &text)
            .with_context(|| path.display().to_string())?;
    }
    let report = report(args, profile, &parts)?;
    if args.json {
        return say_json(&report);
    }
    table::say_report(&report, args.top);
    Ok(())
}

fn report(args: &ProfileArgs, profile: Profile, parts: &[(crate::parts::Part, bool)]) -> Result<Report> {
    // The engine has opened the folder, so that both files are sound.
    let analysis = Analysis::of(&Model::read_graph(args.model.join("model.onnx"))?, args.batch as usize)?;
    let config = ModelConfig::read(&args.model)?;
    let [video, audio] = config.network.tokens();
    let video_tokens = video as f64 / (video + audio) as f64;
    let limits = args.machine_rate.zip(args.machine_bandwidth);
    let limits = limits.map(|(gflop_per_s, gb_per_s)| Limits { gflop_per_s, gb_per_s });
    let rows = Rows::new(&profile, parts, &analysis, limits);
    let total: f64 = profile.operations.iter().map(|operation| operation.total_ms).sum();
    let share = |is: &dyn Fn(usize) -> bool| -> f64 {
        let times = profile.operations.iter().enumerate().filter(|(i, _)| is(*i));
        // The sum of no numbers is -0.
        times.map(|(_, operation)| operation.total_ms).sum::<f64>().max(0.0) / total
    };
    Ok(Report {
        schema: "avdit-profile/1",
        sampler: args.sampler.sampler.to_string(),
        steps: args.sampler.steps,
        batch: args.batch as usize,
        runs: args.runs as usize,
        predictions: profile.predictions,
        plain_ms: profile.plain_ms,
        profiled_ms: profile.profiled_ms,
        slowdown: profile.slowdown,
        coverage: profile.coverage,
        taken_from_neighbours: share(&|i| parts[i].1),
        unattributed: share(&|i| parts[i].0.block == Block::Unattributed),
        limits,
        blocks: rows.by_block(),
        kinds: rows.by_kind(),
        modalities: rows.by_modality(video_tokens),
        operators: rows.by_operator(),
        operations: profile.operations.iter().zip(parts).map(operation).collect(),
        machine: profile.machine,
        facts: profile.facts,
        providers: profile.providers,
        arena: profile.arena,
        foretold_arena_bytes: analysis.memory.arena_bytes,
    })
}

fn operation((time, (part, is_taken_from_neighbours)): (&OpTime, &(crate::parts::Part, bool))) -> Operation {
    Operation {
        time: time.clone(),
        block: part.block.to_string(),
        kind: part.kind,
        is_taken_from_neighbours: *is_taken_from_neighbours,
    }
}
