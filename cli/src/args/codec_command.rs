//! What can be typed behind `codec`.

use avdit_media::Rational;
use avdit_runtime::EngineKind;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// What can be done with codecs beside training one.
#[derive(Debug, Subcommand)]
pub enum CodecCommand {
    /// Make a codec of public networks that were imported: Stable Diffusion's VAE for pictures; for sound AudioLDM's VAE
    /// with its vocoder, or EnCodec
    #[command(
        after_help = "Examples:\n  avdit codec assemble --video sd-vae/ --audio mel-vae/ --vocoder hifigan/ -o codec/\n  \
        avdit codec assemble --video sd-vae/ --audio encodec/ --frames 16 --fps 10 --size 128 -o codec/\n  \
        avdit prepare clips/ -o data/ --codec codec/\n\nThe codec's file holds the networks whole: a dataset, a run and a \
        model keep a copy. Sound that becomes a mel spectrogram is heard without its level, as AudioLDM hears it: clips \
        come back with a peak of about one half, however loud they were."
    )]
    Assemble(AssembleArgs),
    /// Measure what a codec loses of clips, and write what it makes of them
    #[command(
        after_help = "Examples:\n  avdit codec check codec/ clips/\n  avdit codec check model/ clips/ --count 2 -o seen-and-heard/"
    )]
    Check(CheckArgs),
}

/// Options of `codec assemble`.
#[derive(Debug, ClapArgs)]
pub struct AssembleArgs {
    /// Folder of the imported autoencoder of pictures
    #[arg(long, value_name = "FOLDER")]
    pub video: Option<PathBuf>,
    /// Folder of the imported autoencoder of mel spectrograms, or of EnCodec
    #[arg(long, value_name = "FOLDER")]
    pub audio: Option<PathBuf>,
    /// Folder of the imported vocoder, which makes sound of mel spectrograms
    #[arg(long, value_name = "FOLDER")]
    pub vocoder: Option<PathBuf>,
    /// Folder of the codec
    #[arg(short, long)]
    pub out: PathBuf,
    /// Frames of a clip
    #[arg(long, default_value_t = 16)]
    pub frames: usize,
    /// Frames per second, such as 10 or 30000/1001
    #[arg(long, default_value = "10", value_parser = rate)]
    pub fps: Rational,
    /// Pixels of a clip: 256, or width and height such as 320x192
    #[arg(long, default_value = "256", value_parser = size)]
    pub size: [usize; 2],
    /// Time segments of one length that may be given or made, each with a level of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub segments: u16,
    /// Code pictures in tiles of this many latents a side, an approximation that needs less memory; off: each whole; auto: as
    /// half of the memory that is free now asks for. The choice is the codec's from then on, wherever it is used
    #[arg(long, default_value = "auto", value_name = "auto|off|N")]
    pub tile: Tile,
    /// What EnCodec's latents are multiplied by, 1 unless told: bring their deviation, which prepare tells, near 1
    #[arg(long, value_name = "SCALE")]
    pub audio_scale: Option<f64>,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `codec check`.
#[derive(Debug, ClapArgs)]
pub struct CheckArgs {
    /// A codec's file or the folder that holds it: that of a codec, a dataset, a run or a model
    pub codec: PathBuf,
    /// Files and folders of clips
    #[arg(required = true)]
    pub clips: Vec<PathBuf>,
    /// Clips to take, spread over all of them
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Folder for each clip and what the codec makes of it, as mp4 and on one page
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// What runs the networks of a codec that has any: tract (built in) or ort-cpu
    #[arg(long, default_value = "tract")]
    pub engine: EngineKind,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// In which tiles pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    Auto,
    Off,
    /// Latents along a side.
    Of(usize),
}

impl std::str::FromStr for Tile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => positive(text)
                .map(Self::Of)
                .ok_or_else(|| "expected auto, off or a number of latents".to_owned()),
        }
    }
}

fn positive(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

fn size(text: &str) -> Result<[usize; 2], String> {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    let sides = positive(width).zip(positive(height));
    sides
        .map(|(width, height)| [width, height])
        .ok_or_else(|| "expected a number such as 256, or 320x192".to_owned())
}

fn rate(text: &str) -> Result<Rational, String> {
    let (num, den) = text.split_once('/').unwrap_or((text, "1"));
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let rate = number(num).zip(number(den));
    rate.map(|(num, den)| Rational::new(num, den))
        .ok_or_else(|| "expected a number such as 10, or 30000/1001".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_tiles_are_read() {
        assert_eq!((size("256"), size("320x192")), (Ok([256, 256]), Ok([320, 192])));
        assert_eq!(rate("30000/1001"), Ok(Rational::new(30_000, 1001)));
        assert_eq!(
            ["auto", "off", "32"].map(|text| text.parse::<Tile>().unwrap()),
            [Tile::Auto, Tile::Off, Tile::Of(32)]
        );
        assert!(
            size("0").is_err()
                && size("3x").is_err()
                && rate("10/0").is_err()
                && "-1".parse::<Tile>().is_err()
        );
    }
}
