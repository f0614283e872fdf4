//! Where a learned codec may be written: nowhere that it would take the place of another's codec.

use crate::codec::FILE;
use crate::exit::Coded;
use anyhow::Result;
use avdit_core::Modality;
use avdit_media::shard::DATASET_FILE;
use std::path::Path;

/// Refuses a folder for `train codec` whose codec is not one that it is making or has made there.
pub fn check_training(out: &Path) -> Result<()> {
    check_stranger(out)?;
    if out.join(FILE).exists() && !holds_training(out) {
        return Err(refused(
            out,
            "a codec that was not trained there (no state of its training is beside it)",
        ));
    }
    Ok(())
}

/// Refuses a folder for the export of the codec in `source` whose codec is another and no earlier export.
pub fn check_export(out: &Path, source: &Path) -> Result<()> {
    check_stranger(out)?;
    let there = out.join(FILE);
    let is_itself = there.canonicalize().is_ok_and(|path| source.canonicalize().is_ok_and(|own| own == path));
    if !there.exists() || is_itself {
        return Ok(());
    }
    if holds_training(out) {
        return Err(refused(out, "another codec and the state of its training"));
    }
    let record = std::fs::read(out.join("export.json")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    if record["schema"] != super::graphs::SCHEMA {
        return Err(refused(out, "a codec that was not exported there"));
    }
    Ok(())
}

fn check_stranger(out: &Path) -> Result<()> {
    if out.join(DATASET_FILE).exists() {
        return Err(refused(out, "a dataset"));
    }
    if out.is_dir() && avdit_trainer::checkpoint::is_run(out)? {
        return Err(refused(out, "a run"));
    }
    Ok(())
}

fn holds_training(out: &Path) -> bool {
    Modality::ALL.iter().any(|modality| out.join(format!("{}.train.safetensors", modality.name())).is_file())
}

fn refused(out: &Path, what: &str) -> anyhow::Error {
    let out = out.display();
    Coded::bad_input(format!(
        "{out}: holds {what}: its {FILE} is not overwritten\n\nhint: name another folder with -o"
    ))
    .into()
}
