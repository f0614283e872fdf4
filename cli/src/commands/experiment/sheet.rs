//! Pictures of samples: a row for the true clips and one for each method, the same clips in each.

use super::reality::Place;
use super::results::WorldResults;
use super::run::SHOWN;
use anyhow::{Context, Result};
use avdit_core::Task;
use avdit_media::picture::{Picture, write_png};
use avdit_media::sheet::thumbnail;
use avdit_media::spectrogram::spectrogram;
use avdit_media::{Clip, Preference, Video, decode};
use std::path::Path;

/// Clips side by side.
const CLIPS: usize = 2;
/// Frames of each, and their side in pixels.
const FRAMES: usize = 7;
const SIDE: usize = 40;
const SOUND_WIDTH: usize = 112;
const GAP: usize = 2;
const BETWEEN: usize = 14;
const GROUND: [u8; 3] = [255, 255, 255];

/// Writes the sheet of a task, and returns what its rows show from the top down; nothing without samples.
pub fn write(path: &Path, world: &WorldResults, task: &Task) -> Result<Vec<String>> {
    let mut rows = vec![("true clips".to_owned(), true_clips(&world.place)?)];
    for method in &world.methods {
        let Some(run) = method.runs.first().filter(|_| !method.of_task(task).is_empty()) else { continue };
        let files: Vec<_> = (0..CLIPS.min(SHOWN)).map(|i| run.folder.sample(task, i)).collect();
        // Samples are to look at only: who removes them does without.
        let (title, there) = (&method.method.title, files.iter().all(|file| file.is_file()));
        let title = if there { title.clone() } else { format!("{title} (samples removed)") };
        let clips = files.iter().filter(|file| file.is_file()).map(|file| read(file));
        rows.push((title, clips.collect::<Result<_>>()?));
    }
    if rows.len() < 2 {
        return Ok(Vec::new());
    }
    let clip_width = FRAMES * (SIDE + GAP) + SOUND_WIDTH;
    let (width, height) =
        (CLIPS * clip_width + (CLIPS - 1) * BETWEEN, rows.len() * (SIDE + 2 * GAP) - 2 * GAP);
    let mut page = Picture::filled(width, height, GROUND);
    for (row, (_, clips)) in rows.iter().enumerate() {
        for (column, clip) in clips.iter().enumerate() {
            paste(&mut page, clip, column * (clip_width + BETWEEN), row * (SIDE + 2 * GAP));
        }
    }
    write_png(path, &page)?;
    Ok(rows.into_iter().map(|(name, _)| name).collect())
}

fn true_clips(place: &Place) -> Result<Vec<Clip>> {
    (0..CLIPS).map(|i| read(&place.held_out(i))).collect()
}

fn read(path: &Path) -> Result<Clip> {
    Ok(decode(path, Preference::BuiltIn).with_context(|| path.display().to_string())?.clip)
}

/// Frames from the middles of equal shares of the time, then the spectrogram.
fn paste(page: &mut Picture, clip: &Clip, left: usize, top: usize) {
    if let Some(video) = &clip.video {
        let n = video.frames.len();
        for place in 0..FRAMES {
            let frame = video.frames[(2 * place + 1) * n / (2 * FRAMES)].clone();
            let one = Video { frames: vec![frame], ..*video };
            if let Some(small) = thumbnail(&one, SIDE, SIDE) {
                page.paste(&small, left + place * (SIDE + GAP), top);
            }
        }
    }
    if let Some(audio) = &clip.audio {
        page.paste(&spectrogram(audio, SOUND_WIDTH, SIDE), left + FRAMES * (SIDE + GAP), top);
    }
}
