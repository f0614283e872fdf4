//! The graphs of an imported network, checked against the same network on Candle.
//!
//! The reference and the engines each hold the weights once: the reference is asked first and is gone when the graph is
//! made, the graph is gone when an engine opens it.

use super::checks::{self, Check, Plan};
use crate::args::ExportArgs;
use crate::exit::{GateFailed, Usage};
use crate::network::FileWeights;
use crate::output::{json_text, say, say_json};
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_core::{Noise, Purpose, Stream};
use avdit_export::{
    CaseParity, ExportOptions, FileRecord, NotChecked, ParityReport, Tolerance, compare, export_network,
};
use avdit_media::draft::FolderDraft;
use avdit_nets::{DitConfig, Network, encodec, hifigan, vae};
use avdit_onnx::WriteOptions;
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::imported::{Source, run_network};
use avdit_trainer::{Imported, ImportedConfig};
use serde::Serialize;
use std::path::Path;

/// The schema of `export.json`.
const SCHEMA: &str = "avdit-network-export/1";

/// Single precision in another order, through as many layers as a public codec has: measured 2e-6 on small ones.
const TOLERANCE: Tolerance = Tolerance { relative: 1e-4 };

/// Inputs that a graph is compared on.
const CASES: u32 = 2;

/// A graph: its file, and what goes in and comes out, without the batch.
#[derive(Serialize)]
struct Graph {
    name: &'static str,
    inputs: Vec<(&'static str, Vec<usize>)>,
    outputs: Vec<(&'static str, Vec<usize>)>,
    files: Vec<FileRecord>,
    parity: Vec<ParityReport>,
    not_checked: Vec<NotChecked>,
}

/// `export.json` of an imported network.
#[derive(Serialize)]
struct Record<'a> {
    schema: &'static str,
    #[serde(flatten)]
    network: &'a ImportedConfig,
    weights_sha256: &'a str,
    source: &'a Source,
    opset: i64,
    batch: Option<usize>,
    lowering: avdit_export::Lowering,
    graphs: Vec<Graph>,
}

/// `avdit export` of an imported network.
pub(super) fn export(args: &ExportArgs, folder: &Path) -> Result<()> {
    let network = Imported::open(folder)?;
    refuse_useless(args, &network)?;
    network.verify()?;
    let frames = args.frames.map(|frames| frames as usize);
    let options = super::graph_options(args);
    let draft = FolderDraft::begin(&args.out, "the graphs of an imported network", is_own)?;
    let work = Work { network: &network, options: &options, check: &args.check, out: draft.path() };
    let needed = |flag: &str, what: &str| Usage(format!("{flag} is needed: {what}"));
    let graphs = match &network.config {
        ImportedConfig::Dit(config) => vec![work.graph(config)?],
        ImportedConfig::Vae(config) => {
            let what = "rows and columns of the latents, such as --size 32x32";
            let size = args.size.ok_or_else(|| needed("--size", what))?;
            let pictures = size.map(|side| side * config.factor());
            let encoder =
                work.graph(&vae::Encoder::new(config, pictures).map_err(avdit_export::Error::from)?)?;
            vec![encoder, work.graph(&vae::Decoder::new(config, size).map_err(avdit_export::Error::from)?)?]
        }
        ImportedConfig::Hifigan(config) => {
            let frames = frames.ok_or_else(|| needed("--frames", "frames of the spectrogram"))?;
            vec![work.graph(&hifigan::Generator::new(config, frames).map_err(avdit_export::Error::from)?)?]
        }
        ImportedConfig::Encodec(config) => {
            let frames = frames.ok_or_else(|| needed("--frames", "frames of the latents"))?;
            let encoder = encodec::Encoder::new(config, frames * config.hop());
            let decoder = encodec::Decoder::new(config, frames).map_err(avdit_export::Error::from)?;
            vec![work.graph(&encoder.map_err(avdit_export::Error::from)?)?, work.graph(&decoder)?]
        }
    };
    let record = Record {
        schema: SCHEMA,
        network: &network.config,
        weights_sha256: &network.sha256,
        source: &network.source,
        opset: options.opset,
        batch: options.batch,
        lowering: options.lowering,
        graphs,
    };
    std::fs::write(draft.path().join("export.json"), json_text(&record)? + "\n")
        .with_context(|| args.out.display().to_string())?;
    draft.commit()?;
    if args.json {
        return say_json(&record);
    }
    for Graph { name, parity, not_checked, .. } in &record.graphs {
        say(format!("{}: opset {}, for {}", args.out.join(name).display(), record.opset, record.lowering));
        for report in parity {
            let worst = report.worst().and_then(|case| case.relative_error).unwrap_or(f64::INFINITY);
            let (candidate, allowed) = (&report.candidate, report.tolerance);
            say(format!(
                "  {candidate} against candle: largest error {worst:.1e} of the output (allowed {allowed:.0e})"
            ));
        }
        for NotChecked { engine, reason } in not_checked {
            say(format!("  {engine}: not checked: {reason}"));
        }
    }
    Ok(())
}

fn is_own(folder: &Path) -> bool {
    let record = std::fs::read(folder.join("export.json")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    record["schema"] == SCHEMA
}

/// Refuses what was typed for another kind of network.
fn refuse_useless(args: &ExportArgs, network: &Imported) -> Result<()> {
    let kind = network.config.kind();
    let is_vae = matches!(network.config, ImportedConfig::Vae(_));
    let has_frames = matches!(network.config, ImportedConfig::Hifigan(_) | ImportedConfig::Encodec(_));
    let given = [
        ("--raw", args.raw),
        ("--merge", args.merge),
        ("--ema", args.ema.is_some()),
        ("--freeze-schedule", args.freeze_schedule.is_some()),
        ("--fused-step", args.fused_step.is_some()),
        ("--size", args.size.is_some() && !is_vae),
        ("--frames", args.frames.is_some() && !has_frames),
    ];
    let useless: Vec<_> = given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect();
    if useless.is_empty() {
        return Ok(());
    }
    let (flags, kind) = (useless.join(", "), kind.name());
    bail!(Usage(format!(
        "{flags}: of no effect on an imported {kind}\n\nhint: leave out what is named first"
    )))
}

struct Work<'a> {
    network: &'a Imported,
    options: &'a ExportOptions,
    check: &'a Check,
    /// The folder under construction.
    out: &'a Path,
}

/// Inputs of a case, and what the reference made of them.
type Case = (Vec<Vec<f32>>, Vec<Vec<f32>>);

impl Work<'_> {
    /// Writes the graph of one network and compares it.
    fn graph(&self, network: &impl Network) -> Result<Graph> {
        let name = network.name();
        let bytes = network.parameters().iter().map(avdit_nets::Parameter::len).sum::<usize>() as u64 * 4;
        let plan = Plan::of(self.check, bytes, self.options);
        let mut stage = Stage::new(&format!("export {name}"), 2 + plan.engines.len(), "steps");
        let cases = if plan.engines.is_empty() { 0 } else { CASES };
        let cases = (0..cases).map(|i| self.case(network, i)).collect::<Result<Vec<Case>>>()?;
        stage.set(1, "reference");
        let write = WriteOptions { external_data: self.options.external_data, ..WriteOptions::default() };
        let path = self.out.join(format!("{name}.onnx"));
        let written = export_network(network, &FileWeights(&self.network.weights), self.options)?
            .write(&path, &write)?;
        stage.set(2, "written");
        let files = std::iter::once(&written.model).chain(&written.data).map(|path| FileRecord::of(path));
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let files = files.collect::<Result<_, _>>()?;
        let mut graph = Graph { name, inputs, outputs, files, parity: Vec::new(), not_checked: Vec::new() };
        let left_out = |kind: EngineKind, reason: &str| NotChecked {
            engine: kind.name().to_owned(),
            reason: reason.to_owned(),
        };
        if plan.engines.is_empty() {
            graph.not_checked = EngineKind::ON_CPU.map(|kind| left_out(kind, "not asked for")).to_vec();
        }
        for (i, &kind) in plan.engines.iter().enumerate() {
            if plan.first_suffices && !graph.parity.is_empty() {
                graph.not_checked.push(left_out(kind, "the weights are large: one engine was checked"));
                continue;
            }
            match self.compare(&graph, &path, kind, &cases) {
                Ok(report) => graph.parity.push(report),
                Err(error) if checks::may_be_absent(self.check, &error) => {
                    graph.not_checked.push(left_out(kind, "there is no ONNX Runtime"));
                }
                Err(error) => return Err(error),
            }
            stage.set(3 + i, kind.name());
        }
        if let Some(failed) = graph.parity.iter().find(|report| !report.passed) {
            let worst = failed.worst().and_then(|case| case.relative_error).unwrap_or(f64::INFINITY);
            bail!(GateFailed(format!(
                "{name} on {} differs from what it was made from by {worst:.1e} of the output, allowed is {:.0e}; nothing was written",
                failed.candidate, failed.tolerance
            )));
        }
        stage.finish(&format!("checked on {} engines", graph.parity.len()));
        Ok(graph)
    }

