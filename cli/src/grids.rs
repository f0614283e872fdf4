//! The grids of clips and latents that have a name.

use anyhow::{Context, Result};
use avdit_core::{AudioLayout, Layout, VideoLayout};
use avdit_media::codec::CodecConfig;
use avdit_media::{ClipGrid, Rational};
use avdit_nets::AvditConfig;

/// Latents frame by frame, as a network of single pictures needs them.
const FRAMES: &str = "frames";

/// The names: those of AVDiT's sizes, and [`FRAMES`].
pub const NAMES: [&str; 5] = ["tiny", "small", "avdit-420m", "avdit-420m-patch1", FRAMES];

/// The configuration of the linear codec on a named grid.
pub fn codec_config(name: &str) -> Result<CodecConfig> {
    let layout = if name == FRAMES {
        Layout {
            video: VideoLayout {
                frames: 17,
                channels: 16,
                height: 4,
                width: 4,
                segments: vec![1, 4, 4, 4, 4],
            },
            audio: AudioLayout { frames: 26, channels: 32, segments: vec![2, 6, 6, 6, 6] },
        }
    } else {
        AvditConfig::preset(name).with_context(|| format!("there is no preset {name}"))?.layout()
    };
    let side = if matches!(name, "tiny" | FRAMES) { 64 } else { 128 };
    let grid =
        ClipGrid { frames: 17, fps: Rational::new(8, 1), width: side, height: side, sample_rate_hz: 16_000 };
    Ok(CodecConfig::for_layout(grid, &layout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_of_the_network_has_a_grid() {
        assert_eq!(NAMES[..4], AvditConfig::PRESETS);
        for name in NAMES {
            codec_config(name).unwrap();
        }
        assert_eq!(codec_config(FRAMES).unwrap().video.temporal, 1);
    }
}
