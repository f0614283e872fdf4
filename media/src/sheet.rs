//! A clip on one page: its frames in a row, its spectrogram below, both over the same time axis.

use crate::encode::enlarge_frame;
use crate::picture::Picture;
use crate::spectrogram::spectrogram;
use crate::{Clip, Error, Result, Video, grid, picture};
use std::path::Path;

/// Frames in the row, at most.
const FRAMES: usize = 9;
/// About how high the row of frames is.
const FRAME_ROWS: usize = 128;
const SPECTROGRAM_ROWS: usize = 160;
/// Where there are no frames to set it.
const SOUND_WIDTH: usize = 960;
const GAP: usize = 4;
const TICK_ROWS: usize = 6;
const AXIS_ROWS: usize = 24;
const MARGIN: usize = 8;
const GROUND: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [70, 70, 70];
/// Ticks are this many apart at most.
const TICKS: f64 = 10.0;

/// Writes [`sheet`] as png.
///
/// # Errors
/// As [`sheet`]; [`Error::Io`] if the file cannot be written.
pub fn write_sheet(path: &Path, clip: &Clip) -> Result<()> {
    picture::write_png(path, &sheet(clip)?)
}

/// The frames of `clip` in a row above its spectrogram, and the seconds below; each frame stands over the time
/// it shows.
///
/// # Errors
/// [`Error::Value`] if the clip has neither pictures nor sound.
pub fn sheet(clip: &Clip) -> Result<Picture> {
    let video =
        clip.video.as_ref().filter(|video| !video.frames.is_empty() && video.width * video.height > 0);
    let audio = clip.audio.as_ref().filter(|audio| !audio.samples.is_empty());
    let seconds = video.map(Video::duration_s).or(audio.map(|audio| audio.duration_s()));
    let seconds = seconds.ok_or_else(|| Error::value("clip", "pictures or sound", "neither"))?;
    let row = video.map(frame_row);
    let width = row.as_ref().map_or(SOUND_WIDTH, |row| row.width);
    let heard = audio.map(|audio| {
        let share = (audio.duration_s() / seconds).min(1.0);
        let mut cut = audio.clone();
        cut.samples.truncate((seconds * f64::from(audio.sample_rate_hz)).round() as usize);
        spectrogram(&cut, ((width as f64 * share).round() as usize).max(1), SPECTROGRAM_ROWS)
    });
    let frame_rows = row.as_ref().map_or(0, |row| row.height);
    let gap = if row.is_some() && heard.is_some() { GAP } else { 0 };
    let sound_rows = if heard.is_some() { SPECTROGRAM_ROWS } else { 0 };
    let below = MARGIN + frame_rows + gap + sound_rows;
    let mut page = Picture::filled(width + 2 * MARGIN, below + AXIS_ROWS + MARGIN / 2, GROUND);
    if let Some(row) = &row {
        page.paste(row, MARGIN, MARGIN);
    }
    if let Some(heard) = &heard {
        page.paste(heard, MARGIN, MARGIN + frame_rows + gap);
    }
    axis(&mut page, below, width, seconds);
    Ok(page)
}

/// The frame in the middle of `video` brought to `width × height`; `None` if it has none.
pub fn thumbnail(video: &Video, width: usize, height: usize) -> Option<Picture> {
    let frame = video.frames.get(video.frames.len() / 2)?;
    let rgb = grid::crop_and_scale(frame.clone(), (video.width, video.height), (width, height));
    Some(Picture { width, height, rgb })
}

/// Up to [`FRAMES`] frames, each from the middle of its share of the time.
fn frame_row(video: &Video) -> Picture {
    let count = video.frames.len().min(FRAMES);
    let (scale, to) = if video.height <= FRAME_ROWS {
        let scale = (FRAME_ROWS / video.height).max(1);
        (scale, (video.width * scale, video.height * scale))
    } else {
        (1, ((video.width * FRAME_ROWS / video.height).max(1), FRAME_ROWS))
    };
    let mut row = Picture::filled(count * to.0 + (count - 1) * GAP, to.1, GROUND);
    for place in 0..count {
        let frame = &video.frames[(2 * place + 1) * video.frames.len() / (2 * count)];
        let rgb = if video.height <= FRAME_ROWS {
            enlarge_frame(frame, video.width, scale)
        } else {
            grid::crop_and_scale(frame.clone(), (video.width, video.height), to)
        };
        row.paste(&Picture { width: to.0, height: to.1, rgb }, place * (to.0 + GAP), 0);
    }
    row
}

