//! Images as files.

use anyhow::Result;
use avdit_media::picture::{Picture, write_png};
use avdit_media::tensors::{TensorRef, write_tensors};
use avdit_nets::DitConfig;
use std::collections::BTreeMap;
use std::path::Path;

/// Pixels between the images of a sheet.
const GAP: usize = 2;

/// Pixels along a side that a latent becomes where nothing decodes it.
const SIDE: usize = 8;

/// A picture (3, H, W) of −1 to 1, rounded as DiT's program does.
pub(super) fn of_values(values: &[f32], [height, width]: [usize; 2]) -> Picture {
    let plane = height * width;
    let rgb = (0..plane).flat_map(|i| {
        [0, 1, 2]
            .map(|c| values.get(c * plane + i).map_or(0, |x| (127.5 * x + 128.0).clamp(0.0, 255.0) as u8))
    });
    Picture { width, height, rgb: rgb.collect() }
}

/// The first three channels of latents as red, green and blue, from −3 to 3, their deviation being about 1.
pub(super) fn in_false_colours(latents: &[f32], config: &DitConfig) -> Picture {
    let ([height, width], plane) = (config.size, config.size[0] * config.size[1]);
    let mut picture = Picture::filled(width * SIDE, height * SIDE, [0; 3]);
    for y in 0..height {
        for x in 0..width {
            let value = |c: usize| latents[c.min(config.channels - 1) * plane + y * width + x];
            let colour = [0, 1, 2].map(|c| (127.5 + value(c) * 42.5).clamp(0.0, 255.0) as u8);
            picture.paste(&Picture::filled(SIDE, SIDE, colour), x * SIDE, y * SIDE);
        }
    }
    picture
}

/// Writes the latents of all images, (n, C, H, W); returns the file's name.
pub(super) fn write_latents(folder: &Path, config: &DitConfig, latents: &[Vec<f32>]) -> Result<String> {
    let (name, [height, width]) = ("latents.safetensors", config.size);
    let shape = vec![latents.len(), config.channels, height, width];
    let values = latents.concat();
    let tensors = [TensorRef { name: "latents", shape, values: &values }];
    write_tensors(&folder.join(name), &BTreeMap::new(), &tensors)?;
    Ok(name.to_owned())
}

/// Writes a png of each image, and a sheet of all; returns the files' names.
pub(super) fn write_all(
    folder: &Path,
    shown: &[Picture],
    classes: &[usize],
    first_item: u32,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (i, (picture, class)) in shown.iter().zip(classes).enumerate() {
        let name = format!("{:04}-class-{class}.png", first_item as usize + i);
        write_png(&folder.join(&name), picture)?;
        names.push(name);
    }
    let name = "sheet.png".to_owned();
    write_png(&folder.join(&name), &sheet(shown))?;
    names.push(name);
    Ok(names)
}

/// Images of one size in rows that make about a square.
fn sheet(shown: &[Picture]) -> Picture {
    let columns = (1..).find(|side| side * side >= shown.len()).unwrap_or(1);
    let (width, height) = shown.first().map_or((0, 0), |first| (first.width, first.height));
    let side = |count: usize, side: usize| count * side + count.saturating_sub(1) * GAP;
    let rows = shown.len().div_ceil(columns);
    let mut page = Picture::filled(side(columns, width), side(rows, height), [255; 3]);
    for (i, picture) in shown.iter().enumerate() {
        page.paste(picture, (i % columns) * (width + GAP), (i / columns) * (height + GAP));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_rounded_as_published_and_a_sheet_is_about_square() {
        // −1 → 0.5 → 0, 0 → 128, 1 → 255.5 → 255
        let picture = of_values(&[-1.0, 0.0, 1.0], [1, 1]);
        assert_eq!(picture.rgb, [0, 128, 255]);
        let three = sheet(&[picture.clone(), picture.clone(), picture]);
        assert_eq!((three.width, three.height), (4, 4));
        assert_eq!(three.rgb[(2 * 4 + 2 + 1) * 3..][..3], [255; 3], "between two is white");
    }
}
