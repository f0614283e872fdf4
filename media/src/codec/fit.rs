//! Fitting the linear codec: means, principal components, scales, and what is lost, each in one pass over the clips.

use super::audio::Spectra;
use super::config::CodecConfig;
use super::linear::{LinearCodec, Projection};
use super::principal::{Principal, principal};
use super::quality::{Reconstruction, reconstruction};
use super::video::Patches;
use super::{Codec, check_audio, check_video};
use crate::error::{Error, Result};
use crate::{Audio, Clip, Video};
use avdit_core::{Noise, Purpose, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Clips from which a codec is fitted; more are thinned out evenly.
const MOST_CLIPS: usize = 1024;
/// Values of all the rows from which one basis is fitted (96 MiB of f32); more rows are thinned out.
const MOST_VALUES: usize = 24 << 20;
/// Clips on which the reconstruction is measured.
const MEASURED_CLIPS: usize = 16;
/// Clips in memory at a time.
const CHUNK: usize = 16;
/// The mean of a position counts as much as that of all positions when it comes from so many clips.
const PRIOR_CLIPS: f64 = 8.0;

/// Clips that can be read again and again.
pub trait ClipSource: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them, on the grid.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn clip(&self, index: usize) -> Result<Clip>;
}

impl ClipSource for [Clip] {
    fn len(&self) -> usize {
        <[Clip]>::len(self)
    }

    fn clip(&self, index: usize) -> Result<Clip> {
        Ok(self[index].clone())
    }
}

impl ClipSource for Vec<Clip> {
    fn len(&self) -> usize {
        <[Clip]>::len(self)
    }

    fn clip(&self, index: usize) -> Result<Clip> {
        Ok(self[index].clone())
    }
}

/// What was measured when a codec was fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitReport {
    /// Clips it was fitted to.
    pub clips: usize,
    /// Share of the variance of the first frame's patches that its channels hold; of all frames' where each latent frame
    /// holds one.
    pub explained_first_frame: f64,
    /// Share of the variance of the patches of groups of frames.
    pub explained_frames: f64,
    /// Share of the variance of the log-magnitudes.
    pub explained_audio: f64,
    /// Clips against what is left of them after encoding and decoding.
    pub reconstruction: Reconstruction,
}

/// Kinds of rows: patches of the first frame, patches of a group of frames, spectra. Frame by frame the first kind has no
/// rows, and takes over what is found of the second.
const KINDS: usize = 3;

struct Fit<'a> {
    config: &'a CodecConfig,
    patches: Patches,
    spectra: Spectra,
    source: &'a dyn ClipSource,
    picked: Vec<usize>,
}

impl LinearCodec {
    /// Fits a codec to clips. `progress(done, total)` may end it with an error, as when the user has interrupted.
    ///
    /// The bases are the principal components of at most 24 Mi values each, drawn from at most 1,024 clips.
    ///
    /// # Errors
    /// [`Error::Value`] or [`Error::Count`] if the configuration does not fit itself, there is no clip, or a clip is
    /// not on the grid; the errors of `source` and of `progress`.
    pub fn fit(
        config: CodecConfig,
        source: &dyn ClipSource,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Self> {
        config.check()?;
        if source.is_empty() {
            return Err(Error::value("clips to fit a codec to", "at least 1", 0));
        }
        let n = source.len().min(MOST_CLIPS);
        let fit = Fit {
            config: &config,
            patches: Patches::new(&config.grid, &config.video),
            spectra: Spectra::new(&config),
            source,
            picked: (0..n).map(|i| i * source.len() / n).collect(),
        };
        let (mut done, total) = (0, 3 * n + 2);
        let mut tick = |clips: usize| {
            done += clips;
            progress(done, total)
        };
        let means = fit.means(&mut tick)?;
        let found = fit.principal(&means, &mut tick)?;
        tick(1)?;
        let explained = found.each_ref().map(|p| p.explained);
        let mut bases = found.into_iter().map(|p| p.basis);
        let channels = [config.video.channels, config.video.channels, config.audio.channels];
        let mut means = means.into_iter();
        let projections = channels.map(|k| Projection {
            mean: means.next().expect("one mean of each kind"),
            basis: bases.next().expect("one basis of each kind"),
            centre: vec![0.0; k],
            scale: vec![1.0; k],
        });
        let mut codec = Self {
            layout: config.layout(),
            patches: fit.patches,
            spectra: fit.spectra.clone(),
            projections,
            report: FitReport {
                clips: n,
                explained_first_frame: explained[0],
                explained_frames: explained[1],
                explained_audio: explained[2],
                reconstruction: Reconstruction::default(),
            },
            config: config.clone(),
        };
        fit.scales(&mut codec, &mut tick)?;
        let measured: Vec<usize> =
            (0..n.min(MEASURED_CLIPS)).map(|i| fit.picked[i * n / n.min(MEASURED_CLIPS)]).collect();
        codec.report.reconstruction = reconstruction(&codec, source, &measured)?;
        tick(1)?;
        Ok(codec)
    }
}

impl Fit<'_> {
    /// Reads the clips in order, a chunk at a time, and hands each on with what `prepare` made of it.
    fn each<T: Send>(
        &self,
        tick: &mut dyn FnMut(usize) -> Result<()>,
        prepare: impl Fn(&Video, &Audio) -> Result<T> + Sync,
        mut take: impl FnMut(T),
    ) -> Result<()> {
        for chunk in self.picked.chunks(CHUNK) {
            let read = |&index: &usize| {
                let clip = self.source.clip(index)?;
                let missing = |what| Error::value(format!("clip {index} of the fit"), what, "none");
                let video = clip.video.as_ref().ok_or_else(|| missing("pictures"))?;
                let audio = clip.audio.as_ref().ok_or_else(|| missing("sound"))?;
                check_video(&self.config.grid, video)?;
                check_audio(&self.config.grid, audio)?;
                prepare(video, audio)
            };
            let ready: Vec<T> = chunk.par_iter().map(read).collect::<Result<_>>()?;
            ready.into_iter().for_each(&mut take);
            tick(chunk.len())?;
        }
        Ok(())
    }

