//! Clips to files that play anywhere: mp4 with H.264 and AAC, gif, wav, png.

mod aac;
mod gif;
mod h264;
mod mux;
mod track;

pub use gif::{encode_gif, write_gif};

use crate::{Clip, Error, Result, Video, atomic};
use std::path::Path;

/// How a clip is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Each pixel becomes `scale × scale`, so that players show small pictures well.
    pub scale: usize,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { scale: 1 }
    }
}

/// Writes `clip` as an mp4 with sound at `path`, `recipe` in its metadata and beside it as `<stem>.json`.
///
/// # Errors
/// As [`encode_mp4`]; [`Error::Io`] if a file cannot be written, the earlier one then being intact.
pub fn write_clip(
    path: &Path,
    clip: &Clip,
    recipe: Option<&serde_json::Value>,
    options: EncodeOptions,
) -> Result<()> {
    let bytes = encode_mp4(path, clip, recipe, options)?;
    atomic::write_bytes_atomically(path, &bytes)?;
    if let Some(recipe) = recipe {
        let mut text = format!("{recipe:#}");
        text.push('\n');
        atomic::write_bytes_atomically(&path.with_extension("json"), text.as_bytes())?;
    }
    Ok(())
}

/// The bytes of an mp4 file: H.264 at a quality where no loss is seen, AAC-LC at four bits a sample, either
/// track alone if the clip has no other; `path` is for the errors alone.
///
/// # Errors
/// [`Error::Unencodable`] if the clip is empty, its sight and sound differ by more than half a frame, its size
/// is odd even after scaling or its sample rate is none of AAC's; [`Error::Count`] if a frame has another size
/// than the video.
pub fn encode_mp4(
    path: &Path,
    clip: &Clip,
    recipe: Option<&serde_json::Value>,
    options: EncodeOptions,
) -> Result<Vec<u8>> {
    let video = clip.video.as_ref().filter(|video| !video.frames.is_empty());
    let audio = clip.audio.as_ref().filter(|audio| !audio.samples.is_empty());
    if let (Some(video), Some(audio)) = (video, audio) {
        let (seen, heard) = (video.duration_s(), audio.duration_s());
        if (seen - heard).abs() > 0.5 / video.fps.value() {
            return Err(Error::unencodable(
                path,
                format!("pictures last {seen:.4} s and sound {heard:.4} s, more than half a frame apart"),
            ));
        }
    }
    if video.is_none() && audio.is_none() {
        return Err(Error::unencodable(path, "the clip has neither pictures nor sound"));
    }
    let h264 = match video {
        Some(video) => {
            check(video)?;
            let scaled;
            let video = if options.scale == 1 {
                video
            } else {
                scaled = enlarge(video, options.scale)?;
                &scaled
            };
            Some((h264::encode(path, video)?, video.fps))
        }
        None => None,
    };
    let aac = audio.map(|audio| aac::encode(path, audio)).transpose()?;
    let text = recipe.map(ToString::to_string);
    mux::mux(path, h264.as_ref().map(|(track, fps)| (track, *fps)), aac.as_ref(), text.as_deref())
}

/// Every frame has the size the video states, and the rate is one.
fn check(video: &Video) -> Result<()> {
    if video.fps.num == 0 || video.fps.den == 0 {
        return Err(Error::value("frame rate", "a positive fraction", video.fps));
    }
    let expected = video.width * video.height * 3;
    for (index, frame) in video.frames.iter().enumerate() {
        Error::check_count(&format!("bytes of frame {index}"), expected, frame.len())?;
    }
    Ok(())
}

/// Repeats every pixel `scale` times in both directions.
pub(crate) fn enlarge(video: &Video, scale: usize) -> Result<Video> {
    if scale == 0 || scale > 64 {
        return Err(Error::value("scale", "1 to 64", scale));
    }
    let frames = video.frames.iter().map(|frame| enlarge_frame(frame, video.width, scale)).collect();
    Ok(Video { width: video.width * scale, height: video.height * scale, fps: video.fps, frames })
}

/// Repeats every pixel of one frame `scale` times in both directions.
pub(crate) fn enlarge_frame(frame: &[u8], width: usize, scale: usize) -> Vec<u8> {
    let mut enlarged = Vec::with_capacity(frame.len() * scale * scale);
    for row in frame.chunks_exact(width * 3) {
        let wide: Vec<u8> = row
            .chunks_exact(3)
            .flat_map(|pixel| std::iter::repeat_n(pixel, scale).flatten().copied())
            .collect();
        (0..scale).for_each(|_| enlarged.extend(&wide));
    }
    enlarged
}
