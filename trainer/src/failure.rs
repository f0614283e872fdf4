//! What is kept and told of a step whose numbers are not finite.

use crate::batches::{Batch, Batches};
use crate::checkpoint;
use crate::error::{Error, Result};
use crate::model::{Gradients, LossValues, Model};
use avdit_core::{Layout, Modality};
use avdit_media::tensors::{TensorRef, write_tensors};
use std::collections::BTreeMap;
use std::path::Path;

/// The file in a run's folder that the batch is written to.
pub const BAD_BATCH_FILE: &str = "bad-batch.safetensors";
/// Examples and parameters that a message names.
const NAMED: usize = 8;

/// The error of a step: its examples and their levels, and the parameters that it would have spoilt.
///
/// # Errors
/// If Candle cannot read a gradient.
pub fn describe(
    what: &'static str,
    value: f64,
    batches: &Batches<'_>,
    batch: &Batch,
    found: (&Model, &LossValues, &Gradients),
) -> Result<Error> {
    let (model, loss, gradients) = found;
    let cells = batches.layout().cells();
    let bad = |place: &usize| loss.cells[place * cells..][..cells].iter().any(|error| !error.is_finite());
    let mut places: Vec<usize> = (0..batch.examples.len()).filter(bad).collect();
    let which = match places.len() {
        0 => {
            places.extend(0..batch.examples.len());
            "no error of a single example is beyond the numbers; the batch".to_owned()
        }
        count => format!("{count} of {} examples have such errors", batch.examples.len()),
    };
    let lines = places.iter().take(NAMED).map(|&place| example(batches, batch, place));
    let lines: String = lines.map(|line| format!("\n    {line}")).collect();
    let more = match places.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("\n    and {more} more"),
    };
    let norms = model.gradient_norms(gradients)?;
    let spoilt =
        model.parameters().zip(&norms).filter(|(_, norm)| norm.is_some_and(|norm| !norm.is_finite()));
    let names: Vec<&str> = spoilt.map(|((name, _), _)| name).collect();
    let parameters = match names.len() {
        0 => "the gradient of every single parameter is finite".to_owned(),
        count => {
            let dots = if count > NAMED { ", …" } else { "" };
            let named = names[..count.min(NAMED)].join(", ");
            format!("{count} of {} parameters have a gradient that is not finite: {named}{dots}", norms.len())
        }
    };
    Ok(Error::NotFinite {
        what,
        value,
        step: batch.step + 1,
        examples: format!("{which}:{lines}{more}"),
        parameters,
        kept: String::new(),
    })
}

fn example(batches: &Batches<'_>, batch: &Batch, place: usize) -> String {
    let segments = batches.layout().segments();
    let levels = |modality| &batch.noisy.levels.get(modality)[place * segments..][..segments];
    let index = batch.examples[place];
    format!(
        "position {}: example {index} ({}), levels of video {:?}, of audio {:?}",
        batch.positions.start + place,
        batches.name(index),
        levels(Modality::Video),
        levels(Modality::Audio)
    )
}

/// Removes the batches that an earlier run, or an earlier part of this one, has kept in the run's folder.
///
/// # Errors
/// [`Error::Io`] naming what cannot be listed or removed.
pub fn forget(run: &Path) -> Result<()> {
    let (stem, end) = BAD_BATCH_FILE.split_once('.').unwrap_or((BAD_BATCH_FILE, ""));
    for entry in std::fs::read_dir(run).map_err(Error::io(run))? {
        let path = entry.map_err(Error::io(run))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(stem) && name.ends_with(end) && path.is_file() {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Writes the batch of such an error into the run's folder, and completes the error with where it is and which
/// checkpoint is from before. Other errors come back as they are.
pub fn keep(mut error: Error, batches: &Batches<'_>, batch: &Batch, run: &Path) -> Error {
    if let Error::NotFinite { kept, .. } = &mut error {
        // The parts of other ranks have names of their own.
        let path = match batch.positions.start {
            0 => run.join(BAD_BATCH_FILE),
            first => run.join(BAD_BATCH_FILE.replace(".safetensors", &format!("-from-{first}.safetensors"))),
        };
        let batch = match write(batches, batch, &path) {
            Ok(()) => format!("the batch is in {}", path.display()),
            Err(failed) => format!("the batch could not be written: {failed}"),
        };
        let checkpoint = match checkpoint::latest(run) {
            Ok(newest) => format!("the newest checkpoint is from before: {}", newest.display()),
            Err(_) => "no checkpoint had been made".to_owned(),
        };
        *kept = format!("{batch}\n  {checkpoint}");
    }
    error
}

/// Noisy latents, targets and weights in the shapes of the latents, levels `(B, N)`; who they are in the metadata.
fn write(batches: &Batches<'_>, batch: &Batch, path: &Path) -> Result<()> {
    let (layout, noisy): (&Layout, _) = (batches.layout(), &batch.noisy);
    let size = batch.examples.len();
    let mut tensors = Vec::new();
    for (kind, latents) in [("noisy", &noisy.noisy), ("target", &noisy.target), ("weight", &noisy.weight)] {
        for modality in Modality::ALL {
            let name = format!("{kind}.{}", modality.name());
            tensors.push((name, layout.shape(modality, size), latents.get(modality)));
        }
    }
    for modality in Modality::ALL {
        let name = format!("levels.{}", modality.name());
        tensors.push((name, vec![size, layout.segments()], noisy.levels.get(modality)));
    }
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| TensorRef { name, shape: shape.clone(), values })
        .collect();
    let examples: Vec<_> = (0..size).map(|place| example(batches, batch, place)).collect();
    let metadata = BTreeMap::from([
        ("format".to_owned(), "avdit-batch/1".to_owned()),
        ("step".to_owned(), (batch.step + 1).to_string()),
        ("examples".to_owned(), examples.join("\n")),
    ]);
    Ok(write_tensors(path, &metadata, &tensors)?)
}
