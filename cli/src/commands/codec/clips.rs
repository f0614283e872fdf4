//! The clips that a codec learns, and those that it is measured on.

use super::split::{MOST, Place, Split, split};
use crate::args::CodecArgs;
use crate::grids::codec_config;
use crate::output::say;
use crate::progress::Stage;
use anyhow::{Result, bail};
use avdit_media::audit::{Reason, count_reasons};
use avdit_media::codec::ClipSource;
use avdit_media::prepare::{CodecChoice, PrepareOptions, Progress, Survey, survey};
use avdit_media::world::World;
use avdit_media::{Clip, ClipGrid, DecodeOptions, FrameSize, decode_with, fit_to_grid};
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    /// What is not learned.
    pub apart: Apart,
}

/// What is not learned, for reports.
#[derive(Clone, Debug, Serialize)]
pub struct Apart {
    /// Which clips are measured, in words.
    pub held_out_how: String,
    /// Their files.
    pub held_out_files: Vec<PathBuf>,
    /// Why, and how many clips or files, were left out.
    pub left_out: Vec<LeftOut>,
}

/// Clips or files that were left out.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LeftOut {
    pub reason: Reason,
    pub count: usize,
}

impl Apart {
    pub fn say(&self) {
        say(format!("held out: {}", self.held_out_how));
        for LeftOut { reason, count } in &self.left_out {
            say(format!("  left out: {count} × {}", reason.describe()));
        }
    }
}

pub fn open(args: &CodecArgs, grid: ClipGrid) -> Result<Clips> {
    match args.world {
        Some(kind) => {
            let world = World::of(kind, args.seed, grid);
            let part = |first, count| Box::new(OfWorld { world, first, count });
            Ok(Clips {
                training: part(0, args.count),
                held_out: part(FIRST_HELD_OUT, MOST as u32),
                identity: format!("{} clips of the world {kind}, seed {}", args.count, args.seed),
                apart: Apart {
                    held_out_how: format!("{MOST} other clips of the same world"),
                    held_out_files: Vec::new(),
                    left_out: Vec::new(),
                },
            })
        }
        None => of_files(args),
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
    options: PrepareOptions,
    places: Vec<Place>,
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
        let clip = self.cut(path)?.into_iter().nth(*n).ok_or_else(changed)?;
        let bytes = self.grid.frames * self.grid.width * self.grid.height * 3 + 4 * self.grid.samples();
        let mut cache = kept();
        if cache.bytes + bytes <= CACHE_BYTES && cache.clips.insert(index, clip.clone()).is_none() {
            cache.bytes += bytes;
        }
        Ok(clip)
    }
}

impl OfFiles {
    /// The clips of a file on the grid, as the survey saw them.
    fn cut(&self, path: &Path) -> avdit_media::Result<Vec<Clip>> {
        let size = FrameSize::Fit { width: self.grid.width, height: self.grid.height };
        let clip = decode_with(path, &DecodeOptions { size, ..self.options.decode })?.clip;
        let cut = fit_to_grid(&clip, &self.grid, &self.options.fit);
        cut.map_err(|reject| avdit_media::Error::undecodable(path, reject.to_string()))
    }
}

fn of_files(args: &CodecArgs) -> Result<Clips> {
    let config = codec_config(&args.preset)?;
    let grid = config.grid;
    let options = PrepareOptions::new(CodecChoice::Fit(config));
    let Survey { clips, rows, identity } = look(args, &options)?;
    for row in rows.iter().filter(|row| row.reason == Some(Reason::Undecodable)) {
        tracing::warn!("left out: {}: {}", row.source, row.detail);
    }
    let left_out: Vec<LeftOut> =
        count_reasons(&rows).into_iter().map(|(reason, count)| LeftOut { reason, count }).collect();
    if clips.len() < 2 {
        let reasons: Vec<String> =
            left_out.iter().map(|left| format!("{} {}", left.count, left.reason.describe())).collect();
        let got = match reasons.is_empty() {
            true => clips.len().to_string(),
            false => format!("{} (left out: {})", clips.len(), reasons.join(", ")),
        };
        bail!(avdit_media::Error::value("clips to train a codec on", "at least 2 that can be kept", got));
    }
    let identity = format!("{} clips (names, sizes and times hash to {identity})", clips.len());
    let Split { training, held_out, files: held_out_files, told } = split(clips);
    let source = |places| files(grid, options.clone(), places);
    Ok(Clips {
        training: source(training),
        held_out: source(held_out),
        identity,
        apart: Apart { held_out_how: told, held_out_files, left_out },
    })
}

/// Clips of a survey with `options`, which brought them onto `grid`.
pub fn files(grid: ClipGrid, options: PrepareOptions, places: Vec<Place>) -> Box<dyn ClipSource> {
    Box::new(OfFiles { grid, options, places, cache: Mutex::default() })
}

/// Lists and judges the files as `prepare` does.
fn look(args: &CodecArgs, options: &PrepareOptions) -> Result<Survey> {
    let mut stage = Stage::new("look at clips", 0, "files");
    let mut show = |progress: Progress| {
        stage.set_total(progress.total);
        stage.set(progress.done, "");
    };
    let seen = survey(&args.clips, &args.out, options, &mut show, &crate::cancel::asked);
    let seen = seen.map_err(|error| match error {
        avdit_media::Error::Interrupted { .. } => super::interrupted(),
        error => error.into(),
    })?;
    let left_out = seen.rows.len() - seen.clips.len();
    stage.finish(&format!("{} clips, {left_out} clips or files left out", seen.clips.len()));
    Ok(seen)
}