    /// Whether every latent frame holds one frame. The first one is then like the others, and has their projection: what
    /// looks at single frames must not have to tell which one it sees.
    fn is_frame_by_frame(&self) -> bool {
        self.config.video.temporal == 1
    }

    /// The kind that a kind's projection is found from.
    fn like(&self, kind: usize) -> usize {
        if self.is_frame_by_frame() { kind.max(1) } else { kind }
    }

    /// The latent frames whose patches are rows of the kind 1.
    fn groups(&self) -> std::ops::Range<usize> {
        usize::from(!self.is_frame_by_frame())..self.latent_frames()
    }

    fn latent_frames(&self) -> usize {
        self.config.video.segments.iter().sum()
    }

    /// The rows of a kind in a clip, each with its position.
    fn rows(&self, kind: usize, video: &Video, audio: &Audio) -> Vec<(usize, Vec<f32>)> {
        let cut = |frames: std::ops::Range<usize>| {
            let places = frames.flat_map(|f| (0..self.patches.positions()).map(move |p| (f, p)));
            places.map(|(f, p)| (p, self.patches.cut(video, f, p))).collect()
        };
        match kind {
            0 => cut(0..self.groups().start),
            1 => cut(self.groups()),
            _ => self
                .spectra
                .rows(&audio.samples)
                .chunks(self.spectra.values())
                .map(|r| (0, r.to_vec()))
                .collect(),
        }
    }

    fn positions(&self, kind: usize) -> usize {
        if kind < 2 { self.patches.positions() } else { 1 }
    }

    fn values(&self, kind: usize) -> usize {
        if kind < 2 { self.patches.values(kind) } else { self.spectra.values() }
    }

