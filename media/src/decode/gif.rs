//! gif, whose frames each have a delay of their own, with a wav of the same stem beside it.

use super::{Decoder, FrameSize, timeline};
use crate::{Clip, Error, Result, Video};
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, ImageDecoder};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Delays of a gif count hundredths of a second.
const TICKS_HZ: u32 = 100;
/// What browsers show a frame for whose delay is 0 or 1.
const SHORTEST_DELAY: u64 = 10;
/// The largest picture that is decoded.
const LARGEST_PIXELS: u64 = 1 << 26;

/// The built-in decoder of gif.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gif {
    /// In what size frames are kept.
    pub size: FrameSize,
}

impl Decoder for Gif {
    fn name(&self) -> &'static str {
        "gif"
    }

    fn accepts(&self, path: &Path) -> bool {
        super::has_extension(path, &["gif"])
    }

    fn decode(&self, path: &Path) -> Result<Clip> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let failed = |error: image::ImageError| match error {
            image::ImageError::IoError(error) if error.raw_os_error().is_some() => Error::io(path, error),
            error => Error::undecodable(path, format!("gif: {error}")),
        };
        let decoder = GifDecoder::new(BufReader::new(file)).map_err(failed)?;
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 || u64::from(width) * u64::from(height) > LARGEST_PIXELS {
            return Err(Error::undecodable(path, format!("the picture is {width} × {height} pixels")));
        }
        let mut frames = Vec::new();
        let mut starts = Vec::new();
        let mut end = 0;
        let mut size = (0, 0);
        for frame in decoder.into_frames() {
            let frame = frame.map_err(failed)?;
            let (num, den) = frame.delay().numer_denom_ms();
            let delay = u64::from(num) * u64::from(TICKS_HZ) / (u64::from(den.max(1)) * 1000);
            starts.push(end);
            end += if delay <= 1 { SHORTEST_DELAY } else { delay };
            let image = frame.into_buffer();
            let own = (image.width() as usize, image.height() as usize);
            let rgb: Vec<u8> = image.pixels().flat_map(|pixel| over_black(pixel.0)).collect();
            let (rgb, kept) = self.size.bring(rgb, own);
            size = kept;
            frames.push(rgb);
        }
        let rate = timeline::constant_rate(&starts, end, TICKS_HZ)
            .ok_or_else(|| Error::undecodable(path, "the gif has no frames"))?;
        let frames = rate.shows.iter().map(|&index| frames[index].clone()).collect();
        let video = Video { width: size.0, height: size.1, fps: rate.fps, frames };
        Ok(Clip { video: Some(video), audio: super::wav_beside(path)? })
    }
}

/// Transparent pixels show black.
fn over_black([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    [r, g, b].map(|value| (u16::from(value) * u16::from(a) / 255) as u8)
}
