//! `avdit export`: checkpoint → ONNX model, checked against the checkpoint.

mod checks;
mod imported;

pub use checks::Check;

use crate::args::{ExportArgs, ExternalChoice};
use crate::exit::Usage;
use crate::network::{self, Network};
use crate::output::{say, say_json};
use crate::place;
use anyhow::{Context, Result, bail};
use avdit_core::DenoiserSpec;
use avdit_core::sampler::StepForm;
use avdit_export::{ExportOptions, ExportRecord, ModelConfig, ModelFolder, NotChecked, export_denoiser};
use avdit_media::codec::Codec;
use avdit_nets::NetworkConfig;
use avdit_onnx::ExternalData;
use avdit_runtime::machine::peak_memory_bytes;
use avdit_trainer::Imported;
use avdit_trainer::adapter::Alone;
use avdit_trainer::checkpoint::Values;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What an export took.
#[derive(Serialize)]
struct Costs {
    /// The most memory that the process had held when the model was written, and after it was checked.
    peak_memory_bytes: BTreeMap<&'static str, Option<u64>>,
    /// How long each took.
    seconds: BTreeMap<&'static str, f64>,
}

/// Its result as JSON: the record, and what it took.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    record: &'a ExportRecord,
    #[serde(flatten)]
    costs: &'a Costs,
}

