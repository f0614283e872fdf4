//! A folder of png files, in the order of their names, with a wav inside or beside it.

use super::{Decoder, FrameSize};
use crate::{Clip, Error, Rational, Result, Video, picture, wav};
use std::path::{Path, PathBuf};

/// The built-in decoder of folders of pictures.
///
/// Names are ordered as people do: `frame-9.png` before `frame-10.png`.
#[derive(Clone, Copy, Debug)]
pub struct PngFolder {
    /// In what size frames are kept.
    pub size: FrameSize,
    /// Frames per second, which the folder does not say.
    pub fps: Rational,
}

impl Decoder for PngFolder {
    fn name(&self) -> &'static str {
        "png folder"
    }

    fn accepts(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn decode(&self, path: &Path) -> Result<Clip> {
        let (pictures, sounds) = contents(path)?;
        if pictures.is_empty() {
            return Err(Error::undecodable(path, "the folder has no png files"));
        }
        let mut frames = Vec::with_capacity(pictures.len());
        let mut first: Option<(usize, usize)> = None;
        for file in &pictures {
            let (rgb, size) = picture::read_png(file)?;
            let (rgb, size) = self.size.bring(rgb, size);
            let (width, height) = *first.get_or_insert(size);
            if size != (width, height) {
                let what = format!(
                    "{} × {} pixels, the first picture of the folder has {width} × {height}",
                    size.0, size.1
                );
                return Err(Error::undecodable(file, what));
            }
            frames.push(rgb);
        }
        let audio = match sounds.as_slice() {
            [] => super::wav_beside(path)?,
            [sound] => Some(wav::read_wav(sound)?),
            [one, other, ..] => {
                let names = [one, other].map(|sound| sound.file_name().unwrap_or_default().to_string_lossy());
                let what = format!("the folder has several wav files, {} and {}", names[0], names[1]);
                return Err(Error::undecodable(path, what));
            }
        };
        let video = first.map(|(width, height)| Video { width, height, fps: self.fps, frames });
        Ok(Clip { video, audio })
    }
}

/// The png files in order, and the wav files.
fn contents(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let io = |source| Error::io(path, source);
    let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        if super::has_extension(&file, &["png"]) {
            pictures.push(file);
        } else if super::has_extension(&file, &["wav"]) {
            sounds.push(file);
        }
    }
    pictures.sort_by_cached_key(|file| natural(&file.file_name().unwrap_or_default().to_string_lossy()));
    sounds.sort();
    Ok((pictures, sounds))
}

/// A part of a name: numbers compare as numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u128, usize),
    Text(String),
}

fn natural(name: &str) -> Vec<Part> {
    let bytes: Vec<char> = name.chars().collect();
    bytes
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .map(|run| {
            let text: String = run.iter().collect();
            match text.parse() {
                Ok(number) if run[0].is_ascii_digit() => Part::Number(number, run.len()),
                _ => Part::Text(text),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_comes_before_ten() {
        let mut names = ["f10.png", "f9.png", "f001.png", "e2.png"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["e2.png", "f001.png", "f9.png", "f10.png"]);
    }
}
