//! The clips that a codec learns, and those that it is measured on.

use crate::args::CodecArgs;
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_media::codec::ClipSource;
use avdit_media::world::World;
use avdit_media::{Clip, ClipGrid, FitPolicy, Preference, decode, fit_to_grid};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Clips that are held out, at most.
const HELD_OUT: usize = 48;
/// One clip in so many of the user's is held out.
const ONE_IN: usize = 16;
/// The index of the first clip of a world that is held out.
const FIRST_HELD_OUT: u32 = 1 << 20;
/// Decoded clips that are kept in memory.
const CACHE_BYTES: usize = 256 << 20;

/// Clips in two parts.
pub struct Clips {
    pub training: Box<dyn ClipSource>,
    pub held_out: Box<dyn ClipSource>,
    /// What tells them from others.
    pub identity: String,
}

pub fn open(args: &CodecArgs, grid: ClipGrid) -> Result<Clips> {
    match args.world {
        Some(kind) => {
            let world = World::of(kind, args.seed, grid);
            let part = |first, count| Box::new(OfWorld { world, first, count });
            Ok(Clips {
                training: part(0, args.count),
                held_out: part(FIRST_HELD_OUT, HELD_OUT as u32),
                identity: format!("{} clips of the world {kind}, seed {}", args.count, args.seed),
            })
        }
        None => of_files(&args.clips, grid),
    }
}

struct OfWorld {
    world: World,
    first: u32,
    count: u32,
}

impl ClipSource for OfWorld {
    fn len(&self) -> usize {
        self.count as usize
    }

    fn clip(&self, index: usize) -> avdit_media::Result<Clip> {
        Ok(self.world.clip(self.first + index as u32))
    }
}

/// Clips of files, decoded when they are asked for and kept as far as memory is meant for them.
struct OfFiles {
    grid: ClipGrid,
    /// A file, and which of its clips.
    places: Vec<(PathBuf, usize)>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    clips: HashMap<usize, Clip>,
    bytes: usize,
}

impl ClipSource for OfFiles {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn clip(&self, index: usize) -> avdit_media::Result<Clip> {
        let kept = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clip) = kept().clips.get(&index) {
            return Ok(clip.clone());
        }
        let (path, n) = &self.places[index];
        let changed = || avdit_media::Error::undecodable(path, "has changed since it was looked at");
        let clip = cut(path, &self.grid)?.into_iter().nth(*n).ok_or_else(changed)?;
        let bytes = self.grid.frames * self.grid.width * self.grid.height * 3 + 4 * self.grid.samples();
        let mut cache = kept();
        if cache.bytes + bytes <= CACHE_BYTES && cache.clips.insert(index, clip.clone()).is_none() {
            cache.bytes += bytes;
        }
        Ok(clip)
    }
}

/// The clips of a file on the grid.
fn cut(path: &Path, grid: &ClipGrid) -> avdit_media::Result<Vec<Clip>> {
    let clip = decode(path, Preference::Auto)?.clip;
    let cut = fit_to_grid(&clip, grid, &FitPolicy::default());
    cut.map_err(|reject| avdit_media::Error::undecodable(path, reject.to_string()))
}

fn of_files(inputs: &[PathBuf], grid: ClipGrid) -> Result<Clips> {
    let mut files = Vec::new();
    for input in inputs {
        list(input, &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut stage = Stage::new("look at clips", files.len(), "files");
    let (mut places, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for (i, path) in files.iter().enumerate() {
        super::check_cancelled()?;
        match cut(path, &grid) {
            Ok(clips) => {
                bytes += path.metadata().with_context(|| path.display().to_string())?.len();
                places.extend((0..clips.len()).map(|n| (path.clone(), n)));
            }
            Err(error) => {
                left_out += 1;
                tracing::warn!("left out: {error}");
            }
        }
        stage.set(i + 1, "");
    }
    stage.finish(&format!("{} clips, {left_out} files left out", places.len()));
    if places.len() < 2 {
        bail!(avdit_media::Error::value(
            "clips to train a codec on",
            "at least 2 that can be read",
            places.len()
        ));
    }
    let identity = format!("{} clips of {} files, {bytes} bytes", places.len(), files.len() - left_out);
    let held = (places.len() / ONE_IN).clamp(1, HELD_OUT);
    let step = places.len() / held;
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for (i, place) in places.into_iter().enumerate() {
        let is_held = i % step == step / 2 && held_out.len() < held;
        if is_held { held_out.push(place) } else { training.push(place) }
    }
    let source = |places| Box::new(OfFiles { grid, places, cache: Mutex::default() });
    Ok(Clips { training: source(training), held_out: source(held_out), identity })
}

/// A file, or all files below a folder whose names do not begin with a dot.
fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let told = || path.display().to_string();
    if !path.is_dir() {
        path.metadata().with_context(told)?;
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(told)? {
        let path = entry.with_context(told)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            list(&path, files)?;
        }
    }
    Ok(())
}
