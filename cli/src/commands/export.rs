//! `avdit export`: checkpoint → ONNX model, checked against the checkpoint.

use crate::args::{ExportArgs, ExternalChoice};
use crate::exit::GateFailed;
use crate::output::{say, say_json};
use anyhow::{Context, Result, bail};
use avdit_core::{Denoiser, DenoiserSpec};
use avdit_export::{
    ExportOptions, ExportRecord, Lowering, ModelConfig, ModelFolder, ParityReport, Provenance, Tolerance,
    export_avdit, validate_batches, weight_map,
};
use avdit_media::codec::{Codec, LinearCodec};
use avdit_onnx::ExternalData;
use avdit_runtime::{EngineKind, EngineOptions};
use avdit_trainer::checkpoint::CheckpointConfig;
use avdit_trainer::{CandleDenoiser, Checkpoint, checkpoint};
use serde_json::json;
use std::path::Path;

/// Random inputs on which the graph is compared with the checkpoint: every kind of level vector twice.
const CASES: usize = 14;

pub fn run(args: &ExportArgs) -> Result<()> {
    let options = ExportOptions {
        batch: args.batch,
        opset: args.opset,
        lowering: args.target,
        external_data: match args.external_data {
            ExternalChoice::Auto => ExternalData::Auto,
            ExternalChoice::Always => ExternalData::Always,
            ExternalChoice::Never => ExternalData::Never,
        },
        ..ExportOptions::default()
    };
    let record = export(&args.run, &args.out, !args.raw, &options)?;
    if args.json {
        return say_json(&record);
    }
    let (parameters, opset, target) = (record.parameters, record.opset, record.lowering);
    say(format!("{}: {parameters} parameters, opset {opset}, for {target}", args.out.display()));
    for report in &record.parity {
        let worst = report.worst().and_then(|case| case.relative_error).unwrap_or(f64::INFINITY);
        say(format!(
            "  {} against {}: largest error {worst:.1e} of the output (allowed {:.0e}), {} cases",
            report.candidate,
            report.reference,
            report.tolerance,
            report.cases.len()
        ));
    }
    Ok(())
}

/// Exports a run and checks the graph on every engine that can run here.
pub fn export(run: &Path, out: &Path, ema: bool, options: &ExportOptions) -> Result<ExportRecord> {
    let folder = checkpoint::latest(run)?;
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let (config, weights) = Checkpoint::read_for_inference(&folder, ema)?;
    let codec = find_codec(run, &folder)?;
    check_codec(&codec, &LinearCodec::load(&codec)?, &config.spec)?;
    let map = weight_map(config.network.parameters(), weights.clone())?;
    let model = export_avdit(&config.network, &map, &config.spec, options)?;
    drop(map);

    let staged = ModelFolder::begin(out)?;
    let model_config =
        ModelConfig::avdit(config.network.clone(), config.spec.clone(), provenance(&folder, &config, ema));
    let mut record = staged.write(&model, &model_config, options)?;
    drop(model);
    let bytes = std::fs::read(&codec).with_context(|| codec.display().to_string())?;
    avdit_media::atomic::write_bytes_atomically(&staged.path().join("codec.safetensors"), &bytes)?;
    let mut reference = CandleDenoiser::new(&config.network, &weights, config.spec.clone())?;
    for &kind in checked_on(options.lowering) {
        match check(&mut reference, staged.path(), kind, options.batch.unwrap_or(2)) {
            Ok(report) => record.parity.push(report),
            Err(error) if kind == EngineKind::OrtCpu && no_runtime(&error) && !runtime_named() => {
                tracing::warn!(
                    "the graph was not checked on ONNX Runtime, which is not here (`avdit doctor` says more)"
                );
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(failed) = record.parity.iter().find(|report| !report.passed) {
        let worst = failed.worst().and_then(|case| case.relative_error).unwrap_or(f64::INFINITY);
        bail!(GateFailed(format!(
            "the graph on {} differs from the checkpoint by {worst:.1e} of the output, allowed is {:.0e}; nothing was written",
            failed.candidate, failed.tolerance
        )));
    }
    staged.commit(&record)?;
    Ok(record)
}

/// The engines that a graph for a target is compared on: ONNX Runtime's own operators are for it alone.
fn checked_on(target: Lowering) -> &'static [EngineKind] {
    if target.is_plain_onnx() { &[EngineKind::Tract, EngineKind::OrtCpu] } else { &[EngineKind::OrtCpu] }
}

fn check(
    reference: &mut CandleDenoiser,
    model: &Path,
    kind: EngineKind,
    batch: usize,
) -> Result<ParityReport> {
    let options = EngineOptions { batch, ..EngineOptions::default() };
    let mut engine = avdit_runtime::open(model, kind, &options)?;
    let candidate: &mut dyn Denoiser = engine.as_mut();
    let report = validate_batches(reference, candidate, CASES, 0, batch, Tolerance::SAME_MATH)?;
    Ok(report.between("candle", kind.name()))
}

/// Whether the user has said which ONNX Runtime to load; it must then be usable.
fn runtime_named() -> bool {
    std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty())
}

fn no_runtime(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(avdit_runtime::Error::NoOnnxRuntime { .. }))
}

/// The codec lies in the run's folder, which is given or holds the checkpoint that is.
fn find_codec(run: &Path, checkpoint: &Path) -> Result<std::path::PathBuf> {
    let places = [Some(run), checkpoint.parent().and_then(Path::parent)];
    let found =
        places.into_iter().flatten().map(|place| place.join("codec.safetensors")).find(|path| path.is_file());
    found.ok_or_else(|| {
        avdit_trainer::Error::content(
            run,
            "holds no codec.safetensors, without which latents cannot become clips",
        )
        .into()
    })
}

/// Refuses a codec whose latents are not the network's.
pub fn check_codec(path: &Path, codec: &LinearCodec, spec: &DenoiserSpec) -> Result<()> {
    if *codec.layout() == spec.layout {
        return Ok(());
    }
    let what = format!("its latents are {:?}, the network's are {:?}", codec.layout(), spec.layout);
    Err(avdit_trainer::Error::content(path, what).into())
}

fn provenance(checkpoint: &Path, config: &CheckpointConfig, ema: bool) -> Provenance {
    let value = json!({
        "checkpoint": checkpoint, "ema": ema, "train": config.train,
        "avdit": env!("CARGO_PKG_VERSION"),
    });
    value.as_object().cloned().unwrap_or_default()
}
