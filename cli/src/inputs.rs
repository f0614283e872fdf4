//! The user's files as given cells of a task.

use crate::exit::Usage;
use anyhow::{Result, bail};
use avdit_core::{CellMask, Latents, Modality};
use avdit_media::codec::Codec;
use avdit_media::{Audio, Clip, FitPolicy, Preference, Video, decode, fit_to_grid};
use std::path::Path;

/// What the user's files give, on the model's grid.
pub struct Given {
    mask: CellMask,
    video: Option<Video>,
    audio: Option<Audio>,
    latents: Latents,
}

impl Given {
    /// Reads what a task needs: pictures from `video`; sound from `audio` or, without it, from `video`.
    pub fn read(
        codec: &dyn Codec,
        mask: &CellMask,
        video: Option<&Path>,
        audio: Option<&Path>,
    ) -> Result<Self> {
        let mut given =
            Self { mask: mask.clone(), video: None, audio: None, latents: Latents::zeros(codec.layout(), 1) };
        if mask.needs(Modality::Video) {
            let path = video.ok_or_else(|| {
                Usage("the task gives pictures\n\nhint: name the file with --video FILE".into())
            })?;
            given.take(codec, on_grid(codec, path, Modality::Video)?)?;
        }
        if mask.needs(Modality::Audio) {
            let path = audio.or(video).ok_or_else(|| {
                Usage(
                    "the task gives sound

hint: name the file with --audio FILE"
                        .into(),
                )
            })?;
            given.take(codec, on_grid(codec, path, Modality::Audio)?)?;
        }
        let sound_of_video = mask.needs(Modality::Audio) && audio.is_none();
        for (path, used) in
            [(video, mask.needs(Modality::Video) || sound_of_video), (audio, mask.needs(Modality::Audio))]
        {
            if let (Some(path), false) = (path, used) {
                let hint = "leave it out, or choose another --task";
                bail!(Usage(format!(
                    "{}: the task gives {mask}, so this file is not used\n\nhint: {hint}",
                    path.display()
                )));
            }
        }
        Ok(given)
    }

    fn take(&mut self, codec: &dyn Codec, clip: Clip) -> Result<()> {
        if let Some(video) = clip.video {
            self.latents.video = codec.encode_video(&video)?;
            self.video = Some(video);
        }
        if let Some(audio) = clip.audio {
            self.latents.audio = codec.encode_audio(&audio)?;
            self.audio = Some(audio);
        }
        Ok(())
    }

    /// The latents of the given cells; `None` if nothing is given.
    pub fn latents(&self) -> Option<&Latents> {
        let any = Modality::ALL.into_iter().any(|modality| self.mask.needs(modality));
        any.then_some(&self.latents)
    }

    /// A modality that was given whole comes out as it came in, not as the codec would rebuild it.
    pub fn keep_originals(&self, made: Clip) -> Clip {
        let whole = |modality| (0..self.mask.segments()).all(|n| self.mask.is_given(modality, n));
        let video = self.video.clone().filter(|_| whole(Modality::Video));
        let audio = self.audio.clone().filter(|_| whole(Modality::Audio));
        Clip { video: video.or(made.video), audio: audio.or(made.audio) }
    }
}

/// The first clip of a file on the codec's grid, with the modality that is needed alone.
fn on_grid(codec: &dyn Codec, path: &Path, needed: Modality) -> Result<Clip> {
    let decoded = decode(path, Preference::Auto)?.clip;
    let (clip, missing) = match needed {
        Modality::Video => (Clip { audio: None, ..decoded }, "pictures"),
        Modality::Audio => (Clip { video: None, ..decoded }, "sound"),
    };
    if clip.video.is_none() && clip.audio.is_none() {
        return Err(bad_input(path, &format!("holds no {missing}, which the task gives")));
    }
    let policy = FitPolicy {
        needs_video: needed == Modality::Video,
        needs_audio: needed == Modality::Audio,
        ..FitPolicy::default()
    };
    let clips =
        fit_to_grid(&clip, &codec.grid(), &policy).map_err(|reject| bad_input(path, &reject.to_string()))?;
    if clips.len() > 1 {
        let seconds = codec.grid().duration_s();
        tracing::warn!(
            "{}: only its first {seconds:.3} s are used, the length of the model's clips",
            path.display()
        );
    }
    clips.into_iter().next().ok_or_else(|| bad_input(path, "holds no clip of the model's length"))
}

fn bad_input(path: &Path, what: &str) -> anyhow::Error {
    avdit_media::Error::Undecodable { path: path.to_owned(), what: what.to_owned() }.into()
}