/// Ticks at round numbers of seconds, and those numbers.
fn axis(page: &mut Picture, top: usize, width: usize, seconds: f64) {
    let step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
    let step = step.into_iter().find(|step| seconds / step <= TICKS).unwrap_or(seconds / TICKS);
    let digits = if step >= 1.0 {
        0
    } else if (step * 10.0).fract() == 0.0 {
        1
    } else {
        2
    };
    for index in 0..=(seconds / step + 1e-9) as usize {
        let time = index as f64 * step;
        let x = MARGIN + ((time / seconds * width as f64) as usize).min(width - 1);
        page.paste(&Picture::filled(1, TICK_ROWS, INK), x, top);
        let label = format!("{time:.digits$}");
        let label = if index == 0 { "0 s".to_owned() } else { label };
        let text = glyphs(&label);
        let left = x.saturating_sub(if index == 0 { 0 } else { text.width / 2 });
        if left + text.width <= page.width {
            page.paste(&text, left, top + TICK_ROWS + 2);
        }
    }
}

/// `text` of digits, points, blanks and the letter s, in letters of 3 × 5 points, each 2 × 2 pixels.
fn glyphs(text: &str) -> Picture {
    const POINTS: usize = 2;
    let mut line = Picture::filled(text.len() * 4 * POINTS, 5 * POINTS, GROUND);
    for (place, letter) in text.chars().enumerate() {
        let rows: [u8; 5] = match letter {
            '0' => [7, 5, 5, 5, 7],
            '1' => [2, 6, 2, 2, 7],
            '2' => [7, 1, 7, 4, 7],
            '3' => [7, 1, 7, 1, 7],
            '4' => [5, 5, 7, 1, 1],
            '5' => [7, 4, 7, 1, 7],
            '6' => [7, 4, 7, 5, 7],
            '7' => [7, 1, 1, 1, 1],
            '8' => [7, 5, 7, 5, 7],
            '9' => [7, 5, 7, 1, 7],
            's' => [3, 4, 2, 1, 6],
            '.' => [0, 0, 0, 0, 2],
            _ => [0; 5],
        };
        let dot = Picture::filled(POINTS, POINTS, INK);
        for (y, row) in rows.into_iter().enumerate() {
            for x in (0..3).filter(|x| row >> (2 - x) & 1 == 1) {
                line.paste(&dot, (place * 4 + x) * POINTS, y * POINTS);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audio, Rational};

    fn clip(frames: usize) -> Clip {
        let frames = (0..frames).map(|index| vec![10 * index as u8; 32 * 16 * 3]).collect();
        let video = Video { width: 32, height: 16, fps: Rational::new(8, 1), frames };
        Clip { video: Some(video), audio: Some(Audio { sample_rate_hz: 8000, samples: vec![0.1; 16_000] }) }
    }

    #[test]
    fn frames_stand_in_order_above_the_sound() {
        let page = sheet(&clip(16)).unwrap();
        assert_eq!(page.width, 2 * MARGIN + 9 * 32 * 8 + 8 * GAP);
        assert_eq!(page.rgb.len(), page.width * page.height * 3);
        let gray =
            |place: usize| page.rgb[((MARGIN + 1) * page.width + MARGIN + place * (256 + GAP) + 1) * 3];
        // Of 16 frames 9 are shown: the middles of ninths of the time.
        assert_eq!((0..9).map(gray).collect::<Vec<_>>(), [0, 20, 40, 60, 80, 90, 110, 130, 150]);
    }

    #[test]
    fn either_alone_makes_a_page_and_neither_none() {
        let whole = clip(3);
        let seen = sheet(&Clip { audio: None, ..whole.clone() }).unwrap();
        let heard = sheet(&Clip { video: None, ..whole }).unwrap();
        assert!(seen.height < heard.height);
        assert!(sheet(&Clip { video: None, audio: None }).is_err());
    }
}
