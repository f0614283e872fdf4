//! The configuration that a run is started with: a file or a run's folder, with settings replaced.

use crate::exit::Usage;
use anyhow::{Result, bail};
use avdit_trainer::TrainConfig;
use std::path::{Path, PathBuf};

/// Reads a configuration. A run's folder stands for the configuration in it, and is where the run goes on, also if it
/// was moved.
///
/// # Errors
/// If the file cannot be used, a replacement is none, or a folder is named without `resume`.
pub fn read(path: &Path, replacements: &[String], resume: bool) -> Result<TrainConfig> {
    if !path.is_dir() {
        return replaced(path, replacements);
    }
    let inside = path.join("config.toml");
    if !inside.is_file() {
        let what =
            "is a folder without config.toml, so no run\n\nhint: name a configuration, such as run.toml";
        return Err(avdit_trainer::Error::content(path, what).into());
    }
    if !resume {
        let hint = format!("avdit train {} --resume goes on with it", path.display());
        bail!(Usage(format!("{} is a run's folder\n\nhint: {hint}", path.display())));
    }
    let mut config = replaced(&inside, replacements)?;
    config.out = path.to_owned();
    Ok(config)
}

/// The folder of another run beside that of a run: `runs/first-overfit`.
pub fn beside(out: &Path, what: &str) -> PathBuf {
    let name = out.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned());
    out.with_file_name(format!("{name}-{what}"))
}

/// The configuration of a file with settings replaced from the command line.
fn replaced(path: &Path, replacements: &[String]) -> Result<TrainConfig> {
    // Read as it stands first, so that its own mistakes are told with their place.
    let config = TrainConfig::read(path)?;
    if replacements.is_empty() {
        return Ok(config);
    }
    let mut table: toml::Table = std::fs::read_to_string(path)?.parse()?;
    for replacement in replacements {
        let (key, value) = replacement.split_once('=').ok_or_else(|| {
            Usage(format!("--set {replacement}: expected KEY=VALUE, such as optimizer.lr=3e-4"))
        })?;
        let value = format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| toml::Value::String(replacement[key.len() + 1..].to_owned()));
        let (mut place, mut rest) = (&mut table, key);
        while let Some((section, inner)) = rest.split_once('.') {
            let entry = place.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            place = entry
                .as_table_mut()
                .ok_or_else(|| Usage(format!("--set {replacement}: {section} is no section")))?;
            rest = inner;
        }
        place.insert(rest.to_owned(), value);
    }
    Ok(TrainConfig::parse(&toml::to_string(&table)?, Path::new("--set"))?)
}
