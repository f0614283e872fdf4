//! The graphs of a learned codec, checked against its networks in double precision.

use crate::args::{ExportArgs, ExternalChoice};
use crate::codec;
use crate::commands::export::Check;
use crate::exit::{GateFailed, Usage};
use crate::output::{say, say_json};
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_core::{Noise, Purpose, Stream};
use avdit_export::{ExportOptions, FileRecord, Lowering, evaluate, export_autoencoder};
use avdit_nets::codec::Part;
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::codec::CodecFile;
use serde::Serialize;
use std::path::Path;

/// The schema of `export.json`.
pub const SCHEMA: &str = "avdit-codec-export/1";
/// Largest difference in any value, relative to the root mean square of what a graph makes.
const TOLERANCE: f64 = 1e-3;

/// A graph on an engine against double precision.
#[derive(Clone, Debug, Serialize)]
pub struct Parity {
    pub part: &'static str,
    pub engine: &'static str,
    pub max_error: f64,
    pub tolerance: f64,
}

/// `export.json` of a codec.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub schema: &'static str,
    pub opset: i64,
    pub batch: Option<usize>,
    pub parameters: usize,
    pub files: Vec<FileRecord>,
    pub parity: Vec<Parity>,
    /// Engines that are not here, and why.
    pub not_checked: Vec<(String, String)>,
}

/// `avdit export` of a codec: its file and its graphs in a folder.
pub fn export(args: &ExportArgs, folder: &Path) -> Result<()> {
    let useless = without_effect(args);
    if !useless.is_empty() {
        let what = format!(
            "{}: of no effect on a codec, whose graphs are portable, hold their weights and are checked on every engine \
             that is here; it has one set of parameters, no schedule to freeze and no step to fuse\n\nhint: leave out \
             what is named first",
            useless.join(", ")
        );
        bail!(Usage(what));
    }
    let path = codec::file_of(folder);
    crate::place::check_export(&args.out, Some(&path), SCHEMA)?;
    let file = CodecFile::read(&path)?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let target = args.out.join(codec::FILE);
    if target.canonicalize().ok() != path.canonicalize().ok() {
        file.write(&target)?;
    }
    let options =
        ExportOptions { batch: args.batch.map(usize::from), opset: args.opset, ..ExportOptions::default() };
    let record = write_with(&file, &target, &args.out, &options)?;
    if args.json {
        return say_json(&record);
    }
    say_record(&record, &args.out);
    Ok(())
}

/// What was typed for the export of a network and means nothing for a codec; a flag that says what holds unless told
/// counts as not typed.
fn without_effect(args: &ExportArgs) -> Vec<&'static str> {
    let given = [
        ("--target", args.target != Lowering::default()),
        ("--check", args.check != Check::Auto),
        ("--external-data", !matches!(args.external_data, ExternalChoice::Auto)),
        ("--raw", args.raw),
        ("--merge", args.merge),
        ("--ema", args.ema.is_some()),
        ("--freeze-schedule", args.freeze_schedule.is_some()),
        ("--fused-step", args.fused_step.is_some()),
    ];
    given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
}

/// Writes the graphs of a codec for any batch, and `export.json`.
pub fn write(codec: &CodecFile, path: &Path, out: &Path) -> Result<Record> {
    write_with(codec, path, out, &ExportOptions::default())
}

fn write_with(codec: &CodecFile, path: &Path, out: &Path, options: &ExportOptions) -> Result<Record> {
    let weights = codec::weights(codec)?;
    let mut stage = Stage::new("export the codec and check it", Part::ALL.len(), "graphs");
    let mut record = Record {
        schema: SCHEMA,
        opset: options.opset,
        batch: options.batch,
        parameters: codec.autoencoder.parameters().iter().map(avdit_nets::Parameter::len).sum(),
        files: Vec::new(),
        parity: Vec::new(),
        not_checked: Vec::new(),
    };
    let mut kinds = vec![EngineKind::Tract];
    match avdit_runtime::engine::load_onnx_runtime(None) {
        Ok(_) => kinds.push(EngineKind::OrtCpu),
        Err(error) => {
            let reason = crate::output::error_text(&error.into()).0;
            record.not_checked.push((EngineKind::OrtCpu.name().to_owned(), reason));
        }
    }
    for (n, part) in Part::ALL.into_iter().enumerate() {
        let graph = export_autoencoder(&codec.autoencoder, &weights, part, options)?;
        let (input, output) = (part.input(&codec.autoencoder), part.output(&codec.autoencoder));
        let mut x = vec![0.0; input.iter().product()];
        Noise::new(0).normals(Stream::new(Purpose::Check, 0, n as u32), &mut x);
        x.iter_mut().for_each(|x| *x = (*x * 0.5).clamp(-1.0, 1.0));
        let expected = evaluate(&codec.autoencoder, &weights, part, &x)?;
        let bytes = graph.to_bytes()?;
        // An engine takes one clip at a time here; a graph of another fixed batch is checked as one for any.
        let checked = match options.batch {
            None | Some(1) => bytes.clone(),
            Some(_) => {
                let any = ExportOptions { batch: None, ..options.clone() };
                export_autoencoder(&codec.autoencoder, &weights, part, &any)?.to_bytes()?
            }
        };
        for &kind in &kinds {
            let options = EngineOptions { threads: 1, ..EngineOptions::default() };
            let function = Function::open(&checked, path, [&input, &output], kind, &options)?;
            let max_error = worst(&function.run(&x)?, &expected);
            let (part, engine) = (part.name(), kind.name());
            if max_error.is_nan() || max_error > TOLERANCE {
                let what =
                    format!("the {part} on {engine} differs by {max_error:.1e}, allowed {TOLERANCE:.0e}");
                bail!(GateFailed(what));
            }
            record.parity.push(Parity { part, engine, max_error, tolerance: TOLERANCE });
        }
        let file = out.join(format!("{}.onnx", part.name()));
        avdit_media::atomic::write_bytes_atomically(&file, &bytes)?;
        record.files.push(FileRecord::of(&file)?);
        stage.set(n + 1, part.name());
    }
    let text = crate::output::json_text(&record)? + "\n";
    avdit_media::atomic::write_bytes_atomically(&out.join("export.json"), text.as_bytes())?;
    stage.finish(&format!(
        "same on {}",
        kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ")
    ));
    Ok(record)
}

fn worst(got: &[f32], expected: &[f64]) -> f64 {
    let scale = (expected.iter().map(|x| x * x).sum::<f64>() / expected.len() as f64).sqrt();
    let errors = got.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    errors.fold(0.0, |most, error| if error.is_nan() { error } else { f64::max(most, error) }) / scale
}

/// What was written, in words.
pub fn say_record(record: &Record, out: &Path) {
    say(format!("{}: {} graphs, {} parameters", out.display(), record.files.len(), record.parameters));
    for Parity { part, engine, max_error, tolerance } in &record.parity {
        say(format!("  {part} on {engine}: largest error {max_error:.1e} (allowed {tolerance:.0e})"));
    }
    for (engine, reason) in &record.not_checked {
        say(format!("  {engine}: not checked: {reason}"));
    }
}
