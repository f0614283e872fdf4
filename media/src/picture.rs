//! Single pictures as png.

use crate::{Error, Result, atomic};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;

/// An RGB picture: `width · height · 3` bytes, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The values.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Self {
        Self { width, height, rgb: color.repeat(width * height) }
    }

    /// Copies `other` to (`left`, `top`); what lies outside is left out.
    pub fn paste(&mut self, other: &Picture, left: usize, top: usize) {
        let width = other.width.min(self.width.saturating_sub(left));
        for row in 0..other.height.min(self.height.saturating_sub(top)) {
            let to = ((top + row) * self.width + left) * 3;
            let from = row * other.width * 3;
            self.rgb[to..to + width * 3].copy_from_slice(&other.rgb[from..from + width * 3]);
        }
    }
}

/// The bytes of a png file; `path` is for the errors alone.
///
/// # Errors
/// [`Error::Count`] if the picture has another number of values than its size asks for.
pub fn encode_png(path: &Path, picture: &Picture) -> Result<Vec<u8>> {
    Error::check_count("values of the picture", picture.width * picture.height * 3, picture.rgb.len())?;
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&picture.rgb, picture.width as u32, picture.height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| Error::unencodable(path, format!("png: {error}")))?;
    Ok(bytes)
}

/// Writes `picture` as png.
///
/// # Errors
/// As [`encode_png`]; [`Error::Io`] if the file cannot be written.
pub fn write_png(path: &Path, picture: &Picture) -> Result<()> {
    atomic::write_bytes_atomically(path, &encode_png(path, picture)?)
}

/// The values of a png file as 8-bit RGB, transparent pixels over black, and (width, height).
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Undecodable`] if it is no png or damaged.
pub fn read_png(path: &Path) -> Result<(Vec<u8>, (usize, usize))> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let image = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png)
        .map_err(|error| Error::undecodable(path, format!("png: {error}")))?
        .into_rgba8();
    let size = (image.width() as usize, image.height() as usize);
    let over_black = |value: u8, alpha: u8| (u16::from(value) * u16::from(alpha) / 255) as u8;
    let rgb = image.pixels().flat_map(|pixel| {
        let [r, g, b, a] = pixel.0;
        [over_black(r, a), over_black(g, a), over_black(b, a)]
    });
    Ok((rgb.collect(), size))
}