    fn case(&self, network: &impl Network, index: u32) -> Result<Case> {
        let inputs: Vec<Vec<f32>> = network
            .inputs()
            .into_iter()
            .enumerate()
            .map(|(i, (name, dims))| match (name, &self.network.config) {
                // Nearly clean, then nearly all noise; the last class, then the first.
                ("timestep", _) => vec![37.0 + 900.0 * index as f32],
                ("label", ImportedConfig::Dit(config)) => vec![last_label(config) * (1.0 - index as f32)],
                _ => {
                    let mut x = vec![0.0; dims.iter().product()];
                    Noise::new(0).normals(Stream::new(Purpose::Check, index, i as u32), &mut x);
                    x
                }
            })
            .collect();
        let given: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
        let made = run_network(network, &self.network.weights, &given)?;
        Ok((inputs, made))
    }

    fn compare(&self, graph: &Graph, path: &Path, kind: EngineKind, cases: &[Case]) -> Result<ParityReport> {
        let batch = self.options.batch.unwrap_or(1);
        let shapes = [&graph.inputs, &graph.outputs].map(|ports| {
            ports.iter().map(|(_, dims)| [&[batch], dims.as_slice()].concat()).collect::<Vec<_>>()
        });
        let function = Function::from_file(path, shapes, kind, &EngineOptions::default())?;
        let mut found: Vec<CaseParity> = Vec::new();
        for (i, (inputs, expected)) in cases.iter().enumerate() {
            let fed: Vec<_> = inputs.iter().map(|x| x.repeat(batch)).collect();
            let made = function.run_all(&fed.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            for (((name, _), made), expected) in graph.outputs.iter().zip(made).zip(expected) {
                let case = format!("random {i}");
                found.push(compare(case, (*name).to_owned(), &expected.repeat(batch), &made, TOLERANCE));
            }
        }
        Ok(ParityReport {
            reference: "candle".to_owned(),
            candidate: kind.name().to_owned(),
            seed: 0,
            batch,
            tolerance: TOLERANCE.relative,
            // Zeros alone would be agreed upon by a graph that computes nothing.
            passed: found.iter().all(|case| case.passed)
                && found.iter().any(|case| case.reference_max_abs > Some(0.0)),
            cases: found,
        })
    }
}

fn last_label(config: &DitConfig) -> f32 {
    config.labels().saturating_sub(1) as f32
}
