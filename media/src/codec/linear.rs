//! The linear codec: each latent holds the principal components of one patch or one row of spectra.

use super::audio::Spectra;
use super::config::CodecConfig;
use super::fit::FitReport;
use super::video::Patches;
use super::{Codec, check_audio, check_finite, check_video};
use crate::error::{Error, Result};
use crate::{Audio, ClipGrid, Video};
use avdit_core::{Layout, Modality};

/// An affine map between rows of `d` values and `k` channels of unit scale, with a mean of its own at each position.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Projection {
    /// `(positions, d)`.
    pub(crate) mean: Vec<f32>,
    /// `(k, d)`, orthonormal rows.
    pub(crate) basis: Vec<f32>,
    /// `(k,)`: the mean of the components over the clips it was fitted to.
    pub(crate) centre: Vec<f32>,
    /// `(k,)`: by how much the components are divided.
    pub(crate) scale: Vec<f32>,
}

impl Projection {
    pub(crate) fn d(&self) -> usize {
        self.basis.len() / self.centre.len()
    }

    fn mean_at(&self, position: usize) -> &[f32] {
        &self.mean[position * self.d()..(position + 1) * self.d()]
    }

    /// The channels of a row.
    pub(crate) fn encode(&self, row: &[f32], position: usize) -> Vec<f32> {
        let centred: Vec<f32> = row.iter().zip(self.mean_at(position)).map(|(x, m)| x - m).collect();
        let directions = self.basis.chunks_exact(self.d()).zip(self.centre.iter().zip(&self.scale));
        directions.map(|(direction, (c, s))| (dot(direction, &centred) - c) / s).collect()
    }

    /// The row of channels.
    pub(crate) fn decode(&self, channels: impl Iterator<Item = f32>, position: usize) -> Vec<f32> {
        let mut row = self.mean_at(position).to_vec();
        let directions = self.basis.chunks_exact(self.d()).zip(self.centre.iter().zip(&self.scale));
        for (z, (direction, (c, s))) in channels.zip(directions) {
            let z = z * s + c;
            row.iter_mut().zip(direction).for_each(|(x, b)| *x += z * b);
        }
        row
    }
}

/// Eight running sums, added in a fixed order: the same bits wherever it runs.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (mut sums, (wide_a, rest_a), (wide_b, rest_b)) = ([0f32; 8], a.as_chunks::<8>(), b.as_chunks::<8>());
    for (x, y) in wide_a.iter().zip(wide_b) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum::<f32>()
}

/// A fitted linear codec.
#[derive(Clone)]
pub struct LinearCodec {
    pub(crate) config: CodecConfig,
    pub(crate) layout: Layout,
    pub(crate) patches: Patches,
    pub(crate) spectra: Spectra,
    /// Patches of the first frame, patches of a group of frames, rows of spectra.
    pub(crate) projections: [Projection; 3],
    pub(crate) report: FitReport,
}

impl LinearCodec {
    /// Its configuration.
    pub fn config(&self) -> &CodecConfig {
        &self.config
    }

    /// What was measured when it was fitted.
    pub fn report(&self) -> &FitReport {
        &self.report
    }

    fn check_latents(&self, modality: Modality, latents: &[f32]) -> Result<()> {
        let what = format!("elements of the {} latents of a clip", modality.name());
        Error::check_count(&what, self.layout.len(modality), latents.len())?;
        check_finite(&format!("{} latents", modality.name()), latents)
    }
}

impl Codec for LinearCodec {
    fn name(&self) -> &str {
        "linear"
    }

    fn grid(&self) -> ClipGrid {
        self.config.grid
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn encode_video(&self, video: &Video) -> Result<Vec<f32>> {
        check_video(&self.config.grid, video)?;
        let (positions, channels) = (self.patches.positions(), self.layout.video.channels);
        let mut latents = vec![0f32; self.layout.len(Modality::Video)];
        for (f, frame) in latents.chunks_exact_mut(channels * positions).enumerate() {
            for position in 0..positions {
                let row = self.patches.cut(video, f, position);
                for (c, z) in self.projections[f.min(1)].encode(&row, position).into_iter().enumerate() {
                    frame[c * positions + position] = z;
                }
            }
        }
        Ok(latents)
    }

    fn encode_audio(&self, audio: &Audio) -> Result<Vec<f32>> {
        check_audio(&self.config.grid, audio)?;
        let rows = self.spectra.rows(&audio.samples);
        Ok(rows
            .chunks_exact(self.spectra.values())
            .flat_map(|row| self.projections[2].encode(row, 0))
            .collect())
    }

    fn decode_video(&self, latents: &[f32]) -> Result<Video> {
        self.check_latents(Modality::Video, latents)?;
        let ClipGrid { frames, fps, width, height, .. } = self.config.grid;
        let (positions, channels) = (self.patches.positions(), self.layout.video.channels);
        let mut video = Video { width, height, fps, frames: vec![vec![0u8; width * height * 3]; frames] };
        for (f, frame) in latents.chunks_exact(channels * positions).enumerate() {
            for position in 0..positions {
                let z = (0..channels).map(|c| frame[c * positions + position]);
                let row = self.projections[f.min(1)].decode(z, position);
                self.patches.paste(&mut video.frames, f, position, &row);
            }
        }
        Ok(video)
    }

    fn decode_audio(&self, latents: &[f32]) -> Result<Audio> {
        self.check_latents(Modality::Audio, latents)?;
        let channels = latents.chunks_exact(self.layout.audio.channels);
        let rows: Vec<f32> =
            channels.flat_map(|z| self.projections[2].decode(z.iter().copied(), 0)).collect();
        Ok(Audio { sample_rate_hz: self.config.grid.sample_rate_hz, samples: self.spectra.sound(&rows) })
    }
}
