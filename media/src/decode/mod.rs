//! Files to clips, behind one interface: the built-in decoders, and ffmpeg where it is found.

mod aac;
mod audio_file;
mod demux;
mod ffmpeg;
mod folder;
mod gif;
mod h264;
mod mp4;
mod timeline;

pub use audio_file::AudioFile;
pub use ffmpeg::{FFMPEG_VARIABLE, Ffmpeg};
pub use folder::PngFolder;
pub use gif::Gif;
pub use mp4::Mp4;

use crate::{Clip, Error, Rational, Result, grid};
use std::path::Path;

/// Something that reads clips.
pub trait Decoder {
    /// Its name, as reports show it.
    fn name(&self) -> &'static str;

    /// Whether `path` looks like a file of its kind; the contents are not read.
    fn accepts(&self, path: &Path) -> bool;

    /// The clip in `path`, its sound mixed to mono.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Undecodable`] if it is damaged or holds no clip,
    /// [`Error::Unsupported`] if it may be sound but is not of this decoder's kind.
    fn decode(&self, path: &Path) -> Result<Clip>;
}

/// Which decoder is to read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The built-in decoder; ffmpeg, if it is there, for files of another kind. A damaged file stays an error.
    #[default]
    Auto,
    /// The built-in decoders alone.
    BuiltIn,
    /// ffmpeg alone.
    Ffmpeg,
}

/// In what size frames are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameSize {
    /// As the file has them.
    #[default]
    Own,
    /// Cropped at the centre to this aspect and scaled as they are decoded, so that long clips fit in memory.
    Fit {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
}

impl FrameSize {
    /// `rgb` of `size` (width, height) in the size that is kept.
    pub(crate) fn bring(self, rgb: Vec<u8>, size: (usize, usize)) -> (Vec<u8>, (usize, usize)) {
        match self {
            Self::Own => (rgb, size),
            Self::Fit { width, height } => {
                (grid::crop_and_scale(rgb, size, (width, height)), (width, height))
            }
        }
    }
}

/// How files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Which decoder.
    pub preference: Preference,
    /// In what size frames are kept.
    pub size: FrameSize,
    /// Frames per second of a folder of png files, which have no times.
    pub folder_fps: Rational,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { preference: Preference::Auto, size: FrameSize::Own, folder_fps: Rational::new(8, 1) }
    }
}

/// A clip and the decoder that read it.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The clip.
    pub clip: Clip,
    /// [`Decoder::name`] of the decoder that ran.
    pub decoder: &'static str,
}

/// [`decode_with`] the default options and `preference`.
///
/// # Errors
/// As [`Decoder::decode`].
pub fn decode(path: &Path, preference: Preference) -> Result<Decoded> {
    decode_with(path, &DecodeOptions { preference, ..DecodeOptions::default() })
}

/// Reads the clip in `path`: an mp4, a gif with a wav beside it, a folder of png, a sound file, or whatever
/// ffmpeg reads.
///
/// # Errors
/// As [`Decoder::decode`]; with [`Preference::Ffmpeg`] also [`Error::Unsupported`] if there is no ffmpeg.
pub fn decode_with(path: &Path, options: &DecodeOptions) -> Result<Decoded> {
    decode_noting(path, options, &mut false)
}

/// [`decode_with`]; `asked` becomes true if ffmpeg was asked, for only then the outcome depends on which one is there.
pub(crate) fn decode_noting(path: &Path, options: &DecodeOptions, asked: &mut bool) -> Result<Decoded> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Error::undecodable(path, "neither a file nor a folder"));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(Error::undecodable(path, "the file is empty"));
    }
    let mut by = |ffmpeg: Ffmpeg| {
        *asked = true;
        // A file that may not be read is the system's refusal, which ffmpeg tells as if the file were damaged.
        std::fs::File::open(path).map_err(|source| Error::io(path, source))?;
        run(&ffmpeg, path)
    };
    if options.preference == Preference::Ffmpeg {
        let ffmpeg = Ffmpeg::find(options.size).ok_or_else(|| Error::Unsupported {
            path: path.to_owned(),
            what: "ffmpeg was asked for and not found".to_owned(),
            decoder: BUILT_IN,
        })?;
        return by(ffmpeg);
    }
    let built_in = built_in(options);
    let refused = match built_in.iter().find(|decoder| decoder.accepts(path)) {
        Some(decoder) => match run(decoder.as_ref(), path) {
            Err(refused @ Error::Unsupported { .. }) => refused,
            done => return done,
        },
        None => unsupported(path, &describe(path)),
    };
    if options.preference == Preference::BuiltIn || !metadata.is_file() {
        return Err(refused);
    }
    match Ffmpeg::find(options.size) {
        Some(ffmpeg) => {
            tracing::debug!(path = %path.display(), %refused, "ffmpeg reads it");
            by(ffmpeg)
        }
        None => Err(refused),
    }
}

/// Every built-in decoder.
fn built_in(options: &DecodeOptions) -> [Box<dyn Decoder>; 4] {
    let size = options.size;
    [
        Box::new(Mp4 { size }),
        Box::new(Gif { size }),
        Box::new(PngFolder { size, fps: options.folder_fps }),
        Box::new(AudioFile),
    ]
}

/// Runs `decoder`; should a third party's code panic on a hostile file, that too is an error of the file.
fn run(decoder: &dyn Decoder, path: &Path) -> Result<Decoded> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decoder.decode(path)));
    let clip = caught.unwrap_or_else(|_| {
        Err(Error::undecodable(
            path,
            format!("the {} decoder broke on it: the file is damaged", decoder.name()),
        ))
    })?;
    Ok(Decoded { clip, decoder: decoder.name() })
}

/// An error of reading: the system's refusal, or else (a file that ends too soon) damage.
fn of_reading(path: &Path, error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::io(path, error),
        None => Error::undecodable(path, error.to_string()),
    }
}

/// The name of the built-in decoders together, in messages.
const BUILT_IN: &str = "built-in";

pub(crate) fn unsupported(path: &Path, what: &str) -> Error {
    Error::Unsupported { path: path.to_owned(), what: what.to_owned(), decoder: BUILT_IN }
}

fn describe(path: &Path) -> String {
    match path.extension() {
        Some(extension) => format!("the file is a .{}", extension.to_string_lossy()),
        None => "the file's name has no ending".to_owned(),
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .is_some_and(|found| extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension)))
}

/// The wav beside a gif or a folder of pictures: `<stem>.wav`.
fn wav_beside(path: &Path) -> Result<Option<crate::Audio>> {
    let wav = path.with_extension("wav");
    if wav.is_file() { crate::wav::read_wav(&wav).map(Some) } else { Ok(None) }
}