    /// The mean row at each position of each kind, drawn towards the mean of all positions when clips are few.
    fn means(&self, tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<[Vec<f32>; KINDS]> {
        let mut sums: [Vec<f64>; KINDS] =
            std::array::from_fn(|k| vec![0.0; self.positions(k) * self.values(k)]);
        let clip_sums = |video: &Video, audio: &Audio| {
            Ok(std::array::from_fn::<_, KINDS, _>(|kind| {
                let d = self.values(kind);
                let mut sum = vec![0f32; self.positions(kind) * d];
                for (position, row) in self.rows(kind, video, audio) {
                    sum[position * d..(position + 1) * d].iter_mut().zip(row).for_each(|(s, x)| *s += x);
                }
                sum
            }))
        };
        self.each(tick, clip_sums, |clip| {
            for (sum, part) in sums.iter_mut().zip(clip) {
                sum.iter_mut().zip(part).for_each(|(s, x)| *s += f64::from(x));
            }
        })?;
        let n = self.picked.len() as f64;
        let mean = |kind: usize| {
            let (d, positions) = (self.values(kind), self.positions(kind));
            let rows_per_clip = match kind {
                0 => self.groups().start,
                1 => self.groups().len(),
                _ => self.config.audio.segments.iter().sum(),
            };
            let per_position = n * rows_per_clip as f64;
            let all: Vec<f64> = (0..d)
                .map(|i| {
                    sums[kind].iter().skip(i).step_by(d).sum::<f64>() / (per_position * positions as f64)
                })
                .collect();
            let own = n / (n + PRIOR_CLIPS);
            let mixed = |i: usize| own * sums[kind][i] / per_position + (1.0 - own) * all[i % d];
            (0..positions * d).map(|i| mixed(i) as f32).collect()
        };
        Ok(std::array::from_fn(|kind| mean(self.like(kind))))
    }

    /// The principal components of each kind of row.
    fn principal(
        &self,
        means: &[Vec<f32>; KINDS],
        tick: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<[Principal; KINDS]> {
        let mut rows: [Vec<f32>; KINDS] = Default::default();
        let mut seen = [0u32; KINDS];
        let all = |video: &Video, audio: &Audio| {
            Ok(std::array::from_fn::<_, KINDS, _>(|kind| self.rows(kind, video, audio)))
        };
        self.each(tick, all, |clip| {
            for (kind, new) in clip.into_iter().enumerate() {
                let d = self.values(kind);
                let total = new.len() * self.picked.len();
                let share = (MOST_VALUES / d) as f64 / total as f64;
                for (position, row) in new {
                    let stream = Stream::new(Purpose::Shuffle, 0, kind as u32);
                    if Noise::new(0).uniform(stream, seen[kind]) < share {
                        let mean = &means[kind][position * d..(position + 1) * d];
                        rows[kind].extend(row.iter().zip(mean).map(|(x, m)| x - m));
                    }
                    seen[kind] += 1;
                }
            }
        })?;
        let k = [self.config.video.channels, self.config.video.channels, self.config.audio.channels];
        let find = |kind: usize| principal(&rows[kind], self.values(kind), k[kind]);
        let first = || (!self.is_frame_by_frame()).then(|| find(0));
        let (first, (frames, audio)) = rayon::join(first, || rayon::join(|| find(1), || find(2)));
        Ok([first.unwrap_or_else(|| frames.clone()), frames, audio])
    }

    /// Sets the centre and the scale of every channel from the latents of all clips.
    fn scales(&self, codec: &mut LinearCodec, tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        let mut moments: [Vec<[f64; 3]>; KINDS] =
            std::array::from_fn(|kind| vec![[0.0; 3]; codec.projections[kind].centre.len()]);
        let raw = codec.clone();
        let (positions, vc, ac) =
            (self.patches.positions(), self.config.video.channels, self.config.audio.channels);
        let encode = |video: &Video, audio: &Audio| Ok((raw.encode_video(video)?, raw.encode_audio(audio)?));
        self.each(tick, encode, |(video, audio)| {
            let mut add = |kind: usize, channel: usize, z: f32| {
                let (m, z) = (&mut moments[kind][channel], f64::from(z));
                *m = [m[0] + 1.0, m[1] + z, m[2] + z * z];
            };
            for (i, &z) in video.iter().enumerate() {
                add(usize::from(self.groups().contains(&(i / (positions * vc)))), i / positions % vc, z);
            }
            for (i, &z) in audio.iter().enumerate() {
                add(2, i % ac, z);
            }
        })?;
        for (kind, projection) in codec.projections.iter_mut().enumerate() {
            let moments = &moments[self.like(kind)];
            let means = moments.iter().map(|[n, sum, _]| sum / n);
            let deviations: Vec<f64> = moments
                .iter()
                .map(|[n, sum, squares]| (squares / n - (sum / n).powi(2)).max(0.0).sqrt())
                .collect();
            projection.centre = means.map(|x| x as f32).collect();
            projection.scale = scales(&deviations, self.config.whitening);
        }
        Ok(())
    }
}

/// By how much to divide channels of these deviations so that their mean square is 1: each by its own where
/// `whitening` is 1, all by the same where it is 0. A channel that hardly varies is not blown up.
fn scales(deviations: &[f64], whitening: f64) -> Vec<f32> {
    let common = (deviations.iter().map(|d| d * d).sum::<f64>() / deviations.len() as f64).sqrt();
    if common == 0.0 {
        return vec![1.0; deviations.len()];
    }
    let own = |d: f64| d.max(1e-3 * common).powf(whitening) * common.powf(1.0 - whitening);
    let left = deviations.iter().map(|&d| (d / own(d)).powi(2)).sum::<f64>() / deviations.len() as f64;
    deviations.iter().map(|&d| (own(d) * left.sqrt()) as f32).collect()
}
