//! Pictures that move wherever pictures are shown: gif, without sound.

use super::{check, enlarge_frame};
use crate::{Error, Result, Video, atomic};
use gif::{Encoder, Frame, Repeat};
use std::path::Path;

/// The quality of the palette, 1 best to 30 fastest.
const PALETTE_SPEED: i32 = 5;

/// Writes `video` as a gif that repeats for ever, each pixel `scale × scale`.
///
/// # Errors
/// As [`encode_gif`]; [`Error::Io`] if the file cannot be written.
pub fn write_gif(path: &Path, video: &Video, scale: usize) -> Result<()> {
    atomic::write_bytes_atomically(path, &encode_gif(path, video, scale)?)
}

/// The bytes of the file that [`write_gif`] writes; `path` is for the errors alone.
///
/// A gif counts hundredths of a second: delays are rounded so that their sum keeps to the video's time.
///
/// # Errors
/// [`Error::Unencodable`] if there is no frame or the size is none of a gif's, [`Error::Count`] if a frame has
/// another size than the video.
pub fn encode_gif(path: &Path, video: &Video, scale: usize) -> Result<Vec<u8>> {
    check(video)?;
    let (width, height) = (video.width * scale, video.height * scale);
    let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(Error::unencodable(
            path,
            format!("a gif of {width} × {height}, expected at most 65535 × 65535"),
        ));
    };
    if video.frames.is_empty() || w == 0 || h == 0 {
        return Err(Error::unencodable(path, "the clip has no pictures"));
    }
    let failed = |error: gif::EncodingError| Error::unencodable(path, format!("gif: {error}"));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, w, h, &[]).map_err(failed)?;
    encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
    let at = |index: usize| (index as f64 * 100.0 / video.fps.value()).round() as u64;
    for (index, pixels) in video.frames.iter().enumerate() {
        let enlarged = enlarge_frame(pixels, video.width, scale);
        let mut frame = Frame::from_rgb_speed(w, h, &enlarged, PALETTE_SPEED);
        frame.delay = u16::try_from(at(index + 1) - at(index)).unwrap_or(u16::MAX);
        encoder.write_frame(&frame).map_err(failed)?;
    }
    drop(encoder);
    Ok(bytes)
}
