//! A world's clips as files.

use crate::cancel;
use crate::progress::Stage;
use anyhow::{Result, anyhow};
use avdit_media::world::World;
use avdit_media::{EncodeOptions, write_clip};
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Writes those clips, by their indices in the world, whose files are not there yet. Returns early if the user wants to
/// stop: the caller asks.
///
/// # Errors
/// If a file cannot be written.
pub fn write_missing(title: &str, world: &World, clips: Vec<(u32, PathBuf)>) -> Result<()> {
    let (all, missing): (usize, Vec<_>) =
        (clips.len(), clips.into_iter().filter(|(_, path)| !path.is_file()).collect());
    if missing.is_empty() {
        return Ok(());
    }
    let mut stage = Stage::new(title, missing.len(), "clips");
    let finished = AtomicUsize::new(0);
    let write = |(index, path): &(u32, PathBuf)| -> Result<()> {
        if !cancel::asked() {
            write_clip(path, &world.clip(*index), None, EncodeOptions::default())?;
            finished.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let result = std::thread::scope(|scope| {
        let work = scope.spawn(|| missing.par_iter().try_for_each(write));
        while !work.is_finished() {
            stage.set(finished.load(Ordering::Relaxed), "");
            std::thread::sleep(Duration::from_millis(100));
        }
        work.join()
    });
    result.map_err(|_| anyhow!("making clips failed"))??;
    if !cancel::asked() {
        stage.finish(&format!("{all} mp4 files with sound"));
    }
    Ok(())
}
