//! Pictures as rows of patches: the first frame alone, then groups of frames.

use super::config::VideoCodecConfig;
use crate::{ClipGrid, Video};

/// Where the patches of a clip lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patches {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    side: usize,
    temporal: usize,
    width: usize,
}

impl Patches {
    pub(crate) fn new(grid: &ClipGrid, config: &VideoCodecConfig) -> Self {
        let (side, temporal, width) = (config.patch_px, config.temporal, grid.width);
        Self { rows: grid.height / side, columns: width / side, side, temporal, width }
    }

    /// Patches of a latent frame.
    pub(crate) fn positions(&self) -> usize {
        self.rows * self.columns
    }

    /// Values of a patch in the latent frame `f`.
    pub(crate) fn values(&self, f: usize) -> usize {
        self.side * self.side * 3 * if f == 0 { 1 } else { self.temporal }
    }

    /// The first video frame of latent frame `f`, and how many it holds.
    fn frames(&self, f: usize) -> (usize, usize) {
        if f == 0 { (0, 1) } else { (1 + (f - 1) * self.temporal, self.temporal) }
    }

    /// Calls `visit(frame, byte, value)` for every row of pixels in a patch: `side · 3` values from `value` on.
    fn each_run(&self, f: usize, position: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (first, n) = self.frames(f);
        let (top, left) = (position / self.columns * self.side, position % self.columns * self.side);
        let mut value = 0;
        for frame in first..first + n {
            for y in top..top + self.side {
                visit(frame, (y * self.width + left) * 3, value);
                value += self.side * 3;
            }
        }
    }

    /// The values of a patch, −1 to 1.
    pub(crate) fn cut(&self, video: &Video, f: usize, position: usize) -> Vec<f32> {
        let mut patch = vec![0f32; self.values(f)];
        let run = self.side * 3;
        self.each_run(f, position, |frame, byte, value| {
            let bytes = &video.frames[frame][byte..byte + run];
            patch[value..value + run]
                .iter_mut()
                .zip(bytes)
                .for_each(|(x, &b)| *x = f32::from(b) / 127.5 - 1.0);
        });
        patch
    }

    /// Puts the values of a patch back into its place.
    pub(crate) fn paste(&self, frames: &mut [Vec<u8>], f: usize, position: usize, patch: &[f32]) {
        let run = self.side * 3;
        self.each_run(f, position, |frame, byte, value| {
            let bytes = &mut frames[frame][byte..byte + run];
            bytes.iter_mut().zip(&patch[value..value + run]).for_each(|(b, x)| *b = to_byte(*x));
        });
    }
}

fn to_byte(x: f32) -> u8 {
    ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rational;

    #[test]
    fn cutting_and_pasting_gives_the_same_pictures() {
        let grid =
            ClipGrid { frames: 5, fps: Rational::new(8, 1), width: 12, height: 8, sample_rate_hz: 16_000 };
        let config = VideoCodecConfig { patch_px: 4, temporal: 4, channels: 2, segments: vec![1, 1] };
        let patches = Patches::new(&grid, &config);
        let frame = |f: usize| (0..12 * 8 * 3).map(|i| (i * 7 + f * 31) as u8).collect::<Vec<_>>();
        let video = Video { width: 12, height: 8, fps: grid.fps, frames: (0..5).map(frame).collect() };
        let mut back = vec![vec![0u8; 12 * 8 * 3]; 5];
        for f in 0..2 {
            for position in 0..patches.positions() {
                patches.paste(&mut back, f, position, &patches.cut(&video, f, position));
            }
        }
        assert_eq!(back, video.frames);
    }
}
