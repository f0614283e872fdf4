//! The networks whose step is timed.

use avdit_core::AudioLayout;
use avdit_nets::AvditConfig;
use avdit_nets::avdit::VideoConfig;

/// A network with random weights.
pub(super) struct Network {
    /// The name of its folder.
    pub(super) name: &'static str,
    pub(super) config: AvditConfig,
}

impl Network {
    /// What it is, in words.
    pub(super) fn what(&self) -> String {
        let AvditConfig { width, depth, video, audio, .. } = &self.config;
        let tokens = video.frames * (video.height / video.patch) * (video.width / video.patch) + audio.frames;
        format!("width {width}, depth {depth}, {tokens} tokens")
    }
}

/// The size of AV-DiT's backbone, DiT-XL/2 (Peebles & Xie 2023), over 16 frames of 256 tokens and 160 tokens of sound.
fn dit_xl(width: usize, depth: usize, heads: usize) -> AvditConfig {
    AvditConfig {
        width,
        depth,
        heads,
        mlp_ratio: 4.0,
        qk_norm: false,
        adaln_rank: None,
        video: VideoConfig {
            frames: 16,
            channels: 4,
            height: 32,
            width: 32,
            patch: 2,
            segments: vec![1; 16],
        },
        audio: AudioLayout { frames: 160, channels: 8, segments: vec![10; 16] },
    }
}

/// The networks, smallest first; a dry run has the same grids and little behind them.
pub(super) fn networks(dry_run: bool) -> Vec<Network> {
    let preset = |name: &str, width, depth, heads| {
        let config = AvditConfig::preset(name).unwrap_or_else(|| dit_xl(width, depth, heads));
        if dry_run { AvditConfig { width, depth, heads, adaln_rank: None, ..config } } else { config }
    };
    let xl = if dry_run { dit_xl(32, 1, 2) } else { dit_xl(1152, 28, 16) };
    vec![
        Network { name: "small", config: preset("small", 64, 2, 2) },
        Network { name: "avdit-420m", config: preset("avdit-420m", 64, 3, 4) },
        Network { name: "dit-xl-2", config: xl },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_are_of_the_sizes_that_they_say_and_sound_in_a_dry_run_too() {
        for dry_run in [false, true] {
            for network in networks(dry_run) {
                network.config.check().unwrap();
            }
        }
        let said = networks(false).iter().map(Network::what).collect::<Vec<_>>();
        let expected = [
            "width 384, depth 12, 426 tokens",
            "width 1024, depth 24, 426 tokens",
            "width 1152, depth 28, 4256 tokens",
        ];
        assert_eq!(said, expected);
    }
}
