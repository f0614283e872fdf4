//! A world of the experiment: its clips, the dataset that all its models learn, and what is measured of true clips.

use super::measured::{Measured, measure};
use super::part::Part;
use super::settings::Settings;
use crate::clips;
use crate::commands::prepare;
use crate::progress::Stage;
use anyhow::{Context, Result, anyhow, ensure};
use avdit_core::{Latents, Task};
use avdit_media::atomic::FolderLock;
use avdit_media::codec::{Codec, LinearCodec};
use avdit_media::metrics::FeatureSpace;
use avdit_media::prepare::{CodecChoice, PrepareOptions};
use avdit_media::shard::{DATASET_FILE, Dataset};
use avdit_media::world::{World, WorldKind};
use avdit_media::{Clip, FitPolicy, Preference, decode, fit_to_grid};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The index in the world of the first clip that training never sees.
const FIRST_HELD_OUT: u32 = 1 << 20;
/// The sets of true clips that are measured.
pub const TRUE: &str = "true";
/// Other true clips than those.
pub const OTHER: &str = "other";
/// The true clips, encoded and decoded.
pub const CODED: &str = "coded";

/// Where a world's files are.
#[derive(Clone, Debug)]
pub struct Place {
    pub kind: WorldKind,
    pub folder: PathBuf,
}

impl Place {
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file of a set of true clips; of the part of them that a task makes, if one is named.
    pub fn measured(&self, set: &str, task: Option<&Task>) -> PathBuf {
        let task = task.map(|task| format!("-{}", file_name(task))).unwrap_or_default();
        self.folder.join("truth").join(format!("{set}{task}.safetensors"))
    }

    pub fn held_out(&self, index: usize) -> PathBuf {
        self.folder.join("held-out").join(format!("clip-{index:05}.mp4"))
    }
}

/// A task's name in that of a file.
pub fn file_name(task: &Task) -> String {
    task.to_string().replace(':', "-")
}

/// A world with its clips in memory: what models are given, and compared with.
pub struct Reality {
    pub place: Place,
    pub codec: LinearCodec,
    /// The held-out clips.
    pub clips: Vec<Clip>,
    /// Their latents.
    pub latents: Latents,
}

impl Reality {
    /// Makes what is not there yet, and reads the held-out clips.
    pub fn open(place: Place, settings: &Settings) -> Result<Self> {
        std::fs::create_dir_all(place.folder.join("truth"))
            .with_context(|| place.folder.display().to_string())?;
        let lock = wait_for(&place)?;
        let mut codec_config = crate::grids::codec_config("tiny")?;
        codec_config.audio.phase_iterations = settings.phase_iterations;
        let world = World::of(place.kind, settings.world_seed, codec_config.grid);
        make_clips(&world, &place, settings)?;
        if !place.data().join(DATASET_FILE).is_file() {
            let options = PrepareOptions::new(CodecChoice::Fit(codec_config));
            prepare::with_progress(&[place.folder.join("clips")], &place.data(), &options)?;
        }
        let data = Dataset::open(&place.data())?;
        let (there, meant) = (data.len(), settings.training_clips);
        ensure!(
            there == meant,
            "{}: holds {there} clips, the experiment has {meant} to train on\n\nhint: see {} for those left out; give \
             another folder with --out to begin again",
            place.data().display(),
            place.data().join("audit.md").display()
        );
        let codec = data.codec()?;
        let read = |first: usize| -> Result<Vec<Clip>> {
            (first..first + settings.samples)
                .into_par_iter()
                .map(|i| on_grid(&place.held_out(i), &codec))
                .collect()
        };
        let clips = read(0)?;
        let latents: Vec<Latents> =
            clips.par_iter().map(|clip| codec.encode(clip)).collect::<Result<_, _>>()?;
        if !place.measured(CODED, None).is_file() {
            let stage = Stage::new(&format!("measure true clips, {}", place.kind), 3, "sets");
            measure_true(&place, settings, &codec, &clips, &latents, &read(settings.samples)?)?;
            stage.finish(&format!("{} clips, others, and what the codec makes of them", clips.len()));
        }
        drop(lock);
        Ok(Self { place, codec, clips, latents: Latents::concat(&latents) })
    }
}

/// Takes the folder of a world, once no other process makes it.
fn wait_for(place: &Place) -> Result<FolderLock> {
    let mut told = false;
    loop {
        match FolderLock::take(&place.folder) {
            Err(avdit_media::Error::Busy { .. }) => {}
            other => return Ok(other?),
        }
        if !told {
            eprintln!("{}: another process makes this world; waiting for it", place.kind);
            told = true;
        }
        super::check_cancelled()?;
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Measures the held-out clips, whole and in the parts that tasks make, as many others, and what the codec leaves.
fn measure_true(
    place: &Place,
    settings: &Settings,
    codec: &LinearCodec,
    clips: &[Clip],
    latents: &[Latents],
    others: &[Clip],
) -> Result<()> {
    let space = FeatureSpace::new();
    let set = |clips: &[Clip], part: Option<&Part>| -> Result<Measured> {
        let one = |clip: &Clip| measure(place.kind, &space, clip, (true, true), part);
        let all = clips.par_iter().map(one).collect::<Result<Vec<_>>>()?;
        let mut set = Measured::default();
        all.into_iter().for_each(|one| set.push(one));
        Ok(set)
    };
    set(clips, None)?.write(&place.measured(TRUE, None))?;
    set(others, None)?.write(&place.measured(OTHER, None))?;
    let coded: Vec<Clip> =
        latents.par_iter().map(|latents| codec.decode(latents)).collect::<Result<_, _>>()?;
    for task in settings.tasks()? {
        if let Some(part) = Part::of(&task.given(codec.layout().segments())?, codec) {
            set(clips, Some(&part))?.write(&place.measured(TRUE, Some(&task)))?;
            set(&coded, Some(&part))?.write(&place.measured(CODED, Some(&task)))?;
        }
    }
    set(&coded, None)?.write(&place.measured(CODED, None))
}

fn on_grid(path: &Path, codec: &LinearCodec) -> Result<Clip> {
    let clip = decode(path, Preference::BuiltIn)?.clip;
    let clips = fit_to_grid(&clip, &codec.grid(), &FitPolicy::default());
    let clips = clips.map_err(|reject| anyhow!("{}: {reject}", path.display()))?;
    clips.into_iter().next().with_context(|| format!("{}: too short", path.display()))
}

fn make_clips(world: &World, place: &Place, settings: &Settings) -> Result<()> {
    for name in ["clips", "held-out"] {
        let folder = place.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let name = |i: u32| place.folder.join("clips").join(format!("clip-{i:05}.mp4"));
    let training = (0..settings.training_clips as u32).map(|i| (i, name(i)));
    let held_out = (0..2 * settings.samples).map(|i| (FIRST_HELD_OUT + i as u32, place.held_out(i)));
    clips::write_missing(&format!("make clips, {}", place.kind), world, training.chain(held_out).collect())?;
    super::check_cancelled()
}
