//! A learned codec: networks that whoever opens it brings along, and all that lies between them and clips.

use super::{Codec, check_audio, check_finite, check_video};
use crate::error::{Error, Result};
use crate::{Audio, ClipGrid, Video};
use avdit_core::{Layout, Modality};

/// One network: the values of one example → what it makes of them.
pub type Network =
    Box<dyn Fn(&[f32]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// The networks of a codec, in whatever runs them.
pub struct Networks {
    /// Its name, for errors.
    pub engine: &'static str,
    /// [`planes`] of pictures → latents (F, C, H, W).
    pub encode_video: Network,
    /// Latents → planes.
    pub decode_video: Network,
    /// Samples → latents (A, Ca).
    pub encode_audio: Network,
    /// Latents → samples.
    pub decode_audio: Network,
}

/// A codec whose maps are networks.
pub struct LearnedCodec {
    grid: ClipGrid,
    layout: Layout,
    networks: Networks,
}

impl LearnedCodec {
    /// Of networks between clips on `grid` and latents of `layout`.
    pub fn new(grid: ClipGrid, layout: Layout, networks: Networks) -> Self {
        Self { grid, layout, networks }
    }

    fn run(&self, network: &Network, what: &str, x: &[f32], expected: usize) -> Result<Vec<f32>> {
        let engine = self.networks.engine;
        let made = network(x).map_err(|source| avdit_core::Error::Engine { engine, source })?;
        Error::check_count(&format!("values of {what}"), expected, made.len())?;
        check_finite(what, &made)?;
        Ok(made)
    }

    fn check_latents(&self, modality: Modality, latents: &[f32]) -> Result<()> {
        let what = format!("elements of the {} latents of a clip", modality.name());
        Error::check_count(&what, self.layout.len(modality), latents.len())?;
        check_finite(&format!("{} latents", modality.name()), latents)
    }
}

impl Codec for LearnedCodec {
    fn name(&self) -> &str {
        "learned"
    }

    fn grid(&self) -> ClipGrid {
        self.grid
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn encode_video(&self, video: &Video) -> Result<Vec<f32>> {
        check_video(&self.grid, video)?;
        let expected = self.layout.len(Modality::Video);
        self.run(&self.networks.encode_video, "encoded pictures", &planes(video), expected)
    }

    fn encode_audio(&self, audio: &Audio) -> Result<Vec<f32>> {
        check_audio(&self.grid, audio)?;
        let expected = self.layout.len(Modality::Audio);
        self.run(&self.networks.encode_audio, "encoded sound", &audio.samples, expected)
    }

    fn decode_video(&self, latents: &[f32]) -> Result<Video> {
        self.check_latents(Modality::Video, latents)?;
        let ClipGrid { frames, fps, width, height, .. } = self.grid;
        let expected = frames * 3 * height * width;
        let made = self.run(&self.networks.decode_video, "decoded pictures", latents, expected)?;
        Ok(Video { width, height, fps, frames: pictures(&made, height * width) })
    }

    fn decode_audio(&self, latents: &[f32]) -> Result<Audio> {
        self.check_latents(Modality::Audio, latents)?;
        let expected = self.grid.samples();
        let mut samples = self.run(&self.networks.decode_audio, "decoded sound", latents, expected)?;
        samples.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        Ok(Audio { sample_rate_hz: self.grid.sample_rate_hz, samples })
    }
}

/// Pictures as (F, 3, H, W), −1 to 1.
pub fn planes(video: &Video) -> Vec<f32> {
    video.frames.iter().flat_map(|frame| planes_of(frame)).collect()
}

/// One frame as (3, H, W), −1 to 1.
pub(super) fn planes_of(frame: &[u8]) -> Vec<f32> {
    let plane = |color| frame.iter().skip(color).step_by(3).map(|&byte| f32::from(byte) / 127.5 - 1.0);
    (0..3).flat_map(plane).collect()
}

/// Frames from [`planes`] of so many pixels each.
pub(super) fn pictures(planes: &[f32], pixels: usize) -> Vec<Vec<u8>> {
    let byte = |x: f32| ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    let frame = |planes: &[f32]| {
        (0..pixels).flat_map(|i| [0, 1, 2].map(|color| byte(planes[color * pixels + i]))).collect()
    };
    planes.chunks_exact(3 * pixels).map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clip, Rational};
    use avdit_core::{AudioLayout, VideoLayout};

    fn grid() -> ClipGrid {
        ClipGrid { frames: 5, fps: Rational::new(8, 1), width: 4, height: 2, sample_rate_hz: 800 }
    }

    /// Networks that hand on what they get, or less of it.
    fn codec(audio: fn(&[f32]) -> Vec<f32>) -> LearnedCodec {
        let layout = Layout {
            video: VideoLayout { frames: 5, channels: 3, height: 2, width: 4, segments: vec![1, 4] },
            audio: AudioLayout { frames: 500, channels: 1, segments: vec![100, 400] },
        };
        let same = || -> Network { Box::new(|x: &[f32]| Ok(x.to_vec())) };
        let networks = Networks {
            engine: "test",
            encode_video: same(),
            decode_video: same(),
            encode_audio: Box::new(move |x: &[f32]| Ok(audio(x))),
            decode_audio: same(),
        };
        LearnedCodec::new(grid(), layout, networks)
    }

    fn clip() -> Clip {
        let frame = |f: usize| (0..4 * 2 * 3).map(|i| (i * 11 + f * 37) as u8).collect();
        let video = Video { width: 4, height: 2, fps: grid().fps, frames: (0..5).map(frame).collect() };
        let samples = (0..500).map(|i| (i as f32 * 0.1).sin()).collect();
        Clip { video: Some(video), audio: Some(Audio { sample_rate_hz: 800, samples }) }
    }

    #[test]
    fn networks_that_change_nothing_make_a_codec_that_changes_nothing() {
        let codec = codec(<[f32]>::to_vec);
        let latents = codec.encode(&clip()).unwrap();
        assert_eq!(latents.video[..2], [-1.0, 33.0 / 127.5 - 1.0], "red of the first two pixels");
        assert_eq!(codec.decode(&latents).unwrap(), clip());
    }

    #[test]
    fn a_network_that_makes_too_little_or_no_number_is_refused() {
        let error = codec(|x| x[1..].to_vec()).encode(&clip()).unwrap_err().to_string();
        assert!(error.contains("encoded sound") && error.contains("499"), "{error}");
        let error = codec(|x| vec![f32::NAN; x.len()]).encode(&clip()).unwrap_err().to_string();
        assert!(error.contains("encoded sound"), "{error}");
        let error = codec(<[f32]>::to_vec).decode_video(&[0.0; 3]).unwrap_err().to_string();
        assert!(error.contains("video latents of a clip"), "{error}");
    }
}