pub fn run(args: &ExportArgs) -> Result<()> {
    if let Some(folder) = args.run.as_deref().filter(|run| super::codec::is_codec(run)) {
        return super::codec::export(args, folder);
    }
    if let Some(folder) =
        args.run.as_deref().filter(|run| place::Kind::PublicCodec.is_in(run).unwrap_or(false))
    {
        let what = "holds a codec of public networks, whose graphs are made where they are run\n\nhint: use the folder as it \
            is: avdit prepare --codec, avdit codec check";
        return Err(avdit_trainer::Error::content(folder, what).into());
    }
    let is_alone = args.run.as_deref().is_some_and(Alone::is_in);
    if let Some(folder) = args.run.as_deref().filter(|run| !is_alone && Imported::is_in(run)) {
        return imported::export(args, folder);
    }
    if args.size.is_some() || args.frames.is_some() {
        bail!(Usage(
            "--size and --frames are for imported networks, of which a run has its own sizes".to_owned()
        ));
    }
    place::check_export(&args.out, args.run.as_deref(), ExportRecord::SCHEMA)?;
    if let Some(Some(sampler)) = args.fused_step {
        let method = sampler.method(false);
        StepForm::of(method).check_method(method)?;
    }
    let options = ExportOptions {
        freeze: args.freeze_schedule,
        step: args.fused_step.map(|sampler| {
            // The form does not depend on the schedule of the network.
            sampler.map_or(StepForm::EVERY, |sampler| StepForm::of(sampler.method(false)))
        }),
        ..graph_options(args)
    };
    let (network, codec) = match (&args.run, args.random) {
        (Some(folder), _) if is_alone => {
            let (network, codec) = (Network::alone(folder)?, folder.join(crate::codec::FILE));
            let codec = codec.is_file().then_some(codec);
            if let Some(codec) = &codec {
                check_codec(codec, crate::codec::open(codec)?.as_ref(), &network.spec)?;
            }
            (network, codec)
        }
        (Some(run), _) => {
            let values = match (args.raw, args.ema) {
                (true, _) => Values::Raw,
                (false, None) => Values::Ema,
                (false, Some(decay)) => Values::EmaOf(decay),
            };
            let (network, codec) = of_run(run, values)?;
            (network, Some(codec))
        }
        (None, seed) => {
            let ((config, spec), of) = match (&args.preset, &args.config) {
                (Some(name), _) => (network::preset(name)?, format!("preset {name}")),
                (None, path) => {
                    let path = path.as_deref().context("no network was named")?;
                    (network::read(path)?, path.display().to_string())
                }
            };
            (Network::random(config, spec, seed.unwrap_or_default(), &of), None)
        }
    };
    let network = if args.merge { network.with_lora_merged()? } else { network };
    let (record, costs) = write(&network, codec.as_deref(), &args.out, &options, &args.check)?;
    if args.json {
        return say_json(&Said { record: &record, costs: &costs });
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
    for NotChecked { engine, reason } in &record.not_checked {
        say(format!("  {engine}: not checked: {reason}"));
    }
    if let Some(Some(bytes)) = costs.peak_memory_bytes.get("export") {
        let (peak, seconds) = (*bytes as f64 / 1048576.0, costs.seconds["export"]);
        say(format!("  written in {seconds:.1} s, peak memory {peak:.0} MiB"));
    }
    Ok(())
}

/// What every graph can be told.
fn graph_options(args: &ExportArgs) -> ExportOptions {
    ExportOptions {
        batch: args.batch.map(usize::from),
        opset: args.opset,
        lowering: args.target,
        external_data: match args.external_data {
            ExternalChoice::Auto => ExternalData::Auto,
            ExternalChoice::Always => ExternalData::Always,
            ExternalChoice::Never => ExternalData::Never,
        },
        ..ExportOptions::default()
    }
}

/// Exports a run and checks the graph on every engine that can run here.
pub fn export(run: &Path, out: &Path, ema: bool, options: &ExportOptions) -> Result<ExportRecord> {
    let (network, codec) = of_run(run, if ema { Values::Ema } else { Values::Raw })?;
    Ok(write(&network, Some(&codec), out, options, &Check::Auto)?.0)
}

/// A run's network and the codec of its latents.
fn of_run(run: &Path, values: Values) -> Result<(Network, PathBuf)> {
    let (folder, network) = Network::of_run(run, values)?;
    if let NetworkConfig::Dit(_) = network.config {
        let hint = "train adapters on it (model.architecture = \"av-dit\"), and export those";
        let what = format!("its network, a dit, makes pictures and no clips\n\nhint: {hint}");
        return Err(avdit_trainer::Error::content(run, what).into());
    }
    let codec = find_codec(run, &folder)?;
    check_codec(&codec, crate::codec::open(&codec)?.as_ref(), &network.spec)?;
    Ok((network, codec))
}

/// Writes a network as a model folder. While it is written, its weights are in memory once.
fn write(
    network: &Network,
    codec: Option<&Path>,
    out: &Path,
    options: &ExportOptions,
    check: &Check,
) -> Result<(ExportRecord, Costs)> {
    let start = Instant::now();
    let staged = ModelFolder::begin(out)?;
    let config = ModelConfig::of(network.config.clone(), network.spec.clone(), network.provenance.clone());
    let mut record = {
        let model = export_denoiser(&network.config, &network.weights, &network.spec, options)?;
        staged.write(&model, &config, options)?
    };
    if let Some(codec) = codec {
        avdit_media::atomic::copy_atomically(codec, &staged.path().join("codec.safetensors"))?;
    }
    let (written, export_peak) = (start.elapsed().as_secs_f64(), peak_memory_bytes());
    checks::run(check, network, staged.path(), options, &mut record)?;
    staged.commit(&record)?;
    let checked = start.elapsed().as_secs_f64() - written;
    let costs = Costs {
        peak_memory_bytes: [("export", export_peak), ("checks", peak_memory_bytes())].into(),
        seconds: [("export", written), ("checks", checked)].into(),
    };
    Ok((record, costs))
}

/// The codec lies in the run's folder, which is given or holds the checkpoint that is.
pub fn find_codec(run: &Path, checkpoint: &Path) -> Result<PathBuf> {
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
pub fn check_codec(path: &Path, codec: &dyn Codec, spec: &DenoiserSpec) -> Result<()> {
    if *codec.layout() == spec.layout {
        return Ok(());
    }
    let what = format!("its latents are {:?}, the network's are {:?}", codec.layout(), spec.layout);
    Err(avdit_trainer::Error::content(path, what).into())
}
